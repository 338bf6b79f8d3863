//! Tables from ubus, on to the logical interfaces that netifd would mean by them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mwan3::network::netifd;
use mwan3::system::ubus::blob;

fuzz_target!(init: mwan3_fuzz::seeds::write_if_asked("ubus"), |data: &[u8]| {
    let _ = blob::attributes(data).count();
    let Ok(table) = blob::decode_table(data) else { return };
    let _ = netifd::from_dump(&table);
    if let Ok(bytes) = blob::encode_table(&table) {
        let again = blob::decode_table(&bytes).map(|table| table.to_string());
        assert_eq!(again, Ok(table.to_string()));
    }
});
