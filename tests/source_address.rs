//! Which address probes come from: the cases of the shell package, its defects repaired.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::IpAddr;

use mwan3::address::{Family, Prefix};
use mwan3::network::source::{SourceOrigin, preference};
use mwan3::network::{
    Device, DeviceAddress, Hop, InterfaceAddress, LogicalInterface, Network, Route, RouteKind, TABLE_MAIN,
    scope,
};

#[test]
fn the_first_own_address_of_the_family_is_the_source() {
    let network = uplink(["192.0.2.7", "192.0.2.8", "2001:db8::7"], [], []);
    assert_eq!(source(&network, Family::Ipv4), found("192.0.2.7", SourceOrigin::Own));
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8::7", SourceOrigin::Own));
}

#[test]
fn a_dynamic_interface_stands_in_for_its_parent() {
    let mut network = uplink(["192.0.2.7"], [], []);
    let dynamic = uplink(["198.51.100.9"], [], []).interfaces.remove("wan").unwrap();
    network.interfaces.insert("wan_4".to_owned(), dynamic);
    assert_eq!(source(&network, Family::Ipv4), found("198.51.100.9", SourceOrigin::Own));
    assert_eq!(source(&network, Family::Ipv6), None);
}

#[test]
fn an_interface_the_host_does_not_know_has_no_source() {
    assert_eq!(Network::default().source_address("wan", Family::Ipv4), None);
}

#[test]
fn an_uplink_with_a_prefix_but_no_address_uses_what_the_router_took_of_the_prefix() {
    let network = uplink([], ["2001:db8:1:79::1"], ["2001:db8:1::/48"]);
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8:1:79::1", SourceOrigin::Assigned));
    assert_eq!(source(&network, Family::Ipv4), None);
}

/// The shell package cut 2001:db8:1:19::1 to 2001:db8:1:1 and did not find 2001:db8:1:79::1 at all.
#[test]
fn an_address_within_the_prefix_is_found_on_any_device_whatever_its_digits() {
    for address in ["2001:db8:1:19::1", "2001:db8:1:79::1", "2001:db8:1:8888:9999::7", "2001:db8:1::987"] {
        let mut network = uplink([], [], ["2001:db8:1::/48"]);
        network.devices =
            vec![device("br-guest", &["2001:db8:11::1"]), device("br-lan", &["fe80::1", address])];
        assert_eq!(source(&network, Family::Ipv6), found(address, SourceOrigin::Delegated));
    }
}

#[test]
fn a_prefix_is_compared_by_its_bits_and_not_by_its_text() {
    let mut network = uplink([], [], ["2001:db8:1::/62"]);
    network.devices = vec![device("br-lan", &["2001:db8:1:4::1", "2001:db8:10::1", "2001:db8:1:3::1"])];
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8:1:3::1", SourceOrigin::Delegated));
}

#[test]
fn the_link_local_address_of_a_ppp_link_is_no_source() {
    let mut network = uplink(["fe80::7"], [], ["2001:db8:1::/48"]);
    assert_eq!(source(&network, Family::Ipv6), None);
    network.devices = vec![device("eth0", &["fe80::7"]), device("br-lan", &["2001:db8:1::1"])];
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8:1::1", SourceOrigin::Delegated));
}

#[test]
fn what_only_the_kernel_knows_on_the_device_is_a_guess() {
    let mut network = uplink([], [], []);
    network.devices = vec![device("eth1", &["203.0.113.5"]), device("eth0", &["192.0.2.7", "fe80::7"])];
    assert_eq!(source(&network, Family::Ipv4), found("192.0.2.7", SourceOrigin::Device));
    assert_eq!(source(&network, Family::Ipv6), None);
}

#[test]
fn an_address_of_host_scope_is_no_guess() {
    let mut network = uplink([], [], []);
    let mut eth0 = device("eth0", &["192.0.2.7", "192.0.2.8"]);
    eth0.addresses[0].scope = scope::HOST;
    network.devices = vec![eth0];
    assert_eq!(source(&network, Family::Ipv4), found("192.0.2.8", SourceOrigin::Device));
}

#[test]
fn an_address_that_the_kernel_lost_or_still_checks_waits_for_its_turn() {
    let mut network = uplink(["2001:db8::1", "2001:db8::2", "2001:db8::3"], [], []);
    let mut eth0 = device("eth0", &["2001:db8::2", "2001:db8::3"]);
    eth0.addresses[0].tentative = true;
    network.devices = vec![eth0];
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8::3", SourceOrigin::Own));
    network.devices[0].addresses.truncate(1);
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8::1", SourceOrigin::Own), "all equally bad");
}

#[test]
fn a_deprecated_own_address_yields_to_a_preferred_one() {
    let mut network = uplink(["2001:db8::1", "2001:db8::2"], ["2001:db8:1::1"], ["2001:db8:1::/48"]);
    network.devices =
        vec![device("eth0", &["2001:db8::1", "2001:db8::2"]), device("br-lan", &["2001:db8:1::1"])];
    network.devices[0].addresses[0].deprecated = true;
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8::2", SourceOrigin::Own));
    network.devices[0].addresses[1].deprecated = true;
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8:1::1", SourceOrigin::Assigned));
    network.devices[1].addresses[0].deprecated = true;
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8::1", SourceOrigin::Own), "all equally old");
}

