//! The bytes of health probes: builds requests and reads answers of ICMP, ARP, DNS, HTTP and TLS. Values in,
//! values out: no answer from outside can make it panic. What an answer means for an uplink is not decided here.

pub mod arp;
pub mod dns;
pub mod http;
pub mod icmp;
pub mod tls;

/// What the first bytes of a stream tell about the protocol spoken on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Too short to judge yet.
    Incomplete,
    /// The protocol that was expected.
    Expected,
    Foreign,
}

fn byte(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    field(bytes, at).map(u16::from_be_bytes)
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    field(bytes, at).map(u32::from_be_bytes)
}
