//! What netifd's answer to `network.interface dump` says about the logical interfaces. Fields that are
//! missing, of a wrong type or not what they should be cost themselves, never their interface.

use std::net::IpAddr;

use crate::address::{Family, Prefix};
use crate::json::Json;
use crate::sorted::SortedMap;

use super::source::{Reach, preference, reach};
use super::{InterfaceAddress, LogicalInterface};

pub fn from_dump(dump: &Json) -> SortedMap<String, LogicalInterface> {
    let mut assignments = Vec::new();
    for interface in entries(dump, "interface") {
        if let Some(name) = text(interface, "interface") {
            add_assignments(&mut assignments, name, interface);
        }
    }
    let mut interfaces = SortedMap::new();
    for interface in entries(dump, "interface") {
        if let Some(name) = text(interface, "interface") {
            interfaces.insert(name.to_owned(), logical_interface(name, interface, &assignments));
        }
    }
    interfaces
}

fn logical_interface(name: &str, interface: &Json, assignments: &[Assignment]) -> LogicalInterface {
    let prefixes = delegated_prefixes(interface);
    LogicalInterface {
        up: interface.get("up").and_then(Json::as_bool).unwrap_or(false),
        device: text(interface, "l3_device").map(str::to_owned),
        uptime_s: interface.get("uptime").and_then(Json::as_u64).unwrap_or(0),
        addresses: own_addresses(interface),
        assigned: assigned_addresses(name, &prefixes, assignments),
        prefixes,
        gateways: gateways(interface),
        name_servers: name_servers(interface),
    }
}

fn own_addresses(interface: &Json) -> Vec<InterfaceAddress> {
    let mut found = Ranked::new();
    for (key, family) in [("ipv4-address", Family::Ipv4), ("ipv6-address", Family::Ipv6)] {
        for entry in entries(interface, key) {
            if let Some(address) = address(entry, "address").filter(|found| Family::of(*found) == family) {
                let length = length(entry, "mask", family).unwrap_or(family.bits());
                let rank = preference(address, is_deprecated(entry)).rank;
                found.add(rank + if family == Family::Ipv4 { 0 } else { 1 << 7 }, address, length);
            }
        }
    }
    found.entries.into_iter().map(|(_, address)| address).collect()
}

/// Those of the default routes. On point-to-point links netifd writes the null address.
fn gateways(interface: &Json) -> Vec<IpAddr> {
    let mut gateways = Vec::new();
    for route in entries(interface, "route").iter().filter(|route| is_default(route)) {
        match address(route, "nexthop") {
            Some(gateway) if !gateway.is_unspecified() && !gateways.contains(&gateway) => {
                gateways.push(gateway);
            }
            _ => {}
        }
    }
    gateways
}

fn is_default(route: &Json) -> bool {
    address(route, "target")
        .is_some_and(|target| target.is_unspecified() && length(route, "mask", Family::of(target)) == Some(0))
}

fn name_servers(interface: &Json) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for server in entries(interface, "dns-server") {
        if let Ok(server) = server.as_str().unwrap_or_default().parse() {
            servers.push(server);
        }
    }
    servers
}

fn delegated_prefixes(interface: &Json) -> Vec<Prefix> {
    let mut found = Ranked::new();
    for entry in entries(interface, "ipv6-prefix") {
        if let Some(address @ IpAddr::V6(_)) = address(entry, "address")
            && let Some(length @ 1..) = length(entry, "mask", Family::Ipv6)
        {
            found.add(is_deprecated(entry).into(), address, length);
        }
    }
    found.entries.into_iter().map(|(_, prefix)| Prefix::new(prefix.address, prefix.length)).collect()
}

/// An address this interface got out of a prefix that was delegated to it or to another one.
struct Assignment<'a> {
    interface: &'a str,
    address: IpAddr,
    is_deprecated: bool,
}

fn add_assignments<'a>(assignments: &mut Vec<Assignment<'a>>, interface: &'a str, status: &Json) {
    for entry in entries(status, "ipv6-prefix-assignment") {
        let address = match entry.get("local-address") {
            // Empty while the address is not on the device.
            Some(local) => address(local, "address"),
            None => address(entry, "address").map(first_host),
        };
        if let Some(address) = address {
            assignments.push(Assignment { interface, address, is_deprecated: is_deprecated(entry) });
        }
    }
}

/// netifd before 2017 tells the assigned network only; the router is its first host unless told otherwise.
fn first_host(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.segments()[4..] == [0; 4] => IpAddr::V6((u128::from(v6) | 1).into()),
        other => other,
    }
}

/// The interface's own share, wherever that came from, and the shares others got of its prefixes.
fn assigned_addresses(interface: &str, prefixes: &[Prefix], assignments: &[Assignment]) -> Vec<IpAddr> {
    let mut found = Ranked::new();
    for candidate in assignments {
        let is_own = candidate.interface == interface;
        let is_foreign = !prefixes.iter().any(|prefix| prefix.contains(candidate.address));
        if (is_foreign && !is_own) || reach(candidate.address) == Reach::Nowhere {
            continue;
        }
        let preference = preference(candidate.address, candidate.is_deprecated).rank;
        let rank = u8::from(is_foreign) << 7 | preference << 1 | u8::from(!is_own);
        found.add(rank, candidate.address, 0);
    }
    found.entries.into_iter().map(|(_, found)| found.address).collect()
}

/// Addresses by rank, the lowest first; of one rank in the host's order.
struct Ranked {
    entries: Vec<(u8, InterfaceAddress)>,
}

impl Ranked {
    fn new() -> Ranked {
        Ranked { entries: Vec::new() }
    }

    fn add(&mut self, rank: u8, address: IpAddr, length: u8) {
        let place = self.entries.partition_point(|(known, _)| *known <= rank);
        self.entries.insert(place, (rank, InterfaceAddress { address, length }));
    }
}

/// Its preferred lifetime is over. Without a lifetime it is preferred for ever.
fn is_deprecated(entry: &Json) -> bool {
    entry.get("preferred").and_then(Json::as_i64).is_some_and(|seconds| seconds <= 0)
}

fn entries<'a>(value: &'a Json, key: &str) -> &'a [Json] {
    value.get(key).and_then(Json::as_array).unwrap_or_default()
}

fn text<'a>(value: &'a Json, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Json::as_str).filter(|text| !text.is_empty())
}

fn address(value: &Json, key: &str) -> Option<IpAddr> {
    text(value, key)?.parse().ok()
}

fn length(value: &Json, key: &str, family: Family) -> Option<u8> {
    let length = u8::try_from(value.get(key)?.as_u64()?).ok()?;
    (length <= family.bits()).then_some(length)
}
