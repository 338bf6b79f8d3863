//! Changes of configuration, health and kernel under a running service: each costs what it must and no more.

use std::fs;

use super::*;

#[test]
fn interfaces_in_another_order_get_other_numbers() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    let swapped = CONFIG
        .replace("config interface 'wan'", "config interface '-'")
        .replace("config interface 'wanb'", "config interface 'wan'")
        .replace("config interface '-'", "config interface 'wanb'");
    router.write_config(&swapped);
    succeed(router, "reload");
    let rules = our_rules(router);
    assert!(rules.contains("1001:\tfrom all iif wanb lookup 1 proto 77"), "{rules}");
    assert!(rules.contains("1002:\tfrom all iif wan lookup 2 proto 77"), "{rules}");
    assert_eq!(rules.lines().count(), 13, "{rules}");
    let table = router.sh("ip route show table 1 default");
    assert_eq!(table, "default via 10.102.0.1 dev wanb proto 77 metric 20 \n");
    assert_settled(router);
    let report = udp_flows(&lab, "1.1.1.1", 5001, 20);
    assert_eq!(report.by("wanb"), 20, "{report}");
}

#[test]
fn a_reload_keeps_counters_and_remembered_clients() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    tcp_flows(&lab, "1.1.1.1", 443, 10);
    udp_flows(&lab, "1.1.1.1", 5001, 7);
    let before = ["https", "alternative"].map(|rule| counted(router, rule));
    assert_eq!(before, [10, 7]);
    assert_eq!(sticky_entries(router), 1);
    let changed = CONFIG.replace("config rule 'rest'", "config rule 'new'\n	option proto 'udp'\n	option dest_port '7'\n	option use_policy 'wanb_only'\nconfig rule 'rest'")
        .replace("config member 'wan_m1'\n", "config member 'wan_m1'\n	option weight '3'\n");
    router.write_config(&changed);
    succeed(router, "reload");
    assert_settled(router);
    assert!(router.sh("nft list table inet mwan3").contains("numgen random mod 4"));
    assert_eq!(["https", "alternative"].map(|rule| counted(router, rule)), before);
    assert_eq!(sticky_entries(router), 1);
}

#[test]
fn a_change_of_health_changes_policies_only() {
    // A tracker would be quicker than we are.
    let Some(lab) = lab() else { return };
    let router = lab.router();
    succeed(router, "start --no-track");
    tcp_flows(&lab, "1.1.1.1", 443, 10);
    udp_flows(&lab, "1.1.1.1", 53, 5);
    udp_flows(&lab, "1.1.1.1", 5001, 7);
    let counts = || ["https", "dns", "alternative"].map(|rule| counted(router, rule));
    assert_eq!(counts(), [10, 5, 7]);
    let state = |text: &str| {
        fs::write(router.run_dir().join("mwan3/iface_state/wan"), text).expect("written");
    };
    for (text, uplink) in [("offline\n", "wanb"), ("online\n", "wan")] {
        state(text);
        let changes = succeed(router, "plan --diff").stdout;
        assert!(changes.contains("policy_wan_first_ipv4"), "{changes}");
        for change in changes.lines() {
            let words: Vec<&str> = change.split(' ').collect();
            let chain = words.get(4).copied().unwrap_or_default();
            let may_change = ["policy_", "sticky_", "renew_"].iter().any(|kind| chain.starts_with(kind));
            assert!(may_change, "{change}\nin\n{changes}");
        }
        assert!(!changes.contains("policy_wanb_only"), "{changes}");
        succeed(router, "reload --no-track");
        assert_settled(router);
        assert_eq!(counts(), [10, 5, 7]);
        assert_eq!(succeed(router, "policies").stdout.contains("wan_first:\n wan (100%)"), uplink == "wan");
    }
    let report = udp_flows(&lab, "8.8.8.8", 53, 8);
    assert_eq!(report.by("wan"), 8, "{report}");
}

#[test]
fn ifdown_and_ifup_take_an_uplink_out_and_in() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    udp_flows(&lab, "1.1.1.1", 5001, 7);
    let before = our_rules(router);
    succeed(router, "ifdown wan");
    let rules = our_rules(router);
    for gone in ["1001:", "2001:", "3001:"] {
        assert!(!rules.contains(gone), "{rules}");
    }
    assert!(rules.contains("2002:") && rules.contains("2003:"), "{rules}");
    assert!(router.try_sh("ip -4 route show table 1").stdout.is_empty());
    let report = udp_flows(&lab, "1.1.1.1", 4000, 20);
    assert_eq!(report.by("wanb"), 20, "{report}");
    // It holds through a reload.
    succeed(router, "reload");
    assert!(!our_rules(router).contains("2001:"));
    assert_settled(router);
    succeed(router, "ifup wan");
    assert_eq!(our_rules(router), before);
    assert_settled(router);
    assert_eq!(counted(router, "alternative"), 7);
}

#[test]
fn what_was_removed_by_hand_comes_back_with_a_reload() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    let whole =
        || (our_rules(router), router.sh("ip route show table all | grep 'proto 77'"), policy_lines(router));
    let before = whole();
    for damage in [
        "ip rule del pref 2001",
        "ip -6 rule del pref 2062",
        "ip route flush table 2",
        "ip route del default table 1",
        "ip -6 route flush table 3",
        "nft flush chain inet mwan3 policy_balanced_ipv4",
        "nft flush chain inet mwan3 prerouting && nft delete chain inet mwan3 prerouting",
        "nft flush chain inet mwan3 rules_ipv4",
        "nft add rule inet mwan3 prerouting counter drop",
        "nft insert rule inet mwan3 uplink_wan accept",
        "nft delete element inet mwan3 connected_ipv4 { 192.168.1.0/24 }",
        "nft add element inet mwan3 connected_ipv4 { 203.0.113.0/24 }",
        "nft add chain inet mwan3 stray",
        "nft add table inet mwan3 '{ flags dormant; }'",
        "nft flush table inet mwan3",
        "nft delete table inet mwan3",
    ] {
        let output = router.try_sh(damage);
        if !output.success() {
            panic!("{damage}: {output}");
        }
        let changes = router.mwan3(["plan", "--diff"]);
        assert_ne!(changes.stdout, "# nothing to change\n", "{damage} went unseen");
        succeed(router, "reload");
        assert_settled(router);
        assert_eq!(whole(), before, "{damage}");
    }
    let report = udp_flows(&lab, "1.1.1.1", 5001, 20);
    assert_eq!(report.by("wanb"), 20, "{report}");
}

/// The rules of the table, chain by chain, in any order of chains, and the elements of the sets.
fn policy_lines(router: &Router) -> Vec<String> {
    let listing = router.sh("nft -s list table inet mwan3");
    let body = listing.strip_prefix("table inet mwan3 {\n").and_then(|rest| rest.strip_suffix("}\n"));
    let body = body.expect("one table");
    let mut blocks: Vec<String> = body.split("\n\n").map(|block| block.trim_end().to_owned()).collect();
    blocks.sort();
    blocks
}
