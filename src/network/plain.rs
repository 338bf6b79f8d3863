//! Logical interfaces on a host without netifd: each is a device, and is up while that device carries
//! traffic for it.

use std::net::IpAddr;

use crate::address::Family;
use crate::sorted::{SortedMap, sort_by};

use super::{Device, DeviceAddress, InterfaceAddress, LogicalInterface, Network, TABLE_MAIN};

/// A logical interface as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    /// Without one its own name serves.
    pub device: Option<String>,
    /// Of uplinks: a line that only carries the other family is down for this one.
    pub family: Option<Family>,
}

pub fn logical_interfaces(names: &[Named], network: &Network) -> SortedMap<String, LogicalInterface> {
    names
        .iter()
        .filter_map(|named| {
            let device = network.device(named.device.as_deref().unwrap_or(&named.name))?;
            Some((named.name.clone(), of_device(device, named.family, network)))
        })
        .collect()
}

fn of_device(device: &Device, family: Option<Family>, network: &Network) -> LogicalInterface {
    let mut addresses: Vec<_> =
        device.addresses.iter().filter(|one| !one.tentative && !is_link_local(one.address)).collect();
    let rank = |one: &DeviceAddress| (one.address.is_ipv6(), one.deprecated, one.scope);
    sort_by(&mut addresses, &|one, other| rank(one).cmp(&rank(other)));
    let is_wanted = |other: Family| family.is_none_or(|wanted| wanted == other);
    let has_address = addresses.iter().any(|one| is_wanted(Family::of(one.address)));
    // Lines without an address of their own: point-to-point, or with a delegated prefix only.
    let leads_out = || {
        let defaults = network.routes.iter().filter(|route| route.table == TABLE_MAIN && route.is_default());
        let of_family = defaults.filter(|route| is_wanted(route.family));
        of_family.flat_map(|route| route.devices()).any(|name| name == device.name)
    };
    LogicalInterface {
        up: device.up && device.carrier && (has_address || leads_out()),
        device: Some(device.name.clone()),
        addresses: addresses
            .into_iter()
            .map(|one| InterfaceAddress { address: one.address, length: one.length })
            .collect(),
        ..LogicalInterface::default()
    }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}
