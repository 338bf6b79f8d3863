//! User rules compiled: by protocol first, then runs of rules with the same tests become one verdict map.
//! First match wins exactly as written: a rule may join an earlier map only past rules it cannot meet.

use crate::address::{AddressMatch, Family, PortRange, Span, merge_spans, subtract_spans};
use crate::nft::{Chain, Field, Relation, Rule, Statement, Value, ValueRange, Verdict};
use crate::sorted::{SortedMap, sort_by};

use super::rule_test::RuleTest;
use super::rules::{RuleMatch, SetTest};
use super::ruleset::{chain, goto, rule};

/// A rule with more combinations than this is written as one line of tests instead of map elements.
const MOST_ELEMENTS: usize = 1024;

/// The chains for one family; the last one is the entry. Empty where there are no rules.
pub fn compile(rules: &[RuleMatch], family: Family) -> Vec<Chain> {
    if rules.is_empty() {
        return Vec::new();
    }
    let devices = device_numbers(rules);
    let items: Vec<Item<'_>> = rules.iter().map(|rule| Item::new(rule, &devices)).collect();
    let mut protocols: Vec<u8> = rules.iter().filter_map(|rule| rule.protocol).collect();
    protocols.sort_unstable();
    protocols.dedup();

    let mut chains = Vec::new();
    let mut by_protocol = Vec::new();
    for protocol in protocols {
        let name = format!("rules_{family}_{}", protocol_label(protocol, family));
        let relevant = items.iter().filter(|item| item.protocol.is_none_or(|wanted| wanted == protocol));
        chains.push(chain(&name, Context { family, devices: &devices }.chain_rules(relevant)));
        by_protocol.push((vec![ValueRange::one(Value::Byte(protocol))], Verdict::Goto(name)));
    }
    let mut entry = Vec::new();
    if !by_protocol.is_empty() {
        entry.push(rule([Statement::Dispatch { fields: vec![Field::Protocol], elements: by_protocol }]));
    }
    let others = items.iter().filter(|item| item.protocol.is_none());
    entry.extend(Context { family, devices: &devices }.chain_rules(others));
    chains.push(chain(&format!("rules_{family}"), entry));
    chains
}

fn protocol_label(protocol: u8, family: Family) -> String {
    match (protocol, family) {
        (1, Family::Ipv4) | (58, Family::Ipv6) => "icmp".to_owned(),
        (6, _) => "tcp".to_owned(),
        (17, _) => "udp".to_owned(),
        (number, _) => format!("proto{number}"),
    }
}

/// Devices become numbers, so that they are spans like everything else.
fn device_numbers(rules: &[RuleMatch]) -> Vec<&str> {
    let mut names: Vec<&str> = rules.iter().filter_map(|rule| rule.input_device.as_deref()).collect();
    sort_by(&mut names, &Ord::cmp);
    names.dedup();
    names
}

const DIMENSIONS: usize = 5;
const INPUT: usize = 0;
const SOURCE: usize = 1;
const DESTINATION: usize = 2;
const SOURCE_PORT: usize = 3;
const DESTINATION_PORT: usize = 4;

/// A rule as a box: per dimension the spans it accepts, none for "any".
#[derive(Default)]
struct Item<'a> {
    chain: &'a str,
    protocol: Option<u8>,
    spans: [Vec<Span>; DIMENSIONS],
    /// Tests that no interval can express; they only narrow the box.
    odd_sources: Vec<AddressMatch>,
    odd_destinations: Vec<AddressMatch>,
    set: Option<&'a SetTest>,
}

