//! The bytes of probes: known answers, and hostile bytes.

use std::net::IpAddr;

use mwan3::address::Family;
use mwan3::probe_packet::icmp::{self, Notice, Received};
use mwan3::probe_packet::{Greeting, arp, dns, http, tls};
use proptest::prelude::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    assert_eq!(digits.len() % 2, 0);
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ascii"), 16).expect("hex"))
        .collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn notice(family: Family, kind: u8, code: u8) -> Notice {
    Notice { family, kind, code }
}

#[test]
fn an_ipv4_echo_request_is_what_rfc_792_says() {
    // Sum by hand: 0800 + 1234 + 0001 + 6162 + 6300 = de97, complement 2168.
    let message = icmp::echo_request(Family::Ipv4, 0x1234, 1, b"abc");
    assert_eq!(message, bytes("0800 2168 1234 0001 616263"));
    assert_eq!(icmp::checksum(&message), 0);
}

#[test]
fn an_ipv6_echo_request_leaves_its_checksum_to_the_kernel() {
    assert_eq!(
        icmp::echo_request(Family::Ipv6, 0xabcd, 0xffff, &[7; 4]),
        bytes("8000 0000 abcd ffff 07070707")
    );
}

#[test]
fn the_checksum_is_that_of_the_example_in_rfc_1071() {
    assert_eq!(icmp::checksum(&bytes("0001 f203 f4f5 f6f7")), !0xddf2);
    assert_eq!(icmp::checksum(&[]), 0xffff);
    assert_eq!(icmp::checksum(&[0xff; 65535]), 0x00ff);
}

/// An IPv4 packet with a header of `words` 32-bit words; nobody looks at the header's own checksum.
fn ipv4_packet(words: u8, protocol: u8, source: [u8; 4], destination: [u8; 4], message: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x40 | words, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet.extend(source);
    packet.extend(destination);
    packet.resize(usize::from(words) * 4, 1);
    packet.extend_from_slice(message);
    packet
}

fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    let sum = icmp::checksum(&message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);
    message
}

const US: [u8; 4] = [192, 0, 2, 2];
const TARGET: [u8; 4] = [203, 0, 113, 9];
const ROUTER: [u8; 4] = [192, 0, 2, 1];

#[test]
fn an_ipv4_reply_is_read_behind_a_header_of_any_length() {
    for words in [5, 6, 15] {
        let reply = with_checksum(bytes("0000 0000 1234 0007 c00c1e"));
        let packet = ipv4_packet(words, 1, TARGET, US, &reply);
        let (sender, received) = icmp::parse_ipv4(&packet).expect("a reply");
        let Received::Reply(echo) = received else { panic!("{received:?}") };
        assert_eq!((sender, echo.identifier, echo.sequence), (ip("203.0.113.9"), 0x1234, 7));
        assert_eq!(echo.payload, bytes("c00c1e"));
    }
}

#[test]
fn a_reply_with_a_wrong_checksum_is_none() {
    let mut reply = with_checksum(bytes("0000 0000 1234 0007 c00c1e"));
    assert!(icmp::parse_ipv4(&ipv4_packet(5, 1, TARGET, US, &reply)).is_some());
    reply[8] ^= 1;
    assert!(icmp::parse_ipv4(&ipv4_packet(5, 1, TARGET, US, &reply)).is_none());
}

#[test]
fn an_ipv4_error_tells_who_sent_it_and_which_request_it_quotes() {
    let request = icmp::echo_request(Family::Ipv4, 0x1234, 9, b"cookie");
    for words in [5, 7] {
        let mut error = bytes("0301 0000 00000000");
        error.extend(ipv4_packet(words, 1, US, TARGET, &request));
        let packet = ipv4_packet(5, 1, ROUTER, US, &with_checksum(error));
        let (sender, received) = icmp::parse_ipv4(&packet).expect("an error");
        let Received::Error { notice: found, destination, request } = received else {
            panic!("{received:?}")
        };
        assert_eq!((sender, destination), (ip("192.0.2.1"), ip("203.0.113.9")));
        assert_eq!(found, notice(Family::Ipv4, 3, 1));
        assert_eq!((request.identifier, request.sequence, request.payload), (0x1234, 9, &b"cookie"[..]));
    }
}

