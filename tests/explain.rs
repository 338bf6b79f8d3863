//! What `mwan3 explain` says of packets that a laboratory seldom meets, of what is not known, and the bounds
//! of its JSON. Where packets really go is compared in tests/kernel_explain.rs.

use std::net::IpAddr;

use mwan3::config::{self, Config};
use mwan3::json::Json;
use mwan3::network::{IpRule, Network, RuleAction};
use mwan3::plan::explain::{Place, Stage};
use mwan3::plan::{Explanation, Health, Question, Situation, TierInUse, Verdict, explain};
use mwan3::report::{Flow, explain_json, explain_text, flow_text, flows_json, verdict};
use serde_json::{Value, json};

const GLOBALS: &str = "config globals 'globals'\n";

fn uplinks(count: usize) -> String {
    let uplink = |number| {
        format!(
            "config interface 'wan{number}'\n\toption enabled '1'\n\toption family 'ipv4'\n\
             config interface 'wan{number}v6'\n\toption enabled '1'\n\toption family 'ipv6'\n\
             config member 'm{number}'\n\toption interface 'wan{number}'\n\toption metric '{}'\n\
             config member 'm{number}v6'\n\toption interface 'wan{number}v6'\n",
            1 + number % 2
        )
    };
    let members: String = (1..=count)
        .map(|number| format!("\tlist use_member 'm{number}'\n\tlist use_member 'm{number}v6'\n"))
        .collect();
    let uplinks: String = (1..=count).map(uplink).collect();
    format!("{GLOBALS}\toption mmx_mask '0xFF00'\n{uplinks}config policy 'every'\n{members}")
}

fn read(text: &str) -> Config {
    let (config, problems) = config::read(&mwan3::uci::parse("mwan3", text.as_bytes()), "mwan3");
    assert!(problems.is_empty(), "{problems:?}");
    config
}

fn route(family: &str, destination: &str, device: &str, gateway: Option<&str>, table: u32) -> Value {
    json!({
        "family": family, "table": table, "kind": "unicast", "destination": destination, "protocol": 3,
        "hops": [{ "device": device, "gateway": gateway, "weight": 1 }],
    })
}

/// Uplinks wan1, wan2 … in both families and a LAN; table main leads to the first.
fn network(count: usize) -> Network {
    let mut interfaces = serde_json::Map::new();
    let mut routes = vec![
        route("ipv4", "192.168.1.0/24", "lan0", None, 254),
        route("ipv6", "fd00:1::/64", "lan0", None, 254),
    ];
    let mut devices = vec![json!({
        "index": 1, "name": "lan0", "up": true, "carrier": true,
        "addresses": [{ "address": "192.168.1.1", "length": 24 }, { "address": "fd00:1::1", "length": 64 }],
    })];
    for number in 1..=count {
        let (name, v4) = (format!("wan{number}"), format!("10.{number}.0"));
        for suffix in ["", "v6"] {
            interfaces.insert(format!("{name}{suffix}"), json!({ "up": true, "device": name }));
        }
        devices.push(json!({
            "index": 1 + number, "name": name, "up": true, "carrier": true,
            "addresses": [
                { "address": format!("{v4}.2"), "length": 24 },
                { "address": format!("2001:db8:{number}::2"), "length": 64 },
            ],
        }));
        routes.push(route("ipv4", &format!("{v4}.0/24"), &name, None, 254));
        for (family, any, gateway) in
            [("ipv4", "0.0.0.0/0", format!("{v4}.1")), ("ipv6", "::/0", format!("2001:db8:{number}::1"))]
        {
            let mut default = route(family, any, &name, Some(&gateway), 254);
            default["metric"] = number.into();
            routes.push(default);
        }
    }
    routes.push(json!({
        "family": "ipv4", "table": 255, "kind": "local", "destination": "192.168.1.1/32", "protocol": 2,
        "hops": [{ "device": "lan0", "weight": 1 }],
    }));
    let network = json!({ "interfaces": interfaces, "devices": devices, "routes": routes });
    Network::read(&network.to_string()).expect("a network")
}

fn packet(source: Option<&str>, destination: &str) -> Question {
    Question {
        source: source.map(|source| source.parse().expect("an address")),
        destination: destination.parse().expect("an address"),
        protocol: Some(6),
        source_port: Some(1234),
        destination_port: Some(443),
        icmp_type: None,
        input_device: source.map(|_| "lan0".to_owned()),
        mark: 0,
    }
}

struct Site {
    config: Config,
    network: Network,
    health: Health,
    other_rules: Vec<IpRule>,
}

impl Site {
    fn new(count: usize, rules: &str) -> Site {
        let config = read(&format!("{}{rules}", uplinks(count)));
        Site { config, network: network(count), health: Health::new(), other_rules: Vec::new() }
    }

