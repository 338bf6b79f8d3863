//! User rules as tests on packets of one family, and the small chains that count them and carry them out.

use std::fmt;

use crate::address::{AddressMatch, Family, PortRange};
use crate::config::{Config, LastResort, Protocol, Rule, Target};
use crate::network::Network;
use crate::nft::{Chain, Field, Relation, Set, SetContent, Statement, Table, Value, Verdict, element};
use crate::sorted::SortedMap;

use super::name;
use super::ruleset::{TAKE_BLACKHOLE, TAKE_DEFAULT, TAKE_UNREACHABLE};
use super::{Choice, Uplink, choose, session_label};

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// One user rule in one family: all tests must hold, an empty list is no test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMatch {
    /// Where matching packets go: the chain that counts them.
    pub chain: String,
    pub protocol: Option<u8>,
    pub input_device: Option<String>,
    pub sources: Vec<AddressMatch>,
    pub destinations: Vec<AddressMatch>,
    pub source_ports: Vec<PortRange>,
    pub destination_ports: Vec<PortRange>,
    pub set: Option<SetTest>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetTest {
    pub name: String,
    pub negated: bool,
}

/// Why a rule is not in the chains of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftOut {
    OtherFamily,
    /// Its source interface, which has no device yet.
    NoDevice(String),
    /// The set it names, which holds no addresses of this family.
    OtherSet(String),
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LeftOut::OtherFamily => f.write_str("the rule is for the other family"),
            LeftOut::NoDevice(interface) => write!(f, "src_iface {interface} has no device"),
            LeftOut::OtherSet(set) => write!(f, "set {set} holds addresses of the other family"),
        }
    }
}

pub(super) fn rule_match(
    rule: &Rule,
    family: Family,
    network: &Network,
    of_sets: &SortedMap<&str, Family>,
    notes: &mut Vec<String>,
) -> Result<RuleMatch, LeftOut> {
    if !rule.families.contains(&family) {
        return Err(LeftOut::OtherFamily);
    }
    let mut input_device = None;
    if let Some(interface) = &rule.source_interface {
        input_device = network.interfaces.get(interface).and_then(|found| found.device.clone());
        if input_device.is_none() {
            notes.push(format!(
                "could not find device corresponding to src_iface {interface} for rule {}",
                rule.name
            ));
            return Err(LeftOut::NoDevice(interface.clone()));
        }
    }
    let mut set = None;
    if let Some(wanted) = &rule.ipset {
        if of_sets.get(&*wanted.name) != Some(&family) {
            if rule.families.len() == 1 {
                notes.push(format!(
                    "rule {}: set {} does not hold {family} addresses, the rule is left out",
                    rule.name, wanted.name
                ));
            }
            return Err(LeftOut::OtherSet(wanted.name.clone()));
        }
        set = Some(SetTest { name: name::user_set(&wanted.name), negated: wanted.negated });
    }
    let (sources, destinations) = (addresses(&rule.sources, family), addresses(&rule.destinations, family));
    Ok(RuleMatch {
        chain: name::counter_chain(&rule.name, family),
        protocol: protocol_number(rule.protocol, family),
        input_device,
        sources: sources.ok_or(LeftOut::OtherFamily)?,
        destinations: destinations.ok_or(LeftOut::OtherFamily)?,
        source_ports: rule.source_ports.clone(),
        destination_ports: rule.destination_ports.clone(),
        set,
    })
}

pub fn protocol_number(protocol: Protocol, family: Family) -> Option<u8> {
    match (protocol, family) {
        (Protocol::Any, _) => None,
        (Protocol::Icmp, Family::Ipv4) => Some(ICMP),
        (Protocol::Icmp, Family::Ipv6) => Some(ICMPV6),
        (Protocol::Number(number), _) => Some(number),
    }
}

/// `None` where addresses are given but none of this family; empty where one of them is "any".
fn addresses(given: &[AddressMatch], family: Family) -> Option<Vec<AddressMatch>> {
    let mut ours = Vec::new();
    for address in given.iter().filter(|address| address.family == family) {
        if address.mask == 0 {
            return Some(Vec::new());
        }
        ours.push(*address);
    }
    (given.is_empty() || !ours.is_empty()).then_some(ours)
}

