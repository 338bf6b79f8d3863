//! The routing diff against a model of how the kernel carries out its steps.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use mwan3::address::Family;
use mwan3::mark::MarkMask;
use mwan3::network::change::{Leftovers, Observed, RoutingChange, RoutingChanges, Wanted, diff};
use mwan3::network::{Hop, IpRule, MetricValue, OUR_PROTOCOL, Route, RouteKind, RuleAction, attribute};
use proptest::prelude::*;

/// Refuses what the kernel would refuse, and hits what the kernel would hit.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    rules: Vec<IpRule>,
    routes: Vec<Route>,
}

impl Model {
    fn take(&mut self, step: &RoutingChange) -> Result<(), String> {
        let refused = |reason: &str| Err(format!("{step}: {reason}"));
        match step {
            RoutingChange::AddRule(rule) => {
                // "File exists" is no failure.
                if !self.rules.contains(rule) {
                    let place = self.rules.iter().position(|held| held.priority > rule.priority);
                    self.rules.insert(place.unwrap_or(self.rules.len()), rule.clone());
                }
            }
            RoutingChange::DeleteRule(rule) => {
                let fits = |held: &IpRule| *held == *rule || (rule.protocol == 0 && held.is_twin_of(rule));
                match self.rules.iter().position(fits) {
                    Some(position) => drop(self.rules.remove(position)),
                    None => return refused("no such rule"),
                }
            }
            RoutingChange::AddRoute(route) if self.place(route).next().is_some() => {
                return refused("something is in its place");
            }
            RoutingChange::AddRoute(route) => self.routes.push(route.clone()),
            RoutingChange::AppendRoute(route) => {
                if self.place(route).any(|position| is_repetition(&self.routes[position], route)) {
                    return refused("it is there");
                }
                if is_balanced(route) && self.place(route).any(|position| is_balanced(&self.routes[position]))
                {
                    return refused("it would become one with another");
                }
                self.routes.push(route.clone());
            }
            RoutingChange::ReplaceRoute(route) => {
                let same_class =
                    |position: &usize| is_balanced(&self.routes[*position]) == is_balanced(route);
                let first = self.place(route).find(same_class).or_else(|| self.place(route).next());
                let Some(first) = first else { return refused("nothing to replace") };
                if self.place(route).any(|other| other != first && is_repetition(&self.routes[other], route))
                {
                    return refused("it is there");
                }
                self.routes[first] = route.clone();
            }
            RoutingChange::DeleteRoute(route) => {
                let hit = self.place(route).find(|position| is_hit(route, &self.routes[*position]));
                match hit {
                    Some(position) => drop(self.routes.remove(position)),
                    None => return refused("no such route"),
                }
            }
        }
        Ok(())
    }

    fn place<'a>(&'a self, route: &'a Route) -> impl Iterator<Item = usize> + 'a {
        (0..self.routes.len()).filter(|position| self.routes[*position].key() == route.key())
    }

    fn diff(&self, rules: &[IpRule], routes: &[Route], leftovers: Leftovers) -> RoutingChanges {
        let (own_routes, foreign_routes): (Vec<_>, Vec<_>) =
            self.routes.iter().cloned().partition(|route| route.protocol == OUR_PROTOCOL);
        let observed =
            Observed { rules: &self.rules, own_routes: &own_routes, foreign_routes: &foreign_routes };
        diff(observed, Wanted { rules, routes }, leftovers)
    }

    /// Takes all steps; a place that once had a route never lacks one in between, if one is wanted there.
    fn follow(&mut self, changes: &RoutingChanges, wanted: &[Route]) -> Result<(), String> {
        let served: Vec<_> =
            wanted.iter().filter(|route| self.place(route).next().is_some()).cloned().collect();
        for step in changes.before.iter().chain(&changes.after) {
            self.take(step)?;
            if let Some(route) = served.iter().find(|route| self.place(route).next().is_none()) {
                return Err(format!("{step}: leaves nothing in the place of {route}"));
            }
        }
        Ok(())
    }
}

