//! Which members of a policy carry its new flows: the usable ones of the lowest metric, by weight, or the
//! last resort when there is none. Each family is judged on its own.

use crate::address::Family;
use crate::config::{Config, LastResort, Policy, Target};
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
    let usable: Vec<(u32, Share)> = policy
        .members
        .iter()
        .filter_map(|member| {
            let uplink = uplinks.iter().find(|uplink| uplink.interface.name == member.interface)?;
            let share =
                Share { interface: member.interface.clone(), id: uplink.interface.id, weight: member.weight };
            (uplink.usable && uplink.interface.family == family).then_some((member.metric, share))
        })
        .collect();
    match usable.iter().map(|(metric, _)| *metric).min() {
        None => Choice::LastResort(policy.last_resort),
        Some(tier) => Choice::Shares(
            usable.into_iter().filter(|(metric, _)| *metric == tier).map(|(_, share)| share).collect(),
        ),
    }
}

/// Why new flows would have nowhere to go without this uplink, in words: the policies that rules use and
/// that have only it, or that nothing else is usable. Empty where others stand in.
pub fn lost_without(config: &Config, uplinks: &[Uplink<'_>], interface: &str) -> Vec<String> {
    let without: Vec<Uplink<'_>> = uplinks
        .iter()
        .map(|uplink| Uplink {
            usable: uplink.usable && uplink.interface.name != interface,
            ..uplink.clone()
        })
        .collect();
    if !without.iter().any(|uplink| uplink.usable) {
        return vec!["no other uplink is usable".to_owned()];
    }
    let Some(family) = config.interface(interface).map(|interface| interface.family) else {
        return Vec::new();
    };
    let is_used = |policy: &&Policy| {
        config.rules.iter().any(|rule| {
            matches!(&rule.target, Target::Policy(name) if *name == policy.name)
                && rule.families.contains(&family)
        })
    };
    let loses = |policy: &&Policy| {
        !choose(policy, family, uplinks).shares().is_empty()
            && choose(policy, family, &without).shares().is_empty()
    };
    let lost = config.policies.iter().filter(is_used).filter(loses);
    lost.map(|policy| format!("policy {} has no other usable member", policy.name)).collect()
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
    let total: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    shares
        .iter()
        .map(|share| (u64::from(share.weight) * 100).checked_div(total).unwrap_or(0) as u32)
        .collect()
}
