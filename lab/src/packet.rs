//! Whole IP packets as bytes, with any source, protocol and ports, each carrying a token by which a
//! tap knows it again. Checksums are right: connection tracking ignores packets with wrong ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};

/// Marks our packets in a capture; followed by the number of the packet.
const TOKEN: &[u8; 8] = b"lab-pkt:";
const TOKEN_LENGTH: usize = TOKEN.len() + 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// A SYN, so a new connection.
    Tcp,
    Udp,
    /// An echo request, ICMPv6 between IPv6 addresses.
    Icmp,
    /// Any other protocol number, with the token as its only content.
    Other(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: Protocol,
    /// For ICMP the identifier.
    pub source_port: u16,
    pub destination_port: u16,
}

impl Packet {
    pub(crate) fn bytes(&self, number: u64) -> Vec<u8> {
        let body = self.body(&token(number));
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                [header_v4(source, destination, self.number(), body.len()), body].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                [header_v6(source, destination, self.number(), body.len()), body].concat()
            }
            _ => panic!("a packet from {} to {} mixes families", self.source, self.destination),
        }
    }

    fn number(&self) -> u8 {
        match (self.protocol, self.source) {
            (Protocol::Tcp, _) => 6,
            (Protocol::Udp, _) => 17,
            (Protocol::Icmp, IpAddr::V4(_)) => 1,
            (Protocol::Icmp, IpAddr::V6(_)) => 58,
            (Protocol::Other(number), _) => number,
        }
    }

    fn body(&self, payload: &[u8]) -> Vec<u8> {
        let from = self.source_port.to_be_bytes();
        let to = self.destination_port.to_be_bytes();
        let ports = [from, to].concat();
        let (mut body, checksum_at) = match self.protocol {
            // Sequence and acknowledgement 0, header of 5 words, SYN, window 65535.
            Protocol::Tcp => {
                ([&ports[..], &[0; 8], &[0x50, 2, 0xff, 0xff, 0, 0, 0, 0], payload].concat(), 16)
            }
            Protocol::Udp => {
                let length = (8 + payload.len() as u16).to_be_bytes();
                ([&ports[..], &length, &[0, 0], payload].concat(), 6)
            }
            Protocol::Icmp => {
                let kind = if self.source.is_ipv4() { 8 } else { 128 };
                ([&[kind, 0, 0, 0][..], &from, &[0, 1], payload].concat(), 2)
            }
            Protocol::Other(_) => return payload.to_vec(),
        };
        let covered = match (self.protocol, self.source) {
            (Protocol::Icmp, IpAddr::V4(_)) => Vec::new(),
            _ => self.pseudo_header(body.len()),
        };
        let sum = checksum(&[covered, body.clone()].concat());
        body[checksum_at..checksum_at + 2].copy_from_slice(&sum.to_be_bytes());
        body
    }

    fn pseudo_header(&self, length: usize) -> Vec<u8> {
        let mut header = Vec::new();
        for address in [self.source, self.destination] {
            match address {
                IpAddr::V4(address) => header.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => header.extend_from_slice(&address.octets()),
            }
        }
        header.extend_from_slice(&(length as u32).to_be_bytes());
        header.extend_from_slice(&[0, 0, 0, self.number()]);
        header
    }
}

/// The first of four thousand million numbers that nobody else in this process uses.
pub(crate) fn fresh_numbers() -> u64 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    u64::from(NEXT.fetch_add(1, Ordering::Relaxed)) << 32
}

pub(crate) fn token(number: u64) -> [u8; TOKEN_LENGTH] {
    let mut token = [0; TOKEN_LENGTH];
    token[..TOKEN.len()].copy_from_slice(TOKEN);
    token[TOKEN.len()..].copy_from_slice(&number.to_be_bytes());
    token
}

pub(crate) fn begins_with_token(bytes: &[u8]) -> bool {
    bytes.starts_with(TOKEN)
}

/// The number of the packet of ours that these bytes contain, also inside an ICMP error.
pub(crate) fn find_token(bytes: &[u8]) -> Option<u64> {
    let at = bytes.windows(TOKEN_LENGTH).position(|window| window.starts_with(TOKEN))?;
    let number = bytes.get(at + TOKEN.len()..at + TOKEN_LENGTH)?;
    number.try_into().ok().map(u64::from_be_bytes)
}

/// Whether an IP packet is an ICMP error: its token is then a quotation.
pub(crate) fn is_icmp_error(packet: &[u8]) -> bool {
    let Some(first) = packet.first() else { return false };
    match first >> 4 {
        4 => {
            let kind = packet.get(usize::from(first & 15) * 4);
            packet.get(9) == Some(&1) && matches!(kind, Some(3 | 11 | 12))
        }
        6 => packet.get(6) == Some(&58) && packet.get(40).is_some_and(|kind| *kind < 128),
        _ => false,
    }
}

fn header_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, length: usize) -> Vec<u8> {
    let total = (20 + length as u16).to_be_bytes();
    let mut header = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    header.extend_from_slice(&source.octets());
    header.extend_from_slice(&destination.octets());
    let sum = checksum(&header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    header
}

fn header_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, length: usize) -> Vec<u8> {
    let length = (length as u16).to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, length[0], length[1], protocol, 64];
    header.extend_from_slice(&source.octets());
    header.extend_from_slice(&destination.octets());
    header
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
