//! Which way a packet takes, and why: the steps of the ruleset asked one by one of one packet. The tests of
//! the rules are those that the compiler makes chains of; tests/kernel_explain.rs sends the packets.

mod way;

use std::net::IpAddr;

use crate::address::{Family, Prefix};
use crate::config::{Config, LastResort, Policy, Rule, Target};
use crate::network::{IpRule, Network};

use super::rules::rule_match;
use super::ruleset::{
    NEIGHBOUR_DISCOVERY, is_tunnel, known_set_names, member_devices, of_family, set_families,
};
use super::{Choice, Health, TierInUse, Uplink, choose, connected, custom, name, routing, uplinks};

use way::Ways;
pub use way::{Hop, Place, Way, usual_device};

const ICMPV6: u8 = 58;
/// TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

/// Whether the kernel's set of that name holds the address; `None` where nobody can tell.
pub type SetAnswer<'a> = dyn Fn(&str, IpAddr) -> Option<bool> + 'a;

/// A packet that begins a connection, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub source: Option<IpAddr>,
    pub destination: IpAddr,
    pub protocol: Option<u8>,
    pub source_port: Option<u16>,
    pub destination_port: Option<u16>,
    pub icmp_type: Option<u8>,
    /// `None`: the router itself sends it.
    pub input_device: Option<String>,
    /// As somebody else marked it before us.
    pub mark: u32,
}

/// What is in force. `other_rules`: the ip rules that are not ours.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    pub config: &'a Config,
    pub network: &'a Network,
    pub health: &'a Health,
    pub other_rules: &'a [IpRule],
}

#[derive(Clone, Debug, PartialEq)]
pub struct Explanation<'a> {
    /// Given, or what the kernel chooses for the router's own packets.
    pub source: Option<IpAddr>,
    pub stage: Stage<'a>,
    /// The rules that were asked before, each with the first test that failed.
    pub passed: Vec<Passed<'a>>,
    /// Rules asked before the answer that too little is known for.
    pub possible: Vec<Passed<'a>>,
    /// One that is certain, or the shares of a policy.
    pub ways: Vec<Way<'a>>,
    /// Every member of the policy in the packet's family, active or not.
    pub members: Vec<Standing<'a>>,
    pub notes: Vec<String>,
}

/// The step that decides.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage<'a> {
    NeighbourDiscovery,
    /// Somebody marked the packet before us.
    Marked,
    CameIn {
        interface: &'a str,
    },
    /// It came in by an uplink from a network that is ours.
    KnownSource {
        interface: &'a str,
        set: String,
    },
    KnownDestination {
        set: String,
    },
    Rule(Decision<'a>),
    NoRule,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Decision<'a> {
    pub rule: &'a Rule,
    /// Counted from 1 over all rules of the configuration.
    pub position: usize,
    pub policy: Option<&'a Policy>,
    /// All members are down.
    pub last_resort: Option<LastResort>,
    /// A sticky rule remembers this uplink for the source.
    pub remembered: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Passed<'a> {
    pub rule: &'a Rule,
    pub position: usize,
    pub test: String,
    /// What the packet has instead; `None` where that is not known.
    pub found: Option<String>,
}

/// A member of the policy just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    pub interface: &'a str,
    pub metric: u32,
    pub weight: u32,
    pub state: &'static str,
}

impl Question {
    pub fn family(&self) -> Family {
        Family::of(self.destination)
    }

    pub(super) fn has_no_ports(&self) -> bool {
        self.protocol.is_some_and(|protocol| !WITH_PORTS.contains(&protocol))
    }

    fn is_neighbour_discovery(&self) -> bool {
        let (first, last) = NEIGHBOUR_DISCOVERY;
        self.protocol == Some(ICMPV6) && self.icmp_type.is_some_and(|kind| (first..=last).contains(&kind))
    }
}

pub fn explain<'a>(situation: &Situation<'a>, question: &Question, sets: &SetAnswer<'_>) -> Explanation<'a> {
    let uplinks = uplinks(situation.config, situation.network, situation.health);
    let mut ways = Ways::new(situation, &uplinks, question);
    ways.source = question.source.or_else(|| ways.usual_source());
    let mut question = question.clone();
    question.source = ways.source;
    let walk = Walk { situation, uplinks: &uplinks, question: &question, sets, ways: &ways };
    walk.explain()
}

struct Walk<'w, 'a> {
    situation: &'w Situation<'a>,
    uplinks: &'w [Uplink<'a>],
    question: &'w Question,
    sets: &'w SetAnswer<'w>,
    ways: &'w Ways<'w, 'a>,
}

