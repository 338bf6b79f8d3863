//! What fuzzing and reading with a hostile eye found, kept so that it stays fixed. One test for each find.

use std::collections::BTreeSet;
use std::time::Instant;

use mwan3::config;
use mwan3::network::{Device, LogicalInterface, Network};
use mwan3::plan::{Health, plan};
use mwan3::uci;

#[test]
fn two_pairs_of_names_never_share_one_sticky_chain_or_set() {
    let network = network_of(&["c", "b_ipv4_c", "ipv4_b", "b"]);
    let text = sticky_rules(&["a", "a_ipv4_b", "a_ipv4"], &["c", "b_ipv4_c", "ipv4_b", "b"]);
    let (config, _) = config::read(&uci::parse("mwan3", text.as_bytes()), "mwan3");
    let table = plan(&config, &network, &Health::new()).ruleset.expect("a plan to run has a table");
    let chains: BTreeSet<&str> = table.chains.iter().map(|chain| chain.name.as_str()).collect();
    let sets: BTreeSet<&str> = table.sets.iter().map(|set| set.name.as_str()).collect();
    let sticky = sets.iter().filter(|name| name.starts_with("sticky_")).count();
    assert_eq!(sticky, 3 * 4, "{sets:?}");
    assert_eq!(chains.len(), table.chains.len(), "{chains:?}");
    assert_eq!(sets.len(), table.sets.len(), "{sets:?}");
}

/// Each rule asked all rules what its set is for: 4,000 rules took seconds, and a router is ten times slower.
#[test]
fn many_rules_with_a_set_each_are_planned_in_linear_time() {
    let time = |rules: usize| {
        let text: String = (0..rules)
            .map(|n| format!("config rule r{n}\n option ipset s{n}\n option use_policy default\n"))
            .collect();
        let (config, _) = config::read(&uci::parse("mwan3", text.as_bytes()), "mwan3");
        let network = Network { has_ipv6: true, ..Network::default() };
        let start = Instant::now();
        let table = plan(&config, &network, &Health::new()).ruleset.expect("a plan to run has a table");
        assert!(table.sets.len() >= rules);
        start.elapsed()
    };
    // Sixteen times the rules: a quadratic plan takes 256 times as long. The best of three, as machines are busy.
    let best = |rules: usize| (0..3).map(|_| time(rules)).min().unwrap_or_default();
    let (small, large) = (best(500), best(8_000));
    assert!(large < small * 100, "{small:?} for 500 rules, {large:?} for 8,000");
}

fn network_of(names: &[&str]) -> Network {
    let mut network = Network { has_ipv6: true, ..Network::default() };
    for (name, index) in names.iter().zip(2..) {
        let device = format!("eth{index}");
        let interface =
            LogicalInterface { up: true, device: Some(device.clone()), ..LogicalInterface::default() };
        network.interfaces.insert((*name).to_owned(), interface);
        network.devices.push(Device { index, name: device, up: true, carrier: true, ..Device::default() });
    }
    network
}

fn sticky_rules(rules: &[&str], interfaces: &[&str]) -> String {
    let mut text = String::new();
    for name in interfaces {
        text += &format!(
            "config interface {name}\n option enabled 1\nconfig member m_{name}\n option interface {name}\n"
        );
    }
    text += "config policy all\n";
    interfaces.iter().for_each(|name| text += &format!(" list use_member m_{name}\n"));
    for name in rules {
        text +=
            &format!("config rule {name}\n option family ipv4\n option sticky 1\n option use_policy all\n");
    }
    text
}
