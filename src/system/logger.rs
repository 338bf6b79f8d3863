//! Log lines to syslog's socket: unconnected, so that a restarted daemon is found again, and nonblocking,
//! so that a stuck one costs nothing. Warnings also go to stderr when a person is likely to read it.

use std::io::Write;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicI32, Ordering};

use super::process::variable;

const SOCKET: &str = "/dev/log";
/// What logd keeps of a line.
const LONGEST: usize = 1024;
/// Facility user, as `logger -p` has it.
const FACILITY: u32 = 1;

struct Syslog {
    socket: Option<UnixDatagram>,
}

/// For a child that closes what it does not need, and may still have something to say.
static DESCRIPTOR: AtomicI32 = AtomicI32::new(-1);

/// `MWAN3_LOG` (error, warn, info, debug, off) sets the level; info by default.
pub fn init() {
    let level = variable("MWAN3_LOG").and_then(|text| text.to_str()?.parse().ok());
    let socket = UnixDatagram::unbound().ok().filter(|socket| socket.set_nonblocking(true).is_ok());
    DESCRIPTOR.store(socket.as_ref().map_or(-1, AsRawFd::as_raw_fd), Ordering::Relaxed);
    if log::set_boxed_logger(Box::new(Syslog { socket })).is_ok() {
        log::set_max_level(level.unwrap_or(log::LevelFilter::Info));
    }
}

/// Of the way to the system's log; below 0 where there is none.
pub fn descriptor() -> RawFd {
    DESCRIPTOR.load(Ordering::Relaxed)
}

impl log::Log for Syslog {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let severity = match record.level() {
            log::Level::Error => 3,
            log::Level::Warn => 4,
            // What the shell package logs as notice.
            log::Level::Info => 5,
            log::Level::Debug | log::Level::Trace => 7,
        };
        let tag = if record.target().starts_with("mwan3-") || record.target() == "mwan3track" {
            record.target()
        } else {
            "mwan3"
        };
        let mut line =
            format!("<{}>{tag}[{}]: {}", FACILITY << 3 | severity, std::process::id(), record.args());
        let mut end = line.len().min(LONGEST);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        let is_sent =
            self.socket.as_ref().is_some_and(|socket| socket.send_to(line.as_bytes(), SOCKET).is_ok());
        if !is_sent && record.level() <= log::Level::Warn {
            let _ = writeln!(std::io::stderr(), "{tag}: {}", record.args());
        }
    }

    fn flush(&self) {}
}
