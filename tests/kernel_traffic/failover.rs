//! What happens to new flows when uplinks go and come, and when none is left.

use std::time::Duration;

use lab::Lab;

use crate::gateway::{Config, V4, V6, assert_no_foreign_sources, laboratory, mwan3, note_state};

fn failover() -> Config {
    Config::new(&["wan", "wanb"])
        .policy("failover", &[("wan", 1, 1), ("wanb", 2, 1)])
        .rule("all", "use_policy=failover")
}

#[track_caller]
fn assert_all_by(lab: &Lab, device: &str) {
    for host in [lab.client(), lab.router()] {
        for destination in [V4, V6] {
            let report = host.tcp_flows(destination, 443, 20);
            assert!(report.all_by(device), "{} to {destination}: {report}", host.name());
        }
    }
}

#[test]
fn an_uplink_taken_down_by_hand_is_left_and_found_again() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    failover().start(&lab);
    assert_all_by(&lab, "wan");
    mwan3(&lab, "ifdown wan");
    mwan3(&lab, "ifdown wan6");
    assert_all_by(&lab, "wanb");
    mwan3(&lab, "ifup wan");
    mwan3(&lab, "ifup wan6");
    assert_all_by(&lab, "wan");
    assert_no_foreign_sources(&lab);
}

#[test]
fn an_uplink_noted_offline_is_left_in_the_families_it_was_noted_for() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    failover().start(&lab);
    let state = lab.router().run_dir().join("mwan3/iface_state/wan");
    std::fs::write(&state, "offline\n").expect("the state is there");
    mwan3(&lab, "reload");
    assert!(lab.client().tcp_flows(V4, 443, 20).all_by("wanb"));
    assert!(lab.client().tcp_flows(V6, 443, 20).all_by("wan"));
    std::fs::write(&state, "online\n").expect("the state is there");
    mwan3(&lab, "reload");
    assert_all_by(&lab, "wan");
}

#[test]
fn an_uplink_without_carrier_is_left_at_the_next_look() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    failover().start(&lab);
    lab.isp(1).carrier(false);
    let router = lab.router();
    assert!(lab::wait_until(crate::gateway::DEADLINE, || router
        .sh("ip link show wan")
        .contains("NO-CARRIER")));
    mwan3(&lab, "reload");
    assert_all_by(&lab, "wanb");
    lab.isp(1).restore();
    assert!(lab::wait_until(crate::gateway::DEADLINE, || router.sh("ip link show wan").contains("LOWER_UP")));
    mwan3(&lab, "reload");
    assert_all_by(&lab, "wan");
}

fn no_one_left(last_resort: &str) -> Option<Lab> {
    let lab = laboratory(Lab::builder().uplinks(3))?;
    let config = Config::new(&["wan", "wanb"])
        .policy_or("balanced", &[("wan", 1, 1), ("wanb", 1, 1)], last_resort)
        .rule("all", "use_policy=balanced");
    config.start(&lab);
    for uplink in ["wan", "wanb"] {
        note_state(&lab, uplink, false);
    }
    config.reload(&lab);
    Some(lab)
}

#[test]
fn with_nobody_left_unreachable_refuses_at_once() {
    let Some(lab) = no_one_left("unreachable") else { return };
    // The kernel tells an IPv4 host of five refusals at once and then of one a second.
    for destination in [V4, V6] {
        let client = lab.client();
        for report in [client.tcp_flows(destination, 443, 2), client.udp_flows(destination, 4000, 2)] {
            assert_eq!(report.refused(), 2, "{report}");
        }
    }
}

#[test]
fn with_nobody_left_blackhole_is_silent() {
    let Some(lab) = no_one_left("blackhole") else { return };
    for destination in [V4, V6] {
        let flows = lab.client().tcp(destination, 443).timeout(Duration::from_millis(400));
        let report = flows.count(20).run();
        assert_eq!(report.lost(), 20, "{report}");
    }
}

#[test]
fn with_nobody_left_default_takes_table_main() {
    let Some(lab) = no_one_left("default") else { return };
    lab.router().sh("ip route del default dev wan; ip route del default dev wanb");
    lab.router().sh("ip -6 route del default dev wan; ip -6 route del default dev wanb");
    for destination in [V4, V6] {
        let report = lab.client().tcp_flows(destination, 443, 20);
        assert!(report.all_by("wanc"), "{report}");
    }
}

#[test]
fn the_special_targets_do_what_they_are_called() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    Config::new(&["wan", "wanb"])
        .policies_of_one(&["wanb"])
        .rule("no_telnet", "proto=tcp dest_port=23 use_policy=unreachable")
        .rule("no_smb", "proto=tcp dest_port=445 use_policy=blackhole")
        .rule("direct", "proto=tcp dest_port=8000 use_policy=default")
        .rule("all", "use_policy=wanb_only")
        .start(&lab);
    for destination in [V4, V6] {
        let client = lab.client();
        let refused = client.tcp_flows(destination, 23, 4);
        assert_eq!(refused.refused(), 4, "{refused}");
        let lost = client.tcp(destination, 445).timeout(Duration::from_millis(400)).count(10).run();
        assert_eq!(lost.lost(), 10, "{lost}");
        assert!(client.tcp_flows(destination, 8000, 10).all_by("wan"));
        assert!(client.tcp_flows(destination, 8001, 10).all_by("wanb"));
    }
}

#[test]
fn the_router_may_still_try_a_dead_uplink_it_binds_itself_to() {
    let Some(lab) = no_one_left("unreachable") else { return };
    for device in ["wan", "wanb"] {
        for destination in [V4, V6] {
            let report = lab.router().tcp(destination, 443).device(device).count(10).run();
            assert!(report.all_by(device), "{device} {destination}: {report}");
        }
    }
    let forwarded = lab.client().tcp_flows(V4, 443, 4);
    assert_eq!(forwarded.refused(), 4, "{forwarded}");
    assert_no_foreign_sources(&lab);
}
