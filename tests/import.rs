//! Configurations of other programs become ours, and nothing is lost without a word.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use mwan3::import::multiwans;
use mwan3::{config, uci};
use proptest::prelude::*;

#[test]
fn an_office_gateway_of_multiwans_becomes_a_good_configuration() {
    let imported = multiwans(&fixture("config.yaml"), "/etc/multiwans");
    compare("mwan3", &imported.text);
    let package = uci::parse("mwan3", imported.text.as_bytes());
    let (config, problems) = config::read(&package, "mwan3");
    assert!(problems.is_empty(), "{problems:?}");
    let problems = config::check(&config, &package, "mwan3", None);
    assert!(problems.iter().all(config::Problem::is_note), "{problems:?}");
    assert_eq!(config.interfaces.len(), 3);
    assert_eq!(config.alerts.len(), 3);
}

#[test]
fn names_that_meet_are_told_apart() {
    let link = |device: &str, order: u32| {
        format!(
            "  - iface: {device}\n    orderFailover: {order}\n    filters:\n      - description: {device}\n        protocol: tcp\n"
        )
    };
    let devices = ["mail", "failover", "a_m1", "a", "a_first", "a.b", "a_b"];
    let links: String = devices.iter().zip(1..).map(|(device, order)| link(device, order)).collect();
    let imported = multiwans(&format!("email:\n  to: boss@lan\nWANS:\n{links}"), "/etc/multiwans");
    let package = uci::parse("mwan3", imported.text.as_bytes());
    assert!(package.errors.is_empty(), "{:?}\n{}", package.errors, imported.text);
    let (config, problems) = config::read(&package, "mwan3");
    assert!(problems.is_empty(), "{problems:?}\n{}", imported.text);
    assert_eq!((config.interfaces.len(), config.alerts.len()), (devices.len(), 3));
    assert!(config.policies.iter().all(|policy| policy.members.len() == devices.len()), "{}", imported.text);
}

#[test]
fn every_line_without_an_equivalent_is_told() {
    let imported = multiwans(&fixture("config.yaml"), "/etc/multiwans");
    let told: Vec<String> = imported
        .remarks
        .iter()
        .map(|remark| format!("{}{} {}\n", remark.line, if remark.is_lost { "!" } else { "" }, remark.text))
        .collect();
    compare("remarks", &told.concat());
    // Whatever is neither in the result nor in a remark was lost.
    let text = fixture("config.yaml");
    for (line, number) in text.lines().zip(1u32..) {
        let Some((_, value)) = line.split_once(": ") else { continue };
        let value = value.trim().trim_matches(['"', '\'']);
        let is_carried =
            value.split([',', ' ']).any(|word| word.len() > 2 && imported.text.contains(word.trim()))
                || ["1", "2", "15", "true"].contains(&value)
                || value.starts_with('[');
        let is_told = imported.remarks.iter().any(|remark| remark.line == number);
        let is_in_disabled_filter = (50..=52).contains(&number);
        assert!(is_carried || is_told || is_in_disabled_filter, "{number}: {line}");
    }
}

#[test]
fn the_command_prints_the_file_and_remarks_apart() {
    let path = folder().join("config.yaml");
    let output =
        Command::new(env!("CARGO_BIN_EXE_mwan3")).args(["import", "multiwans"]).arg(&path).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(out.starts_with("config interface 'enp1s0'"), "{out}");
    assert!(out.contains(&format!("option to '{}/scripts'", folder().display())), "beside the file: {out}");
    assert!(err.contains("not carried over: company.name"), "{err}");
    assert!(err.contains("lines have no equivalent; now: mwan3 check"), "{err}");
    for wrong in [&["import"][..], &["import", "multiwans"], &["import", "shorewall", "x"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_mwan3")).args(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_file_of_another_kind_gives_an_empty_beginning_and_says_why() {
    let imported = multiwans("[global]\nnot yaml at all\n\u{0}\u{1}", "/");
    assert!(imported.remarks.iter().filter(|remark| remark.is_lost).count() >= 3, "{imported:?}");
    assert!(!imported.text.contains("config interface"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ \\-a-z:#\\[\\]{}'\"\n\t0-9.]{0,400}") {
        let imported = multiwans(&text, "/etc");
        let package = uci::parse("mwan3", imported.text.as_bytes());
        prop_assert!(package.errors.is_empty(), "{:?}\n{}", package.errors, imported.text);
    }

    #[test]
    fn values_cannot_leave_their_quotes(value in "[^\n\r]{0,40}") {
        let text = format!("WANS:\n  - iface: eth0\n    gateway: {value}\n    description: {value}\n");
        let imported = multiwans(&text, "/etc");
        let package = uci::parse("mwan3", imported.text.as_bytes());
        prop_assert!(package.errors.is_empty(), "{:?}\n{}", package.errors, imported.text);
        let interfaces = package.sections.iter().filter(|section| section.kind == "interface").count();
        prop_assert_eq!(interfaces, 1, "{}", imported.text);
    }
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/multiwans")
}

fn fixture(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap()
}

#[track_caller]
fn compare(name: &str, text: &str) {
    if std::env::var_os("MWAN3_BLESS").is_some() {
        fs::write(folder().join(name), text).unwrap();
    }
    assert_eq!(text, fixture(name));
}
