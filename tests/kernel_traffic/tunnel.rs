//! A tunnel over the uplinks: the packets inside and the ones around them each find their own way.

use std::net::IpAddr;

use lab::{Fate, Lab, Packet, Protocol, Service};

use crate::gateway::{Config, assert_no_foreign_sources, count, counted, laboratory};

const NETWORK_BEHIND: &str = "172.21.0.1";

/// The outer packets have a rule of their own, unlike all others and unlike table main.
fn tunnel_by_wanb() -> Option<Lab> {
    let lab = laboratory(Lab::builder().uplinks(3).tunnel())?;
    Config::new(&["wan", "wanb", "wanc"])
        .policies_of_one(&["wanb", "wanc"])
        .rule("vxlan", "proto=udp dest_ip=198.51.100.9 dest_port=4789 use_policy=wanb_only")
        .rule("all", "use_policy=wanc_only")
        .start(&lab);
    lab.router().sh("ip route add 172.21.0.0/24 via 10.99.0.2 dev tun0");
    crate::gateway::mwan3(&lab, "reload");
    for device in ["wan", "wanb", "wanc"] {
        count(&lab, device, "postrouting", &format!("oifname {device} udp dport 4789"));
    }
    Some(lab)
}

#[track_caller]
fn assert_outer_by_wanb(lab: &Lab) {
    assert!(counted(lab, "wanb") >= 10);
    assert_eq!((counted(lab, "wan"), counted(lab, "wanc")), (0, 0), "the outer packets take their own rule");
    assert_no_foreign_sources(lab);
}

#[test]
fn outer_packets_find_their_own_way() {
    let Some(lab) = tunnel_by_wanb() else { return };
    for host in [lab.client(), lab.router()] {
        let report = host.tcp_flows(NETWORK_BEHIND, 4000, 10);
        assert_eq!(report.answered(), 10, "{}: {report}", host.name());
    }
    assert_outer_by_wanb(&lab);
}

#[test]
fn inner_packets_do_not_carry_the_mark_of_their_wrapping() {
    let Some(lab) = tunnel_by_wanb() else { return };
    let _web = lab.client().listen("192.168.1.10:8080", Service::Echo).expect("listens");
    // The far end learns from what arrives where the tunnel ends.
    assert_eq!(lab.client().tcp_flows(NETWORK_BEHIND, 4000, 1).answered(), 1);
    let source: IpAddr = NETWORK_BEHIND.parse().expect("an address");
    let report = lab.internet().tcp("192.168.1.10", 8080).source(source).count(10).run();
    assert_eq!(report.answered(), 10, "{report}");
    // The outer packets were for the router itself, hence marked `default`: table main would take wan.
    lab.internet().sh("ip route add 203.0.114.0/24 via 10.99.0.1 dev far0");
    let packet = |port: u16| Packet {
        source,
        destination: "203.0.114.7".parse().expect("an address"),
        protocol: Protocol::Udp,
        source_port: port,
        destination_port: 4000,
    };
    let packets: Vec<Packet> = (40_000..40_010).map(packet).collect();
    let fates = lab.internet().dispatch(&packets);
    assert_eq!(fates, vec![Fate::Left("wanc".to_owned()); 10]);
    assert_outer_by_wanb(&lab);
}
