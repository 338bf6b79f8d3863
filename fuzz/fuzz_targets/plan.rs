//! A configuration, planned against a rich network: every plan is whole, prints, and can be sent.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use mwan3::nft::{Rule, Statement, Table, Verdict};
use mwan3::plan::{TABLE, plan};
use mwan3::system::nftables::encode;
use mwan3::system::route::{links::DeviceIndex, routes, rules};
use mwan3::{config, nft};

fuzz_target!(init: mwan3_fuzz::seeds::write_if_asked("plan"), |data: &[u8]| {
    let network = mwan3_fuzz::network::rich();
    let (config, _) = config::read(&mwan3_fuzz::package(data), "mwan3");
    let plan = plan(&config, network, &mwan3_fuzz::network::health(&config, data.len()));
    let _ = plan.to_string();
    let table = plan.ruleset.as_ref().expect("a plan to run has a table");
    names_resolve(table);
    let batch = encode::batch(TABLE, &nft::replacement(table));
    assert!(batch.is_ok(), "a message is too large");
    let devices = DeviceIndex::of(&network.devices);
    for route in &plan.routes {
        if let Ok(payload) = routes::encode(route, &devices) {
            let back = routes::decode(payload.bytes(), &devices);
            assert_eq!(back.map(|route| route.canonical()), Some(route.canonical()));
        }
    }
    for rule in &plan.rules {
        assert_eq!(rules::decode(rules::encode(rule).bytes()), Some(rule.canonical()));
    }
});

fn names_resolve(table: &Table) {
    let chains: BTreeSet<&str> = table.chains.iter().map(|chain| chain.name.as_str()).collect();
    let sets: BTreeSet<&str> = table.sets.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(chains.len(), table.chains.len(), "two chains of one name");
    assert_eq!(sets.len(), table.sets.len(), "two sets of one name");
    // nft takes a dash and a slash too; only the sets of others may have them.
    let names = chains.iter().map(|name| (name, "_.")).chain(sets.iter().map(|name| (name, "_.-/")));
    for (name, others) in names {
        let fits = name.len() < 128 && name.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c));
        assert!(fits, "the kernel or nft would not take the name {name:?}");
    }
    for statement in
        table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|Rule { statements, .. }| statements)
    {
        let verdicts: Vec<&Verdict> = match statement {
            Statement::Verdict(verdict) => vec![verdict],
            Statement::Dispatch { elements, .. } => elements.iter().map(|(_, verdict)| verdict).collect(),
            Statement::InSet { set, .. } | Statement::Remember { set, .. } => {
                assert!(sets.contains(set.as_str()), "no set {set}");
                Vec::new()
            }
            _ => Vec::new(),
        };
        for verdict in verdicts {
            if let Verdict::Jump(target) | Verdict::Goto(target) = verdict {
                assert!(chains.contains(target.as_str()), "no chain {target}");
            }
        }
    }
}