/// What happens to packets of a rule: logged, counted, sent to the policy or to a special mark, by way of
/// the remembered uplink where the rule is sticky.
pub(super) fn action_chains(
    config: &Config,
    rule: &Rule,
    family: Family,
    uplinks: &[Uplink<'_>],
    table: &mut Table,
) {
    let mut counting = Chain::new(name::counter_chain(&rule.name, family));
    if rule.log && config.globals.logging {
        let prefix = format!("MWAN3({})", rule.name);
        counting.rule().and(Statement::Log { prefix, level: config.globals.log_level });
    }
    let target = match &rule.target {
        Target::Default => TAKE_DEFAULT.to_owned(),
        Target::Unreachable => TAKE_UNREACHABLE.to_owned(),
        Target::Blackhole => TAKE_BLACKHOLE.to_owned(),
        Target::Policy(policy) => {
            if let Some(bit) = session_label(config, policy) {
                counting.rule().and(Statement::SetConnectionLabel { bit });
            }
            match rule.sticky_s {
                None => name::policy_chain(policy, family),
                Some(timeout_s) => {
                    sticky(config, rule, policy, timeout_s, family, uplinks, table);
                    name::sticky_chain(&rule.name, family)
                }
            }
        }
    };
    let last = counting.rule().and(Statement::Counter).goto(&target);
    last.comment = Some(rule.name.clone());
    table.chains.push(counting);
}

/// A source keeps its uplink while that is in the active tier and its entry has not expired. Entries of a
/// usable uplink in another tier are kept for its return; those of an unusable one go with their set.
fn sticky(
    config: &Config,
    rule: &Rule,
    policy_name: &str,
    timeout_s: u32,
    family: Family,
    uplinks: &[Uplink<'_>],
    table: &mut Table,
) {
    let mut steps = Chain::new(name::sticky_chain(&rule.name, family));
    let mut renewals = Vec::new();
    let (mask, source) = (config.globals.mask, Field::Source(family));
    let policy = config.policy(policy_name);
    let choice = policy.map(|policy| choose(policy, family, uplinks));
    let active = choice.as_ref().map_or(&[][..], Choice::shares);
    let members = policy.map_or(&[][..], |policy| &policy.members);
    // The last uplink of the file is tried first, as the shell package does.
    for uplink in uplinks.iter().rev().filter(|uplink| uplink.usable && uplink.interface.family == family) {
        let interface = &uplink.interface.name;
        if !members.iter().any(|member| member.interface == *interface) {
            continue;
        }
        let set = name::sticky_set(&rule.name, family, interface);
        table.sets.push(Set { name: set.clone(), key: source, content: SetContent::Remembered });
        if !active.iter().any(|share| share.interface == *interface) {
            continue;
        }
        let renew = name::renew_chain(&rule.name, family, interface);
        steps.rule().in_set(source, Relation::Is, set.clone()).goto(&renew);
        let mark = mask.interface(uplink.interface.id);
        renewals.push(element(Value::Mark(mark), Verdict::Goto(renew.clone())));
        let renewal = Chain::add(&mut table.chains, renew).rule();
        renewal.and(Statement::Remember { set, field: source, timeout_s });
        renewal.goto(&name::uplink_chain(interface));
    }
    let policy_chain = name::policy_chain(policy_name, family);
    if renewals.is_empty() {
        steps.rule().goto(&policy_chain);
    } else {
        steps.rule().verdict(Verdict::Jump(policy_chain));
        steps.rule().dispatch(Field::Mark { mask: mask.bits() }, renewals);
    }
    table.chains.push(steps);
}

pub(super) fn last_resort_chain(last_resort: LastResort) -> &'static str {
    match last_resort {
        LastResort::Unreachable => TAKE_UNREACHABLE,
        LastResort::Blackhole => TAKE_BLACKHOLE,
        LastResort::Default => TAKE_DEFAULT,
    }
}
