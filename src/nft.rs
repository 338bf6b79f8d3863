//! A small typed model of one nftables table of family `inet`: just the expressions we use.
//! `Display` (nft/text.rs) is nft's own syntax; system/nftables turns the same values into netlink bytes.
//! Both forms must make the same kernel objects, which a test shows by listing them.

mod build;
mod change_text;
mod diff;
mod observed_text;
mod text;

use std::net::IpAddr;

pub use build::element;
pub use diff::{Change, Observed, ObservedChain, ObservedRule, ObservedSet, diff, replacement};
pub use text::{comment_text, log_prefix};

use crate::address::{AddressMatch, Family, Span};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub sets: Vec<Set>,
    pub chains: Vec<Chain>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    pub name: String,
    pub key: Field,
    pub content: SetContent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetContent {
    /// Ours to keep exact. Intervals, sorted and disjoint.
    Computed(Vec<Span>),
    /// Intervals that others fill: created if missing, its elements never looked at or touched.
    External,
    /// Filled by the packet path; entries vanish after their timeout.
    Remembered,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    pub name: String,
    pub base: Option<BaseChain>,
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseChain {
    pub kind: BaseKind,
    pub hook: Hook,
    pub priority: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseKind {
    Filter,
    Route,
    Nat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Prerouting,
    Output,
    Postrouting,
}

#[derive(Clone, Debug, Default, Eq)]
pub struct Rule {
    pub statements: Vec<Statement>,
    pub comment: Option<String>,
}

/// By the text, which is all that a kernel's rule is made from.
impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.to_string() == other.to_string()
    }
}

/// What is compared, looked up or concatenated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    Source(Family),
    Destination(Family),
    /// Ports of whatever transport protocol: used below a test of the protocol.
    SourcePort,
    DestinationPort,
    Protocol,
    InputDevice,
    OutputDevice,
    NetworkFamily,
    Icmpv6Type,
    /// `meta mark & mask`
    Mark {
        mask: u32,
    },
    /// `ct mark & mask`
    ConnectionMark {
        mask: u32,
    },
    /// `numgen random mod n`
    Random {
        modulus: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    Address(IpAddr),
    Port(u16),
    /// An IP protocol or an ICMPv6 type.
    Byte(u8),
    Device(String),
    Family(Family),
    /// Marks, printed in hexadecimal.
    Mark(u32),
    /// Random numbers, printed in decimal.
    Number(u32),
}

/// Inclusive; `low == high` is a single value. Devices and families are always single.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueRange {
    pub low: Value,
    pub high: Value,
}

impl ValueRange {
    pub fn one(value: Value) -> ValueRange {
        ValueRange { low: value.clone(), high: value }
    }

    pub fn is_single(&self) -> bool {
        self.low == self.high
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    Is,
    IsNot,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// `tcp dport 80`, `meta mark & M == 0`, `ip saddr 10.0.0.0-10.0.0.9`
    Compare {
        field: Field,
        relation: Relation,
        range: ValueRange,
    },
    /// `ip saddr & 0.0.0.1 == 0.0.0.1`: any mask, also prefixes.
    CompareAddress {
        field: Field,
        relation: Relation,
        address: AddressMatch,
    },
    /// `ip daddr @name`
    InSet {
        field: Field,
        relation: Relation,
        set: String,
    },
    /// `tcp dport { 80, 443 }`; at least one element, disjoint.
    InList {
        field: Field,
        relation: Relation,
        list: Vec<ValueRange>,
    },
    /// `ip daddr . th dport vmap { … }`: each element has one range per field; elements are disjoint.
    Dispatch {
        fields: Vec<Field>,
        elements: Elements,
    },
    Counter,
    Log {
        prefix: String,
        level: u32,
    },
    /// `meta mark set meta mark & !mask | value`
    SetMark {
        mask: u32,
        value: u32,
    },
    /// `ct mark set ct mark & !mask | value`
    SetConnectionMark {
        mask: u32,
        value: u32,
    },
    /// `ct label set 7`: one of 128 bits of the connection, which packets can set and never clear.
    SetConnectionLabel {
        bit: u8,
    },
    /// `update @name { ip saddr timeout 600s }`
    Remember {
        set: String,
        field: Field,
        timeout_s: u32,
    },
    /// `snat ip6 to 2001:db8::2`
    SourceNat(IpAddr),
    Verdict(Verdict),
}

/// Ranges, one for each field of the map, and what becomes of packets in them.
pub type Elements = Vec<(Vec<ValueRange>, Verdict)>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    Accept,
    Return,
    Jump(String),
    Goto(String),
}

impl Rule {
    /// Tells two rules apart by content. Kept with each rule in the kernel, so that a chain whose rules
    /// are already right is left alone with its counters. FNV-1a of the text form: stable over hosts.
    pub fn fingerprint(&self) -> u64 {
        fingerprint(self.to_string().as_bytes())
    }
}

/// The same table for a kernel that cannot do everything we like to have; `None` where it does without anyway.
pub fn without(table: &Table, is_missing: fn(&Statement) -> bool) -> Option<Table> {
    let (mut table, mut is_other) = (table.clone(), false);
    for chain in &mut table.chains {
        for rule in &mut chain.rules {
            let before = rule.statements.len();
            rule.statements.retain(|statement| !is_missing(statement));
            is_other |= rule.statements.len() != before;
        }
        chain.rules.retain(|rule| !rule.statements.is_empty());
    }
    is_other.then_some(table)
}

impl Chain {
    pub fn is_nat(&self) -> bool {
        self.base.as_ref().is_some_and(|base| base.kind == BaseKind::Nat)
    }
}

/// The changes for a kernel that cannot translate addresses.
pub fn without_nat(mut changes: Vec<Change<'_>>) -> Vec<Change<'_>> {
    let mut of_nat = Vec::new();
    for change in &changes {
        if let Change::AddChain(chain) = change
            && chain.is_nat()
        {
            of_nat.push(&*chain.name);
        }
    }
    changes.retain(|change| match change {
        Change::AddChain(chain) => !chain.is_nat(),
        Change::AddRule { chain, .. } => !of_nat.contains(chain),
        _ => true,
    });
    changes
}

pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
