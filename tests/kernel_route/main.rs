//! The routing edge against the running kernel, each test in a network namespace of its own. Needs root, or
//! `unshare -Urn`; iproute2 says what is true.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod copying;
mod listing;
mod others;
mod places;
mod watching;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mwan3::address::Family;
use mwan3::mark::MarkMask;
use mwan3::network::change::{Leftovers, Observed, RoutingChange, RoutingChanges, Wanted, diff};
use mwan3::network::{self, IpRule, OUR_PROTOCOL, Route, RuleAction, TABLE_MAIN};
use mwan3::system::netlink::NetlinkError;
use mwan3::system::route::{self, Kernel, Notification};

/// unshare() is the calling thread's, and so is everything it then starts.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        // SAFETY: no pointers; it only moves this thread into a new network namespace.
        let failed = unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0;
        assert!(!failed, "kernel tests need root or `unshare -Urn`: {}", std::io::Error::last_os_error());
        // No waiting for duplicate addresses: a tentative one is not routed to yet.
        std::fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0").expect("IPv6 is there");
        ip("link set lo up");
        test();
    });
    if let Err(panic) = outcome.join() {
        std::panic::resume_unwind(panic);
    }
}

fn run(arguments: &[&str], input: &str) -> (String, String) {
    let mut child = Command::new("ip")
        .args(arguments.iter().filter(|argument| **argument != "-0"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("iproute2 is installed");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

/// `flag` is the family: "-4", "-6" or "-0" for none.
fn batch(flag: &str, lines: &str) {
    let numbered: Vec<_> = lines.lines().zip(1..).map(|(line, number)| format!("{number}: {line}")).collect();
    let (_, errors) = run(&[flag, "-batch", "-"], lines);
    assert!(errors.is_empty(), "{errors}in:\n{}", numbered.join("\n"));
}

fn ip(line: &str) {
    batch("-4", line);
}

fn ip6(line: &str) {
    batch("-6", line);
}

fn show(line: &str) -> String {
    run(&line.split(' ').collect::<Vec<_>>(), "").0
}

fn two_uplinks_and_a_lan() {
    let devices = ["wan0", "wanb0", "lan0", "wg0"];
    ip(&devices.map(|name| format!("link add {name} type veth peer name p{name}\n")).concat());
    ip(&devices.map(|name| format!("link set {name} up\nlink set p{name} up\n")).concat());
    ip("address add 192.0.2.2/24 dev wan0
        address add 198.51.100.2/24 dev wanb0
        address add 192.168.1.1/24 dev lan0");
    ip6("address add 2001:db8:1::2/64 dev wan0 nodad
         address add 2001:db8:2::2/64 dev wanb0 nodad
         address add fd00:1::1/64 dev lan0 nodad");
    // A fresh IPv6 link gets its own routes once it has seen its carrier.
    wait_until("the links are ready", || show("-6 route show").matches("fe80::/64").count() == 8);
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const NEXTHOPS: &str = "
nexthop add id 1 via 192.0.2.1 dev wan0
nexthop add id 2 via 198.51.100.1 dev wanb0
nexthop add id 10 group 1,3/2,2
nexthop add id 5 blackhole
nexthop add id 21 via 2001:db8:1::1 dev wan0
nexthop add id 22 via 2001:db8:2::1 dev wanb0
nexthop add id 23 group 21/22
";

const IPV4_ROUTES: &str = "
route add default via 192.0.2.1 dev wan0 metric 10
route add default via 198.51.100.1 dev wanb0 metric 20 proto static
route add 10.1.0.0/16 via 192.168.1.9 src 192.168.1.1 mtu 1400 advmss 1360 initcwnd 20 rto_min 50ms
route add 10.2.0.0/16 nexthop via 192.0.2.1 dev wan0 weight 3 nexthop via 198.51.100.1 dev wanb0 weight 2
route add 10.3.0.0/16 via 203.0.113.1 dev wan0 onlink
route add 10.4.0.0/16 dev wg0 scope link congctl lock reno
route add unreachable 10.5.0.0/16 metric 100
route add blackhole 10.6.0.0/16
route add prohibit 10.61.0.0/16
route add throw 10.62.0.0/16
route add 10.7.0.0/16 nhid 10
route add 10.8.0.0/16 nhid 1
route add 10.81.0.0/16 nhid 5
route add 10.9.0.0/16 via inet6 2001:db8:1::1 dev wan0
route add 10.10.0.0/16 via 192.0.2.1 tos 0x10
route add 10.11.0.0/16 via 192.0.2.1 mtu lock 1300 rtt 100ms rttvar 50ms hoplimit 3 features ecn quickack 1
route add 10.12.0.0/16 via 192.0.2.1 realms 5
route add 10.12.1.0/24 via 192.0.2.1 realms 3/4
route add 10.13.0.0/16 nexthop via inet6 2001:db8:1::1 dev wan0 nexthop via 10.99.0.1 dev wanb0 onlink
route add 10.14.0.1 dev wg0 scope link
route add 10.15.0.0/16 via 192.0.2.1 proto bird metric 7
route append 10.15.0.0/16 via 192.0.2.9 proto bird metric 7
route add 10.16.0.0/16 via 192.0.2.1 ttl-propagate enabled
";

const IPV6_ROUTES: &str = "
route add default via 2001:db8:1::1 dev wan0 metric 512
route add default from 2001:db8:2::/64 via 2001:db8:2::1 dev wanb0 metric 512
route add 2001:db8:f::/48 nexthop via 2001:db8:1::1 dev wan0 weight 3 nexthop via 2001:db8:2::1 dev wanb0
route add 2001:db8:e::/48 via 2001:db8:1::1 mtu 1280 pref high
route add 2001:db8:e1::/48 via 2001:db8:1::1 pref low
route add unreachable 2001:db8:d::/48
route add blackhole 2001:db8:d1::/48
route add prohibit 2001:db8:d2::/48
route add throw 2001:db8:d3::/48
route add 2001:db8:c::/48 nhid 21
route add 2001:db8:c1::/48 nhid 23
nexthop add id 25 blackhole
route add 2001:db8:c2::/48 nhid 25
route add 2001:db8:c3::/48 nhid 21 pref high
route add 2001:db8:b::/48 via fe80::9 dev wan0 onlink
route add 2001:db8:b1::/48 dev lan0
route append 2001:db8:b1::/48 dev wg0
route add 2001:db8:b2::1 via 2001:db8:1::1 src 2001:db8:1::2
";

fn every_kind_of_route() {
    two_uplinks_and_a_lan();
    batch("-0", NEXTHOPS);
    ip(IPV4_ROUTES);
    ip6(IPV6_ROUTES);
}

fn observe() -> Kernel {
    route::observe().expect("the kernel tells")
}

fn steps(rules: &[IpRule], routes: &[Route], leftovers: Leftovers) -> RoutingChanges {
    let kernel = observe();
    let (own_routes, foreign_routes): (Vec<_>, Vec<_>) =
        kernel.routes.into_iter().partition(|route| route.protocol == OUR_PROTOCOL);
    let observed =
        Observed { rules: &kernel.rules, own_routes: &own_routes, foreign_routes: &foreign_routes };
    diff(observed, Wanted { rules, routes }, leftovers)
}

/// Brings the kernel there, and tells what that took.
fn reconcile(rules: &[IpRule], routes: &[Route], leftovers: Leftovers) -> RoutingChanges {
    let changes = steps(rules, routes, leftovers);
    for part in [&changes.before, &changes.after] {
        let failures = route::apply(part);
        assert!(failures.is_empty(), "{}", lines(&failures));
    }
    changes
}

fn lines<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("{item}\n")).collect()
}

fn copies(table: u32, target: u32) -> Vec<Route> {
    let routes = observe().routes.into_iter().filter(|route| route.table == table);
    routes.map(|route| Route { table: target, protocol: OUR_PROTOCOL, ..route }).collect()
}

fn rules_of_uplink(id: u16, device: &str) -> Vec<IpRule> {
    let mask = MarkMask::default();
    let mark = Some((mask.interface(id), mask.bits()));
    let rule = |family, base: u32, action| IpRule::new(family, base + u32::from(id), action, OUR_PROTOCOL);
    let lookup = RuleAction::Lookup(u32::from(id));
    Family::BOTH
        .into_iter()
        .flat_map(|family| {
            [
                IpRule { input_device: Some(device.to_owned()), ..rule(family, 1000, lookup) },
                IpRule { mark, ..rule(family, 2000, lookup) },
                IpRule { mark, ..rule(family, 3000, RuleAction::Unreachable) },
            ]
        })
        .collect()
}

fn routes_from_main(family: Family, command: &str) -> Vec<Route> {
    let flag = if family == Family::Ipv4 { "-4" } else { "-6" };
    batch(flag, &format!("route add {command} table 99"));
    let routes = copies(99, 7);
    batch(flag, "route flush table 99");
    routes
}
