//! Which uplinks exist right now, by which device, and which of them policies may use.

use crate::address::Family;
use crate::config::{Config, Interface};
use crate::network::Network;

use super::Health;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Online,
    /// Works again after a failure; policies that have another way do not prefer it yet (`failback_delay`).
    OnProbation,
    Offline,
    /// `mwan3 ifdown`: taken out by hand until its next ifup.
    TakenDown,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Uplink<'a> {
    pub interface: &'a Interface,
    /// The layer 3 device, while the interface is up: then its rules and its table exist.
    pub device: Option<String>,
    /// Policies may send new flows here.
    pub usable: bool,
    /// Usable, but only for policies that have nothing else.
    pub on_probation: bool,
    /// Of policies with a `hold`: the only tier of this family that they use now, None for none at all.
    pub policy_tiers: Vec<(&'a str, Option<u32>)>,
}

/// All enabled interfaces, in file order.
pub fn uplinks<'a>(config: &'a Config, network: &Network, health: &Health) -> Vec<Uplink<'a>> {
    let mut uplinks = Vec::new();
    for interface in config.interfaces.iter().filter(|interface| interface.enabled) {
        let verdict = health.get(&interface.name).copied();
        let device = match verdict {
            Some(Verdict::TakenDown) => None,
            _ => up_device(interface, network),
        };
        let usable = device.is_some() && is_healthy(interface, verdict);
        let on_probation = verdict == Some(Verdict::OnProbation);
        let policy_tiers = policy_tiers(config, health, interface.family);
        uplinks.push(Uplink { interface, device, usable, on_probation, policy_tiers });
    }
    uplinks
}

fn policy_tiers<'a>(config: &'a Config, health: &Health, family: Family) -> Vec<(&'a str, Option<u32>)> {
    let mut tiers = Vec::new();
    for one in health.tiers.iter().filter(|one| one.family == family) {
        let is_decided = one.tier.is_some() || one.is_held();
        if let Some(policy) = config.policy(&one.policy).filter(|_| is_decided) {
            tiers.push((&*policy.name, one.tier));
        }
    }
    tiers
}

fn up_device(interface: &Interface, network: &Network) -> Option<String> {
    let (_, found) = network.true_interface(&interface.name, interface.family)?;
    found.up.then(|| found.device.clone()).flatten()
}

/// Nobody has said anything yet: `initial_state` decides, and without targets being up is enough.
fn is_healthy(interface: &Interface, verdict: Option<Verdict>) -> bool {
    match verdict {
        Some(verdict) => matches!(verdict, Verdict::Online | Verdict::OnProbation),
        None => interface.tracking.targets.is_empty() || interface.tracking.initially_online,
    }
}
