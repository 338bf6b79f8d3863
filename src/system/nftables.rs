//! Our nftables table in the kernel: what it holds, and changes to it in one transaction. Keeps no state;
//! blocks for the few milliseconds the kernel takes. Nothing in here decides what the table should be.

pub mod decode;
pub mod encode;
mod expression;
mod instruction;
mod key;
mod mirror;
pub(super) mod numbers;
mod translation;

use std::fmt;
use std::net::IpAddr;

use crate::nft::{Change, Observed, ObservedChain, ObservedSet};
use crate::sorted::{SortedMap, SortedSet};

use self::decode::{DecodedRule, DecodedSet, Edge};
pub use self::mirror::address_sets;
use self::numbers::{INET, LIST_ITEM, chain, data, elements, message, rule, set};
pub use self::translation::is_anybody_translating;
use super::netlink::{self, NetlinkError, Payload, Socket};
use super::route::addresses::bytes;

/// Looks again when the ruleset changed between two questions.
const ATTEMPTS: u32 = 4;
/// A rule can be a map of thousands of elements: error messages show its beginning.
const SHOWN_CHARACTERS: usize = 200;

/// The table as the kernel holds it. Only the sets that we keep exact are read element by element: others
/// may hold a hundred thousand entries.
pub fn observe(table: &str) -> Result<Observed, NetlinkError> {
    let mut socket = Socket::open(netlink::NETFILTER)?;
    let mut attempt = 1;
    loop {
        let mut questions = Questions { socket: &mut socket, generations: Vec::new() };
        match questions.observe(table) {
            // Others keep changing their tables; ours is most likely seen rightly.
            Ok(observed) if questions.are_of_one_generation() || attempt == ATTEMPTS => return Ok(observed),
            Ok(_) => {}
            // Something went away between two questions.
            Err(error) if error.errno == libc::ENOENT && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
        attempt += 1;
    }
}

/// Whether a set of addresses holds this one; `None` where there is no such set, or nobody may look.
pub fn set_holds(table: &str, name: &str, address: IpAddr) -> Option<bool> {
    let mut exists = request_in(set::TABLE, table);
    exists.put_text(set::NAME, name);
    let mut holds = request_in(elements::TABLE, table);
    holds.put_text(elements::SET, name);
    holds.nest(elements::LIST, |out| {
        out.nest(LIST_ITEM, |out| out.nest(elements::KEY, |out| out.put(data::VALUE, &bytes(address))));
    });
    let mut socket = Socket::open(netlink::NETFILTER).ok()?;
    // A set that is not there and an element that is not in it are the same error.
    socket.request(message::GET_SET, 0, &exists).ok()?;
    match socket.request(message::GET_ELEMENTS, 0, &holds) {
        Ok(()) => Some(true),
        Err(error) if error.errno == libc::ENOENT => Some(false),
        Err(_) => None,
    }
}

/// All of the changes, or none.
pub fn apply(table: &str, changes: &[Change]) -> Result<(), ApplyError> {
    let batch = match encode::batch(table, changes) {
        Ok(Some(batch)) => batch,
        Ok(None) => return Ok(()),
        Err(encode::TooLarge { position }) => {
            let reason = "more than one message or key can hold".to_owned();
            let source = NetlinkError::new(libc::EMSGSIZE, Some(reason));
            return Err(ApplyError::at(Some(position), changes, source));
        }
    };
    let refusals = Socket::open(netlink::NETFILTER)
        .and_then(|mut socket| socket.batch(&batch.bytes, batch.first, batch.last))
        .map_err(|source| ApplyError::at(None, changes, source))?;
    // What comes after the first refusal is often only its consequence.
    match refusals.into_iter().min_by_key(|refusal| refusal.sequence) {
        None => Ok(()),
        Some(refusal) => Err(ApplyError::at(batch.position(refusal.sequence), changes, refusal)),
    }
}

/// The transaction was refused; the table is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyError {
    culprit: Option<Culprit>,
    source: NetlinkError,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Culprit {
    position: usize,
    change: String,
}

impl ApplyError {
    fn at(position: Option<usize>, changes: &[Change], source: NetlinkError) -> ApplyError {
        let culprit = position
            .and_then(|position| Some(Culprit { position, change: description(changes.get(position)?) }));
        ApplyError { culprit, source }
    }

    /// Which of the changes was refused, counted from 0; `None` if it was the transaction as a whole.
    pub fn position(&self) -> Option<usize> {
        self.culprit.as_ref().map(|culprit| culprit.position)
    }

    pub fn errno(&self) -> i32 {
        self.source.errno
    }

    /// The kernel was built without nf_tables.
    pub fn is_unsupported(&self) -> bool {
        self.source.is_unsupported()
    }
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.culprit {
            Some(Culprit { position, change }) => {
                let number = position.saturating_add(1);
                write!(f, "message {number} of the transaction ({change}): {}", self.source)
            }
            None => write!(f, "the transaction: {}", self.source),
        }
    }
}

