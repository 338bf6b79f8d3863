//! Whose a running flow is, and which flows are forgotten when uplinks change (`on_fail`, `on_recover`, `hold`). A
//! flow's mark names only its uplink; its label, set by the rule that sent it to a policy, names the policy.

use std::time::Duration;

use crate::address::Family;
use crate::config::{Config, Policy, SessionFate, SessionPolicy};
use crate::nft::fingerprint;

use super::{Health, Uplink, choose};

const LABELS: u8 = 128;

/// A policy's choice in one family, with what is needed to tell its flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStand {
    pub policy: String,
    pub family: Family,
    pub label: u8,
    pub sessions: SessionPolicy,
    /// The metric in use; None while the last resort applies.
    pub tier: Option<u32>,
    /// Marks of the uplinks in use.
    pub marks: Vec<u32>,
    pub held_until: Option<Duration>,
}

/// A connection, as far as it matters here. The mark is cut to our bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub family: Family,
    pub mark: u32,
    pub label: u128,
    pub is_udp: bool,
}

/// Flows of a policy that are to be forgotten, now or later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgetting {
    pub policy: String,
    pub family: Family,
    pub label: u8,
    pub only_udp: bool,
    pub spared: Spared,
    /// They may go on for so long, if things stay as they are.
    pub after: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spared {
    /// All but those over the uplink with this mark.
    AllBut(u32),
    /// Those over uplinks with these marks.
    Only(Vec<u32>),
}

/// The label of a policy whose flows must be told from others. It hardly ever changes with the configuration: flows
/// outlive a reload. None beyond 128 such policies.
pub fn session_label(config: &Config, name: &str) -> Option<u8> {
    let mut taken: Vec<u8> = Vec::new();
    for policy in config.policies.iter().filter(|policy| policy.sessions != SessionPolicy::default()) {
        let wanted = (fingerprint(policy.name.as_bytes()) % u64::from(LABELS)) as u8;
        let step = (0..LABELS).find(|step| !taken.contains(&((wanted + step) % LABELS)))?;
        let label = (wanted + step) % LABELS;
        if policy.name == name {
            return Some(label);
        }
        taken.push(label);
    }
    None
}

/// How the policies stand that treat their flows in a way of their own.
pub fn stands(config: &Config, uplinks: &[Uplink<'_>], health: &Health) -> Vec<PolicyStand> {
    let mut stands = Vec::new();
    for policy in &config.policies {
        let Some(label) = session_label(config, &policy.name) else { continue };
        for family in Family::BOTH {
            stands.push(stand(config, policy, label, family, uplinks, health));
        }
    }
    stands
}

fn stand(
    config: &Config,
    policy: &Policy,
    label: u8,
    family: Family,
    uplinks: &[Uplink<'_>],
    health: &Health,
) -> PolicyStand {
    let choice = choose(policy, family, uplinks);
    let (mut tier, mut marks) = (None, Vec::new());
    for share in choice.shares() {
        marks.push(config.globals.mask.interface(share.id));
        for member in policy.members.iter().filter(|one| one.interface == share.interface) {
            tier = Some(tier.map_or(member.metric, |lowest: u32| lowest.min(member.metric)));
        }
    }
    let hold = health.tiers.iter().find(|one| one.policy == policy.name && one.family == family);
    PolicyStand {
        policy: policy.name.clone(),
        family,
        label,
        sessions: policy.sessions,
        tier,
        marks,
        held_until: hold.and_then(|one| one.held_until()),
    }
}

/// What becomes of flows when policies change from one stand to the other. Uplinks that failed are not meant here.
pub fn forgotten(before: &[PolicyStand], after: &[PolicyStand]) -> Vec<Forgetting> {
    let mut forgotten = Vec::new();
    for now in after {
        let known = |one: &&PolicyStand| one.policy == now.policy && one.family == now.family;
        let Some(was) = before.iter().find(known) else { continue };
        let is_better = match (was.tier, now.tier) {
            (Some(was), Some(now)) => now < was,
            (None, Some(_)) => true,
            _ => false,
        };
        if was.held_until.is_none() && now.held_until.is_some() {
            forgotten.extend(now.forgetting(SessionFate::Drop, Spared::Only(Vec::new())));
        } else if is_better {
            let spared = Spared::Only(now.marks.clone());
            forgotten.extend(now.forgetting(now.fate_on_recover(), spared));
        }
    }
    forgotten
}

impl PolicyStand {
    /// None where nothing is forgotten.
    pub fn forgetting(&self, fate: SessionFate, spared: Spared) -> Option<Forgetting> {
        let after_ms = match fate {
            SessionFate::Keep => return None,
            SessionFate::Drop | SessionFate::DropUdp => 0,
            SessionFate::Drain { for_ms } => for_ms,
        };
        Some(Forgetting {
            policy: self.policy.clone(),
            family: self.family,
            label: self.label,
            only_udp: fate == SessionFate::DropUdp,
            spared,
            after: Duration::from_millis(u64::from(after_ms)),
        })
    }

    /// What becomes of a flow over an uplink that failed.
    pub fn fate_on_fail(&self) -> SessionFate {
        if self.sessions.hold_ms > 0 { SessionFate::Drop } else { self.sessions.on_fail }
    }

    /// A hold is about one address at a time: nothing may stay elsewhere.
    fn fate_on_recover(&self) -> SessionFate {
        if self.sessions.hold_ms > 0 { SessionFate::Drop } else { self.sessions.on_recover }
    }

    pub fn owns(&self, flow: &Flow) -> bool {
        self.family == flow.family && bears(flow, self.label)
    }
}

impl Forgetting {
    pub fn concerns(&self, flow: &Flow) -> bool {
        let is_spared = match &self.spared {
            Spared::AllBut(mark) => flow.mark != *mark,
            Spared::Only(marks) => marks.contains(&flow.mark),
        };
        self.family == flow.family && bears(flow, self.label) && (flow.is_udp || !self.only_udp) && !is_spared
    }
}

fn bears(flow: &Flow, label: u8) -> bool {
    flow.label.checked_shr(u32::from(label)).unwrap_or(0) & 1 != 0
}
