//! Pending changes, as libuci applies them when it loads a package.

use mwan3::uci::{self, Package};
use proptest::prelude::*;

const BASE: &str = "\
config interface 'wan'
\toption enabled '0'
\toption family 'ipv4'
\tlist track_ip '1.1.1.1'
\tlist track_ip '8.8.8.8'

config interface 'wanb'
\toption enabled '1'

config rule 'r'
\toption proto 'tcp'
";

fn changed(delta: &str) -> Package {
    let mut package = uci::parse("mwan3", BASE.as_bytes());
    uci::apply_delta(&mut package, delta.as_bytes());
    package
}

fn items(package: &Package, section: &str, option: &str) -> Option<Vec<String>> {
    let option = package.section(section)?.option(option)?;
    Some(option.value.items().iter().map(|item| item.text().into_owned()).collect())
}

fn names(package: &Package) -> Vec<&str> {
    package.sections.iter().map(|section| &*section.name).collect()
}

fn is_unchanged(delta: &str) -> bool {
    changed(delta).export() == changed("").export()
}

#[test]
fn an_option_is_set_where_it_was_or_added_behind_the_others() {
    let package = changed("mwan3.wan.enabled='1'\nmwan3.wan.reliability='2'\n");
    let options: Vec<&str> = package.sections[0].options.iter().map(|option| &*option.name).collect();
    assert_eq!(options, ["enabled", "family", "track_ip", "reliability"]);
    assert_eq!(items(&package, "wan", "enabled").unwrap(), ["1"]);
}

#[test]
fn values_may_hold_quotes_equal_signs_blanks_and_line_breaks() {
    let package = changed("mwan3.wan.x='it'\\''s a=b'\nmwan3.wan.y='two\nlines'\nmwan3.wan.z='3'\n");
    assert_eq!(items(&package, "wan", "x").unwrap(), ["it's a=b"]);
    assert_eq!(items(&package, "wan", "y").unwrap(), ["two\nlines"]);
    assert_eq!(items(&package, "wan", "z").unwrap(), ["3"]);
}

#[test]
fn an_option_set_to_nothing_is_removed() {
    assert_eq!(items(&changed("mwan3.wan.enabled=''\n"), "wan", "enabled"), None);
}

#[test]
fn sections_and_options_are_removed() {
    assert_eq!(names(&changed("-mwan3.wan\n")), ["wanb", "r"]);
    assert_eq!(items(&changed("-mwan3.wan.track_ip\n"), "wan", "track_ip"), None);
    assert_eq!(items(&changed("-mwan3.wan.track_ip='0'\n"), "wan", "track_ip").unwrap(), ["8.8.8.8"]);
}

#[test]
fn list_items_are_added_and_removed_by_value() {
    let package = changed("|mwan3.wan.track_ip='9.9.9.9'\n~mwan3.wan.track_ip='1.1.1.1'\n");
    assert_eq!(items(&package, "wan", "track_ip").unwrap(), ["8.8.8.8", "9.9.9.9"]);
    let package = changed("|mwan3.wan.family='more'\n|mwan3.wanb.track_ip='1.2.3.4'\n");
    assert_eq!(items(&package, "wan", "family").unwrap(), ["ipv4", "more"]);
    assert_eq!(items(&package, "wanb", "track_ip").unwrap(), ["1.2.3.4"]);
}

#[test]
fn setting_a_list_makes_it_a_single_value() {
    assert_eq!(items(&changed("mwan3.wan.track_ip='9.9.9.9'\n"), "wan", "track_ip").unwrap(), ["9.9.9.9"]);
}

#[test]
fn sections_are_added_named_and_unnamed() {
    let package = changed("mwan3.wanc='interface'\nmwan3.wanc.enabled='1'\n+mwan3.cfg04e48a='rule'\n");
    assert_eq!(names(&package), ["wan", "wanb", "r", "wanc", "cfg04e48a"]);
    assert!(package.sections[4].is_anonymous && !package.sections[3].is_anonymous);
    assert_eq!(package.sections[3].line, None);
    assert_eq!(items(&package, "wanc", "enabled").unwrap(), ["1"]);
}

