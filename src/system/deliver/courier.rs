//! A child that delivers one message while the tracker goes on. It is a fork without exec: nothing has to be
//! handed over or read again, and the tracker has one thread only.

use std::io;
use std::time::Duration;

use crate::alert::{Message, News};
use crate::config::Alert;
use crate::system::launch::{Child, fork};
use crate::system::logger;
use crate::system::logger as log;
use crate::system::poll::unblock_all_signals;

/// Mail servers may take their time; nobody waits for them.
const TIME_LIMIT: Duration = Duration::from_secs(90);

#[derive(Debug)]
pub struct Courier {
    child: Child,
    until: Duration,
}

impl Courier {
    pub fn send(alert: &Alert, message: &Message, news: &[News], now: Duration) -> io::Result<Courier> {
        if let Some(child) = fork()? {
            return Ok(Courier { child, until: now.saturating_add(TIME_LIMIT) });
        }
        become_independent();
        let failures = super::deliver(alert, message, news);
        failures.iter().for_each(|failure| log::warn!("alert {}: {failure}", alert.name));
        // SAFETY: ends the child at once; nothing of the tracker's is flushed or dropped twice.
        unsafe { libc::_exit(i32::from(!failures.is_empty())) }
    }

    /// Whether it delivered; None while it is on its way.
    pub fn outcome(&mut self, now: Duration) -> Option<bool> {
        match self.child.try_wait() {
            None if now < self.until => None,
            None => {
                self.end();
                Some(false)
            }
            Some(status) => Some(status.success()),
        }
    }

    pub fn deadline(&self) -> Duration {
        self.until
    }

    fn end(&mut self) {
        self.child.kill_group();
        self.child.kill();
        self.child.wait();
    }
}

/// It does not go on without the tracker.
impl Drop for Courier {
    fn drop(&mut self) {
        self.end();
    }
}

/// A group of its own, so that its scripts end with it; and none of the tracker's locks and sockets.
fn become_independent() {
    const FIRST_OF_THE_TRACKER: libc::c_uint = 3;
    let kept = libc::c_uint::try_from(logger::descriptor()).unwrap_or(FIRST_OF_THE_TRACKER - 1);
    // SAFETY: no pointers are passed. Nothing below uses a descriptor that was open before the fork but the
    // standard ones and the logger's.
    unsafe {
        libc::setpgid(0, 0);
        if kept > FIRST_OF_THE_TRACKER {
            libc::syscall(libc::SYS_close_range, FIRST_OF_THE_TRACKER, kept - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, kept + 1, libc::c_uint::MAX, 0);
    }
    let _ = unblock_all_signals();
}