impl<'a> Item<'a> {
    fn new(rule: &'a RuleMatch, devices: &[&str]) -> Item<'a> {
        let mut item = Item { chain: &rule.chain, ..Item::default() };
        let [input, sources, destinations, source_ports, destination_ports] = &mut item.spans;
        for test in rule.tests() {
            match test {
                RuleTest::Protocol(protocol) => item.protocol = Some(protocol),
                RuleTest::InputDevice(device) => {
                    let number = devices.binary_search(&device).ok();
                    *input = number.map(|number| Span::one(number as u128)).into_iter().collect();
                }
                RuleTest::Sources(addresses) => {
                    (*sources, item.odd_sources) = plain_and_odd(addresses);
                }
                RuleTest::Destinations(addresses) => {
                    (*destinations, item.odd_destinations) = plain_and_odd(addresses);
                }
                RuleTest::SourcePorts(ranges) => *source_ports = port_spans(ranges),
                RuleTest::DestinationPorts(ranges) => *destination_ports = port_spans(ranges),
                RuleTest::Set(set) => item.set = Some(set),
            }
        }
        item
    }

    fn shape(&self) -> Vec<usize> {
        (0..DIMENSIONS).filter(|dimension| !self.spans[*dimension].is_empty()).collect()
    }

    fn fits_a_map(&self) -> bool {
        let combinations =
            self.spans.iter().fold(1usize, |product, spans| product.saturating_mul(spans.len().max(1)));
        self.set.is_none()
            && self.odd_sources.is_empty()
            && self.odd_destinations.is_empty()
            && combinations <= MOST_ELEMENTS
    }

    fn is_catch_all(&self) -> bool {
        self.fits_a_map() && self.spans.iter().all(Vec::is_empty)
    }

    /// Certain: no packet passes both.
    fn is_apart_from(&self, other: &Item<'_>) -> bool {
        (0..DIMENSIONS).any(|dimension| {
            let (ours, theirs) = (self.known_spans(dimension), other.known_spans(dimension));
            !ours.is_empty() && !theirs.is_empty() && are_disjoint(ours, theirs)
        })
    }

    /// Odd addresses widen a dimension to "any": beside them the plain ones are not the whole truth.
    fn known_spans(&self, dimension: usize) -> &[Span] {
        match dimension {
            SOURCE if !self.odd_sources.is_empty() => &[],
            DESTINATION if !self.odd_destinations.is_empty() => &[],
            _ => &self.spans[dimension],
        }
    }
}

fn port_spans(ranges: &[PortRange]) -> Vec<Span> {
    merge_spans(ranges.iter().map(|range| range.span()).collect())
}

fn plain_and_odd(addresses: &[AddressMatch]) -> (Vec<Span>, Vec<AddressMatch>) {
    let plain = addresses.iter().filter_map(|address| address.prefix()).map(|prefix| prefix.span()).collect();
    let odd = addresses.iter().filter(|address| address.prefix().is_none()).copied().collect();
    (merge_spans(plain), odd)
}

/// Both are sorted and disjoint in themselves.
fn are_disjoint(a: &[Span], b: &[Span]) -> bool {
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x.overlaps(*y) {
            return false;
        }
        if x.high < y.low { i += 1 } else { j += 1 }
    }
    true
}

/// What stands in the chain, in order.
enum Step<'i> {
    Map(Map<'i>),
    Tests(&'i Item<'i>),
    CatchAll(&'i Item<'i>),
}

/// Rules with the same tests, each with its elements: one range per dimension of the shape.
struct Map<'i> {
    shape: Vec<usize>,
    items: Vec<&'i Item<'i>>,
    elements: Vec<(Vec<Span>, &'i str)>,
    /// In a map with one dimension what is left for later rules is known exactly.
    taken: Vec<Span>,
}

impl<'i> Map<'i> {
    fn new(shape: Vec<usize>) -> Map<'i> {
        Map { shape, items: Vec::new(), elements: Vec::new(), taken: Vec::new() }
    }

    fn can_take(&self, item: &Item<'_>) -> bool {
        self.shape.len() == 1 || self.items.iter().all(|held| item.is_apart_from(held))
    }

    fn take(&mut self, item: &'i Item<'i>) {
        if let [dimension] = self.shape[..] {
            let left = subtract_spans(&item.spans[dimension], &self.taken);
            self.elements.extend(left.iter().map(|span| (vec![*span], item.chain)));
            self.taken = merge_spans([std::mem::take(&mut self.taken), left].concat());
        } else {
            let combinations = self.shape.iter().fold(vec![Vec::new()], |rows: Vec<Vec<Span>>, dimension| {
                let extended = |row: &Vec<Span>, span: &Span| [row.as_slice(), &[*span]].concat();
                rows.iter()
                    .flat_map(|row| item.spans[*dimension].iter().map(|span| extended(row, span)))
                    .collect()
            });
            self.elements.extend(combinations.into_iter().map(|row| (row, item.chain)));
        }
        self.items.push(item);
    }
}

