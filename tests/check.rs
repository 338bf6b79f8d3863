//! `mwan3 check`: what does not fit together.

use mwan3::address::Family;
use mwan3::config::{self, Problem, Severity};
use mwan3::network::{Hop, LogicalInterface, Network, Route, RouteKind, TABLE_MAIN};
use mwan3::uci;

fn problems(text: &str, network: Option<&Network>) -> Vec<Problem> {
    let package = uci::parse("mwan3", text.as_bytes());
    let (config, problems) = config::read(&package, "f");
    assert_eq!(problems, [], "reading has nothing to tell in {text:?}");
    config::check(&config, &package, "f", network)
}

fn told(text: &str) -> Vec<String> {
    problems(text, None).iter().map(Problem::to_string).collect()
}

/// Two uplinks, one of each family, and a policy with both.
const PLAIN: &str = "\
config interface wan
\toption enabled 1
config interface wan6
\toption enabled 1
\toption family ipv6
config member m
\toption interface wan
config member m6
\toption interface wan6
config policy both
\tlist use_member m
\tlist use_member m6
config rule all
\toption use_policy both
";

/// The warnings about `lines` behind rules that take nothing away from them.
fn rules_told(rules: &[(&str, &str)]) -> Vec<String> {
    let mut text = "config globals globals\n".to_owned();
    for (name, lines) in rules {
        text.push_str(&format!("config rule {name}\n\toption use_policy default\n"));
        for line in lines.split(" / ").filter(|line| !line.is_empty()) {
            text.push_str(&format!("\toption {line}\n"));
        }
    }
    told(&text)
}

fn is_shadowed(first: &str, second: &str) -> bool {
    let told = rules_told(&[("first", first), ("second", second)]);
    assert!(told.len() <= 1, "{told:?}");
    told.iter().any(|text| text.contains("rule 'second': can never match") && text.contains("first (line 2)"))
}

#[test]
fn a_plain_configuration_has_no_problems() {
    assert_eq!(told(PLAIN), Vec::<String>::new());
}

#[test]
fn the_shipped_configuration_has_only_notes() {
    let found = problems(include_str!("../files/etc/config/mwan3"), None);
    assert!(found.iter().all(|problem| problem.severity == Severity::Note), "{found:#?}");
    assert!(found.iter().any(|problem| problem.text.contains("has no enabled ipv6 member")), "{found:#?}");
    assert_eq!(config::exit_code(&found), 0);
}

#[test]
fn more_answers_than_targets_are_told() {
    assert_eq!(
        told("config interface wan\n\tlist track_ip 1.1.1.1\n\toption reliability 2\n"),
        [
            "f:3: interface 'wan', option reliability: 2 targets must answer, but there are only 1: never online"
        ]
    );
    assert_eq!(told("config interface wan\n\toption reliability 2\n"), Vec::<String>::new());
}

#[test]
fn targets_of_the_other_family_are_told() {
    let told = told(
        "config interface wan\n\tlist track_ip 1.1.1.1\n\tlist track_ip 2606::1\n\tlist track_ip a.example\n",
    );
    assert_eq!(
        told,
        ["f:2: interface 'wan', option track_ip: 2606::1 can never answer: the interface is ipv4"]
    );
}

#[test]
fn one_interface_twice_in_a_tier_is_told_once() {
    let member = |name: &str, metric: u32| {
        format!("config member {name}\n\toption interface wan\n\toption metric {metric}\n")
    };
    let base = format!(
        "config interface wan\n\toption enabled 1\n{}{}{}",
        member("a", 1),
        member("b", 1),
        member("c", 2)
    );
    let end = "config rule r\n\toption use_policy p\n\toption family ipv4\n";
    let twice = told(&format!(
        "{base}config policy p\n\tlist use_member a\n\tlist use_member b\n\tlist use_member c\n{end}"
    ));
    assert_eq!(twice.len(), 1, "{twice:?}");
    assert!(twice[0].contains("members a and b are both interface wan with metric 1"), "{twice:?}");
}

#[test]
fn unused_members_and_policies_are_notes() {
    let text = format!(
        "{PLAIN}config member spare\n\toption interface wan\nconfig policy idle\n\tlist use_member m\n"
    );
    let found = problems(&text, None);
    let texts: Vec<String> = found.iter().map(Problem::to_string).collect();
    assert_eq!(
        texts,
        ["f:15: member 'spare': no policy uses this member", "f:17: policy 'idle': no rule uses this policy"]
    );
    assert_eq!(config::exit_code(&found), 0);
}

