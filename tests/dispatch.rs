//! The compiled rules against the rules tried one by one: same first match for every packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mwan3::address::{AddressMatch, Family, PortRange, Prefix, address_bits};
use mwan3::nft::{Chain, Field, Relation, Statement, Value, ValueRange, Verdict};
use mwan3::plan::{Packet, Question, RuleMatch, SetTest, compile, naive_match};
use mwan3::sorted::SortedMap;
use proptest::prelude::*;

/// Walks the chains as the kernel would and returns the rule chain reached.
fn walk<'a>(chains: &'a [Chain], entry: &str, packet: &Packet<'_>) -> Option<&'a str> {
    let chain = chains.iter().find(|chain| chain.name == entry)?;
    for rule in &chain.rules {
        let mut target = None;
        let all_hold = rule.statements.iter().all(|statement| match statement {
            Statement::Compare { field, relation, range } => {
                holds(*field, packet, |value| in_range(range, value)) == (*relation == Relation::Is)
            }
            Statement::CompareAddress { field, relation, address } => {
                let found = match field {
                    Field::Source(_) => address.matches(packet.source),
                    _ => address.matches(packet.destination),
                };
                found == (*relation == Relation::Is)
            }
            Statement::InSet { relation, set, .. } => {
                let is_in = packet.sets.get(set).is_some_and(|held| held.contains(&packet.destination));
                is_in == (*relation == Relation::Is)
            }
            Statement::InList { field, list, .. } => {
                holds(*field, packet, |value| list.iter().any(|range| in_range(range, value)))
            }
            Statement::Dispatch { fields, elements } => {
                let hit = elements.iter().filter(|(ranges, _)| {
                    fields
                        .iter()
                        .zip(ranges)
                        .all(|(field, range)| holds(*field, packet, |value| in_range(range, value)))
                });
                let hits: Vec<_> = hit.collect();
                assert!(hits.len() <= 1, "overlapping elements: {hits:?}");
                target = hits.first().map(|(_, verdict)| verdict);
                target.is_some()
            }
            Statement::Verdict(verdict) => {
                target = Some(verdict);
                true
            }
            other => panic!("unexpected {other}"),
        });
        if let (true, Some(Verdict::Goto(name))) = (all_hold, target) {
            if name.starts_with("rules_") {
                return walk(chains, name, packet);
            }
            return Some(name);
        }
    }
    None
}

fn holds(field: Field, packet: &Packet<'_>, test: impl Fn(&Value) -> bool) -> bool {
    let value = match field {
        Field::Source(_) => Some(Value::Address(packet.source)),
        Field::Destination(_) => Some(Value::Address(packet.destination)),
        Field::SourcePort => packet.ports.map(|ports| Value::Port(ports.0)),
        Field::DestinationPort => packet.ports.map(|ports| Value::Port(ports.1)),
        Field::Protocol => Some(Value::Byte(packet.protocol)),
        Field::InputDevice => packet.input_device.map(|device| Value::Device(device.to_owned())),
        other => panic!("unexpected {other}"),
    };
    value.is_some_and(|value| test(&value))
}

fn in_range(range: &ValueRange, value: &Value) -> bool {
    match (&range.low, &range.high, value) {
        (Value::Address(low), Value::Address(high), Value::Address(value)) => {
            Family::of(*low) == Family::of(*value)
                && (address_bits(*low)..=address_bits(*high)).contains(&address_bits(*value))
        }
        (Value::Port(low), Value::Port(high), Value::Port(value)) => (low..=high).contains(&value),
        (low, _, value) => low == value,
    }
}

