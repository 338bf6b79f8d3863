//! Dumps as netifd prints them, and what they say about the interfaces.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::IpAddr;

use mwan3::address::Family;
use mwan3::json;
use mwan3::network::{LogicalInterface, Network, netifd};
use mwan3::sorted::SortedMap;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn a_pppoe_uplink_is_its_ppp_device_and_its_dynamic_interface_has_the_prefix() {
    let interfaces = from_dump(&fixture("pppoe"));
    assert_eq!(interfaces.keys().collect::<Vec<_>>(), ["lan", "loopback", "wan", "wan_6"]);

    let wan = &interfaces["wan"];
    assert!(wan.up);
    assert_eq!(wan.device.as_deref(), Some("pppoe-wan"));
    assert_eq!(wan.uptime_s, 3700);
    assert_eq!(addresses(wan), ["203.0.113.87/32", "fe80::9c1f:2b8d:77ab:3e01/128"]);
    assert_eq!(texts(&wan.gateways), ["203.0.113.1"]);

    let wan_6 = &interfaces["wan_6"];
    assert!(wan_6.addresses.is_empty());
    assert_eq!(texts(&wan_6.prefixes), ["2001:db8:4700:1900::/56"]);
    assert_eq!(texts(&wan_6.assigned), ["2001:db8:4700:1979::1"]);
    assert_eq!(texts(&wan_6.gateways), ["fe80::1"]);
}

#[test]
fn an_uplink_with_only_a_prefix_probes_from_the_address_the_router_took_of_it() {
    let network = Network { interfaces: from_dump(&fixture("pppoe")), ..Network::default() };
    assert_eq!(network.source_address("wan", Family::Ipv4), Some(ip("203.0.113.87")));
    assert_eq!(network.source_address("wan", Family::Ipv6), Some(ip("2001:db8:4700:1979::1")));
    assert_eq!(network.source_address("wan_6", Family::Ipv6), Some(ip("2001:db8:4700:1979::1")));
}

#[test]
fn of_several_addresses_the_preferred_global_one_comes_first_and_the_deprecated_one_last() {
    let interfaces = from_dump(&fixture("dhcp-dual-stack"));
    assert_eq!(
        addresses(&interfaces["wan6"]),
        ["2001:db8:a::5/128", "fd00:1234::5/64", "2001:db8:dead::5/64"]
    );
    assert_eq!(texts(&interfaces["wan6"].prefixes), ["2001:db8:a::/56", "2001:db8:dead:100::/56"]);
    assert_eq!(texts(&interfaces["wan6"].gateways), ["fe80::a"]);
    assert_eq!(texts(&interfaces["wan"].gateways), ["198.51.100.1"]);
}

#[test]
fn an_alias_is_on_the_device_of_its_parent_and_inactive_routes_give_no_gateway() {
    let interfaces = from_dump(&fixture("dhcp-dual-stack"));
    let alias = &interfaces["wan_alias"];
    assert_eq!(alias.device.as_deref(), Some("eth0"));
    assert_eq!(addresses(alias), ["198.51.100.78/24"]);
    assert!(alias.gateways.is_empty());
}

#[test]
fn a_6rd_tunnel_has_a_device_and_an_address_of_its_own() {
    let interfaces = from_dump(&fixture("6rd"));
    let wan6 = &interfaces["wan6"];
    assert_eq!(wan6.device.as_deref(), Some("6rd-wan6"));
    assert_eq!(addresses(wan6), ["2001:db8:cb00:7100::1/32"]);
    assert_eq!(wan6.gateways, [ip("::203.0.113.254")]);
    assert_eq!(texts(&wan6.assigned), ["2001:db8:cb00:7107::1"]);
}

#[test]
fn a_modem_has_its_addresses_on_dynamic_interfaces() {
    let network = Network { interfaces: from_dump(&fixture("modem")), ..Network::default() };
    assert!(network.interfaces["wan"].addresses.is_empty());
    for (family, name, source) in
        [(Family::Ipv4, "wan_4", "10.87.65.43"), (Family::Ipv6, "wan_6", "2001:db8:3f::89")]
    {
        let (found, interface) = network.true_interface("wan", family).unwrap();
        assert_eq!((found.as_str(), interface.device.as_deref()), (name, Some("wwan0")));
        assert_eq!(network.source_address("wan", family), Some(ip(source)));
    }
}

#[test]
fn an_interface_that_is_down_or_still_coming_up_has_nothing_but_its_name() {
    let interfaces = from_dump(&fixture("down"));
    assert_eq!(interfaces["wan"], LogicalInterface::default());
    assert_eq!(interfaces["wanb"], LogicalInterface::default());
    assert!(interfaces["loopback"].up);
    assert!(!interfaces.contains_key("wanc"));
}