#[test]
fn a_policy_named_as_a_special_target_is_told() {
    let told = told("config policy blackhole\nconfig rule r\n\toption use_policy blackhole\n");
    assert!(told[0].contains("policy 'blackhole': no rule can use this policy"), "{told:?}");
}

#[test]
fn a_policy_that_lacks_a_family_its_rules_send_is_told() {
    let one_family = PLAIN.replace("\tlist use_member m6\n", "");
    assert_eq!(
        told(&one_family),
        [
            "f:8: member 'm6': no policy uses this member",
            "f:10: policy 'both': has no ipv6 member, but rule all sends it ipv6 traffic, which is refused (last_resort \
             unreachable)",
        ]
    );
    for harmless in [
        one_family.clone() + "\toption family ipv4\n",
        one_family.clone() + "\toption dest_ip 192.0.2.0/24\n",
        one_family.replace("config policy both\n", "config policy both\n\toption last_resort default\n"),
    ] {
        assert_eq!(told(&harmless).len(), 1, "{:?}", told(&harmless));
    }
    let without_ipv6 = Network { has_ipv6: false, ..network() };
    assert_eq!(problems(&one_family, Some(&without_ipv6)).len(), 1);
}

#[test]
fn a_policy_whose_members_of_a_family_are_disabled_is_a_note() {
    let text = PLAIN.replace("config interface wan6\n\toption enabled 1\n", "config interface wan6\n");
    let found = problems(&text, None);
    assert_eq!((found.len(), found[0].severity), (1, Severity::Note));
    assert!(found[0].text.contains("has no enabled ipv6 member"), "{found:?}");
}

#[test]
fn a_policy_without_any_enabled_member_is_told() {
    let disabled = told(&PLAIN.replace("\toption enabled 1\n", ""));
    assert_eq!(disabled.len(), 1, "{disabled:?}");
    assert!(disabled[0].contains("policy 'both': has no member that is enabled: all its traffic is refused"));
    let empty =
        told("config policy p\n\toption last_resort blackhole\nconfig rule r\n\toption use_policy p\n");
    assert_eq!(empty, ["f:1: policy 'p': has no member: all its traffic is dropped (last_resort blackhole)"]);
}

#[test]
fn a_rule_behind_one_that_takes_everything_can_never_match() {
    assert_eq!(
        rules_told(&[("all", ""), ("web", "proto tcp / dest_port 443")]),
        ["f:4: rule 'web': can never match: all of its traffic is taken before by rule all (line 2)"]
    );
}

#[test]
fn a_rule_covered_by_an_earlier_one_is_shadowed() {
    for (first, second) in [
        ("", ""),
        ("dest_ip 0.0.0.0/0", "family ipv4"),
        ("family ipv4", "dest_ip 192.0.2.1"),
        ("src_ip 10.0.0.0/8", "src_ip 10.1.0.0/16,10.2.3.4"),
        ("src_ip 10.0.0.0/9,10.128.0.0/9", "src_ip 10.0.0.0/8"),
        ("src_ip 0.0.0.1/0.0.0.1", "src_ip 10.0.0.7"),
        ("src_ip 0.0.0.1/0.0.0.1", "src_ip 0.0.0.3/0.0.0.3"),
        ("src_ip 10.0.0.0/8", "src_ip 10.0.0.1/255.0.0.1"),
        ("dest_ip 2001:db8::/32", "dest_ip 2001:db8:1::/48"),
        ("proto tcp", "proto 6 / dest_port 80"),
        ("proto tcp / dest_port 1-1024", "proto tcp / dest_port 22,80-90"),
        ("proto udp / src_port 0-500,501-65535", "proto udp"),
        ("family ipv6 / proto 58", "family ipv6 / proto icmp"),
        ("", "src_iface lan / ipset s"),
        ("src_iface lan", "src_iface lan / proto tcp"),
        ("ipset s", "ipset s / src_ip 10.0.0.1"),
    ] {
        assert!(is_shadowed(first, second), "{first:?} covers {second:?}");
    }
}

