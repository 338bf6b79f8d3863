//! Tables made by hand: one rule for every statement with every field it can have.

use std::net::IpAddr;

use mwan3::address::{AddressMatch, Family, Span, address_bits};
use mwan3::nft::{
    BaseChain, BaseKind, Chain, Field, Hook, Relation, Rule, Set, SetContent, Statement, Table, Value,
    ValueRange, Verdict,
};

use super::fields::{concatenations, dispatch_single, single_field_rules};

pub const TABLE: &str = "mwan3";

pub fn table(sets: Vec<Set>, chains: Vec<Chain>) -> Table {
    Table { name: TABLE.to_owned(), sets, chains }
}

pub fn chain(name: &str, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), base: None, rules }
}

pub fn base_chain(name: &str, kind: BaseKind, hook: Hook, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), base: Some(BaseChain { kind, hook, priority: -150 }), rules }
}

pub fn rule(statements: impl IntoIterator<Item = Statement>) -> Rule {
    Rule { statements: statements.into_iter().collect(), comment: None }
}

pub fn commented(comment: &str) -> Rule {
    Rule { statements: vec![Statement::Counter], comment: Some(comment.to_owned()) }
}

pub fn jump(chain: &str) -> Statement {
    Statement::Verdict(Verdict::Jump(chain.to_owned()))
}

pub fn goto(chain: &str) -> Verdict {
    Verdict::Goto(chain.to_owned())
}

pub fn set(name: &str, family: Family, content: SetContent) -> Set {
    Set { name: name.to_owned(), key: Field::Destination(family), content }
}

pub fn computed(name: &str, family: Family, spans: &[Span]) -> Set {
    set(name, family, SetContent::Computed(spans.to_vec()))
}

pub fn address(text: &str) -> Value {
    Value::Address(text.parse().expect("an address"))
}

pub fn span(low: &str, high: &str) -> Span {
    let bits = |text: &str| address_bits(text.parse::<IpAddr>().expect("an address"));
    Span { low: bits(low), high: bits(high) }
}

pub fn range(low: Value, high: Value) -> ValueRange {
    ValueRange { low, high }
}

pub fn is(field: Field, value: Value) -> Statement {
    Statement::Compare { field, relation: Relation::Is, range: ValueRange::one(value) }
}

/// All prefix lengths, and masks with holes.
pub fn address_matches() -> Vec<Rule> {
    let mut rules = Vec::new();
    for family in Family::BOTH {
        let some = 0xc0a8_5a3c_1234_5678_9abc_def0_8765_4321_u128;
        for length in 0..=family.bits() {
            let mask = mwan3::address::mask_bits(family, length);
            for (field, relation) in
                [(Field::Source(family), Relation::Is), (Field::Destination(family), Relation::IsNot)]
            {
                let address = AddressMatch::new(family, some, mask);
                rules.push(rule([Statement::CompareAddress { field, relation, address }]));
            }
        }
        for mask in [1, 0xff, 0xff00, 0xff00_00ff, 0x5555_5555, 0x7fff_ffff] {
            for relation in [Relation::Is, Relation::IsNot] {
                let address = AddressMatch::new(family, some, mask);
                rules.push(rule([Statement::CompareAddress {
                    field: Field::Source(family),
                    relation,
                    address,
                }]));
            }
        }
        let all = range(Value::Address(family.address(0)), Value::Address(family.address(u128::MAX)));
        rules.push(rule([Statement::InList {
            field: Field::Source(family),
            relation: Relation::Is,
            list: vec![all.clone()],
        }]));
        rules.push(rule([dispatch_single(Field::Source(family), &[all])]));
    }
    rules
}

pub fn marks() -> Vec<Rule> {
    let pairs = [
        (0x3f00, 0x100),
        (0x3f00, 0x3f00),
        (0x3f00, 0),
        (0xaa, 0x22),
        (0xaa, 0xaa),
        (u32::MAX, 0),
        (u32::MAX, 0xff),
        (u32::MAX, u32::MAX),
        (0, 0),
        (0x8000_0001, 0x8000_0000),
    ];
    let set = |(mask, value)| {
        [rule([Statement::SetMark { mask, value }]), rule([Statement::SetConnectionMark { mask, value }])]
    };
    let read = |mask| {
        let fields = [Field::Mark { mask }, Field::ConnectionMark { mask }];
        fields.map(|field| rule([is(field, Value::Mark(0x100 & mask))]))
    };
    pairs.into_iter().flat_map(set).chain([0xaa, 0x3f00, u32::MAX, 0].into_iter().flat_map(read)).collect()
}

/// Statements in a row: what nft tests of itself before it reads a header, and what it need not repeat.
pub fn dependencies() -> Vec<Rule> {
    let v4 = is(Field::NetworkFamily, Value::Family(Family::Ipv4));
    let v6 = is(Field::NetworkFamily, Value::Family(Family::Ipv6));
    let source4 = is(Field::Source(Family::Ipv4), address("10.0.0.1"));
    let source6 = is(Field::Source(Family::Ipv6), address("2001:db8::1"));
    let port = is(Field::DestinationPort, Value::Port(53));
    let udp = is(Field::Protocol, Value::Byte(17));
    let icmpv6 = is(Field::Protocol, Value::Byte(58));
    let solicitation = is(Field::Icmpv6Type, Value::Byte(133));
    let destination_in = |family, set: &str| Statement::InSet {
        field: Field::Destination(family),
        relation: Relation::IsNot,
        set: set.to_owned(),
    };
    [
        vec![v4.clone(), source4.clone(), destination_in(Family::Ipv4, "connected_ipv4")],
        vec![source4.clone(), destination_in(Family::Ipv4, "user_ipv4"), udp.clone(), port.clone()],
        vec![source6.clone(), destination_in(Family::Ipv6, "connected_ipv6"), udp.clone(), port.clone()],
        vec![icmpv6.clone(), solicitation.clone()],
        vec![v6.clone(), solicitation.clone()],
        vec![v6, icmpv6, solicitation.clone()],
        vec![source6, solicitation.clone(), solicitation],
        vec![udp, port, Statement::Counter, jump("one")],
        vec![v4, Statement::Counter, Statement::Verdict(Verdict::Return)],
    ]
    .map(rule)
    .into()
}