fn is_balanced(route: &Route) -> bool {
    route.family == Family::Ipv6 && route.hops.iter().any(|hop| hop.gateway.is_some())
}

fn ways(route: &Route) -> Vec<(Option<String>, Option<std::net::IpAddr>)> {
    route.hops.iter().map(|hop| (hop.device.clone(), hop.gateway)).collect()
}

/// IPv4 tells routes apart by everything, IPv6 by where they lead.
fn is_repetition(held: &Route, new: &Route) -> bool {
    match new.family {
        Family::Ipv4 => held == new,
        Family::Ipv6 => ways(held) == ways(new),
    }
}

fn is_hit(named: &Route, held: &Route) -> bool {
    if named.protocol != held.protocol {
        return false;
    }
    match named.family {
        // All but `onlink` counts.
        Family::Ipv4 => {
            let bare = |route: &Route| {
                let mut route = route.clone();
                route.hops.iter_mut().for_each(|hop| hop.onlink = false);
                route
            };
            bare(named) == bare(held)
        }
        Family::Ipv6 if is_balanced(named) => ways(named) == ways(held),
        Family::Ipv6 => {
            named.devices().all(|device| held.devices().any(|other| other == device))
                && (!named.hops.is_empty() || held.hops.is_empty())
        }
    }
}

fn route(family: Family, destination: &str) -> Route {
    Route {
        family,
        table: 1,
        kind: RouteKind::Unicast,
        destination: destination.parse().unwrap(),
        source: None,
        tos: 0,
        protocol: OUR_PROTOCOL,
        scope: 0,
        metric: 1024,
        hops: vec![hop("wan", None)],
        nexthop_id: None,
        preferred_source: None,
        metrics: Default::default(),
        other: Default::default(),
    }
}

fn hop(device: &str, gateway: Option<&str>) -> Hop {
    let gateway = gateway.map(|text| text.parse().unwrap());
    Hop { device: Some(device.to_owned()), gateway, onlink: false, weight: 1, ..Hop::default() }
}

fn any_route(family: Family) -> impl Strategy<Value = Route> {
    let (destinations, gateways) = match family {
        Family::Ipv4 => (["0.0.0.0/0", "10.0.0.0/8"], ["192.0.2.1", "192.0.2.2"]),
        Family::Ipv6 => (["::/0", "fd00::/8"], ["fe80::1", "fe80::2"]),
    };
    let any_hop = (prop::sample::select(vec!["wan", "lan"]), 0usize..4, any::<bool>()).prop_map(
        move |(device, gateway, onlink)| Hop { onlink, ..hop(device, gateways.get(gateway).copied()) },
    );
    let any_hops = prop_oneof![
        4 => any_hop.prop_map(|hop| vec![hop]),
        1 => Just(vec![hop("wan", Some(gateways[0])), hop("lan", Some(gateways[1]))]),
        1 => Just(vec![]),
    ];
    let protocol = prop::sample::select(vec![OUR_PROTOCOL, OUR_PROTOCOL, OUR_PROTOCOL, 4]);
    (
        prop::sample::select(destinations.to_vec()),
        any_hops,
        1u32..3,
        protocol,
        prop::option::weighted(0.2, Just(1400u32)),
    )
        .prop_map(move |(destination, hops, table, protocol, mtu)| Route {
            table,
            protocol,
            kind: if hops.is_empty() { RouteKind::Unreachable } else { RouteKind::Unicast },
            hops,
            metrics: mtu.map(|mtu| (2, MetricValue::Number(mtu))).into_iter().collect(),
            ..route(family, destination)
        })
}

fn any_routes() -> impl Strategy<Value = Vec<Route>> {
    let some = |family| prop::collection::vec(any_route(family), 0..6);
    (some(Family::Ipv4), some(Family::Ipv6)).prop_map(|(ipv4, ipv6)| [ipv4, ipv6].concat())
}

