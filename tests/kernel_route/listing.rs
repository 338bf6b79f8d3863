//! What we say about the kernel against what iproute2 says.

use super::*;

fn without_trailing_blanks(text: &str) -> String {
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

#[test]
fn listings_read_like_those_of_iproute2() {
    in_namespace(|| {
        every_kind_of_route();
        let kernel = observe();
        for (family, flag) in [(Family::Ipv4, "-4"), (Family::Ipv6, "-6")] {
            let in_main = |route: &&Route| route.family == family && route.table == TABLE_MAIN;
            let ours = network::listing(kernel.routes.iter().filter(in_main));
            assert_eq!(ours, show(&format!("{flag} route show")));
        }
    });
}

const RULES: &str = "
rule add pref 1001 iif wan0 lookup 1
rule add pref 2001 fwmark 0x100/0x3f00 lookup 1
rule add pref 2061 fwmark 0x3d00/0x3f00 blackhole
rule add pref 2062 fwmark 0x3e00/0x3f00 unreachable
rule add pref 2063 fwmark 0/0x3f00 prohibit
rule add pref 2064 fwmark 0x7 lookup 1234 suppress_prefixlength 0
rule add pref 2065 not oif wan0 lookup main protocol static
rule add pref 2066 goto 2070
rule add pref 2070 nop
rule add pref 2071 l3mdev
rule add pref 2072 ipproto tcp sport 5-9 dport 80 uidrange 0-0 lookup 300 protocol 77
rule add pref 2073 tos 0x08 lookup 5 suppress_ifgroup 9
";

#[test]
fn rules_read_like_those_of_iproute2() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        ip(&format!("{RULES}rule add pref 2090 not from 10.0.0.0/8 to 10.1.2.3 lookup 9"));
        ip6(&format!("{RULES}rule add pref 2090 not from 2001:db8::/32 to 2001:db8::1 lookup 9"));
        let kernel = observe();
        for (family, flag) in [(Family::Ipv4, "-4"), (Family::Ipv6, "-6")] {
            let rules: Vec<_> = kernel.rules.iter().filter(|rule| rule.family == family).collect();
            assert!(rules.len() > 14);
            assert_eq!(lines(&rules), without_trailing_blanks(&show(&format!("{flag} rule show"))));
        }
    });
}

#[test]
fn a_rule_of_any_kind_can_be_deleted_and_added_back() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        ip(RULES);
        ip6(RULES);
        let before = observe().rules;
        let added: Vec<_> = before.iter().filter(|rule| (1000..3000).contains(&rule.priority)).collect();
        let deletions: Vec<_> = added.iter().map(|rule| RoutingChange::DeleteRule((*rule).clone())).collect();
        assert_eq!(route::apply(&deletions), []);
        assert_eq!(observe().rules.len(), before.len() - deletions.len());
        let additions: Vec<_> = added.iter().map(|rule| RoutingChange::AddRule((*rule).clone())).collect();
        assert_eq!(route::apply(&additions), []);
        assert_eq!(observe().rules, before);
    });
}

#[test]
fn devices_tell_name_kind_carrier_and_addresses() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        ip("link set pwanb0 down
            link set lan0 down
            address add 10.9.0.1 peer 10.9.0.2/32 dev wg0
            address add 10.9.1.1/24 dev wg0 preferred_lft 0");
        let devices = observe().devices;
        let device = |name: &str| devices.iter().find(|device| device.name == name).unwrap();
        let state = |name: &str| (device(name).up, device(name).carrier);
        assert_eq!(device("wan0").kind.as_deref(), Some("veth"));
        assert_eq!(device("lo").kind, None);
        assert_eq!(
            (state("wan0"), state("wanb0"), state("lan0")),
            ((true, true), (true, false), (false, false))
        );
        let held: Vec<_> = device("wg0")
            .addresses
            .iter()
            .filter(|one| one.address.is_ipv4())
            .map(|one| (one.address.to_string(), one.length, one.scope, one.deprecated))
            .collect();
        assert_eq!(held, [("10.9.0.1".to_owned(), 32, 0, false), ("10.9.1.1".to_owned(), 24, 0, true)]);
        let link_local = device("wan0").addresses.iter().find(|one| one.scope == 253).unwrap();
        assert!(link_local.address.to_string().starts_with("fe80::") && link_local.length == 64);
    });
}

#[test]
fn addresses_are_listed_like_those_of_iproute2() {
    in_namespace(|| {
        two_uplinks_and_a_lan();
        let mut elsewhere = Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap();
        let here = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let there = format!("/proc/{}/ns/net", elsewhere.id());
        wait_until("there is another namespace", || std::fs::read_link(&there).is_ok_and(|ns| ns != here));
        ip(&format!("link set pwg0 netns {}", elsewhere.id()));
        ip("link add br0 type bridge
            link set pwan0 master br0
            link set pwanb0 down
            link set lan0 down
            link set lan0 group 7
            link set wan0 mtu 1400
            address add 10.1.0.1/24 broadcast + dev br0 label br0:lan
            address add 10.1.0.2/24 dev br0 noprefixroute
            address add 10.9.0.1 peer 10.9.0.2/32 dev wg0 metric 50
            address add 10.9.1.1/24 dev wg0 valid_lft 90000 preferred_lft 0
            address add 10.9.2.1/24 dev wg0 valid_lft 90000 preferred_lft 80000
            address add 10.9.3.1/24 dev wg0 scope link
            address add 10.9.4.1/24 dev pwan0");
        ip6("address add fd09::1/64 dev wan0 nodad valid_lft 90000 preferred_lft 80000
             address add fd09::2/64 dev wan0 nodad home mngtmpaddr noprefixroute
             address add fd09::3 peer fd09::4 dev wan0 nodad scope site preferred_lft 0");
        for (family, flag) in [(Family::Ipv4, "-4"), (Family::Ipv6, "-6")] {
            // Lifetimes run while we look.
            let (mut ours, mut theirs) = (String::new(), String::new());
            for _ in 0..5 {
                ours = route::address_listing(family).unwrap();
                theirs = show(&format!("{flag} address show"));
                if ours == theirs {
                    break;
                }
            }
            assert_eq!(ours, theirs);
        }
        elsewhere.kill().unwrap();
        elsewhere.wait().unwrap();
    });
}
