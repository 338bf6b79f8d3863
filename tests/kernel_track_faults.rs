//! Faults of the line, met by the real tracker: how soon each is left, what the world hears of it, and that
//! flows of healthy policies notice nothing. Measured times are shown by `--nocapture`.

#![allow(clippy::unwrap_used)]

mod tracking;

use std::time::Duration;

use lab::wait_until;
use tracking::{FAST, SOON, Site, tell};

/// Detection at FAST timing is at most 1 s; what lies beyond is a busy machine.
const BOUND: Duration = Duration::from_secs(6);

#[test]
fn a_blackhole_behind_the_first_hop_is_left_and_healthy_flows_notice_nothing() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let (healthy, failover) = (site.healthy_stream(), site.failover_stream());
    site.lab.isp(1).blackhole();
    let taken = site.await_status("wan", "offline");
    tell("blackhole to offline", taken);
    assert!(taken < BOUND, "{taken:?}");
    let after = site.lab.client().udp(tracking::FAILOVER, 4000).count(50).run();
    assert!(after.all_by("wanb"), "{after}");
    site.lab.isp(1).restore();
    tell("restored to online", site.await_status("wan", "online"));
    let back = site.lab.client().udp(tracking::FAILOVER, 4000).count(50).run();
    assert!(back.all_by("wan"), "{back}");
    let report = healthy.stop();
    assert!(report.all_by("wanb"), "{report}");
    let report = failover.stop();
    tell("longest gap of the failover policy", report.longest_gap());
    assert_eq!(report.refused(), 0, "{report}");
    assert_eq!(site.events("wan"), ["connected", "disconnecting", "disconnected", "connecting", "connected"]);
    assert_eq!(site.events("wanb"), ["connected"]);
}

#[test]
fn carrier_loss_is_left_at_once_and_carrier_return_is_taken() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let healthy = site.healthy_stream();
    site.lab.isp(1).carrier(false);
    assert!(wait_until(SOON, || site.policy_state("wan") == "offline"));
    tell("carrier loss to switch", site.await_status("wan", "disabled"));
    let after = site.lab.client().udp(tracking::FAILOVER, 4000).count(50).run();
    assert!(after.all_by("wanb"), "{after}");
    site.lab.isp(1).carrier(true);
    tell("carrier return to online", site.await_status("wan", "online"));
    let report = healthy.stop();
    assert!(report.all_by("wanb"), "{report}");
}

#[test]
fn one_way_loss_counts_in_either_direction() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let healthy = site.healthy_stream();
    site.lab.isp(1).loss_up(100.0);
    tell("loss upwards to offline", site.await_status("wan", "offline"));
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
    site.lab.isp(1).loss_down(100.0);
    tell("loss downwards to offline", site.await_status("wan", "offline"));
    let report = healthy.stop();
    assert!(report.all_by("wanb"), "{report}");
}

#[test]
fn icmp_errors_from_the_isp_count_at_once() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    site.lab.isp(1).unreachable();
    let taken = site.await_status("wan", "offline");
    tell("rejected to offline", taken);
    let events = site.ask("events 0").to_string();
    assert!(events.contains("nreachable"), "{events}");
}

#[test]
fn a_lossy_link_that_works_is_not_left() {
    if !lab::is_available() {
        return;
    }
    // Shipped numbers of tries, four targets; the rounds come faster, so that many fit into the test.
    let options = FAST.replace("option down '2'", "option down '3'").replace("0.3", "0.4")
        + "\n    list track_ip '1.0.0.1'\n    list track_ip '208.67.220.220'";
    let site = Site::start(2, &options);
    site.await_status("wan", "online");
    for percent in [5.0, 20.0, 50.0] {
        // Of the exchanges: one way is enough.
        site.lab.isp(1).loss_up(percent);
        let before = site.stat("probes");
        // Two uplinks with four targets each: fifteen rounds of the lossy one.
        assert!(wait_until(SOON, || site.stat("probes") > before + 120));
        assert_eq!(site.policy_state("wan"), "online", "at {percent} %: {}", site.ask("events 0"));
    }
    assert!(!site.events("wan").contains(&"disconnected".to_owned()));
    let history = site.ask("history wan");
    assert!(history["targets"][0]["lost"].as_u64() > Some(0), "{history}");
}

