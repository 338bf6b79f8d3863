//! Large tables: nothing overflows, and all of it arrives. Times are printed, not judged.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use mwan3::address::{Family, Span};
use mwan3::nft::{Field, Relation, Rule, SetContent, Statement, Table, Value, ValueRange};

use super::namespace::in_namespace;
use super::sample::{chain, computed, goto, is, jump, range, rule, table};
use super::{load, observe, reconcile};

fn timed<T>(what: &str, action: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = action();
    println!("{what}: {:?}", start.elapsed());
    result
}

fn spans(count: u32) -> Vec<Span> {
    // Every third touches the one before.
    (0..count)
        .map(|n| n * 512 + if n % 3 == 2 { 0 } else { 100 })
        .map(|low| Span { low: low.into(), high: u128::from(low) + if low % 512 == 100 { 411 } else { 7 } })
        .collect()
}

fn long_rule(number: u32) -> Rule {
    rule([
        is(Field::Mark { mask: 0x3f00 }, Value::Mark(0)),
        is(Field::Source(Family::Ipv4), Value::Address(Ipv4Addr::from(0x0a00_0000 + number).into())),
        is(Field::Protocol, Value::Byte(6)),
        Statement::InList {
            field: Field::DestinationPort,
            relation: Relation::Is,
            list: vec![ValueRange::one(Value::Port(80)), range(Value::Port(443), Value::Port(450))],
        },
        Statement::Counter,
        jump("member"),
    ])
}

fn round_trip(what: &str, table: &Table) {
    in_namespace(|| {
        timed(&format!("{what}, loaded"), || load(table));
        let observed = timed(&format!("{what}, observed"), observe);
        for set in &table.sets {
            if let SetContent::Computed(spans) = &set.content {
                assert_eq!(observed.sets[&set.name].elements.as_deref(), Some(&spans[..]));
            }
        }
        assert_eq!(timed(&format!("{what}, reconciled"), || reconcile(Some(table))), 0);
    });
}

#[test]
fn ten_thousand_elements_and_a_thousand_rules() {
    let rules = (0..1000).map(long_rule).collect();
    let chains = vec![chain("member", vec![]), chain("rules", rules)];
    round_trip(
        "10,000 elements, 1,000 rules",
        &table(vec![computed("big", Family::Ipv4, &spans(10_000))], chains),
    );
}

#[test]
fn a_hundred_thousand_elements() {
    let six: Vec<Span> = (0..50_000u128).map(|n| Span { low: n << 64, high: n << 64 | 0xffff }).collect();
    let sets = vec![computed("four", Family::Ipv4, &spans(50_000)), computed("six", Family::Ipv6, &six)];
    round_trip("100,000 elements", &table(sets, vec![]));
}

#[test]
fn sixty_uplinks_with_a_chain_each_and_a_policy_over_all() {
    let name = |n: u32| format!("mark_{n}");
    let mut chains: Vec<_> = (1..=60)
        .map(|n| chain(&name(n), vec![rule([Statement::SetMark { mask: 0x3f00, value: n << 8 }])]))
        .collect();
    let by_mark = (1..=60).map(|n| (vec![ValueRange::one(Value::Mark(n << 8))], goto(&name(n)))).collect();
    let by_chance = (1..=60u32)
        .map(|n| (vec![range(Value::Number((n - 1) * 3), Value::Number(n * 3 - 1))], goto(&name(n))))
        .collect();
    chains.push(chain(
        "restore",
        vec![rule([Statement::Dispatch {
            fields: vec![Field::ConnectionMark { mask: 0x3f00 }],
            elements: by_mark,
        }])],
    ));
    chains.push(chain(
        "policy",
        vec![rule([Statement::Dispatch {
            fields: vec![Field::Random { modulus: 180 }],
            elements: by_chance,
        }])],
    ));
    round_trip("60 uplinks", &table(vec![], chains));
}

/// Lists that do not fit one attribute, in all kinds of anonymous sets.
#[test]
fn anonymous_sets_of_more_than_64_kib() {
    let v6 = |n: u32, host: u128| Value::Address(Ipv6Addr::from(u128::from(n) << 64 | host).into());
    let singles = (0..5000).map(|n| ValueRange::one(v6(n, 1))).collect();
    let intervals = (0..5000).map(|n| range(v6(n, 3), v6(n, 9))).collect();
    let list =
        |list| rule([Statement::InList { field: Field::Source(Family::Ipv6), relation: Relation::Is, list }]);
    let dispatch = |fields: &[Field], row: fn(u32, Value, Value) -> Vec<ValueRange>| {
        let elements = (0..5000).map(|n| (row(n, v6(n, 3), v6(n, 9)), goto("member"))).collect();
        rule([Statement::Dispatch { fields: fields.to_vec(), elements }])
    };
    let (source, port) = (Field::Source(Family::Ipv6), Field::DestinationPort);
    let rules = vec![
        list(singles),
        list(intervals),
        dispatch(&[source], |_, low, high| vec![range(low, high)]),
        dispatch(&[source, port], |n, low, _| {
            vec![ValueRange::one(low), ValueRange::one(Value::Port(n as u16))]
        }),
        dispatch(&[source, port], |n, low, high| {
            vec![range(low, high), range(Value::Port(n as u16), Value::Port(u16::MAX))]
        }),
    ];
    round_trip(
        "5 anonymous sets of 5,000",
        &table(vec![], vec![chain("member", vec![]), chain("rules", rules)]),
    );
}
