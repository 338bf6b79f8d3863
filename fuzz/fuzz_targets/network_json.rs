//! An observed network from a file, as `mwan3 plan --from` reads it, planned for with an ordinary configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mwan3::network::Network;
use mwan3::plan::plan;
use mwan3::{config, uci};

const CONFIG: &[u8] = include_bytes!("../../tests/golden/01_defaults/wiki_two_uplinks/mwan3");

fuzz_target!(init: mwan3_fuzz::seeds::write_if_asked("network_json"), |data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(network) = Network::read(text) else { return };
    let package = uci::parse("mwan3", CONFIG);
    let (config, _) = config::read(&package, "mwan3");
    let _ = config::check(&config, &package, "mwan3", Some(&network));
    let _ = plan(&config, &network, &mwan3_fuzz::network::health(&config, data.len())).to_string();
    let written = network.json();
    assert_eq!(Network::read(&written.to_string()).as_ref(), Ok(&network));
    assert_eq!(Network::read(&written.pretty()).as_ref(), Ok(&network));
});
