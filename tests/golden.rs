//! Golden cases: a configuration, a network and what the trackers said, and all that follows from them.
//! `MWAN3_BLESS=1 cargo test --test golden` writes what is expected anew: read the difference before you
//! commit it. Every case is also loaded into a kernel, by tests/kernel_golden.rs.

mod cases;

use std::fs;

use cases::{Case, all_cases};
use mwan3::plan::plan;

const FEWEST_CASES: usize = 60;

#[test]
fn every_case_plans_as_expected() {
    let is_blessing = std::env::var_os("MWAN3_BLESS").is_some();
    let cases = all_cases();
    assert!(cases.len() >= FEWEST_CASES, "only {} cases found", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let plan = plan(&case.config, &case.network, &case.health);
        let notes: String = plan.notes.iter().map(|note| format!("note: {note}\n")).collect();
        let results = [
            ("expect.nft", plan.ruleset.as_ref().map(ToString::to_string).unwrap_or_default()),
            ("expect.routing", plan.routing_text()),
            ("expect.problems", case.problems.clone() + &notes),
        ];
        for (file, found) in results {
            let path = case.folder.join(file);
            if is_blessing {
                fs::write(&path, &found).expect("cases are writable");
                continue;
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if let Some(difference) = first_difference(&expected, &found) {
                wrong.push(format!("{} {file}: {difference}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_case_says_what_it_shows() {
    for case in all_cases() {
        let words = fs::read_to_string(case.folder.join("README")).unwrap_or_default();
        assert!(words.trim().ends_with('.'), "{}: README is not a sentence", case.name);
    }
}

#[test]
fn no_case_plans_an_object_that_is_missing() {
    for Case { name, config, network, health, .. } in all_cases() {
        let table = plan(&config, &network, &health).ruleset.expect("a plan to run has a table");
        let text = table.to_string();
        let chains: Vec<&str> = table.chains.iter().map(|chain| chain.name.as_str()).collect();
        let sets: Vec<&str> = table.sets.iter().map(|set| set.name.as_str()).collect();
        for word in
            text.split([' ', '\n', '\t', ',', '}']).zip(text.split([' ', '\n', '\t', ',', '}']).skip(1))
        {
            match word {
                ("goto" | "jump", target) => assert!(chains.contains(&target), "{name}: no chain {target}"),
                (_, set) if set.starts_with('@') => {
                    assert!(sets.contains(&&set[1..]), "{name}: no set {set}")
                }
                _ => {}
            }
        }
    }
}

fn first_difference(expected: &str, found: &str) -> Option<String> {
    if expected == found {
        return None;
    }
    let line = expected.lines().zip(found.lines()).position(|(a, b)| a != b);
    let number = line.unwrap_or_else(|| expected.lines().count().min(found.lines().count()));
    let shown = |text: &str| text.lines().nth(number).unwrap_or("(end)").to_owned();
    Some(format!("line {}\n  expected {}\n  found    {}", number + 1, shown(expected), shown(found)))
}
