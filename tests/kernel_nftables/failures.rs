//! What happens when the kernel says no, and while it changes.

use std::sync::atomic::{AtomicBool, Ordering};

use mwan3::address::Family;
use mwan3::nft::{self, Change, Field, Relation, Statement, Value, ValueRange};
use mwan3::system::nftables;

use super::namespace::{in_namespace, listing};
use super::sample::{TABLE, chain, commented, goto, jump, rule, set, table};
use super::{load, observe};

#[test]
fn a_refused_transaction_changes_nothing_and_names_its_message() {
    in_namespace(|| {
        load(&table(vec![], vec![chain("one", vec![commented("old")])]));
        let before = listing();
        let broken = table(
            vec![],
            vec![
                chain("one", vec![commented("new"), rule([jump("nowhere")]), commented("after")]),
                chain("two", vec![]),
            ],
        );
        let changes = nft::replacement(&broken);
        let error = nftables::apply(TABLE, &changes).unwrap_err();
        assert_eq!(error.errno(), libc::ENOENT);
        let position = error.position().unwrap();
        assert_eq!(changes[position], Change::AddRule { chain: "one", rule: &broken.chains[0].rules[1] });
        assert_eq!(
            error.to_string(),
            "message 7 of the transaction (add rule one: jump nowhere): No such file or directory (os error 2)"
        );
        assert_eq!(listing(), before);
    });
}

#[test]
fn a_refusal_is_traced_through_anonymous_sets_and_split_lists() {
    in_namespace(|| {
        let elements = |target: &str| {
            let element = |n: u32| {
                let address = Value::Address(std::net::Ipv4Addr::from(n * 2).into());
                (vec![ValueRange::one(address)], goto(target))
            };
            Statement::Dispatch {
                fields: vec![Field::Source(Family::Ipv4)],
                elements: (0..5000).map(element).collect(),
            }
        };
        let broken = table(
            vec![],
            vec![
                chain("one", vec![rule([elements("two")]), rule([elements("nowhere")]), commented("after")]),
                chain("two", vec![]),
            ],
        );
        let changes = nft::replacement(&broken);
        let error = nftables::apply(TABLE, &changes).unwrap_err();
        assert_eq!(
            changes[error.position().unwrap()],
            Change::AddRule { chain: "one", rule: &broken.chains[0].rules[1] }
        );
        assert!(error.to_string().chars().count() < 400, "{error}");
        assert!(!observe().exists);
    });
}

#[test]
fn every_kind_of_change_is_named() {
    let wanted = table(vec![set("x", Family::Ipv4, nft::SetContent::External)], vec![chain("x", vec![])]);
    let spans = vec![super::sample::span("10.0.0.0", "10.0.0.1")];
    let key = Field::Source(Family::Ipv4);
    let cases = [
        (Change::AddSet(&wanted.sets[0]), "add set x"),
        (Change::AddElements { set: "x", key, spans: spans.clone().into() }, "add 1 elements to set x"),
        (Change::DeleteElements { set: "x", key, spans }, "delete 1 elements from set x"),
        (Change::AddChain(&wanted.chains[0]), "add chain x"),
        (Change::FlushChain("x"), "flush chain x"),
        (Change::DeleteChain("x"), "delete chain x"),
        (Change::DeleteSet("x"), "delete set x"),
        (Change::DeleteTable, "delete table"),
    ];
    in_namespace(|| {
        for (change, name) in &cases {
            let error = nftables::apply(TABLE, std::slice::from_ref(change)).unwrap_err();
            assert_eq!((error.errno(), error.position()), (libc::ENOENT, Some(0)), "{name}");
            assert!(
                error.to_string().starts_with(&format!("message 1 of the transaction ({name}): ")),
                "{error}"
            );
        }
    });
}

#[test]
fn a_key_wider_than_the_registers_is_refused_before_it_is_sent() {
    let fields = vec![
        Field::InputDevice,
        Field::OutputDevice,
        Field::Source(Family::Ipv6),
        Field::Destination(Family::Ipv6),
        Field::DestinationPort,
    ];
    let wide = table(
        vec![],
        vec![chain("one", vec![commented("fine"), rule([Statement::Dispatch { fields, elements: vec![] }])])],
    );
    in_namespace(|| {
        let changes = nft::replacement(&wide);
        let error = nftables::apply(TABLE, &changes).unwrap_err();
        assert_eq!((error.errno(), error.position()), (libc::EMSGSIZE, Some(changes.len() - 1)));
        assert!(!observe().exists);
    });
}

#[test]
fn without_the_right_to_change_the_transaction_as_a_whole_is_refused() {
    in_namespace(|| {
        let wanted = table(vec![], vec![chain("one", vec![])]);
        // Only this thread gives up its rights.
        // SAFETY: setfsuid and the raw capset take plain values and structs of the sizes they expect.
        let result = unsafe {
            let header: [u32; 2] = [0x2008_0522, 0];
            let none = [0u32; 6];
            libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr())
        };
        assert_eq!(result, 0);
        let error = nftables::apply(TABLE, &nft::replacement(&wanted)).unwrap_err();
        assert_eq!((error.errno(), error.position()), (libc::EPERM, None));
        assert!(error.to_string().starts_with("the transaction: "), "{error}");
    });
}

#[test]
fn an_observer_never_sees_a_chain_missing_or_half_built() {
    in_namespace(|| {
        let wanted = |generation: usize| {
            let mark = |n: usize| {
                rule([Statement::Compare {
                    field: Field::Mark { mask: u32::MAX },
                    relation: Relation::Is,
                    range: ValueRange::one(Value::Mark((generation * 100 + n) as u32)),
                }])
            };
            table(
                vec![],
                vec![chain("one", (0..20).map(mark).collect()), chain("two", vec![commented("same")])],
            )
        };
        let whole: Vec<Vec<u64>> =
            (0..50).map(|n| wanted(n).chains[0].rules.iter().map(nft::Rule::fingerprint).collect()).collect();
        load(&wanted(0));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // A scoped thread inherits the namespace.
            let observer = scope.spawn(|| {
                let mut looks = 0;
                while !done.load(Ordering::Relaxed) || looks == 0 {
                    let observed = observe();
                    let seen: Vec<u64> =
                        observed.chains["one"].rules.iter().filter_map(|rule| rule.fingerprint).collect();
                    assert!(whole.contains(&seen), "{seen:?}");
                    assert_eq!(observed.chains["two"].rules.len(), 1);
                    looks += 1;
                }
                looks
            });
            for generation in 1..50 {
                super::reconcile(Some(&wanted(generation)));
            }
            done.store(true, Ordering::Relaxed);
            println!("{} looks during 49 changes", observer.join().unwrap());
        });
    });
}
