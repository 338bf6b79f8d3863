//! Log lines to syslog's socket: unconnected, so that a restarted daemon is found again, and nonblocking,
//! so that a stuck one costs nothing. Warnings also go to stderr when a person is likely to read it.

use std::fmt;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use super::terminal;

use super::process::variable;

const SOCKET: &str = "/dev/log";
/// What logd keeps of a line.
const LONGEST: usize = 1024;
/// Facility user, as `logger -p` has it.
const FACILITY: u8 = 1 << 3;

/// As syslog numbers them. `Info` is what the shell package logs as notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error = 3,
    Warn = 4,
    Info = 5,
    Debug = 7,
}

const LEVELS: [(&str, u8); 6] = [
    ("off", 0),
    ("error", Level::Error as u8),
    ("warn", Level::Warn as u8),
    ("info", Level::Info as u8),
    ("debug", Level::Debug as u8),
    ("trace", Level::Debug as u8),
];

/// The last that is logged; nothing is before `init`.
static LAST: AtomicU8 = AtomicU8::new(0);

/// For a child that closes what it does not need, and may still have something to say, too.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);

/// `MWAN3_LOG` (error, warn, info, debug, off) sets the level; info by default.
pub fn init() {
    let wanted = variable("MWAN3_LOG").unwrap_or_default();
    let level = LEVELS.iter().find(|(name, _)| wanted.eq_ignore_ascii_case(name));
    if let Ok(socket) = UnixDatagram::unbound()
        && socket.set_nonblocking(true).is_ok()
    {
        DESCRIPTOR.store(socket.into_raw_fd(), Ordering::Relaxed);
    }
    LAST.store(level.map_or(Level::Info as u8, |(_, level)| *level), Ordering::Relaxed);
}

/// Of the way to the system's log; below 0 where there is none.
pub fn descriptor() -> RawFd {
    DESCRIPTOR.load(Ordering::Relaxed)
}

/// By the macros below.
pub fn log(level: Level, text: fmt::Arguments<'_>) {
    log_as("mwan3", level, text);
}

/// Under another name than the program's: people's filters look for it.
pub fn log_as(tag: &str, level: Level, text: fmt::Arguments<'_>) {
    if level as u8 > LAST.load(Ordering::Relaxed) {
        return;
    }
    let mut line = format!("<{}>{tag}[{}]: {text}", FACILITY | level as u8, std::process::id());
    let mut end = line.len().min(LONGEST);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    if !is_sent(&line) && level <= Level::Warn {
        terminal::complain(format_args!("{tag}: {text}"));
    }
}

fn is_sent(line: &str) -> bool {
    let fd = descriptor();
    if fd < 0 {
        return false;
    }
    // SAFETY: `init` has given the socket away to us; it is never closed.
    let socket = ManuallyDrop::new(unsafe { UnixDatagram::from_raw_fd(fd) });
    socket.send_to(line.as_bytes(), SOCKET).is_ok()
}

macro_rules! error {
    ($($text:tt)*) => { $crate::system::logger::log($crate::system::logger::Level::Error, format_args!($($text)*)) };
}

macro_rules! warning {
    ($($text:tt)*) => { $crate::system::logger::log($crate::system::logger::Level::Warn, format_args!($($text)*)) };
}

macro_rules! info {
    ($($text:tt)*) => { $crate::system::logger::log($crate::system::logger::Level::Info, format_args!($($text)*)) };
}

macro_rules! debug {
    ($($text:tt)*) => { $crate::system::logger::log($crate::system::logger::Level::Debug, format_args!($($text)*)) };
}

pub(crate) use {debug, error, info, warning as warn};
