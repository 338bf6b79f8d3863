//! Which members of a policy carry its new flows: the usable ones of the lowest metric, by weight, or the
//! last resort when there is none. Each family is judged on its own.

use crate::address::Family;
use crate::config::{LastResort, Policy};
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
