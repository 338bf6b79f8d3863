//! What is at a path: whether it is there and what it is, its bytes, what a directory holds. By the kernel's calls; what
//! the standard and the C library bring for the same is several times as large.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
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

/// What the kernel knows about a file, links followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    kind: u32,
    permissions: u32,
    pub inode: u64,
}

impl Found {
    pub fn is_file(self) -> bool {
        self.kind == libc::S_IFREG
    }
}

pub fn look_at(path: &Path) -> io::Result<Found> {
    status(libc::AT_FDCWD, path.as_os_str(), 0)
}

fn status(directory: libc::c_int, path: &OsStr, flags: libc::c_int) -> io::Result<Found> {
    let path = CString::new(path.as_bytes())?;
    // SAFETY: an all-zero statx is a valid value of that plain C struct.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let wanted = libc::STATX_TYPE | libc::STATX_MODE | libc::STATX_INO;
    // SAFETY: the path is terminated, and the last pointer is to a live, writable statx.
    let failed =
        unsafe { libc::syscall(libc::SYS_statx, directory, path.as_ptr(), flags, wanted, &raw mut found) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    let mode = u32::from(found.stx_mode);
    Ok(Found { kind: mode & libc::S_IFMT, permissions: mode & !libc::S_IFMT, inode: found.stx_ino })
}

pub fn exists(path: &Path) -> bool {
    look_at(path).is_ok()
}

pub fn is_file(path: &Path) -> bool {
    look_at(path).is_ok_and(Found::is_file)
}

pub fn is_executable(path: &Path) -> bool {
    look_at(path).is_ok_and(|found| found.is_file() && found.permissions & 0o111 != 0)
}

fn is_directory(path: &Path) -> bool {
    look_at(path).is_ok_and(|found| found.kind == libc::S_IFDIR)
}

pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_to_end(&mut File::open(path)?)
}

/// Of files only: a pipe or a device in the place of one would be read for ever.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !status(file.as_raw_fd(), OsStr::new(""), libc::AT_EMPTY_PATH)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    read_to_end(&mut file)
}

/// Empty where there is none, and where it is no text.
pub fn text_of(path: &Path) -> String {
    read_text(path).unwrap_or_default()
}

pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8"))
}

pub fn read_to_end(source: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    read_at_most(source, usize::MAX, &mut content)?;
    Ok(content)
}

/// What comes until the end, and no more than `most` of it. What came before an error is there.
pub fn read_at_most(source: &mut dyn Read, most: usize, content: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    while content.len() < most {
        let room = piece.len().min(most - content.len());
        match source.read(piece.get_mut(..room).unwrap_or_default()) {
            Ok(0) => break,
            Ok(length) => content.extend_from_slice(piece.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub fn executables_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(paths_of(folder, &names_in(folder)?, is_executable))
}

pub fn directories_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(paths_of(folder, &names_in(folder)?, is_directory))
}

fn paths_of(folder: &Path, names: &[OsString], is_wanted: fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for name in names {
        let path = folder.join(name);
        if is_wanted(&path) {
            paths.push(path);
        }
    }
    paths
}

/// Everything in it but itself and its parent, in the order of the names.
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
        let name = entry.get(NAME_AT..).unwrap_or_default();
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let name = name.get(..end).unwrap_or_default();
        if !matches!(name, b"" | b"." | b"..") {
            insert_in_order(names, OsStr::from_bytes(name).to_owned());
        }
        entries = rest;
    }
}

pub fn insert_in_order(texts: &mut Vec<OsString>, text: OsString) {
    let place = texts.partition_point(|other| other <= &text);
    texts.insert(place, text);
}

pub fn make_new_directory(path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is terminated.
    if unsafe { libc::mkdir(path.as_ptr(), 0o777) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// And those above it; where it is there already, or others make it meanwhile, all is well.
pub fn make_directory(path: &Path) -> io::Result<()> {
    let mut made = make_new_directory(path);
    if let (Err(error), Some(parent)) = (&made, path.parent())
        && error.kind() == io::ErrorKind::NotFound
    {
        make_directory(parent)?;
        made = make_new_directory(path);
    }
    if made.is_err() && is_directory(path) { Ok(()) } else { made }
}

/// With all that is in it; of a link only the link itself.
pub fn remove_all(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
        other => return other,
    }
    for name in names_in(directory)? {
        match remove_all(&directory.join(name)) {
            // Others write and remove here, too: what has gone meanwhile is no reason to leave the rest.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
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
