//! The reports' texts against the shell package's formats, from states made by hand.

use mwan3::config::Config;
use mwan3::json::Json;
use mwan3::network::{Network, OUR_PROTOCOL};
use mwan3::nft;
use mwan3::plan::{Health, Plan, TierInUse, Verdict, counter_chain, plan};
use mwan3::report::{
    Snapshot, Track, TrackedTarget, interfaces_json, interfaces_text, members_json, policies_json,
    policies_text, rules_text,
};
use mwan3::{config, uci};

fn config(text: &str) -> Config {
    let (config, problems) = config::read(&uci::parse("mwan3", text.as_bytes()), "mwan3");
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{problems:?}");
    config
}

/// Three uplinks and a LAN.
fn network() -> Network {
    let interface = |device: &str, address: &str| {
        format!(
            r#"{{ "up": true, "device": "{device}", "uptime_s": 6100,
                 "addresses": [{{ "address": "{address}", "length": 24 }}] }}"#
        )
    };
    let device = |index: u32, name: &str| {
        format!(r#"{{ "index": {index}, "name": "{name}", "up": true, "carrier": true }}"#)
    };
    let route = |device: &str, gateway: &str| {
        format!(
            r#"{{ "family": "ipv4", "table": 254, "kind": "unicast", "destination": "0.0.0.0/0", "protocol": 4,
                 "metric": 0, "hops": [{{ "device": "{device}", "gateway": "{gateway}" }}] }}"#
        )
    };
    let text = format!(
        r#"{{ "interfaces": {{ "wan": {}, "wanb": {}, "wanc": {}, "lan": {} }},
             "devices": [{}, {}, {}, {}], "routes": [{}, {}, {}] }}"#,
        interface("eth0", "10.101.0.2"),
        interface("eth1", "10.102.0.2"),
        interface("eth2", "10.103.0.2"),
        interface("br-lan", "192.168.1.1"),
        device(1, "eth0"),
        device(2, "eth1"),
        device(3, "eth2"),
        device(4, "br-lan"),
        route("eth0", "10.101.0.1"),
        route("eth1", "10.102.0.1"),
        route("eth2", "10.103.0.1"),
    );
    Network::read(&text).expect("a network")
}

/// The router once it holds the plan, at an uptime of 10,000 s.
fn snapshot(text: &str, health: &[(&str, Verdict)]) -> Snapshot {
    let (config, network) = (config(text), network());
    let health: Health = health.iter().map(|(name, verdict)| ((*name).to_owned(), *verdict)).collect();
    let Plan { ruleset, rules, routes, .. } = plan(&config, &network, &health);
    let ruleset = loaded(&ruleset.expect("a table"));
    let routes: Vec<_> =
        routes.into_iter().map(|route| mwan3::network::Route { protocol: OUR_PROTOCOL, ..route }).collect();
    Snapshot { config, network, health, ruleset, rules, routes, uptime_s: 10_000, ..Snapshot::default() }
}

fn loaded(table: &nft::Table) -> nft::Observed {
    let rule = |rule: &nft::Rule| nft::ObservedRule {
        fingerprint: Some(rule.fingerprint()),
        counter: rule.statements.contains(&nft::Statement::Counter).then_some((0, 0)),
    };
    let chains = table.chains.iter().map(|chain| {
        let rules = chain.rules.iter().map(rule).collect();
        (chain.name.clone(), nft::ObservedChain { base: chain.base.clone(), is_foreign: false, rules })
    });
    nft::Observed { exists: true, chains: chains.collect(), ..nft::Observed::default() }
}

fn count(snapshot: &mut Snapshot, rule: &str, packets: u64, bytes: u64) {
    let chain = counter_chain(rule, mwan3::address::Family::Ipv4);
    let rules = &mut snapshot.ruleset.chains.get_mut(&chain).expect("the rule is loaded").rules;
    let counter = rules.iter_mut().find_map(|rule| rule.counter.as_mut()).expect("it counts");
    *counter = (packets, bytes);
}

const RULES: &str = "
config interface 'wan'
	option enabled '1'
config interface 'wanb'
	option enabled '1'
config member 'wan_m1'
	option interface 'wan'
config policy 'balanced'
	list use_member 'wan_m1'
config policy 'failover'
	list use_member 'wan_m1'
config rule 'https'
	option family 'ipv4'
	option sticky '1'
	option proto 'tcp'
	option dest_port '443'
	option use_policy 'balanced'
config rule 'dns'
	option family 'ipv4'
	option proto 'udp'
	option src_iface 'lan'
	option src_ip '192.168.1.0/25'
	option dest_port '53,5000:6000'
	option use_policy 'failover'
config rule 'direct'
	option family 'ipv4'
	option dest_ip '203.0.113.0/24'
	option use_policy 'default'
