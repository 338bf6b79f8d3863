//! What is not ours: untouched while the service runs, and all that is left once it has gone.

use std::fs;

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
