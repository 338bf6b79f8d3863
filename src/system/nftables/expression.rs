//! One rule as the kernel's expressions, with the anonymous sets it needs: the same that nft makes of the
//! rule's text, down to the tests it puts in front of a header field. Pure.

use std::net::IpAddr;

use crate::address::{AddressMatch, Family, Prefix, Span, address_bits, merge_spans, span_prefixes};
use crate::nft::{Field, Relation, Rule, Statement, Value, ValueRange, Verdict, log_prefix};
use crate::sorted::sort_by;

use super::instruction::{Program, SetReference};
use super::key::{self, Entry, Order};
use super::numbers::expression::{meta, payload};
use super::numbers::{register, set};

const ICMPV6: u8 = 58;
const LOWEST_LOG_LEVEL: u32 = 7;

/// A set without a name, made together with the rule that uses it.
#[derive(Clone, Debug)]
pub struct AnonymousSet<'a> {
    pub id: u32,
    pub flags: u32,
    pub key_type: u32,
    pub key_width: usize,
    /// Widths of the fields of a concatenation with intervals.
    pub columns: Vec<usize>,
    /// nft's note of how to list the key.
    pub byte_order: Option<u32>,
    pub entries: Vec<Entry<'a>>,
}

impl AnonymousSet<'_> {
    /// The kernel makes names of these patterns.
    pub fn name(&self) -> &'static str {
        if self.flags & set::MAP == 0 { "__set%d" } else { "__map%d" }
    }
}

#[derive(Clone, Debug)]
pub struct EncodedRule<'a> {
    pub program: Program,
    pub sets: Vec<AnonymousSet<'a>>,
}

/// The sets get ids from `first_set_id` on.
pub fn encode(rule: &Rule, first_set_id: u32) -> EncodedRule<'_> {
    let mut translator = Translator {
        program: Program::default(),
        sets: Vec::new(),
        next_set_id: first_set_id,
        network: None,
        transport: None,
    };
    for statement in &rule.statements {
        translator.statement(statement);
    }
    EncodedRule { program: translator.program, sets: translator.sets }
}

struct Translator<'a> {
    program: Program,
    sets: Vec<AnonymousSet<'a>>,
    next_set_id: u32,
    /// What the rule has made sure of so far, so that header fields may be read.
    network: Option<Family>,
    transport: Option<u8>,
}

impl<'a> Translator<'a> {
    fn statement(&mut self, statement: &'a Statement) {
        match statement {
            Statement::Compare { field, relation, range } => self.compare(*field, *relation, range),
            Statement::CompareAddress { field, relation, address } => {
                self.compare_address(*field, *relation, address);
            }
            Statement::InSet { field, relation, set } => {
                self.load_all(&[*field], Order::Register);
                self.program.test_membership(SetReference { name: set, id: None }, *relation);
            }
            Statement::InList { field, relation, list } => self.in_list(*field, *relation, list),
            Statement::Dispatch { fields, elements } => self.dispatch(fields, elements),
            Statement::Counter => self.program.count(),
            Statement::Log { prefix, level } => {
                self.program.log(&log_prefix(prefix), (*level).min(LOWEST_LOG_LEVEL));
            }
            Statement::SetMark { mask, value } => {
                self.program.load_meta(meta::MARK, register::FIRST);
                self.replace_bits(*mask, *value);
                self.program.store_mark(register::FIRST);
            }
            Statement::SetConnectionMark { mask, value } => {
                self.program.load_connection_mark(register::FIRST);
                self.replace_bits(*mask, *value);
                self.program.store_connection_mark(register::FIRST);
            }
            Statement::SetConnectionLabel { bit } => {
                self.program.load_value(&1u128.checked_shl(u32::from(*bit)).unwrap_or(0).to_ne_bytes());
                self.program.store_connection_label(register::FIRST);
            }
            Statement::Remember { set, field, timeout_s } => {
                self.load_all(&[*field], Order::Register);
                self.program.update_set(set, u64::from(*timeout_s) * 1000);
            }
            Statement::SourceNat(address) => self.source_nat(*address),
            Statement::Verdict(verdict) => self.program.verdict(verdict),
        }
    }

    fn source_nat(&mut self, address: IpAddr) {
        let family = Family::of(address);
        self.require_network(family);
        let bytes = key::bits_bytes(address_bits(address), usize::from(family.bits() / 8));
        self.program.source_nat(family.number(), &bytes);
    }