#[test]
fn a_unique_local_own_address_yields_to_a_global_one_of_the_prefix_and_is_taken_where_there_is_none() {
    let network = uplink(["fd00::7"], ["2001:db8:1::1"], ["2001:db8:1::/48"]);
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8:1::1", SourceOrigin::Assigned));
    assert_eq!(source(&uplink(["fd00::7"], [], []), Family::Ipv6), found("fd00::7", SourceOrigin::Own));
}

#[test]
fn an_address_that_no_source_specific_default_route_takes_yields_to_one_that_has_a_way_out() {
    let mut network = uplink(["2001:db8::7"], ["2001:db8:1::1"], ["2001:db8:1::/48"]);
    network.routes = vec![default_route("eth0", Some("2001:db8:1::/48"))];
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8:1::1", SourceOrigin::Assigned));
    network.routes.push(default_route("eth0", Some("2001:db8::7/128")));
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8::7", SourceOrigin::Own));
    network.routes = vec![default_route("eth0", Some("2001:db8:1::/48")), default_route("eth0", None)];
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8::7", SourceOrigin::Own));
}

#[test]
fn the_default_routes_of_another_device_say_nothing() {
    let mut network = uplink(["2001:db8::7"], ["2001:db8:1::1"], ["2001:db8:1::/48"]);
    network.routes = vec![default_route("eth1", Some("2001:db8:1::/48"))];
    assert_eq!(source(&network, Family::Ipv6), found("2001:db8::7", SourceOrigin::Own));
}

#[test]
fn the_preferred_source_of_the_default_route_wins_over_the_first_address() {
    let mut network = uplink(["192.0.2.7", "192.0.2.8"], [], []);
    let mut route =
        Route { family: Family::Ipv4, destination: Prefix::any(Family::Ipv4), ..default_route("eth0", None) };
    route.preferred_source = Some(ip("192.0.2.8"));
    network.routes = vec![route];
    assert_eq!(source(&network, Family::Ipv4), found("192.0.2.8", SourceOrigin::Own));
}

#[test]
fn addresses_are_preferred_in_the_documented_order() {
    let order = [
        ("2001:db8::1", false),
        ("fd00::1", false),
        ("2001:db8::2", true),
        ("fd00::2", true),
        ("fe80::1", false),
        ("::1", true),
    ];
    for pair in order.windows(2) {
        let [better, worse] = [pair[0], pair[1]].map(|(address, old)| preference(ip(address), old));
        assert!(better < worse, "{pair:?}");
    }
    assert!(preference(ip("10.1.2.3"), false) < preference(ip("169.254.1.2"), false));
    assert_eq!(preference(ip("10.1.2.3"), false), preference(ip("192.0.2.1"), false));
}

fn uplink<const A: usize, const S: usize, const P: usize>(
    addresses: [&str; A],
    assigned: [&str; S],
    prefixes: [&str; P],
) -> Network {
    let wan = LogicalInterface {
        up: true,
        device: Some("eth0".to_owned()),
        addresses: addresses.map(|text| InterfaceAddress { address: ip(text), length: 64 }).to_vec(),
        assigned: assigned.map(ip).to_vec(),
        prefixes: prefixes.map(|text| text.parse().unwrap()).to_vec(),
        ..LogicalInterface::default()
    };
    Network { interfaces: [("wan".to_owned(), wan)].into(), ..Network::default() }
}

fn device(name: &str, addresses: &[&str]) -> Device {
    let addresses = addresses
        .iter()
        .map(|text| DeviceAddress {
            address: ip(text),
            length: 64,
            scope: scope::GLOBAL,
            deprecated: false,
            tentative: false,
        })
        .collect();
    Device { name: name.to_owned(), addresses, ..Device::default() }
}

fn default_route(device: &str, from: Option<&str>) -> Route {
    Route {
        family: Family::Ipv6,
        table: TABLE_MAIN,
        kind: RouteKind::Unicast,
        destination: Prefix::any(Family::Ipv6),
        source: from.map(|text| text.parse().unwrap()),
        tos: 0,
        protocol: 4,
        scope: scope::GLOBAL,
        metric: 512,
        hops: vec![Hop { device: Some(device.to_owned()), ..Hop::default() }],
        nexthop_id: None,
        preferred_source: None,
        metrics: [].into(),
        other: [].into(),
    }
}

fn source(network: &Network, family: Family) -> Option<(IpAddr, SourceOrigin)> {
    let source = network.source("wan", family);
    assert_eq!(source.map(|source| source.address), network.source_address("wan", family));
    source.map(|source| (source.address, source.origin))
}

fn found(address: &str, origin: SourceOrigin) -> Option<(IpAddr, SourceOrigin)> {
    Some((ip(address), origin))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
