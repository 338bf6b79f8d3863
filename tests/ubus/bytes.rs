//! Blobs byte by byte: against what was recorded between the real ubusd and its own command, and against
//! what nobody should ever send.

use std::sync::mpsc;

use mwan3::json::{self, Json};
use mwan3::system::ubus::Bus;
use mwan3::system::ubus::blob::{self, BlobError};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::PATIENT;
use crate::daemon::{DATA, Daemon, data, message, ours, small_dump, theirs};

/// `ubus call network.interface echo '{…}'`: LOOKUP, its answer; INVOKE, its answer.
const RECORDED_LOOKUP: &str = "00040001000000000000001c020000166e6574776f726b2e696e74657266616365000000";
const RECORDED_OBJECT: &str = "000200010000000000000030020000166e6574776f726b2e696e7465726661636500000003000008fa93e41a0500000866bbe8450600000400010001000000000000000c0100000800000000";
const RECORDED_INVOKE: &str = "00050002fa93e41a000000a803000008fa93e41a040000096563686f0000000007000090840000140003626967000000000000012a05f2008700000d0004666c61670000010000008100002c00046c69737400008500000c000000000000000182000014000000008700000900016100000000008500000c00016e00fffffffb8000000c00046e6f6e6500008800001400047265616c00003fe000000000000083000010000474657874000068c3a900";
const RECORDED_REPLY: &str = "00020002fa93e41a0000009c03000008fa93e41a07000090840000140003626967000000000000012a05f2008700000d0004666c61670000010000008100002c00046c69737400008500000c000000000000000182000014000000008700000900016100000000008500000c00016e00fffffffb8000000c00046e6f6e6500008800001400047265616c00003fe000000000000083000010000474657874000068c3a90000010002fa93e41a00000014010000080000000003000008fa93e41a";
/// The answer to a LOOKUP of what does not exist.
const RECORDED_NOT_FOUND: &str = "00010001000000000000000c0100000800000004";
const RECORDED_GREETING: &str = "00000000427bf32800000004";
/// A table with every type there is, written by libubox.
const RECORDED_TYPES: &str = "8700000d0003796573000000010000008600000e000573686f727400fff60000850000100003696e74000000000111708500001000056d696e757300fffffffb8400001400046c6f6e670000000000012a05f20088000014000468616c6600003fe000000000000083000010000474657874000068c3a9008000000c00046e6f6e6500008100002000046c69737400008300000a00000000610000008200000800000000";

#[test]
fn a_call_is_byte_for_byte_what_the_ubus_command_sends_and_the_recorded_answer_is_understood() {
    let (heard, hear) = mpsc::channel();
    let daemon = Daemon::start(move |_, mut client| {
        client.write(&bytes(RECORDED_GREETING));
        for answer in [RECORDED_OBJECT, RECORDED_REPLY] {
            heard.send(client.request().unwrap().bytes).unwrap();
            client.write(&bytes(answer));
        }
    });
    let arguments = json!({ "big": 5_000_000_000_i64, "flag": true, "list": [1, { "a": false }], "n": -5,
        "none": null, "real": 0.5, "text": "hé" });
    let reply = daemon.bus(PATIENT).call("network.interface", "echo", &ours(&arguments)).unwrap();
    assert_eq!(theirs(&reply), arguments);
    assert_eq!(hex(&hear.recv().unwrap()), RECORDED_LOOKUP);
    assert_eq!(hex(&hear.recv().unwrap()), RECORDED_INVOKE);
}

#[test]
fn the_recorded_refusal_is_understood() {
    let daemon = Daemon::start(|_, mut client| {
        client.write(&bytes(RECORDED_GREETING));
        client.request().unwrap();
        client.write(&bytes(RECORDED_NOT_FOUND));
    });
    assert_eq!(daemon.call("dump").unwrap_err().to_string(), "ubus call network.interface dump: Not found");
}

#[test]
fn every_type_that_libubox_writes_becomes_json() {
    let expected = json!({ "yes": true, "short": -10, "int": 70000, "minus": -5, "long": 5_000_000_000_i64,
        "half": 0.5, "text": "hé", "none": null, "list": ["a", {}] });
    assert_eq!(decoded(&bytes(RECORDED_TYPES)), Ok(expected));
}

#[test]
fn damaged_tables_are_errors_that_say_what_is_wrong() {
    for (table, complaint) in [
        ("870000", "an attribute's header is cut off"),
        ("87000003", "an attribute has a wrong length"),
        ("8700000d000379657300000001000000870000ff", "an attribute has a wrong length"),
        ("0300000861620000", "a field has no name"),
        ("8300000600000000", "a field's name is cut off"),
        ("83000008ffff0000", "a field's name is cut off"),
        ("8500000a0000000000010000", "a number is cut off"),
        ("870000080000000000", "a number is cut off"),
    ] {
        assert_eq!(decoded(&bytes(table)), Err(BlobError::Malformed(complaint)), "{table}");
    }
}

