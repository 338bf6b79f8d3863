//! Which steps lead from the routing the kernel has to the one we want. Only what carries our protocol is
//! ever deleted or replaced; at a start also what the shell package left behind. Equal inputs, no steps.

use crate::mark::MarkMask;
use crate::sorted::{SortedSet, sort_by};

use super::super::{IpRule, OUR_PROTOCOL, Route, RouteKey, RuleAction};
use super::place::{Place, as_ours, diff_place, has_gateway};
use super::{RoutingChange, RoutingChanges};

/// All in the kernel's order, which tells alternatives of one key apart.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observed<'a> {
    /// Everybody's.
    pub rules: &'a [IpRule],
    /// Those that carry our protocol.
    pub own_routes: &'a [Route],
    /// Those that do not, of every table.
    pub foreign_routes: &'a [Route],
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    pub rules: &'a [IpRule],
    pub routes: &'a [Route],
}

/// What becomes of rules and routes that say the same as ours but are not marked as ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftovers {
    Keep,
    /// At a start: they are the shell package's, whose marks had this mask.
    TakeOver(MarkMask),
}

/// Everything wanted is ours: it is stamped with our protocol, whatever it was copied from.
pub fn diff(observed: Observed<'_>, wanted: Wanted<'_>, leftovers: Leftovers) -> RoutingChanges {
    let mut routes = RoutingChanges::default();
    let mut rules = RoutingChanges::default();
    diff_routes(&observed, wanted.routes, leftovers, &mut routes);
    diff_rules(observed.rules, wanted.rules, leftovers, &mut rules);
    RoutingChanges {
        before: [routes.before, rules.before].concat(),
        after: [rules.after, routes.after].concat(),
        conflicts: routes.conflicts,
    }
}

fn diff_rules(observed: &[IpRule], wanted: &[IpRule], leftovers: Leftovers, changes: &mut RoutingChanges) {
    let mut missing: SortedSet<IpRule> =
        wanted.iter().map(|rule| IpRule { protocol: OUR_PROTOCOL, ..rule.canonical() }).collect();
    let wanted = missing.clone();
    let mut standing = SortedSet::new();
    for rule in observed {
        if rule.protocol == OUR_PROTOCOL {
            // A second exact twin, which the kernel lets others add, is one too many.
            match missing.remove(rule) {
                true => _ = standing.insert(rule.clone()),
                false => changes.after.push(RoutingChange::DeleteRule(rule.clone())),
            }
        } else if let Leftovers::TakeOver(mask) = leftovers {
            let twin = IpRule { protocol: OUR_PROTOCOL, ..rule.clone() };
            let is_twin = wanted.contains(&twin);
            if is_twin || is_of_shell_package(rule, mask) {
                changes.after.push(RoutingChange::DeleteRule(rule.clone()));
            }
            // To the kernel "delete protocol 0" means any protocol, and it takes the first it finds. If that
            // is ours it comes back behind the other, which is then the first.
            if is_twin && rule.protocol == 0 {
                if standing.remove(&twin) {
                    changes.after.push(RoutingChange::AddRule(twin.clone()));
                    changes.after.push(RoutingChange::DeleteRule(rule.clone()));
                }
                // Mostly it is still there and nothing happens.
                changes.after.push(RoutingChange::AddRule(twin));
            }
        }
    }
    changes.before.extend(missing.into_iter().map(RoutingChange::AddRule));
}

/// The five shapes it makes; with priority, selector and action all in accord they are nobody else's. They
/// carry no protocol, or the one iproute2 gives by default.
fn is_of_shell_package(rule: &IpRule, mask: MarkMask) -> bool {
    let expected = |index: u32, by_mark: bool, action: RuleAction| IpRule {
        mark: by_mark.then(|| (mask.spread(index), mask.bits())),
        input_device: rule.input_device.clone().filter(|_| !by_mark),
        ..IpRule::new(rule.family, rule.priority, action, rule.protocol)
    };
    let (base, index) = (rule.priority / 1000, rule.priority % 1000);
    let is_interface = (1..=u32::from(mask.max_interfaces())).contains(&index);
    let shape = match base {
        1 if is_interface && rule.input_device.is_some() => expected(index, false, RuleAction::Lookup(index)),
        2 if is_interface => expected(index, true, RuleAction::Lookup(index)),
        2 if index == mask.blackhole_index() => expected(index, true, RuleAction::Blackhole),
        2 if index == mask.unreachable_index() => expected(index, true, RuleAction::Unreachable),
        3 if is_interface => expected(index, true, RuleAction::Unreachable),
        _ => return false,
    };
    matches!(rule.protocol, 0 | 3) && *rule == shape
}

/// Where the shell package's rule for a mark leads all routes are copies that it made, and left behind, too.
fn abandoned_tables(rules: &[IpRule], leftovers: Leftovers) -> SortedSet<u32> {
    let Leftovers::TakeOver(mask) = leftovers else { return SortedSet::new() };
    let is_proof = |rule: &&IpRule| rule.mark.is_some() && is_of_shell_package(rule, mask);
    let tables = rules.iter().filter(is_proof).filter_map(|rule| match rule.action {
        RuleAction::Lookup(table) => Some(table),
        _ => None,
    });
    // A wide mask has room for numbers that mean default, main and local.
    tables.filter(|table| !(253..=255).contains(table)).collect()
}

fn diff_routes(
    observed: &Observed<'_>,
    wanted: &[Route],
    leftovers: Leftovers,
    changes: &mut RoutingChanges,
) {
    // A gateway must be reachable by the time its route is added, perhaps by another route of that table.
    let (gatewayed, direct): (Vec<Place>, Vec<Place>) = places(observed, wanted, leftovers)
        .into_iter()
        .partition(|place| place.wanted.iter().any(has_gateway));
    for place in direct.into_iter().chain(gatewayed) {
        diff_place(place, leftovers, changes);
    }
}

/// Whose a route is; of one key, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Wanted,
    Ours,
    Foreign,
    /// In a table that the shell package left behind.
    Abandoned,
}

/// Every key that we want or hold a route of, in order.
fn places(observed: &Observed<'_>, wanted: &[Route], leftovers: Leftovers) -> Vec<Place> {
    let mut routes: Vec<(RouteKey, Side, Route)> = Vec::new();
    let mut add = |side: Side, route: Route| routes.push((route.key(), side, route));
    wanted.iter().for_each(|route| add(Side::Wanted, as_ours(&route.canonical())));
    observed.own_routes.iter().for_each(|route| add(Side::Ours, route.canonical()));
    // Main may be long, and none of its business is ours.
    let tables: SortedSet<u32> = wanted.iter().map(|route| route.table).collect();
    let abandoned = abandoned_tables(observed.rules, leftovers);
    for route in observed.foreign_routes {
        if abandoned.contains(&route.table) {
            add(Side::Abandoned, route.canonical());
        } else if tables.contains(&route.table) {
            add(Side::Foreign, route.canonical());
        }
    }
    sort_by(&mut routes, &|one, other| one.0.cmp(&other.0));
    let mut places: Vec<Place> = Vec::new();
    let mut last = None;
    for (key, side, route) in routes {
        if last.as_ref() != Some(&key) {
            // A key that is only others' is none of our business.
            if side == Side::Foreign {
                continue;
            }
            places.push(Place::default());
            last = Some(key);
        }
        let Some(place) = places.last_mut() else { continue };
        place.is_abandoned |= side == Side::Abandoned;
        let list = if side == Side::Wanted { &mut place.wanted } else { &mut place.held };
        list.push(route);
    }
    places
}
