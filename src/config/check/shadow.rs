//! Rules that can never match because an earlier rule takes all of their traffic. Only what one earlier rule
//! covers for a whole family is seen; several that cover it together are not.

use crate::address::{AddressMatch, Family, PortRange, Span, merge_spans};
use crate::config::options::SectionKind;
use crate::config::problem::Severity;
use crate::config::{Protocol, Rule};

use super::Report;

pub(super) fn check(rules: &[Rule], report: &mut Report<'_>) {
    let mut earlier: Vec<Shape<'_>> = Vec::new();
    for rule in rules {
        let mut own = Vec::new();
        for family in &rule.families {
            own.push(Shape::of(rule, *family));
        }
        if let Some(names) = coverers(&own, &earlier, report) {
            let text = format!("can never match: all of its traffic is taken before by rule {names}");
            report.about(Severity::Warning, (SectionKind::Rule, &rule.name), text);
        }
        earlier.append(&mut own);
    }
}

/// The rules that cover a rule in each of its families, by name and line. None if it has a family to match in.
fn coverers(own: &[Shape<'_>], earlier: &[Shape<'_>], report: &Report<'_>) -> Option<String> {
    let mut names = String::new();
    let mut last = "";
    for shape in own {
        let name = &*earlier.iter().find(|other| other.covers(shape))?.rule.name;
        if name == last {
            continue;
        }
        if !last.is_empty() {
            names.push_str(" and ");
        }
        names.push_str(name);
        if let Some(line) = report.line_of(SectionKind::Rule, name) {
            names.push_str(&format!(" (line {line})"));
        }
        last = name;
    }
    (!own.is_empty()).then_some(names)
}

/// What a rule matches in one family.
struct Shape<'a> {
    rule: &'a Rule,
    family: Family,
    protocol: Option<u8>,
    sources: Coverage,
    destinations: Coverage,
    source_ports: Vec<Span>,
    destination_ports: Vec<Span>,
}

impl<'a> Shape<'a> {
    fn of(rule: &'a Rule, family: Family) -> Shape<'a> {
        Shape {
            rule,
            family,
            protocol: number(rule.protocol, family),
            sources: Coverage::of(&rule.sources, family),
            destinations: Coverage::of(&rule.destinations, family),
            source_ports: port_spans(&rule.source_ports),
            destination_ports: port_spans(&rule.destination_ports),
        }
    }

    fn covers(&self, other: &Shape<'_>) -> bool {
        let any_or_same = |own: bool, same: bool| !own || same;
        self.family == other.family
            && (self.protocol.is_none() || self.protocol == other.protocol)
            && any_or_same(
                self.rule.source_interface.is_some(),
                self.rule.source_interface == other.rule.source_interface,
            )
            && any_or_same(self.rule.ipset.is_some(), self.rule.ipset == other.rule.ipset)
            && other.source_ports.iter().all(|span| is_within(&self.source_ports, *span))
            && other.destination_ports.iter().all(|span| is_within(&self.destination_ports, *span))
            && self.sources.covers(&other.sources)
            && self.destinations.covers(&other.destinations)
    }
}

fn number(protocol: Protocol, family: Family) -> Option<u8> {
    match (protocol, family) {
        (Protocol::Any, _) => None,
        (Protocol::Icmp, Family::Ipv4) => Some(1),
        (Protocol::Icmp, Family::Ipv6) => Some(58),
        (Protocol::Number(number), _) => Some(number),
    }
}

fn port_spans(ports: &[PortRange]) -> Vec<Span> {
    let mut spans = Vec::new();
    for range in ports {
        spans.push(range.span());
    }
    if ports.is_empty() {
        spans.push(Span { low: 0, high: u128::from(u16::MAX) });
    }
    merge_spans(spans)
}

/// The addresses a rule matches.
struct Coverage {
    /// Each test from its lowest to its highest address.
    hulls: Vec<Span>,
    tests: Vec<AddressMatch>,
    /// What is matched without a gap, merged.
    spans: Vec<Span>,
    /// Tests by a mask with holes, which match only some of their hull.
    with_holes: Vec<AddressMatch>,
}

impl Coverage {
    fn of(addresses: &[AddressMatch], family: Family) -> Coverage {
        let everything = [AddressMatch::new(family, 0, 0)];
        let addresses = if addresses.is_empty() { &everything } else { addresses };
        let mut coverage =
            Coverage { hulls: Vec::new(), tests: Vec::new(), spans: Vec::new(), with_holes: Vec::new() };
        for address in addresses.iter().filter(|address| address.family == family) {
            coverage.hulls.push(hull(address));
            coverage.tests.push(*address);
            match address.prefix() {
                Some(_) => coverage.spans.push(hull(address)),
                None => coverage.with_holes.push(*address),
            }
        }
        coverage.spans = merge_spans(coverage.spans);
        coverage
    }

    fn covers(&self, other: &Coverage) -> bool {
        other.tests.iter().zip(&other.hulls).all(|(test, hull)| {
            is_within(&self.spans, *hull) || self.with_holes.iter().any(|own| is_implied(own, test))
        })
    }
}

fn hull(address: &AddressMatch) -> Span {
    Span { low: address.value, high: address.value | (address.family.last() & !address.mask) }
}

/// Whatever passes `narrow` passes `wide`.
fn is_implied(wide: &AddressMatch, narrow: &AddressMatch) -> bool {
    wide.mask & narrow.mask == wide.mask && narrow.value & wide.mask == wide.value
}

/// `spans` are sorted and disjoint and do not touch.
fn is_within(spans: &[Span], span: Span) -> bool {
    let after = spans.partition_point(|other| other.low <= span.low);
    after.checked_sub(1).and_then(|at| spans.get(at)).is_some_and(|other| span.high <= other.high)
}
