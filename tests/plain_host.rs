//! Which uplinks are up on a host without netifd.

use mwan3::address::{Family, Prefix};
use mwan3::network::lease::{Lease, lease_text};
use mwan3::network::plain::{Named, logical_interfaces};
use mwan3::network::{Device, DeviceAddress, Hop, Network, Route, RouteKind, TABLE_MAIN};

fn host(addresses: &[(&str, u8)]) -> Network {
    let addresses = addresses
        .iter()
        .map(|(address, length)| DeviceAddress {
            address: address.parse().expect("an address"),
            length: *length,
            scope: 0,
            deprecated: false,
            tentative: false,
        })
        .collect();
    let device = Device { name: "eth0".to_owned(), index: 2, kind: None, up: true, carrier: true, addresses };
    Network { devices: vec![device], has_ipv6: true, ..Network::default() }
}

fn default_by_eth0(family: Family) -> Route {
    Route {
        family,
        table: TABLE_MAIN,
        kind: RouteKind::Unicast,
        destination: Prefix::any(family),
        source: None,
        tos: 0,
        protocol: 3,
        scope: 0,
        metric: 0,
        hops: vec![Hop { device: Some("eth0".to_owned()), weight: 1, ..Hop::default() }],
        nexthop_id: None,
        preferred_source: None,
        metrics: Default::default(),
        other: Default::default(),
    }
}

fn is_up(network: &Network, family: Option<Family>) -> bool {
    let named = Named { name: "line".to_owned(), device: Some("eth0".to_owned()), family };
    logical_interfaces(&[named], network)["line"].up
}

#[test]
fn a_line_that_carries_one_family_is_down_for_uplinks_of_the_other() {
    let ipv4_only = host(&[("192.0.2.2", 24), ("fe80::1", 64)]);
    assert!(is_up(&ipv4_only, Some(Family::Ipv4)));
    assert!(!is_up(&ipv4_only, Some(Family::Ipv6)));
    let ipv6_only = host(&[("2001:db8::2", 64)]);
    assert!(!is_up(&ipv6_only, Some(Family::Ipv4)));
    assert!(is_up(&ipv6_only, Some(Family::Ipv6)));
}

#[test]
fn a_line_without_an_address_of_its_own_is_up_while_table_main_leads_out_by_it() {
    let mut network = host(&[("fe80::1", 64)]);
    assert!(!is_up(&network, Some(Family::Ipv6)));
    network.routes.push(default_by_eth0(Family::Ipv6));
    assert!(is_up(&network, Some(Family::Ipv6)));
    assert!(!is_up(&network, Some(Family::Ipv4)));
}

#[test]
fn the_source_of_a_rule_is_up_with_an_address_of_either_family() {
    assert!(is_up(&host(&[("192.168.1.1", 24)]), None));
    assert!(is_up(&host(&[("fd00::1", 64)]), None));
    assert!(!is_up(&host(&[]), None));
}

#[test]
fn a_lease_is_read_as_clients_write_it_and_rubbish_costs_itself() {
    let lease = Lease::parse(
        "# This is private data. Do not parse.\nROUTER=192.0.2.1 nonsense, 192.0.2.2\nDNS=9.9.9.9 fe80::1%eth0\n\
         ROUTER\n=\nMTU=1500\nROUTER=0.0.0.0 192.0.2.1\n",
    );
    let text = |addresses: &[std::net::IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(text(&lease.gateways), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(text(&lease.name_servers), ["9.9.9.9", "fe80::1"]);
    assert_eq!(Lease::parse(&lease_text(&lease)), lease);
    assert_eq!(Lease::parse(""), Lease::default());
    // Each source fills what the better one does not tell.
    let only_dns = Lease { gateways: Vec::new(), ..Lease::parse("DNS=1.1.1.1") };
    assert_eq!(text(&only_dns.clone().or(lease.clone()).gateways), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(text(&only_dns.or(lease).name_servers), ["1.1.1.1"]);
}
