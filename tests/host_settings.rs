//! What `mwan3 check` makes of the kernel's settings, without a kernel.

use mwan3::config::{self, advice};
use mwan3::network::{Device, DeviceAddress, LogicalInterface, Network};
use mwan3::uci;

const CONFIG: &str = "config interface 'a'\n\toption enabled '1'\n\
    config interface 'b'\n\toption enabled '1'\n\
    config interface 'a6'\n\toption enabled '1'\n\toption family 'ipv6'\n\toption device 'a'\n";

fn device(name: &str, addresses: &[(&str, u8)]) -> Device {
    let addresses = addresses.iter().map(|(address, length)| DeviceAddress {
        address: address.parse().expect("an address"),
        length: *length,
        scope: 0,
        deprecated: false,
        tentative: false,
    });
    Device {
        name: name.to_owned(),
        up: true,
        carrier: true,
        addresses: addresses.collect(),
        ..Device::default()
    }
}

fn network(devices: Vec<Device>, settings: &[(&str, u32)]) -> Network {
    let mut network = Network { devices, has_ipv6: true, ..Network::default() };
    for (name, device) in [("a", "a"), ("b", "b"), ("a6", "a")] {
        let found =
            LogicalInterface { up: true, device: Some(device.to_owned()), ..LogicalInterface::default() };
        network.interfaces.insert(name.to_owned(), found);
    }
    network.settings = settings.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    network
}

/// As `net/… held -> wanted`.
fn told(network: &Network) -> Vec<String> {
    let (config, problems) = config::read(&uci::parse("mwan3", CONFIG.as_bytes()), "mwan3");
    assert_eq!(problems, []);
    let text = |one: config::Advice| format!("{} {} -> {}", one.setting, one.held, one.wanted);
    advice(&config, network).into_iter().map(text).collect()
}

fn apart() -> Vec<Device> {
    vec![device("a", &[("192.0.2.2", 24)]), device("b", &[("198.51.100.2", 24)])]
}

fn together() -> Vec<Device> {
    vec![device("a", &[("192.0.2.2", 24)]), device("b", &[("192.0.2.3", 24)])]
}

#[test]
fn the_stricter_of_two_reverse_path_filters_counts_and_loose_outdoes_strict() {
    for (all, own, wanted) in [(0, 0, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1), (2, 1, 0), (1, 2, 0), (2, 0, 0)] {
        let settings = [
            ("net/ipv4/conf/all/rp_filter", all),
            ("net/ipv4/conf/a/rp_filter", own),
            ("net/ipv4/conf/b/rp_filter", 2),
        ];
        assert_eq!(told(&network(apart(), &settings)).len(), wanted, "all {all}, own {own}");
    }
}

#[test]
fn one_uplink_alone_may_filter_as_it_likes() {
    let settings = [("net/ipv4/conf/all/rp_filter", 1), ("net/ipv4/conf/a/rp_filter", 1)];
    let mut network = network(apart(), &settings);
    network.interfaces.remove("b");
    assert_eq!(told(&network), Vec::<String>::new());
}

#[test]
fn what_could_not_be_read_is_not_blamed() {
    assert_eq!(told(&network(together(), &[])), Vec::<String>::new());
    assert_eq!(told(&network(apart(), &[("net/ipv4/conf/a/rp_filter", 1)])), Vec::<String>::new());
}

#[test]
fn uplinks_in_one_network_must_answer_for_themselves_only() {
    let silent = [
        ("net/ipv4/conf/all/arp_ignore", 0),
        ("net/ipv4/conf/a/arp_ignore", 0),
        ("net/ipv4/conf/b/arp_ignore", 1),
    ];
    assert_eq!(told(&network(together(), &silent)), ["net/ipv4/conf/a/arp_ignore 0 -> 1"]);
    assert_eq!(told(&network(apart(), &silent)), Vec::<String>::new());
    let filtered = [("net/ipv4/conf/all/arp_filter", 1), ("net/ipv4/conf/b/arp_filter", 1)];
    assert_eq!(
        told(&network(together(), &filtered)),
        ["net/ipv4/conf/all/arp_filter 1 -> 0", "net/ipv4/conf/b/arp_filter 1 -> 0"]
    );
}

#[test]
fn a_router_that_is_told_to_forward_ipv6_goes_on_listening_to_its_provider() {
    let mut devices = apart();
    devices.push(device("lan", &[("fd00::1", 64), ("192.168.1.1", 24)]));
    let settings = [
        ("net/ipv4/ip_forward", 1),
        ("net/ipv6/conf/all/forwarding", 0),
        ("net/ipv6/conf/a/accept_ra", 1),
        ("net/ipv6/conf/b/accept_ra", 1),
    ];
    assert_eq!(
        told(&network(devices, &settings)),
        ["net/ipv6/conf/a/accept_ra 1 -> 2", "net/ipv6/conf/all/forwarding 0 -> 1"]
    );
}

#[test]
fn an_uplink_that_listens_to_no_router_while_we_forward_is_told() {
    let settings = [("net/ipv6/conf/all/forwarding", 1), ("net/ipv6/conf/a/accept_ra", 1)];
    assert_eq!(told(&network(apart(), &settings)), ["net/ipv6/conf/a/accept_ra 1 -> 2"]);
    let settings = [("net/ipv6/conf/all/forwarding", 1), ("net/ipv6/conf/a/accept_ra", 0)];
    assert_eq!(told(&network(apart(), &settings)), Vec::<String>::new(), "some program listens");
}

#[test]
fn missing_translation_is_told_only_where_it_is_known_and_needed() {
    let problems = |translates: Option<bool>, lan: &str| {
        let mut devices = apart();
        devices.push(device("lan", &[(lan, 24)]));
        let mut network = network(devices, &[("net/ipv4/ip_forward", 1)]);
        network.translates_sources = translates;
        let package = uci::parse("mwan3", CONFIG.as_bytes());
        let (config, _) = config::read(&package, "mwan3");
        let problems = config::check(&config, &package, "mwan3", Some(&network));
        problems.iter().filter(|problem| problem.text.contains("translates")).count()
    };
    assert_eq!(problems(Some(false), "192.168.1.1"), 1);
    assert_eq!(problems(Some(true), "192.168.1.1"), 0);
    assert_eq!(problems(None, "192.168.1.1"), 0);
    assert_eq!(problems(Some(false), "203.0.113.1"), 0);
}
