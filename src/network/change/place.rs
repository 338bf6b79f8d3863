//! The steps for all routes of one key, in the order and by the means that leave the place served meanwhile.
//! Shaped by what the kernel does, which differs between the families: which route it replaces, which it
//! deletes when several fit, which two it takes for one.

use crate::address::Family;

use super::super::{Hop, OUR_PROTOCOL, Route, attribute, sort_routes};
use super::{Conflict, Leftovers, RoutingChange, RoutingChanges};

/// All routes of one key, in order.
#[derive(Default)]
pub(super) struct Place<'a> {
    pub wanted: Vec<Route>,
    pub held: Vec<&'a Route>,
    /// Its whole table is a leftover: whose routes stand there does not matter.
    pub is_abandoned: bool,
}

pub(super) fn as_ours(route: &Route) -> Route {
    let mut route = route.clone();
    route.protocol = OUR_PROTOCOL;
    route
}

pub(super) fn has_gateway(route: &Route) -> bool {
    route.nexthop_id.is_some() || route.hops.iter().any(|hop| hop.gateway.is_some())
}

pub(super) fn diff_place(place: &Place<'_>, leftovers: Leftovers, changes: &mut RoutingChanges) {
    let (wanted, held) = (as_kernel_groups(&place.wanted), &place.held[..]);
    let family = wanted.first().map(|route| route.family);
    // Several of IPv6 could not be told apart while they are replaced; those stay a conflict.
    let takes_all = place.is_abandoned && (family != Some(Family::Ipv6) || held.len() == 1);
    let takes_wanted = leftovers != Leftovers::Keep;
    let is_foreign = |route: &&&Route| {
        route.protocol != OUR_PROTOCOL && !(takes_all || takes_wanted && wanted.contains(&as_ours(route)))
    };
    match (held.iter().find(is_foreign), family) {
        (Some(foreign), _) => fit_around(foreign, held, &wanted, changes),
        (None, None) => {
            for route in held {
                step(&mut changes.after, RoutingChange::DeleteRoute, route);
            }
        }
        (None, Some(Family::Ipv4)) => replace_in_order(held, &wanted, &mut changes.before),
        (None, Some(Family::Ipv6)) => replace_by_class(held, &wanted, &mut changes.before),
    }
}

fn step(steps: &mut Vec<RoutingChange>, change: fn(Route) -> RoutingChange, route: &Route) {
    steps.push(change(route.clone()));
}

