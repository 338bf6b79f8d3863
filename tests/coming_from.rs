//! docs/guide/coming-from.md promises a test for every row, by its name.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FEWEST_ROWS: usize = 30;

#[test]
fn every_row_of_coming_from_has_a_test_of_that_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/guide/coming-from.md")).unwrap();
    let rows: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")).collect();
    let names: Vec<String> = rows
        .iter()
        .map(|row| row.rsplit(" | ").next().unwrap())
        .filter(|name| *name != "test")
        .map(function_name)
        .collect();
    assert!(names.len() >= FEWEST_ROWS, "only {} rows seen", names.len());
    let tests = tests_of(&root.join("tests"));
    let missing: Vec<&String> = names.iter().filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
    let distinct: BTreeSet<&String> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "a test stands for one row");
}

#[test]
fn a_row_without_a_test_would_be_found() {
    let tests = tests_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"));
    assert!(tests.contains("a_row_without_a_test_would_be_found"));
    assert!(!tests.contains(&function_name("A row that nobody tests")));
    // A helper is no test.
    assert!(!tests.contains("function_name"));
}

/// `Two neighbours' wifi` is `two_neighbours_wifi`.
fn function_name(row: &str) -> String {
    let plain: String = row.chars().filter(|letter| !"',.".contains(*letter)).collect();
    plain.to_lowercase().replace([' ', '-'], "_")
}

/// Names of functions that stand right below `#[test]`.
fn tests_of(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                names.extend(tests_in(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    names
}

fn tests_in(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[0] == "#[test]");
    pairs.filter_map(|pair| Some(pair[1].strip_prefix("fn ")?.split('(').next()?.to_owned())).collect()
}
