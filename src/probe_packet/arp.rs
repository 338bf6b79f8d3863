//! ARP for IPv4 over Ethernet (RFC 826), without the Ethernet header.

use std::net::Ipv4Addr;

use super::{be16, field};

pub type LinkAddress = [u8; 6];

/// Hardware type Ethernet, protocol IPv4, their address lengths.
const PREAMBLE: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
pub const REPLY: u16 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    pub sender_link: LinkAddress,
    pub sender: Ipv4Addr,
    pub receiver_link: LinkAddress,
    pub receiver: Ipv4Addr,
}

pub fn request(own_link: LinkAddress, own: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut message = PREAMBLE.to_vec();
    message.extend_from_slice(&REQUEST.to_be_bytes());
    message.extend_from_slice(&own_link);
    message.extend_from_slice(&own.octets());
    message.extend_from_slice(&[0; 6]);
    message.extend_from_slice(&target.octets());
    message
}

/// None for requests and everything malformed. Bytes after the message are Ethernet padding.
pub fn parse_reply(message: &[u8]) -> Option<Reply> {
    if !message.starts_with(&PREAMBLE) || be16(message, 6)? != REPLY {
        return None;
    }
    Some(Reply {
        sender_link: field(message, 8)?,
        sender: Ipv4Addr::from(field::<4>(message, 14)?),
        receiver_link: field(message, 18)?,
        receiver: Ipv4Addr::from(field::<4>(message, 24)?),
    })
}