    fn ask(&self, question: &Question) -> Explanation<'_> {
        self.ask_with(question, &|_, _| Some(false))
    }

    fn ask_with(&self, question: &Question, sets: &dyn Fn(&str, IpAddr) -> Option<bool>) -> Explanation<'_> {
        let Site { config, network, health, other_rules } = self;
        explain(&Situation { config, network, health, other_rules }, question, &sets)
    }

    fn text(&self, question: &Question) -> String {
        explain_text(&self.config, question, &self.ask(question))
    }
}

const WEB: &str =
    "config rule 'web'\n\toption proto 'tcp'\n\toption dest_port '443'\n\toption use_policy 'every'\n";
const ALL: &str = "config rule 'all'\n\toption use_policy 'every'\n";

#[test]
fn a_text_names_rule_policy_tier_shares_and_the_rules_before() {
    let voip = "config rule 'voip'\n\toption proto 'udp'\n\toption dest_port '5060-5061'\n\toption use_policy 'every'\n";
    let site = Site::new(3, &format!("{voip}{ALL}"));
    let expected = "tcp from 192.168.1.10 port 1234 by lan0 to 1.1.1.1 port 443
rule all (2 of 2), policy every: uplink
  wan2: mark 0x300, table 3, via 10.2.0.1 dev wan2, source 10.2.0.2
  wan1 is standby (tier 2)
  wan3 is standby (tier 2)
Why:
  rule all is the first that matches, 1 before it do not
  tier 1 is the lowest of policy every with a usable member
Rules that do not match:
  voip (1): protocol udp: it is tcp
";
    assert_eq!(site.text(&packet(Some("192.168.1.10"), "1.1.1.1")), expected);
}

#[test]
fn without_usable_members_the_last_resort_is_told() {
    let mut site = Site::new(2, ALL);
    for name in ["wan1", "wan2"] {
        site.health.insert(name.to_owned(), Verdict::Offline);
    }
    let question = packet(Some("192.168.1.10"), "1.1.1.1");
    assert_eq!(verdict(&site.ask(&question)), "unreachable");
    let text = site.text(&question);
    assert!(text.contains("no member of policy every is usable: its last resort is unreachable"), "{text}");
    assert!(text.contains("wan1 is offline (tier 2)"), "{text}");
    // The router's own packets leave by a member's device anyhow, and may try.
    let own = site.ask(&packet(None, "1.1.1.1"));
    assert_eq!((verdict(&own), own.source), ("main", "10.1.0.2".parse().ok()));
    // The other family is not concerned.
    assert_eq!(verdict(&site.ask(&packet(Some("fd00:1::10"), "2001:db8:ee::1"))), "uplink");
}

#[test]
fn a_policy_that_waits_is_not_said_to_have_nothing_usable() {
    let mut site = Site::new(2, ALL);
    site.health.insert("wan2".to_owned(), Verdict::OnProbation);
    let text = site.text(&packet(Some("192.168.1.10"), "1.1.1.1"));
    assert!(text.contains("  wan1: mark 0x100") && text.contains("wan2 is on probation (tier 1)"), "{text}");
    let wanted = "tier 2 is the lowest of policy every with a usable member that is not on probation";
    assert!(text.contains(wanted), "{text}");

    let mut site = Site::new(2, &format!("\toption hold '180'\n{ALL}"));
    site.health.insert("wan2".to_owned(), Verdict::Offline);
    site.health.tiers.extend(TierInUse::parse("every ipv4 tier=none left=1 until_ms=180000"));
    let text = site.text(&packet(Some("192.168.1.10"), "1.1.1.1"));
    assert!(text.contains("policy every uses no member just now: its last resort is unreachable"), "{text}");
    assert!(text.contains("it left metric 1 and holds") && !text.contains("is usable"), "{text}");
}

#[test]
fn neighbour_discovery_is_left_alone() {
    let site = Site::new(2, ALL);
    let asked = |icmp_type| Question {
        protocol: Some(58),
        icmp_type: Some(icmp_type),
        ..packet(Some("fd00:1::10"), "2001:db8:ee::1")
    };
    for (icmp_type, is_left_alone) in
        [(128, false), (130, false), (131, true), (135, true), (137, true), (138, false)]
    {
        let is_stage = site.ask(&asked(icmp_type)).stage == Stage::NeighbourDiscovery;
        assert_eq!(is_stage, is_left_alone, "type {icmp_type}");
    }
}

