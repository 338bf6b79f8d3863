//! What a field looks like in a register and in the key of a set: width, type and byte order; and the
//! entries of sets as the kernel takes them. Pure.

use crate::address::{Family, Span};
use crate::nft::{Field, Value, ValueRange, Verdict};

use super::super::route::addresses::bytes as address_bytes;
use super::numbers::user_data;

/// Device names, NUL padded.
const DEVICE_WIDTH: usize = 16;
/// Of any size: not for sets that name their size nowhere else.
const INTEGER: u32 = 4;
const MARK: u32 = 19;

/// Marks and random numbers stand in registers as the machine has them. Where ranges of them are compared,
/// byte by byte from the left, they must be turned to big endian first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Register,
    Sortable,
}

/// One entry of a set: a value, an interval or a box of intervals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub key: Vec<u8>,
    pub upper: Upper,
    pub verdict: Option<&'a Verdict>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upper {
    /// A single value, in a set without intervals.
    Same,
    /// The interval ends before this value, which is an element of its own.
    Before(Vec<u8>),
    /// The interval reaches the top of its type.
    Open,
    /// The last value of each concatenated field.
    Last(Vec<u8>),
}

pub fn width(field: Field) -> usize {
    match field {
        Field::Source(family) | Field::Destination(family) => usize::from(family.bits() / 8),
        Field::SourcePort | Field::DestinationPort => 2,
        Field::Protocol | Field::NetworkFamily | Field::Icmpv6Type => 1,
        Field::InputDevice | Field::OutputDevice => DEVICE_WIDTH,
        Field::Mark { .. } | Field::ConnectionMark { .. } | Field::Random { .. } => 4,
    }
}

/// The place a field takes in a concatenation: whole registers of four bytes.
pub fn padded_width(field: Field) -> usize {
    width(field).next_multiple_of(4)
}

/// nft's number of the type; the kernel only keeps it for listings.
pub fn type_number(field: Field) -> u32 {
    match field {
        Field::NetworkFamily => 2,
        Field::Source(Family::Ipv4) | Field::Destination(Family::Ipv4) => 7,
        Field::Source(Family::Ipv6) | Field::Destination(Family::Ipv6) => 8,
        Field::Protocol => 12,
        Field::SourcePort | Field::DestinationPort => 13,
        Field::Mark { .. } | Field::ConnectionMark { .. } => MARK,
        Field::Icmpv6Type => 29,
        Field::InputDevice | Field::OutputDevice => 41,
        Field::Random { .. } => INTEGER,
    }
}

/// The name and width of a type that the sets we make can have.
pub fn type_of_number(number: u32) -> Option<(&'static str, usize)> {
    match number {
        7 => Some(("ipv4_addr", 4)),
        8 => Some(("ipv6_addr", 16)),
        12 => Some(("inet_proto", 1)),
        13 => Some(("inet_service", 2)),
        MARK => Some(("mark", 4)),
        41 => Some(("ifname", DEVICE_WIDTH)),
        _ => None,
    }
}

/// The type of a concatenation: six bits a field. More than five do not fit: nft then lists the elements
/// wrongly, those of its own making too, and the kernel does not mind.
pub fn concatenated_type(fields: &[Field]) -> u32 {
    let number = |field| match (type_number(field), fields) {
        // nft ends itself when it meets an integer without a size.
        (INTEGER, [_, _, ..]) => MARK,
        (number, _) => number,
    };
    fields.iter().fold(0, |whole: u32, field| whole.wrapping_shl(6) | number(*field))
}

pub fn is_host_order(field: Field) -> bool {
    matches!(field, Field::Mark { .. } | Field::ConnectionMark { .. } | Field::Random { .. })
}

/// nft's note of how a key of one field is to be listed: devices, for one, come out empty without.
pub fn byte_order(field: Field, order: Order) -> u32 {
    let is_header_field = match field {
        Field::Source(_) | Field::Destination(_) => true,
        Field::SourcePort | Field::DestinationPort | Field::Icmpv6Type => true,
        Field::Protocol | Field::NetworkFamily => false,
        Field::InputDevice | Field::OutputDevice => false,
        Field::Mark { .. } | Field::ConnectionMark { .. } | Field::Random { .. } => false,
    };
    if is_header_field || order == Order::Sortable { user_data::BIG_ENDIAN } else { user_data::HOST_ORDER }
}

pub fn value_bytes(field: Field, value: &Value, order: Order) -> Vec<u8> {
    let number = |number: u32| match order {
        Order::Register => number.to_ne_bytes().to_vec(),
        Order::Sortable => number.to_be_bytes().to_vec(),
    };
    let mut bytes = match value {
        Value::Address(address) => address_bytes(*address),
        Value::Port(port) => port.to_be_bytes().to_vec(),
        Value::Byte(byte) => vec![*byte],
        Value::Device(name) => name.as_bytes().to_vec(),
        Value::Family(family) => vec![family.number()],
        Value::Mark(value) | Value::Number(value) => number(*value),
    };
    bytes.resize(width(field), 0);
    bytes
}

/// The lowest bytes of a number, big endian: addresses and masks.
pub fn bits_bytes(bits: u128, width: usize) -> Vec<u8> {
    let bytes = bits.to_be_bytes();
    bytes.get(bytes.len().saturating_sub(width)..).unwrap_or(&bytes).to_vec()
}

/// Spans of a named set. Neighbours that touch each keep their own end: the kernel wants it so.
pub fn span_entry(field: Field, span: Span) -> Entry<'static> {
    let width = width(field);
    interval_entry(bits_bytes(span.low, width), bits_bytes(span.high, width), None)
}

pub fn single_entry<'a>(field: Field, range: &ValueRange, verdict: Option<&'a Verdict>) -> Entry<'a> {
    Entry { key: value_bytes(field, &range.low, Order::Register), upper: Upper::Same, verdict }
}

pub fn range_entry<'a>(field: Field, range: &ValueRange, verdict: Option<&'a Verdict>) -> Entry<'a> {
    let bytes = |value| value_bytes(field, value, Order::Sortable);
    interval_entry(bytes(&range.low), bytes(&range.high), verdict)
}

fn interval_entry(low: Vec<u8>, high: Vec<u8>, verdict: Option<&Verdict>) -> Entry<'_> {
    Entry { key: low, upper: successor(high).map_or(Upper::Open, Upper::Before), verdict }
}

/// One entry of a concatenated set; with `Order::Sortable` as a box with lower and upper corner.
pub fn concatenated_entry<'a>(
    fields: &[Field],
    ranges: &[ValueRange],
    order: Order,
    verdict: &'a Verdict,
) -> Entry<'a> {
    let (mut low, mut high) = (Vec::new(), Vec::new());
    for (field, range) in fields.iter().zip(ranges) {
        for (corner, value) in [(&mut low, &range.low), (&mut high, &range.high)] {
            let end = corner.len() + padded_width(*field);
            corner.extend(value_bytes(*field, value, order));
            corner.resize(end, 0);
        }
    }
    let upper = match order {
        Order::Register => Upper::Same,
        Order::Sortable => Upper::Last(high),
    };
    Entry { key: low, upper, verdict: Some(verdict) }
}

/// The next value of the same width; `None` after the last.
fn successor(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    for byte in bytes.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(bytes);
        }
    }
    None
}