#[test]
fn damaged_fields_cost_themselves_and_not_their_interface() {
    let interfaces = from_dump(&fixture("damaged"));
    assert_eq!(interfaces.keys().collect::<Vec<_>>(), ["bare", "odd", "partly"]);
    assert_eq!(interfaces["bare"], LogicalInterface::default());
    assert_eq!(interfaces["odd"], LogicalInterface::default());

    let partly = &interfaces["partly"];
    assert!(partly.up);
    assert_eq!(partly.uptime_s, 99_999_999_999);
    assert_eq!(addresses(partly), ["203.0.113.8/32", "203.0.113.9/32", "203.0.113.10/24", "2001:db8::5/64"]);
    assert_eq!(texts(&partly.prefixes), ["2001:db8:3::/48"]);
    assert_eq!(texts(&partly.gateways), ["203.0.113.1", "fe80::1"]);
}

#[test]
fn what_is_no_dump_at_all_has_no_interfaces() {
    for dump in [json!(null), json!([]), json!("wan"), json!({}), json!({ "interface": { "wan": {} } })] {
        assert!(from_dump(&dump).is_empty(), "{dump}");
    }
}

#[test]
fn a_share_of_a_prefix_counts_only_while_its_address_is_on_a_device() {
    let dump = |assignment: Value| {
        json!({ "interface": [
            { "interface": "lan", "up": true, "ipv6-prefix-assignment": [assignment] },
            { "interface": "wan6", "up": true, "ipv6-prefix": [{ "address": "2001:db8:7::", "mask": 48 }] },
        ] })
    };
    let network = json!({ "address": "2001:db8:7:89::", "mask": 64 });
    let of_wan6 = |dump: &Value| texts(&from_dump(dump)["wan6"].assigned);
    assert_eq!(of_wan6(&dump(network.clone())), ["2001:db8:7:89::1"], "netifd before 2017");
    let mut without = network.clone();
    without["local-address"] = json!({});
    assert!(of_wan6(&dump(without)).is_empty());
    let mut with_host_id = network;
    with_host_id["local-address"] = json!({ "address": "2001:db8:7:89::face", "mask": 64 });
    assert_eq!(of_wan6(&dump(with_host_id)), ["2001:db8:7:89::face"]);
}

#[test]
fn an_uplink_takes_its_own_share_before_those_of_the_lans_and_never_one_of_another_uplink() {
    let share =
        |address: &str| json!([{ "address": "::", "mask": 64, "local-address": { "address": address } }]);
    let prefix = |address: &str| json!([{ "address": address, "mask": 48 }]);
    let interfaces = from_dump(&json!({ "interface": [
        { "interface": "lan", "ipv6-prefix-assignment": share("2001:db8:1:1::1") },
        { "interface": "guest", "ipv6-prefix-assignment": share("2001:db8:2:1::1") },
        { "interface": "wan6", "ipv6-prefix": prefix("2001:db8:1::"),
            "ipv6-prefix-assignment": share("2001:db8:1:ff::1") },
        { "interface": "wanb6", "ipv6-prefix": prefix("2001:db8:2::") },
    ] }));
    assert_eq!(texts(&interfaces["wan6"].assigned), ["2001:db8:1:ff::1", "2001:db8:1:1::1"]);
    assert_eq!(texts(&interfaces["wanb6"].assigned), ["2001:db8:2:1::1"]);
}

#[test]
fn the_same_dump_always_gives_the_same_interfaces() {
    let interfaces = from_dump(&fixture("dhcp-dual-stack"));
    let once = Network { interfaces, ..Network::default() };
    let again = Network::read(&once.json().to_string()).unwrap();
    assert_eq!(once, again, "and they survive being written down");
}

fn any_dump() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "interface",
        "up",
        "l3_device",
        "uptime",
        "ipv4-address",
        "ipv6-address",
        "ipv6-prefix",
        "ipv6-prefix-assignment",
        "local-address",
        "route",
        "address",
        "mask",
        "preferred",
        "target",
        "nexthop",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..300).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::sample::select(vec!["wan", "::", "0.0.0.0", "fe80::1", "2001:db8::1", "ff02::1", "x"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 80, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..8).prop_map(|fields| {
                Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_dump_is_too_strange_to_be_read(interface in any_dump(), other in any_dump()) {
        let mut named = interface;
        if let Some(fields) = named.as_object_mut() {
            fields.insert("interface".to_owned(), json!("wan"));
        }
        let interfaces = from_dump(&json!({ "interface": [named, other] }));
        let network = Network { interfaces, ..Network::default() };
        for family in [Family::Ipv4, Family::Ipv6] {
            let source = network.source_address("wan", family);
            prop_assert!(source.is_none_or(|source| Family::of(source) == family && !source.is_unspecified()));
        }
    }
}

fn from_dump(dump: &Value) -> SortedMap<String, LogicalInterface> {
    netifd::from_dump(&json::read(&dump.to_string()).unwrap())
}

fn fixture(name: &str) -> Value {
    let path = format!("{}/tests/fixtures/netifd/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn addresses(interface: &LogicalInterface) -> Vec<String> {
    interface.addresses.iter().map(|own| format!("{}/{}", own.address, own.length)).collect()
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
