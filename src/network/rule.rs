//! One ip rule, wanted or observed. `Display` is iproute2's syntax.

use std::cmp::Ordering;
use std::fmt;

use crate::address::{Family, Prefix};
use crate::sorted::{SortedMap, plain_keys, sort_by};

use super::route::write_protocol;
use super::{TABLE_LOCAL, TABLE_MAIN};

plain_keys! { IpRule; }

#[derive(Clone, Debug, Eq, PartialOrd, Ord)]
pub struct IpRule {
    pub family: Family,
    pub priority: u32,
    pub inverted: bool,
    pub from: Option<Prefix>,
    pub to: Option<Prefix>,
    pub tos: u8,
    /// Value and mask.
    pub mark: Option<(u32, u32)>,
    pub input_device: Option<String>,
    pub output_device: Option<String>,
    pub action: RuleAction,
    pub protocol: u8,
    /// Selectors we have no use for; a rule that has any is never one of ours.
    pub other: SortedMap<u16, Vec<u8>>,
}

/// By way of the order, which is there anyway.
impl PartialEq for IpRule {
    fn eq(&self, other: &IpRule) -> bool {
        self.cmp(other).is_eq()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleAction {
    Lookup(u32),
    Blackhole,
    Unreachable,
    Prohibit,
    /// goto, nop and whatever the kernel learns next.
    Other(u8),
}

impl IpRule {
    pub fn new(family: Family, priority: u32, action: RuleAction, protocol: u8) -> IpRule {
        IpRule {
            family,
            priority,
            inverted: false,
            from: None,
            to: None,
            tos: 0,
            mark: None,
            input_device: None,
            output_device: None,
            action,
            protocol,
            other: SortedMap::new(),
        }
    }

    /// The form in which the kernel reports this rule once it has it. Equal forms are equal rules.
    pub fn canonical(&self) -> IpRule {
        let mut rule = self.clone();
        for prefix in [&mut rule.from, &mut rule.to] {
            if prefix.is_some_and(|prefix| prefix.length() == 0) {
                *prefix = None;
            }
        }
        rule
    }

    fn bytes<const N: usize>(&self, kind: u16) -> Option<[u8; N]> {
        self.other.get(&kind)?.first_chunk().copied()
    }

    fn number(&self, kind: u16) -> Option<u32> {
        self.bytes(kind).map(u32::from_ne_bytes)
    }

    /// Equal but for the owner: what an earlier installation may have left behind.
    pub fn is_twin_of(&self, other: &IpRule) -> bool {
        self.of_owner(other.protocol) == *other
    }

    pub fn of_owner(&self, protocol: u8) -> IpRule {
        let mut rule = self.clone();
        rule.protocol = protocol;
        rule
    }
}

/// One sort for all orders: of each closure the compiler would make another.
pub(crate) fn sort_rules(rules: &mut [&IpRule], order: &dyn Fn(&IpRule, &IpRule) -> Ordering) {
    sort_by(rules, &|one, other| order(one, other));
}

/// As `ip rule` lists it.
impl fmt::Display for IpRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:\t{}", self.priority, RuleBody(self))
    }
}

/// A rule as the object of a command.
#[derive(Clone, Copy, Debug)]
pub struct RuleCommand<'a> {
    pub verb: &'a str,
    pub rule: &'a IpRule,
}

impl fmt::Display for RuleCommand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = match self.rule.family {
            Family::Ipv4 => "-4",
            Family::Ipv6 => "-6",
        };
        write!(f, "ip {flag} rule {} pref {} {}", self.verb, self.rule.priority, RuleBody(self.rule))
    }
}

struct RuleBody<'a>(&'a IpRule);

