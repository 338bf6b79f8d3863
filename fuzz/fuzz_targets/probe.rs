//! What a hostile network may answer to a probe.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mwan3::address::Family;
use mwan3::probe_packet::{arp, dns, http, icmp, tls};

fuzz_target!(init: mwan3_fuzz::seeds::write_if_asked("probe"), |data: &[u8]| {
    let _ = (icmp::parse_ipv4(data), icmp::parse_ipv6(data), icmp::checksum(data));
    if let Some((notice, _)) = icmp::parse_extended_error(data) {
        let _ = notice.to_string();
    }
    let _ = (arp::parse_reply(data), http::parse_status(data), tls::parse_record(data));
    let query = dns::query(7, "example.com", Family::Ipv4).expect("a name that DNS can carry");
    let _ = dns::parse_answer(&query, data);
    // A query that has the answer's own identifier and question.
    let _ = dns::parse_answer(data, data);
    if let Ok(name) = std::str::from_utf8(data) {
        let _ = (dns::query(7, name, Family::Ipv6), http::request(name, "/"));
        let _ = tls::client_hello(name, [0; 32], [0; 32]);
    }
});
