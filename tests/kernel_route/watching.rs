//! Notifications.

use super::*;

#[test]
fn the_monitor_tells_who_changed_what() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        let mut monitor = route::monitor().unwrap();
        ip("route add 10.1.0.0/16 dev lan0 table 300 protocol 77
            rule add pref 2001 lookup 1 protocol 77
            rule del pref 2001
            address add 10.1.2.3/32 dev lan0
            link set pwan0 down");
        ip6("route add fd01::/16 dev lan0");
        let mut heard: Vec<Notification> = Vec::new();
        let expected = [
            Notification::Route { table: 300, protocol: 77, is_removed: false },
            Notification::Rule { protocol: 77, is_removed: false },
            Notification::Rule { protocol: 77, is_removed: true },
            Notification::Address {
                index: observe().devices.iter().find(|one| one.name == "lan0").unwrap().index,
                address: "10.1.2.3".parse().unwrap(),
                is_removed: false,
            },
            Notification::Route { table: TABLE_MAIN, protocol: 3, is_removed: false },
        ];
        wait_until("everything was heard", || {
            heard.extend(monitor.notifications().unwrap().iter().filter_map(Notification::decode));
            let lost_carrier = |one: &Notification| matches!(one, Notification::Link { name, has_carrier: false, .. } if name == "wan0");
            expected.iter().all(|one| heard.contains(one)) && heard.iter().any(lost_carrier)
        });
    });
}

#[test]
fn a_monitor_that_missed_something_says_so_and_goes_on() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        let mut monitor = route::monitor().unwrap();
        let lines = |verb: &str| -> String {
            (0..16_384)
                .map(|n| format!("route {verb} 10.{}.{}.0/26 dev lan0\n", n / 256 % 64, n % 256))
                .take(16_000)
                .collect()
        };
        ip(&lines("add"));
        let lost = |result: Result<_, NetlinkError>| result.is_err_and(|error| error.errno == libc::ENOBUFS);
        assert!(lost(monitor.notifications()), "16,000 changes fit the receive buffer");
        wait_until("the rest was read", || monitor.notifications().is_ok_and(|heard| heard.is_empty()));
        ip("rule add pref 2001 lookup 1");
        wait_until("it hears again", || !monitor.notifications().unwrap().is_empty());
    });
}

#[test]
fn the_neighbour_monitor_tells_who_does_not_answer() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        let index = observe().devices.iter().find(|one| one.name == "wan0").unwrap().index;
        let mut monitor = route::monitor_neighbours().unwrap();
        batch(
            "-0",
            "neighbour add 192.0.2.7 dev wan0 nud permanent lladdr 02:00:00:00:00:07
             neighbour change 192.0.2.7 dev wan0 nud failed
             neighbour add 2001:db8:1::7 dev wan0 nud permanent lladdr 02:00:00:00:00:07
             neighbour del 2001:db8:1::7 dev wan0",
        );
        let told = |address: &str, has_failed: bool, is_removed: bool| {
            let address = address.parse().unwrap();
            Notification::Neighbour { index, address, has_failed, is_removed }
        };
        let mut heard: Vec<Notification> = Vec::new();
        wait_until("everything was heard", || {
            heard.extend(monitor.notifications().unwrap().iter().filter_map(Notification::decode));
            heard.contains(&told("192.0.2.7", false, false))
                && heard.contains(&told("192.0.2.7", true, false))
                && heard.iter().any(|one| {
                    matches!(one, Notification::Neighbour { address, is_removed: true, .. } if address.is_ipv6())
                })
        });
    });
}
