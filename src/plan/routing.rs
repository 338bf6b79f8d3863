//! The ip rules and the routing table of each uplink that is up. Numbers: docs/marks-and-tables.md.

use std::net::{IpAddr, Ipv6Addr};

use crate::address::{Family, Prefix};
use crate::config::Config;
use crate::network::{Hop, IpRule, Network, OUR_PROTOCOL, Route, RouteKind, RuleAction, TABLE_MAIN, scope};
use crate::sorted::{SortedSet, sort_by};

use super::Uplink;

/// Comes in by an uplink's device; carries its mark; carries its mark and its table had no answer.
const INPUT_PRIORITY: u32 = 1000;
const MARK_PRIORITY: u32 = 2000;
const FALL_THROUGH_PRIORITY: u32 = 3000;

pub(super) fn rules(config: &Config, network: &Network, uplinks: &[Uplink<'_>]) -> Vec<IpRule> {
    let mut rules = Vec::new();
    for family in families(network) {
        rules.extend(special_rules(config, family));
    }
    for uplink in uplinks.iter().filter(|uplink| network.has_ipv6 || uplink.interface.family == Family::Ipv4)
    {
        if let Some(device) = &uplink.device {
            rules.extend(uplink_rules(config, uplink, device));
        }
    }
    rules
}

pub(super) fn families(network: &Network) -> impl Iterator<Item = Family> {
    let has_ipv6 = network.has_ipv6;
    Family::BOTH.into_iter().filter(move |family| *family == Family::Ipv4 || has_ipv6)
}

fn special_rules(config: &Config, family: Family) -> [IpRule; 2] {
    let mask = config.globals.mask;
    // Behind table main they would come too late: wide masks share the places of an eight-bit one.
    let rule = |index: u32, last: u32, mark: u32, action: RuleAction| IpRule {
        mark: Some((mark, mask.bits())),
        ..IpRule::new(family, MARK_PRIORITY + index.min(last), action, OUR_PROTOCOL)
    };
    [
        rule(mask.blackhole_index(), 253, mask.blackhole(), RuleAction::Blackhole),
        rule(mask.unreachable_index(), 254, mask.unreachable(), RuleAction::Unreachable),
    ]
}

fn uplink_rules(config: &Config, uplink: &Uplink<'_>, device: &str) -> [IpRule; 3] {
    let (family, id) = (uplink.interface.family, uplink.interface.id);
    let mark = Some((config.globals.mask.interface(id), config.globals.mask.bits()));
    let lookup = RuleAction::Lookup(u32::from(id));
    let rule =
        |base: u32, action: RuleAction| IpRule::new(family, base + u32::from(id), action, OUR_PROTOCOL);
    [
        IpRule { input_device: Some(device.to_owned()), ..rule(INPUT_PRIORITY, lookup) },
        IpRule { mark, ..rule(MARK_PRIORITY, lookup) },
        IpRule { mark, ..rule(FALL_THROUGH_PRIORITY, RuleAction::Unreachable) },
    ]
}

pub(super) fn routes(config: &Config, network: &Network, uplinks: &[Uplink<'_>]) -> Vec<Route> {
    let mut sources: Vec<&Route> = network
        .routes
        .iter()
        .filter(|route| route.table == TABLE_MAIN || config.globals.lookup_tables.contains(&route.table))
        .collect();
    // The order decides which of several routes with one key is taken: main's first, then by content.
    sort_by(&mut sources, &|a, b| {
        (a.table != TABLE_MAIN).cmp(&(b.table != TABLE_MAIN)).then_with(|| a.cmp(b))
    });
    let mut routes = Vec::new();
    for (position, uplink) in uplinks.iter().enumerate() {
        let Some(device) = &uplink.device else { continue };
        let family = uplink.interface.family;
        if family == Family::Ipv6 && !network.has_ipv6 {
            continue;
        }
        // Where two sections share a device, it belongs to the first.
        let same_family = || uplinks.iter().filter(|other| other.interface.family == family);
        let is_second = uplinks[..position]
            .iter()
            .any(|other| other.interface.family == family && other.device.as_ref() == Some(device));
        let uplink_devices: SortedSet<&str> =
            same_family().filter_map(|other| other.device.as_deref()).collect();
        let own_device = if is_second { None } else { Some(device.as_str()) };
        routes.extend(table(config, network, uplink, &sources, own_device, &uplink_devices));
    }
    routes
}

fn table(
    config: &Config,
    network: &Network,
    uplink: &Uplink<'_>,
    sources: &[&Route],
    own_device: Option<&str>,
    uplink_devices: &SortedSet<&str>,
) -> Vec<Route> {
    let mut keys = SortedSet::new();
    let mut routes: Vec<Route> = sources
        .iter()
        .filter(|route| route.family == uplink.interface.family)
        .filter_map(|route| share_of(route, own_device, uplink_devices))
        .map(|route| stamped(route, config, uplink))
        .filter(|route| keys.insert(route.key()))
        .collect();
    if !routes.iter().any(Route::is_default) {
        routes.extend(own_device.and_then(|device| learnt_default(network, uplink, device)));
    }
    routes
}

/// The part of a route that belongs into the table of the uplink with `own_device`, if any: its own routes,
/// and those that belong to no uplink; never one that leads out of another uplink.
fn share_of(route: &Route, own_device: Option<&str>, uplink_devices: &SortedSet<&str>) -> Option<Route> {
    let is_own = |hop: &&Hop| hop.device.is_some() && hop.device.as_deref() == own_device;
    let is_others = |hop: &&Hop| {
        hop.device.as_deref().is_some_and(|device| uplink_devices.contains(device)) && !is_own(hop)
    };
    let own: Vec<Hop> = route.hops.iter().filter(is_own).cloned().collect();
    if !own.is_empty() {
        return Some(with_hops(route, own));
    }
    if leads_everywhere(route) {
        return None;
    }
    let neutral: Vec<Hop> = route.hops.iter().filter(|hop| !is_others(hop)).cloned().collect();
    (route.hops.is_empty() || !neutral.is_empty()).then(|| with_hops(route, neutral))
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

fn stamped(route: Route, config: &Config, uplink: &Uplink<'_>) -> Route {
    let source = route.source.filter(|_| config.globals.source_routing || !route.is_default());
    Route { table: u32::from(uplink.interface.id), protocol: OUR_PROTOCOL, source, ..route }
}

/// Where no routing table holds this uplink's default, its gateway may still be known.
fn learnt_default(network: &Network, uplink: &Uplink<'_>, device: &str) -> Option<Route> {
    let family = uplink.interface.family;
    let of_host =
        || network.true_interface(&uplink.interface.name, family).map(|(_, found)| &found.gateways[..]);
    let gateway = uplink
        .interface
        .gateway
        .or_else(|| of_host()?.iter().copied().find(|gateway| Family::of(*gateway) == family))?;
    Some(Route {
        family,
        table: u32::from(uplink.interface.id),
        kind: RouteKind::Unicast,
        destination: Prefix::any(family),
        source: None,
        tos: 0,
        protocol: OUR_PROTOCOL,
        scope: scope::GLOBAL,
        metric: if family == Family::Ipv6 { 1024 } else { 0 },
        hops: vec![Hop {
            device: Some(device.to_owned()),
            gateway: Some(gateway),
            onlink: true,
            weight: 1,
            ..Hop::default()
        }],
        nexthop_id: None,
        preferred_source: None,
        metrics: Default::default(),
        other: Default::default(),
    })
}
