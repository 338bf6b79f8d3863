//! What is not ours: untouched while the service runs, and all that is left once it has gone.

use std::fs;

use mwan3::system::netlink::{NETFILTER, Payload, Socket, flag};

use super::*;

#[test]
fn stop_leaves_no_trace() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    let before = (kernel(router), files(router));
    succeed(router, "start");
    succeed(router, "ifdown wanb");
    assert_ne!(kernel(router), before.0);
    succeed(router, "stop");
    assert_eq!(kernel(router), before.0);
    assert_eq!(files(router), before.1);
    // Nor does a second one find anything.
    succeed(router, "stop");
    assert_eq!(kernel(router), before.0);
    assert_eq!(files(router), before.1);
}

#[test]
fn stop_needs_no_configuration() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    let before = kernel(router);
    succeed(router, "start");
    fs::remove_file(router.config_dir().join("mwan3")).expect("it was there");
    succeed(router, "stop");
    assert_eq!(kernel(router), before);
}

#[test]
fn what_others_keep_at_our_places_survives() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    router.sh("ip rule add pref 2500 from 192.168.1.77 lookup 42
               ip -6 rule add pref 2500 from fd00:1::77 lookup 42
               ip rule add pref 1001 iif lan0 lookup 42
               ip route add default via 10.102.0.1 dev wanb table 42
               ip route add 198.18.0.0/15 via 10.102.0.1 dev wanb table 1 proto static
               ip -6 route add fd18::/16 via 2001:db8:2::1 dev wanb table 3 proto static
               nft add table inet other
               nft add chain inet other one '{ type filter hook forward priority 0; }'
               nft add rule inet other one counter name nothing 2>/dev/null || nft add rule inet other one accept
               nft add table ip mwan3
               nft add chain ip mwan3 classify");
    let before = kernel(router);
    let foreign = [
        "2500:\tfrom 192.168.1.77 lookup 42",
        "2500:\tfrom fd00:1::77 lookup 42",
        "1001:\tfrom all iif lan0 lookup 42",
        "default via 10.102.0.1 dev wanb table 42",
        "198.18.0.0/15 via 10.102.0.1 dev wanb table 1 proto static",
        "fd18::/16 via 2001:db8:2::1 dev wanb table 3 proto static",
        "table inet other {\n\tchain one {\n\t\ttype filter hook forward priority filter; policy accept;",
        "table ip mwan3 {\n\tchain classify {",
    ];
    let assert_there = || {
        let now = kernel(router);
        for text in foreign {
            assert!(now.contains(text), "no {text:?} in\n{now}");
        }
    };
    assert_there();
    for words in ["start", "reload", "ifdown wan", "ifup wan", "restart"] {
        succeed(router, words);
        assert_there();
    }
    succeed(router, "stop");
    assert_eq!(kernel(router), before);
}

#[test]
fn bits_of_others_in_the_marks_survive() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    let others = "table inet others {
        counter kept { }
        counter lost { }
        chain before {
            type filter hook prerouting priority -190;
            iifname lan0 meta mark set meta mark or 0x80000
            iifname lan0 ct mark set ct mark or 0x40000
        }
        chain after {
            type filter hook postrouting priority 0;
            udp dport 4000 oifname { wan, wanb } meta mark and 0x83f00 == { 0x80100, 0x80200 } \
                ct mark and 0x43f00 == { 0x40100, 0x40200 } counter name kept return
            udp dport 4000 oifname { wan, wanb } counter name lost
        }
    }";
    router.nft(others).expect("loaded");
    let report = udp_flows(&lab, "1.1.1.1", 4000, 40);
    assert_eq!(report.answered(), 40, "{report}");
    let count = |name: &str| {
        let text = router.sh(&format!("nft list counter inet others {name}"));
        let packets = text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
        packets.and_then(|number| number.parse::<u32>().ok()).expect("a number")
    };
    assert_eq!((count("kept"), count("lost")), (40, 0));
}

const OF_THE_SHELL_PACKAGE: &str = "
    ip rule add pref 1001 iif wan lookup 1
    ip rule add pref 1002 iif gone lookup 2
    ip rule add pref 2001 fwmark 0x100/0x3f00 lookup 1
    ip rule add pref 2061 fwmark 0x3d00/0x3f00 blackhole
    ip rule add pref 2062 fwmark 0x3e00/0x3f00 unreachable
    ip rule add pref 3001 fwmark 0x100/0x3f00 unreachable
    ip -6 rule add pref 2007 fwmark 0x700/0x3f00 lookup 7
    ip rule add pref 2003 fwmark 0x100/0x3f00 lookup 3";