config rule 'rest'
	option family 'ipv4'
	option use_policy 'balanced'
";

#[test]
fn rules_stand_in_the_columns_of_iptables() {
    let mut snapshot = snapshot(RULES, &[]);
    count(&mut snapshot, "rest", 12, 744);
    assert_eq!(
        rules_text(&snapshot, false),
        "Active ipv4 user rules:\n\
         \x20   0     0 S https  tcp  --  *      *       0.0.0.0/0            0.0.0.0/0            multiport dports 443 \n\
         \x20   0     0 - failover  udp  --  br-lan *       192.168.1.0/25       0.0.0.0/0            multiport dports 53,5000:6000 \n\
         \x20   0     0 MARK       all  --  *      *       0.0.0.0/0            203.0.113.0/24       \n\
         \x20  12   744 - balanced  all  --  *      *       0.0.0.0/0            0.0.0.0/0            \n\
         \n\
         Active ipv6 user rules:\n\n"
    );
}

#[test]
fn large_counts_are_abbreviated_as_iptables_does() {
    let mut snapshot = snapshot(RULES, &[]);
    for (packets, bytes, shown) in [
        (99_999, 100_000, "99999  100K "),
        (100_499, 100_500, " 100K  101K "),
        (9_998_499, 9_998_500, "9998K 9999K "),
        (9_999_499, 9_999_500, "9999K   10M "),
        (9_999_000_000, 9_999_499_999, "9999M   10G "),
        (9_999_000_000_000, 9_999_499_999_999, "9999G   10T "),
        (9_999_000_000_000_000, 1, "9999T     1 "),
    ] {
        count(&mut snapshot, "rest", packets, bytes);
        let text = rules_text(&snapshot, false);
        let line = text.lines().nth(4).expect("five lines");
        assert!(line.starts_with(&format!("{shown}- balanced")), "{packets} {bytes}: {line}");
    }
}

#[test]
fn rules_of_a_service_that_does_not_run_are_not_shown() {
    let mut snapshot = snapshot(RULES, &[]);
    snapshot.ruleset = nft::Observed::default();
    assert_eq!(rules_text(&snapshot, false), "Active ipv4 user rules:\n\nActive ipv6 user rules:\n\n");
}

#[test]
fn a_kernel_without_ipv6_has_no_such_part() {
    let mut snapshot = snapshot(RULES, &[]);
    snapshot.network.has_ipv6 = false;
    assert!(!rules_text(&snapshot, false).contains("ipv6"));
    assert!(!policies_text(&snapshot).contains("ipv6"));
}

const POLICIES: &str = "
config interface 'wan'
	option enabled '1'
config interface 'wanb'
	option enabled '1'
config interface 'wanc'
	option enabled '1'
config member 'a'
	option interface 'wan'
config member 'b'
	option interface 'wanb'
config member 'c'
	option interface 'wanc'
config member 'a3'
	option interface 'wan'
	option weight '3'
config member 'b2'
	option interface 'wanb'
	option weight '2'
config member 'b_later'
	option interface 'wanb'
	option metric '2'
config policy 'thirds'
	list use_member 'a'
	list use_member 'b'
	list use_member 'c'
config policy 'balanced'
	list use_member 'a3'
	list use_member 'b2'
config policy 'failover'
	list use_member 'a'
	list use_member 'b_later'
config policy 'Wan_or_nothing'
	list use_member 'a'
	option last_resort 'blackhole'
config policy 'wan_or_main'
	list use_member 'a'
	option last_resort 'default'
config policy 'wan_or_error'
	list use_member 'a'
";