fn any_rules() -> impl Strategy<Value = Vec<IpRule>> {
    let rule = (1001u32..1004, 1u32..3, prop::sample::select(vec![0u8, 3, 4, OUR_PROTOCOL, OUR_PROTOCOL]));
    let rule = rule.prop_map(|(priority, table, protocol)| IpRule {
        input_device: Some("wan".to_owned()),
        ..IpRule::new(Family::Ipv4, priority, RuleAction::Lookup(table), protocol)
    });
    prop::collection::vec(rule, 0..8)
}

fn ours<T: Clone>(items: &[T], protocol: impl Fn(&T) -> u8) -> Vec<T> {
    items.iter().filter(|item| protocol(item) == OUR_PROTOCOL).cloned().collect()
}

/// What the kernel could hold: built by its own rules.
fn model(rules: &[IpRule], routes: &[Route]) -> Model {
    let mut model = Model::default();
    for rule in rules {
        model.take(&RoutingChange::AddRule(rule.clone())).unwrap();
    }
    for route in routes {
        // What it refuses it does not hold.
        let _ = model.take(&RoutingChange::AppendRoute(route.clone()));
    }
    model
}

fn foreign(model: &Model) -> (Vec<Route>, Vec<IpRule>) {
    let routes = model.routes.iter().filter(|route| route.protocol != OUR_PROTOCOL).cloned().collect();
    let rules = model.rules.iter().filter(|rule| rule.protocol != OUR_PROTOCOL).cloned().collect();
    (routes, rules)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_steps_lead_there_and_touch_nothing_of_others(
        held in any_routes(), wanted in any_routes(), held_rules in any_rules(), wanted_rules in any_rules(),
    ) {
        let mut kernel = model(&held_rules, &held);
        let before = foreign(&kernel);
        let wanted_rules = ours(&wanted_rules, |rule| rule.protocol);
        let changes = kernel.diff(&wanted_rules, &wanted, Leftovers::Keep);
        let told = format!("{:#?}\n{}", kernel, steps(&changes));
        prop_assert_eq!(kernel.follow(&changes, &wanted), Ok(()), "{}", told);
        prop_assert_eq!(foreign(&kernel), before);
        let rest = kernel.diff(&wanted_rules, &wanted, Leftovers::Keep);
        prop_assert!(rest.is_empty(), "{}left\n{}", told, steps(&rest));
        prop_assert_eq!(&rest.conflicts, &changes.conflicts);
        for route in &wanted {
            let there = kernel.place(route).count() > 0;
            prop_assert!(there, "nothing in the place of {route}\n{told}");
        }
        let mut held: Vec<_> = ours(&kernel.rules, |rule| rule.protocol);
        let mut expected = wanted_rules.clone();
        held.sort();
        expected.sort();
        expected.dedup();
        prop_assert_eq!(held, expected);
    }

    #[test]
    fn taking_over_leads_there_too(held in any_routes(), wanted in any_routes(), rules in any_rules()) {
        let mut kernel = model(&rules, &held);
        let wanted_rules = ours(&rules, |rule| rule.protocol);
        let leftovers = Leftovers::TakeOver(MarkMask::default());
        let changes = kernel.diff(&wanted_rules, &wanted, leftovers);
        prop_assert_eq!(kernel.follow(&changes, &wanted), Ok(()), "{}", steps(&changes));
        // A rule without a protocol may take a second turn, and ours is there in any case.
        let again = kernel.diff(&wanted_rules, &wanted, leftovers);
        prop_assert_eq!(kernel.follow(&again, &wanted), Ok(()));
        let rest = kernel.diff(&wanted_rules, &wanted, leftovers);
        prop_assert!(rest.is_empty(), "{}", steps(&rest));
        prop_assert!(wanted_rules.iter().all(|rule| kernel.rules.contains(rule)));
    }

    #[test]
    fn wanting_nothing_removes_all_of_ours_and_nothing_else(held in any_routes(), rules in any_rules()) {
        let mut kernel = model(&rules, &held);
        let before = foreign(&kernel);
        let changes = kernel.diff(&[], &[], Leftovers::Keep);
        prop_assert_eq!(&changes.before, &vec![]);
        prop_assert_eq!(kernel.follow(&changes, &[]), Ok(()));
        prop_assert_eq!((kernel.routes, kernel.rules), before);
    }
}

