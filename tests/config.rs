//! From /etc/config/mwan3 to the typed configuration: defaults, every option, and what each mistake costs.

use std::net::IpAddr;

use mwan3::address::{Family, PortRange};
use mwan3::config::options::{self, DefaultValue, SectionKind, ValueType};
use mwan3::config::{
    self, Config, DailyWindow, Failback, FlushOn, Globals, Interface, LastResort, Problem, Protocol, Rule,
    SessionFate, SessionPolicy, Severity, Target, TrackMethod,
};
use mwan3::json::Json;
use mwan3::uci;
use proptest::prelude::*;

const FILE: &str = "/etc/config/mwan3";

fn read(text: &str) -> (Config, Vec<Problem>) {
    config::read(&uci::parse("mwan3", text.as_bytes()), FILE)
}

fn read_clean(text: &str) -> Config {
    let (config, problems) = read(text);
    assert_eq!(told(&problems), Vec::<String>::new(), "in {text:?}");
    config
}

fn theirs(json: &Json) -> serde_json::Value {
    serde_json::from_str(&json.to_string()).expect("JSON")
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(Problem::to_string).collect()
}

fn interface(lines: &str) -> (Option<Interface>, Vec<String>) {
    let (config, problems) = read(&format!("config interface wan\n{}", indented(lines)));
    (config.interfaces.into_iter().next(), told(&problems))
}

/// A rule to a policy that exists.
fn rule(lines: &str) -> (Option<Rule>, Vec<String>) {
    let (config, problems) =
        read(&format!("config policy p\nconfig rule r\n\toption use_policy p\n{}", indented(lines)));
    (config.rules.into_iter().next(), told(&problems))
}

fn clean_rule(lines: &str) -> Rule {
    let (rule, problems) = rule(lines);
    assert_eq!(problems, Vec::<String>::new(), "in {lines:?}");
    rule.expect("the rule is kept")
}

fn indented(lines: &str) -> String {
    lines.split(" / ").map(|line| format!("\t{line}\n")).collect()
}

#[test]
fn the_shipped_configuration_reads_without_a_problem() {
    let config = read_clean(include_str!("../files/etc/config/mwan3"));
    let interfaces: Vec<_> = config
        .interfaces
        .iter()
        .map(|i| (&*i.name, i.id, i.enabled, i.family, i.tracking.reliability))
        .collect();
    assert_eq!(
        interfaces,
        [
            ("wan", 1, true, Family::Ipv4, 2),
            ("wan6", 2, false, Family::Ipv6, 2),
            ("wanb", 3, false, Family::Ipv4, 1),
            ("wanb6", 4, false, Family::Ipv6, 1),
        ]
    );
    assert!(config.interfaces.iter().all(|interface| interface.tracking.targets.len() == 4));
    let policies: Vec<_> = config.policies.iter().map(|p| (&*p.name, p.members.len())).collect();
    assert_eq!(
        policies,
        [("wan_only", 2), ("wanb_only", 2), ("balanced", 4), ("wan_wanb", 4), ("wanb_wan", 4)]
    );
    let members: Vec<_> =
        config.policies[4].members.iter().map(|m| (&*m.interface, m.metric, m.weight)).collect();
    assert_eq!(members, [("wan", 2, 3), ("wanb", 1, 2), ("wan6", 2, 3), ("wanb6", 1, 2)]);
    let rules: Vec<_> = config.rules.iter().map(|r| (&*r.name, r.families.len(), r.sticky_s)).collect();
    assert_eq!(rules, [("https", 2, Some(600)), ("default_rule_v4", 1, None), ("default_rule_v6", 1, None)]);
    assert!(config.rules.iter().all(|rule| rule.target == Target::Policy("balanced".into())));
}

#[test]
fn an_empty_file_means_the_defaults_of_the_table() {
    let config = read_clean("");
    assert_eq!(config, Config::default());
    let with_section = read_clean("config globals globals\n");
    assert_eq!(with_section.globals, Globals::default(), "Globals::default() and the table must agree");
}

#[test]
fn a_bare_interface_has_the_documented_defaults() {
    let (interface, problems) = interface("");
    let interface = interface.unwrap();
    assert_eq!(problems, Vec::<String>::new());
    assert!(!interface.enabled);
    assert_eq!(interface.family, Family::Ipv4);
    let tracking = interface.tracking;
    assert_eq!(tracking.method, TrackMethod::Ping);
    assert!(tracking.initially_online && !tracking.keep_failure_interval);
    assert_eq!((tracking.reliability, tracking.count, tracking.size, tracking.max_ttl), (1, 1, 56, 60));
    assert_eq!((tracking.timeout_ms, tracking.interval_ms), (4_000, 10_000));
    assert_eq!((tracking.failure_interval_ms, tracking.recovery_interval_ms), (10_000, 10_000));
    assert_eq!((tracking.down, tracking.up, tracking.quality), (5, 5, None));
}