#[test]
fn marks_of_others_are_obeyed_and_foreign_bits_are_none_of_ours() {
    let site = Site::new(2, ALL);
    let asked = |mark| Question { mark, ..packet(Some("192.168.1.10"), "1.1.1.1") };
    let way = |mark: u32| {
        let answer = site.ask(&asked(mark));
        (answer.stage == Stage::Marked, verdict(&answer), answer.ways[0].interface)
    };
    assert_eq!(way(0x100), (true, "uplink", Some("wan1")));
    assert_eq!(way(0xff00), (true, "main", None));
    assert_eq!(way(0xfe00), (true, "unreachable", None));
    assert_eq!(way(0xfd00), (true, "blackhole", None));
    assert_eq!(way(0x80), (false, "uplink", Some("wan2")));
    // To a known network only the connection learns the mark.
    let to_lan = Question { mark: 0x100, ..packet(Some("10.1.0.2"), "192.168.1.10") };
    assert_eq!(site.ask(&to_lan).ways[0].mark, 0xff00);
}

#[test]
fn what_a_rule_asks_and_nobody_told_is_said() {
    let site = Site::new(2, &format!("{WEB}{ALL}"));
    let vague = Question { destination_port: None, ..packet(Some("192.168.1.10"), "1.1.1.1") };
    let answer = site.ask(&vague);
    let possible: Vec<_> = answer.possible.iter().map(|one| (&*one.rule.name, &*one.test)).collect();
    assert_eq!(possible, [("web", "destination port 443")]);
    assert!(matches!(&answer.stage, Stage::Rule(decision) if decision.rule.name == "all"));
    let text = site.text(&vague);
    assert!(
        text.contains("Rules that would take it if more were known:\n  web (1): destination port 443\n"),
        "{text}"
    );
    // Known to fail is not unknown.
    let udp = Question { protocol: Some(17), ..vague.clone() };
    assert!(site.ask(&udp).possible.is_empty());
    let no_protocol = Question { protocol: None, ..vague };
    assert_eq!(site.ask(&no_protocol).possible[0].test, "protocol tcp");
}

#[test]
fn sets_are_asked_by_their_name_in_the_kernel_and_unknown_ones_are_said() {
    let rule = "config rule 'stream'\n\toption family 'ipv4'\n\toption ipset 'streaming'\n\toption use_policy 'every'\n";
    let site = Site::new(2, &format!("{rule}{ALL}"));
    let question = packet(Some("192.168.1.10"), "1.1.1.1");
    let rule_with = |holds: Option<bool>| {
        let ask = move |set: &str, _: IpAddr| if set == "streaming" { holds } else { Some(false) };
        let answer = site.ask_with(&question, &ask);
        let Stage::Rule(decision) = &answer.stage else { panic!("{answer:?}") };
        (decision.rule.name.clone(), answer.possible.len(), answer.passed.len())
    };
    assert_eq!(rule_with(Some(true)), ("stream".to_owned(), 0, 0));
    assert_eq!(rule_with(Some(false)), ("all".to_owned(), 0, 1));
    assert_eq!(rule_with(None), ("all".to_owned(), 1, 0));
    let dynamic = site.ask_with(&question, &|set, _| Some(set == "dynamic_ipv4"));
    assert_eq!(dynamic.stage, Stage::KnownDestination { set: "dynamic_ipv4".to_owned() });
    let nobody_knows = site.ask_with(&question, &|_, _| None);
    assert!(nobody_knows.notes.iter().any(|note| note.contains("dynamic_ipv4")), "{:?}", nobody_knows.notes);
}

#[test]
fn a_sticky_rule_that_remembers_leaves_one_way() {
    let rule = "config rule 'sticky'\n\toption sticky '1'\n\toption use_policy 'every'\n";
    let site = Site::new(4, rule);
    let question = packet(Some("192.168.1.10"), "1.1.1.1");
    assert_eq!(site.ask(&question).ways.len(), 2);
    let answer = site.ask_with(&question, &|set, _| Some(set == "sticky_sticky_ipv4_wan4"));
    assert_eq!(answer.ways.iter().map(|way| way.interface).collect::<Vec<_>>(), [Some("wan4")]);
    // Of an uplink that is not in the active tier nothing is asked.
    let answer = site.ask_with(&question, &|set, _| Some(set == "sticky_sticky_ipv4_wan1"));
    assert_eq!(answer.ways.len(), 2);
}

#[test]
fn other_peoples_ip_rules_come_first_where_they_stand_first() {
    let mut site = Site::new(2, ALL);
    let mut vpn = IpRule::new(mwan3::address::Family::Ipv4, 100, RuleAction::Lookup(99), 3);
    vpn.from = "192.168.1.66/32".parse().ok();
    site.other_rules.push(vpn);
    let one = serde_json::json!({
        "interfaces": {}, "devices": [], "routes": [route("ipv4", "0.0.0.0/0", "vpn0", None, 99)]
    });
    site.network.routes.extend(Network::read(&one.to_string()).expect("a network").routes);
    let device = |source: &str| match site.ask(&packet(Some(source), "1.1.1.1")).ways.remove(0).place {
        Place::Leaves(hop) => hop.devices.concat(),
        other => panic!("{other:?}"),
    };
    assert_eq!(device("192.168.1.66"), "vpn0");
    assert_eq!(device("192.168.1.67"), "wan2");
}

