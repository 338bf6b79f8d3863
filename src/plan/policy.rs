//! Which members of a policy carry its new flows: the usable ones of the lowest metric, by weight, or the
//! last resort when there is none. Each family is judged on its own.

use crate::address::Family;
use crate::config::{Config, LastResort, Member, Policy, Target};
use crate::mark::InterfaceId;

use super::Uplink;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// At least one share; in the order of the configuration.
    Shares(Vec<Share>),
    LastResort(LastResort),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub interface: String,
    pub id: InterfaceId,
    pub weight: u32,
}

pub fn choose(policy: &Policy, family: Family, uplinks: &[Uplink<'_>]) -> Choice {
    let usable = usable(policy, family, uplinks);
    let (tier, candidates) = match decided_tier(policy, family, uplinks) {
        Some(tier) => (tier, usable),
        None => {
            let candidates = preferred(usable);
            (lowest_metric(&candidates), candidates)
        }
    };
    let mut shares = Vec::new();
    for (member, uplink) in candidates {
        if Some(member.metric) == tier {
            let (interface, id) = (member.interface.clone(), uplink.interface.id);
            shares.push(Share { interface, id, weight: member.weight });
        }
    }
    if shares.is_empty() { Choice::LastResort(policy.last_resort) } else { Choice::Shares(shares) }
}

/// The policy has left a tier and waits (`hold`).
pub(super) fn is_held(policy: &Policy, family: Family, uplinks: &[Uplink<'_>]) -> bool {
    decided_tier(policy, family, uplinks) == Some(None)
}

/// The only tier that a policy with a `hold` uses now.
fn decided_tier(policy: &Policy, family: Family, uplinks: &[Uplink<'_>]) -> Option<Option<u32>> {
    // All of a family know the same.
    let uplink = uplinks.iter().find(|uplink| uplink.interface.family == family)?;
    uplink.policy_tiers.iter().find(|(name, _)| *name == policy.name).map(|(_, tier)| *tier)
}

/// The tier that the policy should use. It stays on the `present` one while that works and there is no better.
pub(super) fn best_tier(
    policy: &Policy,
    family: Family,
    uplinks: &[Uplink<'_>],
    present: Option<u32>,
) -> Option<u32> {
    let usable = usable(policy, family, uplinks);
    let works = present.filter(|tier| usable.iter().any(|(member, _)| member.metric == *tier));
    let best = lowest_metric(&preferred(usable));
    match (works, best) {
        (Some(works), Some(best)) => Some(works.min(best)),
        (works, best) => works.or(best),
    }
}

type Candidates<'a, 'c> = Vec<(&'a Member, &'a Uplink<'c>)>;

fn usable<'a, 'c>(policy: &'a Policy, family: Family, uplinks: &'a [Uplink<'c>]) -> Candidates<'a, 'c> {
    let mut usable = Vec::new();
    for member in &policy.members {
        let uplink = uplinks.iter().find(|uplink| uplink.interface.name == member.interface);
        if let Some(uplink) = uplink
            && uplink.usable
            && uplink.interface.family == family
        {
            usable.push((member, uplink));
        }
    }
    usable
}

/// Those on probation count only where there is nothing else.
fn preferred<'a, 'c>(mut usable: Candidates<'a, 'c>) -> Candidates<'a, 'c> {
    if usable.iter().any(|(_, uplink)| !uplink.on_probation) {
        usable.retain(|(_, uplink)| !uplink.on_probation);
    }
    usable
}

fn lowest_metric(candidates: &Candidates<'_, '_>) -> Option<u32> {
    candidates.iter().map(|(member, _)| member.metric).min()
}

/// Why new flows would have nowhere to go without this uplink, in words: the policies that rules use and
/// that have only it, or that nothing else is usable. Empty where others stand in.
pub fn lost_without(config: &Config, uplinks: &[Uplink<'_>], interface: &str) -> Vec<String> {
    let mut without = uplinks.to_vec();
    for uplink in &mut without {
        uplink.usable &= uplink.interface.name != interface;
    }
    if !without.iter().any(|uplink| uplink.usable) {
        return vec!["no other uplink is usable".to_owned()];
    }
    let Some(family) = config.interface(interface).map(|interface| interface.family) else {
        return Vec::new();
    };
    let is_used = |policy: &Policy| {
        config.rules.iter().any(|rule| {
            matches!(&rule.target, Target::Policy(name) if *name == policy.name)
                && rule.families.contains(&family)
        })
    };
    let loses = |policy: &Policy| {
        !choose(policy, family, uplinks).shares().is_empty()
            && choose(policy, family, &without).shares().is_empty()
    };
    let mut lost = Vec::new();
    for policy in &config.policies {
        if is_used(policy) && loses(policy) {
            lost.push(format!("policy {} has no other usable member", policy.name));
        }
    }
    lost
}

impl Choice {
    pub fn shares(&self) -> &[Share] {
        match self {
            Choice::Shares(shares) => shares,
            Choice::LastResort(_) => &[],
        }
    }
}

/// Shares of a whole in percent, rounded down, as the shell package shows them.
pub fn percentages(shares: &[Share]) -> Vec<u32> {
    let mut total = 0;
    for share in shares {
        total += u64::from(share.weight);
    }
    let mut percentages = Vec::new();
    for share in shares {
        percentages.push((u64::from(share.weight) * 100).checked_div(total).unwrap_or(0) as u32);
    }
    percentages
}
