//! The network that fuzzed configurations are planned against.

use std::sync::OnceLock;

use mwan3::config::Config;
use mwan3::network::Network;
use mwan3::plan::{Health, Verdict};

/// The observed networks of golden cases laid over each other: up and down, both families, odd routes.
pub fn rich() -> &'static Network {
    static RICH: OnceLock<Network> = OnceLock::new();
    RICH.get_or_init(lay_over)
}

fn lay_over() -> Network {
    let mut network = Network::default();
    for text in [
        include_str!("../../tests/golden/01_defaults/wiki_two_uplinks/network.json"),
        include_str!("../../tests/golden/02_policies/weights_1_to_1000/network.json"),
        include_str!("../../tests/golden/07_network/routes_of_every_kind/network.json"),
        include_str!("../../tests/golden/07_network/vpn_in_two_halves/network.json"),
    ] {
        let more = Network::read(text).expect("golden cases are well formed");
        network.interfaces.extend(more.interfaces);
        network.devices.extend(more.devices);
        network.routes.extend(more.routes);
        network.fw4_sets.extend(more.fw4_sets);
    }
    network.has_ipv6 = true;
    network
}

/// Some of each verdict, told by the input alone.
pub fn health(config: &Config, seed: usize) -> Health {
    let verdicts = [
        Some(Verdict::Online),
        Some(Verdict::Offline),
        Some(Verdict::TakenDown),
        Some(Verdict::OnProbation),
        None,
    ];
    let verdict = |id: u16| verdicts[(usize::from(id) + seed) % verdicts.len()];
    config.interfaces.iter().filter_map(|one| Some((one.name.clone(), verdict(one.id)?))).collect()
}
