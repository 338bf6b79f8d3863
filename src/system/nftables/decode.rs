//! What the kernel answers about our table, as values. Pure; whatever the bytes are, it does not fail: what
//! cannot be read is left out.

use crate::address::Span;
use crate::nft::{BaseChain, BaseKind, Hook, ObservedChain, ObservedRule};
use crate::sorted::sort_by;

use super::super::netlink::{Attribute, Attributes};
use super::key;
use super::numbers::expression::{self, counter};
use super::numbers::{LIST_ITEM, chain, data, elements, rule, set, table, user_data};

/// Every answer starts with family, version and the generation of the whole ruleset.
const HEADER: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedSet {
    pub name: String,
    /// nft's name of the key's type and the key's width; `None` for types we never use.
    pub key: Option<(&'static str, usize)>,
    pub is_dynamic: bool,
    /// Its elements are starts and ends instead of values.
    pub is_interval: bool,
    /// We made it, to keep its elements exact.
    pub is_computed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedRule {
    pub chain: String,
    /// Unlike that of any other rule.
    pub handle: u64,
    pub rule: ObservedRule,
}

/// One side of an interval, as the kernel keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub value: u128,
    /// Ends sort before the start of the next interval at the same value.
    pub is_start: bool,
}

/// Counts up with every transaction of anybody.
pub fn generation(payload: &[u8]) -> Option<u16> {
    let [_, _, high, low] = *payload.first_chunk::<HEADER>()?;
    Some(u16::from_be_bytes([high, low]))
}

pub fn table_name(payload: &[u8]) -> Option<String> {
    attribute(payload, table::NAME).map(|name| name.text())
}

/// Somebody switched the table off.
pub fn is_dormant(payload: &[u8]) -> bool {
    let flags = attribute(payload, table::FLAGS).and_then(|flags| flags.be32()).unwrap_or(0);
    flags & table::DORMANT != 0
}

/// Name and content of a chain of `table`; chains that belong to a rule are part of that rule.
pub fn chain(payload: &[u8], table: &str) -> Option<(String, ObservedChain)> {
    let belongs = attribute(payload, chain::TABLE)?.text() == table;
    let flags = attribute(payload, chain::FLAGS).and_then(|flags| flags.be32()).unwrap_or(0);
    if !belongs || flags & chain::BINDING != 0 {
        return None;
    }
    let name = attribute(payload, chain::NAME)?.text();
    let is_base = attribute(payload, chain::HOOK).is_some();
    let base = base_chain(payload);
    Some((name, ObservedChain { is_foreign: is_base && base.is_none(), base, rules: Vec::new() }))
}

/// A rule of `table`: where it stands, and what tells us whether it is as we want it.
pub fn rule(payload: &[u8], table: &str) -> Option<DecodedRule> {
    if attribute(payload, rule::TABLE)?.text() != table {
        return None;
    }
    let chain = attribute(payload, rule::CHAIN)?.text();
    let fingerprint = attribute(payload, rule::USER_DATA)
        .and_then(|data| user_data_value(data.value, user_data::FINGERPRINT))
        .and_then(|value| value.try_into().ok())
        .map(u64::from_be_bytes);
    let counter = attribute(payload, rule::EXPRESSIONS).and_then(|list| list.nested().find_map(counted));
    let handle = attribute(payload, rule::HANDLE)?.be64()?;
    Some(DecodedRule { chain, handle, rule: ObservedRule { fingerprint, counter } })
}

/// A set with a name, of `table`; the others are part of their rule.
pub fn set(payload: &[u8], table: &str) -> Option<DecodedSet> {
    if attribute(payload, set::TABLE)?.text() != table {
        return None;
    }
    let flags = attribute(payload, set::FLAGS).and_then(|flags| flags.be32()).unwrap_or(0);
    if flags & set::ANONYMOUS != 0 {
        return None;
    }
    let key = attribute(payload, set::KEY_TYPE)
        .and_then(|number| key::type_of_number(number.be32()?))
        .filter(|_| flags & set::MAP == 0);
    let marker =
        attribute(payload, set::USER_DATA).and_then(|data| user_data_value(data.value, user_data::COMPUTED));
    Some(DecodedSet {
        name: attribute(payload, set::NAME)?.text(),
        key,
        is_dynamic: flags & set::DYNAMIC != 0,
        is_interval: flags & set::INTERVAL != 0,
        is_computed: marker.is_some() && flags & set::INTERVAL != 0,
    })
}

/// The elements in one answer, of a set whose key is `width` bytes.
pub fn edges(payload: &[u8], width: usize) -> Vec<Edge> {
    let list = attribute(payload, elements::LIST);
    let items = list.iter().flat_map(Attribute::nested).filter(|item| item.kind == LIST_ITEM);
    items.filter_map(|item| edge(&item, width)).collect()
}

/// Intervals from their edges. An interval without an end reaches to the next start, or to the top.
pub fn spans(mut edges: Vec<Edge>, width: usize) -> Vec<Span> {
    sort_by(&mut edges, &Edge::cmp);
    edges.dedup();
    let top =
        1u128.checked_shl(u32::try_from(width).unwrap_or(16).saturating_mul(8)).map_or(u128::MAX, |v| v - 1);
    let high_before = |next: Option<&Edge>| next.map_or(Some(top), |next| next.value.checked_sub(1));
    edges
        .iter()
        .enumerate()
        .filter(|(_, edge)| edge.is_start)
        .filter_map(|(position, edge)| {
            let high = high_before(edges.get(position + 1))?;
            (edge.value <= high).then_some(Span { low: edge.value, high })
        })
        .collect()
}

fn base_chain(payload: &[u8]) -> Option<BaseChain> {
    let hook = attribute(payload, chain::HOOK)?;
    let hooked = |kind| find(hook.nested(), kind).and_then(|number| number.be32());
    let policy = attribute(payload, chain::POLICY).and_then(|policy| policy.be32());
    if policy.is_some_and(|policy| policy != chain::POLICY_ACCEPT) {
        return None;
    }
    Some(BaseChain {
        kind: match attribute(payload, chain::KIND)?.text().as_str() {
            "filter" => BaseKind::Filter,
            "route" => BaseKind::Route,
            "nat" => BaseKind::Nat,
            _ => return None,
        },
        hook: match hooked(chain::HOOK_NUMBER)? {
            chain::PREROUTING => Hook::Prerouting,
            chain::OUTPUT => Hook::Output,
            chain::POSTROUTING => Hook::Postrouting,
            _ => return None,
        },
        priority: hooked(chain::HOOK_PRIORITY)? as i32,
    })
}

/// Packets and bytes, if the expression is a counter.
fn counted(item: Attribute<'_>) -> Option<(u64, u64)> {
    if find(item.nested(), expression::NAME)?.text() != "counter" {
        return None;
    }
    let numbers = find(item.nested(), expression::DATA)?;
    let number = |kind| find(numbers.nested(), kind).and_then(|number| number.be64());
    Some((number(counter::PACKETS)?, number(counter::BYTES)?))
}

fn edge(item: &Attribute<'_>, width: usize) -> Option<Edge> {
    let value = find(find(item.nested(), elements::KEY)?.nested(), data::VALUE)?.value;
    if value.len() != width || width > size_of::<u128>() {
        return None;
    }
    let flags = find(item.nested(), elements::FLAGS).and_then(|flags| flags.be32()).unwrap_or(0);
    Some(Edge {
        value: value.iter().fold(0, |number, byte| number << 8 | u128::from(*byte)),
        is_start: flags & elements::INTERVAL_END == 0,
    })
}

fn user_data_value(mut bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [kind, length, rest @ ..] = bytes {
        let value = rest.get(..usize::from(*length))?;
        if *kind == wanted {
            return Some(value);
        }
        bytes = rest.get(value.len()..)?;
    }
    None
}

fn attribute(payload: &[u8], kind: u16) -> Option<Attribute<'_>> {
    find(Attributes::new(payload.get(HEADER..)?), kind)
}

fn find(mut attributes: Attributes<'_>, kind: u16) -> Option<Attribute<'_>> {
    attributes.find(|attribute| attribute.kind == kind)
}