fn steps<'i>(items: impl Iterator<Item = &'i Item<'i>>) -> Vec<Step<'i>> {
    let mut steps: Vec<Step<'i>> = Vec::new();
    for item in items {
        if item.is_catch_all() {
            steps.push(Step::CatchAll(item));
            // Nothing behind it can ever match.
            break;
        }
        if !item.fits_a_map() {
            steps.push(Step::Tests(item));
            continue;
        }
        match map_for(item, &steps) {
            Some(position) => {
                if let Some(Step::Map(map)) = steps.get_mut(position) {
                    map.take(item);
                }
            }
            None => {
                let mut map = Map::new(item.shape());
                map.take(item);
                steps.push(Step::Map(map));
            }
        }
    }
    steps
}

/// The nearest map with the same tests that the rule may join without overtaking one it could meet.
fn map_for(item: &Item<'_>, steps: &[Step<'_>]) -> Option<usize> {
    let shape = item.shape();
    for (position, step) in steps.iter().enumerate().rev() {
        let may_pass = match step {
            Step::Map(map) if map.shape == shape && map.can_take(item) => return Some(position),
            Step::Map(map) => map.items.iter().all(|held| item.is_apart_from(held)),
            Step::Tests(held) => item.is_apart_from(held),
            Step::CatchAll(_) => false,
        };
        if !may_pass {
            return None;
        }
    }
    None
}

struct Context<'a> {
    family: Family,
    devices: &'a [&'a str],
}

impl Context<'_> {
    fn chain_rules<'i>(&self, items: impl Iterator<Item = &'i Item<'i>>) -> Vec<Rule> {
        let mut rules = Vec::new();
        for step in steps(items) {
            match step {
                Step::CatchAll(item) => rules.push(rule([goto(item.chain)])),
                Step::Tests(item) => rules.extend(self.tests(item)),
                Step::Map(map) => rules.extend(self.map_rule(&map)),
            }
        }
        rules
    }

    /// A map with a single element is an ordinary rule.
    fn map_rule(&self, map: &Map<'_>) -> Option<Rule> {
        match &map.elements[..] {
            // All of it was taken by earlier rules.
            [] => None,
            [(row, target)] => {
                let mut statements: Vec<Statement> = map
                    .shape
                    .iter()
                    .zip(row)
                    .map(|(dimension, span)| Statement::Compare {
                        field: self.field(*dimension),
                        relation: Relation::Is,
                        range: self.range(*dimension, *span),
                    })
                    .collect();
                statements.push(goto(target));
                Some(rule(statements))
            }
            elements => {
                let elements = elements
                    .iter()
                    .map(|(row, target)| {
                        let ranges =
                            map.shape.iter().zip(row).map(|(dimension, span)| self.range(*dimension, *span));
                        (ranges.collect(), Verdict::Goto((*target).to_owned()))
                    })
                    .collect();
                let fields = map.shape.iter().map(|dimension| self.field(*dimension)).collect();
                let mut statements: Vec<Statement> = self.first_look(map).into_iter().collect();
                statements.push(Statement::Dispatch { fields, elements });
                Some(rule(statements))
            }
        }
    }

    /// Boxes cost the kernel ten times a look-up by hash, and most packets are in none: where a dimension has
    /// single values only, these are asked for first.
    fn first_look(&self, map: &Map<'_>) -> Option<Statement> {
        let is_single = |span: &Span| span.low == span.high;
        let has_boxes = map.shape.len() > 1 && !map.elements.iter().all(|(row, _)| row.iter().all(is_single));
        if !has_boxes {
            return None;
        }
        [DESTINATION, SOURCE, DESTINATION_PORT, SOURCE_PORT].into_iter().find_map(|dimension| {
            let column = map.shape.iter().position(|of_map| *of_map == dimension)?;
            let mut spans: Vec<Span> =
                map.elements.iter().filter_map(|(row, _)| row.get(column)).copied().collect();
            sort_by(&mut spans, &Span::cmp);
            spans.dedup();
            spans.iter().all(is_single).then(|| self.one_of(dimension, &spans)).flatten()
        })
    }

    /// One line of tests for every combination of alternatives that cannot share a line.
    fn tests(&self, item: &Item<'_>) -> Vec<Rule> {
        let sources = self.alternatives(item, SOURCE, &item.odd_sources);
        let destinations = self.alternatives(item, DESTINATION, &item.odd_destinations);
        let mut rules = Vec::new();
        for source in &sources {
            for destination in &destinations {
                let mut statements: Vec<Statement> = Vec::new();
                statements.extend(self.spans_test(item, INPUT));
                statements.extend(source.clone());
                statements.extend(destination.clone());
                statements.extend(self.spans_test(item, SOURCE_PORT));
                statements.extend(self.spans_test(item, DESTINATION_PORT));
                statements.extend(item.set.map(|set| self.set_test(set)));
                statements.push(goto(item.chain));
                rules.push(rule(statements));
            }
        }
        rules
    }

    /// The plain addresses share a test, each odd mask needs its own; `None` is "no test".
    fn alternatives(
        &self,
        item: &Item<'_>,
        dimension: usize,
        odd: &[AddressMatch],
    ) -> Vec<Option<Statement>> {
        let plain = self.spans_test(item, dimension);
        if odd.is_empty() {
            return vec![plain];
        }
        let odd = odd.iter().map(|address| Statement::CompareAddress {
            field: self.field(dimension),
            relation: Relation::Is,
            address: *address,
        });
        plain.into_iter().chain(odd).map(Some).collect()
    }

    fn spans_test(&self, item: &Item<'_>, dimension: usize) -> Option<Statement> {
        self.one_of(dimension, &item.spans[dimension])
    }

    fn one_of(&self, dimension: usize, spans: &[Span]) -> Option<Statement> {
        let (field, relation) = (self.field(dimension), Relation::Is);
        match spans {
            [] => None,
            [span] => Some(Statement::Compare { field, relation, range: self.range(dimension, *span) }),
            spans => {
                let list = spans.iter().map(|span| self.range(dimension, *span)).collect();
                Some(Statement::InList { field, relation, list })
            }
        }
    }

    fn set_test(&self, set: &SetTest) -> Statement {
        let relation = if set.negated { Relation::IsNot } else { Relation::Is };
        Statement::InSet { field: self.field(DESTINATION), relation, set: set.name.clone() }
    }

    fn field(&self, dimension: usize) -> Field {
        match dimension {
            INPUT => Field::InputDevice,
            SOURCE => Field::Source(self.family),
            DESTINATION => Field::Destination(self.family),
            SOURCE_PORT => Field::SourcePort,
            _ => Field::DestinationPort,
        }
    }

    fn range(&self, dimension: usize, span: Span) -> ValueRange {
        let value = |number: u128| match dimension {
            INPUT => {
                let name = usize::try_from(number).ok().and_then(|number| self.devices.get(number));
                Value::Device((*name.unwrap_or(&"")).to_owned())
            }
            SOURCE | DESTINATION => Value::Address(self.family.address(number)),
            _ => Value::Port(number as u16),
        };
        ValueRange { low: value(span.low), high: value(span.high) }
    }
}

