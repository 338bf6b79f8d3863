//! One raw socket per interface and family for all its echo probes. Two kernel filters, by ICMP type and by
//! echo identifier, keep it asleep while other interfaces and other programs get their replies.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Protocol, Socket, Type};

use super::filter::echo_identifier_filter;
use super::outcome::{Desk, count};
use super::uplink::not_sent;
use super::{Failure, Launch, MOST_PER_WAKEUP, ProbeId, ProbeResult, Uplink, socket};
use crate::address::Family;
use crate::mark::InterfaceId;
use crate::probe_packet::icmp::{self, COOKIE_BYTES, Echo, Received};

/// Probes kept in mind after their end, to tell late and duplicate replies from forged ones.
const REMEMBERED: usize = 64;
const MOST_IN_FLIGHT: usize = 1024;

pub(super) struct EchoSocket {
    pub(super) interface: InterfaceId,
    pub(super) family: Family,
    socket: Socket,
    identifier: u16,
    source: IpAddr,
    hop_limit: Option<u8>,
    /// Oldest first.
    sent: Vec<Sent>,
}

pub(super) struct EchoRequest {
    /// The sequence number on the wire.
    pub(super) number: u16,
    pub(super) target: IpAddr,
    pub(super) payload: u32,
    pub(super) hop_limit: u8,
}

struct Sent {
    id: ProbeId,
    number: u16,
    target: IpAddr,
    payload: u16,
    cookie: [u8; COOKIE_BYTES],
    at: Duration,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Cancelled,
    Done,
}

