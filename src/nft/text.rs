//! The table in nft's own syntax: goldens, `mwan3 plan` and a person's `nft -f` read it.

use std::fmt;

use crate::address::{Family, Span, address_bits, span_prefixes};

use super::{
    BaseChain, BaseKind, Chain, Field, Hook, Relation, Rule, Set, SetContent, Statement, Table, Value,
    ValueRange, Verdict,
};

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table inet {} {{", self.name)?;
        for set in &self.sets {
            write!(f, "{set}")?;
        }
        // A rule may name only chains that nft has already seen: declare all of them first.
        for chain in self.chains.iter().filter(|chain| chain.base.is_none()) {
            writeln!(f, "\tchain {} {{\n\t}}", chain.name)?;
        }
        for chain in &self.chains {
            write!(f, "{chain}")?;
        }
        f.write_str("}\n")
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\tset {} {{\n\t\ttype {}", self.name, self.key.type_name())?;
        match &self.content {
            SetContent::Computed(spans) => {
                writeln!(f, "\t\tflags interval")?;
                if !spans.is_empty() {
                    writeln!(f, "\t\telements = {{ {} }}", spans_text(self.key, spans))?;
                }
            }
            SetContent::External => writeln!(f, "\t\tflags interval")?,
            SetContent::Remembered => writeln!(f, "\t\tsize 65535\n\t\tflags dynamic,timeout")?,
        }
        f.write_str("\t}\n")
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\tchain {} {{", self.name)?;
        if let Some(base) = &self.base {
            writeln!(f, "\t\t{base};")?;
        }
        for rule in &self.rules {
            writeln!(f, "\t\t{rule}")?;
        }
        f.write_str("\t}\n")
    }
}

impl fmt::Display for BaseChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, hook) = (self.kind.name(), self.hook.name());
        write!(f, "type {kind} hook {hook} priority {}; policy accept", self.priority)
    }
}

impl BaseKind {
    pub fn name(self) -> &'static str {
        match self {
            BaseKind::Filter => "filter",
            BaseKind::Route => "route",
            BaseKind::Nat => "nat",
        }
    }
}

impl Hook {
    pub fn name(self) -> &'static str {
        match self {
            Hook::Prerouting => "prerouting",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, statement) in self.statements.iter().enumerate() {
            write!(f, "{}{statement}", if position > 0 { " " } else { "" })?;
        }
        match &self.comment {
            Some(comment) => write!(f, " comment \"{}\"", comment_text(comment)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Compare { field, relation, range } => {
                write!(f, "{field} {}{}", operator(*field, *relation), RangeText(range))
            }
            Statement::CompareAddress { field, relation, address } => match address.prefix() {
                Some(prefix) => write!(f, "{field} {}{prefix}", operator(*field, *relation)),
                None => {
                    let (mask, value) =
                        (address.family.address(address.mask), address.family.address(address.value));
                    write!(f, "{field} & {mask} {} {value}", explicit_operator(*relation))
                }
            },
            Statement::InSet { field, relation, set } => {
                write!(f, "{field} {}@{set}", operator(*field, *relation))
            }
            Statement::InList { field, relation, list } => {
                write!(f, "{field} {}{{ ", operator(*field, *relation))?;
                for (position, range) in list.iter().enumerate() {
                    write!(f, "{}{}", if position > 0 { ", " } else { "" }, RangeText(range))?;
                }
                f.write_str(" }")
            }
            Statement::Dispatch { fields, elements } => dispatch_text(f, fields, elements),
            Statement::Counter => f.write_str("counter"),
            Statement::Log { prefix, level } => {
                let name = LOG_LEVELS.get(*level as usize).copied().unwrap_or("debug");
                write!(f, "log prefix \"{}\" level {name}", log_prefix(prefix))
            }
            Statement::SetMark { mask, value } => {
                write!(f, "meta mark set {}", MarkText { source: "meta mark", mask: *mask, value: *value })
            }
            Statement::SetConnectionMark { mask, value } => {
                write!(f, "ct mark set {}", MarkText { source: "ct mark", mask: *mask, value: *value })
            }
            Statement::SetConnectionLabel { bit } => write!(f, "ct label set {bit}"),
            Statement::Remember { set, field, timeout_s } => {
                write!(f, "update @{set} {{ {field} timeout {timeout_s}s }}")
            }
            Statement::SourceNat(address) => {
                write!(f, "snat {} to {address}", if address.is_ipv4() { "ip" } else { "ip6" })
            }
            Statement::Verdict(verdict) => write!(f, "{verdict}"),
        }
    }
}

fn dispatch_text(
    f: &mut fmt::Formatter<'_>,
    fields: &[Field],
    elements: &[(Vec<ValueRange>, Verdict)],
) -> fmt::Result {
    for (position, field) in fields.iter().enumerate() {
        write!(f, "{}{field}", if position > 0 { " . " } else { "" })?;
    }
    f.write_str(" vmap { ")?;
    for (position, (ranges, verdict)) in elements.iter().enumerate() {
        f.write_str(if position > 0 { ", " } else { "" })?;
        for (column, range) in ranges.iter().enumerate() {
            write!(f, "{}{}", if column > 0 { " . " } else { "" }, RangeText(range))?;
        }
        write!(f, " : {verdict}")?;
    }
    f.write_str(" }")
}

/// nft knows `mark & keep | value` with constants; the shorter forms are what it makes of all zeros and ones.
struct MarkText {
    source: &'static str,
    mask: u32,
    value: u32,
}

