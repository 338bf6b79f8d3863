//! What could not be done, in one line: what we were doing, and why that failed. Words are all that is kept of a
//! reason, and its error number: a type for every kind of error costs a table of functions each.

use std::fmt;
use std::io;

use super::bpf::LoadError;
use super::netlink::NetlinkError;
use super::ubus::UbusError;

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// One word wide: it goes through many hands.
#[derive(Debug)]
pub struct Failure(Box<Reason>);

#[derive(Debug)]
struct Reason {
    words: String,
    errno: Option<i32>,
}

impl Failure {
    #[cold]
    #[inline(never)]
    pub fn new(words: String, errno: Option<i32>) -> Failure {
        Failure(Box::new(Reason { words, errno }))
    }

    #[cold]
    #[inline(never)]
    fn while_doing(mut self, what: &str) -> Failure {
        self.0.words = format!("{what}: {}", self.0.words);
        self
    }

    /// Where it was the kernel that refused.
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.words)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::new(error.to_string(), error.raw_os_error())
    }
}

impl From<NetlinkError> for Failure {
    fn from(error: NetlinkError) -> Failure {
        Failure::new(error.to_string(), Some(error.errno))
    }
}

impl From<UbusError> for Failure {
    fn from(error: UbusError) -> Failure {
        Failure::new(error.to_string(), None)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Failure {
        Failure::new(error.to_string(), None)
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Failure {
        Failure::new(error.to_string(), None)
    }
}

/// Says what we were doing when it failed.
pub trait Context<T> {
    fn context(self, what: &str) -> Result<T>;

    fn with_context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Failure>> Context<T> for Result<T, E> {
    fn context(self, what: &str) -> Result<T> {
        self.map_err(|error| error.into().while_doing(what))
    }

    fn with_context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| error.into().while_doing(&what()))
    }
}

/// A failure in these words.
macro_rules! failure {
    ($($words:tt)*) => {
        crate::system::failure::Failure::new(format!($($words)*), None)
    };
}

/// Leaves the function with a failure in these words.
macro_rules! bail {
    ($($words:tt)*) => {
        return Err(crate::system::failure::failure!($($words)*))
    };
}

pub(crate) use {bail, failure};
