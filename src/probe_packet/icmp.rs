//! ICMP and ICMPv6 echo: requests, replies, and the errors routers send back with a quote of our request.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{be16, be32, byte, field};
use crate::address::Family;

/// Bytes of the echo header; the payload follows.
const ECHO_HEADER: usize = 8;
const IPV6_HEADER: usize = 40;
const IPV6_FRAGMENT_HEADER: usize = 8;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const FRAGMENT: u8 = 44;

/// A request is told from forgeries by this many random bytes at the start of its payload.
pub const COOKIE_BYTES: usize = 8;

/// The largest payload whose packet still fits the 16-bit length of its IP header.
pub fn largest_payload(family: Family) -> u16 {
    match family {
        Family::Ipv4 => 65507,
        Family::Ipv6 => 65527,
    }
}

pub fn request_type(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 8,
        Family::Ipv6 => 128,
    }
}

pub fn reply_type(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 0,
        Family::Ipv6 => 129,
    }
}

/// Unreachable, packet too big, time exceeded, parameter problem.
pub fn error_types(family: Family) -> &'static [u8] {
    match family {
        Family::Ipv4 => &[3, 11, 12],
        Family::Ipv6 => &[1, 2, 3, 4],
    }
}

/// The cookie, cut or filled up to `size`.
pub fn echo_payload(size: u16, cookie: [u8; COOKIE_BYTES]) -> Vec<u8> {
    let mut payload = cookie.to_vec();
    payload.resize(usize::from(size), 0xa5);
    payload
}

/// Whether a payload that came back is ours. Some hosts cut long payloads, so only the cookie must be whole.
pub fn carries_cookie(payload: &[u8], size: u16, cookie: [u8; COOKIE_BYTES]) -> bool {
    let sent = cookie.get(..usize::from(size)).unwrap_or(&cookie);
    payload.starts_with(sent)
}

/// An echo request. The ICMPv6 checksum covers addresses only the kernel knows, which fills it in.
pub fn echo_request(family: Family, identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![request_type(family), 0, 0, 0];
    message.extend_from_slice(&identifier.to_be_bytes());
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(payload);
    if family == Family::Ipv4 {
        let sum = checksum(&message).to_be_bytes();
        if let Some(field) = message.get_mut(2..4) {
            field.copy_from_slice(&sum);
        }
    }
    message
}

/// The Internet checksum (RFC 1071). Over a message that carries its own checksum it is zero.
pub fn checksum(bytes: &[u8]) -> u16 {
    // At most 32,768 words of 16 bits: the sum fits 32 bits.
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let word = u16::from_be_bytes([byte(pair, 0).unwrap_or(0), byte(pair, 1).unwrap_or(0)]);
        sum = sum.wrapping_add(u32::from(word));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Identifier, sequence and payload of an echo message (the payload may be cut where it is quoted).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo<'a> {
    pub identifier: u16,
    pub sequence: u16,
    pub payload: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    Reply(Echo<'a>),
    /// Someone could not deliver an echo request to `destination`.
    Error {
        notice: Notice,
        destination: IpAddr,
        request: Echo<'a>,
    },
}

/// Reads what a raw IPv4 socket delivers: the IP header, then the message. The kernel has not looked at the
/// message's checksum yet.
pub fn parse_ipv4(packet: &[u8]) -> Option<(IpAddr, Received<'_>)> {
    let (header, message) = split_ipv4(packet)?;
    let source = IpAddr::V4(Ipv4Addr::from(field::<4>(header, 12)?));
    if byte(header, 9)? != ICMP || checksum(message) != 0 {
        return None;
    }
    if let Some(reply) = parse_reply(Family::Ipv4, message) {
        return Some((source, Received::Reply(reply)));
    }
    let notice = parse_notice(Family::Ipv4, message)?;
    let (quoted, request) = split_ipv4(message.get(ECHO_HEADER..)?)?;
    let is_first_fragment = be16(quoted, 6)? & 0x1fff == 0;
    if byte(quoted, 9)? != ICMP || !is_first_fragment {
        return None;
    }
    let destination = IpAddr::V4(Ipv4Addr::from(field::<4>(quoted, 16)?));
    let request = parse_echo(request_type(Family::Ipv4), request)?;
    Some((source, Received::Error { notice, destination, request }))
}

/// Reads what a raw ICMPv6 socket delivers: the message alone, its checksum already verified by the kernel.
pub fn parse_ipv6(message: &[u8]) -> Option<Received<'_>> {
    if let Some(reply) = parse_reply(Family::Ipv6, message) {
        return Some(Received::Reply(reply));
    }
    let notice = parse_notice(Family::Ipv6, message)?;
    let quoted = message.get(ECHO_HEADER..)?;
    let destination = IpAddr::V6(Ipv6Addr::from(field::<16>(quoted, 24)?));
    let mut request = quoted.get(IPV6_HEADER..)?;
    let mut protocol = byte(quoted, 6)?;
    if protocol == FRAGMENT {
        let is_first_fragment = be16(request, 2)? & 0xfff8 == 0;
        if !is_first_fragment {
            return None;
        }
        protocol = byte(request, 0)?;
        request = request.get(IPV6_FRAGMENT_HEADER..)?;
    }
    if protocol != ICMPV6 {
        return None;
    }
    let request = parse_echo(request_type(Family::Ipv6), request)?;
    Some(Received::Error { notice, destination, request })
}

