//! The service commands on a router with two uplinks: what they put into the kernel, what they leave alone,
//! and what is left when they have gone.

mod changes;
mod others;
mod trouble;

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use lab::{FlowReport, Lab, Output, Router, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = "
config globals 'globals'
	option mmx_mask '0x3F00'
config interface 'wan'
	option enabled '1'
config interface 'wanb'
	option enabled '1'
config interface 'wan6'
	option enabled '1'
	option family 'ipv6'
	option device 'wan'
config member 'wan_m1'
	option interface 'wan'
config member 'wanb_m1'
	option interface 'wanb'
config member 'wanb_m2'
	option interface 'wanb'
	option metric '2'
config member 'wan6_m1'
	option interface 'wan6'
config policy 'balanced'
	list use_member 'wan_m1'
	list use_member 'wanb_m1'
	list use_member 'wan6_m1'
config policy 'wan_first'
	list use_member 'wan_m1'
	list use_member 'wanb_m2'
config policy 'wanb_only'
	list use_member 'wanb_m1'
config rule 'https'
	option proto 'tcp'
	option dest_port '443'
	option sticky '1'
	option use_policy 'balanced'
config rule 'dns'
	option proto 'udp'
	option dest_port '53'
	option family 'ipv4'
	option use_policy 'wan_first'
config rule 'alternative'
	option proto 'udp'
	option dest_port '5000:5999'
	option family 'ipv4'
	option use_policy 'wanb_only'
config rule 'rest'
	option use_policy 'balanced'
";

fn lab() -> Option<Lab> {
    if !lab::is_available() {
        return None;
    }
    let lab = Lab::builder().uplinks(2).mwan3(env!("CARGO_BIN_EXE_mwan3")).build().expect("a laboratory");
    lab.router().write_config(CONFIG);
    Some(lab)
}

/// With the service running.
fn started() -> Option<Lab> {
    let lab = lab()?;
    succeed(lab.router(), "start");
    Some(lab)
}

/// Runs mwan3 with these words, which must succeed without a complaint.
#[track_caller]
fn succeed(router: &Router, words: &str) -> Output {
    let output = router.mwan3(words.split(' '));
    assert!(output.success() && output.stderr.is_empty(), "mwan3 {words}: {output}");
    output
}

#[track_caller]
fn assert_settled(router: &Router) {
    assert_eq!(succeed(router, "plan --diff").stdout, "# nothing to change\n");
}

fn our_rules(router: &Router) -> String {
    let listing = router.sh("ip -4 rule; ip -6 rule");
    listing.lines().filter(|line| line.contains("proto 77")).map(|line| line.to_owned() + "\n").collect()
}

/// Everything the kernel holds that a service of ours could have touched, without counts. The kernel's own
/// routes come and go with links.
fn kernel(router: &Router) -> String {
    let listings = "ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all;
                    nft -s list ruleset";
    let text = router.sh(listings);
    text.lines().filter(|line| !line.contains("proto kernel")).map(|line| line.to_owned() + "\n").collect()
}

fn files(router: &Router) -> Vec<String> {
    let listing = router.sh(&format!("cd {} && find . | sort", router.run_dir().display()));
    // A lock that is removed locks nobody out.
    listing.lines().filter(|path| !path.ends_with(".lock")).map(str::to_owned).collect()
}

/// Patient ones: a busy machine is no lost packet.
fn udp_flows(lab: &Lab, destination: &str, port: u16, count: usize) -> FlowReport {
    lab.client().udp(destination, port).count(count).timeout(PATIENCE).run()
}

fn tcp_flows(lab: &Lab, destination: &str, port: u16, count: usize) -> FlowReport {
    lab.client().tcp(destination, port).count(count).timeout(PATIENCE).run()
}

/// Packets that the rule has counted.
#[track_caller]
fn counted(router: &Router, rule: &str) -> u64 {
    let rules = succeed(router, "rules --json").stdout;
    let rules: serde_json::Value = serde_json::from_str(&rules).expect("JSON");
    let rule = rules.as_array().expect("a list").iter().find(|one| one["name"] == rule).expect("the rule");
    rule["ipv4"]["packets"].as_u64().expect("a counter")
}

fn sticky_entries(router: &Router) -> usize {
    let sets = router.sh("nft list sets inet");
    sets.lines().filter(|line| line.contains("expires")).count()
}

#[test]
fn start_makes_the_state_that_is_documented() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    assert_eq!(
        our_rules(router),
        "1001:	from all iif wan lookup 1 proto 77\n\
         1002:	from all iif wanb lookup 2 proto 77\n\
         2001:	from all fwmark 0x100/0x3f00 lookup 1 proto 77\n\
         2002:	from all fwmark 0x200/0x3f00 lookup 2 proto 77\n\
         2061:	from all fwmark 0x3d00/0x3f00 blackhole proto 77\n\
         2062:	from all fwmark 0x3e00/0x3f00 unreachable proto 77\n\
         3001:	from all fwmark 0x100/0x3f00 unreachable proto 77\n\
         3002:	from all fwmark 0x200/0x3f00 unreachable proto 77\n\
         1003:	from all iif wan lookup 3 proto 77\n\
         2003:	from all fwmark 0x300/0x3f00 lookup 3 proto 77\n\
         2061:	from all fwmark 0x3d00/0x3f00 blackhole proto 77\n\
         2062:	from all fwmark 0x3e00/0x3f00 unreachable proto 77\n\
         3003:	from all fwmark 0x300/0x3f00 unreachable proto 77\n"
    );
    assert_eq!(
        router.sh("ip -4 route show table 1; ip -4 route show table 2"),
        "default via 10.101.0.1 dev wan proto 77 metric 10 \n\
         10.101.0.0/24 dev wan proto 77 scope link src 10.101.0.2 \n\
         192.168.1.0/24 dev lan0 proto 77 scope link src 192.168.1.1 \n\
         default via 10.102.0.1 dev wanb proto 77 metric 20 \n\
         10.102.0.0/24 dev wanb proto 77 scope link src 10.102.0.2 \n\
         192.168.1.0/24 dev lan0 proto 77 scope link src 192.168.1.1 \n"
    );
    let table = router.sh("nft list table inet mwan3");
    for object in [
        "chain prerouting {\n\t\ttype filter hook prerouting priority mangle; policy accept;",
        "chain output {\n\t\ttype route hook output priority mangle; policy accept;",
        "chain keep_wan {",
        "chain classify {",
        "chain first_packet_ipv4 {",
        "chain from_wanb {",
        "chain known_ipv6 {",
        "chain rules_ipv4 {",
        "chain rule_https_ipv4 {",
        "chain sticky_https_ipv4 {",
        "chain renew_https_ipv4_wan {",
        "chain policy_wan_first_ipv4 {",
        "chain uplink_wan6 {",
        "chain take_default {",
        "set connected_ipv4 {",
        "set dynamic_ipv6 {",
        "set sticky_https_ipv4_wanb {",
    ] {
        assert!(table.contains(object), "no {object} in\n{table}");
    }
    let run_dir = router.run_dir();
    let read = |name: &str| fs::read_to_string(run_dir.join("mwan3").join(name)).unwrap_or_default();
    assert_eq!(read("mmx_mask"), "0x3f00\n");
    for name in ["wan", "wanb", "wan6"] {
        assert_eq!(read(&format!("iface_state/{name}")), "online\n", "{name}");
    }
    assert_settled(router);
}

