//! The steps for all routes of one key, in the order and by the means that leave the place served meanwhile.
//! Shaped by what the kernel does, which differs between the families: which route it replaces, which it
//! deletes when several fit, which two it takes for one.

use crate::address::Family;
use crate::sorted::sort_by;

use super::super::{Hop, OUR_PROTOCOL, Route, attribute};
use super::{Conflict, Leftovers, RoutingChange, RoutingChanges};

/// All routes of one key, in order.
#[derive(Default)]
pub(super) struct Place {
    pub wanted: Vec<Route>,
    pub held: Vec<Route>,
    /// Its whole table is a leftover: whose routes stand there does not matter.
    pub is_abandoned: bool,
}

pub(super) fn as_ours(route: &Route) -> Route {
    Route { protocol: OUR_PROTOCOL, ..route.clone() }
}

pub(super) fn has_gateway(route: &Route) -> bool {
    route.nexthop_id.is_some() || route.hops.iter().any(|hop| hop.gateway.is_some())
}

pub(super) fn diff_place(place: Place, leftovers: Leftovers, changes: &mut RoutingChanges) {
    let wanted = as_kernel_groups(place.wanted);
    // Several of IPv6 could not be told apart while they are replaced; those stay a conflict.
    let is_simple = wanted.first().is_none_or(|route| route.family == Family::Ipv4) || place.held.len() == 1;
    let takes_all = place.is_abandoned && is_simple;
    let is_ours_to_take = |route: &Route| {
        takes_all || (matches!(leftovers, Leftovers::TakeOver(_)) && wanted.contains(&as_ours(route)))
    };
    let foreign =
        place.held.iter().find(|route| route.protocol != OUR_PROTOCOL && !is_ours_to_take(route)).cloned();
    match (foreign, wanted.first().map(|route| route.family)) {
        (Some(foreign), _) => fit_around(&foreign, place.held, wanted, changes),
        (None, None) => changes.after.extend(place.held.into_iter().map(RoutingChange::DeleteRoute)),
        (None, Some(Family::Ipv4)) => replace_in_order(place.held, wanted, changes),
        (None, Some(Family::Ipv6)) => replace_by_class(place.held, wanted, changes),
    }
}

/// The routes of one key as the kernel will tell them apart: none twice, and in IPv6 all those with gateways
/// as the one multipath route it makes of them. Of routes with different preferences only the best enter
/// it, as among the routers they were learnt from.
fn as_kernel_groups(wanted: Vec<Route>) -> Vec<Route> {
    let best = wanted.iter().filter(|route| is_balanced(route)).map(preference_rank).max();
    let mut groups: Vec<Route> = Vec::with_capacity(wanted.len());
    for route in wanted {
        if is_balanced(&route) && Some(preference_rank(&route)) != best {
            continue;
        }
        let group = groups.iter_mut().find(|group| is_balanced(group) && is_balanced(&route));
        if let Some(group) = group {
            for hop in route.hops {
                let is_same = |held: &Hop| (&held.device, held.gateway) == (&hop.device, hop.gateway);
                if !group.hops.iter().any(is_same) {
                    group.hops.push(hop);
                }
            }
        } else if !groups.iter().any(|group| is_repetition(group, &route)) {
            groups.push(route);
        }
    }
    groups
}

/// The kernel refuses the second. IPv6 looks only at where they lead.
fn is_repetition(one: &Route, other: &Route) -> bool {
    match one.family {
        Family::Ipv4 => one == other,
        Family::Ipv6 => same_hops(one, other),
    }
}

/// The kernel joins IPv6 routes of one key into one multipath route if they have gateways of their own.
fn is_balanced(route: &Route) -> bool {
    route.family == Family::Ipv6 && route.nexthop_id.is_none() && has_gateway(route)
}

fn preference_rank(route: &Route) -> u8 {
    match route.other.get(&attribute::PREFERENCE).and_then(|value| value.first()) {
        Some(1) => 2,
        Some(3) => 0,
        _ => 1,
    }
}

/// Beside somebody else's route none of ours can be added or replaced without touching it: in IPv4 the
/// kernel replaces whichever is first, in IPv6 the two may become one.
fn fit_around(foreign: &Route, held: Vec<Route>, wanted: Vec<Route>, changes: &mut RoutingChanges) {
    // The very route we want, in another's name, serves as well.
    let missing = wanted.iter().filter(|route| !held.iter().any(|one| as_ours(one) == **route));
    changes
        .conflicts
        .extend(missing.map(|route| Conflict { wanted: route.clone(), foreign: foreign.clone() }));
    let ours: Vec<Route> = held.into_iter().filter(|route| route.protocol == OUR_PROTOCOL).collect();
    let mut surplus: Vec<&Route> = ours.iter().filter(|route| !wanted.contains(route)).collect();
    sort_by(&mut surplus, &|one, other| is_balanced(other).cmp(&is_balanced(one)));
    let mut moved = Vec::new();
    for route in &surplus {
        step_behind(route, &ours, &surplus, &mut moved, &mut changes.after);
        changes.after.push(RoutingChange::DeleteRoute((*route).clone()));
    }
}

