//! The networks that are none of our business: what the router reaches directly (connected) and what the
//! tables of `rt_table_lookup` lead to (custom). Traffic to them is left to table main.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{Family, Prefix, Span, merge_spans};
use crate::config::Config;
use crate::network::{Network, Route, RouteKind, TABLE_MAIN};

pub fn connected(network: &Network, family: Family) -> Vec<Prefix> {
    let always = always(family);
    let mut prefixes = always.clone();
    for route in network.routes.iter().filter(|route| route.family == family) {
        // Own and broadcast addresses, and what is refused on purpose, wherever it stands.
        let is_special = match family {
            Family::Ipv4 => route.kind != RouteKind::Unicast && route.kind != RouteKind::Multicast,
            // Aggregates of delegated prefixes are `unreachable` routes: their addresses are still out there.
            Family::Ipv6 => route.kind == RouteKind::Local,
        };
        let (prefix, is_in_main) = (route.destination, route.table == TABLE_MAIN && is_destination(route));
        if (is_special || is_in_main)
            && prefix.length() > 0
            && !always.iter().any(|wide| wide.contains(prefix.address()))
        {
            prefixes.push(prefix);
        }
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

pub fn custom(config: &Config, network: &Network, family: Family) -> Vec<Prefix> {
    let mut prefixes = Vec::new();
    for route in network.routes.iter().filter(|route| route.family == family && is_destination(route)) {
        if config.globals.lookup_tables.contains(&route.table) {
            prefixes.push(route.destination);
        }
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    prefixes
}

pub(super) fn spans(prefixes: &[Prefix]) -> Vec<Span> {
    let mut spans = Vec::new();
    for prefix in prefixes {
        spans.push(prefix.span());
    }
    merge_spans(spans)
}

fn is_destination(route: &Route) -> bool {
    route.kind == RouteKind::Unicast && !route.is_default()
}

/// Multicast and beyond in IPv4; in IPv6 also link-local, which must never be sent through an uplink's table.
fn always(family: Family) -> Vec<Prefix> {
    match family {
        Family::Ipv4 => vec![Prefix::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 3)],
        Family::Ipv6 => vec![
            Prefix::new(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
            Prefix::new(IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
        ],
    }
}
