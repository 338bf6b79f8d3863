//! Tables that are right in themselves and differ in a few things.

use mwan3::address::{Family, Span};
use mwan3::nft::{
    BaseChain, BaseKind, Chain, Field, Hook, Relation, Rule, Set, SetContent, Statement, Table, Verdict,
};
use proptest::prelude::*;
use proptest::sample::Index;

pub fn tables() -> impl Strategy<Value = Option<Table>> {
    let sets = prop::collection::btree_map(0..4u8, set(), 0..4);
    let chains =
        prop::collection::btree_map(0..5u8, (base(), prop::collection::vec(rule_seed(), 0..4)), 0..5);
    prop::option::weighted(
        0.9,
        (sets, chains).prop_map(|(sets, chains)| {
            let sets: Vec<Set> = sets
                .into_iter()
                .map(|(n, (key, content))| Set { name: format!("set_{n}"), key, content })
                .collect();
            // Rules jump to plain chains of higher numbers: no loops.
            let plain: Vec<u8> =
                chains.iter().filter(|(_, (base, _))| base.is_none()).map(|(n, _)| *n).collect();
            let chains = chains
                .into_iter()
                .map(|(n, (base, seeds))| {
                    let below: Vec<String> =
                        plain.iter().filter(|m| **m > n).map(|m| format!("chain_{m}")).collect();
                    let rules = seeds.into_iter().map(|seed| rule(seed, &below, &sets)).collect();
                    Chain { name: format!("chain_{n}"), base, rules }
                })
                .collect();
            Table { name: "mwan3".to_owned(), sets, chains }
        }),
    )
}

fn set() -> impl Strategy<Value = (Field, SetContent)> {
    let family = prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)];
    let content = prop_oneof![
        3 => spans().prop_map(SetContent::Computed),
        1 => Just(SetContent::External),
        1 => Just(SetContent::Remembered),
    ];
    (family.prop_map(Field::Destination), content)
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    prop::collection::btree_set(0..30u128, 0..12).prop_map(|edges| {
        let edges: Vec<u128> = edges.into_iter().collect();
        edges.chunks_exact(2).map(|pair| Span { low: pair[0], high: pair[1] - 1 }).collect()
    })
}

fn base() -> impl Strategy<Value = Option<BaseChain>> {
    let hook = prop_oneof![9 => Just(Hook::Prerouting), 1 => Just(Hook::Postrouting)];
    prop::option::weighted(0.3, hook.prop_map(|hook| BaseChain { kind: BaseKind::Filter, hook, priority: 0 }))
}

fn rule_seed() -> impl Strategy<Value = (u8, Index)> {
    (0..5u8, any::<Index>())
}

fn rule((kind, index): (u8, Index), chains: &[String], sets: &[Set]) -> Rule {
    let statement = match kind {
        0 if !chains.is_empty() => Statement::Verdict(Verdict::Jump(index.get(chains).clone())),
        1 if !sets.is_empty() => {
            let set = index.get(sets);
            Statement::InSet { field: set.key, relation: Relation::Is, set: set.name.clone() }
        }
        2 if !sets.is_empty() => {
            let set = index.get(sets);
            Statement::Remember { field: set.key, set: set.name.clone(), timeout_s: 600 }
        }
        _ => Statement::SetMark { mask: 0xff, value: u32::from(kind) << 4 | index.index(3) as u32 },
    };
    Rule { statements: vec![statement], comment: None }
}
