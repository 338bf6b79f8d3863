//! Delivering an alert: mail, web, scripts. All of it waits for others, so the tracker has a `Courier` do it, a
//! child that is ended when it takes too long.

mod courier;
mod mail;
mod web;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::alert::{Change, Message, News};
use crate::config::{Alert, AlertMethod};

pub use courier::Courier;

use super::files::{entries, write_atomically};
use super::hooks::is_executable;

/// For each step of a conversation with a server.
const PATIENCE: Duration = Duration::from_secs(10);
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The failures, one for each address or script; empty when all is well.
pub fn deliver(alert: &Alert, message: &Message, news: &[News]) -> Vec<String> {
    let mut failures = Vec::new();
    match &alert.method {
        AlertMethod::Mail { from, server } => {
            failures.extend(mail::send(&alert.to, from.as_deref(), server.as_deref(), message).err());
        }
        AlertMethod::Webhook => {
            let json = message.json.to_string();
            for url in &alert.to {
                failures.extend(web::post(url, &json).err());
            }
        }
        AlertMethod::Scripts => {
            for folder in &alert.to {
                for one in news {
                    failures.extend(run_scripts(Path::new(folder), one).err());
                }
            }
        }
        // The tracker keeps it, from the state of all uplinks.
        AlertMethod::StatusFile => {}
    }
    failures
}

pub fn write_status_file(path: &str, text: &str) -> Result<(), String> {
    write_atomically(Path::new(path), text).map_err(|error| format!("{path}: {error}"))
}

pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() || name == "(none)" { "router".to_owned() } else { name.to_owned() }
}

/// What a wall clock says: a router without one may be wrong until it has asked a time server.
pub fn unix_time_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The executable files of the folder in the order of their names, then `INTERFACE/up` or `INTERFACE/down`: a file,
/// or a folder of such files.
fn run_scripts(folder: &Path, news: &News) -> Result<(), String> {
    let direction = if news.change == Change::Disconnected { "down" } else { "up" };
    let own = folder.join(&news.interface).join(direction);
    let mut scripts = entries(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // Most have neither of them.
    scripts.extend(entries(&own).unwrap_or_default());
    scripts.push(own);
    let mut failures = Vec::new();
    for script in scripts {
        if is_executable(&script)
            && let Err(reason) = run_script(&script, news)
        {
            failures.push(format!("{}: {reason}", script.display()));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

fn run_script(script: &Path, news: &News) -> Result<(), String> {
    let outage = match news.change {
        Change::Connected(Some(outage)) => outage.as_secs().to_string(),
        _ => String::new(),
    };
    let mut command = Command::new(script);
    command.env_clear().env("PATH", PATH).stdin(Stdio::null());
    command.env("ACTION", news.change.name()).env("INTERFACE", &news.interface).env("DEVICE", &news.device);
    command.env("REASON", &news.reason).env("OUTAGE", outage);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cold]
#[inline(never)]
fn words(error: std::io::Error) -> String {
    error.to_string()
}

/// The first of these programs that is installed.
fn installed(names: &[&'static str]) -> Option<(&'static str, PathBuf)> {
    for name in names {
        for folder in PATH.split(':') {
            let path = Path::new(folder).join(name);
            if is_executable(&path) {
                return Some((*name, path));
            }
        }
    }
    None
}

/// Hands `input` to a program; what it complains of is the error.
fn run_with_input(command: &mut Command, input: &str) -> Result<(), String> {
    use std::io::Write;

    command.env("PATH", PATH).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that stops reading tells why below.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let complaint = complaint.lines().last().unwrap_or_default().trim();
    Err(format!("{name}: {} {complaint}", output.status).trim_end().to_owned())
}