#[test]
fn failure_and_recovery_interval_follow_interval() {
    let tracking = |lines| interface(lines).0.unwrap().tracking;
    let follows = tracking("option interval 3");
    assert_eq!((follows.failure_interval_ms, follows.recovery_interval_ms), (3_000, 3_000));
    let own = tracking("option interval 3 / option failure_interval 1");
    assert_eq!((own.failure_interval_ms, own.recovery_interval_ms), (1_000, 3_000));
    let (broken, problems) = interface("option interval abc");
    assert_eq!(broken.unwrap().tracking.failure_interval_ms, 10_000);
    assert_eq!(problems.len(), 1, "the mistake is told once: {problems:?}");
}

#[test]
fn durations_take_fractions_and_units() {
    for (text, ms) in [
        ("5", 5_000),
        ("0.5", 500),
        (".25", 250),
        ("1.0005", 1_000),
        ("200ms", 200),
        ("10s", 10_000),
        ("1.5 s", 1_500),
    ] {
        let (interface, problems) = interface(&format!("option interval '{text}'"));
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(interface.unwrap().tracking.interval_ms, ms, "{text}");
    }
}

#[test]
fn a_problem_tells_file_line_section_option_value_reason_and_substitute() {
    let (_, problems) = read("config interface 'wan'\n\toption enabled 1\n\toption interval 'abc'\n");
    assert_eq!(
        told(&problems),
        ["/etc/config/mwan3:3: interface 'wan', option interval 'abc': not a duration; using 10 s"]
    );
    let json = theirs(&problems[0].json());
    assert_eq!(
        json,
        serde_json::json!({
            "severity": "error", "file": "/etc/config/mwan3", "line": 3,
            "section": {"kind": "interface", "name": "wan"}, "option": "interval", "value": "abc",
            "text": "not a duration", "used": "10 s",
        })
    );
}

#[test]
fn bad_values_cost_their_option_only() {
    for (line, reason) in [
        ("option interval -1", "not a duration; using 10 s"),
        ("option interval 0", "not between 10 ms and 24 h; using 10 s"),
        ("option interval 99999999999999", "not a duration; using 10 s"),
        ("option interval 99999999999", "not between 10 ms and 24 h; using 10 s"),
        ("option timeout 1.2.3", "not a duration; using 4 s"),
        ("option reliability many", "not a number; using 1"),
        ("option reliability 0", "not between 1 and 1000; using 1"),
        ("option size 65508", "not between 0 and 65507; using 56 bytes"),
        ("option count -1", "not between 1 and 100; using 1"),
        ("option down 99999999999999999999", "not between 1 and 1000; using 5 rounds"),
        ("option enabled maybe", "neither yes nor no; using no"),
        ("option initial_state up", "not one of online, offline; using online"),
        ("option failure_loss 101", "not between 1 and 100; using 40 %"),
        ("option device /dev/eth0", "not the name of a network device; left out"),
        ("option gateway here", "not an IP address; left out"),
        ("option gateway 2001:db8::1", "not an IPv4 address; left out"),
        ("list track_ip 'a b c!'", "neither an address nor a host name; left out"),
        ("list flush_conntrack sometimes", "not one of ifup, ifdown, connected, disconnected; left out"),
    ] {
        let (interface, problems) = interface(&format!("{line} / option max_ttl 7"));
        assert_eq!(interface.map(|interface| interface.tracking.max_ttl), Some(7), "{line}");
        assert_eq!(problems.len(), 1, "{line}: {problems:?}");
        assert!(problems[0].ends_with(reason), "{line}: {}", problems[0]);
    }
}

#[test]
fn every_word_for_yes_and_no_is_taken_everywhere() {
    for (word, yes) in [
        ("1", true),
        ("on", true),
        ("true", true),
        ("yes", true),
        ("enabled", true),
        ("0", false),
        ("off", false),
    ] {
        assert_eq!(interface(&format!("option enabled {word}")).0.unwrap().enabled, yes, "{word}");
        assert_eq!(clean_rule(&format!("option logging {word}")).log, yes, "{word}");
        assert_eq!(clean_rule(&format!("option sticky {word}")).sticky_s.is_some(), yes, "{word}");
    }
}

#[test]
fn track_methods_map_onto_the_built_in_probes() {
    for (lines, method) in [
        ("option track_method ping", TrackMethod::Ping),
        ("option track_method arping", TrackMethod::Arp),
        ("option track_method httping", TrackMethod::Http),
        ("option track_method httping / option httping_ssl 1", TrackMethod::Https),
        ("option track_method nping-tcp", TrackMethod::Tcp),
        ("option track_method nping-udp", TrackMethod::Udp),
        ("option track_method nping-icmp", TrackMethod::Ping),
        ("option track_method nping-arp", TrackMethod::Arp),
        ("option track_method nslookup", TrackMethod::Dns),
        ("option track_method tcp", TrackMethod::Tcp),
        ("option track_method udp", TrackMethod::Udp),
        ("option track_method http", TrackMethod::Http),
        ("option track_method https", TrackMethod::Https),
        ("option track_method dns", TrackMethod::Dns),
    ] {
        let (interface, problems) = interface(lines);
        assert_eq!((interface.unwrap().tracking.method, problems), (method, vec![]), "{lines}");
    }
    let (ipv6, problems) = interface("option family ipv6 / option track_method arping");
    assert_eq!(ipv6.unwrap().tracking.method, TrackMethod::Ping);
    assert!(problems[0].ends_with("ARP is IPv4 only; using ping"), "{problems:?}");
}