/// IPv4: routes of one key are alternatives, of which the kernel takes the first that works. It is only
/// ever the first that `replace` replaces; the others must be taken away and put back in order.
fn replace_in_order(held: Vec<Route>, wanted: Vec<Route>, changes: &mut RoutingChanges) {
    let Some(first) = wanted.first() else { return };
    let start = held.iter().position(|route| route == first).unwrap_or(held.len());
    let kept = held.iter().skip(start).zip(&wanted).take_while(|(held, wanted)| held == wanted).count();
    let (keep, surplus): (Vec<_>, Vec<_>) =
        held.iter().enumerate().partition(|(position, _)| (start..start + kept).contains(position));
    let is_exact = !surplus.iter().any(|(_, gone)| keep.iter().any(|(_, kept)| may_hit(gone, kept)));
    let delete = |route: &Route| RoutingChange::DeleteRoute(route.clone());
    let followers = if kept > 0 && is_exact {
        changes.before.extend(surplus.iter().map(|(_, route)| delete(route)));
        kept
    } else {
        // All but one, which one does not matter, so that there is always a way.
        changes.before.extend(held.iter().skip(1).map(delete));
        changes.before.push(match held.is_empty() {
            true => RoutingChange::AddRoute(first.clone()),
            false => RoutingChange::ReplaceRoute(first.clone()),
        });
        1
    };
    changes.before.extend(wanted.into_iter().skip(followers).map(RoutingChange::AppendRoute));
}

/// IPv6: of one key there is at most one route with gateways, and there may be several without (the same
/// network on two devices). `replace` takes one of its own class if there is any; order means nothing.
fn replace_by_class(mut held: Vec<Route>, wanted: Vec<Route>, changes: &mut RoutingChanges) {
    let is_new = held.is_empty();
    for class in [true, false] {
        replace_the_only(class, &mut held, &wanted, changes);
    }
    let mut surplus: Vec<&Route> = held.iter().filter(|route| !wanted.contains(route)).collect();
    let missing = wanted.iter().filter(|route| !held.contains(route));
    // The kernel takes a route with the same hop for the same route: these must wait until that one is gone.
    let (waiting, free): (Vec<&Route>, Vec<&Route>) =
        missing.partition(|route| surplus.iter().any(|held| same_hops(route, held)));
    for (position, route) in free.into_iter().enumerate() {
        changes.before.push(match is_new && position == 0 {
            true => RoutingChange::AddRoute(route.clone()),
            false => RoutingChange::AppendRoute(route.clone()),
        });
    }
    let successor = |route: &Route| waiting.iter().find(|new| same_hops(new, route));
    // Those with gateways first: they are deleted by name, and would be hit in place of those without.
    let rank = |route: &Route| (!is_balanced(route), successor(route).is_none());
    sort_by(&mut surplus, &|one, other| rank(one).cmp(&rank(other)));
    let mut moved = Vec::new();
    for route in &surplus {
        step_behind(route, &held, &surplus, &mut moved, &mut changes.before);
        changes.before.push(RoutingChange::DeleteRoute((*route).clone()));
        changes.before.extend(successor(route).map(|new| RoutingChange::AppendRoute((*new).clone())));
    }
}

fn replace_the_only(class: bool, held: &mut [Route], wanted: &[Route], changes: &mut RoutingChanges) {
    let only_one = held.len() == 1 && wanted.len() == 1;
    let is_meant = |route: &Route| only_one || is_balanced(route) == class;
    let mut new = wanted.iter().filter(|route| is_meant(route));
    let mut old = held.iter_mut().filter(|route| is_meant(route));
    if let (Some(old), None, Some(new), None) = (old.next(), old.next(), new.next(), new.next())
        && old != new
    {
        changes.before.push(RoutingChange::ReplaceRoute(new.clone()));
        *old = new.clone();
    }
}

fn same_hops(one: &Route, other: &Route) -> bool {
    let ways = |route: &Route| -> Vec<_> {
        route.hops.iter().map(|hop| (hop.device.clone(), hop.gateway)).collect()
    };
    (one.nexthop_id, ways(one)) == (other.nexthop_id, ways(other))
}

/// The kernel deletes the first route that fits: one that fits, too, and comes before and stays must first go
/// behind the one that is meant.
fn step_behind<'a>(
    gone: &Route,
    held: &'a [Route],
    surplus: &[&Route],
    moved: &mut Vec<&'a Route>,
    steps: &mut Vec<RoutingChange>,
) {
    for route in held.iter().take_while(|route| *route != gone) {
        if may_hit(gone, route) && !surplus.contains(&route) && !moved.contains(&route) {
            steps.push(RoutingChange::DeleteRoute(route.clone()));
            steps.push(RoutingChange::AppendRoute(route.clone()));
            moved.push(route);
        }
    }
}

/// IPv4 does not look at `onlink` when it deletes; in IPv6 one without a gateway is named by nothing but its
/// device, which others with a gateway may share.
fn may_hit(named: &Route, other: &Route) -> bool {
    let bare = |route: &Route| {
        let hops = route.hops.iter().cloned().map(|hop| Hop { onlink: false, ..hop }).collect();
        Route { hops, ..route.clone() }
    };
    match named.family {
        Family::Ipv4 => bare(named) == bare(other),
        Family::Ipv6 if is_balanced(named) => false,
        Family::Ipv6 => {
            is_balanced(other) && other.devices().any(|one| named.devices().any(|device| device == one))
        }
    }
}