    fn compare(&mut self, field: Field, relation: Relation, range: &ValueRange) {
        if let Some(prefix) = prefix_of(field, range) {
            return self.compare_address(field, relation, &prefix.into());
        }
        let bytes = |value, order| key::value_bytes(field, value, order);
        if range.is_single() {
            self.load_all(&[field], Order::Register);
            self.program.compare(relation, &bytes(&range.low, Order::Register));
        } else {
            self.load_all(&[field], Order::Sortable);
            let (low, high) = (bytes(&range.low, Order::Sortable), bytes(&range.high, Order::Sortable));
            self.program.compare_range(relation, &low, &high);
        }
        self.note_what_is_known(field, relation, range);
    }

    /// Whole bytes of a prefix are compared as they are; anything else is masked first.
    fn compare_address(&mut self, field: Field, relation: Relation, address: &AddressMatch) {
        self.depend_on(field);
        let width = key::width(field);
        let value = key::bits_bytes(address.value, width);
        let whole_bytes = address
            .prefix()
            .filter(|prefix| prefix.length() > 0 && prefix.length() % 8 == 0)
            .and_then(|prefix| value.get(..usize::from(prefix.length() / 8)));
        match whole_bytes {
            Some(start) => {
                self.load(field, register::FIRST, start.len());
                self.program.compare(relation, start);
            }
            None => {
                self.load(field, register::FIRST, width);
                let mask = key::bits_bytes(address.mask, width);
                self.program.change_bits(register::FIRST, &mask, &vec![0; width]);
                self.program.compare(relation, &value);
            }
        }
    }

    fn in_list(&mut self, field: Field, relation: Relation, list: &[ValueRange]) {
        if let [only] = list {
            return self.compare(field, relation, only);
        }
        let order = order_for(list);
        let entries: Vec<Entry> = match order {
            Order::Register => list.iter().map(|range| key::single_entry(field, range, None)).collect(),
            Order::Sortable => {
                let spans = merge_spans(list.iter().map(|range| span_of(field, range)).collect());
                spans.into_iter().map(|span| key::span_entry(field, span)).collect()
            }
        };
        self.load_all(&[field], order);
        let set = self.anonymous_set(&[field], 0, order, entries);
        self.program.test_membership(set, relation);
    }

    fn dispatch(&mut self, fields: &[Field], elements: &'a [(Vec<ValueRange>, Verdict)]) {
        let order = order_for(elements.iter().flat_map(|(ranges, _)| ranges));
        let mut entries: Vec<Entry> = elements
            .iter()
            .map(|(ranges, verdict)| match (fields, &ranges[..], order) {
                ([field], [range], Order::Register) => key::single_entry(*field, range, Some(verdict)),
                ([field], [range], Order::Sortable) => key::range_entry(*field, range, Some(verdict)),
                _ => key::concatenated_entry(fields, ranges, order, verdict),
            })
            .collect();
        if fields.len() == 1 && order == Order::Sortable {
            // An interval that touches another must come after it, or the kernel sees an overlap.
            sort_by(&mut entries, &|one, other| one.key.cmp(&other.key));
        }
        self.load_all(fields, order);
        let map = self.anonymous_set(fields, set::MAP, order, entries);
        self.program.take_verdict_from(map);
    }

    fn replace_bits(&mut self, mask: u32, value: u32) {
        let keep = !mask & !value;
        self.program.change_bits(register::FIRST, &keep.to_ne_bytes(), &value.to_ne_bytes());
    }

    /// Reads the fields into the registers, side by side, each from a boundary of four bytes.
    fn load_all(&mut self, fields: &[Field], order: Order) {
        for field in fields {
            self.depend_on(*field);
        }
        let mut offset = 0;
        for field in fields {
            let register = register_at(offset);
            self.load(*field, register, key::width(*field));
            if order == Order::Sortable && key::is_host_order(*field) {
                self.program.turn_big_endian(register);
            }
            offset += key::padded_width(*field);
        }
    }

    /// A header field may be read only of packets that have that header. Ports are the exception: the
    /// rules that read them test the protocol in their own way.
    fn depend_on(&mut self, field: Field) {
        match field {
            Field::Source(family) | Field::Destination(family) => self.require_network(family),
            Field::Icmpv6Type if self.transport != Some(ICMPV6) => {
                if self.network.is_none() {
                    self.require_network(Family::Ipv6);
                }
                self.load(Field::Protocol, register::FIRST, 1);
                self.program.compare(Relation::Is, &[ICMPV6]);
                self.transport = Some(ICMPV6);
            }
            _ => {}
        }
    }

    fn require_network(&mut self, family: Family) {
        if self.network != Some(family) {
            self.load(Field::NetworkFamily, register::FIRST, 1);
            self.program.compare(Relation::Is, &[family.number()]);
            self.network = Some(family);
        }
    }