#[test]
fn a_second_start_or_reload_writes_nothing() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    let before = kernel(router);
    let path = router.directory().join("events");
    let monitor = |program: &str| {
        let file = || Stdio::from(fs::File::options().append(true).create(true).open(&path).expect("a file"));
        let mut command = router.command("sh");
        command.args(["-c", &format!("exec {program}")]).stdin(Stdio::null());
        command.stdout(file()).stderr(file()).spawn().expect("a monitor")
    };
    let mut monitors =
        ["nft monitor", "ip monitor rule", "ip -4 monitor route", "ip -6 monitor route"].map(monitor);
    let events = || fs::read_to_string(&path).unwrap_or_default();
    // Each monitor listens once it has told what we did for it to see; and later has told all before that.
    let mark = |number: usize| {
        let ours = [
            format!("table ip marker{number}"),
            format!("4242{number}"),
            format!("198.19.{number}.0/24"),
            format!("fd19:{number}::/64"),
        ];
        assert!(wait_until(PATIENCE, || {
            router.sh(&format!(
                "nft add table ip marker{number}; ip rule add pref 4242{number} lookup 42
                 ip route add 198.19.{number}.0/24 dev lan0 table 42
                 ip -6 route add fd19:{number}::/64 dev lan0 table 42
                 nft delete table ip marker{number}; ip rule del pref 4242{number}
                 ip route del 198.19.{number}.0/24 dev lan0 table 42
                 ip -6 route del fd19:{number}::/64 dev lan0 table 42"
            ));
            ours.iter().all(|text| events().contains(text))
        }));
    };
    mark(1);
    for words in ["reload", "start", "restart", "ifup wan", "reload"] {
        succeed(router, words);
        assert_settled(router);
    }
    mark(2);
    for monitor in &mut monitors {
        monitor.kill().expect("it runs");
        monitor.wait().expect("it ends");
    }
    let events = events();
    // nft names the program as well.
    let is_ours = |line: &&str| line.contains("mwan3") || line.contains("proto 77");
    let ours: Vec<&str> = events.lines().filter(is_ours).collect();
    assert!(ours.is_empty(), "{ours:#?}");
    assert_eq!(kernel(router), before);
}
