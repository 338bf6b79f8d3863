//! Which rule a packet meets: every kind of test, with packets on both sides of its edges.

use std::net::IpAddr;

use lab::{Fate, Host, Lab, Packet, Protocol};

use crate::gateway::{Config, laboratory};

const UPLINKS: [&str; 3] = ["wan", "wanb", "wanc"];

fn config() -> Config {
    Config::new(&UPLINKS).policies_of_one(&UPLINKS)
}

/// A packet with ports of its own, unless given: a flow seen before would not ask the rules.
fn packet(source: &str, destination: &str, protocol: Protocol, ports: (u16, u16)) -> Packet {
    let address = |text: &str| -> IpAddr { text.parse().expect("an address") };
    Packet {
        source: address(source),
        destination: address(destination),
        protocol,
        source_port: ports.0,
        destination_port: ports.1,
    }
}

/// Sends each packet and compares the device by which it leaves.
#[track_caller]
fn assert_ways(host: &Host, expected: &[(Packet, &str)]) {
    let packets: Vec<Packet> = expected.iter().map(|(packet, _)| *packet).collect();
    for (fate, (packet, device)) in host.dispatch(&packets).into_iter().zip(expected) {
        assert_eq!(fate, Fate::Left((*device).to_owned()), "{packet:?}");
    }
}

const LAN_V4: &str = "192.168.1.10";
const LAN_V6: &str = "fd00:1::10";
const FAR_V4: &str = "198.51.100.1";
const FAR_V6: &str = "2001:db8:ee::1";

#[test]
fn ports_are_compared_to_the_last_of_each_range() {
    let Some(lab) = laboratory(Lab::builder().uplinks(3)) else { return };
    config()
        .rule("colon", "proto=tcp dest_port=1000:1010 use_policy=wanb_only")
        .rule("dash", "proto=udp dest_port=1000-1010 use_policy=wanb_only")
        .rule("list", "proto=tcp dest_port=80,443,8000:8010,9000 use_policy=wanc_only")
        .rule("from", "proto=udp src_port=500,2000-2001 use_policy=wanc_only")
        .rule("both", "proto=tcp src_port=600:700 dest_port=5000:5001 use_policy=wanb_only")
        .rule("rest", "use_policy=wan_only")
        .start(&lab);
    let mut next = 20_000;
    let mut fresh = || {
        next += 1;
        next
    };
    let mut expected = Vec::new();
    for (source, destination) in [(LAN_V4, FAR_V4), (LAN_V6, FAR_V6)] {
        let mut expect = |protocol, from: Option<u16>, to, device| {
            let ports = (from.unwrap_or_else(&mut fresh), to);
            expected.push((packet(source, destination, protocol, ports), device));
        };
        for (port, device) in [(999, "wan"), (1000, "wanb"), (1005, "wanb"), (1010, "wanb"), (1011, "wan")] {
            expect(Protocol::Tcp, None, port, device);
            expect(Protocol::Udp, None, port, device);
        }
        for port in [80, 443, 8000, 8010, 9000] {
            expect(Protocol::Tcp, None, port, "wanc");
            expect(Protocol::Udp, None, port, "wan");
        }
        for port in [79, 81, 442, 444, 7999, 8011, 8999, 9001] {
            expect(Protocol::Tcp, None, port, "wan");
        }
        for (from, device) in
            [(499, "wan"), (500, "wanc"), (501, "wan"), (2000, "wanc"), (2001, "wanc"), (2002, "wan")]
        {
            expect(Protocol::Udp, Some(from), 4000, device);
            expect(Protocol::Tcp, Some(from), 4000, "wan");
        }
        // Both must hold.
        for (from, to, device) in
            [(600, 5000, "wanb"), (700, 5001, "wanb"), (701, 5001, "wan"), (600, 5002, "wan")]
        {
            expect(Protocol::Tcp, Some(from), to, device);
        }
    }
    assert_ways(lab.client(), &expected);
}

#[test]
fn odd_and_even_sources_go_different_ways() {
    let Some(lab) = laboratory(Lab::builder().uplinks(3).client_addresses(20)) else { return };
    config()
        .rule("odd", "family=ipv4 src_ip=0.0.0.1/0.0.0.1 use_policy=wanb_only")
        .rule("even", "family=ipv4 src_ip=0.0.0.0/0.0.0.1 use_policy=wanc_only")
        .rule("odd6", "family=ipv6 src_ip=::1/::1 use_policy=wanc_only")
        .rule("rest", "use_policy=wan_only")
        .start(&lab);
    for last in 10..30 {
        let source: IpAddr = format!("192.168.1.{last}").parse().expect("an address");
        let report = lab.client().tcp(FAR_V4, 443).source(source).count(3).run();
        assert!(report.all_by(if last % 2 == 1 { "wanb" } else { "wanc" }), "{source}: {report}");
        // Written in hexadecimal, so the last digit tells.
        let source: IpAddr = format!("fd00:1::{last}").parse().expect("an address");
        let report = lab.client().tcp(FAR_V6, 443).source(source).count(3).run();
        assert!(report.all_by(if last % 2 == 1 { "wanc" } else { "wan" }), "{source}: {report}");
    }
}