#[test]
fn an_uplinks_table_without_an_answer_is_told_as_trouble() {
    let mut site = Site::new(2, ALL);
    site.network
        .routes
        .retain(|route| !(route.is_default() && route.devices().any(|device| device == "wan2")));
    let answer = site.ask(&packet(Some("192.168.1.10"), "1.1.1.1"));
    assert_eq!((answer.ways[0].interface, verdict(&answer)), (Some("wan2"), "unreachable"));
    let text = site.text(&packet(Some("192.168.1.10"), "1.1.1.1"));
    assert!(text.contains("the table of wan2 has no way to the destination"), "{text}");
}

#[test]
fn the_json_has_no_nulls_no_fractions_and_stays_small() {
    let long = "a".repeat(60);
    let addresses =
        (0..40).map(|number| format!("\tlist src_ip '2001:db8:ffff:ffff:ffff:ffff:{number}:1'\n"));
    let addresses: String = addresses.collect();
    let rule = |number: usize| {
        format!(
            "config rule 'r{number}_{long}'\n{addresses}\toption family 'ipv6'\n\toption use_policy 'every'\n"
        )
    };
    let rules: String = (0..300).map(rule).collect();
    let site = Site::new(60, &format!("{rules}{ALL}"));
    for question in [
        packet(Some("fd00:1::10"), "2001:db8:ee::1"),
        packet(Some("192.168.1.10"), "1.1.1.1"),
        packet(None, "1.1.1.1"),
        packet(Some("192.168.1.10"), "192.168.1.1"),
        Question { source: None, protocol: None, ..packet(Some("::1"), "2001:db8:ee::1") },
    ] {
        let value = parsed(&explain_json(&site.config, &question, &site.ask(&question)));
        let size = value.to_string().len();
        assert!(size < 8_192, "{size} bytes");
        assert_plain(&value);
        let listed = |name: &str| value[name].as_array().expect("a list").len() as u64;
        assert_eq!(value["stage"] == "rule", value["verdict"] == "uplink");
        if value["stage"] == "rule" {
            let all = listed("not_matched") + listed("maybe");
            let more =
                value["not_matched_more"].as_u64().unwrap_or(0) + value["maybe_more"].as_u64().unwrap_or(0);
            assert_eq!(all + more, 300, "{value}");
            assert_eq!(value["rule"], "all");
            assert_eq!(
                listed("ways") + value["ways_more"].as_u64().unwrap_or(0),
                if question.family() == mwan3::address::Family::Ipv4 { 30 } else { 60 }
            );
        }
    }
}

fn parsed(json: &Json) -> Value {
    serde_json::from_str(&json.to_string()).expect("JSON")
}

fn assert_plain(value: &Value) {
    match value {
        Value::Null => panic!("a null"),
        Value::Number(number) => assert!(number.is_u64(), "{number}"),
        Value::Array(values) => values.iter().for_each(assert_plain),
        Value::Object(values) => values.values().for_each(assert_plain),
        Value::Bool(_) | Value::String(_) => {}
    }
}

#[test]
fn a_connection_keeps_its_uplink_and_is_compared_with_todays_rules() {
    let site = Site::new(2, ALL);
    let flow = |mark| Flow {
        question: Question { mark, ..packet(Some("192.168.1.10"), "1.1.1.1") },
        is_answered: true,
        answered_to: "10.1.0.2".parse().expect("an address"),
    };
    let today = |flow: &Flow| site.ask(&Question { mark: 0, ..flow.question.clone() });
    let text = |flow: &Flow| flow_text(&site.config, flow, &today(flow));
    assert_eq!(
        text(&flow(0x300)),
        "tcp from 192.168.1.10 port 1234 to 1.1.1.1 port 443\n  \
         its connection carries mark 0x300: uplink wan2, until it ends, source translated to 10.1.0.2\n  \
         today's rules: rule all (1 of 1), policy every: wan2: the same\n"
    );
    assert!(text(&flow(0x100)).ends_with("wan2: ANOTHER WAY\n"));
    assert!(text(&flow(0)).contains("carries no mark of ours"));
    assert!(text(&flow(0x700)).contains("which is no uplink's"));
    let flows: Vec<_> = (0..200).map(|_| flow(0x300)).map(|flow| (flow.clone(), today(&flow))).collect();
    let value = parsed(&flows_json(&site.config, &flows));
    assert!(value.to_string().len() < 8_192);
    assert_plain(&value);
    let shown = value["flows"].as_array().expect("a list").len() as u64;
    assert_eq!(shown + value["flows_more"].as_u64().expect("a number"), 200);
    assert_eq!(value["flows"][0]["interface"], "wan2");
    assert_eq!(value["flows"][0]["same"], true);
}
