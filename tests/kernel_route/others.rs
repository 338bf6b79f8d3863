//! What is not ours, and what goes wrong.

use super::*;

#[test]
fn somebody_elses_route_in_our_place_stays_and_is_told() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        ip("route add default via 192.0.2.7 table 7\nroute add 10.0.0.0/8 dev lan0 table 7");
        ip6("route add default via 2001:db8:1::7 table 7");
        let theirs = observe().routes;
        let wanted = [
            routes_from_main(Family::Ipv4, "default via 192.0.2.1 dev wan0"),
            routes_from_main(Family::Ipv6, "default via 2001:db8:1::1 dev wan0"),
            routes_from_main(Family::Ipv4, "10.2.0.0/16 dev lan0"),
        ]
        .concat();
        for leftovers in [Leftovers::Keep, Leftovers::TakeOver(MarkMask::default())] {
            let changes = reconcile(&[], &wanted, leftovers);
            assert_eq!(changes.conflicts.len(), 2);
            assert_eq!(
                changes.conflicts[0].to_string(),
                "not added: default via 192.0.2.1 dev wan0 table 7 proto 77; somebody else's route is in its \
                 place: default via 192.0.2.7 dev wan0 table 7"
            );
            let kept: Vec<_> =
                observe().routes.into_iter().filter(|route| route.protocol != OUR_PROTOCOL).collect();
            assert_eq!(lines(&kept), lines(&theirs));
        }
        assert!(show("-4 route show table 7").contains("10.2.0.0/16 dev lan0 proto 77 scope link"));
    });
}

/// The kernel deletes the first route that fits what it is told, and here another one fits, too.
#[test]
fn a_deletion_beside_somebody_elses_route_leaves_the_one_that_stays() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        ip("route append default via 198.51.100.1 table 7 protocol static
            route append default via 192.0.2.1 dev wan0 table 7 protocol 77
            route append default via 192.0.2.1 dev wan0 onlink table 7 protocol 77");
        ip6("route append default dev lan0 table 7 protocol static
             route append default via 2001:db8:1::1 dev wan0 table 7 protocol 77
             route append default dev wan0 table 7 protocol 77");
        let before: Vec<_> = observe().routes.into_iter().filter(|route| route.table == 7).collect();
        assert_eq!(before.len(), 6, "{}", lines(&before));
        for stays in [[1, 4], [2, 5]] {
            let wanted = stays.map(|position| before[position].clone());
            reconcile(&[], &wanted, Leftovers::Keep);
            let ours = observe().routes.into_iter().filter(|route| route.protocol == OUR_PROTOCOL);
            assert_eq!(lines(&ours.collect::<Vec<_>>()), lines(&wanted));
            let theirs = observe().routes.into_iter().filter(|route| route.protocol == 4);
            assert_eq!(theirs.count(), 2);
            // Back to all six.
            ip("route flush table 7");
            ip6("route flush table 7");
            let all: Vec<_> = before.iter().cloned().map(RoutingChange::AppendRoute).collect();
            assert_eq!(route::apply(&all), []);
        }
    });
}

