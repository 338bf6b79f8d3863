//! Starting other programs. This one has a single thread and few bytes to spare, so it forks and executes by itself:
//! whatever needs memory is made before the fork.

mod image;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use super::paths::{insert_in_order, read_to_end};
use super::poll::unblock_all_signals;
use super::process::environment;
use image::Image;

/// What a shell says of what cannot be executed. The reason is told by a pipe.
const NOT_EXECUTED: libc::c_int = 127;
const SHELL: &str = "/bin/sh";

#[derive(Debug)]
enum Stream {
    Ours,
    /// Nothing to read, and nobody listens.
    Nowhere,
    Given(OwnedFd),
}

#[derive(Debug, PartialEq, Eq)]
enum Group {
    Ours,
    Own,
    /// A session of its own besides, which works in `/`.
    OwnSession,
}

/// A program to start, with our environment and streams unless told otherwise. A name without a slash is looked for
/// in the PATH of that environment.
#[derive(Debug)]
pub struct Launch {
    words: Vec<OsString>,
    /// `NAME=value`.
    environment: Vec<OsString>,
    input: Stream,
    output: Stream,
    complaints: Stream,
    group: Group,
}

impl Launch {
    pub fn new(program: &OsStr) -> Launch {
        let mut launch = Launch::with_nothing(program);
        launch.environment.extend(environment().map(OsStr::to_owned));
        launch
    }

    /// Nothing in its environment.
    pub fn with_nothing(program: &OsStr) -> Launch {
        Launch {
            words: vec![program.to_owned()],
            environment: Vec::new(),
            input: Stream::Ours,
            output: Stream::Ours,
            complaints: Stream::Ours,
            group: Group::Ours,
        }
    }

