//! Table main's default route, for those who ask for it: while the best one leads out of an uplink that is
//! not usable, one of ours by a usable uplink goes before it. Others' routes stay as they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{Family, Prefix};
use crate::network::{Network, Route, TABLE_MAIN, sort_routes};

use super::Uplink;

/// Lower than what DHCP clients and network managers give. 0 stays free: `ip route replace default` without
/// a metric would take ours away.
const METRIC: u32 = 1;

/// `routes` has the uplinks' own tables already.
pub(super) fn in_main(family: Family, network: &Network, uplinks: &[Uplink<'_>], routes: &mut Vec<Route>) {
    let defaults = defaults_of_main(network, family);
    // What table main prefers comes first, then the order of the file.
    let mut best: Option<(usize, &Route)> = None;
    for uplink in uplinks.iter().filter(|uplink| uplink.usable && uplink.interface.family == family) {
        let (Some(device), Some(route)) = (&uplink.device, default_of(uplink, routes)) else { continue };
        let rank = defaults.iter().position(|route| route.leads_by(device)).unwrap_or(usize::MAX);
        if best.is_none_or(|(known, _)| rank < known) {
            best = Some((rank, route));
        }
    }
    let Some((_, route)) = best else { return };
    let held = defaults.first();
    if held.is_some_and(|held| !leads_into_the_void(held, network, uplinks)) {
        return;
    }
    let route = Route { table: TABLE_MAIN, source: None, metric: METRIC, ..route.clone() };
    if held.is_some_and(|held| held.metric <= METRIC) {
        // Nothing goes before that, but what is more specific does: the two halves.
        let [low, high] = halves(family);
        routes.push(Route { destination: low, ..route.clone() });
        routes.push(Route { destination: high, ..route });
    } else {
        routes.push(Route { destination: Prefix::any(family), ..route });
    }
}

/// The default route with the lowest metric in the uplink's own table.
fn default_of<'r>(uplink: &Uplink<'_>, routes: &'r [Route]) -> Option<&'r Route> {
    let (family, table) = (uplink.interface.family, u32::from(uplink.interface.id));
    let is_meant = |route: &&Route| route.family == family && route.table == table && route.is_default();
    routes.iter().filter(is_meant).min_by_key(|route| route.metric)
}

/// The best first; of equal ones the kernel takes the first.
fn defaults_of_main(network: &Network, family: Family) -> Vec<&Route> {
    let mut found = Vec::new();
    for route in &network.routes {
        if route.table == TABLE_MAIN && route.family == family && route.is_default() {
            found.push(route);
        }
    }
    sort_routes(&mut found, &|one, other| one.metric.cmp(&other.metric));
    found
}

/// A route by a device that is no uplink is somebody's own choice, such as a VPN.
fn leads_into_the_void(route: &Route, network: &Network, uplinks: &[Uplink<'_>]) -> bool {
    // Also of one that was taken down by hand, which has no device for policies.
    let has_device = |uplink: &Uplink<'_>, name: &str| {
        let found = network.true_interface(&uplink.interface.name, route.family);
        found.is_some_and(|(_, found)| found.device.as_deref() == Some(name))
    };
    let is_dead = |name: &str| {
        let (mut is_used, mut is_usable) = (false, false);
        for uplink in uplinks.iter().filter(|uplink| uplink.interface.family == route.family) {
            if has_device(uplink, name) {
                is_used = true;
                is_usable |= uplink.usable;
            }
        }
        is_used && !is_usable
    };
    route.kind.is_reject() || route.devices().any(is_dead)
}

fn halves(family: Family) -> [Prefix; 2] {
    let starts: [IpAddr; 2] = match family {
        Family::Ipv4 => [Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(128, 0, 0, 0).into()],
        Family::Ipv6 => [Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0).into()],
    };
    starts.map(|start| Prefix::new(start, 1))
}