fn steps(changes: &RoutingChanges) -> String {
    changes.before.iter().chain(&changes.after).map(|step| format!("{step}\n")).collect()
}

#[test]
fn routes_come_before_the_rules_that_lead_to_them_and_go_after_them() {
    let routes = [route(Family::Ipv4, "10.0.0.0/8")];
    let rules = [IpRule::new(Family::Ipv4, 1001, RuleAction::Lookup(1), OUR_PROTOCOL)];
    let mut kernel = Model::default();
    let there = kernel.diff(&rules, &routes, Leftovers::Keep);
    assert_eq!(
        steps(&there),
        "ip -4 route add 10.0.0.0/8 dev wan table 1 proto 77 metric 1024\n\
         ip -4 rule add pref 1001 from all lookup 1 proto 77\n"
    );
    kernel.follow(&there, &routes).unwrap();
    let gone = kernel.diff(&[], &[], Leftovers::Keep);
    assert_eq!(
        steps(&gone),
        "ip -4 rule del pref 1001 from all lookup 1 proto 77\n\
         ip -4 route del 10.0.0.0/8 dev wan table 1 proto 77 metric 1024\n"
    );
    assert!(gone.before.is_empty());
}

#[test]
fn a_gateway_is_added_after_the_network_it_is_in() {
    let to_gateway = Route { hops: vec![hop("wan", Some("10.0.0.1"))], ..route(Family::Ipv4, "0.0.0.0/0") };
    let direct = route(Family::Ipv4, "10.0.0.0/8");
    let changes = Model::default().diff(&[], &[to_gateway.clone(), direct.clone()], Leftovers::Keep);
    assert_eq!(changes.before, [RoutingChange::AddRoute(direct), RoutingChange::AddRoute(to_gateway)]);
}

#[test]
fn a_changed_route_is_replaced_in_one_step() {
    for family in Family::BOTH {
        let any = if family == Family::Ipv4 { "0.0.0.0/0" } else { "::/0" };
        let old = route(family, any);
        let new = Route { hops: vec![hop("lan", None)], ..old.clone() };
        let changes = model(&[], &[old]).diff(&[], std::slice::from_ref(&new), Leftovers::Keep);
        assert_eq!(changes.before, [RoutingChange::ReplaceRoute(new)]);
        assert!(changes.after.is_empty());
    }
}

/// What the kernel fills in or leaves out is no difference.
#[test]
fn a_route_is_equal_to_what_the_kernel_makes_of_it() {
    let held = Route { metric: 1024, ..route(Family::Ipv6, "::/0") };
    let mut wanted = Route { metric: 0, scope: 253, tos: 4, protocol: 9, ..held.clone() };
    wanted.hops[0].weight = 0;
    wanted.other.insert(attribute::PREFERENCE, vec![0]);
    wanted.metrics.insert(2, MetricValue::Number(0));
    assert!(model(&[], &[held]).diff(&[], &[wanted], Leftovers::Keep).is_empty());

    let reject = Route { kind: RouteKind::Unreachable, ..route(Family::Ipv6, "fd00::/8") };
    let held = Route { hops: vec![hop("lo", None)], ..reject.clone() };
    let wanted = Route { hops: vec![], ..reject };
    assert!(model(&[], &[held]).diff(&[], &[wanted], Leftovers::Keep).is_empty());

    let held = Route { nexthop_id: Some(7), ..route(Family::Ipv4, "10.0.0.0/8") };
    let wanted = Route { hops: vec![hop("lan", None)], ..held.clone() };
    assert!(model(&[], &[held]).diff(&[], &[wanted], Leftovers::Keep).is_empty());
}