#[test]
fn sections_and_options_are_renamed_and_found_under_the_new_name() {
    let package = changed("@mwan3.wanb='backup'\nmwan3.backup.enabled='0'\n@mwan3.wan.family='af'\n");
    assert_eq!(names(&package), ["wan", "backup", "r"]);
    assert_eq!(items(&package, "backup", "enabled").unwrap(), ["0"]);
    assert_eq!(items(&package, "wan", "af").unwrap(), ["ipv4"]);
}

#[test]
fn sections_are_moved() {
    assert_eq!(names(&changed("^mwan3.r='0'\n")), ["r", "wan", "wanb"]);
    assert_eq!(names(&changed("^mwan3.wan='1'\n")), ["wanb", "wan", "r"]);
    assert_eq!(names(&changed("^mwan3.wan='99'\n")), ["wanb", "r", "wan"]);
    assert_eq!(names(&changed("-mwan3.wan\n^mwan3.r='0'\n")), ["r", "wanb"]);
}

#[test]
fn the_type_of_a_section_can_change() {
    let package = changed("mwan3.r='member'\n");
    assert_eq!(package.sections[2].kind, "member");
    assert_eq!(items(&package, "r", "proto").unwrap(), ["tcp"]);
}

#[test]
fn lines_that_make_no_sense_are_skipped_one_by_one() {
    for line in [
        "network.wan.enabled='1'",
        "mwan3",
        "mwan3.wan.enabled",
        "mwan3.wan.a.b='1'",
        "mwan3.bad-name='rule'",
        "mwan3.wan.bad-name='1'",
        "mwan3.nowhere.enabled='1'",
        "-mwan3.nowhere",
        "-mwan3.wan.nothing",
        "@mwan3.wan='bad-name'",
        "^mwan3.wan.enabled='1'",
        "|mwan3.wan='1'",
        "~mwan3.nowhere.x='1'",
        "mwan3.wan.enabled='\u{1}'",
        "mwan3.wan.enabled=1 2",
        "mwan3.wan.enabled='open",
        "# comment",
        "",
    ] {
        assert!(is_unchanged(&format!("{line}\n")), "{line}");
    }
    let package = changed("nonsense\nmwan3.wan.enabled='1'\n");
    assert_eq!(items(&package, "wan", "enabled").unwrap(), ["1"]);
}

#[test]
fn the_number_of_applied_changes_is_told() {
    let mut package = uci::parse("mwan3", BASE.as_bytes());
    assert_eq!(uci::apply_delta(&mut package, b"mwan3.wan.enabled='1'\nnonsense\n-mwan3.r\n"), 2);
}

/// Removing one by one from the front would be quadratic with a plain list.
#[test]
fn large_deltas_are_applied_in_linear_time() {
    let mut text = String::new();
    let mut delta = String::new();
    for number in 0..20_000 {
        text.push_str(&format!("config rule r{number}\n"));
        delta.push_str(&format!("mwan3.r{number}.x='1'\nmwan3.r0.o{number}='1'\n"));
    }
    for number in 1..20_000 {
        delta.push_str(&format!("-mwan3.r{number}\n-mwan3.r0.o{number}\n"));
    }
    let mut package = uci::parse("mwan3", text.as_bytes());
    assert_eq!(uci::apply_delta(&mut package, delta.as_bytes()), 79_998);
    assert_eq!(names(&package), ["r0"]);
    assert_eq!(package.sections[0].options.len(), 2);
}

proptest! {
    #[test]
    fn no_delta_makes_it_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "mwan3", ".", "wan", "wanb", "r", "x", "=", "'", "1", "99999999999999999999", "-", "+", "@", "^",
            "|", "~", "\n", "track_ip", "interface", " ", "\\", "\0",
        ]), 0..80),
    ) {
        changed(&pieces.concat());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut package = uci::parse("mwan3", BASE.as_bytes());
        uci::apply_delta(&mut package, &bytes);
    }
}