#[test]
fn policies_show_their_shares_the_last_member_first() {
    let text = policies_text(&snapshot(POLICIES, &[]));
    let expected = "Current ipv4 policies:\n\
        Wan_or_nothing:\n wan (100%)\n\
        balanced:\n wanb (40%)\n wan (60%)\n\
        failover:\n wan (100%)\n\
        thirds:\n wanc (33%)\n wanb (33%)\n wan (33%)\n\
        wan_or_error:\n wan (100%)\n\
        wan_or_main:\n wan (100%)\n\
        \n\
        Current ipv6 policies:\n";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn a_policy_without_a_usable_member_shows_its_last_resort() {
    let text = policies_text(&snapshot(POLICIES, &[("wan", Verdict::Offline)]));
    let expected = "Current ipv4 policies:\n\
        Wan_or_nothing:\n blackhole\n\
        balanced:\n wanb (100%)\n\
        failover:\n wanb (100%)\n\
        thirds:\n wanc (50%)\n wanb (50%)\n\
        wan_or_error:\n unreachable\n\
        wan_or_main:\n default\n\
        \n";
    assert!(text.starts_with(expected), "{text}");
}

const INTERFACES: &str = "
config interface 'wan'
	option enabled '1'
	list track_ip '1.1.1.1'
config interface 'wanb'
	option enabled '1'
config interface 'wanc'
	option enabled '0'
	list track_ip '1.1.1.1'
";

fn track(status: &str, started: u64) -> Track {
    Track {
        is_alive: true,
        started: Some(started),
        status: Some(status.to_owned()),
        policy_state: Some(if status == "online" { "online" } else { "offline" }.to_owned()),
        online_since_s: if status == "online" { 9_998 } else { 0 },
        ..Track::default()
    }
}

#[test]
fn interfaces_tell_status_tracking_and_what_is_missing() {
    let line = |health: &[(&str, Verdict)], track: Track, spoil: fn(&mut Snapshot)| {
        let mut snapshot = snapshot(INTERFACES, health);
        snapshot.tracks.insert("wan".to_owned(), track);
        spoil(&mut snapshot);
        let text = interfaces_text(&snapshot);
        assert!(
            text.starts_with("Interface status:\n interface wan is ") && text.ends_with(" (31)\n\n"),
            "{text}"
        );
        text.lines().nth(1).expect("a line").to_owned()
    };
    let whole = |_: &mut Snapshot| {};
    let nothing = |snapshot: &mut Snapshot| {
        snapshot.rules.clear();
        snapshot.routes.clear();
        snapshot.ruleset = nft::Observed::default();
    };
    let offline = [("wan", Verdict::Offline)];
    let down = [("wan", Verdict::TakenDown)];
    for (found, expected) in [
        (
            line(&[], track("online", 1), whole),
            "online and tracking is active (online 00h:00m:02s, uptime 01h:41m:40s)",
        ),
        (line(&offline, track("offline", 1), whole), "offline and tracking is active"),
        (line(&[], track("disconnecting", 1), whole), "disconnecting and tracking is active"),
        (line(&offline, track("connecting", 1), whole), "connecting and tracking is active"),
        // With rules, routes and chain gone; the shell package's chain stayed behind (23).
        (line(&down, track("disabled", 0), whole), "disabled and tracking is paused (31)"),
        (line(&[], Track::default(), nothing), "unknown and tracking is down (31)"),
        (
            line(&offline, track("offline", 1), |snapshot| snapshot.routes.clear()),
            "offline and tracking is active (16)",
        ),
        (
            line(&offline, track("offline", 1), |snapshot| {
                snapshot.rules.retain(|rule| rule.priority > 2000)
            }),
            "offline and tracking is active (1)",
        ),
        (
            line(&offline, track("offline", 1), |snapshot| {
                snapshot.rules.retain(|rule| rule.priority < 2000)
            }),
            "offline and tracking is active (6)",
        ),
        (
            line(&offline, track("offline", 1), |snapshot| _ = snapshot.ruleset.chains.remove("from_wan")),
            "offline and tracking is active (8)",
        ),
        // A process that died tells nothing, whatever it wrote before.
        (
            line(&offline, Track { is_alive: false, ..track("offline", 1) }, whole),
            "offline and tracking is down",
        ),
    ] {
        assert_eq!(found, format!(" interface wan is {expected}"));
    }
}

#[test]
fn an_interface_without_targets_is_online_while_it_is_up() {
    let text = interfaces_text(&snapshot(INTERFACES, &[]));
    let expected =
        " interface wanb is online and tracking is disabled (online 01h:41m:40s, uptime 01h:41m:40s)\n";
    assert!(text.contains(expected), "{text}");
    let text = interfaces_text(&snapshot(INTERFACES, &[("wanb", Verdict::TakenDown)]));
    assert!(text.contains(" interface wanb is unknown and tracking is disabled (31)\n"), "{text}");
}

/// Every state that a tracker writes, as ubus tells it: to the byte, in the shell package's order.
#[test]
fn ubus_tells_every_state_of_an_interface() {
    let text = "config interface 'wan'\n\toption enabled '1'\n\tlist track_ip '1.1.1.1'\n";
    for (status, started, tracking, is_running) in [
        (Some("online"), Some(1), "active", true),
        (Some("disconnecting"), Some(1), "active", true),
        (Some("offline"), Some(1), "active", true),
        (Some("connecting"), Some(1), "active", true),
        (Some("disabled"), Some(0), "paused", false),
        (None, None, "down", false),
    ] {
        let mut snapshot = snapshot(text, &[]);
        let (online, offline) = match status {
            Some("online" | "disconnecting") => (100, 0),
            Some(_) => (0, 200),
            None => (0, 0),
        };
        let since = |ago: u64| if ago == 0 { 0 } else { 10_000 - ago };
        let target =
            TrackedTarget { status: status.map(|_| "skipped".to_owned()), latency_ms: 23, loss_percent: 5 };
        let track = Track {
            is_alive: started.is_some(),
            started,
            status: status.map(str::to_owned),
            online_since_s: since(online),
            offline_since_s: since(offline),
            score: 7,
            lost: 2,
            turn: 9,
            time_s: 9_996,
            targets: [("1.1.1.1".to_owned(), target)].into(),
            ..Track::default()
        };
        snapshot.tracks.insert("wan".to_owned(), track);
        assert_eq!(
            interfaces_json(&snapshot, None).to_string(),
            format!(
                "{{\"wan\":{{\"age\":4,\"online\":{online},\"offline\":{offline},\"uptime\":6100,\"score\":7,\"lost\":2,\
                 \"turn\":9,\"status\":\"{}\",\"enabled\":true,\"running\":{is_running},\"tracking\":\"{tracking}\",\
                 \"up\":true,\"track_ip\":[{{\"ip\":\"1.1.1.1\",\"status\":\"{}\",\"latency\":23,\"packetloss\":5}}]}}}}",
                status.unwrap_or("unknown"),
                if status.is_some() { "skipped" } else { "unknown" },
            )
        );
    }
    // A clock of the future is not a negative age.
    let mut snapshot = snapshot(text, &[]);
    let track = Track {
        is_alive: true,
        started: Some(1),
        time_s: 20_000,
        online_since_s: 20_000,
        ..Track::default()
    };
    snapshot.tracks.insert("wan".to_owned(), track);
    let told = interfaces_json(&snapshot, Some("wan")).to_string();
    assert!(told.starts_with("{\"wan\":{\"age\":0,\"online\":0,"), "{told}");
}

const HELD: &str = "\
config interface wan
\toption enabled 1
\toption failback_delay 60
config interface wanb
\toption enabled 1
config member m
\toption interface wan
config member mb
\toption interface wanb
\toption metric 2
config policy voice
\tlist use_member 'm mb'
\toption hold 180
config policy web
\tlist use_member 'm mb'
";

#[test]
fn a_policy_that_waits_says_for_how_long() {
    let mut snapshot = snapshot(HELD, &[("wan", Verdict::Offline)]);
    snapshot.health.tiers.extend(TierInUse::parse("voice ipv4 tier=none left=1 until_ms=10179400"));
    let text = policies_text(&snapshot);
    let wanted =
        "voice:\n unreachable\n  held: metric 1 was left, another one is used in 179 s\nweb:\n wanb (100%)\n";
    assert!(text.contains(wanted), "{text}");
    let json = parsed(&policies_json(&snapshot));
    let held = serde_json::json!([{ "policy": "voice", "family": "ipv4", "left": 1, "remaining": 179 }]);
    assert_eq!(json["held"], held);
    let without = policies_json(&self::snapshot(&HELD.replace("\toption hold 180\n", ""), &[]));
    assert!(without.get("held").is_none(), "as the shell package's clients know it: {without}");
}

#[test]
fn an_interface_on_probation_says_so_in_a_line_of_its_own() {
    let on_probation = snapshot(HELD, &[("wan", Verdict::OnProbation)]);
    let text = interfaces_text(&on_probation);
    let mut lines = text.lines().skip_while(|line| !line.contains("interface wan "));
    assert!(lines.next().is_some_and(|line| line.contains("tracking is disabled")), "{text}");
    assert_eq!(lines.next(), Some("  on probation: policies that have another way wait for it"));
    assert!(policies_text(&on_probation).contains("web:\n wanb (100%)\n"));
    let json = parsed(&interfaces_json(&on_probation, None));
    assert_eq!((&json["wan"]["on_probation"], json["wanb"].get("on_probation")), (&true.into(), None));
}

#[test]
fn shares_for_programs_are_those_that_flows_get_now() {
    let told = |snapshot: &Snapshot, policy: &str| -> Vec<(u64, String)> {
        let json = parsed(&members_json(snapshot, Some(policy)));
        let members = json[0]["members"].as_array().cloned().unwrap_or_default();
        let told = members.iter().map(|member| {
            (member["actual"].as_u64().unwrap_or(1), member["role"].as_str().unwrap_or_default().to_owned())
        });
        told.collect()
    };
    let (active, standby) = ((1000, "active".to_owned()), (0, "standby".to_owned()));
    let on_probation = snapshot(HELD, &[("wan", Verdict::OnProbation)]);
    assert_eq!(told(&on_probation, "web"), [standby.clone(), active]);
    let mut held = snapshot(HELD, &[("wan", Verdict::Offline)]);
    held.health.tiers.extend(TierInUse::parse("voice ipv4 tier=none left=1 until_ms=10179400"));
    assert_eq!(told(&held, "voice"), [(0, "down".to_owned()), standby]);
}

fn parsed(json: &Json) -> serde_json::Value {
    serde_json::from_str(&json.to_string()).expect("JSON")
}
