//! One rule for every way to look at every field, alone and side by side.

use mwan3::address::Family;
use mwan3::nft::{Field, Relation, Rule, Statement, Value, ValueRange, Verdict};

use super::sample::{address, goto, range, rule};

pub const FIELDS: [Field; 14] = [
    Field::Source(Family::Ipv4),
    Field::Source(Family::Ipv6),
    Field::Destination(Family::Ipv4),
    Field::Destination(Family::Ipv6),
    Field::SourcePort,
    Field::DestinationPort,
    Field::Protocol,
    Field::InputDevice,
    Field::OutputDevice,
    Field::NetworkFamily,
    Field::Icmpv6Type,
    Field::Mark { mask: 0x3f00 },
    Field::ConnectionMark { mask: 0xaa },
    Field::Random { modulus: 7 },
];

/// Two single values and, where the field has ranges, three of those: touching, and up to the top.
pub fn values(field: Field) -> Vec<ValueRange> {
    let (singles, ranges) = match field {
        Field::Source(Family::Ipv4) | Field::Destination(Family::Ipv4) => (
            [address("10.0.0.1"), address("192.0.2.255")],
            vec![
                range(address("10.1.0.0"), address("10.1.255.255")),
                range(address("10.2.0.0"), address("10.2.0.9")),
                range(address("224.0.0.0"), address("255.255.255.255")),
            ],
        ),
        Field::Source(Family::Ipv6) | Field::Destination(Family::Ipv6) => (
            [address("2001:db8::1"), address("::1")],
            vec![
                range(address("2001:db8:1::"), address("2001:db8:1:ffff:ffff:ffff:ffff:ffff")),
                range(address("2001:db8:2::"), address("2001:db8:2::9")),
                range(address("fe00::"), address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")),
            ],
        ),
        Field::SourcePort | Field::DestinationPort => {
            numbers(Value::Port, [53, 443], &[(80, 90), (91, 95), (60000, 65535)])
        }
        Field::Protocol => numbers(Value::Byte, [6, 17], &[(40, 49), (50, 51), (200, 255)]),
        Field::Icmpv6Type => numbers(Value::Byte, [1, 128], &[(131, 133), (134, 137), (200, 255)]),
        Field::InputDevice | Field::OutputDevice => {
            ([Value::Device("eth0".into()), Value::Device("pppoe-wan.12345".into())], Vec::new())
        }
        Field::NetworkFamily => ([Value::Family(Family::Ipv4), Value::Family(Family::Ipv6)], Vec::new()),
        Field::Mark { .. } | Field::ConnectionMark { .. } => numbers(
            Value::Mark,
            [0x100, 0x2200],
            &[(0x300, 0x3ff), (0x400, 0x500), (0xffff_0000, 0xffff_ffff)],
        ),
        Field::Random { .. } => numbers(Value::Number, [1, 0], &[(2, 3), (4, 5), (6, 6)]),
    };
    singles.into_iter().map(ValueRange::one).chain(ranges).collect()
}

fn numbers<N: Copy>(
    value: fn(N) -> Value,
    singles: [N; 2],
    ranges: &[(N, N)],
) -> ([Value; 2], Vec<ValueRange>) {
    (singles.map(value), ranges.iter().map(|(low, high)| range(value(*low), value(*high))).collect())
}

/// Every field: compared, listed and dispatched on, alone.
pub fn single_field_rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for field in FIELDS {
        let values = values(field);
        for relation in [Relation::Is, Relation::IsNot] {
            for value in &values {
                rules.push(rule([Statement::Compare { field, relation, range: value.clone() }]));
            }
            for list in [&values[..1], &values[..2], &values[values.len().min(2)..], &values[..]] {
                if !list.is_empty() {
                    rules.push(rule([Statement::InList { field, relation, list: list.to_vec() }]));
                }
            }
        }
        for chosen in [&values[..1], &values[..2], &values[..]] {
            rules.push(rule([dispatch_single(field, chosen)]));
        }
    }
    rules
}

pub fn dispatch_single(field: Field, values: &[ValueRange]) -> Statement {
    let elements = values.iter().enumerate().map(|(n, value)| (vec![value.clone()], verdict(n))).collect();
    Statement::Dispatch { fields: vec![field], elements }
}

fn verdict(number: usize) -> Verdict {
    match number % 4 {
        0 => goto("one"),
        1 => Verdict::Jump("two".to_owned()),
        2 => Verdict::Accept,
        _ => Verdict::Return,
    }
}

/// Every pair of fields that can stand in one packet, and longer ones up to all registers. Random numbers
/// are left out: nft lists them in a concatenation by a note of its own that we do not write.
pub fn concatenations() -> Vec<Rule> {
    let mut lists: Vec<Vec<Field>> = Vec::new();
    let fields = || FIELDS.into_iter().filter(|field| !matches!(field, Field::Random { .. }));
    for one in fields() {
        lists.extend(fields().filter(|other| *other != one).map(|other| vec![one, other]));
    }
    for family in Family::BOTH {
        let (source, destination) = (Field::Source(family), Field::Destination(family));
        lists.push(vec![source, destination, Field::SourcePort, Field::DestinationPort, Field::Protocol]);
        lists.push(vec![Field::InputDevice, Field::Protocol, destination, Field::DestinationPort]);
        lists.push(vec![Field::Protocol, Field::InputDevice, source, destination]);
        lists.push(vec![Field::Protocol, Field::InputDevice, Field::DestinationPort, source, destination]);
        lists.push(vec![Field::InputDevice, Field::OutputDevice, source, destination]);
    }
    lists
        .iter()
        .filter(|fields| one_family(fields))
        .flat_map(|fields| {
            [dispatch_many(fields, &[0, 1]), dispatch_many(fields, &[0, 2, 3]), dispatch_many(fields, &[4])]
        })
        .map(|statement| rule([statement]))
        .collect()
}

fn one_family(fields: &[Field]) -> bool {
    let mut families: Vec<Family> = fields.iter().filter_map(|field| field.family()).collect();
    families.dedup();
    families.len() <= 1 && !(families == [Family::Ipv4] && fields.contains(&Field::Icmpv6Type))
}

/// Element n takes each field's n-th value, or its last.
fn dispatch_many(fields: &[Field], chosen: &[usize]) -> Statement {
    let element = |n: &usize| {
        let pick = |field: &Field| {
            let values = values(*field);
            values.get(*n).or(values.get(*n % 2)).expect("a value").clone()
        };
        (fields.iter().map(pick).collect(), verdict(*n))
    };
    let mut elements: Vec<(Vec<ValueRange>, Verdict)> = chosen.iter().map(element).collect();
    elements.dedup_by(|later, earlier| later.0 == earlier.0);
    Statement::Dispatch { fields: fields.to_vec(), elements }
}