#[test]
fn a_rule_with_traffic_of_its_own_is_not_shadowed() {
    for (first, second) in [
        ("family ipv4", ""),
        ("dest_ip 0.0.0.0/0", ""),
        ("dest_ip 192.0.2.1", "dest_ip 192.0.2.0/24"),
        ("src_ip 10.0.0.0/9", "src_ip 10.0.0.0/8"),
        ("src_ip 0.0.0.1/0.0.0.1", "src_ip 10.0.0.0/24"),
        ("src_ip 0.0.0.1/0.0.0.1", "src_ip 0.0.0.0/0.0.0.1"),
        ("proto tcp", "proto udp"),
        ("proto tcp", ""),
        ("proto icmp / family ipv4", "proto icmp"),
        ("proto tcp / dest_port 80", "proto tcp"),
        ("proto tcp / dest_port 80", "proto tcp / src_port 80"),
        ("src_iface lan", ""),
        ("src_iface lan", "src_iface guest"),
        ("ipset s", "ipset t"),
        ("ipset s", "ipset !s"),
        ("src_ip 10.0.0.1", "dest_ip 10.0.0.1"),
    ] {
        assert!(!is_shadowed(first, second), "{first:?} does not cover {second:?}");
    }
}

#[test]
fn two_rules_may_shadow_one_family_each() {
    let told =
        rules_told(&[("four", "family ipv4"), ("six", "family ipv6"), ("web", "proto tcp / dest_port 80")]);
    assert_eq!(
        told,
        [
            "f:8: rule 'web': can never match: all of its traffic is taken before by rule four (line 2) and six (line 5)"
        ]
    );
}

fn network() -> Network {
    let up =
        |device: &str| LogicalInterface { up: true, device: Some(device.to_owned()), ..Default::default() };
    Network {
        interfaces: [("wan".to_owned(), up("eth0")), ("wan6".to_owned(), up("eth0"))].into(),
        routes: vec![default_route(Family::Ipv4, "eth0", 10), default_route(Family::Ipv6, "eth0", 512)],
        has_ipv6: true,
        ..Default::default()
    }
}

fn default_route(family: Family, device: &str, metric: u32) -> Route {
    Route {
        family,
        table: TABLE_MAIN,
        kind: RouteKind::Unicast,
        destination: mwan3::address::Prefix::any(family),
        source: None,
        tos: 0,
        protocol: 3,
        scope: 0,
        metric,
        hops: vec![Hop { device: Some(device.to_owned()), weight: 1, ..Default::default() }],
        nexthop_id: None,
        preferred_source: None,
        metrics: Default::default(),
        other: Default::default(),
    }
}

fn told_with(text: &str, network: &Network) -> Vec<String> {
    problems(text, Some(network)).iter().map(Problem::to_string).collect()
}

#[test]
fn a_network_that_fits_has_no_problems() {
    assert_eq!(told_with(PLAIN, &network()), Vec::<String>::new());
}

#[test]
fn an_enabled_interface_that_the_host_does_not_have_is_told() {
    let mut network = network();
    network.interfaces.remove("wan6");
    let told = told_with(PLAIN, &network);
    assert_eq!(told, ["f:3: interface 'wan6': enabled, but the host has no interface of this name"]);
    // A dynamic sub-interface stands in for it.
    network.interfaces.insert("wan6_6".to_owned(), network.interfaces["wan"].clone());
    assert_eq!(told_with(PLAIN, &network), Vec::<String>::new());
}

#[test]
fn an_uplink_without_a_default_route_is_told_unless_its_gateway_is_known() {
    let mut network = network();
    network.routes.remove(0);
    let told = told_with(PLAIN, &network);
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("f:1: interface 'wan': table main has no ipv4 default route by eth0"),
        "{told:?}"
    );
    let with_gateway =
        PLAIN.replacen("\toption enabled 1\n", "\toption enabled 1\n\toption gateway 192.0.2.1\n", 1);
    assert_eq!(told_with(&with_gateway, &network), Vec::<String>::new());
    network.interfaces.get_mut("wan").unwrap().gateways = vec!["192.0.2.1".parse().unwrap()];
    assert_eq!(told_with(PLAIN, &network), Vec::<String>::new());
    // What is down has no route, and that is no mistake.
    *network.interfaces.get_mut("wan").unwrap() = LogicalInterface::default();
    assert_eq!(told_with(PLAIN, &network), Vec::<String>::new());
}

