//! An observed network from a file, as `mwan3 plan --from` reads it, planned for with an ordinary configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mwan3::network::Network;
use mwan3::plan::plan;
use mwan3::{config, uci};

const CONFIG: &[u8] = include_bytes!("../../tests/golden/01_defaults/wiki_two_uplinks/mwan3");

fuzz_target!(init: mwan3_fuzz::seeds::write_if_asked("network_json"), |data: &[u8]| {
    let Ok(network) = serde_json::from_slice::<Network>(data) else { return };
    let package = uci::parse("mwan3", CONFIG);
    let (config, _) = config::read(&package, "mwan3");
    let _ = config::check(&config, &package, "mwan3", Some(&network));
    let _ = plan(&config, &network, &mwan3_fuzz::network::health(&config, data.len())).to_string();
    let written = serde_json::to_vec(&network).expect("a network can be written");
    assert_eq!(serde_json::from_slice::<Network>(&written).ok(), Some(network));
});