/// The routes of one key as the kernel will tell them apart: none twice, and in IPv6 all those with gateways
/// as the one multipath route it makes of them. Of routes with different preferences only the best enter
/// it, as among the routers they were learnt from.
fn as_kernel_groups(wanted: &[Route]) -> Vec<Route> {
    let best = wanted.iter().filter(|route| is_balanced(route)).map(preference_rank).max();
    let mut groups: Vec<Route> = Vec::with_capacity(wanted.len());
    for route in wanted {
        let is_balanced_one = is_balanced(route);
        if is_balanced_one && Some(preference_rank(route)) != best {
            continue;
        }
        let group = groups.iter_mut().find(|group| is_balanced_one && is_balanced(group));
        if let Some(group) = group {
            for hop in &route.hops {
                if !group.hops.iter().any(|held| is_same_way(held, hop)) {
                    group.hops.push(hop.clone());
                }
            }
        } else if !groups.iter().any(|group| is_repetition(group, route)) {
            groups.push(route.clone());
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
fn fit_around(foreign: &Route, held: &[&Route], wanted: &[Route], changes: &mut RoutingChanges) {
    for route in wanted {
        // The very route we want, in another's name, serves as well.
        if !held.iter().any(|one| as_ours(one) == *route) {
            changes.conflicts.push(Conflict { wanted: route.clone(), foreign: foreign.clone() });
        }
    }
    let mut ours = held.to_vec();
    ours.retain(|route| route.protocol == OUR_PROTOCOL);
    let mut surplus = ours.clone();
    surplus.retain(|route| !wanted.contains(route));
    sort_routes(&mut surplus, &|one, other| is_balanced(other).cmp(&is_balanced(one)));
    let mut moved = Vec::new();
    for route in &surplus {
        step_behind(route, &ours, &surplus, &mut moved, &mut changes.after);
        step(&mut changes.after, RoutingChange::DeleteRoute, route);
    }
}

/// IPv4: routes of one key are alternatives, of which the kernel takes the first that works. It is only
/// ever the first that `replace` replaces; the others must be taken away and put back in order.
fn replace_in_order(held: &[&Route], wanted: &[Route], steps: &mut Vec<RoutingChange>) {
    let Some(first) = wanted.first() else { return };
    let start = held.iter().position(|route| *route == first).unwrap_or(held.len());
    let mut end = start;
    while let (Some(held), Some(wanted)) = (held.get(end), wanted.get(end - start))
        && *held == wanted
    {
        end += 1;
    }
    let keep = held.get(start..end).unwrap_or(&[]);
    let mut surplus = held.get(..start).unwrap_or(&[]).to_vec();
    surplus.extend(held.get(end..).unwrap_or(&[]));
    let is_inexact = surplus.iter().any(|gone| keep.iter().any(|kept| may_hit(gone, kept)));
    let mut followers = keep.len();
    if followers == 0 || is_inexact {
        // All but one, which one does not matter, so that there is always a way.
        for route in held.iter().skip(1) {
            step(steps, RoutingChange::DeleteRoute, route);
        }
        step(
            steps,
            if held.is_empty() { RoutingChange::AddRoute } else { RoutingChange::ReplaceRoute },
            first,
        );
        followers = 1;
    } else {
        for route in surplus {
            step(steps, RoutingChange::DeleteRoute, route);
        }
    }
    for route in wanted.iter().skip(followers) {
        step(steps, RoutingChange::AppendRoute, route);
    }
}

/// IPv6: of one key there is at most one route with gateways, and there may be several without (the same
/// network on two devices). `replace` takes one of its own class if there is any; order means nothing.
fn replace_by_class(before: &[&Route], wanted: &[Route], steps: &mut Vec<RoutingChange>) {
    let mut held = before.to_vec();
    for class in [true, false] {
        replace_the_only(class, &mut held, wanted, steps);
    }
    let mut surplus = held.clone();
    surplus.retain(|route| !wanted.contains(route));
    let (mut waiting, mut is_first) = (Vec::new(), held.is_empty());
    for route in wanted.iter().filter(|route| !held.contains(route)) {
        // The kernel takes a route with the same hop for the same route: these must wait until that one is
        // gone.
        if surplus.iter().any(|held| same_hops(route, held)) {
            waiting.push(route);
            continue;
        }
        step(steps, if is_first { RoutingChange::AddRoute } else { RoutingChange::AppendRoute }, route);
        is_first = false;
    }
    let successor = |route: &Route| waiting.iter().find(|new| same_hops(new, route));
    // Those with gateways first: they are deleted by name, and would be hit in place of those without.
    let rank = |route: &Route| (!is_balanced(route), successor(route).is_none());
    sort_routes(&mut surplus, &|one, other| rank(one).cmp(&rank(other)));
    let mut moved = Vec::new();
    for route in &surplus {
        step_behind(route, &held, &surplus, &mut moved, steps);
        step(steps, RoutingChange::DeleteRoute, route);
        if let Some(new) = successor(route) {
            step(steps, RoutingChange::AppendRoute, new);
        }
    }
}

fn replace_the_only<'r>(
    class: bool,
    held: &mut [&'r Route],
    wanted: &'r [Route],
    steps: &mut Vec<RoutingChange>,
) {
    let only_one = held.len() == 1 && wanted.len() == 1;
    let is_meant = |route: &Route| only_one || is_balanced(route) == class;
    let mut new = wanted.iter().filter(|route| is_meant(route));
    let mut old = held.iter_mut().filter(|route| is_meant(route));
    if let (Some(old), None, Some(new), None) = (old.next(), old.next(), new.next(), new.next())
        && *old != new
    {
        step(steps, RoutingChange::ReplaceRoute, new);
        *old = new;
    }
}

fn same_hops(one: &Route, other: &Route) -> bool {
    one.nexthop_id == other.nexthop_id
        && one.hops.len() == other.hops.len()
        && one.hops.iter().zip(&other.hops).all(|(one, other)| is_same_way(one, other))
}

fn is_same_way(one: &Hop, other: &Hop) -> bool {
    one.device == other.device && one.gateway == other.gateway
}

/// The kernel deletes the first route that fits: one that fits, too, and comes before and stays must first go
/// behind the one that is meant.
fn step_behind<'r>(
    gone: &Route,
    held: &[&'r Route],
    surplus: &[&Route],
    moved: &mut Vec<&'r Route>,
    steps: &mut Vec<RoutingChange>,
) {
    for route in held.iter().take_while(|route| **route != gone) {
        if may_hit(gone, route) && !surplus.contains(route) && !moved.contains(route) {
            step(steps, RoutingChange::DeleteRoute, route);
            step(steps, RoutingChange::AppendRoute, route);
            moved.push(route);
        }
    }
}

/// IPv4 does not look at `onlink` when it deletes; in IPv6 one without a gateway is named by nothing but its
/// device, which others with a gateway may share.
fn may_hit(named: &Route, other: &Route) -> bool {
    match named.family {
        Family::Ipv4 => without_onlink(named) == without_onlink(other),
        Family::Ipv6 if is_balanced(named) => false,
        Family::Ipv6 => is_balanced(other) && other.devices().any(|device| named.leads_by(device)),
    }
}

fn without_onlink(route: &Route) -> Route {
    let mut route = route.clone();
    for hop in &mut route.hops {
        hop.onlink = false;
    }
    route
}