#[test]
fn an_error_about_something_else_than_an_echo_request_is_none() {
    let request = icmp::echo_request(Family::Ipv4, 0x1234, 9, b"cookie");
    let quoting = |quote: Vec<u8>| {
        let mut error = bytes("0301 0000 00000000");
        error.extend(quote);
        ipv4_packet(5, 1, ROUTER, US, &with_checksum(error))
    };
    let parses = |packet: &[u8]| icmp::parse_ipv4(packet).is_some();
    assert!(parses(&quoting(ipv4_packet(5, 1, US, TARGET, &request))));
    assert!(!parses(&quoting(ipv4_packet(5, 6, US, TARGET, &request))), "a TCP packet");
    let mut later_fragment = ipv4_packet(5, 1, US, TARGET, &request);
    later_fragment[7] = 1;
    assert!(!parses(&quoting(later_fragment)), "no ICMP header in a later fragment");
    let timestamp = bytes("0d00 0000 1234 0009");
    assert!(!parses(&quoting(ipv4_packet(5, 1, US, TARGET, &timestamp))), "a timestamp request");
}

#[test]
fn an_ipv6_error_is_read_with_and_without_a_fragment_header() {
    let request = icmp::echo_request(Family::Ipv6, 0x1234, 9, b"cookie");
    let quote = |next: &str, extra: &str| {
        let mut quote = bytes(&format!("60000000 000e {next} 40"));
        quote.extend(bytes("20010db8000000000000000000000002"));
        quote.extend(bytes("20010db8000100000000000000000009"));
        quote.extend(bytes(extra));
        quote.extend(&request);
        let mut error = bytes("0103 0000 00000000");
        error.extend(quote);
        error
    };
    for message in [quote("3a", ""), quote("2c", "3a00 0001 00000007")] {
        let Some(Received::Error { notice: found, destination, request }) = icmp::parse_ipv6(&message) else {
            panic!("not understood: {message:x?}");
        };
        assert_eq!(found, notice(Family::Ipv6, 1, 3));
        assert_eq!(destination, ip("2001:db8:1::9"));
        assert_eq!((request.identifier, request.sequence, request.payload), (0x1234, 9, &b"cookie"[..]));
    }
    assert_eq!(icmp::parse_ipv6(&quote("2c", "3a00 0008 00000007")), None, "a later fragment");
    assert_eq!(icmp::parse_ipv6(&quote("06", "")), None, "a TCP packet");
}

#[test]
fn a_cookie_is_known_again_also_in_short_and_in_cut_payloads() {
    let cookie = *b"8 random";
    for size in [0, 1, 7, 8, 9, 56, 65507] {
        let payload = icmp::echo_payload(size, cookie);
        assert_eq!(payload.len(), usize::from(size));
        assert!(icmp::carries_cookie(&payload, size, cookie));
    }
    let payload = icmp::echo_payload(1000, cookie);
    assert!(icmp::carries_cookie(&payload[..64], 1000, cookie), "some servers cut long payloads");
    assert!(!icmp::carries_cookie(&payload[..7], 1000, cookie));
    assert!(!icmp::carries_cookie(&icmp::echo_payload(56, *b"8 RANDOM"), 56, cookie));
}

#[test]
fn notices_read_as_words() {
    let read = |family, kind, code| notice(family, kind, code).to_string();
    assert_eq!(read(Family::Ipv4, 3, 0), "network unreachable");
    assert_eq!(read(Family::Ipv4, 3, 1), "host unreachable");
    assert_eq!(read(Family::Ipv4, 3, 13), "forbidden by a firewall");
    assert_eq!(read(Family::Ipv4, 11, 0), "hop limit exceeded");
    assert_eq!(read(Family::Ipv6, 1, 0), "network unreachable");
    assert_eq!(read(Family::Ipv6, 2, 0), "packet too big");
    assert_eq!(read(Family::Ipv6, 3, 0), "hop limit exceeded");
    assert_eq!(read(Family::Ipv4, 3, 99), "unreachable (type 3 code 99)");
    assert!(notice(Family::Ipv4, 3, 3).is_port_unreachable());
    assert!(notice(Family::Ipv6, 1, 4).is_port_unreachable());
    assert!(!notice(Family::Ipv6, 3, 3).is_port_unreachable());
}

/// `sock_extended_err` as the kernel writes it, in this machine's byte order, then the sender's address.
fn extended_error(origin: u8, kind: u8, code: u8, sender: &[u8]) -> Vec<u8> {
    let mut bytes = 113u32.to_ne_bytes().to_vec();
    bytes.extend([origin, kind, code, 0]);
    bytes.extend([0; 8]);
    bytes.extend_from_slice(sender);
    bytes
}

