//! Flows that live on keep their uplink whatever happens to the others.

use lab::Lab;

use crate::gateway::{
    Config, DEADLINE, LongFlow, V4, V6, assert_no_foreign_sources, laboratory, mwan3, note_state,
};

fn balanced(weight: u32) -> Config {
    Config::new(&["wan", "wanb"])
        .policy("balanced", &[("wan", 1, 1), ("wanb", 1, weight)])
        .rule("all", "use_policy=balanced")
}

/// Flows over both uplinks in both families, of the LAN and of the router.
fn open_flows(lab: &Lab) -> Vec<(LongFlow, String)> {
    let mut flows = Vec::new();
    for host in [lab.client(), lab.router()] {
        for destination in [V4, V6] {
            for _ in 0..12 {
                let flow = LongFlow::open(host, destination);
                let device = flow.seen_by();
                flows.push((flow, device));
            }
        }
    }
    for device in ["wan", "wanb"] {
        assert!(flows.iter().any(|(_, seen)| seen == device), "no flow over {device}");
    }
    flows
}

#[track_caller]
fn assert_unmoved(flows: &[(LongFlow, String)], devices: &[&str], after: &str) {
    for (flow, device) in flows.iter().filter(|(_, device)| devices.contains(&device.as_str())) {
        assert_eq!(flow.seen_by(), *device, "after {after}");
    }
}

#[test]
fn established_flows_stay_where_they_are() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    balanced(1).start(&lab);
    let flows = open_flows(&lab);
    assert_unmoved(&flows, &["wan", "wanb"], "nothing");
    balanced(1000).reload(&lab);
    assert_unmoved(&flows, &["wan", "wanb"], "a change of weights");
    mwan3(&lab, "restart");
    assert_unmoved(&flows, &["wan", "wanb"], "a restart");
    // Out of the policies is not out of the world: its own flows may still hope.
    note_state(&lab, "wan", false);
    mwan3(&lab, "reload");
    assert_unmoved(&flows, &["wan", "wanb"], "one noted offline");
    note_state(&lab, "wan", true);
    mwan3(&lab, "reload");
    assert_unmoved(&flows, &["wan", "wanb"], "one noted online");
    // Those of one that is taken down are forgotten.
    mwan3(&lab, "ifdown wan");
    mwan3(&lab, "ifdown wan6");
    assert_unmoved(&flows, &["wanb"], "ifdown of the other");
    mwan3(&lab, "ifup wan");
    mwan3(&lab, "ifup wan6");
    assert_unmoved(&flows, &["wanb"], "ifup of the other");
    assert_no_foreign_sources(&lab);
}

#[test]
fn flows_of_an_uplink_taken_down_do_not_leave_by_another_with_its_address() {
    let Some(lab) = laboratory(Lab::builder().devices(&["wanb", "wan"])) else { return };
    // Table main leads out of wanb.
    balanced(1).start(&lab);
    let flows = open_flows(&lab);
    mwan3(&lab, "ifdown wan");
    mwan3(&lab, "ifdown wan6");
    assert_unmoved(&flows, &["wanb"], "ifdown of the other");
    // The first packet that leaves elsewhere ends the masquerading, the next begins a new flow.
    for (flow, _) in flows.iter().filter(|(_, device)| device == "wan").step_by(5) {
        assert!(lab::wait_until(DEADLINE, || flow.seen_by() == "wanb"));
    }
    assert_no_foreign_sources(&lab);
    mwan3(&lab, "ifup wan");
    mwan3(&lab, "ifup wan6");
}
