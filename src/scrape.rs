//! The tracker's door for Prometheus: HTTP on one address, `GET /metrics` and nothing else. Nothing here waits for a
//! client, and few of them are served at once.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::system::clock::{after, earlier};
use crate::system::poll::Until;

/// A scraper asks in a few hundred bytes.
const LONGEST_REQUEST: usize = 4096;
const MOST_CLIENTS: usize = 8;
/// What the kernel queues of those who come meanwhile.
const BACKLOG: i32 = 128;
/// For the whole conversation.
const PATIENCE: Duration = Duration::from_secs(5);
/// After an accept that failed: trying again at once would be a busy loop.
const REST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    listener: TcpListener,
    clients: Vec<Client>,
    accepts_again: Option<Duration>,
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    /// What it has not taken yet; None while it asks.
    response: Option<Vec<u8>>,
    until: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Metrics {
        with_body: bool,
    },
    /// A status line for what we do not serve.
    Refused(&'static str),
    /// No HTTP.
    Malformed,
    Unfinished,
}

impl Door {
    pub fn open(address: SocketAddr) -> io::Result<Door> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(Door { address, listener: socket.into(), clients: Vec::new(), accepts_again: None })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to poll for now. While all places are taken, further clients wait in the kernel's queue.
    pub fn watch(&self, watched: &mut Vec<(RawFd, Until)>) {
        if self.clients.len() < MOST_CLIENTS && self.accepts_again.is_none() {
            watched.push((self.listener.as_raw_fd(), Until::Readable));
        }
        for client in &self.clients {
            let until = if client.response.is_some() { Until::Writable } else { Until::Readable };
            watched.push((client.stream.as_raw_fd(), until));
        }
    }

    pub fn deadline(&self) -> Option<Duration> {
        let mut next = self.accepts_again;
        for client in &self.clients {
            next = earlier(next, client.until);
        }
        next
    }

    pub fn advance(&mut self, now: Duration) {
        while let Some(late) = self.clients.iter().position(|client| client.until <= now) {
            self.clients.swap_remove(late);
        }
        self.accepts_again = self.accepts_again.filter(|at| now < *at);
    }

    pub fn is_ours(&self, fd: RawFd) -> bool {
        fd == self.listener.as_raw_fd() || self.clients.iter().any(|client| client.stream.as_raw_fd() == fd)
    }

    /// `metrics` is called where somebody asks for them.
    pub fn handle_ready(&mut self, fd: RawFd, now: Duration, metrics: impl FnOnce() -> String) {
        if fd == self.listener.as_raw_fd() {
            return self.accept(now);
        }
        let Some(position) = self.clients.iter().position(|client| client.stream.as_raw_fd() == fd) else {
            return;
        };
        let is_over = self.clients.get_mut(position).is_none_or(|client| client.progress(metrics).is_err());
        if is_over {
            self.clients.swap_remove(position);
        }
    }

    fn accept(&mut self, now: Duration) {
        while self.clients.len() < MOST_CLIENTS {
            match self.listener.accept() {
                Ok((stream, _)) if stream.set_nonblocking(true).is_ok() => {
                    let until = after(now, PATIENCE);
                    self.clients.push(Client { stream, request: Vec::new(), response: None, until });
                }
                // It has gone again.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.accepts_again = Some(after(now, REST));
                    return;
                }
            }
        }
    }
}

impl Client {
    /// An error ends the conversation, be it a good end.
    fn progress(&mut self, metrics: impl FnOnce() -> String) -> io::Result<()> {
        if self.response.is_none() {
            self.read()?;
            let response = match judge(&self.request) {
                Request::Unfinished => return Ok(()),
                Request::Malformed => return Err(io::ErrorKind::InvalidData.into()),
                Request::Refused(status) => response(status, "", true),
                Request::Metrics { with_body } => response("200 OK", &metrics(), with_body),
            };
            self.response = Some(response);
        }
        self.write()
    }

    fn read(&mut self) -> io::Result<()> {
        let mut piece = [0; 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.request.extend_from_slice(piece.get(..length).unwrap_or_default());
                Ok(())
            }
            Err(error) if is_temporary(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(response) = &mut self.response else { return Ok(()) };
        while !response.is_empty() {
            match self.stream.write(response) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => drop(response.drain(..length)),
                Err(error) if is_temporary(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Of what has come so far. What the header fields say does not matter to us.
pub fn judge(bytes: &[u8]) -> Request {
    let line_end = bytes.iter().position(|byte| *byte == b'\n');
    let Some(line) = line_end.and_then(|end| bytes.get(..end)) else {
        return if bytes.len() < LONGEST_REQUEST { Request::Unfinished } else { Request::Malformed };
    };
    let Ok(line) = str::from_utf8(line) else { return Request::Malformed };
    let words: Vec<&str> = line.trim_end_matches('\r').split(' ').collect();
    let [method, target, "HTTP/1.0" | "HTTP/1.1"] = words[..] else { return Request::Malformed };
    let is_whole =
        [&b"\r\n\r\n"[..], b"\n\n"].iter().any(|end| bytes.windows(end.len()).any(|some| some == *end));
    if !is_whole {
        return if bytes.len() < LONGEST_REQUEST { Request::Unfinished } else { Request::Malformed };
    }
    let path = target.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET", "/metrics") => Request::Metrics { with_body: true },
        ("HEAD", "/metrics") => Request::Metrics { with_body: false },
        ("GET" | "HEAD", _) => Request::Refused("404 Not Found"),
        _ => Request::Refused("405 Method Not Allowed"),
    }
}

fn response(status: &str, body: &str, with_body: bool) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let body = if with_body { body } else { "" };
    [head.as_bytes(), body.as_bytes()].concat()
}