#[test]
fn an_extended_error_tells_the_notice_and_who_sent_it() {
    let mut sender = 2u16.to_ne_bytes().to_vec();
    sender.extend(bytes("0000 c0000201 0000000000000000"));
    let error = extended_error(2, 3, 1, &sender);
    assert_eq!(icmp::parse_extended_error(&error), Some((notice(Family::Ipv4, 3, 1), ip("192.0.2.1"))));

    let mut sender = 10u16.to_ne_bytes().to_vec();
    sender.extend(bytes("0000 00000000 20010db8000000000000000000000001 00000000"));
    let error = extended_error(3, 1, 4, &sender);
    assert_eq!(icmp::parse_extended_error(&error), Some((notice(Family::Ipv6, 1, 4), ip("2001:db8::1"))));

    let local = extended_error(1, 0, 0, &sender);
    assert_eq!(icmp::parse_extended_error(&local), None);
}

#[test]
fn an_arp_request_is_what_rfc_826_says() {
    let request = arp::request([2, 0, 0, 0, 0, 7], US.into(), TARGET.into());
    assert_eq!(request, bytes("0001 0800 06 04 0001 020000000007 c0000202 000000000000 cb007109"));
}

#[test]
fn an_arp_reply_is_read_with_its_padding_and_a_request_is_none() {
    let mut message = bytes("0001 0800 06 04 0002 020000000009 cb007109 020000000007 c0000202");
    message.resize(46, 0);
    let reply = arp::parse_reply(&message).expect("a reply");
    assert_eq!((reply.sender, reply.receiver), (TARGET.into(), US.into()));
    assert_eq!((reply.sender_link, reply.receiver_link), ([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 7]));
    assert_eq!(arp::parse_reply(&message[..27]), None, "too short");
    message[7] = 1;
    assert_eq!(arp::parse_reply(&message), None, "a request");
    message[7] = 2;
    message[1] = 6;
    assert_eq!(arp::parse_reply(&message), None, "another kind of network");
}

const QUERY: &str = "beef 0100 0001 0000 0000 0000 03777777 076578616d706c65 00 0001 0001";

#[test]
fn a_dns_query_is_what_rfc_1035_says() {
    assert_eq!(dns::query(0xbeef, "www.example", Family::Ipv4), Some(bytes(QUERY)));
    assert_eq!(dns::query(0xbeef, "www.example.", Family::Ipv4), Some(bytes(QUERY)), "with the root's dot");
    let ipv6 = dns::query(0xbeef, "www.example", Family::Ipv6).expect("a query");
    assert!(ipv6.ends_with(&bytes("001c 0001")));
}

#[test]
fn names_dns_cannot_carry_are_refused() {
    let long_label = "a".repeat(64);
    let long_name = ["a".repeat(63).as_str(); 4].join(".");
    for name in ["", ".", "a..b", ".a", "with space", "line\nfeed", "ümlaut", &long_label, &long_name] {
        assert_eq!(dns::query(1, name, Family::Ipv4), None, "{name:?}");
    }
    assert!(dns::query(1, &"a".repeat(63), Family::Ipv4).is_some());
}

/// The answer `head` (flags and counts) with the question of QUERY in other letters, then `records`.
fn dns_answer(head: &str, records: &str) -> Vec<u8> {
    bytes(&format!("beef {head} 03577757 074578616d506c65 00 0001 0001 {records}"))
}

#[test]
fn dns_answers_give_addresses_through_aliases_and_the_shortest_lifetime() {
    let message = dns_answer(
        "8180 0001 0003 0000 0000",
        "c00c 0005 0001 00000005 0006 03 616c74 c010 \
         c029 0001 0001 0000012c 0004 cb007109 \
         c029 0001 0001 0000003c 0004 cb00710a",
    );
    let answer = dns::parse_answer(&bytes(QUERY), &message).expect("an answer");
    assert_eq!(answer.addresses, [ip("203.0.113.9"), ip("203.0.113.10")]);
    assert_eq!(answer.lifetime_s, 60);
    assert!(answer.code.is_success());
}

#[test]
fn an_aaaa_answer_gives_an_ipv6_address() {
    let query = dns::query(7, "a", Family::Ipv6).expect("a query");
    let message = bytes(
        "0007 8180 0001 0001 0000 0000 0161 00 001c 0001 \
         c00c 001c 0001 00000e10 0010 20010db8000000000000000000000009",
    );
    let answer = dns::parse_answer(&query, &message).expect("an answer");
    assert_eq!((answer.addresses, answer.lifetime_s), (vec![ip("2001:db8::9")], 3600));
}

