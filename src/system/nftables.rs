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

use crate::nft::{Change, Observed, ObservedSet};
use crate::sorted::{SortedMap, SortedSet};

use self::decode::{DecodedRule, DecodedSet, Edge};
pub use self::mirror::address_sets;
use self::numbers::{INET, LIST_ITEM, chain, data, elements, message, rule, set};
pub use self::translation::is_anybody_translating;
use super::netlink::{self, Answer, NetlinkError, Payload, Socket};

/// Looks again when the ruleset changed between two questions.
const ATTEMPTS: u32 = 4;
/// A rule can be a map of thousands of elements: error messages show its beginning.
const SHOWN_CHARACTERS: usize = 200;

/// The table as the kernel holds it. Only the sets that we keep exact are read element by element: others
/// may hold a hundred thousand entries.
pub fn observe(table: &str) -> Result<Observed, NetlinkError> {
    let mut socket = Socket::open(netlink::NETFILTER)?;
    for _ in 1..ATTEMPTS {
        match observe_once(&mut socket, table) {
            Ok(View { observed, is_consistent: true }) => return Ok(observed),
            // Something went away between two questions.
            Ok(_) | Err(NetlinkError { errno: libc::ENOENT, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    // Others keep changing their tables; ours is most likely seen rightly.
    observe_once(&mut socket, table).map(|view| view.observed)
}

/// Whether a set of addresses holds this one; `None` where there is no such set, or nobody may look.
pub fn set_holds(table: &str, name: &str, address: IpAddr) -> Option<bool> {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let mut exists = request_in(set::TABLE, table);
    exists.put_text(set::NAME, name);
    let mut holds = request_in(elements::TABLE, table);
    holds.put_text(elements::SET, name);
    holds.nest(elements::LIST, |out| {
        out.nest(LIST_ITEM, |out| out.nest(elements::KEY, |out| out.put(data::VALUE, &bytes)));
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
            let source = NetlinkError {
                errno: libc::EMSGSIZE,
                sequence: 0,
                detail: Some("more than one message or key can hold".to_owned()),
            };
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
    let text = match change {
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
    if text.chars().nth(SHOWN_CHARACTERS).is_none() {
        return text;
    }
    text.chars().take(SHOWN_CHARACTERS).chain(['…']).collect()
}

struct View {
    observed: Observed,
    is_consistent: bool,
}

fn observe_once(socket: &mut Socket, table: &str) -> Result<View, NetlinkError> {
    let mut questions = Questions { socket, generations: Vec::new() };
    let tables = questions.ask(message::GET_TABLE, &request())?;
    let is_ours = |answer: &&Answer| decode::table_name(&answer.payload).as_deref() == Some(table);
    let Some(found) = tables.iter().find(is_ours) else {
        return Ok(View { observed: Observed::default(), is_consistent: true });
    };
    let is_dormant = decode::is_dormant(&found.payload);
    let mut chains: SortedMap<_, _> = questions
        .ask(message::GET_CHAIN, &request_in(chain::TABLE, table))?
        .iter()
        .filter_map(|answer| decode::chain(&answer.payload, table))
        .collect();
    // The kernel counts the rules of transactions under way when it goes on with a dump, and so may tell
    // a rule twice.
    let mut told = SortedSet::new();
    for answer in questions.ask(message::GET_RULE, &request_in(rule::TABLE, table))? {
        if let Some(DecodedRule { chain, handle, rule }) = decode::rule(&answer.payload, table)
            && let Some(chain) = chains.get_mut(&chain)
            && told.insert(handle)
        {
            chain.rules.push(rule);
        }
    }
    let mut sets = SortedMap::new();
    for answer in questions.ask(message::GET_SET, &request_in(set::TABLE, table))? {
        if let Some(set) = decode::set(&answer.payload, table) {
            let observed = questions.observed_set(table, &set)?;
            sets.insert(set.name, observed);
        }
    }
    let is_consistent = questions.are_of_one_generation();
    Ok(View { observed: Observed { exists: true, is_dormant, sets, chains }, is_consistent })
}

/// Dumps, and the generations of the ruleset that their answers saw.
struct Questions<'s> {
    socket: &'s mut Socket,
    generations: Vec<u16>,
}

impl Questions<'_> {
    fn ask(&mut self, kind: u16, request: &Payload) -> Result<Vec<Answer>, NetlinkError> {
        let answers = self.socket.dump(kind, request)?;
        self.generations.extend(answers.iter().filter_map(|answer| decode::generation(&answer.payload)));
        self.generations.dedup();
        Ok(answers)
    }

    fn observed_set(&mut self, table: &str, set: &DecodedSet) -> Result<ObservedSet, NetlinkError> {
        let elements = match set.key {
            Some((_, width)) if set.is_computed => {
                Some(decode::spans(self.edges(table, &set.name, width)?, width))
            }
            _ => None,
        };
        let key_type = set.key.map_or_else(String::new, |(name, _)| name.to_owned());
        Ok(ObservedSet { key_type, is_dynamic: set.is_dynamic, elements })
    }

    fn edges(&mut self, table: &str, set: &str, width: usize) -> Result<Vec<Edge>, NetlinkError> {
        let mut request = request_in(elements::TABLE, table);
        request.put_text(elements::SET, set);
        // Read as they come: there may be a hundred thousand.
        let generations = &mut self.generations;
        self.socket.dump_as(message::GET_ELEMENTS, &request, |message, found| {
            generations.extend(decode::generation(message.payload));
            generations.dedup();
            found.extend(decode::edges(message.payload, width));
        })
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
