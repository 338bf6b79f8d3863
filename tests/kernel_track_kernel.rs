//! What the tracker does for the kernel's state: repairs, storms, fights, connections, many uplinks, rest.

#![allow(clippy::unwrap_used)]

mod tracking;

use std::fs;
use std::time::{Duration, Instant};

use lab::wait_until;
use tracking::{FAST, SOON, Site, tell};

#[test]
fn what_others_flush_is_repaired_at_once() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let router = site.lab.router();
    let held = || (router.sh("ip rule"), router.sh("ip route show table 1"), router.sh("nft list tables"));
    let wanted = held();
    let flushes = [
        ("nft flush ruleset", "nft delete table inet mwan3"),
        (
            "ip rule flush",
            "ip rule flush; ip rule add pref 32766 lookup main; ip rule add pref 32767 lookup default",
        ),
        ("ip route flush table 1", "ip route flush table 1"),
        ("one rule", "ip rule del pref 2002"),
    ];
    for (name, command) in flushes {
        router.sh(command);
        let begun = Instant::now();
        assert!(wait_until(SOON, || held() == wanted), "{name}: {:#?} is not {wanted:#?}", held());
        tell(&format!("repair after {name}"), begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(4), "{name}");
    }
    let flows = site.lab.client().udp(tracking::HEALTHY, 4000).count(20).run();
    assert!(flows.all_by("wanb"), "{flows}");
    assert_eq!(site.stat("repairs"), 4, "{}", site.ask("events 0"));
    assert!(!site.events("wan").contains(&"disconnected".to_owned()), "health has nothing to do with it");
}

#[test]
fn whoever_undoes_our_work_again_and_again_is_answered_ever_more_slowly() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let busy = processor_ms(&site);
    let before = site.stat("reconciles");
    // Five seconds of a loop that deletes a rule twenty times a second.
    site.lab.router().sh("for i in $(seq 100); do ip rule del pref 2001 2>/dev/null; sleep 0.05; done");
    let (repairs, looks) = (site.stat("repairs"), site.stat("reconciles") - before);
    let spent = processor_ms(&site) - busy;
    eprintln!("fight of 5 s: {repairs} repairs, {looks} reconciles, {spent} ms of processor");
    assert!((2..=12).contains(&repairs), "{repairs}");
    assert!(looks < 40, "{looks}");
    assert!(spent < 2_500, "{spent}");
    // In the end it is mended all the same.
    let is_back = || site.lab.router().sh("ip rule").contains("2001:");
    assert!(wait_until(Duration::from_secs(40), is_back));
}

#[test]
fn a_storm_of_route_changes_costs_few_recomputations() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let before = site.stat("reconciles");
    let mut lines = String::new();
    for step in ["add", "del"] {
        for number in 0..5_000 {
            lines +=
                &format!("route {step} 172.{}.{}.0/24 via 192.168.1.10\n", 16 + number / 250, number % 250);
        }
    }
    let begun = Instant::now();
    site.lab.router().namespace().batch(&lines).unwrap();
    let took = begun.elapsed();
    let settled = || site.lab.router().sh("ip route show table 1 | grep -c '^172' || true").trim() == "0";
    assert!(wait_until(SOON, settled));
    let looks = site.stat("reconciles") - before;
    tell("10,000 route changes", took);
    eprintln!("{looks} reconciles");
    // One for each 200 ms, and those that follow the tracker's own removals.
    let most = 10 + begun.elapsed().as_millis() as u64 / 100;
    assert!(looks <= most, "{looks} in {:?}", begun.elapsed());
    assert_eq!(site.stat("repairs"), 0, "{}", site.ask("events 0"));
    assert_eq!(site.events("wan"), ["connected"], "no false alarm meanwhile");
}

#[test]
fn connections_of_a_dead_uplink_are_forgotten_and_others_are_kept() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let client = site.lab.client();
    assert!(client.udp(tracking::FAILOVER, 4000).count(30).run().all_by("wan"));
    assert!(client.udp(tracking::HEALTHY, 4000).count(30).run().all_by("wanb"));
    let held =
        |mark: &str| site.lab.router().sh(&format!("conntrack -L -p udp -m {mark} 2>/dev/null | wc -l"));
    let count = |mark: &str| held(mark).trim().parse::<u32>().unwrap();
    assert!(count("0x100/0x3f00") >= 30 && count("0x200/0x3f00") >= 30);
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    assert!(wait_until(SOON, || count("0x100/0x3f00") < 30));
    assert!(count("0x200/0x3f00") >= 30, "another uplink's connections are gone");
}

