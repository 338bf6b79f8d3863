//! The UCI format as OpenWrt's own library reads it.

use mwan3::uci::{self, Package, Value};
use proptest::prelude::*;

fn parse(text: &str) -> Package {
    uci::parse("t", text.as_bytes())
}

/// A package without mistakes.
fn clean(text: &str) -> Package {
    let package = parse(text);
    assert_eq!(package.errors, [], "in {text:?}");
    package
}

fn value(package: &Package, section: &str, option: &str) -> Option<String> {
    package.section(section)?.text(option).map(|text| text.into_owned())
}

fn items(package: &Package, section: &str, option: &str) -> Vec<String> {
    let option =
        package.section(section).and_then(|section| section.option(option)).expect("the option is there");
    option.value.items().iter().map(|item| item.text().into_owned()).collect()
}

/// What `option x <written>` is read as.
fn read_value(written: &str) -> String {
    let package = parse(&format!("config a b\n\toption x {written}\n"));
    value(&package, "b", "x").unwrap_or_default()
}

#[test]
fn sections_options_and_lists_are_read_in_order() {
    let package = clean("config a 'one'\n\toption x '1'\n\tlist y 'p'\n\tlist y 'q'\n\nconfig b two\n");
    let names: Vec<_> = package.sections.iter().map(|s| (&*s.kind, &*s.name, s.line)).collect();
    assert_eq!(names, [("a", "one", Some(1)), ("b", "two", Some(6))]);
    assert_eq!(value(&package, "one", "x").as_deref(), Some("1"));
    assert_eq!(items(&package, "one", "y"), ["p", "q"]);
    assert_eq!(package.sections_of("b").count(), 1);
}

