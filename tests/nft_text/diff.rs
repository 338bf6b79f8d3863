//! The changes from what the kernel holds to what we want.

use mwan3::nft::{self, Change, Observed, ObservedChain, ObservedRule, SetContent, Table};
use proptest::prelude::*;

use super::held::Held;
use super::random::tables;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_changes_lead_from_any_table_to_any_other(from in tables(), to in tables()) {
        prop_assume!(!leaves_a_set_to_others(from.as_ref(), to.as_ref()));
        let mut held = Held::of(from.as_ref());
        held.take(&nft::diff(&held.observed(), to.as_ref()));
        prop_assert_eq!(held, Held::of(to.as_ref()));
    }

    #[test]
    fn what_is_held_already_needs_no_change(table in tables()) {
        let held = Held::of(table.as_ref()).observed();
        prop_assert_eq!(nft::diff(&held, table.as_ref()), vec![]);
    }

    #[test]
    fn the_replacement_leads_there_from_anywhere(from in tables(), to in tables()) {
        let Some(to) = to else { return Ok(()) };
        let mut held = Held::of(from.as_ref());
        held.take(&nft::replacement(&to));
        prop_assert_eq!(held, Held::of(Some(&to)));
    }

    #[test]
    fn chains_that_are_right_are_not_touched(from in tables(), to in tables()) {
        let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
        let held = Held::of(Some(&from)).observed();
        let changes = nft::diff(&held, Some(&to));
        if changes.contains(&Change::DeleteTable) {
            return Ok(());
        }
        let remade: Vec<&str> = changes.iter().filter_map(|change| match change {
            Change::DeleteSet(name) => Some(*name),
            _ => None,
        }).collect();
        for chain in to.chains.iter().filter(|chain| from.chains.contains(chain)) {
            let touches = |change: &Change| matches!(change,
                Change::FlushChain(name) | Change::AddRule { chain: name, .. } if *name == chain.name);
            let uses_remade = remade.iter().any(|set| chain.to_string().contains(&format!("@{set} ")) || chain.to_string().contains(&format!("@{set}\n")));
            prop_assert!(uses_remade || !changes.iter().any(touches), "{} in {changes:?}", chain.name);
        }
    }
}

/// Others may fill a set of theirs by any means: it is kept, and only the comparison here would mind.
fn leaves_a_set_to_others(from: Option<&Table>, to: Option<&Table>) -> bool {
    let sets = |table: Option<&Table>, content: SetContent| -> Vec<(String, nft::Field)> {
        let sets = table.map_or(&[][..], |table| &table.sets).iter();
        sets.filter(|set| set.content == content).map(|set| (set.name.clone(), set.key)).collect()
    };
    let remembered = sets(from, SetContent::Remembered);
    sets(to, SetContent::External).iter().any(|set| remembered.contains(set))
}

#[test]
fn no_table_wanted_is_one_change_or_none() {
    assert_eq!(nft::diff(&Observed::default(), None), []);
    let held = Observed { exists: true, ..Observed::default() };
    assert_eq!(nft::diff(&held, None), [Change::DeleteTable]);
}

#[test]
fn a_rule_without_our_fingerprint_makes_its_chain_wrong() {
    let table = Table {
        name: "mwan3".to_owned(),
        sets: vec![],
        chains: vec![nft::Chain { name: "one".to_owned(), base: None, rules: vec![] }],
    };
    let mut held = Held::of(Some(&table)).observed();
    held.chains.insert(
        "one".to_owned(),
        ObservedChain { rules: vec![ObservedRule::default()], ..Default::default() },
    );
    assert_eq!(nft::diff(&held, Some(&table)), [Change::FlushChain("one")]);
}

#[test]
fn a_base_chain_unlike_ours_means_a_new_table() {
    let table = Table {
        name: "mwan3".to_owned(),
        sets: vec![],
        chains: vec![nft::Chain { name: "one".to_owned(), base: None, rules: vec![] }],
    };
    let mut held = Held::of(Some(&table)).observed();
    held.chains.get_mut("one").unwrap().is_foreign = true;
    assert_eq!(nft::diff(&held, Some(&table)), nft::replacement(&table));
}

#[test]
fn a_table_that_was_switched_off_is_made_anew() {
    let table = Table { name: "mwan3".to_owned(), sets: vec![], chains: vec![] };
    let mut held = Held::of(Some(&table)).observed();
    assert_eq!(nft::diff(&held, Some(&table)), []);
    held.is_dormant = true;
    assert_eq!(nft::diff(&held, Some(&table)), nft::replacement(&table));
}

#[test]
fn a_set_that_somebody_else_made_is_kept_if_it_is_for_others_to_fill() {
    let set = |content| nft::Set {
        name: "user".to_owned(),
        key: nft::Field::Destination(mwan3::address::Family::Ipv4),
        content,
    };
    let table = |content| Table { name: "mwan3".to_owned(), sets: vec![set(content)], chains: vec![] };
    let external = table(SetContent::External);
    let computed = table(SetContent::Computed(vec![]));
    let held = Held::of(Some(&external)).observed();
    assert_eq!(nft::diff(&held, Some(&external)), []);
    assert_eq!(
        nft::diff(&held, Some(&computed)),
        [Change::DeleteSet("user"), Change::AddSet(&computed.sets[0])]
    );
}

#[test]
fn a_kernel_that_cannot_translate_gets_everything_else() {
    let chain = |name: &str, kind: Option<nft::BaseKind>, statement| nft::Chain {
        name: name.to_owned(),
        base: kind.map(|kind| nft::BaseChain { kind, hook: nft::Hook::Postrouting, priority: 101 }),
        rules: vec![nft::Rule { statements: vec![statement], comment: None }],
    };
    let translates = nft::Statement::SourceNat("192.0.2.1".parse().unwrap());
    let table = |chains| Table { name: "mwan3".to_owned(), sets: vec![], chains };
    let plain = || {
        vec![
            chain("one", None, nft::Statement::Counter),
            chain("two", Some(nft::BaseKind::Filter), nft::Statement::Counter),
        ]
    };
    let nothing = Observed::default();
    let without = table(plain());
    let with = table([plain(), vec![chain("nat", Some(nft::BaseKind::Nat), translates)]].concat());
    let changes = nft::diff(&nothing, Some(&with));
    assert_eq!(nft::without_nat(changes), nft::diff(&nothing, Some(&without)));
    // The next time nothing but the missing chain is left to do, and then nothing.
    let held = Held::of(Some(&without)).observed();
    assert_eq!(nft::without_nat(nft::diff(&held, Some(&with))), []);
}