#[test]
fn flush_conntrack_says_when_a_living_uplinks_connections_are_forgotten_as_well() {
    if !lab::is_available() {
        return;
    }
    let site = Site::prepare(2, FAST);
    site.configure(&[FAST, &format!("{FAST}\n    list flush_conntrack 'ifup'")]);
    site.run(&["start"]);
    site.await_status("wanb", "online");
    let client = site.lab.client();
    assert!(client.udp(tracking::HEALTHY, 4000).count(30).run().all_by("wanb"));
    let held = || site.lab.router().sh("conntrack -L -p udp -m 0x200/0x3f00 2>/dev/null | wc -l");
    let count = || held().trim().parse::<u32>().unwrap();
    assert!(count() >= 30);
    for interface in ["wan", "wanb"] {
        let mut command = site.command();
        command.arg("hotplug").env("ACTION", "ifup").env("INTERFACE", interface);
        assert!(command.status().unwrap().success());
        match interface {
            "wan" => assert!(count() >= 30, "it did not ask for that"),
            _ => assert!(wait_until(SOON, || count() < 30)),
        }
    }
}

#[test]
fn sixty_uplinks_are_tracked_at_once() {
    if !lab::is_available() {
        return;
    }
    // Shipped numbers, as sixty take a while even to be built.
    let options = FAST
        .replace("interval '0.3'", "interval '1'")
        .replace("confirm_interval '1'", "confirm_interval '0.1'");
    let site = Site::start(60, &options);
    let names: Vec<String> = site.lab.isps().iter().map(|isp| isp.device().to_owned()).collect();
    let are = |wanted: &str, which: &[String]| which.iter().all(|name| site.status(name) == wanted);
    assert!(wait_until(SOON, || are("online", &names)));
    let healthy = site.healthy_stream();
    let (dead, living) = names.split_at(30);
    for number in 1..=30 {
        site.lab.isp(number).blackhole();
    }
    let begun = Instant::now();
    assert!(wait_until(SOON, || are("offline", dead)), "{}", site.ask("events 0"));
    tell("30 of 60 uplinks dead to offline", begun.elapsed());
    assert!(are("online", living));
    let flows = site.lab.client().udp(tracking::FAILOVER, 4000).count(20).run();
    assert!(flows.all_by(&living[0]), "{flows}");
    for number in 1..=30 {
        site.lab.isp(number).restore();
    }
    let begun = Instant::now();
    assert!(wait_until(SOON, || are("online", &names)));
    tell("30 of 60 uplinks back to online", begun.elapsed());
    let report = healthy.stop();
    assert!(report.all_by(site.last_device()), "{report}");
    let usage = fs::read_to_string(format!("/proc/{}/status", site.pid())).unwrap();
    eprintln!("60 uplinks: {}", usage.lines().find(|line| line.starts_with("VmRSS")).unwrap_or(""));
}

#[test]
fn at_rest_the_tracker_rests() {
    if !lab::is_available() {
        return;
    }
    // What we ship, eight times.
    let options = "option reliability '2'
    option interval '2'
    option timeout '0.8'
    option down '3'
    option up '5'
    option confirm_interval '0.2'
    option confirm_count '3'
    option size '16'
    list track_ip '1.0.0.1'
    list track_ip '1.1.1.1'
    list track_ip '208.67.222.222'
    list track_ip '208.67.220.220'";
    let site = Site::start(8, options);
    site.await_status("wanh", "online");
    let (before, looks) = (processor_ms(&site), site.stat("reconciles"));
    std::thread::sleep(Duration::from_secs(5));
    let spent = processor_ms(&site) - before;
    let looks = site.stat("reconciles") - looks;
    eprintln!("8 uplinks at rest: {spent} ms of processor and {looks} reconciles in 5 s");
    assert!(spent < 1_000, "{spent} ms");
    assert!(looks <= 3, "{looks}");
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", site.pid())).unwrap_or_default();
    assert_eq!(children.trim(), "", "no children but scripts");
}

/// What the tracker has used of the processor.
fn processor_ms(site: &Site) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", site.pid())).unwrap();
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks = |position: usize| fields[position].parse::<u64>().unwrap();
    // utime and stime, in hundredths of a second.
    (ticks(11) + ticks(12)) * 10
}

#[test]
fn what_cannot_be_mended_is_complained_of_once() {
    if !lab::is_available() {
        return;
    }
    let site = Site::prepare(2, FAST);
    // Somebody else's, where ours would stand.
    let route = site.lab.router().sh("ip route show default dev wan").replace("10.101.0.1", "10.101.0.9");
    site.lab.router().sh(&format!("ip route add {} dev wan table 1", route.trim()));
    let said = site.lab.router().directory().join("said");
    let mut tracker =
        site.command().arg("track").stderr(std::fs::File::create(&said).unwrap()).spawn().unwrap();
    assert!(wait_until(SOON, || site.try_run(&["events"]).status.success()));
    let looks = site.stat("reconciles");
    for number in 1..4 {
        site.lab.router().sh(&format!("ip address add 192.0.2.{number}/32 dev lo"));
        assert!(wait_until(SOON, || site.stat("reconciles") >= looks + number));
    }
    let text = std::fs::read_to_string(&said).unwrap();
    site.ask("quit");
    tracker.wait().unwrap();
    assert_eq!(text.matches("somebody else's route").count(), 1, "{text}");
}
