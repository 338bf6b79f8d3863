//! Table main's default route, for those who ask for it: while the best one leads out of an uplink that is
//! not usable, one of ours by a usable uplink goes before it. Others' routes stay as they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::address::{Family, Prefix};
use crate::network::{Network, Route, TABLE_MAIN};
use crate::sorted::sort_by;

use super::Uplink;

/// Lower than what DHCP clients and network managers give. 0 stays free: `ip route replace default` without
/// a metric would take ours away.
const METRIC: u32 = 1;

/// `planned` are the uplinks' own tables.
pub(super) fn in_main(
    family: Family,
    network: &Network,
    uplinks: &[Uplink<'_>],
    planned: &[Route],
) -> Vec<Route> {
    let usable = uplinks.iter().filter(|uplink| uplink.usable && uplink.interface.family == family);
    // What table main prefers comes first, then the order of the file.
    let best = usable
        .filter_map(|uplink| {
            let table = u32::from(uplink.interface.id);
            let of_table = planned.iter().filter(|route| route.family == family && route.table == table);
            let route = of_table.filter(|route| route.is_default()).min_by_key(|route| route.metric)?;
            let device = uplink.device.as_deref()?;
            let rank = defaults_of_main(network, family)
                .position(|route| route.devices().any(|name| name == device));
            Some((rank.unwrap_or(usize::MAX), route))
        })
        .min_by_key(|(rank, _)| *rank);
    let Some((_, route)) = best else { return Vec::new() };
    let held = defaults_of_main(network, family).next();
    if held.is_some_and(|held| !leads_into_the_void(held, network, uplinks)) {
        return Vec::new();
    }
    let ours = |destination: Prefix| Route {
        table: TABLE_MAIN,
        destination,
        source: None,
        metric: METRIC,
        ..route.clone()
    };
    if held.is_some_and(|held| held.metric <= METRIC) {
        // Nothing goes before that, but what is more specific does: the two halves.
        return halves(family).map(ours).to_vec();
    }
    vec![ours(Prefix::any(family))]
}

/// The best first; of equal ones the kernel takes the first.
fn defaults_of_main(network: &Network, family: Family) -> impl Iterator<Item = &Route> {
    let mut found: Vec<&Route> = network
        .routes
        .iter()
        .filter(|route| route.table == TABLE_MAIN && route.family == family && route.is_default())
        .collect();
    sort_by(&mut found, &|one, other| one.metric.cmp(&other.metric));
    found.into_iter()
}

/// A route by a device that is no uplink is somebody's own choice, such as a VPN.
fn leads_into_the_void(route: &Route, network: &Network, uplinks: &[Uplink<'_>]) -> bool {
    // Also of one that was taken down by hand, which has no device for policies.
    let has_device = |uplink: &Uplink<'_>, name: &str| {
        let found = network.true_interface(&uplink.interface.name, route.family);
        found.is_some_and(|(_, found)| found.device.as_deref() == Some(name))
    };
    let is_dead = |name: &str| {
        let same_family = uplinks.iter().filter(|uplink| uplink.interface.family == route.family);
        let mut users = same_family.filter(|uplink| has_device(uplink, name)).peekable();
        users.peek().is_some() && !users.any(|uplink| uplink.usable)
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
