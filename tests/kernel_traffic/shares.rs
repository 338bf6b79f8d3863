//! How many flows each uplink of a policy gets.

use lab::Lab;

use crate::gateway::{Config, V4, V6, laboratory};

const FLOWS: usize = 10_000;

/// Three sigma are missed once in 370 times by nature: a second look makes that once in 137,000.
#[track_caller]
fn assert_share(lab: &Lab, destination: &str, device: &str, expected: f64) {
    let sigma = (FLOWS as f64 * expected * (1.0 - expected)).sqrt();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let report = lab.client().udp_flows(destination, 4000, FLOWS);
        assert_eq!(report.answered(), FLOWS, "{report}");
        let difference = report.by(device) as f64 - FLOWS as f64 * expected;
        if difference.abs() <= 3.0 * sigma {
            return;
        }
        seen.push(report.to_string());
    }
    panic!("expected {expected} of {FLOWS} by {device}, sigma {sigma:.0}: {seen:?}");
}

#[test]
fn three_to_two_is_three_to_two_in_each_family() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    Config::new(&["wan", "wanb"])
        .policy("balanced", &[("wan", 1, 3), ("wanb", 1, 2)])
        .rule("all", "use_policy=balanced")
        .start(&lab);
    assert_share(&lab, V4, "wan", 0.6);
    assert_share(&lab, V6, "wan", 0.6);
}

#[test]
fn one_in_a_thousand_is_neither_none_nor_many() {
    let Some(lab) = laboratory(Lab::builder().uplinks(3)) else { return };
    // Three digits after the point, as the shell package has them, would give wanc nothing.
    Config::new(&["wan", "wanb", "wanc"])
        .policy("skewed", &[("wan", 1, 1), ("wanb", 1, 999), ("wanc", 1, 1)])
        .rule("all", "use_policy=skewed")
        .start(&lab);
    let report = lab.client().udp_flows(V4, 4000, FLOWS);
    assert_eq!(report.answered(), FLOWS, "{report}");
    for device in ["wan", "wanc"] {
        // Ten expected, with a sigma of 3.2; none once in 22,000 times, above 35 once in 10^9.
        let count = report.by(device);
        assert!((1..=35).contains(&count), "{report}");
    }
}

#[test]
fn a_lower_metric_takes_all_even_when_listed_last() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    Config::new(&["wan", "wanb"])
        .policy("main_and_spare", &[("wan", 20, 100), ("wanb", 10, 1)])
        .rule("all", "use_policy=main_and_spare")
        .start(&lab);
    for destination in [V4, V6] {
        let report = lab.client().tcp_flows(destination, 443, 200);
        assert!(report.all_by("wanb"), "{report}");
    }
}
