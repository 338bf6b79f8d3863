//! Packets over the loopback device: what the rules do, and what outlives a change.

use std::net::{Ipv4Addr, UdpSocket};

use mwan3::address::Family;
use mwan3::nft::{
    BaseKind, Field, Hook, Relation, Rule, Set, SetContent, Statement, Table, Value, ValueRange, Verdict,
};

use super::namespace::{in_namespace, nft, run};
use super::sample::{
    address, base_chain, chain, commented, computed, goto, is, jump, range, rule, span, table,
};
use super::{load, observe, reconcile};

/// Somebody to send to: an ICMP error would be counted, too.
struct Loopback {
    receivers: Vec<UdpSocket>,
}

impl Loopback {
    fn up() -> Loopback {
        run("ip", &["link", "set", "lo", "up"]);
        let listen = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("the port");
        Loopback { receivers: vec![listen(5000), listen(5001)] }
    }

    fn send(&self, receiver: usize) {
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = self.receivers[receiver].local_addr().expect("an address");
        sender.send_to(b"x", address).expect("sent");
    }
}

fn counted(rules: impl IntoIterator<Item = Statement>) -> Rule {
    rule(rules.into_iter().chain([Statement::Counter]))
}

fn packets(chain: &str) -> Vec<Option<u64>> {
    observe().chains[chain].rules.iter().map(|rule| rule.counter.map(|(packets, _)| packets)).collect()
}

fn at_output(sets: Vec<Set>, mut chains: Vec<mwan3::nft::Chain>, rules: Vec<Rule>) -> Table {
    chains.push(base_chain("output", BaseKind::Route, Hook::Output, rules));
    table(sets, chains)
}

#[test]
fn counters_and_remembered_sources_outlive_a_change_elsewhere() {
    in_namespace(|| {
        let loopback = Loopback::up();
        let wanted = |comment| {
            let sticky = Set {
                name: "sticky_ipv4".to_owned(),
                key: Field::Source(Family::Ipv4),
                content: SetContent::Remembered,
            };
            let remember = Statement::Remember {
                set: "sticky_ipv4".to_owned(),
                field: Field::Source(Family::Ipv4),
                timeout_s: 600,
            };
            at_output(
                vec![sticky],
                vec![chain("policy", vec![commented(comment)])],
                vec![rule([Statement::Counter, remember, jump("policy")])],
            )
        };
        load(&wanted("old"));
        for _ in 0..3 {
            loopback.send(0);
        }
        let remembered = || nft(&["list", "set", "inet", "mwan3", "sticky_ipv4"]);
        assert!(remembered().contains("127.0.0.1"), "{}", remembered());
        assert_eq!((packets("output"), packets("policy")), (vec![Some(3)], vec![Some(3)]));
        assert_eq!(observe().chains["output"].rules[0].counter, Some((3, 3 * 29)));
        reconcile(Some(&wanted("new")));
        assert_eq!((packets("output"), packets("policy")), (vec![Some(3)], vec![Some(0)]));
        assert!(remembered().contains("127.0.0.1"), "{}", remembered());
    });
}

#[test]
fn rules_match_what_they_say() {
    let (destination, port) = (Field::Destination(Family::Ipv4), Field::DestinationPort);
    let network = range(address("127.0.0.0"), address("127.0.0.255"));
    let dispatch = |fields: &[Field], row: Vec<ValueRange>| {
        rule([Statement::Dispatch {
            fields: fields.to_vec(),
            elements: vec![(row, Verdict::Jump("hit".to_owned()))],
        }])
    };
    let hit = |relation, statement: fn(Relation) -> Statement| counted([statement(relation)]);
    let in_net = |relation| Statement::InSet {
        field: Field::Destination(Family::Ipv4),
        relation,
        set: "net".to_owned(),
    };
    let odd = |relation| Statement::CompareAddress {
        field: Field::Source(Family::Ipv4),
        relation,
        address: mwan3::address::AddressMatch::new(Family::Ipv4, 1, 1),
    };
    let rules = vec![
        hit(Relation::Is, in_net),
        hit(Relation::IsNot, in_net),
        hit(Relation::Is, odd),
        hit(Relation::IsNot, odd),
        counted([is(Field::OutputDevice, Value::Device("lo".to_owned()))]),
        counted([is(Field::OutputDevice, Value::Device("l".to_owned()))]),
        counted([is(Field::Destination(Family::Ipv6), address("::1"))]),
        dispatch(
            &[destination, Field::Protocol, port],
            vec![
                network.clone(),
                ValueRange::one(Value::Byte(17)),
                range(Value::Port(4000), Value::Port(5000)),
            ],
        ),
        dispatch(
            &[Field::OutputDevice, destination],
            vec![ValueRange::one(Value::Device("lo".to_owned())), network],
        ),
        dispatch(
            &[destination, port],
            vec![ValueRange::one(address("127.0.0.1")), ValueRange::one(Value::Port(5001))],
        ),
    ];
    in_namespace(|| {
        let loopback = Loopback::up();
        let sets = vec![computed(
            "net",
            Family::Ipv4,
            &[span("127.0.0.0", "127.0.0.1"), span("127.0.0.2", "255.255.255.255")],
        )];
        load(&at_output(sets, vec![chain("hit", vec![commented("")])], rules));
        loopback.send(0);
        let (yes, no) = (Some(1), Some(0));
        assert_eq!(packets("output")[..7], [yes, no, yes, no, yes, no, no]);
        // The first two of the three maps.
        assert_eq!(packets("hit"), [Some(2)]);
        loopback.send(1);
        assert_eq!(packets("hit"), [Some(4)]);
    });
}

/// All weight is dealt out, and marks keep the bits that are not ours, whatever the machine's byte order.
#[test]
fn random_numbers_choose_every_member_and_marks_arrive() {
    let mark = |n: u32| {
        let value = n << 8;
        let set = Statement::SetMark { mask: 0x3f00, value };
        let test = is(Field::Mark { mask: u32::MAX }, Value::Mark(value | 0x8000_0001));
        chain(&format!("mark_{n}"), vec![rule([set]), counted([test])])
    };
    let elements = vec![
        (vec![range(Value::Number(0), Value::Number(2))], goto("mark_1")),
        (vec![range(Value::Number(3), Value::Number(4))], goto("mark_2")),
    ];
    let foreign = rule([Statement::SetMark { mask: 0x8000_0001, value: 0x8000_0001 }]);
    let choose = rule([Statement::Dispatch { fields: vec![Field::Random { modulus: 5 }], elements }]);
    in_namespace(|| {
        let loopback = Loopback::up();
        load(&at_output(vec![], vec![mark(1), mark(2)], vec![foreign, choose]));
        for _ in 0..500 {
            loopback.send(0);
        }
        let (one, two) = (packets("mark_1")[1].unwrap(), packets("mark_2")[1].unwrap());
        assert_eq!(one + two, 500);
        // 3:2 is 300; more than ten standard deviations would be a wrong map.
        assert!((190..=410).contains(&one), "{one}:{two}");
    });
}
