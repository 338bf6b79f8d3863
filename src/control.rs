//! The tracker's control socket: one line asked, one line of JSON answered, root only. For what only the
//! tracker knows (history, events, a probe right now) and for what it must hear at once (ifup, ifdown).
//! Nothing here waits for a client: what it does not take is kept for it, up to a limit.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crate::json::{self, Json};
use crate::system::clock::{after, earlier};
use crate::system::poll::Until;

/// Longer lines are nobody's request.
const LONGEST_REQUEST: usize = 4096;
const MOST_CLIENTS: usize = 64;
/// Who has not asked by then, or not taken the answer, is let go.
const PATIENCE: Duration = Duration::from_secs(5);
/// A follower that sleeps must not cost memory without bound.
const MOST_PENDING: usize = 256 * 1024;
/// After an accept that failed (no descriptors left): trying again at once would be a busy loop.
const REST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    clients: Vec<Client>,
    last_id: ClientId,
    accepts_again: Option<Duration>,
}

/// Names one connection for good: descriptors are used again, these are not.
pub type ClientId = u64;

#[derive(Debug)]
struct Client {
    id: ClientId,
    stream: UnixStream,
    state: State,
    request: Vec<u8>,
    pending: Vec<u8>,
    /// It asked and closed its half; the answer may still be wanted.
    has_ended: bool,
    until: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Asks,
    /// For an answer, or for more of a stream of them.
    Waits,
    /// Once it has taken what is pending.
    Leaves,
}

impl Server {
    /// Only one tracker runs, under a lock: a socket that is there is a dead one's.
    pub fn listen(path: &Path) -> io::Result<Server> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Server { listener, clients: Vec::new(), last_id: 0, accepts_again: None })
    }

    /// What to poll for now.
    pub fn watch(&self, watched: &mut Vec<(RawFd, Until)>) {
        if self.clients.len() < MOST_CLIENTS && self.accepts_again.is_none() {
            watched.push((self.listener.as_raw_fd(), Until::Readable));
        }
        for client in &self.clients {
            watched.push((client.stream.as_raw_fd(), client.interest()));
        }
    }

    pub fn deadline(&self) -> Option<Duration> {
        let mut next = self.accepts_again;
        for client in &self.clients {
            if client.is_hurried() {
                next = earlier(next, client.until);
            }
        }
        next
    }

    pub fn advance(&mut self, now: Duration) {
        while let Some(late) = self.clients.iter().position(|one| one.is_hurried() && one.until <= now) {
            self.clients.remove(late);
        }
        self.accepts_again = self.accepts_again.filter(|at| now < *at);
    }

    pub fn is_ours(&self, fd: RawFd) -> bool {
        fd == self.listener.as_raw_fd() || self.clients.iter().any(|one| one.stream.as_raw_fd() == fd)
    }

    /// The request that came by this descriptor, once a whole line of it is there.
    pub fn handle_ready(&mut self, fd: RawFd, now: Duration) -> Option<(ClientId, String)> {
        if fd == self.listener.as_raw_fd() {
            self.accept(now);
            return None;
        }
        let position = self.clients.iter().position(|one| one.stream.as_raw_fd() == fd)?;
        let client = self.clients.get_mut(position)?;
        let (id, heard) = (client.id, client.progress());
        match heard {
            Heard::Request(request) => return Some((id, request)),
            Heard::Nothing => {}
            Heard::End => {
                self.clients.remove(position);
            }
        }
        None
    }

    /// Answers and closes.
    pub fn answer(&mut self, client: ClientId, answer: &Json, now: Duration) {
        if self.send(client, answer) {
            let Some(position) = self.position(client) else { return };
            let Some(one) = self.clients.get_mut(position) else { return };
            one.state = State::Leaves;
            one.until = after(now, PATIENCE);
            if one.pending.is_empty() {
                self.clients.remove(position);
            }
        }
    }

    /// One line of several; the connection stays open. False once the client is gone.
    pub fn send(&mut self, client: ClientId, line: &Json) -> bool {
        let Some(position) = self.position(client) else { return false };
        let Some(one) = self.clients.get_mut(position) else { return false };
        one.pending.extend_from_slice(format!("{line}\n").as_bytes());
        let is_taken = one.flush().is_ok() && one.pending.len() <= MOST_PENDING;
        if !is_taken {
            self.clients.remove(position);
        }
        is_taken
    }

    pub fn is_connected(&self, client: ClientId) -> bool {
        self.position(client).is_some()
    }

    fn position(&self, client: ClientId) -> Option<usize> {
        self.clients.iter().position(|one| one.id == client)
    }

    fn accept(&mut self, now: Duration) {
        while self.clients.len() < MOST_CLIENTS {
            match self.listener.accept() {
                Ok((stream, _)) if stream.set_nonblocking(true).is_ok() => {
                    self.last_id += 1;
                    self.clients.push(Client {
                        id: self.last_id,
                        stream,
                        state: State::Asks,
                        request: Vec::new(),
                        pending: Vec::new(),
                        has_ended: false,
                        until: after(now, PATIENCE),
                    });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.accepts_again = Some(after(now, REST));
                    return;
                }
            }
        }
    }
}