/// Few values, so that rules meet often.
fn address_match(family: Family) -> impl Strategy<Value = AddressMatch> {
    let prefix = (0u32..4, 24u8..=32, 0u32..8).prop_map(move |(net, length, host)| match family {
        Family::Ipv4 => Prefix::new(IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | net << 8 | host)), length),
        Family::Ipv6 => {
            let bits = 0x2001_0db8_u128 << 96 | u128::from(net << 8 | host);
            Prefix::new(IpAddr::V6(Ipv6Addr::from(bits)), length + 96)
        }
    });
    prop_oneof![
        9 => prefix.prop_map(AddressMatch::from),
        1 => (0u128..4).prop_map(move |value| AddressMatch::new(family, value, 0x3)),
        1 => Just(AddressMatch::from(Prefix::any(family))),
    ]
}

fn ports() -> impl Strategy<Value = Vec<PortRange>> {
    let range = (80u16..90, 0u16..4).prop_map(|(low, more)| PortRange { low, high: low + more });
    prop_oneof![2 => Just(Vec::new()), 2 => prop::collection::vec(range, 1..3)]
}

fn rule(family: Family) -> impl Strategy<Value = RuleMatch> {
    let addresses =
        || prop_oneof![2 => Just(Vec::new()), 3 => prop::collection::vec(address_match(family), 1..3)];
    let protocol = prop_oneof![Just(None), Just(Some(6u8)), Just(Some(17u8)), Just(Some(47u8))];
    let input =
        prop_oneof![4 => Just(None), 1 => Just(Some("br-lan".to_owned())), 1 => Just(Some("wg0".to_owned()))];
    let set = prop_oneof![
        9 => Just(None),
        1 => any::<bool>().prop_map(|negated| Some(SetTest { name: "streaming".to_owned(), negated })),
    ];
    (protocol, input, addresses(), addresses(), ports(), ports(), set).prop_map(
        |(protocol, input_device, sources, destinations, source_ports, destination_ports, set)| {
            let has_ports = matches!(protocol, Some(6 | 17));
            let any_of = |given: Vec<AddressMatch>| {
                if given.iter().any(|one| one.mask == 0) { Vec::new() } else { given }
            };
            RuleMatch {
                chain: String::new(),
                protocol,
                input_device,
                sources: any_of(sources),
                destinations: any_of(destinations),
                source_ports: if has_ports { source_ports } else { Vec::new() },
                destination_ports: if has_ports { destination_ports } else { Vec::new() },
                set,
            }
        },
    )
}

/// Protocol, hosts, ports, number of the input device.
type PacketValues = (u8, (u32, u32), (u16, u16), u8);

fn packet_values() -> impl Strategy<Value = PacketValues> {
    (
        prop_oneof![Just(6u8), Just(17u8), Just(47u8), Just(1u8)],
        (0u32..0x420, 0u32..0x420),
        (78u16..95, 78u16..95),
        0u8..3,
    )
}

fn compiled_equals_naive(
    family: Family,
    rules: &[RuleMatch],
    packets: &[PacketValues],
) -> Result<(), TestCaseError> {
    let rules: Vec<RuleMatch> = rules
        .iter()
        .enumerate()
        .map(|(position, rule)| RuleMatch { chain: format!("r{position}"), ..rule.clone() })
        .collect();
    let chains = compile(&rules, family);
    let address = |host: u32| match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | host)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(host))),
    };
    let sets = SortedMap::from([("streaming".to_owned(), (0..0x420).step_by(3).map(address).collect())]);
    for (protocol, (source, destination), ports, input) in packets {
        let packet = Packet {
            protocol: *protocol,
            source: address(*source),
            destination: address(*destination),
            ports: matches!(protocol, 6 | 17).then_some(*ports),
            input_device: [None, Some("br-lan"), Some("wg0")][usize::from(*input)],
            sets: &sets,
        };
        let expected = naive_match(&rules, &packet).map(|position| format!("r{position}"));
        let entry = format!("rules_{family}");
        let found = walk(&chains, &entry, &packet).map(str::to_owned);
        prop_assert_eq!(&found, &expected, "{:?}\n{:#?}", packet, chains);
        prop_assert_eq!(asked(&rules, &packet), expected, "{:?}\n{:#?}", packet, rules);
    }
    Ok(())
}

