//! Classic BPF programs that let a socket receive nothing but answers to its own probes. A load beyond the end
//! of the packet drops it.

use std::net::Ipv4Addr;

use libc::{
    BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IND, BPF_JA, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD,
    BPF_LDX, BPF_LSH, BPF_MISC, BPF_MSH, BPF_RET, BPF_TAX, BPF_W, BPF_X,
};
use socket2::SockFilter;

use crate::address::Family;
use crate::probe_packet::{arp, icmp};

const WHOLE_PACKET: u32 = u32::MAX;

/// Replies with this identifier, and errors that quote a request with it.
pub(super) fn echo_identifier_filter(family: Family, identifier: u16) -> Vec<SockFilter> {
    match family {
        Family::Ipv4 => ipv4_identifier_filter(u32::from(identifier)),
        Family::Ipv6 => ipv6_identifier_filter(u32::from(identifier)),
    }
}

/// The packet starts with its IP header, whose length varies, and so does the one of a quoted packet.
fn ipv4_identifier_filter(identifier: u32) -> Vec<SockFilter> {
    let reply = u32::from(icmp::reply_type(Family::Ipv4));
    vec![
        step(BPF_LDX | BPF_B | BPF_MSH, 0), // X = length of the IP header
        step(BPF_LD | BPF_B | BPF_IND, 0),  // message type
        equals(reply, 9, 0),
        step(BPF_LD | BPF_B | BPF_IND, 8 + 9), // protocol of the quoted packet
        equals(libc::IPPROTO_ICMP as u32, 0, 10),
        step(BPF_LD | BPF_B | BPF_IND, 8), // length of the quoted IP header, in words
        step(BPF_ALU | BPF_AND | BPF_K, 0x0f),
        step(BPF_ALU | BPF_LSH | BPF_K, 2),
        step(BPF_ALU | BPF_ADD | BPF_X, 0),
        step(BPF_MISC | BPF_TAX, 0),
        step(BPF_LD | BPF_H | BPF_IND, 8 + 4), // quoted identifier
        step(BPF_JMP | BPF_JA, 1),
        step(BPF_LD | BPF_H | BPF_IND, 4), // identifier of the reply
        equals(identifier, 0, 1),
        step(BPF_RET | BPF_K, WHOLE_PACKET),
        step(BPF_RET | BPF_K, 0),
    ]
}

/// The packet starts with the ICMPv6 message; a quoted request may have a fragment header before its own.
fn ipv6_identifier_filter(identifier: u32) -> Vec<SockFilter> {
    const QUOTED: u32 = 8;
    const QUOTED_MESSAGE: u32 = QUOTED + 40;
    let reply = u32::from(icmp::reply_type(Family::Ipv6));
    let icmpv6 = libc::IPPROTO_ICMPV6 as u32;
    vec![
        step(BPF_LD | BPF_B | BPF_ABS, 0), // message type
        equals(reply, 7, 0),
        step(BPF_LD | BPF_B | BPF_ABS, QUOTED + 6), // next header of the quoted packet
        equals(icmpv6, 7, 0),
        equals(libc::IPPROTO_FRAGMENT as u32, 0, 9),
        step(BPF_LD | BPF_B | BPF_ABS, QUOTED_MESSAGE), // next header of the fragment
        equals(icmpv6, 0, 7),
        step(BPF_LD | BPF_H | BPF_ABS, QUOTED_MESSAGE + 8 + 4), // identifier behind the fragment header
        step(BPF_JMP | BPF_JA, 3),
        step(BPF_LD | BPF_H | BPF_ABS, 4), // identifier of the reply
        step(BPF_JMP | BPF_JA, 1),
        step(BPF_LD | BPF_H | BPF_ABS, QUOTED_MESSAGE + 4), // quoted identifier
        equals(identifier, 0, 1),
        step(BPF_RET | BPF_K, WHOLE_PACKET),
        step(BPF_RET | BPF_K, 0),
    ]
}

/// ARP replies to this address. The packet starts with the ARP message.
pub(super) fn arp_reply_filter(receiver: Ipv4Addr) -> Vec<SockFilter> {
    vec![
        step(BPF_LD | BPF_H | BPF_ABS, 6), // operation
        equals(u32::from(arp::REPLY), 0, 3),
        step(BPF_LD | BPF_W | BPF_ABS, 24), // receiver's protocol address
        equals(u32::from(receiver), 0, 1),
        step(BPF_RET | BPF_K, WHOLE_PACKET),
        step(BPF_RET | BPF_K, 0),
    ]
}

/// Operation codes are 16 bits wide, whatever the width of the constants they are made of.
fn step(code: u32, value: u32) -> SockFilter {
    SockFilter::new(code as u16, 0, 0, value)
}

/// Skips so many steps if the accumulator is, or is not, this value.
fn equals(value: u32, skip_if_so: u8, skip_if_not: u8) -> SockFilter {
    SockFilter::new((BPF_JMP | BPF_JEQ | BPF_K) as u16, skip_if_so, skip_if_not, value)
}
