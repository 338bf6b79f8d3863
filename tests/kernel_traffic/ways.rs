//! The ways through the router: from the LAN, from itself, from the internet, between LANs.

use lab::{Flows, Host, Lab, Service};

use crate::gateway::{Config, V4, V6, assert_no_foreign_sources, laboratory};

/// Table main would take wan: whatever leaves by wanb was sent there.
fn everything_by_wanb() -> Config {
    Config::new(&["wan", "wanb"]).policies_of_one(&["wanb"]).rule("all", "use_policy=wanb_only")
}

#[track_caller]
fn assert_all_by(device: &str, flows: Flows) {
    let report = flows.clone().count(10).run();
    assert!(report.all_by(device), "expected {device}: {report}\n{flows:?}");
}

fn all_kinds(host: &Host) -> [Flows; 6] {
    [
        host.tcp(V4, 443),
        host.udp(V4, 4000),
        host.ping(V4),
        host.tcp(V6, 443),
        host.udp(V6, 4000),
        host.ping(V6),
    ]
}

#[test]
fn what_the_lan_and_the_router_send_takes_the_uplink_of_its_policy() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    everything_by_wanb().start(&lab);
    for host in [lab.client(), lab.router()] {
        for flows in all_kinds(host) {
            assert_all_by("wanb", flows);
        }
    }
    assert_no_foreign_sources(&lab);
}

#[test]
fn who_comes_in_by_an_uplink_is_answered_by_the_same() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    everything_by_wanb().start(&lab);
    let client = lab.client();
    let _web = [
        client.listen("192.168.1.10:8080", Service::Echo).expect("listens"),
        client.listen("[fd00:1::10]:8080", Service::Echo).expect("listens"),
    ];
    for isp in lab.isps() {
        lab.router().forward_port(isp, 8080, "192.168.1.10:8080");
        lab.router().forward_port(isp, 8080, "[fd00:1::10]:8080");
        let ends = [
            (isp.address_v4().to_string(), "198.51.100.1"),
            (isp.address_v6().to_string(), "2001:db8:ee::1"),
        ];
        for (address, source) in ends {
            let source: std::net::IpAddr = source.parse().expect("an address");
            let internet = lab.internet();
            // An echo calls its peers by their address.
            for flows in [internet.tcp(&address, 8080), internet.udp(&address, 8080)] {
                assert_all_by(&source.to_string(), flows.source(source));
            }
            assert_all_by(isp.device(), internet.ping(&address).source(source));
        }
    }
    assert_no_foreign_sources(&lab);
}

#[test]
fn an_inbound_flow_stays_on_its_uplink_when_that_is_out_of_all_policies() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    everything_by_wanb().start(&lab);
    crate::gateway::note_state(&lab, "wan", false);
    everything_by_wanb().reload(&lab);
    let address = lab.isp(1).address_v4().to_string();
    let source: std::net::IpAddr = "198.51.100.2".parse().expect("an address");
    assert_all_by("wan", lab.internet().ping(&address).source(source));
    assert_no_foreign_sources(&lab);
}

#[test]
fn neighbours_are_reached_directly_whatever_the_policies_say() {
    let Some(lab) = laboratory(Lab::builder().second_lan()) else { return };
    // Whoever met a policy here would be lost.
    Config::new(&["wan", "wanb"])
        .policy_or("nobody", &[], "blackhole")
        .rule("all", "use_policy=nobody")
        .start(&lab);
    let (client, guest, router) = (lab.client(), lab.guest(), lab.router());
    let _services: Vec<_> = [
        (client, "192.168.1.10:8080"),
        (client, "[fd00:1::10]:8080"),
        (guest, "192.168.2.10:8080"),
        (guest, "[fd00:2::10]:8080"),
        // Of a wildcard socket datagrams would be answered from another address.
        (router, "192.168.1.1:8081"),
        (router, "[fd00:1::1]:8081"),
        (router, "10.102.0.2:8081"),
    ]
    .map(|(host, address)| host.listen(address, Service::Echo).expect("listens"))
    .into();
    let ways = [
        (client, "192.168.2.10", 8080, "lan1"),
        (client, "fd00:2::10", 8080, "lan1"),
        (guest, "192.168.1.10", 8080, "lan0"),
        (guest, "fd00:1::10", 8080, "lan0"),
        (router, "192.168.1.10", 8080, "lan0"),
        (router, "fd00:2::10", 8080, "lan1"),
        (client, "192.168.1.1", 8081, "lan0"),
        (client, "fd00:1::1", 8081, "lan0"),
        // The router's own address on an uplink and in the other LAN.
        (client, "10.102.0.2", 8081, "lan0"),
        (guest, "192.168.1.1", 8081, "lan1"),
    ];
    for (host, destination, port, device) in ways {
        for report in [host.tcp_flows(destination, port, 5), host.udp_flows(destination, port, 5)] {
            assert_eq!(report.answered(), 5, "{} to {destination}: {report}", host.name());
        }
        let pings = host.ping_flows(destination, 5);
        assert!(pings.all_by(device), "{} to {destination}: {pings}", host.name());
    }
    let outside = client.udp(V4, 4000).timeout(std::time::Duration::from_millis(300)).count(5).run();
    assert_eq!(outside.lost(), 5, "{outside}");
}

#[test]
fn the_uplinks_own_gateways_and_networks_are_reached_by_their_own_line() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    everything_by_wanb().start(&lab);
    for isp in lab.isps() {
        for gateway in [isp.gateway_v4().to_string(), isp.gateway_v6().to_string()] {
            assert_all_by(isp.device(), lab.client().ping(&gateway));
            assert_all_by(isp.device(), lab.router().ping(&gateway));
        }
    }
}
