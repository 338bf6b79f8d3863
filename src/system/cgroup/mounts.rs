//! Finds the cgroup v2 tree, wherever this host has it mounted, or mounts it for ourselves alone.

use super::super::failure::{self, failure};
use std::ffi::{CStr, OsString, c_long};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use crate::system::paths::read;
const FSOPEN_CLOEXEC: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const FSMOUNT_CLOEXEC: u32 = 1;

#[derive(Debug)]
pub struct Hierarchy {
    mount: Mount,
    /// A mount that no directory shows lives as long as its descriptor.
    _private: Option<OwnedFd>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// The group that is seen at the mount point: in a container not always the root.
    top: PathBuf,
    point: PathBuf,
}

impl Hierarchy {
    pub fn open() -> failure::Result<Hierarchy> {
        if let Some(hierarchy) = Hierarchy::mounted() {
            return Ok(hierarchy);
        }
        // Not beside a mount that we can use: a second one in the host's own cgroup namespace would reset the
        // options of the first.
        let private = mount_privately().map_err(|error| {
            failure!(
                "no cgroup v2 tree is mounted here, and mounting one failed: {error} (the kernel needs \
                 CONFIG_CGROUPS and CONFIG_CGROUP_BPF; then: mount -t cgroup2 none /sys/fs/cgroup)"
            )
        })?;
        let point = PathBuf::from(format!("/proc/self/fd/{}", private.as_raw_fd()));
        Ok(Hierarchy { mount: Mount { top: PathBuf::from("/"), point }, _private: Some(private) })
    }

    /// `None` where nobody, with or without a mount, can have made a group.
    pub fn in_use() -> Option<Hierarchy> {
        let groups = read(Path::new("/proc/self/cgroup")).ok()?;
        let is_known = groups.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"0::"));
        is_known.then(Hierarchy::open)?.ok()
    }

    fn mounted() -> Option<Hierarchy> {
        let table = read(Path::new("/proc/self/mountinfo")).ok()?;
        let mount = table.split(|byte| *byte == b'\n').find_map(read_mount)?;
        Some(Hierarchy { mount, _private: None })
    }

    pub fn root(&self) -> &Path {
        &self.mount.point
    }

    /// Where the group is that /proc calls `path`.
    pub fn directory_of(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.mount.top).ok()?;
        let is_inside = below.components().all(|component| matches!(component, Component::Normal(_)));
        is_inside.then(|| self.mount.point.join(below))
    }
}

/// A line of mountinfo: id, parent, device, root, mount point, options, optional fields, "-", type, …
fn read_mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let top = unescape(fields.nth(3)?);
    let point = unescape(fields.next()?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    // In a container that still shows the host's mount, our own group may be on no path below it.
    let is_outside = top.components().any(|component| component == Component::ParentDir);
    (kind == b"cgroup2" && !is_outside).then_some(Mount { top, point })
}

/// Blanks and backslashes are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', more @ ..] if *first == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = more;
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(plain))
}

/// The tree is the kernel's: groups made through this mount outlive it.
fn mount_privately() -> io::Result<OwnedFd> {
    let context = new_descriptor(|| {
        let kind: &CStr = c"cgroup2";
        // SAFETY: fsopen(2) reads the string, which is static.
        unsafe { libc::syscall(libc::SYS_fsopen as c_long, kind.as_ptr(), FSOPEN_CLOEXEC) }
    })?;
    let nothing = std::ptr::null::<libc::c_char>();
    // SAFETY: fsconfig(2) takes no key, value or auxiliary number for this command.
    let result = unsafe {
        libc::syscall(
            libc::SYS_fsconfig as c_long,
            context.as_raw_fd(),
            FSCONFIG_CMD_CREATE,
            nothing,
            nothing,
            0,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fsmount(2) takes numbers only.
    new_descriptor(|| unsafe {
        libc::syscall(libc::SYS_fsmount as c_long, context.as_raw_fd(), FSMOUNT_CLOEXEC, 0)
    })
}

fn new_descriptor(call: impl FnOnce() -> c_long) -> io::Result<OwnedFd> {
    let fd = call();
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system call succeeded, so this is a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
