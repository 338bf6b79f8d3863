//! Sources keep the uplink they got, as long as that makes sense.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lab::Lab;

use crate::gateway::{Config, DEADLINE, V4, V6, laboratory, mwan3, note_state};

/// Sources with the same WAN by chance: 2 in a million.
const SOURCES: usize = 20;

fn config(weight_of_wanb: u32, timeout_s: u32) -> Config {
    Config::new(&["wan", "wanb"])
        .policy("balanced", &[("wan", 1, 1), ("wanb", 1, weight_of_wanb)])
        .rule("web", &format!("sticky=1 timeout={timeout_s} use_policy=balanced"))
}

fn sources(destination: &str) -> Vec<IpAddr> {
    let prefix = if destination == V4 { "192.168.1." } else { "fd00:1::" };
    (0..SOURCES).map(|index| format!("{prefix}{}", 10 + index).parse().expect("an address")).collect()
}

/// The one uplink of each source's flows.
#[track_caller]
fn uplinks_of(lab: &Lab, destination: &str, flows: usize) -> BTreeMap<IpAddr, String> {
    let of = |source: IpAddr| {
        let report = lab.client().udp(destination, 4000).source(source).count(flows).run();
        let seen = report.by_isp();
        assert_eq!(report.answered(), flows, "{source}: {report}");
        assert_eq!(seen.len(), 1, "{source} was sent both ways: {report}");
        seen.into_keys().next().expect("there is one")
    };
    sources(destination).into_iter().map(|source| (source, of(source))).collect()
}

fn remembered(lab: &Lab, set: &str) -> String {
    let listing = lab.router().try_sh(&format!("nft list set inet mwan3 {set}"));
    listing.stdout.lines().filter(|line| line.contains("expires")).collect()
}

#[test]
fn a_source_keeps_its_uplink_while_sources_spread() {
    let Some(lab) = laboratory(Lab::builder().client_addresses(SOURCES)) else { return };
    config(1, 600).start(&lab);
    for destination in [V4, V6] {
        let first = uplinks_of(&lab, destination, 10);
        let used: BTreeSet<&String> = first.values().collect();
        assert_eq!(used.len(), 2, "{first:?}");
        // One of them for long.
        let (source, device) = first.iter().next().expect("there are sources");
        let report = lab.client().tcp(destination, 443).source(*source).count(200).run();
        assert!(report.all_by(device), "{report}");
        // Neither a reload nor a change of the weights makes anybody move.
        config(1000, 600).reload(&lab);
        assert_eq!(uplinks_of(&lab, destination, 3), first);
        config(1, 600).reload(&lab);
    }
}

#[test]
fn a_forgotten_source_is_free_again() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    // The source gets wan, for there is no other.
    config(100_000, 2).start(&lab);
    note_state(&lab, "wanb", false);
    mwan3(&lab, "reload");
    assert!(lab.client().tcp_flows(V4, 443, 5).all_by("wan"));
    note_state(&lab, "wanb", true);
    mwan3(&lab, "reload");
    // Each flow renews the entry, so it lives as long as it is used.
    let begun = std::time::Instant::now();
    while begun.elapsed() < std::time::Duration::from_secs(4) {
        let report = lab.client().tcp_flows(V4, 443, 1);
        assert!(report.all_by("wan"), "while in use: {report}");
    }
    assert!(lab::wait_until(DEADLINE, || remembered(&lab, "sticky_web_ipv4_wan").is_empty()));
    let report = lab.client().tcp_flows(V4, 443, 5);
    assert!(report.all_by("wanb"), "after its time: {report}");
}

#[test]
fn a_dead_uplink_is_never_chosen_and_its_sources_are_forgotten() {
    let Some(lab) = laboratory(Lab::builder().client_addresses(SOURCES)) else { return };
    config(1, 600).start(&lab);
    for destination in [V4, V6] {
        let before = uplinks_of(&lab, destination, 2);
        assert!(before.values().any(|device| device == "wan"), "{before:?}");
        note_state(&lab, "wan", false);
        mwan3(&lab, "reload");
        let during = uplinks_of(&lab, destination, 5);
        assert!(during.values().all(|device| device == "wanb"), "{during:?}");
        note_state(&lab, "wan", true);
        mwan3(&lab, "reload");
        // All have been remembered for wanb by now, and nobody for wan.
        assert_eq!(remembered(&lab, "sticky_web_ipv4_wan"), "");
        assert_eq!(uplinks_of(&lab, destination, 5), during);
    }
}

#[test]
fn an_uplink_that_returns_takes_new_sources() {
    let Some(lab) = laboratory(Lab::builder().client_addresses(SOURCES)) else { return };
    config(1, 600).start(&lab);
    mwan3(&lab, "ifdown wan");
    let before = lab.client().udp(V4, 4000).count(5).run();
    assert!(before.all_by("wanb"), "{before}");
    mwan3(&lab, "ifup wan");
    let uplinks = uplinks_of(&lab, V4, 5);
    assert_eq!(uplinks[&sources(V4)[0]], "wanb", "who was there stays");
    assert!(uplinks.values().any(|device| device == "wan"), "{uplinks:?}");
}

#[test]
fn a_sticky_source_returns_to_the_better_tier() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    Config::new(&["wan", "wanb"])
        .policy("failover", &[("wan", 1, 1), ("wanb", 2, 1)])
        .rule("web", "sticky=1 timeout=600 use_policy=failover")
        .start(&lab);
    assert!(lab.client().tcp_flows(V4, 443, 5).all_by("wan"));
    note_state(&lab, "wan", false);
    mwan3(&lab, "reload");
    assert!(lab.client().tcp_flows(V4, 443, 5).all_by("wanb"));
    note_state(&lab, "wan", true);
    mwan3(&lab, "reload");
    assert!(lab.client().tcp_flows(V4, 443, 5).all_by("wan"));
}
