//! The tracker as seen by other commands: telling it, starting it in the background, ending it.

use std::time::Duration;

use crate::control::ask;
use crate::system::background::{self, Ended};
use crate::system::clock::{after, since_boot};
use crate::system::failure::{Context, Result, failure};
use crate::system::files::Directories;
use crate::system::logger as log;
use crate::system::poll::pause;

/// It answers within milliseconds, unless something holds the run directory's lock.
const PATIENCE: Duration = Duration::from_secs(7);
const STARTING_TIME: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
const ENDING_TIME: Duration = Duration::from_secs(3);
const STEP: Duration = Duration::from_millis(10);

/// False when none runs: then the caller has to do it.
pub(super) fn tell(directories: &Directories, request: &str) -> bool {
    match ask(&directories.control_socket(), request, PATIENCE) {
        Ok(None) => false,
        // Such as an interface that it does not know yet; the kernel is ours to change all the same.
        Ok(Some(answer)) if answer.get("error").is_some() => {
            log::debug!("the tracker refuses '{request}': {answer}");
            false
        }
        Ok(Some(_)) => true,
        // It ends just now, or hangs.
        Err(error) => {
            let is_late = error.kind() == std::io::ErrorKind::WouldBlock;
            let reason = if is_late { "it had its time".to_owned() } else { error.to_string() };
            complain!("mwan3: the tracker does not answer: {reason}");
            false
        }
    }
}

/// Where procd runs the service it owns the tracker; elsewhere it is left behind in the background.
pub(super) fn start_or_tell(directories: &Directories, request: &str) -> Result<()> {
    if tell(directories, request) {
        return Ok(());
    }
    if background::is_procd_here() {
        let has_started = background::call_service("start").context("cannot start the service")?;
        return if has_started == Some(false) { Err(failure!("the service did not start")) } else { Ok(()) };
    }
    let spawn = || background::start(&["track"]).context("cannot start the tracker");
    let mut child = spawn()?;
    let mut attempts = 1;
    let until = after(since_boot(), STARTING_TIME);
    while since_boot() < until {
        if let Some(status) = child.try_wait() {
            // Another one may have been quicker; or one that was just killed still held the lock.
            if directories.tracker_pid().is_none() {
                if attempts == ATTEMPTS {
                    return Err(failure!("the tracker did not start ({status}); 'mwan3 track' says why"));
                }
                pause(PAUSE);
                child = spawn()?;
                attempts += 1;
            }
        }
        if tell(directories, "stats") {
            return Ok(());
        }
        pause(STEP);
    }
    Err(failure!("the tracker does not answer"))
}

/// Asks it to end, and ends it if it does not.
pub(super) fn stop(directories: &Directories) -> Result<()> {
    let Some(pid) = directories.tracker_pid() else { return Ok(()) };
    let is_told = matches!(ask(&directories.control_socket(), "quit", ENDING_TIME), Ok(Some(_)));
    if is_told && is_gone(directories) {
        return Ok(());
    }
    // One that hangs is no reason not to stop.
    for forcefully in [false, true] {
        if background::end(pid, forcefully) == Ended::NotOurs || is_gone(directories) {
            return Ok(());
        }
    }
    Err(failure!("the tracker (process {pid}) does not end"))
}

fn is_gone(directories: &Directories) -> bool {
    let until = after(since_boot(), ENDING_TIME);
    while directories.tracker_pid().is_some() {
        if since_boot() >= until {
            return false;
        }
        pause(STEP);
    }
    true
}
