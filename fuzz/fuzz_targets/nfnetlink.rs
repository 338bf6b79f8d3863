//! nf_tables and conntrack messages: whatever the bytes are, something is made of them or they are left out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mwan3::plan::TABLE;
use mwan3::system::conntrack;
use mwan3::system::netlink::Messages;
use mwan3::system::nftables::decode;

fuzz_target!(init: mwan3_fuzz::seeds::write_if_asked("nfnetlink"), |data: &[u8]| {
    read(data);
    Messages::new(data).for_each(|message| read(message.payload));
});

fn read(payload: &[u8]) {
    let _ = (decode::generation(payload), decode::table_name(payload), decode::chain(payload, TABLE));
    let _ = (decode::rule(payload, TABLE), decode::set(payload, TABLE), conntrack::decode(payload));
    for width in [0, 1, 2, 4, 16, 17] {
        let spans = decode::spans(decode::edges(payload, width), width);
        assert!(spans.windows(2).all(|pair| pair[0].high < pair[1].low), "{spans:?}");
    }
}
