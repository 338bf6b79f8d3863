//! JSON is read and written as serde_json does it, which other programs trust.

use mwan3::json::{self, Json, Object};
use proptest::prelude::*;

fn ours(text: &str) -> Json {
    json::read(text).expect("JSON")
}

fn theirs(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

/// Values with whole numbers only: how others are written is a matter of taste.
fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let plain = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[\\x00-\\x22\\\\/\u{7f}-\u{ff}\u{1f600}]{0,9}".prop_map(Into::into),
    ];
    plain.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec(("[a-d]{0,2}", inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_json_writes_is_read_and_written_again(value in any_value()) {
        let line = value.to_string();
        prop_assert_eq!(ours(&line).to_string(), line);
        let page = serde_json::to_string_pretty(&value).expect("a text");
        prop_assert_eq!(ours(&page).pretty(), page);
    }

    #[test]
    fn what_is_written_is_what_serde_json_reads(value in any_value()) {
        prop_assert_eq!(theirs(&ours(&value.to_string()).to_string()), value);
    }

    /// Near to JSON, so that both accept and refuse.
    #[test]
    fn the_same_texts_are_refused(text in "([\\[\\]{},:\"\\\\ \n0-9.eE+-]|null|true|fals|\\\\u[dD][89cC]3[a-f0-9]|\"[a-z]*\"){0,12}") {
        let judged = serde_json::from_str::<serde_json::Value>(&text);
        let read = json::read(&text);
        match (&judged, &read) {
            // Too large for a machine's number, which a text is not.
            (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("number out of range")),
            _ => prop_assert_eq!(judged.is_ok(), read.is_ok(), "{:?} {:?}", judged, read),
        }
        if let (Err(error), Err(mistake)) = (&judged, &read) && mistake.is_unfinished {
            prop_assert!(error.is_eof() || error.line() > 0);
        }
    }

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        let _ = json::read(&text);
    }
}

#[test]
fn numbers_that_are_not_whole_stay_as_they_were_written() {
    for text in ["0.5", "-1.25e-3", "1E+9", "18446744073709551616", "1e999"] {
        assert_eq!(ours(text).to_string(), text);
        assert_eq!(ours(text).as_i64(), None);
    }
    assert_eq!(ours("-9223372036854775808").as_i64(), Some(i64::MIN));
    assert_eq!(ours("7").as_u64(), Some(7));
    assert_eq!(ours("-7").as_u64(), None);
}

#[test]
fn a_mistake_says_where_it_is() {
    let mistake = json::read("{\n  \"a\": nil\n}").expect_err("not JSON");
    assert_eq!(mistake.to_string(), "not JSON, at line 2 column 9");
    assert!(!mistake.is_unfinished);
    let mistake = json::read("[1,").expect_err("not JSON");
    assert_eq!(mistake.to_string(), "JSON that ends too early, at line 1 column 4");
    assert!(mistake.is_unfinished);
}

#[test]
fn deep_nesting_is_refused_where_serde_json_refuses_it() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    for depth in 1..200 {
        let is_read = serde_json::from_str::<serde_json::Value>(&nested(depth)).is_ok();
        assert_eq!(json::read(&nested(depth)).is_ok(), is_read, "{depth}");
    }
    assert!(json::read(&"[".repeat(1_000_000)).is_err());
}

#[test]
fn members_keep_their_order_and_the_last_of_one_name_counts() {
    let mut object = Object::new();
    object.text("name", "wan");
    object.number("age", 3);
    object.flag("up", true);
    object.put("name", Json::Null);
    assert_eq!(Json::from(object).to_string(), r#"{"name":null,"age":3,"up":true}"#);
    assert_eq!(ours(r#"{"a":1,"b":2,"a":3}"#).get("a"), Some(&Json::Number(3)));
}
