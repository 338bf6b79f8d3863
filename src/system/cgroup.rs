//! Where in the cgroup v2 tree a bound command lives: `mwan3-use.<network namespace>.<interface>`, below the
//! cgroup we were started in so that the limits set there go on to count, or beside the one we are bound in.
//! Makes, enters and removes such groups. Only empty ones can be removed: the kernel sees to that.

mod mounts;

use super::failure::{self, Context, failure};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::nft::fingerprint;

use super::paths::{directories_in, look_at, make_new_directory, read};

pub use mounts::Hierarchy;

const GROUP_PREFIX: &str = "mwan3-use.";
/// The kernel's limit is 255, less what stands before the interface in the name of the group.
const LONGEST_NAME: usize = 160;
/// Deeper than anybody's tree; only a bound for the walk.
const DEEPEST_GROUP: usize = 32;

impl Hierarchy {
    /// The group for this interface, as seen from where this process is now. Namespaces need groups of
    /// their own: the same interface has another device there.
    pub fn group_of(&self, interface: &str) -> failure::Result<PathBuf> {
        let own = self.own_group()?;
        let namespace =
            look_at(Path::new("/proc/thread-self/ns/net")).context("read our network namespace")?.inode;
        Ok(outside_of_our_groups(&own).join(format!("{GROUP_PREFIX}{namespace}.{}", safe_name(interface))))
    }

    pub fn remove_empty_groups(&self) -> usize {
        let mut ours = Vec::new();
        let mut open = vec![(self.root().to_owned(), 0)];
        while let Some((directory, depth)) = open.pop() {
            for group in directories_in(&directory).unwrap_or_default() {
                if is_ours(group.file_name()) {
                    ours.push(group.clone());
                }
                if depth < DEEPEST_GROUP {
                    open.push((group, depth + 1));
                }
            }
        }
        // Parents were found before their children, and must go after them.
        ours.iter().rev().filter(|group| fs::remove_dir(group).is_ok()).count()
    }

    fn own_group(&self) -> failure::Result<PathBuf> {
        let groups = read(Path::new("/proc/self/cgroup")).context("read /proc/self/cgroup")?;
        let path = groups
            .split(|byte| *byte == b'\n')
            .find_map(|line| line.strip_prefix(b"0::"))
            .ok_or_else(|| failure!("this process is in no cgroup v2"))?;
        self.directory_of(Path::new(OsStr::from_bytes(path)))
            .ok_or_else(|| failure!("our cgroup is not below the mounted part of the cgroup v2 tree"))
    }
}

/// Opens the group, made if need be.
pub fn create(group: &Path) -> io::Result<File> {
    match make_new_directory(group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(group),
    }
}

pub fn move_self_into(group: &Path) -> io::Result<()> {
    // "0" stands for the process that writes: right in every pid namespace.
    fs::write(group.join("cgroup.procs"), "0\n")
}

pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

pub fn remove_empty_siblings(group: &Path) {
    let siblings = group.parent().map(directories_in).and_then(Result::ok).unwrap_or_default();
    for sibling in siblings.iter().filter(|sibling| is_ours(sibling.file_name()) && *sibling != group) {
        // Fails for those in use, as it should.
        let _ = fs::remove_dir(sibling);
    }
}

fn outside_of_our_groups(group: &Path) -> PathBuf {
    let mut outside = PathBuf::new();
    for component in group.components() {
        if is_ours(Some(component.as_os_str())) {
            break;
        }
        outside.push(component);
    }
    outside
}

fn is_ours(name: Option<&OsStr>) -> bool {
    name.is_some_and(|name| name.as_bytes().starts_with(GROUP_PREFIX.as_bytes()))
}

/// Any name becomes one path component; different names stay different.
fn safe_name(interface: &str) -> String {
    let mut safe = String::new();
    for byte in interface.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => safe.push(char::from(byte)),
            _ => {
                let _ = write!(safe, "%{byte:02x}");
            }
        }
    }
    if safe.len() > LONGEST_NAME {
        safe.truncate(LONGEST_NAME);
        let _ = write!(safe, ".{:016x}", fingerprint(interface.as_bytes()));
    }
    safe
}
