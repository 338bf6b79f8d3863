//! This program once more, in the background, by itself or by procd; and ending such a one.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, absolute};
use std::process::{Child, Command, Stdio};

use super::files::entries;

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
    Path::new(PROCD).exists()
}

/// By OpenWrt's means: procd starts the tracker and keeps it alive, or lets go of it. Whether that went well; `None`
/// without such a service. What it has to say a command says itself.
pub fn call_service(verb: &str) -> io::Result<Option<bool>> {
    if !is_procd_here() || !Path::new(INIT_SCRIPT).exists() {
        return Ok(None);
    }
    let mut command = Command::new(INIT_SCRIPT);
    command.arg(verb).stdin(Stdio::null()).stdout(Stdio::null());
    if verb == "start" {
        command.stderr(Stdio::null());
    }
    command.status().map(|status| Some(status.success()))
}

/// In a session of its own: no terminal's end ends it, and nobody waits for its output.
pub fn start(arguments: &[&str]) -> io::Result<Child> {
    keep_descriptors_here();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    for (name, path) in PATHS.iter().filter_map(|name| Some((name, std::env::var_os(name)?))) {
        let path = if path.is_empty() { path } else { OsString::from(absolute(path)?) };
        command.env(name, path);
    }
    // SAFETY: between fork and exec only async-signal-safe calls are made; setsid takes no pointers.
    unsafe { command.pre_exec(|| if libc::setsid() < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }) };
    command.spawn()
}

/// A lock that our caller's shell holds by a descriptor must end with that shell, not with what we start.
pub fn keep_descriptors_here() {
    for path in entries(Path::new("/proc/self/fd")).unwrap_or_default() {
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
        if let Some(fd) = number.and_then(|fd| libc::c_int::try_from(fd).ok()).filter(|fd| *fd > 2) {
            // SAFETY: fcntl with F_SETFD takes no pointers; a descriptor closed meanwhile is an error, no harm.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Told,
    /// Gone, or another program that was given the number since.
    NotOurs,
}

pub fn end(pid: u32, forcefully: bool) -> Ended {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let is_tracker = line.split(|byte| *byte == 0).any(|word| word == b"track");
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| is_tracker && *pid > 1) else {
        return Ended::NotOurs;
    };
    let signal = if forcefully { libc::SIGKILL } else { libc::SIGTERM };
    // SAFETY: kill takes no pointers.
    if unsafe { libc::kill(pid, signal) } == 0 { Ended::Told } else { Ended::NotOurs }
}
