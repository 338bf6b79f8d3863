//! Which uplinks exist right now, by which device, and which of them policies may use.

use crate::config::{Config, Interface};
use crate::network::Network;
use crate::sorted::SortedMap;

/// What trackers and people last said about each uplink, by name.
pub type Health = SortedMap<String, Verdict>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Online,
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
}

/// All enabled interfaces, in file order.
pub fn uplinks<'a>(config: &'a Config, network: &Network, health: &Health) -> Vec<Uplink<'a>> {
    config
        .interfaces
        .iter()
        .filter(|interface| interface.enabled)
        .map(|interface| {
            let verdict = health.get(&interface.name).copied();
            let device = match verdict {
                Some(Verdict::TakenDown) => None,
                _ => up_device(interface, network),
            };
            let usable = device.is_some() && is_healthy(interface, verdict);
            Uplink { interface, device, usable }
        })
        .collect()
}

fn up_device(interface: &Interface, network: &Network) -> Option<String> {
    let (_, found) = network.true_interface(&interface.name, interface.family)?;
    found.up.then(|| found.device.clone()).flatten()
}

/// Nobody has said anything yet: `initial_state` decides, and without targets being up is enough.
fn is_healthy(interface: &Interface, verdict: Option<Verdict>) -> bool {
    match verdict {
        Some(verdict) => verdict == Verdict::Online,
        None => interface.tracking.targets.is_empty() || interface.tracking.initially_online,
    }
}
