//! The nftables model without a kernel: its text, and the changes from one table to another.

mod diff;
mod held;
mod random;

use mwan3::address::{AddressMatch, Family, Span};
use mwan3::nft::{
    BaseChain, BaseKind, Chain, Field, Hook, Relation, Rule, Set, SetContent, Statement, Table, Value,
    ValueRange, Verdict, comment_text, log_prefix,
};

fn text_of(statement: Statement) -> String {
    statement.to_string()
}

fn compare(field: Field, low: Value, high: Value) -> String {
    text_of(Statement::Compare { field, relation: Relation::Is, range: ValueRange { low, high } })
}

fn address(text: &str) -> Value {
    Value::Address(text.parse().expect("an address"))
}

#[test]
fn a_table_reads_as_nft_wants_it() {
    let rule = Rule {
        statements: vec![
            Statement::InSet {
                field: Field::Destination(Family::Ipv4),
                relation: Relation::IsNot,
                set: "connected_ipv4".to_owned(),
            },
            Statement::Counter,
            Statement::Verdict(Verdict::Goto("mark_wan".to_owned())),
        ],
        comment: Some("https".to_owned()),
    };
    let base = BaseChain { kind: BaseKind::Route, hook: Hook::Output, priority: -150 };
    let key = Field::Destination(Family::Ipv4);
    let spans =
        vec![Span { low: 0x0a00_0000, high: 0x0aff_ffff }, Span { low: 0xe000_0000, high: 0xffff_ffff }];
    let table = Table {
        name: "mwan3".to_owned(),
        sets: vec![
            Set { name: "connected_ipv4".to_owned(), key, content: SetContent::Computed(spans) },
            Set { name: "sticky".to_owned(), key, content: SetContent::Remembered },
        ],
        chains: vec![
            Chain { name: "mark_wan".to_owned(), base: None, rules: vec![] },
            Chain { name: "output".to_owned(), base: Some(base), rules: vec![rule] },
        ],
    };
    let expected = "\
table inet mwan3 {
	set connected_ipv4 {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/8, 224.0.0.0/3 }
	}
	set sticky {
		type ipv4_addr
		size 65535
		flags dynamic,timeout
	}
	chain mark_wan {
	}
	chain mark_wan {
	}
	chain output {
		type route hook output priority -150; policy accept;
		ip daddr != @connected_ipv4 counter goto mark_wan comment \"https\"
	}
}
";
    assert_eq!(table.to_string(), expected);
}

#[test]
fn ranges_that_are_prefixes_are_written_so() {
    let source = Field::Source(Family::Ipv4);
    assert_eq!(compare(source, address("10.0.0.0"), address("10.255.255.255")), "ip saddr 10.0.0.0/8");
    assert_eq!(compare(source, address("10.0.0.1"), address("10.0.0.2")), "ip saddr 10.0.0.1-10.0.0.2");
    assert_eq!(compare(source, address("0.0.0.0"), address("255.255.255.255")), "ip saddr 0.0.0.0/0");
    let all6 = (address("::"), address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    assert_eq!(compare(Field::Source(Family::Ipv6), all6.0, all6.1), "ip6 saddr ::/0");
}

#[test]
fn a_range_that_runs_backwards_or_mixes_families_is_no_reason_to_panic() {
    let source = Field::Source(Family::Ipv4);
    assert_eq!(compare(source, address("10.0.0.2"), address("10.0.0.1")), "ip saddr 10.0.0.2-10.0.0.1");
    compare(source, address("10.0.0.2"), address("::1"));
    compare(source, address("::1"), address("10.0.0.2"));
    compare(source, address("0.0.0.0"), address("ffff::"));
}

#[test]
fn masks_with_holes_are_written_as_masks() {
    let odd = AddressMatch::new(Family::Ipv4, 1, 1);
    let compare = |relation| {
        text_of(Statement::CompareAddress { field: Field::Source(Family::Ipv4), relation, address: odd })
    };
    assert_eq!(compare(Relation::Is), "ip saddr & 0.0.0.1 == 0.0.0.1");
    assert_eq!(compare(Relation::IsNot), "ip saddr & 0.0.0.1 != 0.0.0.1");
}

#[test]
fn marks_are_written_without_what_nft_would_leave_out() {
    let set = |mask, value| text_of(Statement::SetMark { mask, value });
    assert_eq!(set(0x3f00, 0x100), "meta mark set meta mark & 0xffffc0ff | 0x00000100");
    assert_eq!(set(0x3f00, 0), "meta mark set meta mark & 0xffffc0ff");
    assert_eq!(set(0x3f00, 0x3f00), "meta mark set meta mark | 0x00003f00");
}

#[test]
fn a_star_at_the_end_of_a_device_is_a_star() {
    let device = |name: &str| {
        compare(Field::InputDevice, Value::Device(name.to_owned()), Value::Device(name.to_owned()))
    };
    assert_eq!(device("wan*"), r#"iifname "wan\*""#);
    assert_eq!(device("w*n"), r#"iifname "w*n""#);
}

#[test]
fn comments_are_cut_between_characters_and_cannot_end_early() {
    assert_eq!(comment_text("a \"b\"\n$c\\"), "a ?b??$c\\");
    assert_eq!(comment_text(&"x".repeat(200)).len(), 128);
    assert_eq!(comment_text(&"世".repeat(100)), "世".repeat(42));
    assert_eq!(comment_text(""), "");
}

#[test]
fn log_prefixes_are_cut_and_hold_no_variables() {
    assert_eq!(log_prefix("$x \"y\""), "?x ?y?");
    assert_eq!(log_prefix(&"ä".repeat(100)), "ä".repeat(63));
}

#[test]
fn rules_that_read_differently_have_different_fingerprints() {
    let commented = |comment: Option<&str>| Rule {
        statements: vec![Statement::Counter],
        comment: comment.map(str::to_owned),
    };
    let prints = [None, Some(""), Some("a"), Some("b")].map(|comment| commented(comment).fingerprint());
    for (position, print) in prints.iter().enumerate() {
        assert!(!prints[..position].contains(print));
    }
    // Kept in kernels over an upgrade: must not change with the compiler or the machine.
    assert_eq!(commented(Some("a")).fingerprint(), 0xbc9681664a3994d7);
}