/// As `mwan3 explain` asks them.
fn asked(rules: &[RuleMatch], packet: &Packet<'_>) -> Option<String> {
    let question = Question {
        source: Some(packet.source),
        destination: packet.destination,
        protocol: Some(packet.protocol),
        source_port: packet.ports.map(|ports| ports.0),
        destination_port: packet.ports.map(|ports| ports.1),
        icmp_type: None,
        input_device: packet.input_device.map(str::to_owned),
        mark: 0,
    };
    let holds = |set: &str, address: IpAddr| Some(packet.sets.get(set)?.contains(&address));
    let matches = |rule: &&RuleMatch| {
        rule.tests().iter().all(|test| test.holds(&question, &holds).expect("everything is known"))
    };
    rules.iter().find(matches).map(|rule| rule.chain.clone())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compiled_rules_match_as_if_tried_one_by_one(
        family in prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)],
        seed in prop::collection::vec(rule(Family::Ipv4), 1..24),
        seed6 in prop::collection::vec(rule(Family::Ipv6), 1..24),
        packets in prop::collection::vec(packet_values(), 40),
    ) {
        let rules = if family == Family::Ipv4 { seed } else { seed6 };
        compiled_equals_naive(family, &rules, &packets)?;
    }
}

fn plain_rule(position: u32, port: Option<u16>) -> RuleMatch {
    RuleMatch {
        chain: format!("r{position}"),
        protocol: port.map(|_| 6),
        input_device: None,
        sources: Vec::new(),
        destinations: vec![Prefix::new(IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + (position << 8))), 24).into()],
        source_ports: Vec::new(),
        destination_ports: port.map(|port| PortRange { low: port, high: port }).into_iter().collect(),
        set: None,
    }
}

#[test]
fn rules_of_one_shape_share_one_map_whatever_their_number() {
    let rules: Vec<RuleMatch> = (0..300).map(|position| plain_rule(position, Some(443))).collect();
    let chains = compile(&rules, Family::Ipv4);
    let longest = chains.iter().map(|chain| chain.rules.len()).max();
    assert_eq!(longest, Some(1), "300 rules, one lookup");
}

#[test]
fn a_rule_overtakes_only_rules_it_cannot_meet() {
    let mut rules =
        vec![plain_rule(0, Some(80)), plain_rule(1, None), plain_rule(2, Some(80)), plain_rule(1, Some(80))];
    rules[3].chain = "shadowed".to_owned();
    let chains = compile(&rules, Family::Ipv4);
    let tcp = chains.iter().find(|chain| chain.name == "rules_ipv4_tcp").expect("a chain for TCP");
    let text: Vec<String> = tcp.rules.iter().map(ToString::to_string).collect();
    // The third joins the first past the second; the fourth meets the second and must stay behind it.
    assert_eq!(text.len(), 3, "{text:#?}");
    assert!(text[0].contains("goto r0") && text[0].contains("goto r2") && !text[0].contains("shadowed"));
    assert!(text[2].contains("shadowed"));
}

#[test]
fn boxes_are_searched_only_for_packets_that_may_be_in_one() {
    let mut rules: Vec<RuleMatch> = (0..30).map(|position| plain_rule(position, Some(5000))).collect();
    for (position, rule) in rules.iter_mut().enumerate() {
        let host = IpAddr::V4(Ipv4Addr::from(0x0b00_0000 + position as u32));
        rule.destinations = vec![Prefix::new(host, 32).into()];
        rule.destination_ports = vec![PortRange { low: 5000, high: 5100 }];
    }
    let chains = compile(&rules, Family::Ipv4);
    let statements = &chains[0].rules[0].statements;
    assert!(matches!(&statements[..], [Statement::InList { .. }, Statement::Dispatch { .. }]), "{chains:#?}");
}