#[test]
fn what_json_cannot_say_becomes_null_and_a_text_ends_at_its_nul() {
    let infinity = "8800001000000000".to_owned() + "7ff0000000000000";
    assert_eq!(decoded(&bytes(&infinity)), Ok(json!({ "": null })));
    let type_of_the_future = "8900000800000000";
    assert_eq!(decoded(&bytes(type_of_the_future)), Ok(json!({ "": null })));
    let text = "8300000d0000000061ff006200000000";
    assert_eq!(decoded(&bytes(text)), Ok(json!({ "": "a\u{fffd}" })));
}

/// Read as the standard library reads it, and told with all its digits.
#[test]
fn real_numbers_are_exact() {
    for text in [
        "0.1",
        "-0.3",
        "1E+3",
        "0.0",
        "-0.0",
        "0e9",
        "1e-5",
        "123456789.125",
        "9007199254740993",
        "1e23",
        "8.5e22",
        "9007199254740992.99999999999999999999",
        "9007199254740993.00000000000000000001",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "5e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "1e-400",
        "1e400",
        "2.2250738585072011e-308",
        "2.2250738585072014e-308",
        "0.000001e9",
        "1e99999999999999999999",
        "-1e-99999999999",
        "179769313486231570000000000000000000000000",
        "0e99999999999999999999",
        "18446744073709551616",
    ] {
        let table = json::read(&format!("{{\"\": {text}}}")).unwrap();
        let number = text.parse::<f64>().unwrap();
        if let Some(integer) = table.get("").and_then(Json::as_i64) {
            assert_eq!(number, integer as f64);
            continue;
        }
        let bytes = blob::encode_table(&table).unwrap();
        assert_eq!(hex(&bytes[8..]), hex(&number.to_be_bytes()), "{text}");
        if number.is_finite() {
            let told = blob::decode_table(&bytes).unwrap().to_string();
            assert_eq!(
                told,
                format!("{{\"\":{number:.*}}}", told.len() - told.find('.').unwrap() - 2),
                "{text}"
            );
            assert!(
                told.contains(&format!("{number:?}")) || number.abs() < 1.0 || number.abs() > 1e15,
                "{told}"
            );
        }
    }
}

#[test]
fn nesting_ends_at_the_limit_in_both_directions() {
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({ "x": inner }));
    let deepest = blob::DEEPEST_NESTING + 1;
    let bytes = encoded(&nested(deepest)).unwrap();
    assert_eq!(decoded(&bytes), Ok(nested(deepest)));
    assert_eq!(encoded(&nested(deepest + 1)), Err(BlobError::TooDeep));

    let mut hostile = Vec::new();
    for _ in 0..50_000 {
        let mut outer = ((hostile.len() as u32 + 8) | 0x8200_0000).to_be_bytes().to_vec();
        outer.extend([0; 4]);
        hostile.splice(0..0, outer);
    }
    assert_eq!(blob::decode_table(&hostile), Err(BlobError::TooDeep));
}

#[test]
fn what_is_longer_than_a_message_may_be_is_not_encoded() {
    let too_long = json!({ "text": "x".repeat(blob::LONGEST_MESSAGE) });
    assert_eq!(encoded(&too_long), Err(BlobError::TooLong));
    let long_name = json!({ "x".repeat(70_000): 1 });
    assert_eq!(encoded(&long_name), Err(BlobError::TooLong));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO)
            .prop_map(Value::from),
        "[^\0]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[^\0]{0,9}", inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_table_survives_the_way_there_and_back(
        fields in prop::collection::btree_map("[^\0]{0,9}", any_value(), 0..6)
    ) {
        let table = Value::Object(fields.into_iter().collect());
        let bytes = encoded(&table).unwrap();
        prop_assert_eq!(bytes.len() % 4, 0);
        prop_assert_eq!(decoded(&bytes), Ok(table));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = blob::decode_table(&bytes);
    }

    #[test]
    fn no_damage_to_a_valid_table_makes_the_decoder_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        let mut table = bytes(RECORDED_TYPES);
        for (at, byte) in damage {
            let at = at.index(table.len());
            table[at] = byte;
        }
        let _ = blob::decode_table(&table);
        let _ = blob::decode_table(&table[..end.index(table.len())]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_to_the_stream_makes_the_client_panic_or_hang(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut stream = [RECORDED_OBJECT, RECORDED_REPLY].map(bytes).concat();
        stream.extend(message(DATA, 2, &data(&small_dump())));
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream.truncate(end.index(stream.len()) + 1);
        let daemon = Daemon::start(move |_, mut client| {
            client.greet();
            client.write(&stream);
            // Closed by the client, or by us after its last request.
            let _ = client.request();
            let _ = client.stream.shutdown(std::net::Shutdown::Write);
            while client.request().is_some() {}
        });
        let mut bus = Bus::connect_to(&daemon.socket, PATIENT).unwrap();
        let _ = bus.call("network.interface", "echo", &Json::Null);
    }
}

fn encoded(table: &Value) -> Result<Vec<u8>, BlobError> {
    blob::encode_table(&ours(table))
}

fn decoded(bytes: &[u8]) -> Result<Value, BlobError> {
    blob::decode_table(bytes).map(|table| theirs(&table))
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
