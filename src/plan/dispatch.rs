//! User rules compiled: by protocol first, then runs of rules with the same tests become one verdict map.
//! First match wins exactly as written: a rule may join an earlier map only past rules it cannot meet.

use crate::address::{AddressMatch, Family, PortRange, Span, merge_spans, subtract_spans};
use crate::nft::{Chain, Field, Relation, Rule, Statement, Value, ValueRange, Verdict, element};
use crate::sorted::SortedMap;

use super::rule_test::RuleTest;
use super::rules::{RuleMatch, SetTest};

/// A rule with more combinations than this is written as one line of tests instead of map elements.
const MOST_ELEMENTS: usize = 1024;

/// The chains for one family; the last one is the entry. Empty where there are no rules.
pub fn compile(rules: &[RuleMatch], family: Family) -> Vec<Chain> {
    let mut chains = Vec::new();
    if rules.is_empty() {
        return chains;
    }
    // Devices become numbers, so that they are spans like everything else.
    let mut devices: Vec<&str> = Vec::new();
    for device in rules.iter().filter_map(|rule| rule.input_device.as_deref()) {
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    let mut items = Vec::new();
    for rule in rules {
        items.push(Item::new(rule, &devices));
    }

    let context = Context { family, devices: &devices };
    let mut by_protocol = Vec::new();
    for protocol in 0..=u8::MAX {
        if !rules.iter().any(|rule| rule.protocol == Some(protocol)) {
            continue;
        }
        let name = format!("rules_{family}_{}", protocol_label(protocol, family));
        by_protocol.push(element(Value::Byte(protocol), Verdict::Goto(name.clone())));
        context.rules(&items, Some(protocol), Chain::add(&mut chains, name));
    }
    let entry = Chain::add(&mut chains, entry_name(family));
    if !by_protocol.is_empty() {
        entry.rule().dispatch(Field::Protocol, by_protocol);
    }
    context.rules(&items, None, entry);
    chains
}

pub(super) fn entry_name(family: Family) -> String {
    format!("rules_{family}")
}

fn protocol_label(protocol: u8, family: Family) -> String {
    let label = match (protocol, family) {
        (1, Family::Ipv4) | (58, Family::Ipv6) => "icmp",
        (6, _) => "tcp",
        (17, _) => "udp",
        (number, _) => return format!("proto{number}"),
    };
    label.to_owned()
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
                    if let Some(number) = devices.iter().position(|known| *known == device) {
                        input.push(Span::one(number as u128));
                    }
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

    /// The dimensions that it tests.
    fn shape(&self) -> Vec<usize> {
        let mut shape = Vec::new();
        for (dimension, spans) in self.spans.iter().enumerate() {
            if !spans.is_empty() {
                shape.push(dimension);
            }
        }
        shape
    }

    fn fits_a_map(&self) -> bool {
        let mut combinations = 1usize;
        for spans in &self.spans {
            combinations = combinations.saturating_mul(spans.len().max(1));
        }
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
    let mut spans = Vec::new();
    for range in ranges {
        spans.push(range.span());
    }
    merge_spans(spans)
}

fn plain_and_odd(addresses: &[AddressMatch]) -> (Vec<Span>, Vec<AddressMatch>) {
    let (mut plain, mut odd) = (Vec::new(), Vec::new());
    for address in addresses {
        match address.prefix() {
            Some(prefix) => plain.push(prefix.span()),
            None => odd.push(*address),
        }
    }
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
            for span in &left {
                self.elements.push((vec![*span], item.chain));
            }
            self.taken.extend(left);
            self.taken = merge_spans(std::mem::take(&mut self.taken));
        } else {
            self.take_combinations(item, &mut Vec::new());
        }
        self.items.push(item);
    }

    /// All rows that begin with `row`.
    fn take_combinations(&mut self, item: &'i Item<'i>, row: &mut Vec<Span>) {
        match self.shape.get(row.len()) {
            None => self.elements.push((row.clone(), item.chain)),
            Some(dimension) => {
                for span in &item.spans[*dimension] {
                    row.push(*span);
                    self.take_combinations(item, row);
                    row.pop();
                }
            }
        }
    }
}

