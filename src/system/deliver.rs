//! Delivering an alert: mail, web, scripts. All of it waits for others, so the tracker has a `Courier` do it, a
//! child that is ended when it takes too long.

mod courier;
mod mail;
mod web;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::alert::{Change, Message, News};
use crate::config::{Alert, AlertMethod};

pub use courier::Courier;

use super::files::write_atomically;
use super::hooks::PATH;
use super::launch::Launch;
use super::paths::{executables_in, is_executable, text_of};

/// For each step of a conversation with a server.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let name = text_of(Path::new("/proc/sys/kernel/hostname"));
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
    let mut scripts = executables_in(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // Most have neither of them.
    scripts.extend(executables_in(&own).unwrap_or_default());
    if is_executable(&own) {
        scripts.push(own);
    }
    let mut failures = Vec::new();
    for script in &scripts {
        if let Err(reason) = run_script(script, news) {
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
    let mut command = Launch::with_nothing(script.as_os_str());
    command.set("PATH", PATH.as_ref());
    command.set("ACTION", news.change.name().as_ref());
    command.set("INTERFACE", news.interface.as_ref());
    command.set("DEVICE", news.device.as_ref());
    command.set("REASON", news.reason.as_ref());
    command.set("OUTAGE", outage.as_ref());
    command.without_input();
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
fn run_with_input(program: &Path, words: &[&str], input: &str) -> Result<(), String> {
    let mut command = Launch::new(program.as_os_str());
    words.iter().for_each(|word| command.word(word));
    command.set("PATH", PATH.as_ref());
    let name = program.display();
    let (status, complaints) = command.feed(input.as_bytes()).map_err(|error| format!("{name}: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let complaints = String::from_utf8_lossy(&complaints);
    let complaint = complaints.lines().last().unwrap_or_default().trim();
    Err(format!("{name}: {status} {complaint}").trim_end().to_owned())
}