#[test]
fn rules_that_the_shell_package_left_go_at_a_start_and_only_then() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    let rules = || router.sh("ip -4 rule; ip -6 rule");
    succeed(router, "start");
    let clean = rules();
    router.sh(OF_THE_SHELL_PACKAGE);
    let littered = rules();
    assert_eq!(littered.lines().count(), clean.lines().count() + 8);
    succeed(router, "reload");
    succeed(router, "ifup wan");
    assert_eq!(rules(), littered);
    succeed(router, "start");
    // The last one is not what the shell package makes: mark and table are of two interfaces.
    let users = "2003:\tfrom all fwmark 0x100/0x3f00 lookup 3\n";
    let sorted = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    assert_eq!(sorted(&rules()), sorted(&(clean.clone() + users)));
    assert_settled(router);
    succeed(router, "stop");
    router.sh("ip rule del pref 2003");
    router.sh(OF_THE_SHELL_PACKAGE);
    succeed(router, "start");
    assert_eq!(sorted(&rules()), sorted(&(clean + users)));
}

const CHAINS_OF_THE_SHELL_PACKAGE: &str = "
    table ip mangle {
        chain mwan3_policy_balanced { meta mark and 0x3f00 == 0 meta mark set meta mark or 0x200; }
        chain mwan3_rules { meta mark and 0x3f00 == 0 counter jump mwan3_policy_balanced; }
        chain mwan3_hook { counter jump mwan3_rules; }
        chain mine { return; }
        chain PREROUTING {
            type filter hook prerouting priority mangle;
            counter jump mine
            counter jump mwan3_hook
            iifname lo counter accept
        }
        chain OUTPUT { type route hook output priority mangle; counter jump mwan3_hook; }
    }
    table ip6 mangle {
        chain mwan3_hook { return; }
        chain OUTPUT { type route hook output priority mangle; counter jump mwan3_hook; }
    }
    table ip mine { chain mwan3_hook { return; }; }";

/// `ipset create NAME hash:net family inet`
fn create_ipset(router: &Router, name: &str) {
    let mut request = Payload::new(&[0; 4]);
    request.put_u8(1, 7);
    request.put_text(2, name);
    request.put_text(3, "hash:net");
    request.put_u8(4, 0);
    request.put_u8(5, 2);
    request.nest(7, |_| {});
    let create = || Socket::open(NETFILTER)?.request(6 << 8 | 2, flag::CREATE | flag::EXCLUSIVE, &request);
    router.run(create).expect("an ipset");
}

fn ipsets(router: &Router) -> Vec<String> {
    let mut request = Payload::new(&[0; 4]);
    request.put_u8(1, 7);
    let answers = router.run(|| Socket::open(NETFILTER)?.dump(6 << 8 | 7, &request)).expect("a list");
    let name = |payload: &[u8]| {
        let mut attributes = mwan3::system::netlink::Attributes::new(&payload[4..]);
        attributes.find(|attribute| attribute.kind == 2).map(|name| name.text())
    };
    answers.iter().filter_map(|answer| name(&answer.payload)).collect()
}

#[test]
fn chains_and_ipsets_that_the_shell_package_left_go_at_a_start() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    router.nft(CHAINS_OF_THE_SHELL_PACKAGE).expect("loaded");
    create_ipset(router, "mwan3_connected_ipv4");
    create_ipset(router, "blocked");
    let found = succeed(router, "check -v").stdout;
    assert!(found.contains("kernel: the shell package's 4 chains, 1 ipsets are here"), "{found}");
    let changes = succeed(router, "plan --diff").stdout;
    for change in [
        "delete chain ip mangle mwan3_rules",
        "delete chain ip6 mangle mwan3_hook",
        "ipset destroy mwan3_con",
    ] {
        assert!(changes.contains(change), "no {change} in\n{changes}");
    }
    succeed(router, "start");
    let ruleset = router.sh("nft list ruleset");
    assert_eq!(ruleset.matches("mwan3_").count(), 1, "{ruleset}");
    for kept in ["table ip mine {\n\tchain mwan3_hook", "jump mine", "chain mine", "iifname \"lo\""] {
        assert!(ruleset.contains(kept), "no {kept} in\n{ruleset}");
    }
    assert_eq!(ipsets(router), ["blocked"]);
    assert_settled(router);
    let report = udp_flows(&lab, "1.1.1.1", 5001, 20);
    assert_eq!(report.by("wanb"), 20, "{report}");
}

#[test]
fn chains_of_the_older_iptables_are_told_with_the_command_that_removes_them() {
    let Some(lab) = lab() else { return };
    let router = lab.router();
    if !router.try_sh("iptables-legacy -t mangle -N mwan3_hook").success() {
        eprintln!("skipped: no iptables-legacy");
        return;
    }
    create_ipset(router, "mwan3_connected_ipv4");
    let found = router.mwan3(["check"]);
    let command =
        found.stdout.lines().find_map(|line| line.split_once("but this can: ")).expect("a command").1;
    assert!(found.code == Some(1) && command.ends_with("-restore -T mangle"), "{found}");
    let started = router.mwan3(["start"]);
    assert!(started.success() && started.stderr.contains(command), "{started}");
    assert_eq!(ipsets(router), ["mwan3_connected_ipv4"]);
    router.sh(command);
    succeed(router, "restart");
    assert!(ipsets(router).is_empty());
    assert_eq!(succeed(router, "check").code, Some(0));
}
