//! Flap damping with the real tracker: coming back takes longer each time, leaving never does, and nothing is kept
//! from whoever has nothing else.

use std::fs;
use std::time::Instant;

use lab::wait_until;

use crate::taxi::end_tracker;
use crate::tracking::{FAILOVER, FAST, HEALTHY, SOON, Site};

fn by(site: &Site, destination: &str, uplink: &str) -> bool {
    site.lab.client().udp(destination, 4000).count(10).run().all_by(uplink)
}

fn damping(site: &Site) -> String {
    let path = site.lab.router().run_dir().join("mwan3/failback/wan");
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

fn fail_and_restore(site: &Site) {
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    assert!(by(site, FAILOVER, "wanb"), "leaving is never delayed");
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
}

#[test]
fn an_uplink_that_flaps_is_taken_back_later_each_time() {
    if !lab::is_available() {
        return;
    }
    let site =
        Site::start(2, &format!("{FAST}\n    option failback_delay '2'\n    option failback_delay_max '60'"));
    site.await_status("wan", "online");
    assert!(by(&site, FAILOVER, "wan"), "nothing has failed yet");
    fail_and_restore(&site);
    let back_at = Instant::now();
    assert_eq!(damping(&site), "waiting 1");
    assert!(by(&site, FAILOVER, "wanb"), "it must prove itself first");
    assert!(site.run(&["interfaces"]).contains("  on probation: policies that have another way wait for it"));
    assert!(wait_until(SOON, || by(&site, FAILOVER, "wan")));
    assert!(back_at.elapsed().as_secs() >= 1, "it was not waited for");
    assert_eq!(damping(&site), "settled 1");
    fail_and_restore(&site);
    assert_eq!(damping(&site), "waiting 2");
    let reasons = site.ask("events 0").to_string();
    assert!(reasons.contains("wait 4 s"), "{reasons}");
    // Somebody who cannot wait.
    site.run(&["ifup", "wan"]);
    assert!(by(&site, FAILOVER, "wan"));
}

#[test]
fn a_drill_is_no_failure() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, &format!("{FAST}\n    option failback_delay '3600'"));
    site.await_status("wan", "online");
    site.await_status("wanb", "online");
    site.run(&["drill", "wan", "--seconds", "1"]);
    assert!(site.events("wan").contains(&"drill".to_owned()));
    assert!(by(&site, FAILOVER, "wan"), "it is back when the time is over: {}", site.ask("events 0"));
    assert_eq!(damping(&site), "");
}

#[test]
fn an_uplink_on_probation_carries_what_has_no_other_way() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, &format!("{FAST}\n    option failback_delay '3600'"));
    site.await_status("wanb", "online");
    fail_and_restore(&site);
    end_tracker(&site);
    site.run(&["reload"]);
    assert!(by(&site, FAILOVER, "wanb"), "another tracker, the same probation");
    site.lab.isp(2).blackhole();
    site.await_status("wanb", "offline");
    assert!(by(&site, FAILOVER, "wan"), "nothing else is left");
    site.lab.isp(2).restore();
    site.await_status("wanb", "online");
    assert!(by(&site, HEALTHY, "wanb"), "the only member of its policy");
}

#[test]
fn who_takes_the_option_away_ends_the_wait_for_good() {
    if !lab::is_available() {
        return;
    }
    let with = format!("{FAST}\n    option failback_delay '3600'");
    let site = Site::start(2, &with);
    site.await_status("wan", "online");
    fail_and_restore(&site);
    assert!(by(&site, FAILOVER, "wanb"));
    for options in [FAST, &with] {
        site.configure(&[options, options]);
        site.run(&["reload"]);
        assert!(by(&site, FAILOVER, "wan"), "{}: {options}", damping(&site));
    }
}

#[test]
fn an_uplink_comes_back_in_its_window_only() {
    if !lab::is_available() {
        return;
    }
    let minutes: u32 = local_time().split(':').fold(0, |sum, part| sum * 60 + part.parse::<u32>().unwrap());
    let at = |minute: u32| format!("{:02}:{:02}", minute % 1440 / 60, minute % 60);
    let window =
        |from: u32, to: u32| format!("option failback_window '{}-{}'", at(minutes + from), at(minutes + to));
    let site = Site::start(2, &format!("{FAST}\n    {}", window(600, 700)));
    site.await_status("wan", "online");
    fail_and_restore(&site);
    assert!(by(&site, FAILOVER, "wanb"), "not now");
    // It is opened while we wait: from now on, with room for a slow test.
    let options = format!("{FAST}\n    {}", window(1380, 60));
    site.configure(&[&options, &options]);
    site.run(&["reload"]);
    assert!(wait_until(2 * SOON, || by(&site, FAILOVER, "wan")), "{}", site.ask("events 0"));
    assert!(site.events("wan").contains(&"failback".to_owned()));
}

/// As the router's people see it.
fn local_time() -> String {
    String::from_utf8(std::process::Command::new("date").arg("+%H:%M").output().unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}
