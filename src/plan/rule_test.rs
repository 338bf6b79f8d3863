//! The tests of one user rule, in the order in which they are named to people: the compiler makes chains of
//! them, and `explain` puts them to a packet.

use std::fmt;
use std::net::IpAddr;

use crate::address::{AddressMatch, PortRange};

use super::explain::{Question, SetAnswer};
use super::rules::{RuleMatch, SetTest};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleTest<'a> {
    Protocol(u8),
    InputDevice(&'a str),
    /// Any of them.
    Sources(&'a [AddressMatch]),
    Destinations(&'a [AddressMatch]),
    SourcePorts(&'a [PortRange]),
    DestinationPorts(&'a [PortRange]),
    Set(&'a SetTest),
}

impl RuleMatch {
    /// All must hold.
    pub fn tests(&self) -> Vec<RuleTest<'_>> {
        let mut tests = Vec::new();
        tests.extend(self.protocol.map(RuleTest::Protocol));
        tests.extend(self.input_device.as_deref().map(RuleTest::InputDevice));
        if !self.sources.is_empty() {
            tests.push(RuleTest::Sources(&self.sources));
        }
        if !self.destinations.is_empty() {
            tests.push(RuleTest::Destinations(&self.destinations));
        }
        if !self.source_ports.is_empty() {
            tests.push(RuleTest::SourcePorts(&self.source_ports));
        }
        if !self.destination_ports.is_empty() {
            tests.push(RuleTest::DestinationPorts(&self.destination_ports));
        }
        tests.extend(self.set.as_ref().map(RuleTest::Set));
        tests
    }
}

impl RuleTest<'_> {
    /// `None` where too little is known of the packet to tell.
    pub fn holds(&self, packet: &Question, sets: &SetAnswer<'_>) -> Option<bool> {
        match self {
            RuleTest::Protocol(wanted) => packet.protocol.map(|protocol| protocol == *wanted),
            RuleTest::InputDevice(wanted) => Some(packet.input_device.as_deref() == Some(*wanted)),
            RuleTest::Sources(wanted) => packet.source.map(|address| is_any(wanted, address)),
            RuleTest::Destinations(wanted) => Some(is_any(wanted, packet.destination)),
            RuleTest::SourcePorts(wanted) => is_in(wanted, packet.source_port, packet),
            RuleTest::DestinationPorts(wanted) => is_in(wanted, packet.destination_port, packet),
            RuleTest::Set(set) => sets(&set.name, packet.destination).map(|is_in| is_in != set.negated),
        }
    }

    /// What the packet has where the test looks; `None` where that is not known.
    pub fn seen_in(&self, packet: &Question) -> Option<String> {
        let port = |port: Option<u16>| match port {
            _ if packet.has_no_ports() => Some("none".to_owned()),
            port => port.map(|port| port.to_string()),
        };
        match self {
            RuleTest::Protocol(_) => packet.protocol.map(protocol_name),
            RuleTest::InputDevice(_) => {
                Some(packet.input_device.clone().unwrap_or_else(|| "the router itself".to_owned()))
            }
            RuleTest::Sources(_) => packet.source.map(|address| address.to_string()),
            RuleTest::Destinations(_) | RuleTest::Set(_) => Some(packet.destination.to_string()),
            RuleTest::SourcePorts(_) => port(packet.source_port),
            RuleTest::DestinationPorts(_) => port(packet.destination_port),
        }
    }
}

fn is_any(wanted: &[AddressMatch], address: IpAddr) -> bool {
    wanted.iter().any(|one| one.matches(address))
}

fn is_in(wanted: &[PortRange], port: Option<u16>, packet: &Question) -> Option<bool> {
    if packet.has_no_ports() {
        return Some(false);
    }
    port.map(|port| wanted.iter().any(|range| range.low <= port && port <= range.high))
}

impl fmt::Display for RuleTest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RuleTest::Protocol(wanted) => write!(f, "protocol {}", protocol_name(*wanted)),
            RuleTest::InputDevice(wanted) => write!(f, "comes in by {wanted}"),
            RuleTest::Sources(wanted) => write_list(f, "source", wanted),
            RuleTest::Destinations(wanted) => write_list(f, "destination", wanted),
            RuleTest::SourcePorts(wanted) => write_list(f, "source port", wanted),
            RuleTest::DestinationPorts(wanted) => write_list(f, "destination port", wanted),
            RuleTest::Set(set) => {
                write!(f, "destination {}in set {}", if set.negated { "not " } else { "" }, set.name)
            }
        }
    }
}

/// Lists can be long: people know their own rules by the beginning.
fn write_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, what: &str, wanted: &[T]) -> fmt::Result {
    const SHOWN: usize = 4;
    write!(f, "{what} ")?;
    for (position, one) in wanted.iter().take(SHOWN).enumerate() {
        write!(f, "{}{one}", if position > 0 { "," } else { "" })?;
    }
    match wanted.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

const PROTOCOLS: [(u8, &str); 8] = [
    (1, "icmp"),
    (6, "tcp"),
    (17, "udp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "icmpv6"),
    (132, "sctp"),
];

pub fn protocol_name(number: u8) -> String {
    match PROTOCOLS.iter().find(|(known, _)| *known == number) {
        Some((_, name)) => (*name).to_owned(),
        None => number.to_string(),
    }
}