#[test]
fn quotes_and_escapes_are_resolved() {
    for (written, read) in [
        ("plain", "plain"),
        ("'with blanks'", "with blanks"),
        ("\"double\"", "double"),
        (r"'it'\''s'", "it's"),
        (r#"a"b c"'d'e"#, "ab cde"),
        (r"one\ word", "one word"),
        (r#""say \"hi\"""#, "say \"hi\""),
        (r"'no \escape'", r"no \escape"),
        ("a#comment", "a"),
        ("'#' # comment", "#"),
        ("';'", ";"),
    ] {
        assert_eq!(read_value(written), read, "{written}");
    }
}

#[test]
fn values_run_over_lines_in_quotes_and_after_a_backslash() {
    assert_eq!(read_value("'one\ntwo'"), "one\ntwo");
    assert_eq!(read_value("\"one\\\ntwo\""), "onetwo");
    assert_eq!(read_value("one\\\ntwo"), "onetwo");
    assert_eq!(read_value("one\\\r\ntwo"), "onetwo");
}

#[test]
fn every_value_that_follows_a_long_one_has_its_own_line() {
    let package = clean("config a b\n\toption x 'one\ntwo'\n\toption y z\n");
    let line = |name| package.section("b").and_then(|s| s.option(name)).and_then(|o| o.value.line());
    assert_eq!((line("x"), line("y")), (Some(2), Some(4)));
}

#[test]
fn carriage_returns_and_a_missing_last_line_break_do_not_matter() {
    let package = clean("config a b\r\n\toption x 1\r\n\tlist y 'p'\r\n\toption z 2");
    assert_eq!(value(&package, "b", "x").as_deref(), Some("1"));
    assert_eq!(items(&package, "b", "y"), ["p"]);
    assert_eq!(value(&package, "b", "z").as_deref(), Some("2"));
}

#[test]
fn short_keywords_and_several_commands_on_a_line_work() {
    let package = clean("p t\nc a b ; o x 1 ; l y 2\n");
    assert_eq!(value(&package, "b", "x").as_deref(), Some("1"));
    assert_eq!(items(&package, "b", "y"), ["2"]);
}

#[test]
fn a_semicolon_glued_to_a_plain_word_takes_the_rest_of_the_line_away() {
    let package = clean("config a b\n\toption x 1; option y 2\n\toption z '3'; option w 4\n");
    assert_eq!(value(&package, "b", "x").as_deref(), Some("1"));
    assert_eq!(value(&package, "b", "y"), None);
    assert_eq!(value(&package, "b", "w").as_deref(), Some("4"));
}

#[test]
fn a_list_line_turns_an_option_into_a_list_and_an_option_line_turns_it_back() {
    let package = clean("config a b\n\toption x 1\n\tlist x 2\n\tlist y 1\n\toption y 2\n");
    assert_eq!(items(&package, "b", "x"), ["1", "2"]);
    assert!(matches!(package.section("b").unwrap().option("y").unwrap().value, Value::One(_)));
}

#[test]
fn list_items_may_repeat() {
    let package = clean("config a b\n\tlist x a\n\tlist x a\n\tlist x b\n");
    assert_eq!(items(&package, "b", "x"), ["a", "a", "b"]);
}

#[test]
fn an_empty_option_sets_nothing_and_an_empty_list_item_stays() {
    let package = clean("config a b\n\toption x ''\n\toption y 1\n\toption y ''\n\tlist z ''\n");
    assert_eq!(package.section("b").unwrap().option("x"), None);
    assert_eq!(value(&package, "b", "y").as_deref(), Some("1"));
    assert_eq!(items(&package, "b", "z"), [""]);
}

#[test]
fn unnamed_sections_get_the_names_that_libuci_makes_up() {
    // As printed by `uci -n export` of openwrt/uci 66127cd.
    let package = clean("config rule\n\toption x 1\nconfig rule\nconfig interface wan\nconfig interface\n");
    let names: Vec<_> = package.sections.iter().map(|s| (&*s.name, s.is_anonymous)).collect();
    assert_eq!(names, [("cfg0192bd", true), ("cfg0292bd", true), ("wan", false), ("cfg046d96", true)]);
}

#[test]
fn a_repeated_section_name_continues_that_section() {
    let package = clean("config a b\n\toption x 1\nconfig a c\nconfig a b\n\toption y 2\n");
    assert_eq!(package.sections.len(), 2);
    assert_eq!(value(&package, "b", "x").as_deref(), Some("1"));
    assert_eq!(value(&package, "b", "y").as_deref(), Some("2"));
}

#[test]
fn a_repeated_name_of_another_type_is_told_because_uci_merges_the_two() {
    let package = parse("config interface wan\n\toption x 1\nconfig member wan\n");
    assert_eq!(package.sections.len(), 1);
    assert_eq!(package.sections[0].kind, "member");
    assert_eq!(package.errors[0].line, 3);
    assert!(package.errors[0].text.contains("already of type interface (line 1)"), "{}", package.errors[0]);
}

#[test]
fn mistakes_are_told_with_their_line_and_parsing_goes_on() {
    let package = parse(
        "option early 1\nconfig a b\n\tfoo x 1\n\toption bad-name 1\n\toption x 1 two\n\toption ok 1\nconfig\n",
    );
    let lines: Vec<u32> = package.errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [1, 3, 4, 5, 7]);
    assert_eq!(value(&package, "b", "x").as_deref(), Some("1"));
    assert_eq!(value(&package, "b", "ok").as_deref(), Some("1"));
}

#[test]
fn a_section_name_that_uci_refuses_is_told_with_where_its_options_go() {
    let package = parse("config rule good\n\toption x 1\nconfig rule my-rule\n\toption x 2\n");
    assert_eq!(package.sections.len(), 1);
    assert_eq!(value(&package, "good", "x").as_deref(), Some("2"));
    assert!(package.errors[0].text.contains("go to section 'good'"), "{}", package.errors[0]);
}

#[test]
fn an_open_quote_is_told_by_the_line_it_was_opened_on() {
    let package = parse("config a b\n\toption x 'open\nconfig c d\n\n");
    assert_eq!(package.errors.len(), 1);
    assert_eq!(package.errors[0].line, 2);
}

#[test]
fn any_bytes_are_kept_in_values() {
    let package = uci::parse("t", b"config a b\n\toption x '\xff\xfe\x01'\n");
    assert_eq!(package.sections[0].options[0].value.items()[0].bytes, b"\xff\xfe\x01");
    assert_eq!(package.sections[0].text("x").unwrap(), "\u{fffd}\u{fffd}\u{1}");
}

#[test]
fn a_nul_byte_is_told() {
    let package = uci::parse("t", b"config a b\n\toption x 1\0 2\n\toption y 3\n");
    assert_eq!(package.errors[0].line, 2);
    assert_eq!(value(&package, "b", "y").as_deref(), Some("3"));
}

#[test]
fn a_file_that_is_no_configuration_gives_a_limited_number_of_errors() {
    let package = parse(&"garbage here\n".repeat(10_000));
    assert_eq!(package.errors.len(), 100);
    assert!(package.errors[99].text.contains("more"));
}

#[test]
fn exported_text_reads_back_as_the_same_configuration() {
    let package = clean("c a b;o x 1\nconfig a b\n\toption x \"it's\"\n\tlist y 1\nconfig c\n");
    let again = uci::parse("t", &package.export());
    assert_eq!(again.export(), package.export());
    assert_eq!(again.errors, []);
}

/// 50,000 sections and as many options: quadratic time would take minutes.
#[test]
fn large_files_are_read_in_linear_time() {
    let mut text = String::new();
    for number in 0..50_000 {
        text.push_str(&format!("config rule r{number}\n"));
    }
    for number in 0..50_000 {
        text.push_str(&format!("\toption o{number} 1\n"));
    }
    let package = clean(&text);
    assert_eq!(package.sections.len(), 50_000);
    assert_eq!(package.sections[49_999].options.len(), 50_000);
}

/// Text made of the pieces that matter to the parser, so that random text gets somewhere.
fn uci_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec!["config ", "option ", "list ", "package ", "c ", "o ", "l ", "\n", "\r\n"]),
        4 => prop::sample::select(vec!["rule", "wan", "x", "y", "1", "' '", "''", "\"a\"", "a'b'"]),
        2 => prop::sample::select(vec!["'", "\"", "\\", ";", " ; ", "#", " ", "\t", "\0", "\r", "-", "\\\n"]),
    ];
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        uci::parse("t", &bytes);
    }

    #[test]
    fn whatever_was_read_is_exported_so_that_it_reads_back_unchanged(text in uci_like()) {
        let package = uci::parse("t", &text);
        // `uci export` does not quote types, so those with quotes or comment signs do not survive it.
        prop_assume!(package.sections.iter().all(|s| s.kind.bytes().all(|c| c.is_ascii_alphanumeric())));
        let again = uci::parse("t", &package.export());
        prop_assert_eq!(&again.errors, &vec![]);
        prop_assert_eq!(again.export(), package.export());
    }

    #[test]
    fn any_value_survives_quoting(value in prop::collection::vec(1u8.., 1..40)) {
        let mut text = b"config a b\n\toption x ".to_vec();
        text.extend(uci::quote(&value));
        text.push(b'\n');
        let package = uci::parse("t", &text);
        prop_assert_eq!(&package.errors, &vec![]);
        prop_assert_eq!(&package.sections[0].options[0].value.items()[0].bytes, &value);
    }
}
