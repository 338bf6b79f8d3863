//! Why a command or the tracker could not do something, as one line: what it was doing, and why that failed.
//! The line is written where the failure arises: nothing but text, and whether more rights would have helped.

use std::fmt;
use std::io;

/// A failure in the words of `format!`.
macro_rules! failure {
    ($($text:tt)*) => { $crate::system::failure::Failure::new(format_args!($($text)*)) };
}

pub(crate) use failure;

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A word wide, so that results stay small.
#[derive(Debug)]
pub struct Failure(Box<Reason>);

#[derive(Debug)]
struct Reason {
    text: String,
    lacks_rights: bool,
}

impl Failure {
    pub fn new(text: fmt::Arguments<'_>) -> Failure {
        Failure::with_errno(text, None)
    }

    pub fn with_errno(text: fmt::Arguments<'_>, errno: Option<i32>) -> Failure {
        let lacks_rights = matches!(errno, Some(libc::EPERM | libc::EACCES));
        Failure(Box::new(Reason { text: text.to_string(), lacks_rights }))
    }

    /// Whether the kernel refused because we are not root.
    pub fn lacks_rights(&self) -> bool {
        self.0.lacks_rights
    }

    fn while_doing(mut self, what: &str) -> Failure {
        self.0.text = format!("{what}: {}", self.0.text);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::with_errno(format_args!("{error}"), error.raw_os_error())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        failure!("{error}")
    }
}

/// Says what we were doing.
pub trait Context<T> {
    fn context(self, what: &str) -> Result<T>;
    fn with_context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Failure>> Context<T> for std::result::Result<T, E> {
    fn context(self, what: &str) -> Result<T> {
        self.map_err(|error| error.into().while_doing(what))
    }

    fn with_context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().while_doing(&what()))
    }
}