pub fn the_rest() -> Vec<Rule> {
    let log = |prefix: &str, level| Statement::Log { prefix: prefix.to_owned(), level };
    let remember =
        |set: &str, field, timeout_s| rule([Statement::Remember { set: set.to_owned(), field, timeout_s }]);
    let mut rules: Vec<Rule> = (0..8).map(|level| rule([log("mwan3: ", level)])).collect();
    rules.extend([
        rule([log("", 6)]),
        rule([log("\"quoted\" $variable \\ %s # ; {", 6)]),
        rule([log(&"ä".repeat(100), 6)]),
        remember("sticky_ipv4", Field::Source(Family::Ipv4), 600),
        remember("sticky_ipv4", Field::Destination(Family::Ipv4), 1),
        remember("sticky_ipv6", Field::Source(Family::Ipv6), 86_400),
        remember("sticky_ipv6", Field::Source(Family::Ipv6), 0),
        rule([is(Field::InputDevice, Value::Device("wan*".to_owned()))]),
        rule([is(Field::InputDevice, Value::Device("ü".to_owned()))]),
        rule([Statement::Counter, Statement::Verdict(Verdict::Accept)]),
        rule([jump("one")]),
        rule([Statement::Verdict(goto("two"))]),
        commented(""),
        commented("plain"),
        commented("quo\"ted\nand broken; $x # {} \\"),
        commented("grüße, 世界 🦀"),
        commented(&"x".repeat(128)),
        commented(&"x".repeat(129)),
        commented(&"世".repeat(100)),
        commented(&"🦀".repeat(1000)),
    ]);
    rules
}

pub fn sets() -> Vec<Set> {
    let all6 = Span { low: 0, high: u128::MAX };
    let sticky = |family, name: &str| Set {
        name: name.to_owned(),
        key: Field::Source(family),
        content: SetContent::Remembered,
    };
    vec![
        computed(
            "connected_ipv4",
            Family::Ipv4,
            &[
                span("0.0.0.0", "0.255.255.255"),
                span("10.0.0.0", "10.0.0.255"),
                span("10.0.1.0", "10.0.1.9"),
                span("10.0.1.10", "10.0.1.10"),
                span("192.0.2.1", "192.0.2.1"),
                span("224.0.0.0", "255.255.255.255"),
            ],
        ),
        computed(
            "connected_ipv6",
            Family::Ipv6,
            &[
                span("::1", "::1"),
                span("2001:db8::", "2001:db8:0:ffff:ffff:ffff:ffff:ffff"),
                span("2001:db8:1::", "2001:db8:1::5"),
                span("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ],
        ),
        computed("everything_ipv4", Family::Ipv4, &[span("0.0.0.0", "255.255.255.255")]),
        computed("everything_ipv6", Family::Ipv6, &[all6]),
        computed(
            "halves_ipv4",
            Family::Ipv4,
            &[span("0.0.0.0", "127.255.255.255"), span("128.0.0.0", "255.255.255.255")],
        ),
        computed("top_ipv4", Family::Ipv4, &[span("255.255.255.255", "255.255.255.255")]),
        computed("bottom_ipv4", Family::Ipv4, &[span("0.0.0.0", "0.0.0.0")]),
        computed("nothing_ipv4", Family::Ipv4, &[]),
        set("user_ipv4", Family::Ipv4, SetContent::External),
        set("user_ipv6", Family::Ipv6, SetContent::External),
        sticky(Family::Ipv4, "sticky_ipv4"),
        sticky(Family::Ipv6, "sticky_ipv6"),
    ]
}

/// All of the above in one table.
pub fn everything() -> Table {
    with_frame(vec![
        chain("single_fields", single_field_rules()),
        chain("concatenations", concatenations()),
        chain("addresses", address_matches()),
        chain("marks", marks()),
        chain("dependencies", dependencies()),
        chain("rest", the_rest()),
    ])
}

/// The same, a hundred rules at a time.
pub fn parts() -> Vec<Table> {
    let rules: Vec<Rule> = everything().chains.into_iter().flat_map(|chain| chain.rules).collect();
    rules.chunks(100).map(|rules| with_frame(vec![chain("rest", rules.to_vec())])).collect()
}

/// What every rule may refer to.
fn with_frame(rules: Vec<Chain>) -> Table {
    let mut chains = vec![chain("one", Vec::new()), chain("two", vec![rule([Statement::Counter])])];
    chains.extend(rules);
    let hooks = [
        ("prerouting", BaseKind::Filter, Hook::Prerouting),
        ("output", BaseKind::Route, Hook::Output),
        ("postrouting", BaseKind::Filter, Hook::Postrouting),
    ];
    for (name, kind, hook) in hooks {
        chains.push(base_chain(name, kind, hook, vec![rule([jump("two")])]));
    }
    table(sets(), chains)
}
