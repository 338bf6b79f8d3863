//! What the shell package leaves in the kernel, besides ip rules, when it goes without being stopped: chains in
//! the mangle tables of iptables, and ipsets. What nftables and ipset hold is removed; for chains of the older
//! iptables, which only its own programs can change, the command is told.

mod legacy;

use std::time::Duration;

use super::clock::since_boot;
use super::netlink::{self, NetlinkError, Payload, Socket, flag};
use super::nftables::numbers::{self, chain, data, expression, message, rule};
use super::poll::pause;
use crate::system::logger as log;

/// Whatever bears a name of this beginning is the shell package's.
const PREFIX: &str = "mwan3_";
/// NFPROTO_* and what nft calls it.
type FamilyName = (u8, &'static str);

/// iptables over nftables has its tables in these two.
const FAMILIES: [FamilyName; 2] = [(2, "ip"), (10, "ip6")];
const TABLE: &str = "mangle";
const GENERIC_HEADER: usize = 4;
/// The kernel lets go of an ipset a moment after the rule that looked into it has gone.
const RELEASE_TIME: Duration = Duration::from_secs(2);
const RELEASE_STEP: Duration = Duration::from_millis(20);

mod ipset {
    pub const DESTROY: u16 = 6 << 8 | 3;
    pub const LIST: u16 = 6 << 8 | 7;

    pub const PROTOCOL: u16 = 1;
    pub const NAME: u16 = 2;
    pub const FLAGS: u16 = 6;

    /// Spoken since Linux 4.20.
    pub const PROTOCOL_VERSION: u8 = 7;
    pub const NAMES_ONLY: u32 = 2;
}

#[derive(Debug, Default)]
pub struct Leftovers {
    chains: Vec<Chain>,
    jumps: Vec<Jump>,
    sets: Vec<String>,
    /// Commands that remove what is left of the older iptables.
    pub by_hand: Vec<String>,
}

#[derive(Debug)]
struct Chain {
    family: FamilyName,
    name: String,
}

/// A rule in a chain of somebody else's that leads to one of the chains.
#[derive(Debug)]
struct Jump {
    family: FamilyName,
    chain: String,
    handle: u64,
}

/// A kernel without one of these parts holds nothing there.
pub fn find() -> Leftovers {
    let mut found = Leftovers { by_hand: legacy::commands(PREFIX), ..Leftovers::default() };
    if let Ok(mut socket) = Socket::open(netlink::NETFILTER) {
        for family in FAMILIES {
            if let Err(error) = find_chains(&mut socket, family, &mut found) {
                log::debug!("cannot look for old chains: {error}");
            }
        }
        // Chains that stay may look into sets, which then have to stay, too.
        if found.by_hand.is_empty() {
            found.sets = set_names(&mut socket).unwrap_or_default();
        }
    }
    found
}

impl Leftovers {
    /// There is something that `remove` would remove.
    pub fn is_removable(&self) -> bool {
        !self.chains.is_empty() || !self.sets.is_empty()
    }

    /// What `remove` does, in the words of nft and ipset.
    pub fn removals(&self) -> Vec<String> {
        let mut removals = Vec::new();
        for jump in &self.jumps {
            let (_, family) = jump.family;
            removals.push(format!("delete rule {family} {TABLE} {} handle {}", jump.chain, jump.handle));
        }
        for chain in &self.chains {
            let (_, family) = chain.family;
            removals.push(format!("delete chain {family} {TABLE} {}", chain.name));
        }
        for set in &self.sets {
            removals.push(format!("ipset destroy {set}"));
        }
        removals
    }

    /// What could not be removed, in words.
    pub fn remove(&self) -> Vec<String> {
        if !self.is_removable() {
            return Vec::new();
        }
        let failures = match Socket::open(netlink::NETFILTER) {
            Ok(mut socket) => self.remove_by(&mut socket),
            Err(error) => vec![format!("old chains and sets stay: {error}")],
        };
        if failures.is_empty() {
            log::info!("removed what the shell package left: {self}");
        }
        failures
    }

    fn remove_by(&self, socket: &mut Socket) -> Vec<String> {
        let mut failures = Vec::new();
        if let Some(error) = self.remove_chains(socket) {
            failures.push(format!("the old chains {PREFIX}* stay: {error}"));
        }
        if let Some((set, error)) = self.remove_sets(socket) {
            failures
                .push(format!("the old ipset {set} stays: {error} (somebody else's rule may look into it)"));
        }
        failures
    }

    /// All of them or none, in one transaction.
    fn remove_chains(&self, socket: &mut Socket) -> Option<NetlinkError> {
        if self.chains.is_empty() {
            return None;
        }
        let mut messages = Vec::new();
        for jump in &self.jumps {
            let mut payload = in_mangle(jump.family, rule::TABLE);
            payload.put_text(rule::CHAIN, &jump.chain);
            payload.put_be64(rule::HANDLE, jump.handle);
            messages.push((message::DELETE_RULE, payload));
        }
        // All rules first: the chains lead to each other.
        for (kind, name) in [(message::DELETE_RULE, rule::CHAIN), (message::DELETE_CHAIN, chain::NAME)] {
            for chain in &self.chains {
                let mut payload = in_mangle(chain.family, rule::TABLE);
                payload.put_text(name, &chain.name);
                messages.push((kind, payload));
            }
        }
        let mut bytes = Vec::new();
        let first = frame(socket, &mut bytes, numbers::BATCH_BEGIN);
        let mut last = first;
        for (position, (kind, payload)) in messages.iter().enumerate() {
            last = socket.next_sequence();
            let wants_answer = if position + 1 == messages.len() { flag::ACK } else { 0 };
            netlink::append(&mut bytes, *kind, flag::REQUEST | wants_answer, last, payload.bytes());
        }
        frame(socket, &mut bytes, numbers::BATCH_END);
        match socket.batch(&bytes, first, last) {
            Ok(refusals) => refusals.into_iter().next(),
            Err(error) => Some(error),
        }
    }

    /// The last refusal of one that stays. Sets that are listed in other sets go after those.
    fn remove_sets(&self, socket: &mut Socket) -> Option<(String, NetlinkError)> {
        let patience = if self.chains.is_empty() { Duration::ZERO } else { RELEASE_TIME };
        let until = since_boot() + patience;
        let mut left = self.sets.clone();
        loop {
            let (before, mut refusal) = (left.len(), None);
            left.retain(|set| match destroy(socket, set) {
                Ok(()) => false,
                Err(error) => {
                    refusal = Some((set.clone(), error));
                    true
                }
            });
            let is_stuck = left.len() == before;
            if left.is_empty() || (is_stuck && since_boot() >= until) {
                return refusal;
            }
            if is_stuck {
                pause(RELEASE_STEP);
            }
        }
    }
}

/// `9 chains, 4 ipsets`
impl std::fmt::Display for Leftovers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} chains, {} ipsets", self.chains.len(), self.sets.len())
    }
}