#[test]
fn a_single_option_works_where_a_list_is_meant() {
    let (one, problems) = interface("option track_ip 1.1.1.1");
    assert_eq!((one.unwrap().tracking.targets, problems), (vec!["1.1.1.1".to_owned()], vec![]));
    let (two, _) = interface("option track_ip '1.1.1.1 one.example'");
    assert_eq!(two.unwrap().tracking.targets, ["1.1.1.1", "one.example"]);
    let (list_as_option, problems) = interface("list interval 3");
    assert_eq!((list_as_option.unwrap().tracking.interval_ms, problems), (3_000, vec![]));
}

#[test]
fn conntrack_flushes_take_the_words_of_old_configurations() {
    let flushes = |lines| interface(lines).0.unwrap().flush_conntrack;
    assert_eq!(
        flushes("list flush_conntrack ifdown / list flush_conntrack disconnected"),
        [FlushOn::Ifdown, FlushOn::Disconnected]
    );
    assert_eq!(flushes("option flush_conntrack always"), [FlushOn::Ifup, FlushOn::Ifdown]);
    assert_eq!(flushes("option flush_conntrack never"), []);
}

#[test]
fn quality_thresholds_are_read_when_switched_on() {
    let (interface, problems) =
        interface("option check_quality 1 / option failure_latency 300 / option recovery_loss 0");
    let quality = interface.unwrap().tracking.quality.unwrap();
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!((quality.failure_latency_ms, quality.failure_loss_percent), (300, 40));
    assert_eq!((quality.recovery_latency_ms, quality.recovery_loss_percent), (500, 0));
}

#[test]
fn plain_linux_options_of_an_interface_are_read() {
    let (interface, problems) = interface("option device eth0.7 / option gateway 192.0.2.1");
    let interface = interface.unwrap();
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(interface.device.as_deref(), Some("eth0.7"));
    assert_eq!(interface.gateway, Some("192.0.2.1".parse::<IpAddr>().unwrap()));
}

#[test]
fn an_interface_of_no_family_is_skipped_and_keeps_its_number_to_itself() {
    let (config, problems) = read("config interface a\n\toption family dual\nconfig interface b\n");
    let left: Vec<_> = config.interfaces.iter().map(|interface| (&*interface.name, interface.id)).collect();
    assert_eq!(left, [("b", 2)]);
    assert_eq!(problems[0].severity, Severity::Error);
    assert!(told(&problems)[0].ends_with("'dual': neither ipv4 nor ipv6; the interface is skipped"));
}

#[test]
fn interfaces_beyond_the_room_of_the_mask_are_skipped_and_the_first_is_named() {
    let mut text = "config globals globals\n\toption mmx_mask 0x0700\n".to_owned();
    for number in 1..=7 {
        text.push_str(&format!("config interface wan{number}\n"));
    }
    let (config, problems) = read(&text);
    assert_eq!(config.interfaces.len(), 4);
    assert_eq!(
        told(&problems),
        [
            "/etc/config/mwan3:7: interface 'wan5': number 5, but mmx_mask 0x700 has room for 4 interfaces: it and all \
          later ones are skipped (3)"
        ]
    );
}

#[test]
fn more_interfaces_than_a_number_can_hold_are_no_trouble() {
    let text: String = (0..70_000).map(|number| format!("config interface w{number}\n")).collect();
    let (config, problems) = read(&text);
    assert_eq!((config.interfaces.len(), problems.len()), (60, 1));
}

#[test]
fn globals_are_read() {
    let config = read_clean(
        "config globals globals\n\toption mmx_mask 0xFF00\n\toption logging 1\n\toption loglevel debug\n\
         \tlist rt_table_lookup 220\n\tlist rt_table_lookup main\n\toption source_routing 1\n",
    );
    let globals = config.globals;
    assert_eq!((globals.mask.bits(), globals.logging, globals.log_level), (0xff00, true, 7));
    assert_eq!((globals.lookup_tables, globals.source_routing), (vec![220, 254], true));
    assert_eq!(read_clean("config globals globals\n\toption mmx_mask 16128\n").globals.mask.bits(), 0x3f00);
    assert_eq!(read_clean("config globals globals\n\toption loglevel 3\n").globals.log_level, 3);
}

#[test]
fn bad_globals_fall_back_to_the_defaults() {
    for (line, reason) in [
        ("mmx_mask 0x0300", "a mask with fewer than three bits; using 0x3f00"),
        ("mmx_mask 3F00", "not a hexadecimal or decimal number of 32 bits; using 0x3f00"),
        ("mmx_mask 0x1ffffffff", "not a hexadecimal or decimal number of 32 bits; using 0x3f00"),
        ("mmx_mask 0x+f0", "not a hexadecimal or decimal number of 32 bits; using 0x3f00"),
        ("mmx_mask '0x'", "not a hexadecimal or decimal number of 32 bits; using 0x3f00"),
        (
            "loglevel loud",
            "not one of emerg, alert, crit, error, warning, notice, info, debug nor a number from 0 to 7; using notice",
        ),
        ("rt_table_lookup vpn", "not the number of a routing table; left out"),
    ] {
        let (config, problems) = read(&format!("config globals globals\n\toption {line}\n"));
        assert_eq!(config.globals, Globals::default(), "{line}");
        assert!(told(&problems)[0].ends_with(reason), "{line}: {:?}", told(&problems));
    }
}

