//! What is said on stdout and stderr, each text with as few calls as possible.

use std::fmt::{self, Write};
use std::io;

const STDOUT: libc::c_int = 1;
const STDERR: libc::c_int = 2;
/// A large report need not be in memory as a whole.
const ROOM: usize = 4096;

pub fn say(text: fmt::Arguments<'_>) -> io::Result<()> {
    Speech::on(STDOUT).finish(text)
}

/// Where nobody listens nobody can be told.
pub fn complain(text: fmt::Arguments<'_>) {
    let _ = Speech::on(STDERR).finish(text);
}

struct Speech {
    stream: libc::c_int,
    waiting: Vec<u8>,
    result: io::Result<()>,
}

impl Speech {
    fn on(stream: libc::c_int) -> Speech {
        Speech { stream, waiting: Vec::new(), result: Ok(()) }
    }

    fn finish(mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        let _ = self.write_fmt(text);
        self.send();
        self.result
    }

    fn send(&mut self) {
        let mut rest = &self.waiting[..];
        while self.result.is_ok() && !rest.is_empty() {
            // SAFETY: the pointer and length are those of a live slice.
            let written = unsafe { libc::write(self.stream, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    // Who closed it wants to hear nothing.
                    error if error.raw_os_error() == Some(libc::EBADF) => break,
                    error => self.result = Err(error),
                },
            }
        }
        self.waiting.clear();
    }
}

impl Write for Speech {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.waiting.extend_from_slice(text.as_bytes());
        if self.waiting.len() >= ROOM {
            self.send();
        }
        if self.result.is_ok() { Ok(()) } else { Err(fmt::Error) }
    }
}