#[test]
fn what_the_shell_package_left_is_taken_over_at_a_start_only() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        let left = "rule add pref 1001 iif wan0 lookup 1
                    rule add pref 2001 fwmark 0x100/0x3f00 lookup 1
                    rule add pref 3001 fwmark 0x100/0x3f00 unreachable
                    rule add pref 1009 iif gone0 lookup 9
                    rule add pref 2061 fwmark 0x3d00/0x3f00 blackhole
                    rule add pref 2062 fwmark 0x3e00/0x3f00 unreachable\n";
        let theirs = "rule add pref 2500 fwmark 0x100/0x3f00 lookup 42
                      rule add pref 1002 iif lan0 lookup 42
                      rule add pref 2002 fwmark 0x200/0xff00 lookup 2
                      rule add pref 1003 iif lan0 to all lookup 3 protocol static\n";
        ip(&[theirs, left].concat());
        ip6(&[theirs, left].concat());
        ip("route add default via 192.0.2.1 table 1");
        ip6("route add default via 2001:db8:1::1 table 1");
        let routes = copies(1, 1);
        let rules = rules_of_uplink(1, "wan0");

        let gentle = steps(&rules, &routes, Leftovers::Keep);
        assert!(gentle.after.is_empty() && gentle.conflicts.is_empty());
        assert!(gentle.before.iter().all(|change| matches!(change, RoutingChange::AddRule(_))));

        reconcile(&rules, &routes, Leftovers::TakeOver(MarkMask::default()));
        let kernel = observe();
        let ours: BTreeSet<_> = kernel.rules.iter().filter(|rule| rule.protocol == OUR_PROTOCOL).collect();
        assert_eq!(ours, rules.iter().collect());
        let others: Vec<u32> = kernel
            .rules
            .iter()
            .filter(|rule| rule.family == Family::Ipv6 && !matches!(rule.protocol, 2 | OUR_PROTOCOL))
            .map(|rule| rule.priority)
            .collect();
        assert_eq!(others, [1002, 1003, 2002, 2500]);
        let in_table = kernel.routes.iter().filter(|route| route.table == 1);
        assert_eq!(in_table.map(|route| route.protocol).collect::<Vec<_>>(), [OUR_PROTOCOL; 2]);
        assert!(steps(&rules, &routes, Leftovers::TakeOver(MarkMask::default())).is_empty());
    });
}

/// "Delete, protocol 0" is "any protocol" to the kernel, and ours comes first here.
#[test]
fn taking_over_a_twin_that_came_after_our_rule_never_loses_ours() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        let rules = rules_of_uplink(1, "wan0");
        reconcile(&rules, &[], Leftovers::Keep);
        ip("rule add pref 1001 iif wan0 lookup 1");
        for _ in 0..2 {
            reconcile(&rules, &[], Leftovers::TakeOver(MarkMask::default()));
            let ours = observe().rules.into_iter().filter(|rule| rule.protocol == OUR_PROTOCOL);
            assert_eq!(ours.collect::<BTreeSet<_>>(), rules.iter().cloned().collect());
        }
        assert_eq!(show("rule show pref 1001").lines().count(), 1);
    });
}

#[test]
fn a_rule_that_is_there_twice_is_there_once_afterwards() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        let rules = rules_of_uplink(1, "wan0");
        reconcile(&rules, &[], Leftovers::Keep);
        // Adding it again is no failure and makes no second one.
        let again: Vec<_> = rules.iter().cloned().map(RoutingChange::AddRule).collect();
        assert_eq!(route::apply(&again), []);
        assert!(steps(&rules, &[], Leftovers::Keep).is_empty());
        reconcile(&rules_of_uplink(1, "wanb0"), &[], Leftovers::Keep);
        let shown = show("-6 rule show pref 1001");
        assert_eq!(shown.trim_end(), "1001:\tfrom all iif wanb0 lookup 1 proto 77");
    });
}

#[test]
fn a_refused_step_is_told_with_the_kernels_words_and_the_others_are_taken() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        let mut wanted = routes_from_main(Family::Ipv4, "10.1.0.0/16 dev lan0");
        let mut bad = wanted[0].clone();
        bad.destination = "10.2.0.0/16".parse().unwrap();
        bad.scope = 0;
        bad.hops[0].gateway = Some("203.0.113.1".parse().unwrap());
        let mut gone = wanted[0].clone();
        gone.destination = "10.3.0.0/16".parse().unwrap();
        gone.hops[0].device = Some("gone0".to_owned());
        wanted.splice(..0, [bad, gone.clone()]);
        let changes = steps(&[], &wanted, Leftovers::Keep);
        let mut failures =
            lines(&route::apply(&changes.before)).lines().map(str::to_owned).collect::<Vec<_>>();
        failures.sort();
        assert_eq!(
            failures,
            [
                "ip -4 route add 10.2.0.0/16 via 203.0.113.1 dev lan0 table 7 proto 77: \
                 Network is unreachable (os error 101): Nexthop has invalid gateway",
                "ip -4 route add 10.3.0.0/16 dev gone0 table 7 proto 77 scope link: \
                 No such device (os error 19): gone0",
            ]
        );
        assert!(show("-4 route show table 7").starts_with("10.1.0.0/16 dev lan0"));
        // What is gone with its device needs no deleting.
        assert_eq!(route::apply(&[RoutingChange::DeleteRoute(gone)]), []);
    });
}