#[test]
fn a_globals_section_of_another_name_is_told() {
    let (config, problems) = read("config globals\n\toption mmx_mask 0xff00\n");
    assert_eq!(config.globals, Globals::default());
    assert!(told(&problems)[0].contains("must be named 'globals'"), "{:?}", told(&problems));
}

#[test]
fn removed_options_are_taken_without_a_word() {
    read_clean(
        "config globals globals\n\toption local_source none\n\toption rtmon_interval 5\n\toption enabled 1\n\
         \toption online_metric 1\n\toption iface_max 60\nconfig interface wan\n\toption online_metric 1\n",
    );
}

#[test]
fn unknown_options_and_sections_are_told_with_what_was_probably_meant() {
    let (_, problems) = read(
        "config interface wan\n\toption intervall 5\n\toption colour red\nconfig rules r\nconfig weather w\n",
    );
    assert_eq!(
        told(&problems),
        [
            "/etc/config/mwan3:2: interface 'wan', option intervall: unknown option, left out; did you mean interval?",
            "/etc/config/mwan3:3: interface 'wan', option colour: unknown option of a section of type interface, left out",
            "/etc/config/mwan3:4: rules 'r': unknown type of section, skipped; did you mean rule?",
            "/etc/config/mwan3:5: weather 'w': unknown type of section, skipped",
        ]
    );
}

#[test]
fn swapped_letters_are_one_slip() {
    let closest = |word| options::closest(SectionKind::Interface, word);
    assert_eq!(closest("enalbed"), Some("enabled"));
    assert_eq!(closest("trackip"), Some("track_ip"));
    assert_eq!(closest("dwon"), Some("down"));
    assert_eq!(closest("x"), None);
    assert_eq!(closest(&"e".repeat(1000)), None);
}

const MEMBERS: &str = "config interface wan\n\toption enabled 1\nconfig interface bad\n\toption family x\n";

fn members(lines: &str) -> (Vec<(String, u32, u32)>, Vec<String>) {
    let (config, problems) = read(&format!(
        "{MEMBERS}config member m\n\toption interface wan\n{}config policy p\n\tlist use_member m\n",
        indented(lines)
    ));
    let members =
        config.policies[0].members.iter().map(|m| (m.interface.clone(), m.metric, m.weight)).collect();
    // The first is about interface `bad`.
    (members, told(&problems[1..]))
}

#[test]
fn members_take_any_metric_and_weights_from_1() {
    assert_eq!(members("").0, [("wan".into(), 1, 1)]);
    assert_eq!(members("option metric 2 / option weight 1000").0, [("wan".into(), 2, 1000)]);
    let (large, problems) = members("option metric 300");
    assert_eq!(large, [("wan".into(), 300, 1)]);
    assert!(problems[0].contains("before version 3 left out members above 256"), "{problems:?}");
    let (below, problems) = members("option metric -5");
    assert_eq!((below, problems.len()), (vec![("wan".into(), 0, 1)], 1));
    let (none, problems) = members("option weight 0");
    assert_eq!(none, []);
    assert!(problems[0].ends_with("no share at all; the member is left out"), "{problems:?}");
    assert_eq!(members("option weight many").0, [("wan".into(), 1, 1)]);
}

#[test]
fn members_without_a_usable_interface_are_left_out_and_told_once() {
    for (lines, reason) in [
        ("option interface wna", "no such interface; the member is left out; did you mean wan?"),
        ("option interface bad", "this interface was skipped, and the member with it"),
    ] {
        let (left, problems) = members(lines);
        assert_eq!(left, [], "{lines}");
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].ends_with(reason), "{problems:?}");
    }
    let (config, problems) = read("config member m\nconfig policy p\n\tlist use_member m\n");
    assert_eq!(config.policies[0].members, []);
    assert_eq!(
        told(&problems),
        ["/etc/config/mwan3:1: member 'm': names no interface; the member is left out"]
    );
    assert_eq!(problems[0].severity, Severity::Warning);
}

#[test]
fn policies_leave_out_unknown_members_and_take_unreachable_for_unknown_last_resorts() {
    let (config, problems) = read(
        "config interface wan\nconfig member m1\n\toption interface wan\nconfig policy p\n\tlist use_member m1\n\
         \tlist use_member m2\n\toption last_resort panic\nconfig policy q\n\toption last_resort default\n",
    );
    assert_eq!(config.policies[0].members.len(), 1);
    assert_eq!(config.policies[0].last_resort, LastResort::Unreachable);
    assert_eq!(config.policies[1].last_resort, LastResort::Default);
    assert_eq!(
        told(&problems),
        [
            "/etc/config/mwan3:6: policy 'p', option use_member 'm2': no such member, left out; did you mean m1?",
            "/etc/config/mwan3:7: policy 'p', option last_resort 'panic': not one of unreachable, blackhole, default; \
             using unreachable",
        ]
    );
}

