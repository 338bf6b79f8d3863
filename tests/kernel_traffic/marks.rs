//! Marks: any mask works, and bits outside of it are other people's.

use lab::Lab;

use crate::gateway::{Config, V4, V6, assert_no_foreign_sources, count, counted, laboratory};

/// Outside of every mask below; the second in the connection's mark.
const FOREIGN: &str = "0x40000001";
const FOREIGN_CONNECTION: u32 = 0x2000_0010;

/// The mask, and the marks of the uplinks wan, wanb, wan6 and wanb6, and of `default`.
const MASKS: [(&str, [u32; 4], u32); 3] = [
    ("0x3F00", [0x100, 0x200, 0x300, 0x400], 0x3f00),
    ("0xFF00", [0x100, 0x200, 0x300, 0x400], 0xff00),
    ("0xAA", [0x02, 0x08, 0x0a, 0x20], 0xaa),
];

fn mark_everything_before_us(lab: &Lab) {
    let body = format!("meta mark set {FOREIGN} ct mark set ct mark or {FOREIGN_CONNECTION:#x};");
    lab.router()
        .nft(&format!(
            "table inet others {{
                chain prerouting {{ type filter hook prerouting priority -160; {body} }}
                chain output {{ type filter hook output priority -160; {body} }}
            }}"
        ))
        .expect("nft takes the table");
}

#[test]
fn every_mask_sends_packets_the_right_way_and_keeps_foreign_bits() {
    for (mask, marks, default) in MASKS {
        let Some(lab) = laboratory(Lab::builder()) else { return };
        mark_everything_before_us(&lab);
        Config::with_globals(&format!("mmx_mask={mask}"), &["wan", "wanb"])
            .policies_of_one(&["wan", "wanb"])
            .rule("web", "proto=tcp dest_port=443 use_policy=wanb_only")
            .rule("rest", "use_policy=wan_only")
            .start(&lab);
        for (family, marks) in [("ipv4", &marks[..2]), ("ipv6", &marks[2..])] {
            for (device, mark) in ["wan", "wanb"].iter().zip(marks) {
                let test = format!(
                    "oifname {device} meta nfproto {family} meta l4proto {{ tcp, udp }} meta mark {:#x} ct mark {:#x}",
                    mark | 0x4000_0001,
                    mark | FOREIGN_CONNECTION
                );
                count(&lab, &format!("right_{device}_{family}"), "postrouting", &test);
            }
        }
        count(&lab, "everything", "postrouting", "oifname { wan, wanb } meta l4proto { tcp, udp }");
        for host in [lab.client(), lab.router()] {
            for destination in [V4, V6] {
                let report = host.tcp_flows(destination, 443, 20);
                assert!(report.all_by("wanb"), "{mask}: {report}");
                let report = host.udp_flows(destination, 4000, 20);
                assert!(report.all_by("wan"), "{mask}: {report}");
            }
        }
        let right: u64 = ["right_wan_ipv4", "right_wanb_ipv4", "right_wan_ipv6", "right_wanb_ipv6"]
            .iter()
            .map(|name| counted(&lab, name))
            .sum();
        assert!(right >= 160, "{right}");
        assert_eq!(
            right,
            counted(&lab, "everything"),
            "{mask}: every packet and connection carries the right marks"
        );
        // Answers to the LAN: this packet takes main, the connection keeps its uplink.
        let test = format!(
            "oifname lan0 meta nfproto ipv4 udp sport 4000 meta mark {:#x} ct mark {:#x}",
            default | 0x4000_0001,
            marks[0] | FOREIGN_CONNECTION
        );
        count(&lab, "answers", "postrouting", &test);
        lab.client().udp_flows(V4, 4000, 20);
        assert_eq!(counted(&lab, "answers"), 20, "{mask}");
        assert_no_foreign_sources(&lab);
    }
}

#[test]
fn a_program_that_marks_its_packets_chooses_its_way() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    Config::new(&["wan", "wanb"]).policies_of_one(&["wanb"]).rule("all", "use_policy=wanb_only").start(&lab);
    let flows = |destination: &str, mark| lab.router().udp(destination, 4000).mark(mark).count(10).run();
    // `default`, as probes have it: table main. The uplink's own: that uplink.
    assert!(flows(V4, 0x3f00).all_by("wan"));
    assert!(flows(V6, 0x3f00).all_by("wan"));
    assert!(flows(V4, 0x100).all_by("wan"));
    assert!(flows(V6, 0x300).all_by("wan"));
    // Somebody else's bits say nothing.
    assert!(flows(V4, 0x0001_0001).all_by("wanb"));
    assert!(flows(V6, 0x8000_0000).all_by("wanb"));
    assert_no_foreign_sources(&lab);
}

#[test]
fn a_probe_bound_to_an_uplink_leaves_by_it_whatever_the_policies_say() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    Config::new(&["wan", "wanb"])
        .policy_or("nobody", &[], "blackhole")
        .rule("all", "use_policy=nobody")
        .start(&lab);
    for device in ["wan", "wanb"] {
        for destination in [V4, V6] {
            let report = lab.router().ping(destination).device(device).mark(0x3f00).count(5).run();
            assert!(report.all_by(device), "{report}");
        }
    }
}