#[test]
fn addresses_come_alone_in_networks_and_in_lists() {
    let Some(lab) = laboratory(Lab::builder().uplinks(3)) else { return };
    config()
        .rule("one", "dest_ip=198.51.100.7 use_policy=wanb_only")
        .rule("list", "dest_ip=198.51.100.4/31,203.0.114.0/24,2001:db8:ee::4/127 use_policy=wanc_only")
        .rule("from", "src_ip=192.168.1.128/25,fd00:1::8000/113 use_policy=wanc_only")
        .rule("rest", "use_policy=wan_only")
        .start(&lab);
    let mut expected = Vec::new();
    let mut expect = |source: &str, destination: &str, device: &'static str| {
        let port = 30_000 + expected.len() as u16;
        expected.push((packet(source, destination, Protocol::Udp, (port, 4000)), device));
    };
    let destinations = [
        ("198.51.100.3", "wan"),
        ("198.51.100.4", "wanc"),
        ("198.51.100.5", "wanc"),
        ("198.51.100.6", "wan"),
        ("198.51.100.7", "wanb"),
        ("198.51.100.8", "wan"),
        ("203.0.114.0", "wanc"),
        ("203.0.114.255", "wanc"),
        ("203.0.115.0", "wan"),
    ];
    for (destination, device) in destinations {
        expect(LAN_V4, destination, device);
    }
    for (last, device) in [(3, "wan"), (4, "wanc"), (5, "wanc"), (6, "wan"), (7, "wan")] {
        expect(LAN_V6, &format!("2001:db8:ee::{last}"), device);
    }
    for (source, device) in [("192.168.1.127", "wan"), ("192.168.1.128", "wanc"), ("192.168.1.254", "wanc")] {
        expect(source, FAR_V4, device);
        // The first rule that matches decides.
        expect(source, "198.51.100.7", "wanb");
    }
    for (source, device) in [("fd00:1::7fff", "wan"), ("fd00:1::8000", "wanc"), ("fd00:1::1:8000", "wan")] {
        expect(source, FAR_V6, device);
    }
    assert_ways(lab.client(), &expected);
}

#[test]
fn icmp_means_icmpv6_in_ipv6_and_numbers_are_protocols() {
    let Some(lab) = laboratory(Lab::builder().uplinks(3)) else { return };
    config()
        .rule("pings", "proto=icmp use_policy=wanb_only")
        .rule("tunnels", "proto=50 use_policy=wanc_only")
        .rule("six", "family=ipv6 proto=udp use_policy=wanc_only")
        .rule("rest", "use_policy=wan_only")
        .start(&lab);
    let mut expected = Vec::new();
    for (source, destination, udp) in [(LAN_V4, FAR_V4, "wan"), (LAN_V6, FAR_V6, "wanc")] {
        expected.push((packet(source, destination, Protocol::Icmp, (7, 0)), "wanb"));
        expected.push((packet(source, destination, Protocol::Other(50), (0, 0)), "wanc"));
        expected.push((packet(source, destination, Protocol::Other(51), (0, 0)), "wan"));
        expected.push((packet(source, destination, Protocol::Tcp, (40_000, 443)), "wan"));
        expected.push((packet(source, destination, Protocol::Udp, (40_000, 443)), udp));
    }
    assert_ways(lab.client(), &expected);
    for destination in [FAR_V4, FAR_V6] {
        assert!(lab.client().ping_flows(destination, 5).all_by("wanb"));
        assert!(lab.router().ping_flows(destination, 5).all_by("wanb"));
    }
}

#[test]
fn the_interface_a_packet_comes_in_by_can_be_asked_for() {
    let Some(lab) = laboratory(Lab::builder().uplinks(3).second_lan()) else { return };
    lab.router().write_config_file(
        "network",
        "config interface 'lan'\n\toption device 'lan0'\nconfig interface 'guest'\n\toption device 'lan1'\n",
    );
    config()
        .rule("guests", "src_iface=guest use_policy=wanb_only")
        .rule("web", "src_iface=lan proto=tcp dest_port=443 use_policy=wanc_only")
        .rule("rest", "use_policy=wan_only")
        .start(&lab);
    for destination in [FAR_V4, FAR_V6] {
        let flows = |host: &Host, port: u16| host.tcp_flows(destination, port, 10);
        assert!(flows(lab.guest(), 443).all_by("wanb"));
        assert!(flows(lab.guest(), 4000).all_by("wanb"));
        assert!(flows(lab.client(), 443).all_by("wanc"));
        assert!(flows(lab.client(), 4000).all_by("wan"));
        // What the router itself sends comes in by nothing.
        assert!(flows(lab.router(), 443).all_by("wan"));
    }
}

#[test]
fn what_no_rule_matches_takes_table_main() {
    let Some(lab) = laboratory(Lab::builder().uplinks(3)) else { return };
    config().rule("web", "proto=tcp dest_port=443 use_policy=wanc_only").start(&lab);
    for destination in [FAR_V4, FAR_V6] {
        assert!(lab.client().tcp_flows(destination, 443, 10).all_by("wanc"));
        assert!(lab.client().tcp_flows(destination, 444, 10).all_by("wan"));
        assert!(lab.client().udp_flows(destination, 443, 10).all_by("wan"));
    }
}
