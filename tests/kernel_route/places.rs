//! All that can stand in one place of a table, and the ways between.

use super::*;

/// Routes of table 7 as iproute2 puts them there, read back and taken away again.
fn routes_from(family: Family, commands: &[&str]) -> Vec<Route> {
    let batch_of = |verb: &str, command: &&str| format!("route {verb} table 7 protocol 77 {command}\n");
    let flag = if family == Family::Ipv4 { "-4" } else { "-6" };
    batch(flag, &commands.iter().map(|command| batch_of("append", command)).collect::<String>());
    let routes: Vec<_> = observe().routes.into_iter().filter(|route| route.table == 7).collect();
    batch(flag, "route flush table 7");
    routes
}

/// From each state to each other one: the steps are accepted, lead there, and leave nothing to do.
fn every_state_leads_to_every_other(family: Family, states: &[&[&str]]) {
    let states: Vec<Vec<Route>> = states.iter().map(|commands| routes_from(family, commands)).collect();
    for from in &states {
        for to in &states {
            reconcile(&[], from, Leftovers::Keep);
            let changes = reconcile(&[], to, Leftovers::Keep);
            assert_eq!(changes.conflicts, []);
            let rest = steps(&[], to, Leftovers::Keep);
            let (took, left) = (lines(&changes.before), lines(&rest.before));
            assert!(rest.is_empty(), "from\n{}to\n{}took\n{took}left\n{left}", lines(from), lines(to));
            if let ([old], [new]) = (&from[..], &to[..])
                && old != new
            {
                assert!(matches!(changes.before[..], [RoutingChange::ReplaceRoute(_)]), "{took}");
            }
        }
    }
}

#[test]
fn any_ipv4_state_of_a_destination_leads_to_any_other() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        every_state_leads_to_every_other(
            Family::Ipv4,
            &[
                &["default via 192.0.2.1 dev wan0"],
                &["default via 192.0.2.9 dev wan0"],
                &["default via 198.51.100.1 dev wanb0 onlink"],
                &["default via 192.0.2.1 dev wan0 mtu 1400"],
                &["default dev wg0 scope link"],
                &["unreachable default"],
                &["default via inet6 2001:db8:1::1 dev wan0"],
                &["default nexthop via 192.0.2.1 dev wan0 weight 3 nexthop via 198.51.100.1 dev wanb0"],
                &["default via 192.0.2.1 dev wan0", "default via 198.51.100.1 dev wanb0"],
                &["default via 198.51.100.1 dev wanb0", "default via 192.0.2.1 dev wan0"],
                &["default via 192.0.2.1 dev wan0", "default dev wg0", "default via 192.0.2.9 dev wan0"],
                &["default via 192.0.2.1 dev wan0 metric 5", "default via 192.0.2.1 dev wan0 tos 0x10"],
                &[],
            ],
        );
    });
}

#[test]
fn any_ipv6_state_of_a_destination_leads_to_any_other() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        every_state_leads_to_every_other(
            Family::Ipv6,
            &[
                &["default via 2001:db8:1::1 dev wan0"],
                &["default via 2001:db8:1::9 dev wan0"],
                &["default via 2001:db8:1::1 dev wan0 mtu 1400 pref high"],
                &["default via fe80::1 dev wanb0 onlink"],
                &["default dev wg0"],
                &["unreachable default"],
                &["default nexthop via 2001:db8:1::1 dev wan0 nexthop via 2001:db8:2::1 dev wanb0"],
                &["default nexthop via 2001:db8:2::1 dev wanb0 nexthop via 2001:db8:1::1 dev wan0"],
                &["default nexthop via 2001:db8:2::1 dev wanb0 weight 4 nexthop via 2001:db8:1::1 dev wan0"],
                &["default dev wg0", "default dev lan0"],
                &["default dev wg0", "default dev wan0", "default via 2001:db8:1::1 dev wan0"],
                &["default dev lan0", "default via 2001:db8:2::1 dev wanb0"],
                &["default via 2001:db8:1::1 dev wan0 metric 5", "default from fd00::/8 dev wan0"],
                &[],
            ],
        );
    });
}

/// Two routers' advertisements make two routes of one key, where two of ours would be one with two hops.
#[test]
fn ipv6_routes_of_one_key_with_gateways_become_the_one_route_the_kernel_makes_of_them() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        ip6("route add default via 2001:db8:1::1 dev wan0 table 7 protocol 77");
        let mut first = observe().routes.into_iter().find(|route| route.table == 7).unwrap();
        let mut second = first.clone();
        second.hops[0].gateway = Some("2001:db8:1::9".parse().unwrap());
        reconcile(&[], &[first.clone(), second.clone()], Leftovers::Keep);
        assert!(steps(&[], &[first.clone(), second.clone()], Leftovers::Keep).is_empty());
        assert_eq!(show("-6 route show table 7").matches("nexthop via").count(), 2);
        // Of unequal preference, only the better one counts.
        first.other.insert(network::attribute::PREFERENCE, vec![3]);
        reconcile(&[], &[first.clone(), second.clone()], Leftovers::Keep);
        assert!(steps(&[], &[first, second], Leftovers::Keep).is_empty());
        let shown = show("-6 route show table 7");
        assert!(
            shown.starts_with("default via 2001:db8:1::9 dev wan0") && !shown.contains("nexthop"),
            "{shown}"
        );
    });
}

#[test]
fn a_deletion_takes_that_route_and_no_other() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        ip("route add 10.1.0.0/16 via 192.0.2.1 table 7 protocol 77
            route append 10.1.0.0/16 via 192.0.2.9 table 7 protocol 77
            route append 10.1.0.0/16 via 192.0.2.1 table 7 protocol static
            route append 10.1.0.0/16 via 192.0.2.1 table 7 protocol 77 mtu 1400
            route add 10.1.0.0/16 via 192.0.2.1 table 7 protocol 77 metric 5
            route add 10.1.0.0/16 via 192.0.2.1 table 7 protocol 77 tos 0x10
            route add unreachable 10.1.0.0/16 table 7 protocol 77 metric 9
            route add 10.1.0.0/17 via 192.0.2.1 table 7 protocol 77
            route add 10.1.0.0/16 via 192.0.2.1 table 8 protocol 77");
        ip6("route add fd01::/16 via 2001:db8:1::1 table 7 protocol 77
             route add fd01::/16 via 2001:db8:1::1 table 7 protocol 77 metric 5
             route add fd01::/16 via 2001:db8:1::1 table 7 protocol static metric 6
             route add fd01::/16 via 2001:db8:1::1 table 8 protocol 77
             route add fd01::/17 via 2001:db8:1::1 table 7 protocol 77
             route append fd01::/16 dev wan0 table 7 protocol 77
             route append fd01::/16 dev wanb0 table 7 protocol 77
             route add fd01::/16 from fd02::/16 dev wanb0 table 7 protocol 77");
        let all: Vec<_> = observe().routes.into_iter().filter(|route| matches!(route.table, 7 | 8)).collect();
        assert_eq!(all.len(), 17, "{}", lines(&all));
        for route in &all {
            assert_eq!(route::apply(&[RoutingChange::DeleteRoute(route.clone())]), []);
            let left: BTreeSet<_> =
                observe().routes.into_iter().filter(|one| matches!(one.table, 7 | 8)).collect();
            let expected: BTreeSet<_> = all.iter().filter(|one| *one != route).cloned().collect();
            assert!(left == expected, "after {route}\n{}", lines(&left.iter().collect::<Vec<_>>()));
            assert_eq!(route::apply(&[RoutingChange::AppendRoute(route.clone())]), []);
        }
    });
}
