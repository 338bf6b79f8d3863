//! What netifd's answer to `network.interface dump` says about the logical interfaces. Fields that are
//! missing, of a wrong type or not what they should be cost themselves, never their interface.

use std::net::IpAddr;

use serde_json::Value;

use crate::address::{Family, Prefix};
use crate::sorted::{SortedMap, sort_by};

use super::source::{Preference, Reach, preference, reach};
use super::{InterfaceAddress, LogicalInterface};

pub fn from_dump(dump: &Value) -> SortedMap<String, LogicalInterface> {
    let interfaces: Vec<(&str, &Value)> = entries(dump, "interface")
        .filter_map(|interface| Some((text(interface, "interface")?, interface)))
        .collect();
    let assignments: Vec<Assignment> =
        interfaces.iter().flat_map(|(name, interface)| assignments_of(name, interface)).collect();
    interfaces
        .iter()
        .map(|(name, interface)| ((*name).to_owned(), logical_interface(name, interface, &assignments)))
        .collect()
}

fn logical_interface(name: &str, interface: &Value, assignments: &[Assignment]) -> LogicalInterface {
    let prefixes = delegated_prefixes(interface);
    LogicalInterface {
        up: interface.get("up").and_then(Value::as_bool).unwrap_or(false),
        device: text(interface, "l3_device").map(str::to_owned),
        uptime_s: interface.get("uptime").and_then(Value::as_u64).unwrap_or(0),
        addresses: own_addresses(interface),
        assigned: assigned_addresses(name, &prefixes, assignments),
        prefixes,
        gateways: gateways(interface),
        name_servers: entries(interface, "dns-server")
            .filter_map(|server| server.as_str()?.parse().ok())
            .collect(),
    }
}

fn own_addresses(interface: &Value) -> Vec<InterfaceAddress> {
    let of_family = |key, family| {
        let mut ranked: Vec<(Preference, InterfaceAddress)> = entries(interface, key)
            .filter_map(|entry| {
                let address = address(entry, "address").filter(|found| Family::of(*found) == family)?;
                let length = length(entry, "mask", family).unwrap_or(family.bits());
                let preference = preference(address, is_deprecated(entry));
                Some((preference, InterfaceAddress { address, length }))
            })
            .collect();
        sort_by(&mut ranked, &|one, other| one.0.cmp(&other.0));
        ranked.into_iter().map(|(_, address)| address)
    };
    of_family("ipv4-address", Family::Ipv4).chain(of_family("ipv6-address", Family::Ipv6)).collect()
}

/// Those of the default routes. On point-to-point links netifd writes the null address.
fn gateways(interface: &Value) -> Vec<IpAddr> {
    let mut gateways = Vec::new();
    for route in entries(interface, "route").filter(|route| is_default(route)) {
        match address(route, "nexthop") {
            Some(gateway) if !gateway.is_unspecified() && !gateways.contains(&gateway) => {
                gateways.push(gateway);
            }
            _ => {}
        }
    }
    gateways
}

fn is_default(route: &Value) -> bool {
    address(route, "target")
        .is_some_and(|target| target.is_unspecified() && length(route, "mask", Family::of(target)) == Some(0))
}

fn delegated_prefixes(interface: &Value) -> Vec<Prefix> {
    let mut ranked: Vec<(bool, Prefix)> = entries(interface, "ipv6-prefix")
        .filter_map(|entry| {
            let address = address(entry, "address")?;
            let length = length(entry, "mask", Family::of(address))?;
            Some((is_deprecated(entry), Prefix::new(address, length)))
        })
        .filter(|(_, prefix)| prefix.family() == Family::Ipv6 && prefix.length() > 0)
        .collect();
    sort_by(&mut ranked, &|one, other| one.0.cmp(&other.0));
    ranked.into_iter().map(|(_, prefix)| prefix).collect()
}

/// An address this interface got out of a prefix that was delegated to it or to another one.
struct Assignment<'a> {
    interface: &'a str,
    address: IpAddr,
    is_deprecated: bool,
}

fn assignments_of<'a>(interface: &'a str, status: &'a Value) -> impl Iterator<Item = Assignment<'a>> {
    entries(status, "ipv6-prefix-assignment").filter_map(move |entry| {
        let address = match entry.get("local-address") {
            // Empty while the address is not on the device.
            Some(local) => address(local, "address")?,
            None => first_host(address(entry, "address")?),
        };
        Some(Assignment { interface, address, is_deprecated: is_deprecated(entry) })
    })
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
    let is_ours = |address| prefixes.iter().any(|prefix| prefix.contains(address));
    let mut candidates: Vec<&Assignment> = assignments
        .iter()
        .filter(|candidate| candidate.interface == interface || is_ours(candidate.address))
        .filter(|candidate| reach(candidate.address) != Reach::Nowhere)
        .collect();
    let rank = |candidate: &Assignment| {
        let is_foreign = !is_ours(candidate.address);
        let preference = preference(candidate.address, candidate.is_deprecated);
        (is_foreign, preference, candidate.interface != interface)
    };
    sort_by(&mut candidates, &|one, other| rank(one).cmp(&rank(other)));
    candidates.into_iter().map(|candidate| candidate.address).collect()
}

/// Its preferred lifetime is over. Without a lifetime it is preferred for ever.
fn is_deprecated(entry: &Value) -> bool {
    entry.get("preferred").and_then(Value::as_i64).is_some_and(|seconds| seconds <= 0)
}

fn entries<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn address(value: &Value, key: &str) -> Option<IpAddr> {
    text(value, key)?.parse().ok()
}

fn length(value: &Value, key: &str, family: Family) -> Option<u8> {
    let length = u8::try_from(value.get(key)?.as_u64()?).ok()?;
    (length <= family.bits()).then_some(length)
}