#[test]
fn what_the_shell_package_left_is_told_by_its_shape() {
    let mask = MarkMask::default();
    let rule = |priority: u32, mark: Option<u32>, action: RuleAction| IpRule {
        mark: mark.map(|mark| (mark, mask.bits())),
        ..IpRule::new(Family::Ipv6, priority, action, 0)
    };
    let input = |priority: u32, table: u32| IpRule {
        input_device: Some("eth9".to_owned()),
        ..rule(priority, None, RuleAction::Lookup(table))
    };
    let left = [
        input(1004, 4),
        rule(2004, Some(0x400), RuleAction::Lookup(4)),
        rule(2060, Some(0x3c00), RuleAction::Lookup(60)),
        rule(2061, Some(0x3d00), RuleAction::Blackhole),
        rule(2062, Some(0x3e00), RuleAction::Unreachable),
        rule(3004, Some(0x400), RuleAction::Unreachable),
    ];
    let others = [
        input(1004, 5),
        input(1061, 61),
        input(1000, 0),
        rule(1004, None, RuleAction::Lookup(4)),
        rule(2004, Some(0x500), RuleAction::Lookup(4)),
        rule(2004, None, RuleAction::Lookup(4)),
        rule(2061, Some(0x3d00), RuleAction::Unreachable),
        rule(2063, Some(0x3f00), RuleAction::Unreachable),
        rule(2500, Some(0x400), RuleAction::Lookup(42)),
        rule(3004, Some(0x400), RuleAction::Blackhole),
        rule(4004, Some(0x400), RuleAction::Unreachable),
        IpRule { inverted: true, ..input(1004, 4) },
        IpRule { from: Some("fd00::/8".parse().unwrap()), ..input(1004, 4) },
        IpRule { other: [(14, vec![0; 4])].into(), ..input(1004, 4) },
        IpRule { protocol: 4, ..input(1004, 4) },
    ];
    let kernel = Model { rules: [&left[..], &others[..]].concat(), routes: vec![] };
    let changes = kernel.diff(&[], &[], Leftovers::TakeOver(mask));
    assert_eq!(changes.after, left.map(RoutingChange::DeleteRule));
    assert!(kernel.diff(&[], &[], Leftovers::Keep).is_empty());
}

/// A rule of the shell package is the proof that the table it leads to was its own.
#[test]
fn routes_that_the_shell_package_left_go_with_the_rule_that_led_there() {
    let theirs = [7, 8, 254].map(|table| Route { table, protocol: 4, ..route(Family::Ipv4, "10.9.0.0/16") });
    let mark = MarkMask::default().spread(7);
    let left = IpRule {
        mark: Some((mark, MarkMask::default().bits())),
        ..IpRule::new(Family::Ipv4, 2007, RuleAction::Lookup(7), 0)
    };
    let kernel = model(&[], &theirs);
    let takes_over = Leftovers::TakeOver(MarkMask::default());
    assert!(kernel.diff(&[], &[], takes_over).is_empty(), "without the rule there is no proof");
    let kernel = Model { rules: vec![left.clone()], ..kernel };
    assert!(kernel.diff(&[], &[], Leftovers::Keep).is_empty());
    let changes = kernel.diff(&[], &[], takes_over);
    let gone = [RoutingChange::DeleteRule(left), RoutingChange::DeleteRoute(theirs[0].clone())];
    assert_eq!((changes.before, changes.after), (Vec::new(), gone.to_vec()));
}

/// Beside somebody else's route none can be replaced, and a deletion may fit what is to stay.
#[test]
fn a_deletion_beside_somebody_elses_route_never_hits_the_one_that_stays() {
    let theirs = Route { protocol: 4, hops: vec![hop("lan", None)], ..route(Family::Ipv6, "::/0") };
    let stays = Route { hops: vec![hop("wan", Some("fe80::1"))], ..route(Family::Ipv6, "::/0") };
    let goes = route(Family::Ipv6, "::/0");
    let mut kernel = model(&[], &[theirs.clone(), stays.clone(), goes]);
    let changes = kernel.diff(&[], std::slice::from_ref(&stays), Leftovers::Keep);
    kernel.follow(&changes, &[]).unwrap();
    assert_eq!(kernel.routes, [theirs, stays]);
}
