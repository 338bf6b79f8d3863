//! From one table to another in place.

use mwan3::address::{Family, Span};
use mwan3::nft::{self, BaseKind, Change, Field, Hook, Relation, Rule, Set, SetContent, Statement, Table};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::namespace::{in_namespace, listing, load_text, nft};
use super::sample::{base_chain, chain, commented, computed, jump, rule, set, span, table};
use super::{load, observe, reconcile};

fn in_set(name: &str) -> Rule {
    rule([
        Statement::InSet {
            field: Field::Destination(Family::Ipv4),
            relation: Relation::Is,
            set: name.to_owned(),
        },
        Statement::Counter,
    ])
}

#[test]
fn one_changed_chain_is_flushed_and_the_others_are_left_alone() {
    in_namespace(|| {
        let wanted = |comment| {
            table(
                vec![],
                vec![
                    chain("same", vec![commented("same"), commented("too")]),
                    chain("other", vec![commented(comment), jump_rule("same")]),
                ],
            )
        };
        load(&wanted("old"));
        let handles = || nft(&["-a", "list", "chain", "inet", "mwan3", "same"]);
        let before = handles();
        let (observed, new) = (observe(), wanted("new"));
        let changes = nft::diff(&observed, Some(&new));
        assert_eq!(changes[0], Change::FlushChain("other"));
        assert_eq!(changes.len(), 3);
        reconcile(Some(&new));
        assert_eq!(handles(), before);
        assert!(listing().iter().any(|line| line.contains("\"new\"")));
        assert_eq!(reconcile(Some(&new)), 0);
    });
}

fn jump_rule(name: &str) -> Rule {
    rule([jump(name)])
}

#[test]
fn elements_come_and_go_one_by_one() {
    let steps: [&[Span]; 9] = [
        &[],
        &[span("10.0.0.0", "10.0.0.255")],
        &[span("10.0.0.0", "10.0.1.255")],
        &[span("10.0.0.0", "10.0.0.255"), span("10.0.1.0", "10.0.1.255")],
        &[
            span("0.0.0.0", "10.0.0.255"),
            span("10.0.1.0", "10.0.1.255"),
            span("224.0.0.0", "255.255.255.255"),
        ],
        &[span("0.0.0.0", "255.255.255.255")],
        &[span("0.0.0.0", "0.0.0.0"), span("255.255.255.255", "255.255.255.255")],
        &[span("0.0.0.0", "127.255.255.255"), span("128.0.0.0", "255.255.255.255")],
        &[span("10.0.0.1", "10.0.0.1")],
    ];
    in_namespace(|| {
        for from in steps {
            for to in steps {
                let at = |spans| table(vec![computed("held", Family::Ipv4, spans)], vec![]);
                load(&at(from));
                reconcile(Some(&at(to)));
                assert_eq!(observe().sets["held"].elements.as_deref(), Some(to));
                let ours = listing();
                nft(&["flush", "ruleset"]);
                load_text(&at(to).to_string());
                assert_eq!(ours, listing(), "from {from:?}");
            }
        }
    });
}

#[test]
fn chains_and_sets_that_nobody_wants_go() {
    in_namespace(|| {
        load(&table(
            vec![
                computed("gone", Family::Ipv4, &[span("10.0.0.0", "10.0.0.1")]),
                set("user", Family::Ipv4, SetContent::External),
            ],
            vec![
                chain("leaf", vec![in_set("gone")]),
                chain("branch", vec![jump_rule("leaf"), in_set("user")]),
                base_chain("output", BaseKind::Route, Hook::Output, vec![jump_rule("branch")]),
            ],
        ));
        let rest = table(
            vec![],
            vec![base_chain("output", BaseKind::Route, Hook::Output, vec![commented("alone")])],
        );
        reconcile(Some(&rest));
        let ours = listing();
        load(&rest);
        assert_eq!(ours, listing());
    });
}

