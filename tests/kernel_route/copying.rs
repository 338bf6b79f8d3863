//! Copies of routes, and that doing it twice does it once.

use super::*;

/// Routes as sets of words that do not tell who made them or how long they live.
fn comparable(listing: &str) -> BTreeSet<String> {
    let mut words = listing.split_whitespace().peekable();
    let mut text = String::new();
    while let Some(word) = words.next() {
        match word {
            "proto" | "expires" => drop(words.next()),
            "unicast" | "unreachable" | "blackhole" | "prohibit" | "throw" => {
                text.push('\n');
                text.push_str(word);
            }
            // Of the nexthop object, not of the route.
            "nh_info" => while words.next_if(|word| !matches!(*word, "nexthop" | "unicast")).is_some() {},
            word => {
                text.push(' ');
                text.push_str(word);
            }
        }
    }
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_copy_of_every_kind_of_route_is_the_same_route() {
    in_namespace(|| {
        every_kind_of_route();
        let wanted = copies(TABLE_MAIN, 7);
        assert!(wanted.len() > 45, "{}", lines(&wanted));
        reconcile(&[], &wanted, Leftovers::Keep);
        for flag in ["-4", "-6"] {
            let original = show(&format!("{flag} -d route show table main"));
            let copy = show(&format!("{flag} -d route show table 7"));
            assert_eq!(comparable(&copy), comparable(&original), "\n{original}\n{copy}");
            assert!(!copy.contains("proto boot") && !copy.contains("proto kernel"), "{copy}");
        }
    });
}

#[test]
fn what_is_there_already_takes_no_step() {
    in_namespace(|| {
        every_kind_of_route();
        let wanted = [copies(TABLE_MAIN, 7), copies(TABLE_MAIN, 1007)].concat();
        let rules = rules_of_uplink(7, "wan0");
        assert!(!reconcile(&rules, &wanted, Leftovers::Keep).is_empty());
        let changes = steps(&rules, &wanted, Leftovers::Keep);
        assert!(changes.is_empty(), "{}{}", lines(&changes.before), lines(&changes.after));
        assert_eq!(changes.conflicts, []);
    });
}

#[test]
fn nothing_wanted_leaves_nothing_of_ours_and_everything_of_others() {
    in_namespace(|| {
        every_kind_of_route();
        ip("rule add pref 2500 from 10.0.0.0/8 lookup 42\nroute add 10.1.0.0/16 dev lan0 table 42");
        let before = observe();
        let wanted = [copies(TABLE_MAIN, 7), copies(TABLE_MAIN, 1007)].concat();
        reconcile(&rules_of_uplink(7, "wan0"), &wanted, Leftovers::Keep);
        assert_ne!(observe(), before);
        reconcile(&[], &[], Leftovers::Keep);
        let after = observe();
        assert_eq!(lines(&after.routes), lines(&before.routes));
        assert_eq!(lines(&after.rules), lines(&before.rules));
    });
}

#[test]
fn a_copy_of_a_route_that_expires_does_not() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        ip6("route add 2001:db8:e::/48 via 2001:db8:1::1 expires 600");
        reconcile(&[], &copies(TABLE_MAIN, 7), Leftovers::Keep);
        assert!(show("-6 route show table main").contains("expires"));
        let copy = show("-6 route show table 7");
        assert!(copy.contains("2001:db8:e::/48 via 2001:db8:1::1 dev wan0"), "{copy}");
        assert!(!copy.contains("expires"), "{copy}");
    });
}

#[test]
fn each_step_is_written_as_a_command_that_does_it() {
    in_namespace(|| {
        every_kind_of_route();
        let wanted = copies(TABLE_MAIN, 7);
        let changes = steps(&rules_of_uplink(7, "wan0"), &wanted, Leftovers::Keep);
        for flag in ["-4", "-6"] {
            let prefix = format!("ip {flag} ");
            let commands: String = changes
                .before
                .iter()
                .filter_map(|change| Some(format!("{}\n", change.to_string().strip_prefix(&prefix)?)))
                .collect();
            assert!(commands.lines().count() > 20, "{commands}");
            // iproute2 prints this lock but sets it by itself.
            batch(flag, &commands.replace("rto_min lock", "rto_min"));
        }
        let rest = steps(&rules_of_uplink(7, "wan0"), &wanted, Leftovers::Keep);
        assert!(rest.is_empty(), "{}{}", lines(&rest.before), lines(&rest.after));
    });
}

#[test]
fn thousands_of_routes_are_one_reconcile_like_any_other() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        let pattern = routes_from_main(Family::Ipv4, "10.1.0.0/24 via 192.0.2.1 dev wan0").remove(0);
        let route = |table: u32, number: u8| Route {
            table,
            destination: format!("10.{table}.{number}.0/24").parse().unwrap(),
            ..pattern.clone()
        };
        let wanted: Vec<_> = (1..=20)
            .flat_map(|table| (0..200).map(move |number| (table, number)))
            .map(|(t, n)| route(t, n))
            .collect();
        assert_eq!(reconcile(&[], &wanted, Leftovers::Keep).before.len(), 4000);
        assert!(steps(&[], &wanted, Leftovers::Keep).is_empty());
        let mut fewer = wanted.clone();
        let removed = fewer.remove(1234);
        let changes = reconcile(&[], &fewer, Leftovers::Keep);
        assert_eq!((changes.before, changes.after), (vec![], vec![RoutingChange::DeleteRoute(removed)]));
        reconcile(&[], &[], Leftovers::Keep);
        assert!(observe().routes.iter().all(|route| route.protocol != OUR_PROTOCOL));
    });
}

#[test]
fn encapsulating_routes_are_copied_too() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        ip("route add 10.1.0.0/16 encap ip id 7 dst 203.0.113.9 via 192.0.2.1");
        ip6("route add fd01::/16 encap ip6 id 7 dst 2001:db8::9 via 2001:db8:1::1");
        let wanted = copies(TABLE_MAIN, 7);
        reconcile(&[], &wanted, Leftovers::Keep);
        assert!(steps(&[], &wanted, Leftovers::Keep).is_empty());
        for flag in ["-4", "-6"] {
            let original = show(&format!("{flag} -d route show table main"));
            assert!(original.contains("encap"));
            assert_eq!(comparable(&show(&format!("{flag} -d route show table 7"))), comparable(&original));
        }
        reconcile(&[], &[], Leftovers::Keep);
        assert_eq!(copies(7, 7), []);
    });
}
