//! Which steps lead from the routing the kernel has to the one we want. Only what carries our protocol is
//! ever deleted or replaced; at a start also what the shell package left behind. Equal inputs, no steps.

use crate::mark::MarkMask;

use super::super::{IpRule, OUR_PROTOCOL, Route, RuleAction, sort_rules};
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
    let mut changes = RoutingChanges::default();
    diff_routes(&observed, wanted.routes, leftovers, &mut changes);
    // Routes, then the rules that lead to them; afterwards the other way round.
    let routes_after = std::mem::take(&mut changes.after);
    diff_rules(observed.rules, wanted.rules, leftovers, &mut changes);
    changes.after.extend(routes_after);
    changes
}

/// How it is with a rule that we want.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Missing,
    Standing,
    /// Taken away and put back, behind another.
    Moved,
}

fn diff_rules(observed: &[IpRule], wanted: &[IpRule], leftovers: Leftovers, changes: &mut RoutingChanges) {
    let mut canonical = Vec::new();
    for rule in wanted {
        canonical.push(rule.canonical().of_owner(OUR_PROTOCOL));
    }
    let mut ours: Vec<&IpRule> = canonical.iter().collect();
    sort_rules(&mut ours, &IpRule::cmp);
    ours.dedup();
    let mut states = vec![State::Missing; ours.len()];
    let after = &mut changes.after;
    for rule in observed {
        let twin = rule.of_owner(OUR_PROTOCOL);
        let place = ours.iter().position(|one| **one == twin);
        let mut state = place.and_then(|place| states.get_mut(place));
        if rule.protocol == OUR_PROTOCOL {
            match &mut state {
                Some(state) if **state == State::Missing => **state = State::Standing,
                // A second exact twin, which the kernel lets others add, is one too many.
                _ => after.push(RoutingChange::DeleteRule(twin)),
            }
        } else if let Leftovers::TakeOver(mask) = leftovers {
            if state.is_some() || is_of_shell_package(rule, mask) {
                after.push(RoutingChange::DeleteRule(rule.clone()));
            }
            // To the kernel "delete protocol 0" means any protocol, and it takes the first it finds. If that
            // is ours it comes back behind the other, which is then the first.
            if let Some(state) = state
                && rule.protocol == 0
            {
                if *state == State::Standing {
                    *state = State::Moved;
                    after.push(RoutingChange::AddRule(twin.clone()));
                    after.push(RoutingChange::DeleteRule(rule.clone()));
                }
                // Mostly it is still there and nothing happens.
                after.push(RoutingChange::AddRule(twin));
            }
        }
    }
    for (rule, state) in ours.iter().zip(states) {
        if state == State::Missing {
            changes.before.push(RoutingChange::AddRule((*rule).clone()));
        }
    }
}

/// The five shapes it makes; with priority, selector and action all in accord they are nobody else's. They
/// carry no protocol, or the one iproute2 gives by default.
fn is_of_shell_package(rule: &IpRule, mask: MarkMask) -> bool {
    let (base, index) = (rule.priority / 1000, rule.priority % 1000);
    let is_interface = (1..=u32::from(mask.max_interfaces())).contains(&index);
    let action = match base {
        1 if is_interface && rule.input_device.is_some() => RuleAction::Lookup(index),
        2 if is_interface => RuleAction::Lookup(index),
        2 if index == mask.blackhole_index() => RuleAction::Blackhole,
        2 if index == mask.unreachable_index() => RuleAction::Unreachable,
        3 if is_interface => RuleAction::Unreachable,
        _ => return false,
    };
    let mut shape = IpRule::new(rule.family, rule.priority, action, rule.protocol);
    if base == 1 {
        shape.input_device = rule.input_device.clone();
    } else {
        shape.mark = Some((mask.spread(index), mask.bits()));
    }
    matches!(rule.protocol, 0 | 3) && *rule == shape
}

/// Where the shell package's rule for a mark leads all routes are copies that it made, and left behind, too.
fn abandoned_tables(rules: &[IpRule], leftovers: Leftovers) -> Vec<u32> {
    let mut tables = Vec::new();
    let Leftovers::TakeOver(mask) = leftovers else { return tables };
    for rule in rules.iter().filter(|rule| rule.mark.is_some()) {
        // A wide mask has room for numbers that mean default, main and local.
        if let RuleAction::Lookup(table) = rule.action
            && !(253..=255).contains(&table)
            && is_of_shell_package(rule, mask)
        {
            tables.push(table);
        }
    }
    tables
}

fn diff_routes(
    observed: &Observed<'_>,
    wanted: &[Route],
    leftovers: Leftovers,
    changes: &mut RoutingChanges,
) {
    let routes = canonical_routes(observed, wanted, leftovers);
    let places = places(&routes);
    // A gateway must be reachable by the time its route is added, perhaps by another route of that table.
    for is_turn_of_gateways in [false, true] {
        for place in &places {
            if place.wanted.iter().any(has_gateway) == is_turn_of_gateways {
                diff_place(place, leftovers, changes);
            }
        }
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

fn canonical_routes(observed: &Observed<'_>, wanted: &[Route], leftovers: Leftovers) -> Vec<(Side, Route)> {
    let mut routes = Vec::new();
    // Main may be long, and none of its business is ours.
    let mut tables = Vec::new();
    for route in wanted {
        routes.push((Side::Wanted, as_ours(&route.canonical())));
        if !tables.contains(&route.table) {
            tables.push(route.table);
        }
    }
    for route in observed.own_routes {
        routes.push((Side::Ours, route.canonical()));
    }
    let abandoned = abandoned_tables(observed.rules, leftovers);
    for route in observed.foreign_routes {
        if abandoned.contains(&route.table) {
            routes.push((Side::Abandoned, route.canonical()));
        } else if tables.contains(&route.table) {
            routes.push((Side::Foreign, route.canonical()));
        }
    }
    routes
}

/// Every key that we want or hold a route of, in order.
fn places(routes: &[(Side, Route)]) -> Vec<Place<'_>> {
    let mut in_order: Vec<&(Side, Route)> = routes.iter().collect();
    in_order.sort_by_key(|(_, route)| route.key());
    let mut places: Vec<Place> = Vec::new();
    let mut last = None;
    for (side, route) in in_order {
        let key = Some(route.key());
        if last != key {
            // A key that is only others' is none of our business.
            if *side == Side::Foreign {
                continue;
            }
            places.push(Place::default());
            last = key;
        }
        let Some(place) = places.last_mut() else { continue };
        place.is_abandoned |= *side == Side::Abandoned;
        match side {
            Side::Wanted => place.wanted.push(route.clone()),
            _ => place.held.push(route),
        }
    }
    places
}
