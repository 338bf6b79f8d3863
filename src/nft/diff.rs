//! From what the kernel holds of our table to what we want of it, in as few changes as do it. A chain is
//! the unit: one whose rules are already right is not touched and keeps its counters.

use std::borrow::Cow;

use crate::address::Span;
use crate::sorted::{SortedMap, SortedSet};

use super::{BaseChain, Chain, Field, Rule, Set, SetContent, Statement, Table};

/// Our table as the kernel holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub exists: bool,
    /// Somebody switched it off: its chains are there and see no packet.
    pub is_dormant: bool,
    pub sets: SortedMap<String, ObservedSet>,
    pub chains: SortedMap<String, ObservedChain>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedSet {
    /// As `Field::type_name` says it; empty for a type we never use.
    pub key_type: String,
    /// The packet path fills it.
    pub is_dynamic: bool,
    /// Elements, sorted, of the sets we keep exact; `None` for sets that others fill.
    pub elements: Option<Vec<Span>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedChain {
    pub base: Option<BaseChain>,
    /// A base chain unlike any we make: another kind, hook or policy.
    pub is_foreign: bool,
    pub rules: Vec<ObservedRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObservedRule {
    /// As written when the rule was loaded; `None` for a rule somebody else put there.
    pub fingerprint: Option<u64>,
    /// Packets and bytes.
    pub counter: Option<(u64, u64)>,
}

/// One message of a transaction, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    AddTable,
    AddSet(&'a Set),
    AddElements { set: &'a str, key: Field, spans: Cow<'a, [Span]> },
    DeleteElements { set: &'a str, key: Field, spans: Vec<Span> },
    AddChain(&'a Chain),
    FlushChain(&'a str),
    AddRule { chain: &'a str, rule: &'a Rule },
    DeleteChain(&'a str),
    DeleteSet(&'a str),
    DeleteTable,
}

/// `wanted: None` is the empty plan: no table at all.
pub fn diff<'a>(observed: &'a Observed, wanted: Option<&'a Table>) -> Vec<Change<'a>> {
    match wanted {
        None if observed.exists => vec![Change::DeleteTable],
        None => Vec::new(),
        Some(wanted) if !observed.exists => everything(wanted),
        Some(wanted)
            if observed.is_dormant || wanted.chains.iter().any(|chain| is_incompatible(observed, chain)) =>
        {
            replacement(wanted)
        }
        Some(wanted) => differences(observed, wanted),
    }
}

/// The table made anew, whatever the kernel holds: remembered entries and counters are lost.
pub fn replacement(wanted: &Table) -> Vec<Change<'_>> {
    // Adding it first makes the deletion succeed where there is none.
    let mut changes = vec![Change::AddTable, Change::DeleteTable];
    changes.extend(everything(wanted));
    changes
}

fn everything(wanted: &Table) -> Vec<Change<'_>> {
    let mut changes = vec![Change::AddTable];
    for set in &wanted.sets {
        changes.push(Change::AddSet(set));
        if let SetContent::Computed(spans) = &set.content
            && !spans.is_empty()
        {
            changes.push(Change::AddElements { set: &set.name, key: set.key, spans: spans.into() });
        }
    }
    changes.extend(wanted.chains.iter().map(Change::AddChain));
    for chain in &wanted.chains {
        changes.extend(chain.rules.iter().map(|rule| Change::AddRule { chain: &chain.name, rule }));
    }
    changes
}

fn differences<'a>(observed: &'a Observed, wanted: &'a Table) -> Vec<Change<'a>> {
    let unusable: SortedSet<&str> = wanted
        .sets
        .iter()
        .filter(|set| observed.sets.get(&set.name).is_some_and(|held| !fits(held, set)))
        .map(|set| set.name.as_str())
        .collect();
    let changed: Vec<&Chain> = wanted
        .chains
        .iter()
        .filter(|chain| !is_loaded(observed.chains.get(&chain.name), chain) || uses(chain, &unusable))
        .collect();
    let stale_chains = missing(observed.chains.keys(), wanted.chains.iter().map(|chain| &chain.name));
    let stale_sets = missing(observed.sets.keys(), wanted.sets.iter().map(|set| &set.name));

    let mut changes = Vec::new();
    // Flushed before anything is deleted, so that nothing refers to what goes.
    changes.extend(stale_chains.iter().map(|name| Change::FlushChain(name)));
    for chain in &changed {
        match observed.chains.get(&chain.name) {
            Some(held) if held.rules.is_empty() => {}
            Some(_) => changes.push(Change::FlushChain(&chain.name)),
            None => changes.push(Change::AddChain(chain)),
        }
    }
    changes.extend(unusable.iter().map(|name| Change::DeleteSet(name)));
    for set in &wanted.sets {
        let held = observed.sets.get(&set.name).filter(|_| !unusable.contains(set.name.as_str()));
        set_changes(held, set, &mut changes);
    }
    for chain in &changed {
        changes.extend(chain.rules.iter().map(|rule| Change::AddRule { chain: &chain.name, rule }));
    }
    changes.extend(stale_chains.iter().map(|name| Change::DeleteChain(name)));
    changes.extend(stale_sets.iter().map(|name| Change::DeleteSet(name)));
    changes
}

fn set_changes<'a>(held: Option<&ObservedSet>, wanted: &'a Set, changes: &mut Vec<Change<'a>>) {
    if held.is_none() {
        changes.push(Change::AddSet(wanted));
    }
    let SetContent::Computed(spans) = &wanted.content else { return };
    let held = held.and_then(|held| held.elements.as_deref()).unwrap_or(&[]);
    // Whole intervals come and go: one that grows is a delete and an add.
    let gone: Vec<Span> = held.iter().filter(|span| spans.binary_search(span).is_err()).copied().collect();
    let new: Vec<Span> = spans.iter().filter(|span| held.binary_search(span).is_err()).copied().collect();
    if !gone.is_empty() {
        changes.push(Change::DeleteElements { set: &wanted.name, key: wanted.key, spans: gone });
    }
    if !new.is_empty() {
        changes.push(Change::AddElements { set: &wanted.name, key: wanted.key, spans: new.into() });
    }
}

fn missing<'n>(
    held: impl Iterator<Item = &'n String>,
    wanted: impl Iterator<Item = &'n String>,
) -> Vec<&'n str> {
    let wanted: SortedSet<&str> = wanted.map(String::as_str).collect();
    held.map(String::as_str).filter(|name| !wanted.contains(name)).collect()
}

/// The kernel cannot change what a set is compared by or filled with: one that differs is made anew.
fn fits(held: &ObservedSet, wanted: &Set) -> bool {
    held.key_type == wanted.key.type_name()
        && match wanted.content {
            SetContent::Computed(_) => held.elements.is_some(),
            // One that we filled ourselves until now holds what nobody wants any more.
            SetContent::External => held.elements.is_none(),
            SetContent::Remembered => held.is_dynamic,
        }
}

fn uses(chain: &Chain, sets: &SortedSet<&str>) -> bool {
    chain.rules.iter().flat_map(|rule| &rule.statements).any(|statement| match statement {
        Statement::InSet { set, .. } | Statement::Remember { set, .. } => sets.contains(set.as_str()),
        _ => false,
    })
}

fn is_loaded(held: Option<&ObservedChain>, wanted: &Chain) -> bool {
    held.is_some_and(|held| {
        held.rules.len() == wanted.rules.len()
            && held
                .rules
                .iter()
                .zip(&wanted.rules)
                .all(|(held, rule)| held.fingerprint == Some(rule.fingerprint()))
    })
}

/// The kernel cannot turn a chain into a base chain, or move one to another hook.
fn is_incompatible(observed: &Observed, chain: &Chain) -> bool {
    observed.chains.get(&chain.name).is_some_and(|held| held.is_foreign || held.base != chain.base)
}
