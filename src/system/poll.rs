//! Waiting for descriptors, and signals as a descriptor.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::health::whole_ms;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Readable,
    Writable,
    /// The other side is gone, which is told in any case.
    HungUp,
}

/// Waits until something is ready or the time is over, and gives what is. An interruption is an early end.
pub fn wait(watched: &[(RawFd, Until)], timeout: Option<Duration>) -> io::Result<Vec<RawFd>> {
    let mut entries: Vec<libc::pollfd> = Vec::new();
    for (fd, until) in watched {
        let events = match until {
            Until::Readable => libc::POLLIN,
            Until::Writable => libc::POLLOUT,
            Until::HungUp => 0,
        };
        entries.push(libc::pollfd { fd: *fd, events, revents: 0 });
    }
    // Rounded up: waking before the deadline would mean asking again and again until it has come.
    let timeout_ms = timeout.map_or(-1, |time| {
        i32::try_from(whole_ms(time).saturating_add(u64::from(!time.is_zero()))).unwrap_or(i32::MAX)
    });
    // SAFETY: the pointer and count are those of a live vector of pollfd.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, timeout_ms) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        return if error.kind() == io::ErrorKind::Interrupted { Ok(Vec::new()) } else { Err(error) };
    }
    let mut ready = Vec::new();
    for entry in entries {
        if entry.revents != 0 {
            ready.push(entry.fd);
        }
    }
    Ok(ready)
}

/// An interruption is an early end.
pub fn pause(time: Duration) {
    let _ = wait(&[], Some(time));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Terminate,
    Reload,
    ChildEnded,
    /// The terminal has another size.
    Resized,
}

const SIGNALS: [(libc::c_int, Signal); 5] = [
    (libc::SIGTERM, Signal::Terminate),
    (libc::SIGINT, Signal::Terminate),
    (libc::SIGHUP, Signal::Reload),
    (libc::SIGCHLD, Signal::ChildEnded),
    (libc::SIGWINCH, Signal::Resized),
];

#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// From here on the signals no longer interrupt anything: they are read. Children must unblock them.
    pub fn take_over() -> io::Result<Signals> {
        let set = signal_set();
        // SAFETY: the set is initialised; no old mask is asked for.
        if unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: -1 asks for a new descriptor; the set is initialised.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: fd was just made by signalfd and nobody else owns it.
        Ok(Signals { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    pub fn take(&self) -> Vec<Signal> {
        let mut found = Vec::new();
        loop {
            // SAFETY: an all-zero signalfd_siginfo is a valid value of that plain C struct.
            let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
            let size = size_of::<libc::signalfd_siginfo>();
            // SAFETY: the pointer and size are those of a live, writable struct.
            let length = unsafe { libc::read(self.raw_fd(), (&raw mut info).cast(), size) };
            if usize::try_from(length) != Ok(size) {
                return found;
            }
            let number = info.ssi_signo as libc::c_int;
            found.extend(SIGNALS.iter().filter(|(signal, _)| *signal == number).map(|(_, signal)| *signal));
        }
    }
}

fn signal_set() -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set before it is used; sigaddset takes valid signal numbers.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for (signal, _) in SIGNALS {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// For a child between fork and exec: signals work again there. Async-signal-safe.
pub fn unblock_all_signals() -> io::Result<()> {
    // SAFETY: the set is initialised by sigemptyset; no old mask is asked for.
    let failed = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
