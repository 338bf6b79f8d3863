//! The networks that are none of our business: what the router reaches directly (connected) and what the
//! tables of `rt_table_lookup` lead to (custom). Traffic to them is left to table main.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{Family, Prefix, Span, merge_spans};
use crate::config::Config;
use crate::network::{Network, Route, RouteKind, TABLE_MAIN};
use crate::sorted::sort_by;

pub fn connected(network: &Network, family: Family) -> Vec<Prefix> {
    let routes = || network.routes.iter().filter(|route| route.family == family);
    let in_main = routes().filter(|route| route.table == TABLE_MAIN && is_destination(route));
    // Own and broadcast addresses, and what is refused on purpose, wherever it stands.
    let special = routes().filter(|route| match family {
        Family::Ipv4 => route.kind != RouteKind::Unicast && route.kind != RouteKind::Multicast,
        // Aggregates of delegated prefixes are `unreachable` routes: their addresses are still out there.
        Family::Ipv6 => route.kind == RouteKind::Local,
    });
    let always = always(family);
    let is_news =
        |prefix: &Prefix| prefix.length() > 0 && !always.iter().any(|wide| wide.contains(prefix.address()));
    let found = in_main.chain(special).map(|route| route.destination);
    let mut prefixes: Vec<Prefix> = found.filter(is_news).collect();
    prefixes.extend(&always);
    sort_by(&mut prefixes, &Prefix::cmp);
    prefixes.dedup();
    prefixes
}

pub fn custom(config: &Config, network: &Network, family: Family) -> Vec<Prefix> {
    let mut prefixes: Vec<Prefix> = network
        .routes
        .iter()
        .filter(|route| route.family == family && config.globals.lookup_tables.contains(&route.table))
        .filter(|route| is_destination(route))
        .map(|route| route.destination)
        .collect();
    sort_by(&mut prefixes, &Prefix::cmp);
    prefixes.dedup();
    prefixes
}

pub(super) fn spans(prefixes: &[Prefix]) -> Vec<Span> {
    merge_spans(prefixes.iter().map(|prefix| prefix.span()).collect())
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
