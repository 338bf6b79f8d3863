//! The nftables messages without a kernel: what is written is well formed, and what is read may be anything.

use std::net::{Ipv4Addr, Ipv6Addr};

use mwan3::address::{AddressMatch, Family, Span, merge_spans};
use mwan3::nft::{
    BaseChain, BaseKind, Chain, Change, Field, Hook, Relation, Rule, Set, SetContent, Statement, Value,
    ValueRange, Verdict,
};
use mwan3::system::netlink::{Attributes, Message, Messages, Payload};
use mwan3::system::nftables::decode::{self, Edge};
use mwan3::system::nftables::encode::{self, Batch, TooLarge};
use proptest::collection::vec;
use proptest::prelude::*;

const NEW_SET: u16 = 10 << 8 | 9;
const NEW_RULE: u16 = 10 << 8 | 6;
const NEW_ELEMENTS: u16 = 10 << 8 | 12;

fn batch(changes: &[Change]) -> Batch {
    encode::batch("mwan3", changes).expect("it fits").expect("it says something")
}

fn messages(batch: &Batch) -> Vec<Message<'_>> {
    Messages::new(&batch.bytes).collect()
}

#[test]
fn a_batch_is_framed_numbered_and_acknowledged_once() {
    let chain = Chain { name: "one".to_owned(), base: None, rules: vec![] };
    let batch = batch(&[Change::AddTable, Change::AddChain(&chain), Change::FlushChain("one")]);
    let messages = messages(&batch);
    let kinds: Vec<u16> = messages.iter().map(|message| message.kind).collect();
    assert_eq!(kinds, [16, 0xa00, 0xa03, 0xa08, 17]);
    let sequences: Vec<u32> = messages.iter().map(|message| message.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    let acknowledged: Vec<bool> = messages.iter().map(|message| message.flags & 4 != 0).collect();
    assert_eq!(acknowledged, [false, false, false, true, false]);
    assert_eq!((batch.first, batch.last), (1, 4));
    assert_eq!((1..=4).map(|n| batch.position(n)).collect::<Vec<_>>(), [None, Some(0), Some(1), Some(2)]);
}

#[test]
fn nothing_to_say_is_no_batch() {
    assert!(encode::batch("mwan3", &[]).unwrap().is_none());
    let none = Change::AddElements { set: "x", key: Field::Source(Family::Ipv4), spans: [][..].into() };
    assert!(encode::batch("mwan3", &[none]).unwrap().is_none());
}

#[test]
fn every_message_of_a_change_leads_back_to_it() {
    let list =
        (0..20_000u32).map(|n| ValueRange::one(Value::Address(Ipv4Addr::from(n * 2).into()))).collect();
    let long = Rule {
        statements: vec![Statement::InList {
            field: Field::Source(Family::Ipv4),
            relation: Relation::Is,
            list,
        }],
        comment: None,
    };
    let short = Rule { statements: vec![Statement::Counter], comment: None };
    let spans: Vec<Span> = (0..20_000u128).map(|n| Span::one(n * 2)).collect();
    let batch = batch(&[
        Change::AddElements { set: "x", key: Field::Source(Family::Ipv4), spans: spans.into() },
        Change::AddRule { chain: "one", rule: &long },
        Change::AddRule { chain: "one", rule: &short },
    ]);
    let mut expected = vec![];
    for message in messages(&batch) {
        let position = batch.position(message.sequence);
        match message.kind {
            NEW_SET => assert_eq!(position, Some(1)),
            NEW_ELEMENTS => expected.push(position),
            _ => {}
        }
    }
    assert!(expected.len() > 10, "{expected:?}");
    let second = expected.iter().position(|position| *position == Some(1)).unwrap();
    assert!(expected[..second].iter().all(|position| *position == Some(0)));
    assert!(expected[second..].iter().all(|position| *position == Some(1)));
    let last_rule = messages(&batch).iter().rev().find(|message| message.kind == NEW_RULE).unwrap().sequence;
    assert_eq!(batch.position(last_rule), Some(2));
    assert_eq!(batch.last, last_rule);
}

#[test]
fn names_too_long_for_an_attribute_are_told_by_position() {
    let name = "x".repeat(70_000);
    let rule = Rule { statements: vec![Statement::Verdict(Verdict::Jump(name.clone()))], comment: None };
    for long in [Change::DeleteSet(&name), Change::AddRule { chain: "one", rule: &rule }] {
        let result = encode::batch("mwan3", &[Change::AddTable, long]);
        assert_eq!(result.unwrap_err(), TooLarge { position: 1 });
    }
}

/// Attribute within attribute, exactly filled.
fn is_well_formed(bytes: &[u8]) -> bool {
    let used: usize =
        Attributes::new(bytes).map(|attribute| (attribute.value.len() + 4).next_multiple_of(4)).sum();
    used == bytes.len()
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u32>().prop_map(|n| Value::Address(Ipv4Addr::from(n).into())),
        any::<u128>().prop_map(|n| Value::Address(Ipv6Addr::from(n).into())),
        any::<u16>().prop_map(Value::Port),
        any::<u8>().prop_map(Value::Byte),
        "\\PC{0,40}".prop_map(Value::Device),
        families().prop_map(Value::Family),
        any::<u32>().prop_map(Value::Mark),
        any::<u32>().prop_map(Value::Number),
    ]
}