enum Heard {
    Request(String),
    Nothing,
    End,
}

impl Client {
    fn is_hurried(&self) -> bool {
        self.state != State::Waits
    }

    fn interest(&self) -> Until {
        match (self.pending.is_empty(), self.has_ended) {
            (false, _) => Until::Writable,
            (true, false) => Until::Readable,
            (true, true) => Until::HungUp,
        }
    }

    fn progress(&mut self) -> Heard {
        if !self.pending.is_empty() {
            let is_over = self.flush().is_err() || (self.pending.is_empty() && self.state == State::Leaves);
            return if is_over { Heard::End } else { Heard::Nothing };
        }
        if self.has_ended {
            // Only a connection closed from both sides wakes us now.
            return Heard::End;
        }
        let mut bytes = [0; 512];
        match self.stream.read(&mut bytes) {
            Ok(0) if self.state == State::Asks => Heard::End,
            Ok(0) => {
                self.has_ended = true;
                Heard::Nothing
            }
            // Who has asked has nothing more to say.
            Ok(_) if self.state != State::Asks => Heard::Nothing,
            Ok(length) => {
                self.request.extend_from_slice(bytes.get(..length).unwrap_or_default());
                self.take_request()
            }
            Err(error) if is_temporary(&error) => Heard::Nothing,
            Err(_) => Heard::End,
        }
    }

    fn take_request(&mut self) -> Heard {
        match self.request.iter().position(|byte| *byte == b'\n') {
            Some(end) if end <= LONGEST_REQUEST => {
                self.state = State::Waits;
                let line = self.request.get(..end).unwrap_or_default();
                Heard::Request(String::from_utf8_lossy(line).trim().to_owned())
            }
            None if self.request.len() <= LONGEST_REQUEST => Heard::Nothing,
            _ => Heard::End,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => drop(self.pending.drain(..length)),
                Err(error) if is_temporary(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// A request whose answer has several lines, for those who wait for other things, too.
#[derive(Debug)]
pub struct Conversation {
    stream: UnixStream,
    heard: Vec<u8>,
}

impl Conversation {
    /// `Ok(None)`: no tracker runs.
    pub fn begin(path: &Path, request: &str) -> io::Result<Option<Conversation>> {
        let Some(stream) = connect(path)? else { return Ok(None) };
        writeln!(&stream, "{request}")?;
        stream.set_nonblocking(true)?;
        Ok(Some(Conversation { stream, heard: Vec::new() }))
    }

    pub fn raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// The lines that have arrived; `None` once the tracker is gone.
    pub fn lines(&mut self) -> io::Result<Option<Vec<Json>>> {
        let mut bytes = [0; 512];
        let mut lines = Vec::new();
        loop {
            let length = match self.stream.read(&mut bytes) {
                Ok(0) if lines.is_empty() => return Ok(None),
                Ok(0) => return Ok(Some(lines)),
                Ok(length) => length,
                Err(error) if is_temporary(&error) => return Ok(Some(lines)),
                Err(error) => return Err(error),
            };
            take_lines(&mut self.heard, bytes.get(..length).unwrap_or_default(), &mut lines)?;
        }
    }
}

/// Of what has come, `heard` keeps the line that has not ended yet. Each byte is looked at once: lines may be long.
fn take_lines(heard: &mut Vec<u8>, piece: &[u8], lines: &mut Vec<Json>) -> io::Result<()> {
    for part in piece.split_inclusive(|byte| *byte == b'\n') {
        heard.extend_from_slice(part);
        if part.ends_with(b"\n") {
            let line = std::mem::take(heard);
            match json::read(&String::from_utf8_lossy(&line)) {
                Ok(line) => lines.push(line),
                Err(mistake) => return Err(io::Error::new(io::ErrorKind::InvalidData, mistake.to_string())),
            }
        }
    }
    Ok(())
}

fn connect(path: &Path) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect(path) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Asks the tracker. `Ok(None)`: none runs.
pub fn ask(path: &Path, request: &str, patience: Duration) -> io::Result<Option<Json>> {
    let mut answer = None;
    let found = follow(path, request, Some(patience), &mut |line| {
        answer = Some(line);
        false
    })?;
    match (found, answer) {
        (false, _) => Ok(None),
        (true, Some(answer)) => Ok(Some(answer)),
        (true, None) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the tracker gave no answer")),
    }
}

/// Hands every line of the answer over until `each` has enough or the tracker ends. False: none runs.
pub fn follow(
    path: &Path,
    request: &str,
    patience: Option<Duration>,
    each: &mut dyn FnMut(Json) -> bool,
) -> io::Result<bool> {
    let Some(mut stream) = connect(path)? else { return Ok(false) };
    stream.set_read_timeout(patience)?;
    stream.set_write_timeout(patience)?;
    writeln!(&stream, "{request}")?;
    let (mut heard, mut bytes) = (Vec::new(), [0; 512]);
    loop {
        let length = match stream.read(&mut bytes) {
            Ok(0) => return Ok(true),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut lines = Vec::new();
        take_lines(&mut heard, bytes.get(..length).unwrap_or_default(), &mut lines)?;
        for line in lines {
            if !each(line) {
                return Ok(true);
            }
        }
    }
}
