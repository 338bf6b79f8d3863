//! The small texts that come from outside: requests for metrics, leases, notes of an earlier tracker, time zones, and
//! other programs' configurations. The first byte chooses the reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mwan3::network::lease::Lease;
use mwan3::plan::Health;
use mwan3::system::clock::zone;
use mwan3::{config, import, scrape, uci};

fuzz_target!(init: mwan3_fuzz::seeds::write_if_asked("texts"), |data: &[u8]| {
    let Some((reader, bytes)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    match reader % 5 {
        0 => {
            let _ = scrape::judge(bytes);
        }
        1 => {
            let _ = Lease::parse(&text);
        }
        2 => {
            if let Ok(health) = Health::parse(&text) {
                assert_eq!(Health::parse(&health.to_string()), Ok(health), "what is written is read as it was");
            }
        }
        3 => {
            let imported = import::multiwans(&text, "/etc/multiwans");
            let package = uci::parse("mwan3", imported.text.as_bytes());
            assert!(package.errors.is_empty(), "{:?}", package.errors);
            let _ = config::read(&package, "mwan3");
        }
        _ => {
            const MARCH_2026: i64 = 1_774_746_000;
            let _ = (zone::offset_by_rules(bytes, MARCH_2026), zone::offset_in_file(bytes, MARCH_2026));
        }
    }
});