#[test]
fn a_base_chain_that_moves_is_replaced_with_its_table() {
    in_namespace(|| {
        let at = |kind, hook| table(vec![], vec![base_chain("entry", kind, hook, vec![commented("x")])]);
        load(&at(BaseKind::Filter, Hook::Prerouting));
        for moved in [
            at(BaseKind::Filter, Hook::Postrouting),
            at(BaseKind::Route, Hook::Output),
            table(vec![], vec![chain("entry", vec![commented("x")])]),
            at(BaseKind::Filter, Hook::Prerouting),
        ] {
            assert_eq!(nft::diff(&observe(), Some(&moved)), nft::replacement(&moved));
            reconcile(Some(&moved));
            assert_eq!(reconcile(Some(&moved)), 0);
        }
    });
}

#[test]
fn a_base_chain_that_somebody_else_made_is_replaced() {
    let wanted =
        table(vec![], vec![base_chain("entry", BaseKind::Filter, Hook::Prerouting, vec![commented("x")])]);
    for head in [
        "type filter hook prerouting priority -150; policy drop;",
        "type filter hook input priority -150; policy accept;",
        "type nat hook prerouting priority -150; policy accept;",
    ] {
        in_namespace(|| {
            load_text(&format!("table inet mwan3 {{\n\tchain entry {{\n\t\t{head}\n\t}}\n}}\n"));
            reconcile(Some(&wanted));
            let ours = listing();
            load(&wanted);
            assert_eq!(ours, listing());
        });
    }
}

#[test]
fn a_set_of_another_kind_is_made_anew_and_only_its_users_are_reloaded() {
    let remembered = |name: &str, family| Set {
        name: name.to_owned(),
        key: Field::Source(family),
        content: SetContent::Remembered,
    };
    let kinds = [
        computed("held", Family::Ipv4, &[span("10.0.0.0", "10.0.0.9")]),
        set("held", Family::Ipv4, SetContent::External),
        remembered("held", Family::Ipv4),
        set("held", Family::Ipv6, SetContent::External),
        remembered("held", Family::Ipv6),
    ];
    in_namespace(|| {
        for from in &kinds {
            for to in kinds.iter().filter(|to| *to != from) {
                if to.content == SetContent::External
                    && from.content == SetContent::Remembered
                    && to.key.family() == from.key.family()
                {
                    // Others may fill a set of theirs any way they like.
                    continue;
                }
                let with = |set: &Set| {
                    table(
                        vec![set.clone()],
                        vec![
                            chain(
                                "user",
                                vec![
                                    rule([Statement::InSet {
                                        field: set.key,
                                        relation: Relation::Is,
                                        set: "held".to_owned(),
                                    }]),
                                    rule([Statement::InSet {
                                        field: Field::Destination(set.key.family().unwrap()),
                                        relation: Relation::Is,
                                        set: "held".to_owned(),
                                    }]),
                                ],
                            ),
                            chain("other", vec![commented("other")]),
                        ],
                    )
                };
                load(&with(from));
                let handle = || nft(&["-a", "list", "chain", "inet", "mwan3", "other"]);
                let before = handle();
                reconcile(Some(&with(to)));
                assert_eq!(handle(), before);
                let ours = listing();
                assert_eq!(reconcile(Some(&with(to))), 0, "from {from} to {to}");
                load(&with(to));
                assert_eq!(ours, listing());
            }
        }
    });
}

#[test]
fn what_others_put_into_their_sets_survives() {
    in_namespace(|| {
        let wanted = |comment| {
            table(
                vec![set("user_ipv4", Family::Ipv4, SetContent::External)],
                vec![chain("one", vec![in_set("user_ipv4"), commented(comment)])],
            )
        };
        load(&wanted("old"));
        nft(&["add", "element", "inet", "mwan3", "user_ipv4", "{ 192.0.2.0/24, 198.51.100.7 }"]);
        reconcile(Some(&wanted("new")));
        assert!(listing().iter().any(|line| line.contains("elements = { 192.0.2.0/24, 198.51.100.7 }")));
        assert_eq!(observe().sets["user_ipv4"].elements, None);
    });
}