impl EchoSocket {
    pub(super) fn open(
        interface: InterfaceId,
        uplink: &Uplink,
        identifier: u16,
    ) -> Result<EchoSocket, String> {
        let family = uplink.family();
        let protocol = match family {
            Family::Ipv4 => Protocol::ICMPV4,
            Family::Ipv6 => Protocol::ICMPV6,
        };
        let socket = uplink.open(Type::RAW, Some(protocol))?;
        let mut types = icmp::error_types(family).to_vec();
        types.push(icmp::reply_type(family));
        socket::pass_icmp_types(&socket, family, &types)
            .and_then(|()| socket.attach_filter(&echo_identifier_filter(family, identifier)))
            .map_err(|error| {
                not_sent(format_args!("cannot filter echo replies on {}", uplink.device), error)
            })?;
        let source = uplink.source;
        Ok(EchoSocket { interface, family, socket, identifier, source, hop_limit: None, sent: Vec::new() })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn send(&mut self, launch: &Launch<'_>, request: &EchoRequest) -> Result<(), String> {
        let Launch { id, uplink, now } = *launch;
        let EchoRequest { number, target, .. } = *request;
        let refuse =
            |error: io::Error| not_sent(format_args!("cannot send to {target} on {}", uplink.device), error);
        uplink.check_family(target)?;
        let payload = self.check_size(request.payload)?;
        self.make_room()?;
        uplink.tie(&self.socket)?;
        self.source = uplink.source;
        let cookie = self.transmit(request, payload).map_err(refuse)?;
        self.sent.push(Sent { id, number, target, payload, cookie, at: now, state: State::Waiting });
        Ok(())
    }

    fn transmit(&mut self, request: &EchoRequest, payload: u16) -> io::Result<[u8; COOKIE_BYTES]> {
        self.limit_hops(request.hop_limit)?;
        let cookie = socket::random()?;
        let payload = icmp::echo_payload(payload, cookie);
        let message = icmp::echo_request(self.family, self.identifier, request.number, &payload);
        self.socket.send_to(&message, &SocketAddr::new(request.target, 0).into())?;
        Ok(cookie)
    }

    pub(super) fn cancel_if(&mut self, is_over: &dyn Fn(ProbeId, Duration) -> bool) {
        let waiting = self.sent.iter_mut().filter(|sent| sent.state == State::Waiting);
        for sent in waiting.filter(|sent| is_over(sent.id, sent.at)) {
            sent.state = State::Cancelled;
        }
    }

    pub(super) fn receive(&mut self, desk: &mut Desk, now: Duration) {
        let mut buffer = std::mem::take(&mut desk.buffer);
        for _ in 0..MOST_PER_WAKEUP {
            // An error is either "nothing left" or is told again by the next send.
            let Ok((sender, length)) = self.read(&mut buffer) else { break };
            let bytes = buffer.get(..length).unwrap_or_default();
            let received = match (self.family, sender) {
                (Family::Ipv4, _) => icmp::parse_ipv4(bytes),
                (Family::Ipv6, Some(sender)) => icmp::parse_ipv6(bytes).map(|received| (sender, received)),
                (Family::Ipv6, None) => None,
            };
            match received {
                Some((sender, received)) => self.judge(desk, now, sender, received),
                None => count(&mut desk.strays.malformed),
            }
        }
        desk.buffer = buffer;
    }

    fn check_size(&self, payload: u32) -> Result<u16, String> {
        let largest = icmp::largest_payload(self.family);
        u16::try_from(payload).ok().filter(|payload| *payload <= largest).ok_or_else(|| {
            let family = self.family;
            format!("cannot send {payload} bytes: an {family} echo carries at most {largest}")
        })
    }

    fn make_room(&mut self) -> Result<(), String> {
        let has_ended = |sent: &Sent| sent.state != State::Waiting;
        let mut ended = self.sent.iter().filter(|sent| has_ended(sent)).count();
        while ended >= REMEMBERED
            && let Some(oldest) = self.sent.iter().position(has_ended)
        {
            self.sent.remove(oldest);
            ended -= 1;
        }
        if self.sent.len() < MOST_IN_FLIGHT {
            Ok(())
        } else {
            Err("too many probes wait for their answers".to_owned())
        }
    }

    fn limit_hops(&mut self, limit: u8) -> io::Result<()> {
        if self.hop_limit == Some(limit) {
            return Ok(());
        }
        match self.family {
            Family::Ipv4 => self.socket.set_ttl_v4(u32::from(limit))?,
            Family::Ipv6 => self.socket.set_unicast_hops_v6(u32::from(limit))?,
        }
        self.hop_limit = Some(limit);
        Ok(())
    }

    /// IPv4 packets carry their sender in their header.
    fn read(&self, buffer: &mut [u8]) -> io::Result<(Option<IpAddr>, usize)> {
        match self.family {
            Family::Ipv4 => (&self.socket).read(buffer).map(|length| (None, length)),
            Family::Ipv6 => {
                let (length, sender) = socket::receive_from(&self.socket, buffer)?;
                Ok((sender.as_socket().map(|sender| sender.ip()), length))
            }
        }
    }

    fn judge(&mut self, desk: &mut Desk, now: Duration, sender: IpAddr, received: Received<'_>) {
        let (echo, target) = match received {
            Received::Reply(echo) => (echo, sender),
            Received::Error { request, destination, .. } => (request, destination),
        };
        let own = self.source;
        let Some(sent) = self.find(echo) else {
            return count(&mut desk.strays.foreign);
        };
        let is_whole = matches!(received, Received::Reply(_));
        if sent.target != target || !sent.recognises(echo.payload, is_whole) {
            return count(&mut desk.strays.spoofed);
        }
        let state = std::mem::replace(&mut sent.state, State::Done);
        let id = sent.id;
        let round_trip = now.saturating_sub(sent.at);
        match (received, state) {
            (_, State::Done) => count(&mut desk.strays.duplicate),
            (Received::Reply(_), State::Waiting) => desk.report(id, ProbeResult::Answered { round_trip }),
            (Received::Reply(_), State::Cancelled) => {
                count(&mut desk.strays.late);
                desk.report(id, ProbeResult::Late { round_trip });
            }
            (Received::Error { .. }, State::Cancelled) => count(&mut desk.strays.late),
            (Received::Error { notice, .. }, State::Waiting) => {
                let sender = Some(sender).filter(|sender| *sender != own);
                desk.report(id, ProbeResult::Failed(Failure::Rejected { notice, sender }));
            }
        }
    }

    /// The latest of that number: numbers come round again.
    fn find(&mut self, echo: Echo<'_>) -> Option<&mut Sent> {
        let is_ours = echo.identifier == self.identifier;
        self.sent.iter_mut().rev().find(|sent| is_ours && sent.number == echo.sequence)
    }
}

impl Sent {
    /// A quote may be too short to show the cookie; what it shows must be right.
    fn recognises(&self, payload: &[u8], is_whole: bool) -> bool {
        let shown = payload.len().min(usize::from(self.payload)).min(COOKIE_BYTES);
        if is_whole {
            icmp::carries_cookie(payload, self.payload, self.cookie)
        } else {
            payload.get(..shown) == self.cookie.get(..shown)
        }
    }
}
