//! Probes over a TCP connection of their own: the connection itself, HTTP, and the start of TLS.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Protocol, Socket, Type};

use super::evidence::{self, Evidence};
use super::uplink::not_sent;
use super::{Failure, Interest, Launch, ProbeId, ProbeResult, socket};
use crate::probe_packet::{Greeting, http, tls};

pub(super) enum StreamQuestion {
    Connection,
    Http { request: Vec<u8> },
    Tls { hello: Vec<u8> },
}

impl StreamQuestion {
    pub(super) fn http(host: &str, path: &str) -> Result<StreamQuestion, String> {
        match http::request(host, path) {
            Some(request) => Ok(StreamQuestion::Http { request }),
            None => Err(format!("cannot ask for {host}{path}: not a host and path")),
        }
    }

    pub(super) fn https(host: &str) -> Result<StreamQuestion, String> {
        let (mut random, mut session) = ([0; 32], [0; 32]);
        socket::fill_randomly(&mut random)
            .and_then(|()| socket::fill_randomly(&mut session))
            .map_err(|error| not_sent(format_args!("cannot begin a TLS handshake"), error))?;
        Ok(StreamQuestion::Tls { hello: tls::client_hello(host, random, session) })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            StreamQuestion::Connection => &[],
            StreamQuestion::Http { request } => request,
            StreamQuestion::Tls { hello } => hello,
        }
    }

    fn judge(&self, received: &[u8]) -> Greeting {
        match self {
            StreamQuestion::Connection => Greeting::Expected,
            StreamQuestion::Http { .. } => http::parse_status(received),
            StreamQuestion::Tls { .. } => tls::parse_record(received),
        }
    }

    fn protocol(&self) -> &'static str {
        match self {
            StreamQuestion::Connection => "TCP",
            StreamQuestion::Http { .. } => "HTTP",
            StreamQuestion::Tls { .. } => "TLS",
        }
    }
}

pub(super) struct StreamExchange {
    pub(super) id: ProbeId,
    socket: Socket,
    target: SocketAddr,
    question: StreamQuestion,
    pub(super) started_at: Duration,
    stage: Stage,
    /// The answer's first bytes, until they can be judged.
    received: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Asking { sent_bytes: usize },
    Listening,
}

/// Some refusals are known at once.
pub(super) enum Started {
    Waiting(StreamExchange),
    Done(ProbeResult),
}

impl StreamExchange {
    pub(super) fn start(
        launch: &Launch<'_>,
        target: SocketAddr,
        question: StreamQuestion,
    ) -> Result<Started, String> {
        let Launch { id, uplink, now } = *launch;
        let refuse = |error: io::Error| {
            not_sent(format_args!("cannot connect to {target} on {}", uplink.device), error)
        };
        uplink.check_family(target.ip())?;
        let socket = uplink.open(Type::STREAM, Some(Protocol::TCP))?;
        uplink.tie(&socket)?;
        // Closing then resets the connection: no packets follow on a dead uplink, no port stays in TIME_WAIT.
        let connected = socket::queue_icmp_errors(&socket, uplink.family())
            .and_then(|()| socket.set_linger(Some(Duration::ZERO)))
            .and_then(|()| socket.connect(&target.into()));
        let stage = Stage::Connecting;
        let exchange =
            StreamExchange { id, socket, target, question, started_at: now, stage, received: Vec::new() };
        match connected {
            Ok(()) => Ok(Started::Waiting(exchange)),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(Started::Waiting(exchange)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Ok(Started::Done(exchange.weigh(Evidence::Refusal, now)))
            }
            Err(error) => Err(refuse(error)),
        }
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn interest(&self) -> Interest {
        match self.stage {
            Stage::Connecting | Stage::Asking { .. } => Interest::Write,
            Stage::Listening => Interest::Read,
        }
    }

    /// Goes as far as it can without waiting.
    pub(super) fn advance(&mut self, now: Duration) -> Option<ProbeResult> {
        if let Some(evidence) = evidence::take(&self.socket, self.target) {
            return Some(self.weigh(evidence, now));
        }
        match self.step() {
            Ok(Greeting::Incomplete) => None,
            Ok(Greeting::Expected) => Some(self.answered(now)),
            Ok(Greeting::Foreign) => {
                let words = format!("{} answers, but not with {}", self.target, self.question.protocol());
                Some(ProbeResult::Failed(Failure::Unusable(words)))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => None,
            Err(error) => Some(self.weigh(evidence::weigh_error(&error, self.target), now)),
        }
    }

    fn step(&mut self) -> io::Result<Greeting> {
        if self.stage == Stage::Connecting {
            // Without a peer the connection is still being made, and this call was about an older socket.
            if self.socket.peer_addr().is_err() {
                return Ok(Greeting::Incomplete);
            }
            if matches!(self.question, StreamQuestion::Connection) {
                return Ok(Greeting::Expected);
            }
            self.stage = Stage::Asking { sent_bytes: 0 };
        }
        if let Stage::Asking { mut sent_bytes } = self.stage {
            while let Some(rest) = self.question.bytes().get(sent_bytes..).filter(|rest| !rest.is_empty()) {
                sent_bytes += (&self.socket).write(rest)?;
                self.stage = Stage::Asking { sent_bytes };
            }
            self.stage = Stage::Listening;
        }
        self.listen()
    }

    fn listen(&mut self) -> io::Result<Greeting> {
        let mut chunk = [0; 64];
        loop {
            let length = (&self.socket).read(&mut chunk)?;
            self.received.extend_from_slice(chunk.get(..length).unwrap_or_default());
            match self.question.judge(&self.received) {
                // Closed, and not said enough: that is no answer.
                Greeting::Incomplete if length == 0 => return Ok(Greeting::Foreign),
                Greeting::Incomplete => (),
                verdict => return Ok(verdict),
            }
        }
    }

    fn weigh(&self, evidence: Evidence, now: Duration) -> ProbeResult {
        match (evidence, &self.question) {
            (Evidence::Refusal, StreamQuestion::Connection) => self.answered(now),
            (Evidence::Refusal, _) => ProbeResult::Failed(evidence::refused(self.target)),
            (Evidence::Failure(failure), _) => ProbeResult::Failed(failure),
        }
    }

    fn answered(&self, now: Duration) -> ProbeResult {
        ProbeResult::Answered { round_trip: now.saturating_sub(self.started_at) }
    }
}
