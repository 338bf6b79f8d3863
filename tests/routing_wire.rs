//! What rtnetlink and ctnetlink put on the wire: written and read back, cut short and damaged.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::IpAddr;

use mwan3::address::{Family, Prefix};
use mwan3::network::{Device, Hop, IpRule, MetricValue, Route, RouteKind, RuleAction, attribute, listing};
use mwan3::system::conntrack;
use mwan3::system::netlink::{Answer, Payload};
use mwan3::system::route::links::DeviceIndex;
use mwan3::system::route::listing::{ListedAddress, ListedLink};
use mwan3::system::route::{Notification, addresses, links, routes, rules};
use proptest::prelude::*;

fn devices() -> DeviceIndex {
    let device = |index, name: &str| Device { index, name: name.to_owned(), ..Device::default() };
    DeviceIndex::of(&[device(1, "lo"), device(2, "wan"), device(300, "pppoe-wan")])
}

fn any_family() -> impl Strategy<Value = Family> {
    prop::sample::select(Family::BOTH.to_vec())
}

fn any_address(family: Family) -> impl Strategy<Value = IpAddr> {
    any::<u128>().prop_map(move |bits| family.address(bits))
}

fn any_prefix(family: Family) -> impl Strategy<Value = Prefix> {
    (any_address(family), 0..=family.bits()).prop_map(|(address, length)| Prefix::new(address, length))
}

fn any_hop() -> impl Strategy<Value = Hop> {
    let gateway = any_family().prop_flat_map(any_address);
    let device = prop::sample::select(vec!["wan", "pppoe-wan"]);
    (device, prop::option::of(gateway), any::<bool>(), any::<bool>()).prop_map(
        |(device, gateway, onlink, has_realms)| Hop {
            device: Some(device.to_owned()),
            gateway,
            onlink,
            weight: 1,
            other: has_realms.then(|| (attribute::REALMS, vec![5, 0, 0, 0])).into_iter().collect(),
        },
    )
}

prop_compose! {
    fn any_route()(family in any_family())(
        destination in any_prefix(family),
        source in prop::option::of(any_prefix(family)),
        preferred_source in prop::option::of(any_address(family)),
        hops in prop::collection::vec((any_hop(), 1u16..=256), 0..4),
        nexthop_id in prop::option::weighted(0.1, 1u32..),
        (tos, protocol, scope) in any::<(u8, u8, u8)>(),
        (table, metric) in (1u32.., any::<u32>()),
        kind in 1u8..=9,
        mtu in prop::option::of(any::<u32>()),
        algorithm in prop::option::of("[a-z]{1,15}"),
        family in Just(family),
    ) -> Route {
        let mut metrics: mwan3::sorted::SortedMap<_, _> =
            mtu.map(|mtu| (2, MetricValue::Number(mtu))).into_iter().collect();
        metrics.extend(algorithm.map(|name| (16, MetricValue::Text(name))));
        let hops = hops.into_iter().map(|(hop, weight)| Hop { weight, ..hop }).collect();
        Route {
            family, table, destination, source, tos, protocol, scope, metric, hops, nexthop_id,
            preferred_source, metrics,
            kind: RouteKind::from_number(kind).unwrap(),
            other: Default::default(),
        }
    }
}

prop_compose! {
    fn any_rule()(family in any_family())(
        (from, to) in (prop::option::of(any_prefix(family)), prop::option::of(any_prefix(family))),
        mark in prop::option::of(any::<(u32, u32)>()),
        input_device in prop::option::of("[a-z0-9.-]{1,15}"),
        action in prop_oneof![
            (1u32..).prop_map(RuleAction::Lookup),
            Just(RuleAction::Blackhole),
            Just(RuleAction::Unreachable),
            Just(RuleAction::Prohibit),
        ],
        (priority, protocol, tos, inverted) in any::<(u32, u8, u8, bool)>(),
        other in prop::option::of(0u32..1000),
        family in Just(family),
    ) -> IpRule {
        IpRule {
            inverted, from, to, tos, mark, input_device,
            other: other.map(|number| (14, number.to_ne_bytes().to_vec())).into_iter().collect(),
            ..IpRule::new(family, priority, action, protocol)
        }
        .canonical()
    }
}