#[test]
fn names_may_be_longer_than_the_shell_package_could_take() {
    let name = "a_name_of_much_more_than_fifteen_characters".repeat(5);
    let config = read_clean(&format!(
        "config interface {name}\nconfig member {name}_m\n\toption interface {name}\nconfig policy {name}_p\n\
         \tlist use_member {name}_m\nconfig rule {name}_r\n\toption use_policy {name}_p\n"
    ));
    assert_eq!(config.rules[0].target, Target::Policy(format!("{name}_p")));
    assert_eq!(config.policies[0].members[0].interface, name);
}

#[test]
fn rules_take_addresses_in_every_form() {
    let rule = clean_rule(
        "list src_ip 192.168.1.7 / list src_ip '10.0.0.0/8, 172.16.0.0/255.240.0.0' / list src_ip 0.0.0.1/0.0.0.1 \
         / option dest_ip 0.0.0.0/0.0.0.1",
    );
    let shown: Vec<String> = rule.sources.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["192.168.1.7", "10.0.0.0/8", "172.16.0.0/12", "0.0.0.1/0.0.0.1"]);
    assert_eq!(rule.destinations[0].to_string(), "0.0.0.0/0.0.0.1");
    assert_eq!(rule.families, [Family::Ipv4]);
    let mixed = clean_rule("option src_ip 10.0.0.0/8,2001:db8::/32");
    assert_eq!(mixed.families, Family::BOTH);
    assert_eq!(clean_rule("option dest_ip ::/0").families, [Family::Ipv6]);
    assert_eq!(clean_rule("option dest_ip ::1/::1").destinations[0].to_string(), "::1/::1");
    assert_eq!(clean_rule("option family ipv6").families, [Family::Ipv6]);
    assert_eq!(clean_rule("").families, Family::BOTH);
}

#[test]
fn addresses_that_cannot_match_are_told() {
    let (narrowed, problems) = rule("option family ipv4 / option src_ip 10.0.0.1,2001:db8::1");
    assert_eq!(narrowed.unwrap().sources.len(), 1);
    assert!(
        problems[0].contains("'2001:db8::1': an ipv6 address in a rule of the other family"),
        "{problems:?}"
    );

    let (none, problems) = rule("option src_ip 10.0.0.1 / option dest_ip 2001:db8::1");
    assert_eq!(none, None);
    assert!(problems[0].contains("different families"), "{problems:?}");

    let (narrowed, problems) = rule("option src_ip 10.0.0.1,2001:db8::1 / option dest_ip 192.0.2.0/24");
    let narrowed = narrowed.unwrap();
    assert_eq!((narrowed.families, narrowed.sources.len()), (vec![Family::Ipv4], 1));
    assert!(problems[0].contains("can never match"), "{problems:?}");
}

#[test]
fn a_test_that_cannot_be_read_never_widens_its_rule() {
    for lines in [
        "option src_ip host.example",
        "option src_ip '! 10.0.0.1'",
        "option src_ip '10.0.0.1 10.0.0.2'",
        "option dest_ip 10.0.0.0/33",
        "option dest_ip 10.0.0.0/ffff::",
        "option family ipv6 / option src_ip 10.0.0.1",
        "option proto tpc",
        "option proto 256",
        "option proto 'tcp udp'",
        "option proto tcp / option dest_port https",
        "option proto tcp / option dest_port 2000-1000",
        "option proto udp / option src_port 65536",
        "option ipset 'two sets'",
        "option ipset '!'",
    ] {
        let (left, problems) = rule(lines);
        assert_eq!(left, None, "{lines}");
        assert!(
            problems.iter().any(|problem| problem.contains("the rule is skipped")),
            "{lines}: {problems:?}"
        );
    }
}

#[test]
fn what_can_be_read_of_a_list_stays() {
    let (left, problems) =
        rule("option proto tcp / option dest_port 80,https,443 / option src_ip 10.0.0.1,oops");
    let left = left.unwrap();
    assert_eq!((left.destination_ports.len(), left.sources.len(), problems.len()), (2, 1, 2));
}

#[test]
fn all_mistakes_of_a_rule_are_told_at_once() {
    let (_, problems) =
        rule("option proto tpc / option src_ip oops / option use_policy q / option ipset 'a b'");
    for option in ["proto", "src_ip", "use_policy", "ipset"] {
        assert!(
            problems.iter().any(|problem| problem.contains(&format!("option {option} "))),
            "{problems:?}"
        );
    }
}

#[test]
fn ports_take_lists_and_ranges_without_a_limit() {
    let many: Vec<String> = (1..=40).map(|port| port.to_string()).collect();
    let rule = clean_rule(&format!(
        "option proto tcp / option dest_port 80,1024:2048,3000-4000 / list src_port {} / list src_port 99",
        many.join(",")
    ));
    assert_eq!(
        rule.destination_ports,
        [
            PortRange { low: 80, high: 80 },
            PortRange { low: 1024, high: 2048 },
            PortRange { low: 3000, high: 4000 }
        ]
    );
    assert_eq!(rule.source_ports.len(), 41);
}