fn find_chains(socket: &mut Socket, family: FamilyName, found: &mut Leftovers) -> Result<(), NetlinkError> {
    let before = found.chains.len();
    for answer in socket.dump(message::GET_CHAIN, &in_mangle(family, chain::TABLE))? {
        let Some((table, name)) = names(&answer.payload, chain::TABLE, chain::NAME) else { continue };
        if table == TABLE && name.starts_with(PREFIX) {
            found.chains.push(Chain { family, name });
        }
    }
    if found.chains.len() == before {
        return Ok(());
    }
    for answer in socket.dump(message::GET_RULE, &in_mangle(family, rule::TABLE))? {
        let Some((table, chain)) = names(&answer.payload, rule::TABLE, rule::CHAIN) else { continue };
        let target = jump_target(&answer.payload).unwrap_or_default();
        let handle = attribute(&answer.payload, rule::HANDLE).and_then(|handle| handle.be64());
        if let Some(handle) = handle
            && table == TABLE
            && !chain.starts_with(PREFIX)
            && target.starts_with(PREFIX)
        {
            found.jumps.push(Jump { family, chain, handle });
        }
    }
    Ok(())
}

/// Where the rule leads: its immediate verdict, if that is to jump or to go.
fn jump_target(payload: &[u8]) -> Option<String> {
    let expressions = attribute(payload, rule::EXPRESSIONS)?;
    expressions.nested().find_map(|item| {
        let data = item.inner(expression::DATA)?.inner(expression::immediate::DATA)?;
        Some(data.inner(data::VERDICT)?.inner(data::VERDICT_CHAIN)?.text())
    })
}

fn set_names(socket: &mut Socket) -> Result<Vec<String>, NetlinkError> {
    let mut request = ipset_request();
    request.put_be32(ipset::FLAGS, ipset::NAMES_ONLY);
    let mut names = Vec::new();
    for answer in socket.dump(ipset::LIST, &request)? {
        let name = attribute(&answer.payload, ipset::NAME).map(|name| name.text());
        names.extend(name.filter(|name| name.starts_with(PREFIX)));
    }
    Ok(names)
}

fn destroy(socket: &mut Socket, set: &str) -> Result<(), NetlinkError> {
    let mut request = ipset_request();
    request.put_text(ipset::NAME, set);
    socket.request(ipset::DESTROY, 0, &request)
}

fn ipset_request() -> Payload {
    let mut request = Payload::new(&[0; GENERIC_HEADER]);
    request.put_u8(ipset::PROTOCOL, ipset::PROTOCOL_VERSION);
    request
}

fn in_mangle((family, _): FamilyName, table_attribute: u16) -> Payload {
    let mut request = Payload::new(&[family, 0, 0, 0]);
    request.put_text(table_attribute, TABLE);
    request
}

/// Begins or ends a transaction; returns the sequence number of the message.
fn frame(socket: &mut Socket, bytes: &mut Vec<u8>, kind: u16) -> u32 {
    let [high, low] = numbers::SUBSYSTEM.to_be_bytes();
    let sequence = socket.next_sequence();
    netlink::append(bytes, kind, flag::REQUEST, sequence, &[0, 0, high, low]);
    sequence
}

fn names(payload: &[u8], first: u16, second: u16) -> Option<(String, String)> {
    Some((attribute(payload, first)?.text(), attribute(payload, second)?.text()))
}

fn attribute(payload: &[u8], kind: u16) -> Option<netlink::Attribute<'_>> {
    netlink::Attribute::within(payload, GENERIC_HEADER, kind)
}