#[test]
fn what_others_did_to_our_elements_is_undone() {
    in_namespace(|| {
        let wanted = table(vec![computed("held", Family::Ipv4, &[span("10.0.0.0", "10.0.0.255")])], vec![]);
        load(&wanted);
        let before = listing();
        nft(&["add", "element", "inet", "mwan3", "held", "{ 10.0.1.0/24, 192.0.2.1, 224.0.0.0/3 }"]);
        assert_eq!(reconcile(Some(&wanted)), 1);
        assert_eq!(listing(), before);
        nft(&["flush", "set", "inet", "mwan3", "held"]);
        assert_eq!(reconcile(Some(&wanted)), 1);
        assert_eq!(listing(), before);
    });
}

#[test]
fn rules_and_chains_that_others_add_to_our_table_go() {
    in_namespace(|| {
        let wanted = table(vec![], vec![chain("one", vec![commented("x")])]);
        load(&wanted);
        let before = listing();
        load_text(
            "table inet mwan3 {\n\tset theirs {\n\t\ttype inet_service . ipv4_addr\n\t}\n\tchain theirs {\n\t\ttcp dport { 1, 2 } accept\n\t}\n\
             \tchain one {\n\t\tjump {\n\t\t\taccept\n\t\t}\n\t\ttcp dport . ip saddr @theirs jump theirs\n\t}\n}\n",
        );
        assert_ne!(listing(), before);
        reconcile(Some(&wanted));
        assert_eq!(listing(), before);
    });
}

/// Tables that differ in a few chains, sets and elements.
fn tables() -> impl Strategy<Value = Table> {
    let rule_of = |chains: Vec<String>, sets: Vec<String>| {
        (0..4u32, any::<prop::sample::Index>()).prop_map(move |(kind, index)| match kind {
            0 if !chains.is_empty() => jump_rule(index.get::<String>(&chains)),
            1 if !sets.is_empty() => in_set(index.get::<String>(&sets)),
            kind => commented(&format!("rule {kind} {}", index.index(3))),
        })
    };
    let spans = prop::collection::btree_set(0u32..40, 0..12).prop_map(|edges| {
        let edges: Vec<u32> = edges.into_iter().collect();
        let to = |n: u32| u128::from(if n >= 39 { u32::MAX } else { n * 3 });
        edges.chunks_exact(2).map(|pair| Span { low: to(pair[0]), high: to(pair[1]) }).collect::<Vec<Span>>()
    });
    let sets = prop::collection::btree_map(0..4u8, prop::option::of(spans), 0..4);
    (prop::collection::btree_set(0..5u8, 0..5), sets).prop_flat_map(move |(chains, sets)| {
        let set_names: Vec<String> = sets.keys().map(|n| format!("set_{n}")).collect();
        let chain_lists = chains.iter().map(|n| {
            // Only towards higher numbers: no loops.
            let below = chains.iter().filter(|m| *m > n).map(|m| format!("chain_{m}")).collect();
            let name = format!("chain_{n}");
            prop::collection::vec(rule_of(below, set_names.clone()), 0..4)
                .prop_map(move |rules| chain(&name, rules))
        });
        let sets: Vec<Set> = sets
            .iter()
            .map(|(n, spans)| match spans {
                Some(spans) => computed(&format!("set_{n}"), Family::Ipv4, spans),
                None => set(&format!("set_{n}"), Family::Ipv4, SetContent::External),
            })
            .collect();
        chain_lists.collect::<Vec<_>>().prop_map(move |chains| table(sets.clone(), chains))
    })
}

#[test]
fn any_table_becomes_any_other() {
    in_namespace(|| {
        let mut runner =
            TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
        runner
            .run(&tables(), |wanted| {
                // From whatever the last case left behind.
                reconcile(Some(&wanted));
                let observed = observe();
                prop_assert_eq!(nft::diff(&observed, Some(&wanted)), vec![]);
                let sorted = |mut lines: Vec<String>| {
                    lines.sort();
                    lines
                };
                let ours = sorted(listing());
                let fresh = in_namespace(|| {
                    load(&wanted);
                    sorted(listing())
                });
                prop_assert_eq!(ours, fresh);
                Ok(())
            })
            .unwrap();
    });
}
