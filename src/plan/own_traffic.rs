//! The router's own packets take their source address from table main's route, before a policy sends them by
//! another uplink, whose provider drops them then. They get the address of the uplink that they leave by.

use std::net::IpAddr;

use crate::address::Family;
use crate::network::Network;
use crate::network::source::{Reach, reach};
use crate::nft::{BaseChain, BaseKind, Chain, Field, Hook, Relation, Statement, Value, ValueRange};
use crate::sorted::SortedSet;

use super::Uplink;

const CHAIN: &str = "own_traffic";
/// Behind nf_tables' "srcnat": what the firewall decided stays.
const AFTER_FIREWALL: i32 = 101;

/// No chain where no packet can have the address of another uplink.
pub(super) fn source_chain(
    families: &[Family],
    network: &Network,
    uplinks: &[Uplink<'_>],
    chains: &mut Vec<Chain>,
) {
    let mut chain = Chain::new(CHAIN.to_owned());
    chain.base = Some(BaseChain { kind: BaseKind::Nat, hook: Hook::Postrouting, priority: AFTER_FIREWALL });
    for uplink in uplinks.iter().filter(|uplink| families.contains(&uplink.interface.family)) {
        add_rule(uplink, network, uplinks, &mut chain);
    }
    if !chain.rules.is_empty() {
        chains.push(chain);
    }
}

fn add_rule(uplink: &Uplink<'_>, network: &Network, uplinks: &[Uplink<'_>], chain: &mut Chain) {
    let family = uplink.interface.family;
    let Some(device) = uplink.device.as_deref() else { return };
    let Some(source) = network.source_address(&uplink.interface.name, family) else { return };
    let own = addresses(uplink, network);
    let mut foreign = SortedSet::new();
    for other in uplinks.iter().filter(|other| other.interface.family == family) {
        if device_of(other, network).is_some_and(|other| other != device) {
            for address in addresses(other, network) {
                if !own.contains(&address) {
                    foreign.insert(address);
                }
            }
        }
    }
    let mut list = Vec::new();
    for address in foreign {
        list.push(ValueRange::one(Value::Address(address)));
    }
    if !list.is_empty() {
        let rule = chain.rule();
        rule.compare(Field::OutputDevice, Relation::Is, Value::Device(device.to_owned()));
        rule.one_of(Field::Source(family), list).and(Statement::SourceNat(source));
    }
}

/// All that a packet meant for this uplink may come from.
fn addresses(uplink: &Uplink<'_>, network: &Network) -> Vec<IpAddr> {
    let family = uplink.interface.family;
    let mut addresses = Vec::new();
    if let Some(device) = device_of(uplink, network).and_then(|name| network.device(name)) {
        for one in &device.addresses {
            addresses.push(one.address);
        }
    }
    if let Some((_, found)) = network.true_interface(&uplink.interface.name, family) {
        for one in &found.addresses {
            addresses.push(one.address);
        }
        addresses.extend(&found.assigned);
    }
    addresses.retain(|address| Family::of(*address) == family && reach(*address) != Reach::Nowhere);
    addresses
}

/// Also while it is down: its address and its route in table main may still be there.
fn device_of<'a>(uplink: &'a Uplink<'_>, network: &'a Network) -> Option<&'a str> {
    let (_, found) = network.true_interface(&uplink.interface.name, uplink.interface.family)?;
    found.device.as_deref()
}
