//! One-question DNS queries (RFC 1035) and their answers, as much of them as a health probe and a stub
//! resolver need: is it an answer to our query, what code, which addresses, for how long.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{be16, be32, byte, field};
use crate::address::Family;

const HEADER: usize = 12;
const CLASS_INTERNET: u16 = 1;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const OPCODE: u16 = 0x7800;

const NAME_ERROR: u8 = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub code: ResponseCode,
    pub addresses: Vec<IpAddr>,
    /// The shortest lifetime of the records that gave the addresses.
    pub lifetime_s: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseCode(pub u8);

impl ResponseCode {
    pub fn is_success(self) -> bool {
        self.0 == 0
    }

    pub fn is_name_error(self) -> bool {
        self.0 == NAME_ERROR
    }
}

impl std::fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            0 => "no error",
            1 => "query not understood",
            2 => "server failure",
            NAME_ERROR => "no such name",
            4 => "not implemented",
            5 => "refused",
            code => return write!(f, "error {code}"),
        })
    }
}

/// A recursive query for the name's addresses in one family. None if DNS cannot carry such a name.
pub fn query(identifier: u16, name: &str, family: Family) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(HEADER + name.len() + 6);
    for word in [identifier, RECURSION_DESIRED, 1, 0, 0, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    push_name(&mut message, name)?;
    let kind = match family {
        Family::Ipv4 => TYPE_A,
        Family::Ipv6 => TYPE_AAAA,
    };
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&CLASS_INTERNET.to_be_bytes());
    Some(message)
}

fn push_name(message: &mut Vec<u8>, name: &str) -> Option<()> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > 253 {
        return None;
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        if !label.bytes().all(|c| c.is_ascii_graphic()) {
            return None;
        }
        message.push(length);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    Some(())
}

/// Reads `message` as the answer to `query`; None if it is anything else or malformed.
pub fn parse_answer(query: &[u8], message: &[u8]) -> Option<Answer> {
    let flags = be16(message, 2)?;
    let is_ours = message.first_chunk::<2>()? == query.first_chunk::<2>()?;
    if !is_ours || flags & RESPONSE == 0 || flags & OPCODE != 0 {
        return None;
    }
    let records_at = match be16(message, 4)? {
        // Servers that give up early (FORMERR) may leave the question out.
        0 => HEADER,
        1 => question_end(query, message)?,
        _ => return None,
    };
    let code = ResponseCode((flags & 0x0f) as u8);
    let mut answer = Answer { code, addresses: Vec::new(), lifetime_s: u32::MAX };
    let whole = read_records(message, records_at, &mut answer);
    if whole.is_none() && flags & TRUNCATED == 0 {
        return None;
    }
    if answer.addresses.is_empty() {
        answer.lifetime_s = 0;
    }
    Some(answer)
}

/// A first name is never compressed, so the question comes back as it was sent, but for upper and lower case.
/// Lengths, type and class are never letters: they compare exactly.
fn question_end(query: &[u8], message: &[u8]) -> Option<usize> {
    let asked = query.get(HEADER..)?;
    let end = query.len();
    message.get(HEADER..end)?.eq_ignore_ascii_case(asked).then_some(end)
}

/// The owner names are not followed: whatever the server puts in the answer section answers our one question.
fn read_records(message: &[u8], mut at: usize, answer: &mut Answer) -> Option<()> {
    for _ in 0..be16(message, 6)? {
        at = skip_name(message, at)?;
        let kind = be16(message, at)?;
        let class = be16(message, at + 2)?;
        let lifetime_s = be32(message, at + 4)?;
        let length = usize::from(be16(message, at + 8)?);
        let data_at = at + 10;
        let data = message.get(data_at..)?.get(..length)?;
        let address = match (kind, length) {
            (TYPE_A, 4) => field::<4>(data, 0).map(|a| IpAddr::V4(Ipv4Addr::from(a))),
            (TYPE_AAAA, 16) => field::<16>(data, 0).map(|a| IpAddr::V6(Ipv6Addr::from(a))),
            (TYPE_A | TYPE_AAAA, _) => return None,
            _ => None,
        };
        if let Some(address) = address.filter(|_| class == CLASS_INTERNET) {
            answer.addresses.push(address);
            answer.lifetime_s = answer.lifetime_s.min(lifetime_s);
        }
        at = data_at + length;
    }
    Some(())
}

/// Where the name ends here; what a compression pointer points at does not matter for that.
fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let length = byte(message, at)?;
        match length >> 6 {
            0 if length == 0 => return Some(at + 1),
            0 => at += 1 + usize::from(length),
            3 => return byte(message, at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}