fn split_ipv4(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = byte(packet, 0)?;
    let length = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || length < 20 {
        return None;
    }
    packet.split_at_checked(length)
}

fn parse_reply(family: Family, message: &[u8]) -> Option<Echo<'_>> {
    parse_echo(reply_type(family), message)
}

fn parse_echo(kind: u8, message: &[u8]) -> Option<Echo<'_>> {
    if byte(message, 0)? != kind || byte(message, 1)? != 0 {
        return None;
    }
    Some(Echo {
        identifier: be16(message, 4)?,
        sequence: be16(message, 6)?,
        payload: message.get(ECHO_HEADER..)?,
    })
}

fn parse_notice(family: Family, message: &[u8]) -> Option<Notice> {
    let kind = byte(message, 0)?;
    let code = byte(message, 1)?;
    error_types(family).contains(&kind).then_some(Notice { family, kind, code })
}

/// The type and code of an ICMP error; it reads as words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    pub family: Family,
    pub kind: u8,
    pub code: u8,
}

impl Notice {
    /// The packet reached a host that has nothing listening on that port.
    pub fn is_port_unreachable(self) -> bool {
        matches!((self.family, self.kind, self.code), (Family::Ipv4, 3, 3) | (Family::Ipv6, 1, 4))
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match (self.family, self.kind, self.code) {
            (Family::Ipv4, 3, 0 | 6 | 11) | (Family::Ipv6, 1, 0) => "network unreachable",
            (Family::Ipv4, 3, 1 | 7 | 12) | (Family::Ipv6, 1, 3) => "host unreachable",
            (Family::Ipv4, 3, 2) => "protocol unreachable",
            (Family::Ipv4, 3, 3) | (Family::Ipv6, 1, 4) => "port unreachable",
            (Family::Ipv4, 3, 4) | (Family::Ipv6, 2, _) => "packet too big",
            (Family::Ipv4, 3, 9 | 10 | 13) | (Family::Ipv6, 1, 1) => "forbidden by a firewall",
            (Family::Ipv6, 1, 5) => "source address not allowed",
            (Family::Ipv6, 1, 6) => "route rejected",
            (Family::Ipv4, 11, 0) | (Family::Ipv6, 3, 0) => "hop limit exceeded",
            (Family::Ipv4, 11, _) | (Family::Ipv6, 3, _) => "fragments missing",
            (Family::Ipv4, 12, _) | (Family::Ipv6, 4, _) => "header not understood",
            (_, kind, code) => return write!(f, "unreachable (type {kind} code {code})"),
        };
        f.write_str(words)
    }
}

/// Reads a `sock_extended_err` of the socket error queue, followed by the address of who sent the ICMP error.
/// None for errors this host made itself.
pub fn parse_extended_error(bytes: &[u8]) -> Option<(Notice, IpAddr)> {
    const ORIGIN_ICMP: u8 = 2;
    const ORIGIN_ICMP6: u8 = 3;
    const SENDER: usize = 16;
    let family = match byte(bytes, 4)? {
        ORIGIN_ICMP => Family::Ipv4,
        ORIGIN_ICMP6 => Family::Ipv6,
        _ => return None,
    };
    let notice = Notice { family, kind: byte(bytes, 5)?, code: byte(bytes, 6)? };
    let sender_family = u16::from_ne_bytes(field(bytes, SENDER)?);
    let sender = if sender_family == u16::from(Family::Ipv4.number()) {
        IpAddr::V4(Ipv4Addr::from(be32(bytes, SENDER + 4)?))
    } else if sender_family == u16::from(Family::Ipv6.number()) {
        IpAddr::V6(Ipv6Addr::from(field::<16>(bytes, SENDER + 8)?))
    } else {
        return None;
    };
    Some((notice, sender))
}
