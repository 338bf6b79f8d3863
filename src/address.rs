//! Address arithmetic shared by configuration, plan and kernel edge: families, prefixes, port ranges,
//! and spans (inclusive intervals) with merging. Values only.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::Serialize;

use crate::sorted::sort_by;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    pub const BOTH: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    /// The kernel's AF_INET or AF_INET6.
    pub fn number(self) -> u8 {
        match self {
            Family::Ipv4 => 2,
            Family::Ipv6 => 10,
        }
    }

    pub fn bits(self) -> u8 {
        match self {
            Family::Ipv4 => 32,
            Family::Ipv6 => 128,
        }
    }

    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }

    /// All ones in this family's width: the last address.
    pub fn last(self) -> u128 {
        match self {
            Family::Ipv4 => u128::from(u32::MAX),
            Family::Ipv6 => u128::MAX,
        }
    }

    pub fn address(self, bits: u128) -> IpAddr {
        match self {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::from((bits & u128::from(u32::MAX)) as u32)),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::from(bits)),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
        })
    }
}

pub fn address_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(u32::from(a)),
        IpAddr::V6(a) => u128::from(a),
    }
}

/// The network mask of a prefix length, right-aligned in the family's width.
pub fn mask_bits(family: Family, length: u8) -> u128 {
    let host = u32::from(family.bits().saturating_sub(length));
    family.last() & !(1u128.checked_shl(host).map_or(u128::MAX, |v| v - 1))
}

/// A network in CIDR form. The host bits are always zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    pub fn new(address: IpAddr, length: u8) -> Prefix {
        let family = Family::of(address);
        let length = length.min(family.bits());
        Prefix { address: family.address(address_bits(address) & mask_bits(family, length)), length }
    }

    pub fn host(address: IpAddr) -> Prefix {
        Prefix { address, length: Family::of(address).bits() }
    }

    pub fn any(family: Family) -> Prefix {
        Prefix { address: family.address(0), length: 0 }
    }

    pub fn address(self) -> IpAddr {
        self.address
    }

    pub fn length(self) -> u8 {
        self.length
    }

    pub fn family(self) -> Family {
        Family::of(self.address)
    }

    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == self.family() && self.span().contains(address_bits(address))
    }

    pub fn span(self) -> Span {
        let low = address_bits(self.address);
        Span { low, high: low | (self.family().last() & !mask_bits(self.family(), self.length)) }
    }
}

/// Host addresses are shown without their length, as iproute2 and the shell package do.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == self.family().bits() {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.length)
        }
    }
}

impl FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Prefix, ()> {
        match text.split_once('/') {
            None => Ok(Prefix::host(text.parse().map_err(drop)?)),
            Some((address, length)) => {
                let address: IpAddr = address.parse().map_err(drop)?;
                let length: u8 = length.parse().map_err(drop)?;
                if length > Family::of(address).bits() { Err(()) } else { Ok(Prefix::new(address, length)) }
            }
        }
    }
}

impl Serialize for Prefix {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An address test `address & mask == value`, which covers plain addresses, prefixes and the odd masks
/// (0.0.0.1/0.0.0.1) people use to split odd from even sources. Value bits outside the mask are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressMatch {
    pub family: Family,
    pub value: u128,
    pub mask: u128,
}

impl AddressMatch {
    pub fn new(family: Family, value: u128, mask: u128) -> AddressMatch {
        AddressMatch { family, value: value & mask & family.last(), mask: mask & family.last() }
    }

    pub fn matches(&self, address: IpAddr) -> bool {
        Family::of(address) == self.family && address_bits(address) & self.mask == self.value
    }

    /// The CIDR form, unless the mask has holes.
    pub fn prefix(&self) -> Option<Prefix> {
        let length = (self.mask << (128 - u32::from(self.family.bits())))
            .leading_ones()
            .min(u32::from(self.family.bits()));
        let length = length as u8;
        (mask_bits(self.family, length) == self.mask)
            .then(|| Prefix::new(self.family.address(self.value), length))
    }
}

impl From<Prefix> for AddressMatch {
    fn from(prefix: Prefix) -> AddressMatch {
        let family = prefix.family();
        AddressMatch::new(family, address_bits(prefix.address()), mask_bits(family, prefix.length()))
    }
}

impl fmt::Display for AddressMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix() {
            Some(prefix) => prefix.fmt(f),
            None => write!(f, "{}/{}", self.family.address(self.value), self.family.address(self.mask)),
        }
    }
}

/// An inclusive interval of unsigned values, wide enough for every key we use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    pub low: u128,
    pub high: u128,
}

impl Span {
    pub fn one(value: u128) -> Span {
        Span { low: value, high: value }
    }

    pub fn contains(self, value: u128) -> bool {
        self.low <= value && value <= self.high
    }

    pub fn overlaps(self, other: Span) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// Sorted, disjoint, with touching neighbours joined.
pub fn merge_spans(mut spans: Vec<Span>) -> Vec<Span> {
    sort_by(&mut spans, &Span::cmp);
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.low <= last.high.saturating_add(1) => last.high = last.high.max(span.high),
            _ => merged.push(span),
        }
    }
    merged
}

/// What is in `spans` (sorted, disjoint) but not in `taken` (sorted, disjoint).
pub fn subtract_spans(spans: &[Span], taken: &[Span]) -> Vec<Span> {
    let mut rest = Vec::new();
    for span in spans {
        let mut low = Some(span.low);
        for hole in taken.iter().filter(|hole| hole.overlaps(*span)) {
            let Some(from) = low else { break };
            if hole.low > from {
                rest.push(Span { low: from, high: hole.low - 1 });
            }
            low = hole.high.checked_add(1).filter(|next| *next <= span.high);
        }
        if let Some(from) = low {
            rest.push(Span { low: from, high: span.high });
        }
    }
    rest
}

/// The fewest prefixes that cover exactly this span.
pub fn span_prefixes(family: Family, span: Span) -> Vec<Prefix> {
    let mut prefixes = Vec::new();
    let mut low = span.low;
    loop {
        let room = span.high - low;
        let aligned = if low == 0 { 128 } else { low.trailing_zeros() };
        let fitting = room.checked_add(1).map_or(128, u128::ilog2);
        let host_bits = aligned.min(fitting).min(u32::from(family.bits()));
        prefixes.push(Prefix::new(family.address(low), family.bits() - host_bits as u8));
        let size_less_one = 1u128.checked_shl(host_bits).map_or(u128::MAX, |v| v - 1);
        match low.checked_add(size_less_one).and_then(|last| last.checked_add(1)) {
            Some(next) if next <= span.high => low = next,
            _ => return prefixes,
        }
    }
}

/// An inclusive range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    pub low: u16,
    pub high: u16,
}

impl PortRange {
    pub fn span(self) -> Span {
        Span { low: u128::from(self.low), high: u128::from(self.high) }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.low == self.high {
            write!(f, "{}", self.low)
        } else {
            write!(f, "{}-{}", self.low, self.high)
        }
    }
}
