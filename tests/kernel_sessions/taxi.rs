//! The taxi dispatcher: an operator bans the account when a second address registers before the first session has
//! timed out. `hold` is for him; everybody else's traffic moves at once.

use std::fs;
use std::time::Duration;

use lab::wait_until;

use crate::operator::{ADDRESS, HOLD, Telephony};
use crate::tracking::{FAILOVER, FAST, SOON, Site, config};

/// Telephony has a policy of its own over the same two uplinks as everything else.
pub fn with_telephony(policy_options: &str) -> String {
    let usual = config(&["wan", "wanb"], &[FAST, FAST]);
    let telephony = format!(
        "config policy 'telephony'\n    list use_member 'm_wan'\n    list use_member 'm_wanb'\n{policy_options}\n\
         config rule 'voice'\n    option dest_ip '{ADDRESS}'\n    option use_policy 'telephony'\n"
    );
    // The first rule that matches decides.
    let (before, rules) = usual.split_once("config rule").unwrap();
    format!("{before}{telephony}config rule{rules}")
}

pub fn dispatcher(policy_options: &str) -> Site {
    let site = Site::prepare_with(lab::Lab::builder().uplinks(2).ipv6(false));
    site.lab.router().write_config(&with_telephony(policy_options));
    site.run(&["start"]);
    site.await_status("wan", "online");
    site.await_status("wanb", "online");
    site
}

/// Only a process that is gone has let go of its lock.
pub fn end_tracker(site: &Site) {
    let process = format!("/proc/{}", site.pid());
    site.ask("quit");
    assert!(wait_until(SOON, || !std::path::Path::new(&process).exists()));
}

fn await_addresses(telephony: &Telephony, count: usize) {
    let came = wait_until(SOON, || telephony.book().addresses.len() >= count);
    assert!(came, "{:?}", telephony.book());
}

/// Out by the first uplink, over to the second, and back.
fn a_day(site: &Site, telephony: &Telephony) {
    await_addresses(telephony, 1);
    site.lab.isp(1).blackhole();
    await_addresses(telephony, 2);
    site.lab.isp(1).restore();
    await_addresses(telephony, 3);
}

/// Refused, or silent where the kernel is tired of refusing: but not a word gets out.
#[track_caller]
fn assert_nobody_hears(speaker: &lab::Host) {
    let voice = speaker.udp(ADDRESS, 4000).count(5).timeout(Duration::from_millis(300)).run();
    assert!(voice.refused() > 0, "the last resort refuses: {voice}");
    assert!(!voice.samples.iter().any(|one| matches!(one.outcome, lab::Outcome::Answered(_))), "{voice}");
}

#[test]
fn a_taxi_dispatcher_with_a_hold_is_never_banned() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher(&format!("    option hold '{HOLD}'"));
    let telephony = Telephony::start(&site.lab);
    a_day(&site, &telephony);
    let book = telephony.book();
    assert_eq!(book.bans, 0, "{book:?}");
    assert_eq!(book.addresses.first(), book.addresses.last(), "{book:?}");
    let events = site.ask("events 0").to_string();
    assert!(events.contains("policy telephony (ipv4) left its tier: no other one for 4 s"), "{events}");
    assert!(events.contains("policy telephony (ipv4) uses metric 2"), "{events}");
}

#[test]
fn the_same_dispatcher_without_a_hold_is_banned() {
    if !lab::is_available() {
        return;
    }
    // Else the registration stays behind on the second uplink, and nobody notices.
    let site = dispatcher("    option on_recover 'drop'");
    let telephony = Telephony::start(&site.lab);
    a_day(&site, &telephony);
    let book = telephony.book();
    assert!(book.bans >= 1, "{book:?}");
}

#[test]
fn a_hold_holds_nobody_else_and_is_shown() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("    option hold '60'");
    let telephony = Telephony::start(&site.lab);
    await_addresses(&telephony, 1);
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    let others = site.lab.client().udp(FAILOVER, 4000).count(20).run();
    assert!(others.all_by("wanb"), "{others}");
    assert_nobody_hears(site.lab.client());
    // Nor the exchange on the router itself.
    assert_nobody_hears(site.lab.router());
    let policies = site.run(&["policies"]);
    assert!(
        policies.contains("telephony:\n unreachable\n  held: metric 1 was left, another one is used in"),
        "{policies}"
    );
    assert!(site.run(&["status"]).contains("  held: metric 1 was left"));
    let explained = site.run(&["explain", "--from", "192.168.1.10", ADDRESS, "udp", "5060"]);
    assert!(explained.contains("it left metric 1 and holds"), "{explained}");
    let json: serde_json::Value = serde_json::from_str(&site.run(&["policies", "--json"])).unwrap();
    assert_eq!(json["held"][0]["policy"], "telephony", "{json}");
    assert!(json["held"][0]["remaining"].as_u64().is_some_and(|left| left > 0 && left <= 60), "{json}");
    // The uplink that was left comes back first: nobody has to wait any more.
    site.lab.isp(1).restore();
    let came_back = wait_until(SOON, || site.lab.client().udp(ADDRESS, 4000).count(5).run().all_by("wan"));
    assert!(came_back, "{}", site.run(&["policies"]));
    assert_eq!(telephony.book().bans, 0);
}

#[test]
fn a_hold_survives_a_reload_and_another_tracker() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("    option hold '8'");
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    let file = site.lab.router().run_dir().join("mwan3/policy_tiers");
    let before = fs::read_to_string(&file).unwrap();
    assert!(before.starts_with("telephony ipv4 tier=none left=1 until_ms="), "{before}");
    site.run(&["reload"]);
    let first = site.pid();
    end_tracker(&site);
    site.run(&["reload"]);
    assert_ne!(site.pid(), first);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    assert_nobody_hears(site.lab.client());
    // And it ends when it would have ended.
    assert!(wait_until(SOON, || fs::read_to_string(&file).unwrap().contains("tier=2")));
    assert!(wait_until(SOON, || site.lab.client().udp(ADDRESS, 4000).count(5).run().all_by("wanb")));
}

#[test]
fn a_hold_that_is_over_with_nothing_to_use_costs_nothing() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("    option hold '1'");
    site.lab.isp(1).blackhole();
    site.lab.isp(2).blackhole();
    site.await_status("wan", "offline");
    site.await_status("wanb", "offline");
    let probes = |more: u64| {
        let before = site.stat("probes");
        assert!(wait_until(SOON, || site.stat("probes") >= before + more));
    };
    // Two targets of two uplinks, three rounds a second: past the hold.
    probes(30);
    let before = site.stat("reconciles");
    probes(30);
    let reconciles = site.stat("reconciles") - before;
    assert!(reconciles < 10, "{reconciles} in a few seconds");
    assert!(!site.run(&["policies"]).contains("held:"));
    site.lab.isp(2).restore();
    assert!(wait_until(SOON, || site.lab.client().udp(ADDRESS, 4000).count(5).run().all_by("wanb")));
}