#[test]
fn ports_need_a_protocol_that_has_them() {
    for proto in ["tcp", "udp", "6", "17", "sctp", "dccp", "udplite"] {
        assert_eq!(
            clean_rule(&format!("option proto {proto} / option dest_port 80")).destination_ports.len(),
            1
        );
    }
    for proto in ["all", "icmp", "esp", "47"] {
        let (rule, problems) = rule(&format!("option proto {proto} / option dest_port 80"));
        assert_eq!(rule.unwrap().destination_ports, [], "{proto}");
        assert!(
            problems[0].ends_with("option dest_port '80': ports need proto tcp or udp; left out"),
            "{problems:?}"
        );
    }
}

#[test]
fn protocols_have_names_and_numbers() {
    for (text, protocol) in [
        ("all", Protocol::Any),
        ("any", Protocol::Any),
        ("0", Protocol::Any),
        ("tcp", Protocol::Number(6)),
        ("TCP", Protocol::Number(6)),
        ("17", Protocol::Number(17)),
        ("icmp", Protocol::Icmp),
        ("1", Protocol::Icmp),
        ("icmpv6", Protocol::Number(58)),
        ("ipv6-icmp", Protocol::Number(58)),
        ("esp", Protocol::Number(50)),
        ("ah", Protocol::Number(51)),
        ("gre", Protocol::Number(47)),
        ("sctp", Protocol::Number(132)),
        ("igmp", Protocol::Number(2)),
        ("ipip", Protocol::Number(4)),
        ("255", Protocol::Number(255)),
    ] {
        assert_eq!(clean_rule(&format!("option proto {text}")).protocol, protocol, "{text}");
    }
}

#[test]
fn rules_take_a_set_an_input_interface_logging_and_stickiness() {
    let rule = clean_rule(
        "option ipset streaming / option src_iface lan / option logging 1 / option sticky 1 / option timeout 30",
    );
    let ipset = rule.ipset.unwrap();
    assert_eq!((&*ipset.name, ipset.negated), ("streaming", false));
    assert_eq!((rule.source_interface.as_deref(), rule.log, rule.sticky_s), (Some("lan"), true, Some(30)));
    for text in ["!streaming", "! streaming"] {
        let ipset = clean_rule(&format!("option ipset '{text}'")).ipset.unwrap();
        assert_eq!((&*ipset.name, ipset.negated), ("streaming", true));
    }
}

#[test]
fn rules_go_to_a_policy_or_a_special_target() {
    for (name, target) in
        [("default", Target::Default), ("unreachable", Target::Unreachable), ("blackhole", Target::Blackhole)]
    {
        let (config, problems) = read(&format!("config rule r\n\toption use_policy {name}\n"));
        assert_eq!((config.rules[0].target.clone(), told(&problems)), (target, vec![]));
    }
    let (config, problems) =
        read("config policy balanced\nconfig rule r\n\toption use_policy balancd\nconfig rule s\n");
    assert_eq!(config.rules, []);
    assert_eq!(
        told(&problems),
        [
            "/etc/config/mwan3:3: rule 'r', option use_policy 'balancd': no such policy; the rule is skipped; did you \
             mean balanced?",
            "/etc/config/mwan3:4: rule 's': names no policy (use_policy); the rule is skipped",
        ]
    );
}

#[test]
fn stickiness_with_a_special_target_is_left_out_and_told() {
    let (config, problems) = read("config rule r\n\toption use_policy default\n\toption sticky 1\n");
    assert_eq!(config.rules[0].sticky_s, None);
    assert_eq!((problems.len(), problems[0].severity), (1, Severity::Warning));
}

#[test]
fn unnamed_rules_work_under_their_generated_name() {
    let config =
        read_clean("config rule\n\toption use_policy default\nconfig rule\n\toption use_policy default\n");
    assert_eq!(config.rules.len(), 2);
    assert_ne!(config.rules[0].name, config.rules[1].name);
}

#[test]
fn syntax_errors_are_problems_in_the_order_of_the_file() {
    let (config, problems) =
        read("config interface wan\n\toption interval x\n\tnonsense\n\toption timeout y\n");
    assert_eq!(config.interfaces.len(), 1);
    let lines: Vec<Option<u32>> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [Some(2), Some(3), Some(4)]);
    assert_eq!(config::exit_code(&problems), 2);
}

#[test]
fn a_mistake_in_a_pending_change_is_told_as_such() {
    let mut package = uci::parse("mwan3", b"config interface wan\n");
    uci::apply_delta(&mut package, b"mwan3.wan.interval='soon'\n");
    let (_, problems) = config::read(&package, FILE);
    assert_eq!(
        told(&problems),
        [
            "/etc/config/mwan3 (pending change): interface 'wan', option interval 'soon': not a duration; using 10 s"
        ]
    );
}