impl fmt::Display for RuleBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = self.0;
        write_selectors(f, rule)?;
        write_other_selectors(f, rule)?;
        let (action, number) = match rule.action {
            RuleAction::Lookup(0) => ("", None),
            RuleAction::Lookup(TABLE_MAIN) => (" lookup main", None),
            RuleAction::Lookup(TABLE_LOCAL) => (" lookup local", None),
            RuleAction::Lookup(TABLE_DEFAULT) => (" lookup default", None),
            RuleAction::Lookup(table) => (" lookup ", Some(table)),
            RuleAction::Blackhole => (" blackhole", None),
            RuleAction::Unreachable => (" unreachable", None),
            RuleAction::Prohibit => (" prohibit", None),
            RuleAction::Other(GOTO) => (" goto ", Some(rule.number(attribute::GOTO).unwrap_or(0))),
            RuleAction::Other(NOP) => (" nop", None),
            RuleAction::Other(number) => (" action ", Some(u32::from(number))),
        };
        f.write_str(action)?;
        if let Some(number) = number {
            write!(f, "{number}")?;
        }
        if let Some(length) = rule.number(attribute::SUPPRESS_LENGTH) {
            write!(f, " suppress_prefixlength {length}")?;
        }
        if let Some(group) = rule.number(attribute::SUPPRESS_GROUP) {
            write!(f, " suppress_ifgroup {group}")?;
        }
        // iproute2 hides "kernel" in rule listings, and so do we: every box has those three.
        match rule.protocol {
            0 | 2 => Ok(()),
            number => write_protocol(f, number),
        }
    }
}

fn write_selectors(f: &mut fmt::Formatter<'_>, rule: &IpRule) -> fmt::Result {
    f.write_str(if rule.inverted { "not " } else { "" })?;
    match &rule.from {
        Some(from) => write!(f, "from {from}")?,
        None => f.write_str("from all")?,
    }
    if let Some(to) = &rule.to {
        write!(f, " to {to}")?;
    }
    if rule.tos != 0 {
        write!(f, " tos {:#04x}", rule.tos)?;
    }
    match rule.mark {
        None => {}
        // C's `%#x` prints a zero without its prefix.
        Some((0, u32::MAX)) => f.write_str(" fwmark 0")?,
        Some((0, mask)) => write!(f, " fwmark 0/{mask:#x}")?,
        Some((value, u32::MAX)) => write!(f, " fwmark {value:#x}")?,
        Some((value, mask)) => write!(f, " fwmark {value:#x}/{mask:#x}")?,
    }
    if let Some(device) = &rule.input_device {
        write!(f, " iif {device}")?;
    }
    if let Some(device) = &rule.output_device {
        write!(f, " oif {device}")?;
    }
    Ok(())
}

fn write_other_selectors(f: &mut fmt::Formatter<'_>, rule: &IpRule) -> fmt::Result {
    if rule.other.contains_key(&attribute::L3_MASTER) {
        f.write_str(" lookup [l3mdev-table]")?;
    }
    if let Some([a, b, c, d, e, f1, g, h]) = rule.bytes(attribute::USERS) {
        let (low, high) = (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f1, g, h]));
        write!(f, " uidrange {low}-{high}")?;
    }
    if let Some([number]) = rule.bytes(attribute::TRANSPORT) {
        match number {
            1 => f.write_str(" ipproto icmp")?,
            6 => f.write_str(" ipproto tcp")?,
            17 => f.write_str(" ipproto udp")?,
            58 => f.write_str(" ipproto ipv6-icmp")?,
            number => write!(f, " ipproto ipproto-{number}")?,
        }
    }
    for (kind, name) in [(attribute::SOURCE_PORTS, "sport"), (attribute::DESTINATION_PORTS, "dport")] {
        if let Some([a, b, c, d]) = rule.bytes(kind) {
            match (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])) {
                (low, high) if low == high => write!(f, " {name} {low}")?,
                (low, high) => write!(f, " {name} {low}-{high}")?,
            }
        }
    }
    Ok(())
}

const TABLE_DEFAULT: u32 = 253;
/// FR_ACT_*.
const GOTO: u8 = 2;
const NOP: u8 = 3;

/// FRA_*: those in `other` that listings spell out.
mod attribute {
    pub const GOTO: u16 = 4;
    pub const SUPPRESS_GROUP: u16 = 13;
    pub const SUPPRESS_LENGTH: u16 = 14;
    pub const L3_MASTER: u16 = 19;
    pub const USERS: u16 = 20;
    pub const TRANSPORT: u16 = 22;
    pub const SOURCE_PORTS: u16 = 23;
    pub const DESTINATION_PORTS: u16 = 24;
}