/// Of the rules that packets of this protocol can meet; `None` are those for any.
fn steps<'i>(items: &'i [Item<'i>], protocol: Option<u8>) -> Vec<Step<'i>> {
    let mut steps: Vec<Step<'i>> = Vec::new();
    for item in items.iter().filter(|item| item.protocol.is_none() || item.protocol == protocol) {
        if item.is_catch_all() {
            steps.push(Step::CatchAll(item));
            // Nothing behind it can ever match.
            break;
        }
        if !item.fits_a_map() {
            steps.push(Step::Tests(item));
            continue;
        }
        let shape = item.shape();
        match map_for(item, &shape, &mut steps) {
            Some(map) => map.take(item),
            None => {
                let mut map = Map::new(shape);
                map.take(item);
                steps.push(Step::Map(map));
            }
        }
    }
    steps
}

/// The nearest map with the same tests that the rule may join without overtaking one it could meet.
fn map_for<'s, 'i>(item: &Item<'_>, shape: &[usize], steps: &'s mut [Step<'i>]) -> Option<&'s mut Map<'i>> {
    for step in steps.iter_mut().rev() {
        let may_pass = match step {
            Step::Map(map) => {
                if map.shape == shape && map.can_take(item) {
                    return Some(map);
                }
                map.items.iter().all(|held| item.is_apart_from(held))
            }
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
    fn rules(&self, items: &[Item<'_>], protocol: Option<u8>, chain: &mut Chain) {
        for step in &steps(items, protocol) {
            match step {
                Step::CatchAll(item) => {
                    chain.rule().goto(item.chain);
                }
                Step::Tests(item) => self.tests(item, chain),
                Step::Map(map) => self.map_rule(map, chain),
            }
        }
    }

    /// A map with a single element is an ordinary rule.
    fn map_rule(&self, map: &Map<'_>, chain: &mut Chain) {
        match &map.elements[..] {
            // All of it was taken by earlier rules.
            [] => {}
            [(row, target)] => {
                let rule = chain.rule();
                for (dimension, span) in map.shape.iter().zip(row) {
                    self.one_of(*dimension, &[*span], rule);
                }
                rule.goto(target);
            }
            rows => {
                let rule = chain.rule();
                self.first_look(map, rule);
                let mut fields = Vec::new();
                for dimension in &map.shape {
                    fields.push(self.field(*dimension));
                }
                let mut elements = Vec::new();
                for (row, target) in rows {
                    let mut ranges = Vec::new();
                    for (dimension, span) in map.shape.iter().zip(row) {
                        ranges.push(self.range(*dimension, *span));
                    }
                    elements.push((ranges, Verdict::Goto((*target).to_owned())));
                }
                rule.and(Statement::Dispatch { fields, elements });
            }
        }
    }

    /// Boxes cost the kernel ten times a look-up by hash, and most packets are in none: where a dimension has
    /// single values only, these are asked for first.
    fn first_look(&self, map: &Map<'_>, rule: &mut Rule) {
        let is_single = |span: &Span| span.low == span.high;
        if map.shape.len() < 2 || map.elements.iter().all(|(row, _)| row.iter().all(is_single)) {
            return;
        }
        for dimension in [DESTINATION, SOURCE, DESTINATION_PORT, SOURCE_PORT] {
            let Some(column) = map.shape.iter().position(|of_map| *of_map == dimension) else { continue };
            let mut spans: Vec<Span> = Vec::new();
            for (row, _) in &map.elements {
                spans.extend(row.get(column));
            }
            if spans.iter().all(is_single) {
                spans.sort_unstable();
                spans.dedup();
                return self.one_of(dimension, &spans, rule);
            }
        }
    }

    /// One line of tests for every combination of alternatives that cannot share a line.
    fn tests(&self, item: &Item<'_>, chain: &mut Chain) {
        for source in alternatives(item, SOURCE, &item.odd_sources) {
            for destination in alternatives(item, DESTINATION, &item.odd_destinations) {
                let rule = chain.rule();
                self.spans_test(item, INPUT, rule);
                self.address_test(SOURCE, source, rule);
                self.address_test(DESTINATION, destination, rule);
                self.spans_test(item, SOURCE_PORT, rule);
                self.spans_test(item, DESTINATION_PORT, rule);
                if let Some(set) = item.set {
                    let relation = if set.negated { Relation::IsNot } else { Relation::Is };
                    rule.in_set(self.field(DESTINATION), relation, set.name.clone());
                }
                rule.goto(item.chain);
            }
        }
    }

    fn address_test(&self, dimension: usize, test: Alternative<'_>, rule: &mut Rule) {
        match test {
            Alternative::Plain(spans) => self.one_of(dimension, spans, rule),
            Alternative::Odd(address) => {
                let (field, relation) = (self.field(dimension), Relation::Is);
                rule.and(Statement::CompareAddress { field, relation, address: *address });
            }
        }
    }

    fn spans_test(&self, item: &Item<'_>, dimension: usize, rule: &mut Rule) {
        self.one_of(dimension, &item.spans[dimension], rule);
    }

    /// No test where there are none.
    fn one_of(&self, dimension: usize, spans: &[Span], rule: &mut Rule) {
        let mut list = Vec::new();
        for span in spans {
            list.push(self.range(dimension, *span));
        }
        if !list.is_empty() {
            rule.one_of(self.field(dimension), list);
        }
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
        ValueRange { low: self.value(dimension, span.low), high: self.value(dimension, span.high) }
    }

    fn value(&self, dimension: usize, number: u128) -> Value {
        match dimension {
            INPUT => {
                let name = usize::try_from(number).ok().and_then(|number| self.devices.get(number));
                Value::Device((*name.unwrap_or(&"")).to_owned())
            }
            SOURCE | DESTINATION => Value::Address(self.family.address(number)),
            _ => Value::Port(number as u16),
        }
    }
}

/// Tests of an address that can stand in one line.
#[derive(Clone, Copy)]
enum Alternative<'a> {
    /// None of them: any address.
    Plain(&'a [Span]),
    Odd(&'a AddressMatch),
}

/// The plain addresses share a test, each odd mask needs its own.
fn alternatives<'a>(item: &'a Item<'_>, dimension: usize, odd: &'a [AddressMatch]) -> Vec<Alternative<'a>> {
    let (plain, mut alternatives) = (&item.spans[dimension], Vec::new());
    if !plain.is_empty() || odd.is_empty() {
        alternatives.push(Alternative::Plain(plain));
    }
    for address in odd {
        alternatives.push(Alternative::Odd(address));
    }
    alternatives
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