fn families() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

fn ranges() -> impl Strategy<Value = ValueRange> {
    prop_oneof![
        values().prop_map(ValueRange::one),
        (values(), values()).prop_map(|(low, high)| ValueRange { low, high }),
    ]
}

fn fields() -> impl Strategy<Value = Field> {
    prop_oneof![
        families().prop_map(Field::Source),
        families().prop_map(Field::Destination),
        Just(Field::SourcePort),
        Just(Field::DestinationPort),
        Just(Field::Protocol),
        Just(Field::InputDevice),
        Just(Field::NetworkFamily),
        Just(Field::Icmpv6Type),
        any::<u32>().prop_map(|mask| Field::Mark { mask }),
        any::<u32>().prop_map(|modulus| Field::Random { modulus }),
    ]
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Verdict::Accept), Just(Verdict::Return), "\\PC{0,200}".prop_map(Verdict::Goto)]
}

/// Also such as make no sense: values that do not belong to the field, empty lists, wrong numbers of columns.
fn statements() -> impl Strategy<Value = Statement> {
    let relation = || prop_oneof![Just(Relation::Is), Just(Relation::IsNot)];
    prop_oneof![
        (fields(), relation(), ranges()).prop_map(|(field, relation, range)| Statement::Compare {
            field,
            relation,
            range
        }),
        (fields(), relation(), families(), any::<u128>(), any::<u128>()).prop_map(
            |(field, relation, family, value, mask)| Statement::CompareAddress {
                field,
                relation,
                address: AddressMatch::new(family, value, mask),
            }
        ),
        (fields(), relation(), vec(ranges(), 0..5)).prop_map(|(field, relation, list)| Statement::InList {
            field,
            relation,
            list
        }),
        (vec(fields(), 0..5), vec((vec(ranges(), 0..5), verdicts()), 0..5))
            .prop_map(|(fields, elements)| Statement::Dispatch { fields, elements }),
        ("\\PC{0,300}", any::<u32>()).prop_map(|(prefix, level)| Statement::Log { prefix, level }),
        (any::<u32>(), any::<u32>()).prop_map(|(mask, value)| Statement::SetMark { mask, value }),
        ("\\PC{0,20}", fields(), any::<u32>()).prop_map(|(set, field, timeout_s)| Statement::Remember {
            set,
            field,
            timeout_s
        }),
        verdicts().prop_map(Statement::Verdict),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_rule_is_written_well_formed_or_refused(
        statements in vec(statements(), 0..6),
        comment in prop::option::of("\\PC{0,400}"),
    ) {
        let rule = Rule { statements, comment };
        let changes = [Change::AddRule { chain: "one", rule: &rule }];
        if let Ok(Some(batch)) = encode::batch("mwan3", &changes) {
            let length: usize = messages(&batch).iter().map(|message| message.payload.len() + 16).sum();
            prop_assert_eq!(length, batch.bytes.len());
            for message in messages(&batch) {
                prop_assert!(is_well_formed(&message.payload[4..]));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..200), width in 0..40usize) {
        read_everything(&bytes, width);
    }

    /// Bytes that begin well reach deeper.
    #[test]
    fn any_damage_to_a_real_message_is_read_without_harm(
        at in any::<prop::sample::Index>(),
        bytes in vec(any::<u8>(), 1..8),
        cut in any::<prop::sample::Index>(),
        width in 0..40usize,
    ) {
        for message in real_messages() {
            let mut damaged = message.clone();
            let start = at.index(damaged.len());
            for (place, byte) in damaged[start..].iter_mut().zip(&bytes) {
                *place = *byte;
            }
            read_everything(&damaged, width);
            damaged.truncate(cut.index(damaged.len()));
            read_everything(&damaged, width);
        }
    }

    #[test]
    fn spans_survive_their_edges(lows in vec((any::<u32>(), 0..1000u32), 0..20), explicit in any::<bool>()) {
        let spans = merge_spans(lows.into_iter().map(|(low, length)| Span {
            low: low.into(),
            high: u128::from(low.saturating_add(length)),
        }).collect());
        let mut edges: Vec<Edge> = Vec::new();
        for span in &spans {
            edges.push(Edge { value: span.low, is_start: true });
            if span.high < u128::from(u32::MAX) {
                edges.push(Edge { value: span.high + 1, is_start: false });
            }
        }
        if explicit && spans.first().is_none_or(|span| span.low > 0) {
            // What nft puts first.
            edges.push(Edge { value: 0, is_start: false });
        }
        edges.reverse();
        prop_assert_eq!(decode::spans(edges, 4), spans);
    }
}

fn read_everything(bytes: &[u8], width: usize) {
    let _ = decode::generation(bytes);
    let _ = decode::table_name(bytes);
    let _ = decode::chain(bytes, "mwan3");
    let _ = decode::rule(bytes, "mwan3");
    let _ = decode::set(bytes, "mwan3");
    let spans = decode::spans(decode::edges(bytes, width), width);
    assert!(spans.is_sorted() && spans.iter().all(|span| span.low <= span.high));
}

/// What we write has the shape of what the kernel answers.
fn real_messages() -> Vec<Vec<u8>> {
    let rule = Rule { statements: vec![Statement::Counter], comment: Some("x".to_owned()) };
    let key = Field::Source(Family::Ipv4);
    let set = Set { name: "set".to_owned(), key, content: SetContent::Computed(vec![]) };
    let base = BaseChain { kind: BaseKind::Filter, hook: Hook::Prerouting, priority: -150 };
    let chain = Chain { name: "one".to_owned(), base: Some(base), rules: vec![] };
    let spans = vec![Span { low: 5, high: 9 }, Span { low: 20, high: 30 }];
    let batch = batch(&[
        Change::AddSet(&set),
        Change::AddElements { set: "set", key, spans: spans.into() },
        Change::AddChain(&chain),
        Change::AddRule { chain: "one", rule: &rule },
    ]);
    messages(&batch).iter().map(|message| message.payload.to_vec()).collect()
}

#[test]
fn what_we_write_is_read_back() {
    let real = real_messages();
    let read = |message: usize| real[message].as_slice();
    let set = decode::set(read(1), "mwan3").unwrap();
    assert_eq!(
        (set.name.as_str(), set.key, set.is_computed, set.is_dynamic),
        ("set", Some(("ipv4_addr", 4)), true, false)
    );
    assert_eq!(decode::set(read(1), "other"), None);
    let spans = decode::spans(decode::edges(read(2), 4), 4);
    assert_eq!(spans, [Span { low: 5, high: 9 }, Span { low: 20, high: 30 }]);
    let (name, chain) = decode::chain(read(3), "mwan3").unwrap();
    assert_eq!(name, "one");
    assert_eq!(
        chain.base,
        Some(BaseChain { kind: BaseKind::Filter, hook: Hook::Prerouting, priority: -150 })
    );
    assert!(!chain.is_foreign);
}

#[test]
fn a_rule_without_a_counter_or_fingerprint_is_read_as_such() {
    let mut payload = Payload::new(&[1, 0, 0, 7]);
    payload.put_text(1, "mwan3");
    payload.put_text(2, "one");
    payload.put_be64(3, 42);
    payload.put(7, &[0, 2, b'x', 0]);
    let rule = decode::rule(payload.bytes(), "mwan3").unwrap();
    assert_eq!((rule.chain.as_str(), rule.handle), ("one", 42));
    assert_eq!((rule.rule.fingerprint, rule.rule.counter), (None, None));
    assert_eq!(decode::generation(payload.bytes()), Some(7));
}

/// Every number in these has the same meaning on every machine; registers hold marks as the machine does.
#[test]
fn marks_are_written_in_the_order_of_the_machine_and_sorted_numbers_are_not() {
    let rule = |statement| Rule { statements: vec![statement], comment: None };
    let bytes_of = |rule: &Rule| batch(&[Change::AddRule { chain: "one", rule }]).bytes;
    let contains = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    let set = bytes_of(&rule(Statement::SetMark { mask: 0x00ff_0000, value: 0x0012_0000 }));
    assert!(
        contains(&set, &0x0012_0000u32.to_ne_bytes()) && contains(&set, &0xff00_ffffu32.to_ne_bytes())
            || set.is_empty()
    );
    let range = ValueRange { low: Value::Mark(0x0102_0304), high: Value::Mark(0x0506_0708) };
    let field = Field::Mark { mask: u32::MAX };
    let range = bytes_of(&rule(Statement::Compare { field, relation: Relation::Is, range }));
    assert!(
        contains(&range, &[1, 2, 3, 4]) && contains(&range, &[5, 6, 7, 8]) && contains(&range, b"byteorder")
    );
}