#[test]
fn problems_stay_on_one_line_and_short_whatever_the_file_holds() {
    let (_, problems) = interface(&format!("option interval 'a\n\u{1b}[31m{}'", "x".repeat(10_000)));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].len() < 300 && !problems[0].contains(char::is_control), "{:?}", problems[0]);
}

#[test]
fn exit_codes_tell_the_worst_problem() {
    let code = |text| config::exit_code(&read(text).1);
    assert_eq!(code("config interface wan\n"), 0);
    assert_eq!(
        code("config interface wan\nconfig member m\n\toption interface wan\n\toption metric 999\n"),
        0
    );
    assert_eq!(code("config interface wan\n\toption colour red\n"), 1);
    assert_eq!(code("config interface wan\n\toption enabled perhaps\n"), 2);
}

/// Each option with a default is given nonsense: the reader must know the option, and the problem must come
/// with what is used instead.
#[test]
fn every_option_with_a_default_is_read_by_the_table() {
    let usable = "config interface wan\nconfig policy p\n";
    let mut checked = 0;
    for spec in options::TABLE {
        let is_free_text = matches!(spec.value, ValueType::Network | ValueType::PolicyOr { .. });
        let required = match (spec.section, spec.name) {
            (SectionKind::Member, "interface") | (SectionKind::Rule, "use_policy") => "",
            (SectionKind::Member, _) => "\toption interface wan\n",
            (SectionKind::Rule, _) => "\toption use_policy p\n\toption proto tcp\n",
            (SectionKind::Alert, "method") => "\toption to a@b\n",
            (SectionKind::Alert, "to") => "\toption method mail\n",
            (SectionKind::Alert, _) => "\toption method mail\n\toption to a@b\n",
            _ => "",
        };
        let name = if spec.section == SectionKind::Globals { "globals" } else { "x" };
        let section = spec.section.name();
        let nonsense = "not valid\u{fffd}";
        let (_, problems) = read(&format!(
            "{usable}config {section} {name}\n{required}\toption {} '{nonsense}'\n",
            spec.name
        ));
        let is_told = problems.iter().any(|problem| problem.option.as_deref() == Some(spec.name));
        let has_default = matches!(spec.default, DefaultValue::Value(_) | DefaultValue::SameAs(_));
        let has_substitute = problems.iter().any(|problem| problem.used.is_some());
        assert!(is_told || is_free_text, "{section}.{} is not read: {problems:?}", spec.name);
        let is_skipped_instead =
            matches!(spec.name, "proto") || spec.name == "family" && section == "interface";
        assert_eq!(
            has_substitute,
            has_default && !is_skipped_instead,
            "{section}.{}: {problems:?}",
            spec.name
        );
        checked += 1;
    }
    assert!(checked > 40);
}

#[test]
fn the_table_is_told_as_json_for_web_pages_and_scripts() {
    let of = |section, name| theirs(&options::find(section, name).unwrap().json());
    let reliability = of(SectionKind::Interface, "reliability");
    assert_eq!(
        (&reliability["section"], &reliability["type"], &reliability["min"], &reliability["max"]),
        (&"interface".into(), &"number".into(), &1.into(), &1000.into())
    );
    assert_eq!(reliability["default"], serde_json::json!({"value": "1"}));
    let interval = of(SectionKind::Interface, "failure_interval");
    assert_eq!(interval["default"], serde_json::json!({"same_as": "interval"}));
    let members = of(SectionKind::Policy, "use_member");
    assert_eq!(
        (&members["type"], &members["to"], &members["list"]),
        (&"reference".into(), &"member".into(), &true.into())
    );
}

/// Large in every direction: quadratic time would take minutes.
#[test]
fn large_configurations_are_read_in_linear_time() {
    let mut text = "config interface wan\n".to_owned();
    for number in 0..20_000 {
        text.push_str(&format!("config member m{number}\n\toption interface wan\n"));
    }
    text.push_str("config policy p\n");
    for number in 0..20_000 {
        text.push_str(&format!("\tlist use_member m{number}\n"));
    }
    for number in 0..20_000 {
        text.push_str(&format!("config rule r{number}\n\toption use_policy p\n\toption src_ip 10.0.0.1\n"));
    }
    let config = read_clean(&text);
    assert_eq!((config.policies[0].members.len(), config.rules.len()), (20_000, 20_000));
}

/// Options of the table with values that are sometimes valid.
fn any_configuration() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        prop::sample::select(vec![
            "1",
            "0",
            "ipv4",
            "ipv6",
            "wan",
            "m",
            "p",
            "tcp",
            "icmp",
            "80,443",
            "1:2",
            "10.0.0.0/8",
            "::/0",
            "0x7",
            "0.5",
            "200ms",
            "-1",
            "",
            "!s",
            "1.1.1.1/0.0.0.1",
            "4294967296",
            "default",
            ",",
            "/",
            "-",
            "a-b:c",
            "0x",
        ])
        .prop_map(str::to_owned),
        ".{0,12}".prop_map(|text| text.replace('\'', "")),
    ];
    let option = (prop::sample::select(options::TABLE), any::<bool>(), value);
    let section = (prop::sample::select(SectionKind::ALL.to_vec()), prop::collection::vec(option, 0..8));
    prop::collection::vec(section, 0..8).prop_map(|sections| {
        let mut text = String::new();
        for (number, (kind, options)) in sections.into_iter().enumerate() {
            let name = ["globals", "wan", "m", "p", "r"].get(number).copied().unwrap_or("");
            text.push_str(&format!("config {} {name}\n", kind.name()));
            for (spec, is_list, value) in options {
                let keyword = if is_list { "list" } else { "option" };
                text.push_str(&format!("\t{keyword} {} '{value}'\n", spec.name));
            }
        }
        text
    })
}

