//! A TLS ClientHello (RFC 8446, also good for TLS 1.2) and the record a server answers it with. There is no
//! cryptography here: the hello offers no key, so a TLS 1.3 server asks for one, a TLS 1.2 server sends its
//! certificate, and one that likes nothing of it sends an alert. Each proves that a TLS server was reached;
//! the certificate is not looked at.

use std::net::IpAddr;

use super::{Greeting, be16, byte};

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const CLIENT_HELLO: u8 = 1;
const TLS_1_0: u16 = 0x0301;
const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;
const LARGEST_RECORD: u16 = (1 << 14) + 256;

/// TLS 1.3's three, then what TLS 1.2 servers commonly take.
const CIPHER_SUITES: [u16; 11] =
    [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0x009c, 0x002f];
/// x25519, secp256r1, secp384r1.
const GROUPS: [u16; 3] = [29, 23, 24];
const SIGNATURE_SCHEMES: [u16; 9] = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601, 0x0807];

/// `server` is sent as the wanted name unless it is an address, which the name extension must not carry.
pub fn client_hello(server: &str, random: [u8; 32], session: [u8; 32]) -> Vec<u8> {
    let mut hello = TLS_1_2.to_be_bytes().to_vec();
    hello.extend_from_slice(&random);
    hello.push(32);
    hello.extend_from_slice(&session);
    hello.extend(counted(&words(&CIPHER_SUITES)));
    // One compression method: none.
    hello.extend_from_slice(&[1, 0]);
    hello.extend(counted(&extensions(server)));

    let mut message = vec![CLIENT_HELLO, 0];
    message.extend(counted(&hello));
    let mut record = vec![HANDSHAKE];
    record.extend_from_slice(&TLS_1_0.to_be_bytes());
    record.extend(counted(&message));
    record
}

fn extensions(server: &str) -> Vec<u8> {
    let mut all = Vec::new();
    let mut add = |number: u16, body: &[u8]| {
        all.extend_from_slice(&number.to_be_bytes());
        all.extend(counted(body));
    };
    let is_name = server.parse::<IpAddr>().is_err() && (1..=253).contains(&server.len()) && server.is_ascii();
    if is_name {
        let mut name = vec![0];
        name.extend(counted(server.as_bytes()));
        add(0, &counted(&name));
    }
    add(10, &counted(&words(&GROUPS)));
    // Point formats: uncompressed only.
    add(11, &[1, 0]);
    add(13, &counted(&words(&SIGNATURE_SCHEMES)));
    let mut versions = vec![4];
    versions.extend(words(&[TLS_1_3, TLS_1_2]));
    add(43, &versions);
    // No key share: a TLS 1.3 server answers with the group it wants.
    add(51, &counted(&[]));
    all
}

/// With its length in bytes, two bytes wide, before it; all of ours is far below 64 KB.
fn counted(content: &[u8]) -> Vec<u8> {
    let mut bytes = (content.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes
}

fn words(words: &[u16]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    bytes
}

/// Whether the first bytes received are the head of a handshake or alert record.
pub fn parse_record(received: &[u8]) -> Greeting {
    let kind_fits = byte(received, 0).is_none_or(|kind| kind == HANDSHAKE || kind == ALERT);
    let version_fits = byte(received, 1).is_none_or(|major| major == 3);
    let length = be16(received, 3);
    if !kind_fits || !version_fits || length.is_some_and(|length| length == 0 || length > LARGEST_RECORD) {
        Greeting::Foreign
    } else if length.is_none() {
        Greeting::Incomplete
    } else {
        Greeting::Expected
    }
}
