//! Probes over a connected UDP socket of their own: DNS, looking up addresses, and plain datagrams. The kernel
//! lets only the asked peer answer; DNS answers must also repeat our query.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Protocol, Socket, Type};

use super::evidence::{self, Evidence};
use super::outcome::{Desk, count};
use super::uplink::not_sent;
use super::{Failure, Launch, MOST_PER_WAKEUP, ProbeId, ProbeResult, socket};
use crate::address::Family;
use crate::probe_packet::dns;

pub(super) enum DatagramQuestion {
    Anything { payload: Vec<u8> },
    AnyAnswer { query: Vec<u8> },
    Addresses { query: Vec<u8>, name: String, family: Family },
}

impl DatagramQuestion {
    /// Whether the name has addresses in that family does not matter.
    pub(super) fn dns(name: &str, family: Family) -> Result<DatagramQuestion, String> {
        Ok(DatagramQuestion::AnyAnswer { query: query(name, family)? })
    }

    pub(super) fn addresses(name: &str, family: Family) -> Result<DatagramQuestion, String> {
        Ok(DatagramQuestion::Addresses { query: query(name, family)?, name: name.to_owned(), family })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            DatagramQuestion::Anything { payload } => payload,
            DatagramQuestion::AnyAnswer { query } | DatagramQuestion::Addresses { query, .. } => query,
        }
    }
}

#[inline(never)]
fn query(name: &str, family: Family) -> Result<Vec<u8>, String> {
    let identifier =
        socket::random().map_err(|error| not_sent(format_args!("cannot make a query for {name}"), error))?;
    dns::query(u16::from_be_bytes(identifier), name, family)
        .ok_or_else(|| format!("cannot look up '{name}': not a host name"))
}

pub(super) struct DatagramExchange {
    pub(super) id: ProbeId,
    socket: Socket,
    server: SocketAddr,
    question: DatagramQuestion,
    pub(super) sent_at: Duration,
}

impl DatagramExchange {
    pub(super) fn start(
        launch: &Launch<'_>,
        server: SocketAddr,
        question: DatagramQuestion,
    ) -> Result<DatagramExchange, String> {
        let Launch { id, uplink, now } = *launch;
        uplink.check_family(server.ip())?;
        let socket = uplink.open(Type::DGRAM, Some(Protocol::UDP))?;
        uplink.tie(&socket)?;
        socket::queue_icmp_errors(&socket, uplink.family())
            .and_then(|()| socket.connect(&server.into()))
            .and_then(|()| socket.send(question.bytes()))
            .map_err(|error| not_sent(format_args!("cannot send to {server} on {}", uplink.device), error))?;
        Ok(DatagramExchange { id, socket, server, question, sent_at: now })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn receive(&mut self, desk: &mut Desk, now: Duration) -> Option<ProbeResult> {
        if let Some(evidence) = evidence::take(&self.socket, self.server) {
            return Some(self.weigh(evidence, now));
        }
        for _ in 0..MOST_PER_WAKEUP {
            match (&self.socket).read(&mut desk.buffer) {
                Ok(length) => match self.judge(desk.buffer.get(..length).unwrap_or_default(), now) {
                    None => count(&mut desk.strays.spoofed),
                    verdict => return verdict,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => return Some(self.weigh(evidence::weigh_error(&error, self.server), now)),
            }
        }
        None
    }

    fn judge(&self, message: &[u8], now: Duration) -> Option<ProbeResult> {
        match &self.question {
            DatagramQuestion::Anything { .. } => Some(self.answered(now)),
            DatagramQuestion::AnyAnswer { query } => {
                dns::parse_answer(query, message).map(|_| self.answered(now))
            }
            DatagramQuestion::Addresses { query, name, family } => {
                let answer = dns::parse_answer(query, message)?;
                Some(self.resolved(answer, name, *family))
            }
        }
    }

    fn resolved(&self, mut answer: dns::Answer, name: &str, family: Family) -> ProbeResult {
        answer.addresses.retain(|address| Family::of(*address) == family);
        if answer.addresses.is_empty() {
            let server = self.server.ip();
            let words = if answer.code.is_success() {
                format!("{name} has no {family} address, says {server}")
            } else {
                format!("{name} cannot be looked up, says {server}: {}", answer.code)
            };
            return ProbeResult::Failed(Failure::Unusable(words));
        }
        ProbeResult::Resolved { addresses: answer.addresses, lifetime_s: answer.lifetime_s }
    }

    fn weigh(&self, evidence: Evidence, now: Duration) -> ProbeResult {
        match (evidence, &self.question) {
            (Evidence::Refusal, DatagramQuestion::Anything { .. }) => self.answered(now),
            (Evidence::Refusal, _) => ProbeResult::Failed(evidence::refused(self.server)),
            (Evidence::Failure(failure), _) => ProbeResult::Failed(failure),
        }
    }

    fn answered(&self, now: Duration) -> ProbeResult {
        ProbeResult::Answered { round_trip: now.saturating_sub(self.sent_at) }
    }
}
