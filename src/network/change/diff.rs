//! Which steps lead from the routing the kernel has to the one we want. Only what carries our protocol is
//! ever deleted or replaced; at a start also what the shell package left behind. Equal inputs, no steps.

use std::collections::{BTreeMap, BTreeSet};

use crate::mark::MarkMask;

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
    let mut missing: BTreeSet<IpRule> =
        wanted.iter().map(|rule| IpRule { protocol: OUR_PROTOCOL, ..rule.canonical() }).collect();
    let wanted = missing.clone();
    let mut standing = BTreeSet::new();
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
fn abandoned_tables(rules: &[IpRule], leftovers: Leftovers) -> BTreeSet<u32> {
    let Leftovers::TakeOver(mask) = leftovers else { return BTreeSet::new() };
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
    let mut places: BTreeMap<RouteKey, Place> = BTreeMap::new();
    for route in wanted {
        let route = as_ours(&route.canonical());
        places.entry(route.key()).or_default().wanted.push(route);
    }
    for route in observed.own_routes {
        let route = route.canonical();
        places.entry(route.key()).or_default().held.push(route);
    }
    // Main may be long, and none of its business is ours.
    let tables: BTreeSet<u32> = wanted.iter().map(|route| route.table).collect();
    let abandoned = abandoned_tables(observed.rules, leftovers);
    for route in observed.foreign_routes {
        let is_abandoned = abandoned.contains(&route.table);
        if !is_abandoned && !tables.contains(&route.table) {
            continue;
        }
        let route = route.canonical();
        if is_abandoned {
            places.entry(route.key()).or_default().is_abandoned = true;
        }
        if let Some(place) = places.get_mut(&route.key()) {
            place.held.push(route);
        }
    }
    // A gateway must be reachable by the time its route is added, perhaps by another route of that table.
    let (gatewayed, direct): (Vec<Place>, Vec<Place>) =
        places.into_values().partition(|place| place.wanted.iter().any(has_gateway));
    for place in direct.into_iter().chain(gatewayed) {
        diff_place(place, leftovers, changes);
    }
}
