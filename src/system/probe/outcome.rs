//! What becomes of probes, and of packets that were no answer.

use std::net::IpAddr;
use std::time::Duration;

use super::ProbeId;
use crate::probe_packet::icmp::Notice;

/// The largest IP packet.
const BUFFER_BYTES: usize = 65536;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub id: ProbeId,
    pub result: ProbeResult,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeResult {
    Answered {
        round_trip: Duration,
    },
    /// The echo reply came after the probe was cancelled: slow, but not lost.
    Late {
        round_trip: Duration,
    },
    Resolved {
        addresses: Vec<IpAddr>,
        lifetime_s: u32,
    },
    Failed(Failure),
}

/// Why a probe cannot be answered any more; it reads as words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing left this host.
    NotSent(String),
    /// An ICMP error came for the probe. No sender: this host made it itself, as when no neighbour answers.
    Rejected { notice: Notice, sender: Option<IpAddr> },
    /// The target answered, but not as the method needs it.
    Unusable(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::NotSent(words) | Failure::Unusable(words) => f.write_str(words),
            Failure::Rejected { notice, sender: Some(sender) } => write!(f, "{notice}, says {sender}"),
            Failure::Rejected { notice, sender: None } => write!(f, "{notice}, found by this host itself"),
        }
    }
}

/// Packets that met an open socket and ended no probe, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    pub late: u32,
    pub duplicate: u32,
    /// Not for a probe we remember.
    pub foreign: u32,
    /// From the wrong sender, or without our cookie.
    pub spoofed: u32,
    /// Cut short, a wrong checksum, or not the protocol.
    pub malformed: u32,
}

/// Where the sockets put what they find, and the space they read into.
pub(super) struct Desk {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) strays: Strays,
    pub(super) buffer: Vec<u8>,
}

impl Desk {
    pub(super) fn new() -> Desk {
        Desk { outcomes: Vec::new(), strays: Strays::default(), buffer: vec![0; BUFFER_BYTES] }
    }

    pub(super) fn report(&mut self, id: ProbeId, result: ProbeResult) {
        self.outcomes.push(Outcome { id, result });
    }
}

pub(super) fn count(counter: &mut u32) {
    *counter = counter.saturating_add(1);
}
