//! Routes of others: VPNs that take over the whole world, and tables beside main.

use std::net::IpAddr;

use lab::{Fate, Host, Lab, Packet, Protocol};

use crate::gateway::{Config, V4, V6, assert_no_foreign_sources, laboratory, mwan3};

fn everything_by_wanb(globals: &str) -> Config {
    Config::with_globals(globals, &["wan", "wanb"])
        .policies_of_one(&["wanb"])
        .rule("all", "use_policy=wanb_only")
}

/// By which device a new UDP flow leaves.
fn way(host: &Host, destination: &str) -> Fate {
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(40_000);
    let destination: IpAddr = destination.parse().expect("an address");
    let source = if destination.is_ipv4() { host.address_v4() } else { host.address_v6() };
    let source_port = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let packet = Packet { source, destination, protocol: Protocol::Udp, source_port, destination_port: 4000 };
    host.dispatch(&[packet]).remove(0)
}

fn by(device: &str) -> Fate {
    Fate::Left(device.to_owned())
}

#[test]
fn a_vpn_in_two_halves_has_everything_until_it_goes() {
    let Some(lab) = laboratory(Lab::builder().vpn()) else { return };
    everything_by_wanb("").start(&lab);
    assert_eq!(way(lab.client(), V4), by("wanb"));
    let router = lab.router();
    router.sh("ip route add 0.0.0.0/1 via 10.9.0.2 dev vpn0; ip route add 128.0.0.0/1 via 10.9.0.2 dev vpn0");
    router.sh("ip -6 route add ::/1 via fd09::2 dev vpn0; ip -6 route add 8000::/1 via fd09::2 dev vpn0");
    mwan3(&lab, "reload");
    for destination in [V4, V6, "198.51.100.1"] {
        assert_eq!(way(lab.client(), destination), by("vpn0"), "{destination}");
    }
    // The tables of the uplinks have not been taken over: what is bound to one leaves by it.
    for destination in [V4, V6] {
        let report = router.ping(destination).device("wanb").mark(0x3f00).count(5).run();
        assert!(report.all_by("wanb"), "{report}");
        let mark = if destination == V4 { 0x200 } else { 0x400 };
        let table =
            if destination == V4 { "ip route get 1.1.1.1" } else { "ip -6 route get 2606:4700:4700::1111" };
        let found = router.sh(&format!("{table} mark {mark:#x}"));
        assert!(found.contains("dev wanb"), "{found}");
    }
    router.sh(
        "ip route del 0.0.0.0/1; ip route del 128.0.0.0/1; ip -6 route del ::/1; ip -6 route del 8000::/1",
    );
    mwan3(&lab, "reload");
    assert_eq!(way(lab.client(), V4), by("wanb"));
    assert_eq!(way(lab.client(), V6), by("wanb"));
}

#[test]
fn networks_behind_another_router_are_reached_directly() {
    let Some(lab) = laboratory(Lab::builder().vpn()) else { return };
    let router = lab.router();
    router.sh("ip route add 172.20.0.0/24 via 10.9.0.2; ip -6 route add fd20::/64 via fd09::2");
    everything_by_wanb("").start(&lab);
    for host in [lab.client(), router] {
        assert_eq!(host.tcp_flows("172.20.0.1", 4000, 5).answered(), 5);
        assert_eq!(host.tcp_flows("fd20::1", 4000, 5).answered(), 5);
    }
    assert_eq!(way(lab.client(), "172.20.0.1"), by("vpn0"));
    // Flows of an uplink that are answered from there find their way, too.
    let address = lab.isp(1).address_v4().to_string();
    router.forward_port(lab.isp(1), 8080, "172.20.0.1:4000");
    let source: IpAddr = "198.51.100.1".parse().expect("an address");
    let report = lab.internet().tcp(&address, 8080).source(source).count(5).run();
    assert_eq!(report.answered(), 5, "{report}");
    assert_no_foreign_sources(&lab);
}

#[test]
fn a_table_to_look_up_is_known_and_copied() {
    let Some(lab) = laboratory(Lab::builder().vpn()) else { return };
    let router = lab.router();
    router.sh(
        "ip route add 172.20.0.0/24 via 10.9.0.2 table 42; ip -6 route add fd20::/64 via fd09::2 table 42",
    );
    router.sh("ip rule add pref 5000 lookup 42; ip -6 rule add pref 5000 lookup 42");
    everything_by_wanb("").start(&lab);
    assert_eq!(way(lab.client(), "172.20.0.1"), by("wanb"), "nobody said that table counts");
    everything_by_wanb("rt_table_lookup=42").reload(&lab);
    for destination in ["172.20.0.1", "fd20::1"] {
        assert_eq!(way(lab.client(), destination), by("vpn0"), "{destination}");
        assert_eq!(lab.client().tcp_flows(destination, 4000, 5).answered(), 5);
    }
    assert_eq!(way(lab.client(), V4), by("wanb"));
    let copied = router.sh("ip route show table 2 172.20.0.0/24");
    assert!(copied.contains("dev vpn0"), "{copied}");
    everything_by_wanb("").reload(&lab);
    assert_eq!(way(lab.client(), "172.20.0.1"), by("wanb"));
}

#[test]
fn a_new_network_is_known_after_the_next_look() {
    let Some(lab) = laboratory(Lab::builder().vpn()) else { return };
    everything_by_wanb("").start(&lab);
    assert_eq!(way(lab.client(), "172.20.0.1"), by("wanb"));
    lab.router().sh("ip route add 172.20.0.0/24 via 10.9.0.2");
    mwan3(&lab, "reload");
    assert_eq!(way(lab.client(), "172.20.0.1"), by("vpn0"));
    lab.router().sh("ip route del 172.20.0.0/24");
    mwan3(&lab, "reload");
    assert_eq!(way(lab.client(), "172.20.0.1"), by("wanb"));
}