/// Kept beside the compiler as its measure: the position of the first rule that matches, tried one by one.
pub fn naive_match(rules: &[RuleMatch], packet: &Packet<'_>) -> Option<usize> {
    rules.iter().position(|rule| {
        let address_matches = |tests: &[AddressMatch], address: std::net::IpAddr| {
            tests.is_empty() || tests.iter().any(|test| test.matches(address))
        };
        let port_matches = |ranges: &[PortRange], port: Option<u16>| {
            ranges.is_empty()
                || port.is_some_and(|port| ranges.iter().any(|range| range.low <= port && port <= range.high))
        };
        rule.protocol.is_none_or(|protocol| protocol == packet.protocol)
            && rule.input_device.as_deref().is_none_or(|device| packet.input_device == Some(device))
            && address_matches(&rule.sources, packet.source)
            && address_matches(&rule.destinations, packet.destination)
            && port_matches(&rule.source_ports, packet.ports.map(|ports| ports.0))
            && port_matches(&rule.destination_ports, packet.ports.map(|ports| ports.1))
            && rule.set.as_ref().is_none_or(|set| {
                let is_in = packet.sets.get(&set.name).is_some_and(|held| held.contains(&packet.destination));
                is_in != set.negated
            })
    })
}

/// What the tests of rules can see of a packet.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    pub protocol: u8,
    pub source: std::net::IpAddr,
    pub destination: std::net::IpAddr,
    /// Source and destination, of protocols that have ports.
    pub ports: Option<(u16, u16)>,
    pub input_device: Option<&'a str>,
    /// The content of the sets that rules name.
    pub sets: &'a SortedMap<String, Vec<std::net::IpAddr>>,
}