impl<'a> Walk<'_, 'a> {
    fn explain(&self) -> Explanation<'a> {
        let mut answer = Explanation {
            source: self.question.source,
            stage: Stage::NoRule,
            passed: Vec::new(),
            possible: Vec::new(),
            ways: Vec::new(),
            members: Vec::new(),
            notes: Vec::new(),
        };
        let (question, mask) = (self.question, self.situation.config.globals.mask);
        let default = mask.default_mark();
        let marked = question.mark & mask.bits();
        if !routing::families(self.situation.network).contains(&question.family()) {
            answer.notes.push("the kernel knows no IPv6".to_owned());
        } else if question.is_neighbour_discovery() {
            answer.stage = Stage::NeighbourDiscovery;
            self.goes(marked, &mut answer);
        } else if marked != 0 && !self.came_out_of_a_tunnel() {
            answer.stage = Stage::Marked;
            let is_uplinks = self.uplinks.iter().any(|one| mask.interface(one.interface.id) == marked);
            let known = self.known_set(question.destination, &mut answer.notes).filter(|_| is_uplinks);
            if let Some(set) = &known {
                answer.notes.push(format!("the destination is in {set}: this packet takes table main"));
            }
            self.goes(if known.is_some() { default } else { marked }, &mut answer);
        } else if let Some(uplink) = self.uplink_it_came_in_by() {
            self.came_in(uplink, &mut answer);
        } else if let Some(set) = self.known_set(question.destination, &mut answer.notes) {
            answer.stage = Stage::KnownDestination { set };
            self.goes(default, &mut answer);
        } else {
            self.ask_rules(&mut answer);
        }
        answer
    }

    /// The only way, which is that of this mark.
    fn goes(&self, mark: u32, answer: &mut Explanation<'a>) {
        answer.ways = vec![self.ways.marked(mark)];
    }

    /// Such packets carry the mark of their wrapping, which says nothing about them.
    fn came_out_of_a_tunnel(&self) -> bool {
        let device =
            self.question.input_device.as_deref().and_then(|name| self.situation.network.device(name));
        device.is_some_and(is_tunnel)
    }

    /// Where two sections share a device, it belongs to the first.
    fn uplink_it_came_in_by(&self) -> Option<&Uplink<'a>> {
        let device = self.question.input_device.as_ref()?;
        of_family(self.uplinks, self.question.family()).find(|one| one.device.as_ref() == Some(device))
    }

    fn came_in(&self, uplink: &Uplink<'a>, answer: &mut Explanation<'a>) {
        let mask = self.situation.config.globals.mask;
        let interface = uplink.interface.name.as_str();
        let source = self.question.source.and_then(|source| self.known_set(source, &mut answer.notes));
        let mark = match source {
            Some(set) => {
                answer.stage = Stage::KnownSource { interface, set };
                mask.default_mark()
            }
            None => {
                answer.stage = Stage::CameIn { interface };
                let known = self.known_set(self.question.destination, &mut answer.notes);
                match known {
                    Some(_) => mask.default_mark(),
                    None => mask.interface(uplink.interface.id),
                }
            }
        };
        self.goes(mark, answer);
    }

    /// The first of the sets of known networks that holds the address.
    fn known_set(&self, address: IpAddr, notes: &mut Vec<String>) -> Option<String> {
        let Situation { config, network, .. } = *self.situation;
        let family = Family::of(address);
        let holds = |networks: Vec<Prefix>| networks.iter().any(|one| one.contains(address));
        for set in known_set_names(config, family) {
            let is_in = if set.starts_with("connected") {
                Some(holds(connected(network, family)))
            } else if set.starts_with("custom") {
                Some(holds(custom(config, network, family)))
            } else {
                (self.sets)(&set, address)
            };
            match is_in {
                Some(true) => return Some(set),
                Some(false) => {}
                None => notes.push(format!("what the set {set} holds is not known: taken as empty")),
            }
        }
        None
    }

    fn ask_rules(&self, answer: &mut Explanation<'a>) {
        let Situation { config, network, .. } = *self.situation;
        let family = self.question.family();
        let of_sets = set_families(config, network);
        for (index, rule) in config.rules.iter().enumerate() {
            let position = index + 1;
            let passed = |test: String, found| Passed { rule, position, test, found };
            let found = match rule_match(rule, family, network, &of_sets, &mut Vec::new()) {
                Ok(found) => found,
                Err(reason) => {
                    answer.passed.push(passed(reason.to_string(), None));
                    continue;
                }
            };
            let (mut failed, mut unknown) = (None, None);
            for test in found.tests() {
                match test.holds(self.question, self.sets) {
                    Some(true) => {}
                    None => unknown = unknown.or_else(|| Some(passed(test.to_string(), None))),
                    Some(false) => {
                        failed = Some(passed(test.to_string(), test.seen_in(self.question)));
                        break;
                    }
                }
            }
            match (failed, unknown) {
                (Some(failed), _) => answer.passed.push(failed),
                (None, Some(unknown)) => answer.possible.push(unknown),
                (None, None) => return self.decide(rule, position, answer),
            }
        }
        self.goes(0, answer);
    }

    fn decide(&self, rule: &'a Rule, position: usize, answer: &mut Explanation<'a>) {
        let mask = self.situation.config.globals.mask;
        let mut decision = Decision { rule, position, policy: None, last_resort: None, remembered: None };
        let mark = match &rule.target {
            Target::Default => mask.default_mark(),
            Target::Unreachable => mask.unreachable(),
            Target::Blackhole => mask.blackhole(),
            Target::Policy(name) => {
                decision.policy = self.situation.config.policy(name);
                if let Some(policy) = decision.policy {
                    self.follow(policy, &mut decision, answer);
                }
                answer.stage = Stage::Rule(decision);
                return;
            }
        };
        self.goes(mark, answer);
        answer.stage = Stage::Rule(decision);
    }

    fn follow(&self, policy: &'a Policy, decision: &mut Decision<'a>, answer: &mut Explanation<'a>) {
        let mask = self.situation.config.globals.mask;
        let choice = choose(policy, self.question.family(), self.uplinks);
        answer.members = self.standings(policy, &choice);
        match &choice {
            Choice::LastResort(last_resort) => {
                decision.last_resort = Some(*last_resort);
                let members = member_devices(policy, self.question.family(), self.uplinks);
                let first = self.ways.first_device().filter(|device| members.contains(device));
                let mark = match last_resort {
                    _ if first.is_some() => mask.default_mark(),
                    LastResort::Unreachable => mask.unreachable(),
                    LastResort::Blackhole => mask.blackhole(),
                    LastResort::Default => mask.default_mark(),
                };
                if let Some(device) = first {
                    answer.notes.push(format!(
                        "table main sends the router's own packets by {device}, a member's: they may try"
                    ));
                }
                answer.notes.extend(self.hold(policy));
                self.goes(mark, answer);
            }
            Choice::Shares(shares) => {
                decision.remembered = self.remembered(decision.rule, &choice, &mut answer.notes);
                for share in shares {
                    if decision.remembered.is_none_or(|only| only == share.interface) {
                        let mut way = self.ways.marked(mask.interface(share.id));
                        way.weight = share.weight;
                        answer.ways.push(way);
                    }
                }
            }
        }
    }

    fn hold(&self, policy: &Policy) -> Option<String> {
        let family = self.question.family();
        let is_meant = |one: &&TierInUse| one.policy == policy.name && one.family == family && one.is_held();
        let held = self.situation.health.tiers.iter().find(is_meant)?;
        let left = held.left?.tier;
        Some(format!(
            "it left metric {left} and holds; `mwan3 policies` tells until when no other one is used"
        ))
    }

    /// In the order in which the sticky chain looks: the last uplink of the file first.
    fn remembered(&self, rule: &Rule, choice: &Choice, notes: &mut Vec<String>) -> Option<&'a str> {
        rule.sticky_s?;
        let (family, source) = (self.question.family(), self.question.source);
        let Some(source) = source else {
            notes.push("the source is not known, so neither is what the sticky rule remembers".to_owned());
            return None;
        };
        for uplink in self.uplinks.iter().rev() {
            let interface = uplink.interface.name.as_str();
            if !choice.shares().iter().any(|share| share.interface == interface) {
                continue;
            }
            match (self.sets)(&name::sticky_set(&rule.name, family, interface), source) {
                Some(true) => return Some(interface),
                Some(false) => {}
                None => {
                    notes.push(format!("whether the rule remembers {source} for {interface} is not known"))
                }
            }
        }
        None
    }

    fn standings(&self, policy: &'a Policy, choice: &Choice) -> Vec<Standing<'a>> {
        let mut standings = Vec::new();
        for member in &policy.members {
            let interface = member.interface.as_str();
            let of_config = self.situation.config.interface(interface);
            if of_config.is_none_or(|one| one.family != self.question.family()) {
                continue;
            }
            let uplink = self.uplinks.iter().find(|one| one.interface.name == interface);
            let is_active = choice.shares().iter().any(|share| share.interface == interface);
            let state = match uplink.map(|uplink| (&uplink.device, uplink.usable)) {
                None => "switched off",
                Some((_, true)) if is_active => "active",
                Some((_, true)) if uplink.is_some_and(|uplink| uplink.on_probation) => "on probation",
                Some((_, true)) => "standby",
                Some((Some(_), false)) => "offline",
                Some((None, _)) => "down",
            };
            standings.push(Standing { interface, metric: member.metric, weight: member.weight, state });
        }
        standings
    }
}
