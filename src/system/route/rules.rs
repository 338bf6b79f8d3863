//! Rules on the wire.

use crate::address::{Family, Prefix};
use crate::network::{IpRule, RuleAction};
use crate::system::netlink::{Attributes, Payload};

use super::addresses::{family_of, parse, put_prefix};

/// struct fib_rule_hdr.
const HEADER: usize = 12;
const INVERTED: u32 = 0x2;

/// FRA_*.
mod attribute {
    pub const TO: u16 = 1;
    pub const FROM: u16 = 2;
    pub const INPUT_DEVICE: u16 = 3;
    pub const PRIORITY: u16 = 6;
    pub const MARK: u16 = 10;
    pub const SUPPRESS_GROUP: u16 = 13;
    pub const SUPPRESS_LENGTH: u16 = 14;
    pub const TABLE: u16 = 15;
    pub const MARK_MASK: u16 = 16;
    pub const OUTPUT_DEVICE: u16 = 17;
    pub const PADDING: u16 = 18;
    pub const PROTOCOL: u16 = 21;
}

/// FR_ACT_*.
mod action {
    pub const LOOKUP: u8 = 1;
    pub const BLACKHOLE: u8 = 6;
    pub const UNREACHABLE: u8 = 7;
    pub const PROHIBIT: u8 = 8;
}

pub(super) fn header(family: Family) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = family.number();
    header
}

pub fn decode(payload: &[u8]) -> Option<IpRule> {
    let [family, to_length, from_length, tos, table, _, _, action, flags @ ..] =
        *payload.first_chunk::<HEADER>()?;
    let family = family_of(family)?;
    let mut rule = IpRule::new(family, 0, RuleAction::Other(action), 0);
    rule.tos = tos;
    rule.inverted = u32::from_ne_bytes(flags) & INVERTED != 0;
    let (mut table, mut mark, mut mask) = (u32::from(table), None, None);
    for attribute in Attributes::new(payload.get(HEADER..)?) {
        match attribute.kind {
            attribute::TO => rule.to = Some(Prefix::new(parse(family, attribute.value)?, to_length)),
            attribute::FROM => rule.from = Some(Prefix::new(parse(family, attribute.value)?, from_length)),
            attribute::INPUT_DEVICE => rule.input_device = Some(attribute.text()),
            attribute::OUTPUT_DEVICE => rule.output_device = Some(attribute.text()),
            attribute::PRIORITY => rule.priority = attribute.u32()?,
            attribute::MARK => mark = attribute.u32(),
            attribute::MARK_MASK => mask = attribute.u32(),
            attribute::TABLE => table = attribute.u32()?,
            attribute::PROTOCOL => rule.protocol = attribute.u8()?,
            attribute::PADDING => {}
            // The kernel's way to say "none".
            attribute::SUPPRESS_GROUP | attribute::SUPPRESS_LENGTH if attribute.u32() == Some(u32::MAX) => {}
            other => {
                rule.other.insert(other, attribute.value.to_vec());
            }
        }
    }
    // A mark of zero is left out, a mask never.
    if mark.is_some() || mask.is_some() {
        rule.mark = Some((mark.unwrap_or(0), mask.unwrap_or(u32::MAX)));
    }
    rule.action = match action {
        action::LOOKUP => RuleAction::Lookup(table),
        action::BLACKHOLE => RuleAction::Blackhole,
        action::UNREACHABLE => RuleAction::Unreachable,
        action::PROHIBIT => RuleAction::Prohibit,
        other => RuleAction::Other(other),
    };
    Some(rule.canonical())
}

/// For adding and for deleting alike: naming everything is what makes a deletion exact.
pub fn encode(rule: &IpRule) -> Payload {
    let (action, table) = match rule.action {
        RuleAction::Lookup(table) => (action::LOOKUP, table),
        RuleAction::Blackhole => (action::BLACKHOLE, 0),
        RuleAction::Unreachable => (action::UNREACHABLE, 0),
        RuleAction::Prohibit => (action::PROHIBIT, 0),
        RuleAction::Other(other) => (other, 0),
    };
    let length = |prefix: Option<Prefix>| prefix.map_or(0, Prefix::length);
    let mut header = header(rule.family);
    header[1..5].copy_from_slice(&[
        length(rule.to),
        length(rule.from),
        rule.tos,
        // Tables that do not fit are told by the attribute alone.
        u8::try_from(table).unwrap_or(0),
    ]);
    header[7] = action;
    let flags = if rule.inverted { INVERTED } else { 0 };
    header[8..].copy_from_slice(&flags.to_ne_bytes());
    let mut payload = Payload::new(&header);
    payload.put_u32(attribute::PRIORITY, rule.priority);
    put_prefix(&mut payload, attribute::TO, rule.to);
    put_prefix(&mut payload, attribute::FROM, rule.from);
    if let Some(device) = &rule.input_device {
        payload.put_text(attribute::INPUT_DEVICE, device);
    }
    if let Some(device) = &rule.output_device {
        payload.put_text(attribute::OUTPUT_DEVICE, device);
    }
    if let Some((mark, mask)) = rule.mark {
        payload.put_u32(attribute::MARK, mark);
        payload.put_u32(attribute::MARK_MASK, mask);
    }
    if action == action::LOOKUP {
        payload.put_u32(attribute::TABLE, table);
    }
    payload.put_u8(attribute::PROTOCOL, rule.protocol);
    for (kind, value) in &rule.other {
        payload.put(*kind, value);
    }
    payload
}
