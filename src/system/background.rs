//! This program once more, in the background, by itself or by procd; and ending such a one.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use super::launch::{Child, Launch};
use super::paths::{absolute, exists, names_in, read};
use super::process::variable;

const PROCD: &str = "/sbin/procd";
const INIT_SCRIPT: &str = "/etc/init.d/mwan3";
/// These name paths, and the one in the background works in `/`.
const PATHS: [&str; 6] = [
    "UCI_CONFIG_DIR",
    "UCI_DELTA_DIR",
    "MWAN3_RUN_DIR",
    "MWAN3_HOTPLUG_CALL",
    "MWAN3_USER_SCRIPT",
    "MWAN3_HOOK_DIR",
];

pub fn is_procd_here() -> bool {
    exists(Path::new(PROCD))
}

/// By OpenWrt's means: procd starts the tracker and keeps it alive, or lets go of it. Whether that went well; `None`
/// without such a service. What it has to say a command says itself.
pub fn call_service(verb: &str) -> io::Result<Option<bool>> {
    if !is_procd_here() || !exists(Path::new(INIT_SCRIPT)) {
        return Ok(None);
    }
    let mut script = Launch::new(OsStr::new(INIT_SCRIPT));
    script.word(verb);
    script.without_input();
    script.without_output();
    if verb == "start" {
        script.without_complaints();
    }
    script.status().map(|status| Some(status.success()))
}

/// In a session of its own: no terminal's end ends it, and nobody waits for its output.
pub fn start(arguments: &[&str]) -> io::Result<Child> {
    keep_descriptors_here();
    let mut tracker = Launch::new(std::env::current_exe()?.as_os_str());
    arguments.iter().for_each(|word| tracker.word(word));
    for name in PATHS {
        if let Some(path) = variable(name).filter(|path| !path.is_empty()) {
            tracker.set(name, absolute(Path::new(&path))?.as_os_str());
        }
    }
    tracker.without_input();
    tracker.without_output();
    tracker.without_complaints();
    tracker.in_own_session();
    tracker.spawn()
}

/// A lock that our caller's shell holds by a descriptor must end with that shell, not with what we start.
pub fn keep_descriptors_here() {
    for name in names_in(Path::new("/proc/self/fd")).unwrap_or_default() {
        let number: Option<u32> = name.to_str().and_then(|name| name.parse().ok());
        let fd = number.and_then(|fd| libc::c_int::try_from(fd).ok()).filter(|fd| *fd > 2);
        let Some(fd) = fd else { continue };
        // SAFETY: fcntl with F_SETFD takes no pointers; a descriptor closed meanwhile is an error, no harm.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Told,
    /// Gone, or another program that was given the number since.
    NotOurs,
}

pub fn end(pid: u32, forcefully: bool) -> Ended {
    let line = read(Path::new(&format!("/proc/{pid}/cmdline"))).unwrap_or_default();
    let is_tracker = line.split(|byte| *byte == 0).any(|word| word == b"track");
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| is_tracker && *pid > 1) else {
        return Ended::NotOurs;
    };
    let signal = if forcefully { libc::SIGKILL } else { libc::SIGTERM };
    // SAFETY: kill takes no pointers.
    if unsafe { libc::kill(pid, signal) } == 0 { Ended::Told } else { Ended::NotOurs }
}
