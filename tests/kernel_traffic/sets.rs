//! Sets that others fill: rules that name them, and destinations that no policy shall touch.

use lab::Lab;

use crate::gateway::{Config, DEADLINE, laboratory, mwan3};

const FAR_V4: &str = "198.51.100.1";
const FAR_V6: &str = "2001:db8:ee::1";

fn config(rules: &[(&str, &str)]) -> Config {
    let config = Config::new(&["wan", "wanb"]).policies_of_one(&["wan", "wanb"]);
    let config = rules.iter().fold(config, |config, (name, options)| config.rule(name, options));
    config.rule("rest", "use_policy=wan_only")
}

#[track_caller]
fn assert_way(lab: &Lab, destination: &str, device: &str) {
    for host in [lab.client(), lab.router()] {
        let report = host.tcp_flows(destination, 443, 5);
        assert!(report.all_by(device), "{} to {destination}: {report}", host.name());
    }
}

#[test]
fn a_set_is_filled_from_outside_while_all_runs() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    let config = config(&[
        ("four", "family=ipv4 ipset=streaming use_policy=wanb_only"),
        ("six", "family=ipv6 ipset=streaming6 use_policy=wanb_only"),
    ]);
    config.start(&lab);
    assert_way(&lab, FAR_V4, "wan");
    assert_way(&lab, FAR_V6, "wan");
    let router = lab.router();
    router.sh("nft add element inet mwan3 streaming { 198.51.100.0/28 }");
    router.sh("nft add element inet mwan3 streaming6 { 2001:db8:ee::1 }");
    assert_way(&lab, FAR_V4, "wanb");
    assert_way(&lab, FAR_V6, "wanb");
    // What others put there is theirs.
    config.rule("more", "proto=udp use_policy=wan_only").reload(&lab);
    mwan3(&lab, "ifdown wan");
    mwan3(&lab, "ifup wan");
    mwan3(&lab, "restart");
    assert_way(&lab, FAR_V4, "wanb");
    assert_way(&lab, FAR_V6, "wanb");
    router.sh("nft delete element inet mwan3 streaming { 198.51.100.0/28 }");
    assert_way(&lab, FAR_V4, "wan");
}

#[test]
fn a_negated_set_takes_all_the_others() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    config(&[("others", "family=ipv4 ipset=!home use_policy=wanb_only")]).start(&lab);
    lab.router().sh("nft add element inet mwan3 home { 198.51.100.1 }");
    assert_way(&lab, FAR_V4, "wan");
    assert_way(&lab, "198.51.100.2", "wanb");
    assert_way(&lab, FAR_V6, "wan");
}

#[test]
fn dynamic_networks_are_left_to_table_main_at_once() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    let config = Config::new(&["wan", "wanb"]).policies_of_one(&["wanb"]).rule("all", "use_policy=wanb_only");
    config.start(&lab);
    assert_way(&lab, FAR_V4, "wanb");
    let router = lab.router();
    router.sh("nft add element inet mwan3 dynamic_ipv4 { 198.51.100.0/28 }");
    router.sh("nft add element inet mwan3 dynamic_ipv6 { 2001:db8:ee::/64 }");
    assert_way(&lab, FAR_V4, "wan");
    assert_way(&lab, FAR_V6, "wan");
    config.reload(&lab);
    assert_way(&lab, FAR_V4, "wan");
    assert_way(&lab, "198.51.100.100", "wanb");
}

#[test]
fn sets_of_the_firewall_are_mirrored_element_by_element() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    lab.router()
        .nft(
            "table inet fw4 {
                set plain { type ipv4_addr; elements = { 198.51.100.1, 198.51.100.3 }; }
                set wide { typeof ip daddr; flags interval; elements = { 198.51.100.4-198.51.100.6 }; }
                set fading { type ipv6_addr; flags timeout; elements = { 2001:db8:ee::1 timeout 1h }; }
                set many { type ipv4_addr; flags interval; elements = { 8.0.0.0-255.255.255.255 }; }
                set ports { type inet_service; elements = { 80 }; }
                map pairs { type ipv4_addr : verdict; elements = { 198.51.100.2 : accept }; }
            }",
        )
        .expect("nft takes the sets");
    let rules = [
        ("plain", "ipset=plain proto=tcp use_policy=wanb_only"),
        ("wide", "ipset=wide use_policy=wanb_only"),
        ("fading", "ipset=fading use_policy=wanb_only"),
        ("ports", "family=ipv4 ipset=ports use_policy=wanb_only"),
        ("pairs", "family=ipv4 ipset=pairs use_policy=wanb_only"),
        ("many", "ipset=many proto=udp use_policy=wanb_only"),
    ];
    let config = config(&rules);
    config.start(&lab);
    for last in 1..=8 {
        let device = if [1, 3, 4, 5, 6].contains(&last) { "wanb" } else { "wan" };
        assert_way(&lab, &format!("198.51.100.{last}"), device);
    }
    assert_way(&lab, FAR_V6, "wanb");
    assert_way(&lab, "2001:db8:ee::2", "wan");
    assert!(lab.client().udp_flows(FAR_V4, 4000, 5).all_by("wanb"));
    assert!(lab.client().udp_flows("1.1.1.1", 4000, 5).all_by("wan"));

    let router = lab.router();
    router.sh("nft add element inet fw4 plain { 198.51.100.2 }");
    router.sh("nft delete element inet fw4 plain { 198.51.100.1 }");
    config.reload(&lab);
    assert_way(&lab, "198.51.100.2", "wanb");
    assert_way(&lab, FAR_V4, "wan");
    // A second look finds nothing to do.
    let before = router.sh("nft -a list table inet mwan3");
    config.reload(&lab);
    assert_eq!(before.lines().count(), router.sh("nft -a list table inet mwan3").lines().count());
}

#[test]
fn a_set_that_the_firewall_loses_is_for_others_to_fill() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    let router = lab.router();
    router.sh("nft add set inet fw4 gone '{ type ipv4_addr; elements = { 198.51.100.1 }; }'");
    let config = config(&[("gone", "ipset=gone use_policy=wanb_only")]);
    config.start(&lab);
    assert_way(&lab, FAR_V4, "wanb");
    router.sh("nft delete set inet fw4 gone");
    config.reload(&lab);
    assert_way(&lab, FAR_V4, "wan");
    router.sh("nft add element inet mwan3 gone { 198.51.100.1 }");
    assert_way(&lab, FAR_V4, "wanb");
}

#[test]
fn the_tracker_follows_the_firewalls_sets() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    let router = lab.router();
    router.sh("nft add set inet fw4 names '{ type ipv4_addr; }'");
    config(&[("names", "ipset=names use_policy=wanb_only")]).start(&lab);
    // Started with the service on a host without procd; its first look is over when it answers.
    assert!(lab::wait_until(DEADLINE, || router.run_dir().join("mwan3.sock").exists()));
    router.sh("nft add element inet fw4 names { 198.51.100.1 }");
    let follows = lab::wait_until(DEADLINE, || lab.client().tcp_flows(FAR_V4, 443, 1).all_by("wanb"));
    assert!(follows);
}