#[test]
fn uplinks_that_share_a_metric_or_a_device_are_told() {
    let second =
        PLAIN.replace("config member m\n", "config interface wanb\n\toption enabled 1\nconfig member m\n");
    let mut network = network();
    let up =
        |device: &str| LogicalInterface { up: true, device: Some(device.to_owned()), ..Default::default() };

    network.interfaces.insert("wanb".to_owned(), up("eth1"));
    network.routes.push(default_route(Family::Ipv4, "eth1", 10));
    let told = told_with(&second, &network);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("its default route has metric 10, as that of interface wan"), "{told:?}");

    network.routes[2].metric = 20;
    assert_eq!(told_with(&second, &network), Vec::<String>::new());

    network.interfaces.insert("wanb".to_owned(), up("eth0"));
    let told = told_with(&second, &network);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("uses device eth0 as interface wan does"), "{told:?}");
}

#[test]
fn routes_of_others_in_the_table_of_an_uplink_are_told() {
    let mut network = network();
    network.routes.push(Route { table: 1, ..default_route(Family::Ipv4, "eth0", 5) });
    network.routes.push(Route { table: 1, ..default_route(Family::Ipv6, "eth0", 5) });
    network.routes.push(Route { table: 77, ..default_route(Family::Ipv4, "eth0", 5) });
    assert_eq!(
        told_with(PLAIN, &network),
        [
            "f:1: interface 'wan': its routing table 1 also holds routes of somebody else's, such as: default dev eth0 \
          table 1 metric 5"
        ]
    );
}

#[test]
fn an_input_interface_that_the_host_does_not_have_is_told() {
    let told = told_with(&format!("{PLAIN}\toption src_iface lan\n"), &network());
    assert_eq!(told.len(), 1);
    assert!(
        told[0].starts_with("f:15: rule 'all', option src_iface: the host has no interface lan"),
        "{told:?}"
    );
}

#[test]
fn problems_come_in_the_order_of_the_file() {
    let text = "config policy default\nconfig interface wan\n\tlist track_ip ::1\nconfig member m\n\toption interface wan\n";
    let lines: Vec<_> = problems(text, None).iter().map(|problem| problem.line).collect();
    assert!(lines.len() >= 3 && lines.is_sorted(), "{lines:?}");
}

#[test]
fn a_thousand_rules_with_a_hundred_addresses_are_checked_in_a_moment() {
    let mut text = String::new();
    for rule in 0..1000 {
        text.push_str(&format!("config rule r{rule}\n\toption use_policy default\n"));
        for address in 0..100 {
            text.push_str(&format!("\tlist src_ip 10.{}.{}.{address}\n", rule / 256, rule % 256));
        }
    }
    assert_eq!(told(&text), Vec::<String>::new());
}

/// Two uplinks with metrics 1 and 2, and these lines in the policy.
fn policy_told(members: &str, lines: &str) -> Vec<String> {
    let lines: String = lines.split(" / ").map(|line| format!("\toption {line}\n")).collect();
    told(&format!(
        "config interface wan\n\toption enabled 1\nconfig interface wanb\n\toption enabled 1\n\
         config member m\n\toption interface wan\nconfig member m2\n\toption interface wanb\n\toption metric 2\n\
         config member same\n\toption interface wanb\n\
         config policy voice\n\tlist use_member '{members}'\n{lines}\
         config rule all\n\toption family ipv4\n\toption use_policy voice\n"
    ))
    .into_iter()
    .filter(|line| !line.contains("no policy uses this member"))
    .collect()
}

#[test]
fn a_hold_that_works_is_no_problem() {
    assert_eq!(policy_told("m m2", "hold 180"), Vec::<String>::new());
    assert_eq!(policy_told("m m2", "hold 180 / on_fail drop / on_recover drop"), Vec::<String>::new());
    assert_eq!(policy_told("m m2", "on_fail keep / on_recover 'drain 60'"), Vec::<String>::new());
}

#[test]
fn a_hold_that_cannot_work_is_told() {
    for (members, lines, wanted) in [
        ("m", "hold 180", "hold: no effect: there is no second metric to wait for"),
        ("m same", "hold 180", "no effect: there is no second metric"),
        ("m same", "hold 180", "several members have the same metric"),
        ("m m2", "hold 180 / last_resort default", "its traffic takes table main"),
        ("m m2", "hold 180 / on_recover keep", "on_recover: no effect beside hold"),
        ("m m2", "hold 180 / on_fail 'drain 60'", "on_fail: no effect beside hold"),
        ("m", "on_recover drop", "on_recover: no effect: there is only one metric"),
    ] {
        let told = policy_told(members, lines);
        assert!(told.iter().any(|text| text.contains(wanted)), "{members} / {lines}: {told:?}");
    }
}