#[test]
fn a_latency_step_counts_where_quality_is_checked_and_only_there() {
    if !lab::is_available() {
        return;
    }
    let quality = format!(
        "{FAST}\n    option check_quality '1'\n    option failure_latency '150'\n    option recovery_latency '100'
    option failure_loss '60'\n    option recovery_loss '40'"
    );
    let site = Site::prepare(2, FAST);
    site.configure(&[&quality, FAST]);
    site.run(&["start"]);
    site.await_status("wan", "online");
    site.lab.isp(1).delay(Duration::from_millis(200));
    site.lab.isp(2).delay(Duration::from_millis(200));
    tell("latency step to offline", site.await_status("wan", "offline"));
    let events = site.ask("events 0").to_string();
    assert!(events.contains("too slowly"), "{events}");
    assert_eq!(site.status("wanb"), "online");
    assert!(site.file("wan", "LATENCY_1.1.1.1").parse::<u32>().is_ok_and(|latency| latency >= 150));
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
}

#[test]
fn one_dead_target_of_four_is_seen_and_changes_nothing() {
    if !lab::is_available() {
        return;
    }
    let options = FAST.replace("reliability '1'", "reliability '2'")
        + "\n    list track_ip '1.0.0.1'\n    list track_ip '203.0.114.1'";
    let site = Site::start(2, &options);
    // Nobody is at 203.0.114.1.
    assert!(wait_until(SOON, || site.file("wan", "TRACK_203.0.114.1") == "down"));
    assert_eq!(site.file("wan", "TRACK_1.1.1.1"), "up");
    let before = site.stat("probes");
    assert!(wait_until(SOON, || site.stat("probes") > before + 60));
    assert_eq!(site.events("wan"), ["connected"]);
}

#[test]
fn all_uplinks_dead_and_back() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(3, FAST);
    for name in ["wan", "wanb", "wanc"] {
        site.await_status(name, "online");
    }
    site.lab.isps().iter().for_each(lab::Isp::blackhole);
    for name in ["wan", "wanb", "wanc"] {
        site.await_status(name, "offline");
    }
    let report = site.lab.client().udp(tracking::FAILOVER, 4000).count(20).run();
    assert_eq!(report.answered(), 0, "{report}");
    site.lab.isps().iter().for_each(lab::Isp::restore);
    for name in ["wan", "wanb", "wanc"] {
        tell(&format!("{name} back"), site.await_status(name, "online"));
    }
    let report = site.lab.client().udp(tracking::FAILOVER, 4000).count(20).run();
    assert!(report.all_by("wan"), "{report}");
}

#[test]
fn flapping_says_each_thing_once_and_in_order_and_healthy_flows_notice_nothing() {
    flap(&[0.7, 1.0, 1.3, 1.6, 0.7, 1.0, 1.3, 1.6]);
}

/// By hand: `cargo test --test kernel_track_faults -- --ignored`.
#[test]
#[ignore = "takes two minutes"]
fn slow_flapping_says_each_thing_once_and_in_order_and_healthy_flows_notice_nothing() {
    flap(&[1.0, 1.0, 3.0, 3.0, 7.0, 7.0, 15.0, 15.0, 30.0, 30.0]);
}

/// The seconds of each half, dead and alive in turn.
fn flap(halves: &[f64]) {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let healthy = site.healthy_stream();
    for (number, &seconds) in halves.iter().enumerate() {
        if number % 2 == 0 {
            site.lab.isp(1).blackhole()
        } else {
            site.lab.isp(1).restore()
        }
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
    let report = healthy.stop();
    assert!(report.all_by("wanb"), "{report}");
    let events = site.events("wan");
    println!("{} events: {}", events.len(), events.join(" "));
    for pair in events.windows(2) {
        let follows = match pair[1].as_str() {
            "disconnecting" => matches!(pair[0].as_str(), "connected" | "restored"),
            "disconnected" | "restored" => pair[0] == "disconnecting",
            "connecting" => matches!(pair[0].as_str(), "disconnected" | "fell-back"),
            "connected" | "fell-back" => pair[0] == "connecting",
            _ => false,
        };
        assert!(follows, "{} after {}: {events:?}", pair[1], pair[0]);
    }
}

#[test]
fn the_shipped_configuration_leaves_a_blackhole_within_five_seconds() {
    if !lab::is_available() {
        return;
    }
    let site = Site::prepare(2, FAST);
    let shipped = include_str!("../files/etc/config/mwan3");
    let both = shipped.replace("'wanb'\n\toption enabled '0'", "'wanb'\n\toption enabled '1'");
    assert_ne!(both, shipped);
    site.lab.router().write_config(&both);
    site.run(&["start"]);
    site.await_status("wanb", "online");
    let carried = || site.lab.client().udp(tracking::FAILOVER, 4000).count(20).run();
    assert_eq!(carried().answered(), 20);
    site.lab.isp(1).blackhole();
    let taken = site.await_status("wan", "offline");
    tell("blackhole to offline as shipped", taken);
    // 4.8 s promised; the rest is for a busy machine.
    assert!(taken < Duration::from_secs(10), "{taken:?}");
    let flows = carried();
    assert!(flows.all_by("wanb"), "{flows}");
}
