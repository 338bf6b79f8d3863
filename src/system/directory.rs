//! What is in a directory, read from the kernel as it comes; and what a path means from where we are.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Of `struct linux_dirent64`: two numbers of 64 bits, the length of the entry, a kind; then the name up to a zero.
const LENGTH_AT: usize = 16;
const NAME_AT: usize = 19;

/// As the kernel aligns them.
#[repr(align(8))]
struct Entries([u8; 2048]);

/// Everything in it but itself and its parent, in no order.
pub fn names_in(directory: &Path) -> io::Result<Vec<OsString>> {
    let directory = File::options().read(true).custom_flags(libc::O_DIRECTORY).open(directory)?;
    let mut names = Vec::new();
    loop {
        let mut entries = Entries([0; 2048]);
        let room = entries.0.len();
        // SAFETY: the pointer and length are those of a live, writable array.
        let length = unsafe {
            libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), entries.0.as_mut_ptr(), room)
        };
        match usize::try_from(length) {
            Ok(0) => return Ok(names),
            Ok(length) => add_names(entries.0.get(..length).unwrap_or_default(), &mut names),
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
}

fn add_names(mut entries: &[u8], names: &mut Vec<OsString>) {
    while let Some(length) = entries.get(LENGTH_AT..).and_then(|rest| rest.first_chunk()) {
        let length = usize::from(u16::from_ne_bytes(*length));
        let Some((entry, rest)) = entries.split_at_checked(length.max(NAME_AT)) else { return };
        let name =
            entry.get(NAME_AT..).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
        if !matches!(name, b"" | b"." | b"..") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
        entries = rest;
    }
}

/// With all that is in it; of a link only the link itself.
pub fn remove_all(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
        other => return other,
    }
    for name in names_in(directory)? {
        remove_all(&directory.join(name))?;
    }
    fs::remove_dir(directory)
}

/// From the root on, without looking whether it is there.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let start = if path.is_absolute() { PathBuf::new() } else { fs::read_link("/proc/self/cwd")? };
    Ok(start.join(path).components().collect())
}