/// Everything that reads what a kernel sent.
fn read_everything(bytes: &[u8]) {
    if let Some(route) = routes::decode(bytes, &devices()) {
        let _ = (route.to_string(), listing([&route]), route.canonical());
        let _ = routes::encode(&route, &devices());
    }
    if let Some(rule) = rules::decode(bytes) {
        let _ = (rule.to_string(), rules::encode(&rule));
    }
    let _ = (links::decode(bytes), addresses::decode(bytes), conntrack::decode(bytes));
    let _ = ListedLink::decode(bytes);
    let _ = ListedAddress::decode(bytes).map(|(_, address)| address.to_string());
    for kind in 16..36 {
        let _ = Notification::decode(&Answer { kind, flags: 0, payload: bytes.to_vec() });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_route_is_read_back_as_it_was_written(route in any_route()) {
        let written = routes::encode(&route, &devices()).unwrap();
        let read = routes::decode(written.bytes(), &devices()).unwrap();
        prop_assert_eq!(read.canonical(), route.canonical());
    }

    #[test]
    fn a_rule_is_read_back_as_it_was_written(rule in any_rule()) {
        prop_assert_eq!(rules::decode(rules::encode(&rule).bytes()), Some(rule));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
    }

    #[test]
    fn no_damage_makes_a_reader_panic(
        route in any_route(),
        rule in any_rule(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let route = routes::encode(&route, &devices()).unwrap();
        for whole in [route.bytes(), rules::encode(&rule).bytes()] {
            let mut bytes = whole.to_vec();
            for (place, value) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
            read_everything(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            read_everything(&bytes);
        }
    }
}

/// rtmsg, then the attributes.
fn route_message(flags: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut header = vec![2, 8, 0, 0, 254, 3, 0, 1];
    header.extend(flags.to_ne_bytes());
    let mut payload = Payload::new(&header);
    for (kind, value) in attributes {
        payload.put(*kind, value);
    }
    payload.bytes().to_vec()
}

#[test]
fn a_route_on_a_device_we_cannot_name_keeps_its_number() {
    let message = route_message(0, &[(1, &[10, 0, 0, 0]), (4, &77u32.to_ne_bytes())]);
    let route = routes::decode(&message, &devices()).unwrap();
    assert_eq!(route.to_string(), "10.0.0.0/8 dev if77");
    assert_eq!(route.devices().count(), 0);
    let again = routes::decode(routes::encode(&route, &devices()).unwrap().bytes(), &devices());
    assert_eq!(again, Some(route));
}

#[test]
fn cache_entries_are_no_routes() {
    assert_eq!(routes::decode(&route_message(0x200, &[(1, &[10, 0, 0, 0])]), &devices()), None);
    assert!(routes::decode(&route_message(0x40, &[(1, &[10, 0, 0, 0])]), &devices()).is_some());
}

#[test]
fn unknown_attributes_go_with_the_route_and_its_age_does_not() {
    let message = route_message(0, &[(1, &[10, 0, 0, 0]), (12, &[1; 32]), (23, &[9; 4]), (99, b"new")]);
    let route = routes::decode(&message, &devices()).unwrap();
    assert_eq!(route.other, [(99, b"new".to_vec())].into());
    let written = routes::encode(&route, &devices()).unwrap();
    assert!(written.bytes().windows(3).any(|bytes| bytes == b"new"));
}

#[test]
fn a_device_that_is_gone_is_an_error_with_its_name() {
    let message = route_message(0, &[(1, &[10, 0, 0, 0]), (4, &2u32.to_ne_bytes())]);
    let route = routes::decode(&message, &devices()).unwrap();
    let error = routes::encode(&route, &DeviceIndex::default()).unwrap_err();
    assert_eq!(error.to_string(), "No such device (os error 19): wan");
}

#[test]
fn an_absurdly_long_attribute_is_not_sent() {
    let message = route_message(0, &[(1, &[10, 0, 0, 0])]);
    let mut route = routes::decode(&message, &devices()).unwrap();
    route.other.insert(99, vec![0; 70_000]);
    assert!(routes::encode(&route, &devices()).unwrap().has_overflow());
}