    fn note_what_is_known(&mut self, field: Field, relation: Relation, range: &ValueRange) {
        match (field, relation, &range.low) {
            _ if !range.is_single() => {}
            (Field::NetworkFamily, Relation::Is, Value::Family(family)) => self.network = Some(*family),
            (Field::Protocol, Relation::Is, Value::Byte(protocol)) => self.transport = Some(*protocol),
            _ => {}
        }
    }

    fn load(&mut self, field: Field, register: u32, length: usize) {
        let program = &mut self.program;
        let mut network = |offset| program.load_header(payload::NETWORK_HEADER, offset, length, register);
        match field {
            Field::Source(Family::Ipv4) => network(12),
            Field::Destination(Family::Ipv4) => network(16),
            Field::Source(Family::Ipv6) => network(8),
            Field::Destination(Family::Ipv6) => network(24),
            Field::SourcePort | Field::Icmpv6Type => {
                program.load_header(payload::TRANSPORT_HEADER, 0, length, register);
            }
            Field::DestinationPort => program.load_header(payload::TRANSPORT_HEADER, 2, length, register),
            Field::Protocol => program.load_meta(meta::TRANSPORT_PROTOCOL, register),
            Field::NetworkFamily => program.load_meta(meta::NETWORK_PROTOCOL, register),
            Field::InputDevice => program.load_meta(meta::INPUT_NAME, register),
            Field::OutputDevice => program.load_meta(meta::OUTPUT_NAME, register),
            Field::Mark { mask } => {
                program.load_meta(meta::MARK, register);
                program.change_bits(register, &mask.to_ne_bytes(), &[0; 4]);
            }
            Field::ConnectionMark { mask } => {
                program.load_connection_mark(register);
                program.change_bits(register, &mask.to_ne_bytes(), &[0; 4]);
            }
            Field::Random { modulus } => program.load_random(modulus, register),
        }
    }

    fn anonymous_set(
        &mut self,
        fields: &[Field],
        kind: u32,
        order: Order,
        entries: Vec<Entry<'a>>,
    ) -> SetReference<'static> {
        let mut set = AnonymousSet {
            id: self.next_set_id,
            flags: set::ANONYMOUS | set::CONSTANT | kind,
            key_type: key::concatenated_type(fields),
            key_width: fields.iter().map(|field| key::padded_width(*field)).sum(),
            columns: Vec::new(),
            byte_order: None,
            entries,
        };
        if let [field] = fields {
            set.key_width = key::width(*field);
            set.byte_order = Some(key::byte_order(*field, order));
        }
        if order == Order::Sortable {
            set.flags |= set::INTERVAL;
            if fields.len() > 1 {
                set.flags |= set::CONCATENATION;
                set.columns = fields.iter().map(|field| key::width(*field)).collect();
            }
        }
        self.next_set_id = self.next_set_id.wrapping_add(1);
        let reference = SetReference { name: set.name(), id: Some(set.id) };
        self.sets.push(set);
        reference
    }
}

/// Sets of single values are looked up by hash, others by order.
fn order_for<'r>(ranges: impl IntoIterator<Item = &'r ValueRange>) -> Order {
    if ranges.into_iter().all(ValueRange::is_single) { Order::Register } else { Order::Sortable }
}

/// Addresses are compared by prefix where they make one, as nft's text of them says.
fn prefix_of(field: Field, range: &ValueRange) -> Option<Prefix> {
    let (Value::Address(low), Value::Address(high)) = (&range.low, &range.high) else { return None };
    let family = field.family()?;
    let span = Span { low: address_bits(*low), high: address_bits(*high) };
    if Family::of(*low) != family || Family::of(*high) != family || span.low > span.high {
        return None;
    }
    match span_prefixes(family, span)[..] {
        [prefix] => Some(prefix),
        _ => None,
    }
}

fn span_of(field: Field, range: &ValueRange) -> Span {
    let number = |value| {
        key::value_bytes(field, value, Order::Sortable)
            .iter()
            .fold(0u128, |number, byte| number << 8 | u128::from(*byte))
    };
    Span { low: number(&range.low), high: number(&range.high) }
}

/// The register that starts at this many bytes.
fn register_at(offset: usize) -> u32 {
    match (offset, u32::try_from(offset).unwrap_or(u32::MAX)) {
        (offset, number) if offset % 16 == 0 => register::FIRST.saturating_add(number / 16),
        (_, number) => register::FIRST_OF_FOUR_BYTES.saturating_add(number / 4),
    }
}
