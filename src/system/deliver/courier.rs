//! A child that delivers one message while the tracker goes on. It is a fork without exec: nothing has to be
//! handed over or read again, and the tracker has one thread only.

use std::io;
use std::time::Duration;

use crate::alert::{Message, News};
use crate::config::Alert;
use crate::system::poll::unblock_all_signals;

/// Mail servers may take their time; nobody waits for them.
const TIME_LIMIT: Duration = Duration::from_secs(90);

#[derive(Debug)]
pub struct Courier {
    pid: libc::pid_t,
    until: Duration,
}

impl Courier {
    pub fn send(alert: &Alert, message: &Message, news: &[News], now: Duration) -> io::Result<Courier> {
        // SAFETY: this process has one thread, so the child may go on as a normal program.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                become_independent();
                let failures = super::deliver(alert, message, news);
                failures.iter().for_each(|failure| log::warn!("alert {}: {failure}", alert.name));
                // SAFETY: ends the child at once; nothing of the tracker's is flushed or dropped twice.
                unsafe { libc::_exit(i32::from(!failures.is_empty())) }
            }
            pid => Ok(Courier { pid, until: now.saturating_add(TIME_LIMIT) }),
        }
    }

    /// Whether it delivered; None while it is on its way.
    pub fn outcome(&mut self, now: Duration) -> Option<bool> {
        let mut status = 0;
        // SAFETY: the pointer is to a live int; the pid is our own child's, which was not waited for yet.
        let ended = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) };
        match ended {
            0 if now < self.until => None,
            0 => {
                self.end();
                Some(false)
            }
            _ => Some(ended == self.pid && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0),
        }
    }

    pub fn deadline(&self) -> Duration {
        self.until
    }

    fn end(&self) {
        // SAFETY: kill and waitpid take no pointers but null; the group is our own child's.
        unsafe {
            libc::kill(-self.pid, libc::SIGKILL);
            libc::kill(self.pid, libc::SIGKILL);
            libc::waitpid(self.pid, std::ptr::null_mut(), 0);
        }
    }
}

/// A group of its own, so that its scripts end with it; and none of the tracker's locks and sockets.
fn become_independent() {
    const FIRST_OF_THE_TRACKER: libc::c_uint = 3;
    // SAFETY: no pointers are passed. Nothing below uses a descriptor that was open before the fork but the
    // standard ones; the logger does without its socket, as it does where there is no daemon.
    unsafe {
        libc::setpgid(0, 0);
        libc::syscall(libc::SYS_close_range, FIRST_OF_THE_TRACKER, libc::c_uint::MAX, 0);
    }
    let _ = unblock_all_signals();
}