proptest! {
    #[test]
    fn no_configuration_makes_reading_or_checking_panic(text in any_configuration()) {
        let package = uci::parse("mwan3", text.as_bytes());
        let (config, _) = config::read(&package, FILE);
        config::check(&config, &package, FILE, None);
        let names: Vec<_> = config.interfaces.iter().map(|interface| &*interface.name).collect();
        for policy in &config.policies {
            prop_assert!(policy.members.iter().all(|member| names.contains(&&*member.interface)));
        }
        for rule in &config.rules {
            prop_assert!(!rule.families.is_empty());
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        config::read(&uci::parse("mwan3", &bytes), FILE);
    }
}

#[test]
fn policies_say_what_becomes_of_running_connections() {
    let sessions = |lines: &str| {
        let (config, problems) = read(&format!("config policy p\n{}", indented(lines)));
        (config.policies[0].sessions, told(&problems))
    };
    assert_eq!(sessions(""), (SessionPolicy::default(), vec![]));
    let drained = SessionPolicy {
        on_fail: SessionFate::DropUdp,
        on_recover: SessionFate::Drain { for_ms: 90_000 },
        hold_ms: 0,
    };
    assert_eq!(sessions("option on_fail drop_udp / option on_recover 'drain 90'"), (drained, vec![]));
    let held = SessionPolicy { on_fail: SessionFate::Keep, hold_ms: 500, ..SessionPolicy::default() };
    assert_eq!(sessions("option on_fail keep / option hold 500ms"), (held, vec![]));
    for (lines, wanted) in [
        ("option on_fail drain", "on_fail 'drain': drain needs a time, such as 'drain 60'; using drop"),
        ("option on_fail 'drain x'", "time: not a duration; using drop"),
        ("option on_recover 'drain 0'", "time: not between 1 ms and 24 h; using keep"),
        ("option on_recover dropudp", "not one of keep, drop, drop_udp, or drain and a time; using keep"),
        ("option hold -1", "not a duration; using 0 s"),
        ("option hold 25h", "not a duration; using 0 s"),
        ("option hold 86401", "not between 0 s and 24 h; using 0 s"),
    ] {
        let (found, problems) = sessions(lines);
        assert_eq!(found, SessionPolicy::default(), "{lines}");
        assert!(problems.len() == 1 && problems[0].contains(wanted), "{lines}: {problems:?}");
    }
}

#[test]
fn interfaces_say_when_they_are_preferred_again() {
    let failback = |lines: &str| {
        let (interface, problems) = interface(lines);
        (interface.expect("kept").failback, problems)
    };
    assert_eq!(failback(""), (Failback::default(), vec![]));
    let (found, problems) = failback(
        "option failback_delay 30 / option failback_delay_max 600 / option failback_window 22:00-04:30",
    );
    let window = Some(DailyWindow { from_min: 22 * 60, to_min: 4 * 60 + 30 });
    assert_eq!(found, Failback { delay_ms: 30_000, longest_delay_ms: 600_000, window });
    assert_eq!(problems, Vec::<String>::new());
    for (lines, wanted) in [
        ("option failback_delay_max 600", "no effect without failback_delay"),
        ("option failback_delay 30 / option failback_delay_max 5", "shorter than failback_delay; using that"),
        ("option failback_window 25:00-04:30", "not a time of day like 02:00-04:30"),
        ("option failback_window 24:30-04:30", "not a time of day like 02:00-04:30"),
        ("option failback_window 04:30", "not a time of day like 02:00-04:30"),
        ("option failback_window 04:30-04:30", "begins when it ends"),
        ("option failback_delay soon", "not a duration; using 0 s"),
    ] {
        let (found, problems) = failback(lines);
        assert_eq!(found.window, None, "{lines}");
        assert!(problems.len() == 1 && problems[0].contains(wanted), "{lines}: {problems:?}");
    }
}

#[test]
fn a_window_has_its_beginning_and_not_its_end() {
    let night = DailyWindow { from_min: 23 * 60, to_min: 60 };
    let inside: Vec<u32> = (0..24 * 60).filter(|minute| night.contains(*minute)).collect();
    assert_eq!((inside.len(), inside[0], inside[59], inside[60]), (120, 0, 59, 23 * 60));
    let noon = DailyWindow { from_min: 12 * 60, to_min: 13 * 60 };
    assert!(noon.contains(720) && noon.contains(779) && !noon.contains(780) && !noon.contains(719));
    assert!(DailyWindow { from_min: 0, to_min: 1440 }.contains(1439));
}