#[test]
fn error_codes_are_answers_too() {
    for (code, words) in [(2, "server failure"), (3, "no such name"), (5, "refused")] {
        let answer =
            dns::parse_answer(&bytes(QUERY), &dns_answer(&format!("818{code} 0001 0000 0000 0000"), ""))
                .expect("an answer");
        assert_eq!((answer.code.0, answer.code.to_string().as_str()), (code, words));
        assert!(answer.addresses.is_empty());
    }
    let bare_format_error = bytes("beef 8181 0000 0000 0000 0000");
    assert_eq!(dns::parse_answer(&bytes(QUERY), &bare_format_error).map(|answer| answer.code.0), Some(1));
}

#[test]
fn dns_messages_that_do_not_answer_our_query_are_none() {
    let query = bytes(QUERY);
    let good = dns_answer("8180 0001 0000 0000 0000", "");
    assert!(dns::parse_answer(&query, &good).is_some());
    let change = |at: usize, to: u8| {
        let mut message = good.clone();
        message[at] = to;
        dns::parse_answer(&query, &message)
    };
    assert_eq!(change(1, 0), None, "another identifier");
    assert_eq!(change(2, 0x01), None, "a query");
    assert_eq!(change(2, 0xa1), None, "another opcode");
    assert_eq!(change(13, b'x'), None, "another name");
    assert_eq!(change(26, 28), None, "another type");
    assert_eq!(change(7, 1), None, "a record that is not there");
    assert_eq!(dns::parse_answer(&query, &query), None, "our own query");
}

#[test]
fn a_truncated_answer_still_gives_what_it_holds() {
    let records = "c00c 0001 0001 0000003c 0004 cb007109 c00c 0001 0001 00";
    let cut = dns_answer("8380 0001 0002 0000 0000", records);
    let answer = dns::parse_answer(&bytes(QUERY), &cut).expect("an answer");
    assert_eq!(answer.addresses, [ip("203.0.113.9")]);
    assert_eq!(dns::parse_answer(&bytes(QUERY), &dns_answer("8180 0001 0002 0000 0000", records)), None);
}

#[test]
fn an_http_request_names_its_host_and_cannot_be_broken_apart() {
    let request = http::request("example.org", "/generate_204").expect("a request");
    let text = String::from_utf8(request).expect("text");
    assert!(text.starts_with("HEAD /generate_204 HTTP/1.1\r\nHost: example.org\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n"));
    for (host, path) in [("a\r\nX: y", "/"), ("a", "/\r\n\r\nGET /"), ("a b", "/"), ("", "/"), ("a", "x")] {
        assert_eq!(http::request(host, path), None, "{host:?} {path:?}");
    }
}

#[test]
fn any_http_status_line_is_an_answer() {
    for line in ["HTTP/1.1 204 No Content\r\n", "HTTP/1.0 500", "HTTP/1.1 302 Found\r\n", "HTTP/2.0 404"] {
        assert_eq!(http::parse_status(line.as_bytes()), Greeting::Expected, "{line}");
    }
    for line in ["", "H", "HTTP/1.1 ", "HTTP/1.1 20"] {
        assert_eq!(http::parse_status(line.as_bytes()), Greeting::Incomplete, "{line}");
    }
    for line in ["SSH-2.0-", "HTTP/1.1 OK ", "http/1.1 200", "\x15\x03\x01"] {
        assert_eq!(http::parse_status(line.as_bytes()), Greeting::Foreign, "{line}");
    }
}

/// Reads lengths the way a server does; panics where they do not fit.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn number(&mut self, width: usize) -> usize {
        self.take(width).iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    }

    fn counted(&mut self, width: usize) -> Reader<'a> {
        let length = self.number(width);
        Reader(self.take(length))
    }
}

fn hello_extensions(hello: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut record = Reader(hello);
    assert_eq!(record.take(3), [22, 3, 1]);
    let mut handshake = record.counted(2);
    assert!(record.0.is_empty());
    assert_eq!(handshake.take(1), [1]);
    let mut body = handshake.counted(3);
    assert!(handshake.0.is_empty());
    assert_eq!(body.take(2), [3, 3]);
    assert_eq!(body.take(32), [0x11; 32]);
    assert_eq!(body.counted(1).0, [0x22; 32]);
    assert_eq!(body.counted(2).0.len() % 2, 0);
    assert_eq!(body.counted(1).0, [0]);
    let mut list = body.counted(2);
    assert!(body.0.is_empty());
    let mut extensions = Vec::new();
    while !list.0.is_empty() {
        extensions.push((list.number(2), list.counted(2).0.to_vec()));
    }
    extensions
}