impl fmt::Display for MarkText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MarkText { source, mask, value } = self;
        let keep = !mask;
        if *value == 0 {
            write!(f, "{source} & {keep:#010x}")
        } else if value == mask {
            write!(f, "{source} | {value:#010x}")
        } else {
            write!(f, "{source} & {keep:#010x} | {value:#010x}")
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Accept => f.write_str("accept"),
            Verdict::Return => f.write_str("return"),
            Verdict::Jump(chain) => write!(f, "jump {chain}"),
            Verdict::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Field::Source(Family::Ipv4) => f.write_str("ip saddr"),
            Field::Source(Family::Ipv6) => f.write_str("ip6 saddr"),
            Field::Destination(Family::Ipv4) => f.write_str("ip daddr"),
            Field::Destination(Family::Ipv6) => f.write_str("ip6 daddr"),
            Field::SourcePort => f.write_str("th sport"),
            Field::DestinationPort => f.write_str("th dport"),
            Field::Protocol => f.write_str("meta l4proto"),
            Field::InputDevice => f.write_str("iifname"),
            Field::OutputDevice => f.write_str("oifname"),
            Field::NetworkFamily => f.write_str("meta nfproto"),
            Field::Icmpv6Type => f.write_str("icmpv6 type"),
            Field::Mark { mask } => write!(f, "meta mark & {mask:#010x}"),
            Field::ConnectionMark { mask } => write!(f, "ct mark & {mask:#010x}"),
            Field::Random { modulus } => write!(f, "numgen random mod {modulus}"),
        }
    }
}

impl Field {
    pub fn type_name(self) -> &'static str {
        match self {
            Field::Source(Family::Ipv4) | Field::Destination(Family::Ipv4) => "ipv4_addr",
            Field::Source(Family::Ipv6) | Field::Destination(Family::Ipv6) => "ipv6_addr",
            Field::SourcePort | Field::DestinationPort => "inet_service",
            Field::Protocol => "inet_proto",
            Field::InputDevice | Field::OutputDevice => "ifname",
            Field::NetworkFamily => "nf_proto",
            Field::Icmpv6Type => "icmpv6_type",
            Field::Mark { .. } | Field::ConnectionMark { .. } | Field::Random { .. } => "mark",
        }
    }

    /// The address family of an address field.
    pub fn family(self) -> Option<Family> {
        match self {
            Field::Source(family) | Field::Destination(family) => Some(family),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Address(address) => write!(f, "{address}"),
            Value::Port(number) => write!(f, "{number}"),
            Value::Byte(number) => write!(f, "{number}"),
            Value::Device(name) => write!(f, "\"{}\"", device_text(name)),
            Value::Family(family) => write!(f, "{family}"),
            Value::Mark(mark) => write!(f, "{mark:#010x}"),
            Value::Number(number) => write!(f, "{number}"),
        }
    }
}

struct RangeText<'a>(&'a ValueRange);

impl fmt::Display for RangeText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ValueRange { low, high } = self.0;
        if low == high {
            return write!(f, "{low}");
        }
        if let (Value::Address(first), Value::Address(last)) = (low, high) {
            let span = Span { low: address_bits(*first), high: address_bits(*last) };
            let is_range = Family::of(*first) == Family::of(*last) && span.low <= span.high;
            if is_range && let [prefix] = span_prefixes(Family::of(*first), span)[..] {
                return write!(f, "{}/{}", prefix.address(), prefix.length());
            }
        }
        write!(f, "{low}-{high}")
    }
}

/// nft wants `==` after a bitwise expression and reads better without it elsewhere.
fn operator(field: Field, relation: Relation) -> &'static str {
    match (field, relation) {
        (_, Relation::IsNot) => "!= ",
        (Field::Mark { .. } | Field::ConnectionMark { .. }, Relation::Is) => "== ",
        (_, Relation::Is) => "",
    }
}

fn explicit_operator(relation: Relation) -> &'static str {
    match relation {
        Relation::Is => "==",
        Relation::IsNot => "!=",
    }
}

pub(super) fn spans_text(key: Field, spans: &[Span]) -> String {
    let family = key.family().unwrap_or(Family::Ipv6);
    let address = |bits| Value::Address(family.address(bits));
    let mut texts = Vec::new();
    for span in spans {
        texts.push(RangeText(&ValueRange { low: address(span.low), high: address(span.high) }).to_string());
    }
    texts.join(", ")
}

/// A comment as nft takes it: at most 128 bytes, cut between two characters.
pub fn comment_text(comment: &str) -> String {
    cut(printable(comment), COMMENT_BYTES)
}

/// A log prefix as nft and the kernel take it: nft would look for a variable after a `$`.
pub fn log_prefix(prefix: &str) -> String {
    cut(printable(prefix).replace('$', "?"), LOG_PREFIX_BYTES)
}

/// A star at the end would mean every name that starts so.
fn device_text(name: &str) -> String {
    match printable(name).strip_suffix('*') {
        Some(start) => format!("{start}\\*"),
        None => printable(name),
    }
}

/// nft's strings have no escapes: what would end one is replaced.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c == '"' || c.is_control() { '?' } else { c }).collect()
}

fn cut(mut text: String, bytes: usize) -> String {
    while text.len() > bytes {
        text.pop();
    }
    text
}

const COMMENT_BYTES: usize = 128;
const LOG_PREFIX_BYTES: usize = 127;
const LOG_LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];
