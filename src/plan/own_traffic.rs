//! The router's own packets take their source address from table main's route, before a policy sends them by
//! another uplink, whose provider drops them then. They get the address of the uplink that they leave by.

use std::net::IpAddr;

use crate::address::Family;
use crate::network::Network;
use crate::network::source::{Reach, reach};
use crate::nft::{BaseChain, BaseKind, Chain, Field, Hook, Relation, Rule, Statement, Value, ValueRange};
use crate::sorted::sort_by;

use super::Uplink;
use super::ruleset::{chain, in_list, rule};

const CHAIN: &str = "own_traffic";
/// Behind nf_tables' "srcnat": what the firewall decided stays.
const AFTER_FIREWALL: i32 = 101;

/// `None` where no packet can have the address of another uplink.
pub(super) fn source_chain(families: &[Family], network: &Network, uplinks: &[Uplink<'_>]) -> Option<Chain> {
    let mut rules = Vec::new();
    for uplink in uplinks.iter().filter(|uplink| families.contains(&uplink.interface.family)) {
        rules.extend(rule_for(uplink, network, uplinks));
    }
    let base = BaseChain { kind: BaseKind::Nat, hook: Hook::Postrouting, priority: AFTER_FIREWALL };
    (!rules.is_empty()).then(|| Chain { base: Some(base), ..chain(CHAIN, rules) })
}

fn rule_for(uplink: &Uplink<'_>, network: &Network, uplinks: &[Uplink<'_>]) -> Option<Rule> {
    let family = uplink.interface.family;
    let device = uplink.device.as_deref()?;
    let source = network.source_address(&uplink.interface.name, family)?;
    let own = addresses(uplink, network);
    let mut foreign = Vec::new();
    for other in uplinks.iter().filter(|other| other.interface.family == family) {
        if device_of(other, network).is_some_and(|other| other != device) {
            foreign.extend(addresses(other, network));
        }
    }
    foreign.retain(|address| !own.contains(address));
    sort_by(&mut foreign, &IpAddr::cmp);
    foreign.dedup();
    let list: Vec<ValueRange> =
        foreign.into_iter().map(|address| ValueRange::one(Value::Address(address))).collect();
    if list.is_empty() {
        return None;
    }
    let leaves_here = Statement::Compare {
        field: Field::OutputDevice,
        relation: Relation::Is,
        range: ValueRange::one(Value::Device(device.to_owned())),
    };
    Some(rule([leaves_here, in_list(Field::Source(family), list), Statement::SourceNat(source)]))
}

/// All that a packet meant for this uplink may come from.
fn addresses(uplink: &Uplink<'_>, network: &Network) -> Vec<IpAddr> {
    let family = uplink.interface.family;
    let device = device_of(uplink, network).and_then(|name| network.device(name));
    let found = network.true_interface(&uplink.interface.name, family).map(|(_, found)| found);
    let of_device = device.into_iter().flat_map(|device| &device.addresses).map(|one| one.address);
    let of_host = found.into_iter().flat_map(|found| {
        found.addresses.iter().map(|one| one.address).chain(found.assigned.iter().copied())
    });
    of_device
        .chain(of_host)
        .filter(|address| Family::of(*address) == family && reach(*address) != Reach::Nowhere)
        .collect()
}

/// Also while it is down: its address and its route in table main may still be there.
fn device_of<'a>(uplink: &'a Uplink<'_>, network: &'a Network) -> Option<&'a str> {
    let (_, found) = network.true_interface(&uplink.interface.name, uplink.interface.family)?;
    found.device.as_deref()
}