fn description(change: &Change) -> String {
    let mut text = match change {
        Change::AddTable => "add table".to_owned(),
        Change::AddSet(set) => format!("add set {}", set.name),
        Change::AddElements { set, spans, .. } => format!("add {} elements to set {set}", spans.len()),
        Change::DeleteElements { set, spans, .. } => {
            format!("delete {} elements from set {set}", spans.len())
        }
        Change::AddChain(chain) => format!("add chain {}", chain.name),
        Change::FlushChain(name) => format!("flush chain {name}"),
        Change::AddRule { chain, rule } => format!("add rule {chain}: {rule}"),
        Change::DeleteChain(name) => format!("delete chain {name}"),
        Change::DeleteSet(name) => format!("delete set {name}"),
        Change::DeleteTable => "delete table".to_owned(),
    };
    if let Some((end, _)) = text.char_indices().nth(SHOWN_CHARACTERS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Dumps, and the generations of the ruleset that their answers saw.
struct Questions<'s> {
    socket: &'s mut Socket,
    generations: Vec<u16>,
}

impl Questions<'_> {
    fn observe(&mut self, table: &str) -> Result<Observed, NetlinkError> {
        let mut observed = Observed::default();
        self.ask(message::GET_TABLE, &request(), &mut |answer| {
            let Some(answer) = answer else { return observed = Observed::default() };
            if !observed.exists && decode::table_name(answer).as_deref() == Some(table) {
                observed.exists = true;
                observed.is_dormant = decode::is_dormant(answer);
            }
        })?;
        if !observed.exists {
            // There is nothing else that could have changed.
            self.generations.clear();
            return Ok(observed);
        }
        let chains = &mut observed.chains;
        self.ask(message::GET_CHAIN, &request_in(chain::TABLE, table), &mut |answer| match answer {
            None => chains.clear(),
            Some(answer) => {
                if let Some((name, chain)) = decode::chain(answer, table) {
                    chains.insert(name, chain);
                }
            }
        })?;
        self.rules(table, chains)?;
        for set in self.sets(table)? {
            let held = self.observed_set(table, &set)?;
            observed.sets.insert(set.name, held);
        }
        Ok(observed)
    }

    fn rules(
        &mut self,
        table: &str,
        chains: &mut SortedMap<String, ObservedChain>,
    ) -> Result<(), NetlinkError> {
        // The kernel counts the rules of transactions under way when it goes on with a dump, and so may tell
        // a rule twice.
        let mut told = SortedSet::new();
        self.ask(message::GET_RULE, &request_in(rule::TABLE, table), &mut |answer| match answer {
            None => {
                told = SortedSet::new();
                chains.values_mut().for_each(|chain| chain.rules.clear());
            }
            Some(answer) => {
                if let Some(DecodedRule { chain, handle, rule }) = decode::rule(answer, table)
                    && let Some(chain) = chains.get_mut(&chain)
                    && told.insert(handle)
                {
                    chain.rules.push(rule);
                }
            }
        })
    }

    fn sets(&mut self, table: &str) -> Result<Vec<DecodedSet>, NetlinkError> {
        let mut sets = Vec::new();
        self.ask(message::GET_SET, &request_in(set::TABLE, table), &mut |answer| match answer {
            None => sets.clear(),
            Some(answer) => sets.extend(decode::set(answer, table)),
        })?;
        Ok(sets)
    }

    /// The payload of each answer; `None` where all begins (anew).
    fn ask(
        &mut self,
        kind: u16,
        request: &Payload,
        each: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), NetlinkError> {
        let generations = &mut self.generations;
        let before = generations.len();
        self.socket.dump_each(kind, request, &mut |message| {
            match message {
                None => generations.truncate(before),
                Some(message) => {
                    generations.extend(decode::generation(message.payload));
                    generations.dedup();
                }
            }
            each(message.map(|message| message.payload));
        })
    }

    fn observed_set(&mut self, table: &str, set: &DecodedSet) -> Result<ObservedSet, NetlinkError> {
        let mut held = ObservedSet { is_dynamic: set.is_dynamic, ..ObservedSet::default() };
        if let Some((name, width)) = set.key {
            held.key_type = name.to_owned();
            if set.is_computed {
                held.elements = Some(decode::spans(self.edges(table, &set.name, width)?, width));
            }
        }
        Ok(held)
    }

    fn edges(&mut self, table: &str, set: &str, width: usize) -> Result<Vec<Edge>, NetlinkError> {
        let mut request = request_in(elements::TABLE, table);
        request.put_text(elements::SET, set);
        let mut found = Vec::new();
        // Read as they come: there may be a hundred thousand.
        self.ask(message::GET_ELEMENTS, &request, &mut |answer| match answer {
            None => found.clear(),
            Some(answer) => decode::add_edges(answer, width, &mut found),
        })?;
        Ok(found)
    }

    fn are_of_one_generation(&self) -> bool {
        self.generations.len() <= 1
    }
}

fn request() -> Payload {
    Payload::new(&[INET, 0, 0, 0])
}

/// Kernels that can, answer only for this table; from others we sort it out.
fn request_in(table_attribute: u16, table: &str) -> Payload {
    let mut request = request();
    request.put_text(table_attribute, table);
    request
}
