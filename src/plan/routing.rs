//! The ip rules and the routing table of each uplink that is up. Numbers: docs/marks-and-tables.md.

use std::net::{IpAddr, Ipv6Addr};

use crate::address::{Family, Prefix};
use crate::config::Config;
use crate::network::{
    Hop, IpRule, Network, OUR_PROTOCOL, Route, RouteKind, RuleAction, TABLE_MAIN, sort_routes,
};
use crate::sorted::SortedSet;

use super::Uplink;

/// Comes in by an uplink's device; carries its mark; carries its mark and its table had no answer.
const INPUT_PRIORITY: u32 = 1000;
const MARK_PRIORITY: u32 = 2000;
const FALL_THROUGH_PRIORITY: u32 = 3000;

pub(super) fn rules(config: &Config, network: &Network, uplinks: &[Uplink<'_>]) -> Vec<IpRule> {
    let mut rules = Vec::new();
    for family in families(network) {
        special_rules(config, *family, &mut rules);
    }
    for uplink in uplinks.iter().filter(|uplink| families(network).contains(&uplink.interface.family)) {
        if let Some(device) = &uplink.device {
            uplink_rules(config, uplink, device, &mut rules);
        }
    }
    rules
}

pub(super) fn families(network: &Network) -> &'static [Family] {
    if network.has_ipv6 { &Family::BOTH } else { &[Family::Ipv4] }
}

fn special_rules(config: &Config, family: Family, rules: &mut Vec<IpRule>) {
    let mask = config.globals.mask;
    // Behind table main they would come too late: wide masks share the places of an eight-bit one.
    for (index, last, action) in [
        (mask.blackhole_index(), 253, RuleAction::Blackhole),
        (mask.unreachable_index(), 254, RuleAction::Unreachable),
    ] {
        let mut rule = IpRule::new(family, MARK_PRIORITY + index.min(last), action, OUR_PROTOCOL);
        rule.mark = Some((mask.spread(index), mask.bits()));
        rules.push(rule);
    }
}

fn uplink_rules(config: &Config, uplink: &Uplink<'_>, device: &str, rules: &mut Vec<IpRule>) {
    let (family, id) = (uplink.interface.family, uplink.interface.id);
    let mark = Some((config.globals.mask.interface(id), config.globals.mask.bits()));
    let lookup = RuleAction::Lookup(u32::from(id));
    for (base, action) in
        [(INPUT_PRIORITY, lookup), (MARK_PRIORITY, lookup), (FALL_THROUGH_PRIORITY, RuleAction::Unreachable)]
    {
        let mut rule = IpRule::new(family, base + u32::from(id), action, OUR_PROTOCOL);
        if base == INPUT_PRIORITY {
            rule.input_device = Some(device.to_owned());
        } else {
            rule.mark = mark;
        }
        rules.push(rule);
    }
}

pub(super) fn routes(config: &Config, network: &Network, uplinks: &[Uplink<'_>]) -> Vec<Route> {
    let mut sources = Vec::new();
    for route in &network.routes {
        if route.table == TABLE_MAIN || config.globals.lookup_tables.contains(&route.table) {
            sources.push(route);
        }
    }
    // The order decides which of several routes with one key is taken: main's first, then by content.
    sort_routes(&mut sources, &|one, other| {
        (one.table != TABLE_MAIN).cmp(&(other.table != TABLE_MAIN)).then_with(|| one.cmp(other))
    });
    let mut routes = Vec::new();
    for (position, uplink) in uplinks.iter().enumerate() {
        let Some(device) = &uplink.device else { continue };
        let family = uplink.interface.family;
        if family == Family::Ipv6 && !network.has_ipv6 {
            continue;
        }
        // Where two sections share a device, it belongs to the first.
        let mut is_second = false;
        let mut uplink_devices = Vec::new();
        for (place, other) in uplinks.iter().enumerate().filter(|(_, one)| one.interface.family == family) {
            is_second |= place < position && other.device.as_ref() == Some(device);
            uplink_devices.extend(other.device.as_deref());
        }
        let own_device = if is_second { None } else { Some(device.as_str()) };
        let (mut keys, mut has_default) = (SortedSet::new(), false);
        for route in sources.iter().filter(|route| route.family == family) {
            let Some(mut route) = share_of(route, own_device, &uplink_devices) else { continue };
            stamp(&mut route, config, uplink);
            if keys.insert(route.key()) {
                has_default |= route.is_default();
                routes.push(route);
            }
        }
        if let Some(device) = own_device
            && !has_default
        {
            routes.extend(learnt_default(network, uplink, device));
        }
    }
    routes
}

/// The part of a route that belongs into the table of the uplink with `own_device`, if any: its own routes,
/// and those that belong to no uplink; never one that leads out of another uplink.
fn share_of(route: &Route, own_device: Option<&str>, uplink_devices: &[&str]) -> Option<Route> {
    let (mut own, mut neutral) = (Vec::new(), Vec::new());
    for hop in &route.hops {
        match hop.device.as_deref() {
            device if device.is_some() && device == own_device => own.push(hop.clone()),
            Some(device) if uplink_devices.contains(&device) => {}
            _ => neutral.push(hop.clone()),
        }
    }
    if !own.is_empty() {
        return Some(with_hops(route, own));
    }
    let is_ours = route.hops.is_empty() || !neutral.is_empty();
    (is_ours && !leads_everywhere(route)).then(|| with_hops(route, neutral))
}

/// A nexthop object stands for all its hops: with only some of them the route must spell them out.
fn with_hops(route: &Route, mut hops: Vec<Hop>) -> Route {
    // A weight means something beside others only; the kernel reports 1 for a single hop.
    if let [only] = &mut hops[..] {
        only.weight = 1;
    }
    let nexthop_id = route.nexthop_id.filter(|_| hops.len() == route.hops.len());
    Route { hops, nexthop_id, ..route.clone() }
}

/// Default routes, the halves that VPNs use in place of one, and the link-local prefix: each means
/// something only together with its own device.
fn leads_everywhere(route: &Route) -> bool {
    let link_local = Prefix::new(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 64);
    route.destination.length() <= 1 || route.destination == link_local
}

fn stamp(route: &mut Route, config: &Config, uplink: &Uplink<'_>) {
    route.table = u32::from(uplink.interface.id);
    route.protocol = OUR_PROTOCOL;
    if route.is_default() && !config.globals.source_routing {
        route.source = None;
    }
}

/// Where no routing table holds this uplink's default, its gateway may still be known.
fn learnt_default(network: &Network, uplink: &Uplink<'_>, device: &str) -> Option<Route> {
    let (interface, family) = (uplink.interface, uplink.interface.family);
    let mut gateway = interface.gateway;
    if gateway.is_none() {
        let (_, found) = network.true_interface(&interface.name, family)?;
        gateway = found.gateways.iter().copied().find(|gateway| Family::of(*gateway) == family);
    }
    gateway?;
    let mut route = Route::new(family, u32::from(interface.id), RouteKind::Unicast);
    route.protocol = OUR_PROTOCOL;
    route.metric = if family == Family::Ipv6 { 1024 } else { 0 };
    let device = Some(device.to_owned());
    route.hops.push(Hop { device, gateway, onlink: true, weight: 1, ..Hop::default() });
    Some(route)
}
