//! User rules as tests on packets of one family, and the small chains that count them and carry them out.

use std::fmt;

use crate::address::{AddressMatch, Family, PortRange};
use crate::config::{Config, LastResort, Protocol, Rule, Target};
use crate::network::Network;
use crate::nft;
use crate::nft::{Field, Statement, Value, ValueRange, Verdict};

use super::name;
use super::ruleset::{TAKE_BLACKHOLE, TAKE_DEFAULT, TAKE_UNREACHABLE, chain, goto, rule};
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
    set_family: impl Fn(&str) -> Option<Family>,
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
        if set_family(&wanted.name) != Some(family) {
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
    let ours: Vec<AddressMatch> = given.iter().filter(|address| address.family == family).copied().collect();
    if ours.is_empty() && !given.is_empty() {
        return None;
    }
    Some(if ours.iter().any(|address| address.mask == 0) { Vec::new() } else { ours })
}

/// What happens to packets of a rule: logged, counted, sent to the policy or to a special mark, by way of
/// the remembered uplink where the rule is sticky.
pub(super) fn action_chains(
    config: &Config,
    rule_: &Rule,
    family: Family,
    uplinks: &[Uplink<'_>],
) -> (Vec<nft::Set>, Vec<nft::Chain>) {
    let (mut sets, mut chains) = (Vec::new(), Vec::new());
    let target = match &rule_.target {
        Target::Default => TAKE_DEFAULT.to_owned(),
        Target::Unreachable => TAKE_UNREACHABLE.to_owned(),
        Target::Blackhole => TAKE_BLACKHOLE.to_owned(),
        Target::Policy(policy) => match rule_.sticky_s {
            None => name::policy_chain(policy, family),
            Some(timeout_s) => {
                let sticky = sticky(config, rule_, policy, timeout_s, family, uplinks);
                sets.extend(sticky.0);
                chains.extend(sticky.1);
                name::sticky_chain(&rule_.name, family)
            }
        },
    };
    let mut rules = Vec::new();
    if rule_.log && config.globals.logging {
        let prefix = format!("MWAN3({})", rule_.name);
        rules.push(rule([Statement::Log { prefix, level: config.globals.log_level }]));
    }
    if let Target::Policy(policy) = &rule_.target
        && let Some(bit) = session_label(config, policy)
    {
        rules.push(rule([Statement::SetConnectionLabel { bit }]));
    }
    let mut counting = rule([Statement::Counter, goto(&target)]);
    counting.comment = Some(rule_.name.clone());
    rules.push(counting);
    chains.push(chain(&name::counter_chain(&rule_.name, family), rules));
    (sets, chains)
}

/// A source keeps its uplink while that is in the active tier and its entry has not expired. Entries of a
/// usable uplink in another tier are kept for its return; those of an unusable one go with their set.
fn sticky(
    config: &Config,
    rule_: &Rule,
    policy: &str,
    timeout_s: u32,
    family: Family,
    uplinks: &[Uplink<'_>],
) -> (Vec<nft::Set>, Vec<nft::Chain>) {
    let (mut sets, mut chains, mut steps, mut renewals) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mask = config.globals.mask.bits();
    let choice = config.policy(policy).map(|policy| choose(policy, family, uplinks));
    let active: Vec<&str> =
        choice.iter().flat_map(Choice::shares).map(|share| share.interface.as_str()).collect();
    let members = config.policy(policy).map_or(&[][..], |policy| &policy.members);
    let is_member = |name: &str| members.iter().any(|member| member.interface == name);
    // The last uplink of the file is tried first, as the shell package does.
    for uplink in uplinks.iter().rev().filter(|uplink| uplink.usable && uplink.interface.family == family) {
        let interface = &uplink.interface.name;
        if !is_member(interface) {
            continue;
        }
        let set = name::sticky_set(&rule_.name, family, interface);
        sets.push(nft::Set {
            name: set.clone(),
            key: Field::Source(family),
            content: nft::SetContent::Remembered,
        });
        if !active.contains(&interface.as_str()) {
            continue;
        }
        let renew = name::renew_chain(&rule_.name, family, interface);
        steps.push(rule([
            Statement::InSet { field: Field::Source(family), relation: nft::Relation::Is, set: set.clone() },
            goto(&renew),
        ]));
        let mark = config.globals.mask.interface(uplink.interface.id);
        renewals.push((vec![ValueRange::one(Value::Mark(mark))], Verdict::Goto(renew.clone())));
        let remember = Statement::Remember { set, field: Field::Source(family), timeout_s };
        chains.push(chain(&renew, vec![rule([remember, goto(&name::uplink_chain(interface))])]));
    }
    let policy_chain = name::policy_chain(policy, family);
    if renewals.is_empty() {
        steps.push(rule([goto(&policy_chain)]));
    } else {
        steps.push(rule([Statement::Verdict(Verdict::Jump(policy_chain))]));
        steps.push(rule([Statement::Dispatch { fields: vec![Field::Mark { mask }], elements: renewals }]));
    }
    chains.push(chain(&name::sticky_chain(&rule_.name, family), steps));
    (sets, chains)
}

pub(super) fn last_resort_chain(last_resort: LastResort) -> &'static str {
    match last_resort {
        LastResort::Unreachable => TAKE_UNREACHABLE,
        LastResort::Blackhole => TAKE_BLACKHOLE,
        LastResort::Default => TAKE_DEFAULT,
    }
}
