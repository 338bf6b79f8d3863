//! What execve wants: the paths where a program may be, its words and its environment, as the kernel reads them.

use std::ffi::{CString, OsStr, OsString, c_char};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::system::paths::is_executable;

/// Where the C library looks without one.
const USUAL_PATH: &[u8] = b"/usr/local/bin:/bin:/usr/bin";

pub(super) struct Image {
    paths: Vec<CString>,
    words: Texts,
    environment: Texts,
}

/// Texts, and the pointers to them with a null behind.
struct Texts {
    _held: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Image {
    pub(super) fn new(words: &[OsString], environment: &[OsString]) -> io::Result<Image> {
        let program = words.first().map(OsString::as_os_str).unwrap_or_default();
        let mut paths = Vec::new();
        if program.is_empty() || program.as_bytes().contains(&b'/') {
            paths.push(terminated(program.to_owned())?);
        } else {
            let path = environment.iter().find_map(|entry| entry.as_bytes().strip_prefix(b"PATH="));
            for folder in path.unwrap_or(USUAL_PATH).split(|byte| *byte == b':') {
                paths.push(terminated(Path::new(OsStr::from_bytes(folder)).join(program).into())?);
            }
        }
        Ok(Image { paths, words: Texts::new(words)?, environment: Texts::new(environment)? })
    }

    /// Returns only where that failed. Takes no memory: it is for a child between fork and exec, too.
    pub(super) fn execute(&self) -> io::Error {
        // SAFETY: no pointers are passed. We ignore it; other programs count on being ended by it.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let mut reason = libc::ENOENT;
        for path in &self.paths {
            // SAFETY: the path is terminated; both lists end with a null, and all they point to lives in here.
            unsafe {
                libc::execve(path.as_ptr(), self.words.pointers.as_ptr(), self.environment.pointers.as_ptr())
            };
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                // It may be in another folder; that it is refused in one is worth more than that it is in none.
                Some(libc::EACCES) => reason = libc::EACCES,
                Some(libc::ENOENT | libc::ENOTDIR) if self.paths.len() > 1 => {}
                _ => return error,
            }
        }
        io::Error::from_raw_os_error(reason)
    }

    /// The first of the paths where something executable is.
    pub(super) fn found(&self) -> &Path {
        let mut paths = self.paths.iter().map(|path| Path::new(OsStr::from_bytes(path.to_bytes())));
        paths.find(|path| is_executable(path)).unwrap_or(Path::new(""))
    }
}

impl Texts {
    fn new(texts: &[OsString]) -> io::Result<Texts> {
        let mut held = Vec::new();
        let mut pointers = Vec::new();
        for text in texts {
            let text = terminated(text.clone())?;
            pointers.push(text.as_ptr());
            held.push(text);
        }
        pointers.push(std::ptr::null());
        Ok(Texts { _held: held, pointers })
    }
}

fn terminated(text: OsString) -> io::Result<CString> {
    CString::new(text.into_vec()).map_err(io::Error::from)
}