    pub fn program(&self) -> String {
        self.words.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub fn word(&mut self, word: &str) {
        self.words.push(word.into());
    }

    pub fn words(&mut self, words: &[OsString]) {
        self.words.extend_from_slice(words);
    }

    pub fn set(&mut self, name: &str, value: &OsStr) {
        let mut entry = OsString::from(name);
        entry.push("=");
        entry.push(value);
        let start = entry.as_bytes().get(..=name.len()).unwrap_or_default();
        self.environment.retain(|held| !held.as_bytes().starts_with(start));
        // The order is nobody's business, but it shall be the same each time.
        insert_in_order(&mut self.environment, entry);
    }

    pub fn without_input(&mut self) {
        self.input = Stream::Nowhere;
    }

    pub fn without_output(&mut self) {
        self.output = Stream::Nowhere;
    }

    pub fn without_complaints(&mut self) {
        self.complaints = Stream::Nowhere;
    }

    pub fn in_own_group(&mut self) {
        self.group = Group::Own;
    }

    /// No terminal's end ends it, and it keeps no file system busy.
    pub fn in_own_session(&mut self) {
        self.group = Group::OwnSession;
    }

    pub fn spawn(&self) -> io::Result<Child> {
        let image = Image::new(&self.words, &self.environment)?;
        let nowhere = File::options().read(true).write(true).open("/dev/null")?;
        let streams = [&self.input, &self.output, &self.complaints].map(|stream| match stream {
            Stream::Ours => None,
            Stream::Nowhere => Some(nowhere.as_raw_fd()),
            Stream::Given(descriptor) => Some(descriptor.as_raw_fd()),
        });
        // Its end is closed by the new program, so there is something to read only where that was not reached.
        let (mut reason, mut teller) = pipe()?;
        let Some(mut child) = fork()? else {
            let error = self.become_image(&image, &streams);
            let _ = teller.write(&error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes());
            // SAFETY: ends the child at once; nothing of ours is flushed or dropped twice.
            unsafe { libc::_exit(NOT_EXECUTED) }
        };
        drop(teller);
        let mut code = [0; size_of::<libc::c_int>()];
        if reason.read_exact(&mut code).is_err() {
            return Ok(child);
        }
        child.wait();
        Err(io::Error::from_raw_os_error(libc::c_int::from_ne_bytes(code)))
    }

    /// Waits for its end.
    pub fn status(&self) -> io::Result<ExitStatus> {
        Ok(self.spawn()?.wait())
    }

    /// Gives it something to read; how it ended, and what it complained of.
    pub fn feed(mut self, input: &[u8]) -> io::Result<(ExitStatus, Vec<u8>)> {
        let (stdin, mut feeder) = pipe()?;
        let (mut listener, stderr) = pipe()?;
        self.input = Stream::Given(stdin.into());
        self.output = Stream::Nowhere;
        self.complaints = Stream::Given(stderr.into());
        let mut child = self.spawn()?;
        // What we hold of its ends would keep them open.
        drop(self);
        // A program that stops reading tells why below.
        let _ = feeder.write_all(input);
        drop(feeder);
        let complaints = read_to_end(&mut listener);
        let status = child.wait();
        Ok((status, complaints?))
    }

    /// Replaces this process: same number, its own exit status. What the kernel does not take for a program is a script
    /// without a first line that says whose, as for every shell. Returns only where that failed.
    pub fn execute(&self) -> io::Error {
        match Image::new(&self.words, &self.environment) {
            Ok(image) => match image.execute() {
                error if error.raw_os_error() == Some(libc::ENOEXEC) => self.execute_as_script(image.found()),
                error => error,
            },
            Err(error) => error,
        }
    }

    fn execute_as_script(&self, script: &Path) -> io::Error {
        let mut words = vec![OsString::from(SHELL), script.into()];
        words.extend_from_slice(self.words.get(1..).unwrap_or_default());
        match Image::new(&words, &self.environment) {
            Ok(image) => image.execute(),
            Err(error) => error,
        }
    }

    /// In the child. Only calls that are safe between fork and exec, and nothing that takes memory.
    fn become_image(&self, image: &Image, streams: &[Option<RawFd>; 3]) -> io::Error {
        if let Err(error) = unblock_all_signals() {
            return error;
        }
        for (number, stream) in (0..).zip(streams) {
            // SAFETY: no pointers are passed; the descriptors are open, and above the three that are replaced.
            if stream.is_some_and(|stream| unsafe { libc::dup2(stream, number) } < 0) {
                return io::Error::last_os_error();
            }
        }
        // SAFETY: no pointers are passed but a terminated constant.
        let has_failed = unsafe {
            match self.group {
                Group::Ours => false,
                Group::Own => libc::setpgid(0, 0) < 0,
                Group::OwnSession => libc::setsid() < 0 || libc::chdir(c"/".as_ptr()) < 0,
            }
        };
        if has_failed { io::Error::last_os_error() } else { image.execute() }
    }
}

/// A copy of this process; `None` in the copy.
pub fn fork() -> io::Result<Option<Child>> {
    // SAFETY: this process has one thread, so the copy may go on as a normal program.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(Child { pid, ended: None })),
    }
}

/// Not ended by being dropped.
#[derive(Debug)]
pub struct Child {
    pid: libc::pid_t,
    /// After that the number may be another's.
    ended: Option<ExitStatus>,
}

impl Child {
    /// `None` while it runs.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        self.look(libc::WNOHANG)
    }

    pub fn wait(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.look(0) {
                return status;
            }
        }
    }

    pub fn kill(&self) {
        self.signal(self.pid);
    }

    /// It and all that it started, where it has a group of its own.
    pub fn kill_group(&self) {
        self.signal(-self.pid);
    }

    fn look(&mut self, options: libc::c_int) -> Option<ExitStatus> {
        while self.ended.is_none() {
            let mut status = 0;
            // SAFETY: the pointer is to a live int; the number is our own child's, which was not waited for yet.
            match unsafe { libc::waitpid(self.pid, &raw mut status, options) } {
                0 => break,
                -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                // Nobody's child any more: somebody else was told how it ended.
                -1 => self.ended = Some(ExitStatus::from_raw(NOT_EXECUTED << 8)),
                _ => self.ended = Some(ExitStatus::from_raw(status)),
            }
        }
        self.ended
    }

    fn signal(&self, receiver: libc::pid_t) {
        if self.ended.is_none() {
            // SAFETY: kill takes no pointers; the number is our own child's, which was not waited for yet.
            unsafe { libc::kill(receiver, libc::SIGKILL) };
        }
    }
}