#[test]
fn a_client_hello_has_consistent_lengths_and_names_the_server() {
    let extensions = hello_extensions(&tls::client_hello("example.org", [0x11; 32], [0x22; 32]));
    let numbers: Vec<usize> = extensions.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [0, 10, 11, 13, 43, 51]);
    assert_eq!(extensions[0].1, bytes("000e 00 000b 6578616d706c652e6f7267"));
    for address in ["192.0.2.1", "2001:db8::1", ""] {
        let extensions = hello_extensions(&tls::client_hello(address, [0x11; 32], [0x22; 32]));
        assert_ne!(extensions[0].0, 0, "the name extension is not for {address:?}");
    }
}

#[test]
fn a_handshake_or_an_alert_is_a_tls_answer() {
    assert_eq!(tls::parse_record(&bytes("16 0303 0035 02")), Greeting::Expected);
    assert_eq!(tls::parse_record(&bytes("15 0301 0002 0228")), Greeting::Expected);
    assert_eq!(tls::parse_record(&bytes("16 0303 00")), Greeting::Incomplete);
    assert_eq!(tls::parse_record(&[]), Greeting::Incomplete);
    assert_eq!(tls::parse_record(b"HTTP/1.1 400 Bad Request"), Greeting::Foreign);
    assert_eq!(tls::parse_record(&bytes("17 0303 0035")), Greeting::Foreign, "data before a handshake");
    assert_eq!(tls::parse_record(&bytes("16 0303 ffff")), Greeting::Foreign, "longer than any record");
    assert_eq!(tls::parse_record(&bytes("16 0303 0000")), Greeting::Foreign, "empty");
}

fn read_everything(message: &[u8], query: &[u8]) {
    let _ = icmp::parse_ipv4(message).map(|found| format!("{found:?}"));
    let _ = icmp::parse_ipv6(message).map(|found| format!("{found:?}"));
    let _ = icmp::parse_extended_error(message).map(|(notice, _)| notice.to_string());
    let _ = arp::parse_reply(message);
    let _ = http::parse_status(message);
    let _ = tls::parse_record(message);
    let _ = dns::parse_answer(query, message);
    let _ = dns::parse_answer(message, message);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..Default::default() })]

    #[test]
    fn hostile_bytes_never_panic(message in prop::collection::vec(any::<u8>(), 0..600)) {
        read_everything(&message, &bytes(QUERY));
    }

    #[test]
    fn damaged_answers_never_panic(
        which in 0usize..5,
        cut in 0usize..200,
        damage in prop::collection::vec((0usize..120, any::<u8>()), 0..6),
    ) {
        let request = icmp::echo_request(Family::Ipv4, 1, 1, &[9; 56]);
        let mut error = bytes("0301 0000 00000000");
        error.extend(ipv4_packet(6, 1, US, TARGET, &request));
        let mut message = match which {
            0 => ipv4_packet(5, 1, ROUTER, US, &with_checksum(error)),
            1 => ipv4_packet(15, 1, TARGET, US, &with_checksum(bytes("0000 0000 1234 0007 c00c1e"))),
            2 => bytes("0103 0000 00000000 60000000000e2c40 20010db8000000000000000000000002 \
                        20010db8000100000000000000000009 3a00000100000007 80000000123400090000"),
            3 => dns_answer("8180 0001 0002 0000 0000",
                            "c00c 0005 0001 00000005 0006 03616c74c010 c029 0001 0001 0000012c 0004 cb007109"),
            _ => bytes("0001 0800 06 04 0002 020000000009 cb007109 020000000007 c0000202"),
        };
        for (at, value) in damage {
            if let Some(byte) = message.get_mut(at) {
                *byte = value;
            }
        }
        message.truncate(cut);
        read_everything(&message, &bytes(QUERY));
    }

    #[test]
    fn every_query_is_answered_by_its_own_echo_with_the_response_bit(
        name in "[a-z0-9]{1,20}(\\.[a-z0-9-]{1,20}){0,4}", identifier in any::<u16>(),
    ) {
        let query = dns::query(identifier, &name, Family::Ipv6).expect("a fine name");
        let mut message = query.clone();
        message[2] |= 0x80;
        prop_assert!(dns::parse_answer(&query, &message).is_some());
    }

    #[test]
    fn every_echo_request_carries_a_checksum_that_sums_to_zero(
        identifier in any::<u16>(), sequence in any::<u16>(), payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let message = icmp::echo_request(Family::Ipv4, identifier, sequence, &payload);
        prop_assert_eq!(icmp::checksum(&message), 0);
    }

    #[test]
    fn every_host_text_makes_a_hello_with_consistent_lengths(host in "\\PC{0,300}") {
        hello_extensions(&tls::client_hello(&host, [0x11; 32], [0x22; 32]));
    }
}
