//! The nftables edge against the running kernel, each test in a network namespace of its own.

mod changes;
mod failures;
mod fields;
mod namespace;
mod sample;
mod sizes;
mod traffic;

use mwan3::address::Family;
use mwan3::nft::{self, Change, Observed, SetContent, Table};
use mwan3::system::nftables;

use namespace::{in_namespace, instructions, listing, load_text, nft};
use sample::TABLE;

pub fn load(table: &Table) {
    nftables::apply(TABLE, &nft::replacement(table)).expect("the kernel takes the table");
}

pub fn observe() -> Observed {
    nftables::observe(TABLE).expect("the kernel tells the table")
}

/// As everybody does it: look, compare, change.
pub fn reconcile(wanted: Option<&Table>) -> usize {
    let observed = observe();
    let changes = nft::diff(&observed, wanted);
    nftables::apply(TABLE, &changes).expect("the kernel takes the changes");
    changes.len()
}

#[test]
fn text_and_netlink_make_the_same_ruleset() {
    let (mut lines, mut steps) = (0, 0);
    // In parts: without rights outside its namespace, nft cannot load it in one piece.
    for table in sample::parts() {
        let (by_text, text_instructions) = in_namespace(|| {
            load_text(&table.to_string());
            (listing(), instructions())
        });
        let (by_netlink, netlink_instructions) = in_namespace(|| {
            load(&table);
            (listing(), instructions())
        });
        assert_same_lines(&by_text, &by_netlink);
        assert_same_lines(&text_instructions, &netlink_instructions);
        lines += by_text.len();
        steps += text_instructions.len();
    }
    println!("{lines} lines, {steps} instructions are the same");
    assert!(lines > 1500 && steps > 5000, "only {lines} lines, {steps} instructions");
}

fn assert_same_lines(one: &[String], other: &[String]) {
    let differences: Vec<_> = one.iter().zip(other).filter(|(one, other)| one != other).take(20).collect();
    assert!(differences.is_empty(), "{differences:#?}");
    assert_eq!(one.len(), other.len());
}

#[test]
fn what_was_loaded_needs_no_change() {
    in_namespace(|| {
        let table = sample::everything();
        load(&table);
        let before = nft(&["-a", "list", "ruleset"]);
        assert_eq!(nft::diff(&observe(), Some(&table)), []);
        assert_eq!(reconcile(Some(&table)), 0);
        // Handles and all: nothing was written.
        assert_eq!(nft(&["-a", "list", "ruleset"]), before);
    });
}

#[test]
fn a_table_that_is_not_there_is_seen_so() {
    in_namespace(|| {
        load_text(
            "table inet other {\n\tset connected_ipv4 {\n\t\ttype ipv4_addr\n\t}\n}\ntable ip mwan3 {\n}\n",
        );
        assert_eq!(observe(), Observed::default());
        assert_eq!(nft::diff(&observe(), None), []);
    });
}

#[test]
fn computed_sets_are_seen_exactly_and_others_not_at_all() {
    in_namespace(|| {
        load(&sample::everything());
        let observed = observe();
        for set in sample::sets() {
            let elements = observed.sets[&set.name].elements.clone();
            match set.content {
                SetContent::Computed(spans) => assert_eq!(elements, Some(spans), "{}", set.name),
                SetContent::External | SetContent::Remembered => assert_eq!(elements, None, "{}", set.name),
            }
        }
        assert_eq!(observed.sets.len(), sample::sets().len(), "{:?}", observed.sets);
        assert_eq!(observed.sets["user_ipv6"].key_type, "ipv6_addr");
        assert!(observed.sets["sticky_ipv4"].is_dynamic);
    });
}

#[test]
fn other_tables_are_not_seen_and_not_touched() {
    in_namespace(|| {
        let other = "table inet other {\n\tchain one {\n\t\tcounter accept\n\t}\n}\n";
        let namesake = "table ip mwan3 {\n\tchain one {\n\t\tcounter drop\n\t}\n}\n";
        load_text(other);
        load_text(namesake);
        let foreign = || nft(&["list", "table", "inet", "other"]) + &nft(&["list", "table", "ip", "mwan3"]);
        let before = foreign();
        let table = sample::table(vec![], vec![sample::chain("one", vec![sample::commented("ours")])]);
        reconcile(Some(&table));
        assert_eq!(observe().chains["one"].rules.len(), 1);
        assert_eq!(reconcile(Some(&table)), 0);
        reconcile(None);
        assert_eq!(foreign(), before);
        assert!(!observe().exists);
    });
}

#[test]
fn a_table_that_somebody_loaded_as_text_is_taken_over() {
    in_namespace(|| {
        let table = sample::parts().pop().expect("a part");
        load_text(&table.to_string());
        assert!(reconcile(Some(&table)) > 0);
        let ours = listing();
        assert_eq!(reconcile(Some(&table)), 0);
        load(&table);
        // A set that was made anew stands after the others.
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        assert_eq!(sorted(ours), sorted(listing()));
    });
}

#[test]
fn the_marker_and_the_fingerprint_are_invisible_to_nft() {
    in_namespace(|| {
        let sets =
            vec![sample::computed("connected_ipv4", Family::Ipv4, &[sample::span("10.0.0.0", "10.0.0.9")])];
        load(&sample::table(sets, vec![sample::chain("one", vec![sample::commented("x")])]));
        assert_eq!(
            nft(&["-s", "list", "ruleset"]),
            "table inet mwan3 {\n\tset connected_ipv4 {\n\t\ttype ipv4_addr\n\t\tflags interval\n\
             \t\telements = { 10.0.0.0-10.0.0.9 }\n\t}\n\n\tchain one {\n\t\tcounter comment \"x\"\n\t}\n}\n"
        );
    });
}

#[test]
fn no_changes_are_no_transaction() {
    in_namespace(|| {
        let none: [Change; 0] = [];
        assert_eq!(nftables::apply(TABLE, &none), Ok(()));
        assert_eq!(listing(), Vec::<String>::new());
    });
}
