//! Changes as one batch of netlink messages, and the way back from a refused message to its change. Pure.

use crate::address::Span;
use crate::nft::{BaseChain, Chain, Change, Field, Hook, Rule, Set, SetContent, comment_text};

use super::super::netlink::{self, Payload, flag};
use super::expression::{self, AnonymousSet};
use super::instruction::{put_value, put_verdict};
use super::key::{self, Entry, Order, Upper};
use super::numbers::{
    self, INET, LIST_ITEM, chain, elements, message, register, rule, set, table, user_data,
};

/// The lists of elements in one message end soon after this many bytes: an attribute's length has 16 bits.
const ELEMENTS_BYTES: usize = 60_000;
/// As nft's own `size 65535` in the text form.
const REMEMBERED_ENTRIES: u32 = 65_535;

/// What the kernel takes in one piece.
#[derive(Clone, Debug)]
pub struct Batch {
    pub bytes: Vec<u8>,
    /// The sequence number of the frame's beginning: a failed commit is blamed on it.
    pub first: u32,
    /// The only message that asks for an acknowledgement.
    pub last: u32,
    /// The first sequence number of each change.
    starts: Vec<u32>,
}

impl Batch {
    /// The change that a message belongs to.
    pub fn position(&self, sequence: u32) -> Option<usize> {
        self.starts.partition_point(|start| *start <= sequence).checked_sub(1)
    }
}

/// A change that no message can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge {
    pub position: usize,
}

/// `None` if there is nothing to send.
pub fn batch(table: &str, changes: &[Change]) -> Result<Option<Batch>, TooLarge> {
    let mut builder = Builder::new(table);
    let mut starts = Vec::with_capacity(changes.len());
    for (position, change) in changes.iter().enumerate() {
        starts.push(builder.next_sequence());
        builder.change(change);
        if builder.is_too_large() {
            return Err(TooLarge { position });
        }
    }
    Ok(builder.finish(starts))
}

struct Builder<'t> {
    table: &'t str,
    bytes: Vec<u8>,
    sequence: u32,
    next_set_id: u32,
    /// Held back, since only the last message asks for an acknowledgement.
    pending: Option<(u16, u16, Payload)>,
    is_too_large: bool,
}

impl<'t> Builder<'t> {
    fn new(table: &'t str) -> Builder<'t> {
        let mut builder = Builder {
            table,
            bytes: Vec::new(),
            sequence: 1,
            next_set_id: 1,
            pending: None,
            is_too_large: false,
        };
        builder.frame(numbers::BATCH_BEGIN);
        builder
    }

    fn finish(mut self, starts: Vec<u32>) -> Option<Batch> {
        self.pending.as_ref()?;
        self.send_pending(flag::ACK);
        let last = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.frame(numbers::BATCH_END);
        Some(Batch { bytes: self.bytes, first: 1, last, starts })
    }

    fn next_sequence(&self) -> u32 {
        self.sequence.wrapping_add(1 + u32::from(self.pending.is_some()))
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::AddTable => {
                self.message(message::NEW_TABLE, flag::CREATE, table::NAME).put_be32(table::FLAGS, 0);
            }
            Change::DeleteTable => _ = self.message(message::DELETE_TABLE, 0, table::NAME),
            Change::AddSet(set) => self.add_set(set),
            Change::DeleteSet(name) => {
                self.message(message::DELETE_SET, 0, set::TABLE).put_text(set::NAME, name);
            }
            Change::AddElements { set, key, spans } => {
                self.spans(message::NEW_ELEMENTS, flag::CREATE, set, *key, spans);
            }
            Change::DeleteElements { set, key, spans } => {
                self.spans(message::DELETE_ELEMENTS, 0, set, *key, spans);
            }
            Change::AddChain(chain) => self.add_chain(chain),
            Change::FlushChain(name) => {
                self.message(message::DELETE_RULE, 0, rule::TABLE).put_text(rule::CHAIN, name);
            }
            Change::DeleteChain(name) => {
                self.message(message::DELETE_CHAIN, 0, chain::TABLE).put_text(chain::NAME, name);
            }
            Change::AddRule { chain, rule } => self.add_rule(chain, rule),
        }
    }

    fn add_set(&mut self, wanted: &Set) {
        let id = self.take_set_id();
        let flags = match wanted.content {
            SetContent::Computed(_) | SetContent::External => set::INTERVAL,
            SetContent::Remembered => set::TIMEOUT | set::DYNAMIC,
        };
        let out = self.message(message::NEW_SET, flag::CREATE, set::TABLE);
        out.put_text(set::NAME, &wanted.name);
        out.put_be32(set::FLAGS, flags);
        out.put_be32(set::KEY_TYPE, key::type_number(wanted.key));
        out.put_be32(set::KEY_LENGTH, wire_length(key::width(wanted.key)));
        out.put_be32(set::ID, id);
        if matches!(wanted.content, SetContent::Remembered) {
            out.nest(set::DESCRIPTION, |out| out.put_be32(set::DESCRIPTION_SIZE, REMEMBERED_ENTRIES));
        }
        let mut note = byte_order_note(key::byte_order(wanted.key, Order::Sortable));
        if let SetContent::Computed(_) = wanted.content {
            note.extend_from_slice(&[user_data::COMPUTED, 0]);
        }
        out.put(set::USER_DATA, &note);
    }

    fn spans(&mut self, kind: u16, flags: u16, set: &str, key: Field, spans: &[Span]) {
        let mut entries = spans.iter().map(|span| key::span_entry(key, *span));
        self.elements(kind, flags, set, None, &mut entries);
    }

    fn add_chain(&mut self, wanted: &Chain) {
        let out = self.message(message::NEW_CHAIN, flag::CREATE, chain::TABLE);
        out.put_text(chain::NAME, &wanted.name);
        if let Some(base) = &wanted.base {
            put_base(out, base);
        }
    }

    fn add_rule(&mut self, chain: &str, rule: &Rule) {
        let encoded = expression::encode(rule, self.next_set_id);
        for set in encoded.sets {
            self.anonymous_set(set);
        }
        let program = encoded.program.payload();
        self.is_too_large |= program.has_overflow();
        let out = self.message(message::NEW_RULE, flag::CREATE | flag::APPEND, rule::TABLE);
        out.put_text(rule::CHAIN, chain);
        out.nest(rule::EXPRESSIONS, |out| out.put_raw(program.bytes()));
        out.put(rule::USER_DATA, &rule_user_data(rule));
    }

    fn anonymous_set(&mut self, wanted: AnonymousSet) {
        self.take_set_id();
        self.is_too_large |= wanted.key_width > register::SPACE;
        let mut size = 0u32;
        for entry in &wanted.entries {
            size = size.saturating_add(if matches!(entry.upper, Upper::Before(_)) { 2 } else { 1 });
        }
        let out = self.message(message::NEW_SET, flag::CREATE, set::TABLE);
        out.put_text(set::NAME, wanted.name());
        out.put_be32(set::FLAGS, wanted.flags);
        out.put_be32(set::KEY_TYPE, wanted.key_type);
        out.put_be32(set::KEY_LENGTH, wire_length(wanted.key_width));
        if wanted.flags & set::MAP != 0 {
            out.put_be32(set::DATA_TYPE, set::VERDICT_DATA);
        }
        out.put_be32(set::ID, wanted.id);
        out.nest(set::DESCRIPTION, |out| {
            out.put_be32(set::DESCRIPTION_SIZE, size);
            put_columns(out, &wanted.columns);
        });
        if let Some(order) = wanted.byte_order {
            out.put(set::USER_DATA, &byte_order_note(order));
        }
        let (name, id) = (wanted.name(), Some(wanted.id));
        self.elements(message::NEW_ELEMENTS, flag::CREATE, name, id, &mut wanted.entries.into_iter());
    }

    /// In as many messages as it takes; an interval's two ends stay together.
    fn elements<'e>(
        &mut self,
        kind: u16,
        flags: u16,
        name: &str,
        id: Option<u32>,
        entries: &mut dyn Iterator<Item = Entry<'e>>,
    ) {
        let mut next = entries.next();
        while next.is_some() {
            let out = self.message(kind, flags, elements::TABLE);
            out.put_text(elements::SET, name);
            if let Some(id) = id {
                out.put_be32(elements::SET_ID, id);
            }
            out.nest(elements::LIST, |out| {
                let start = out.len();
                while out.len() - start < ELEMENTS_BYTES
                    && let Some(entry) = next.take()
                {
                    put_entry(out, &entry);
                    next = entries.next();
                }
            });
        }
    }

    fn take_set_id(&mut self) -> u32 {
        let id = self.next_set_id;
        self.next_set_id = id.wrapping_add(1);
        id
    }

    /// A new one, begun with the name of the table.
    fn message(&mut self, kind: u16, flags: u16, table_attribute: u16) -> &mut Payload {
        self.send_pending(0);
        let mut payload = Payload::new(&[INET, 0, 0, 0]);
        payload.put_text(table_attribute, self.table);
        &mut self.pending.insert((kind, flags, payload)).2
    }

    fn is_too_large(&self) -> bool {
        self.is_too_large || self.pending.as_ref().is_some_and(|(_, _, payload)| payload.has_overflow())
    }

    fn send_pending(&mut self, more_flags: u16) {
        if let Some((kind, flags, payload)) = self.pending.take() {
            self.is_too_large |= payload.has_overflow();
            self.sequence = self.sequence.wrapping_add(1);
            let flags = flags | more_flags | flag::REQUEST;
            netlink::append(&mut self.bytes, kind, flags, self.sequence, payload.bytes());
        }
    }

    fn frame(&mut self, kind: u16) {
        let [high, low] = numbers::SUBSYSTEM.to_be_bytes();
        netlink::append(&mut self.bytes, kind, flag::REQUEST, self.sequence, &[0, 0, high, low]);
    }
}

fn put_base(out: &mut Payload, base: &BaseChain) {
    let hook = match base.hook {
        Hook::Prerouting => chain::PREROUTING,
        Hook::Output => chain::OUTPUT,
        Hook::Postrouting => chain::POSTROUTING,
    };
    out.nest(chain::HOOK, |out| {
        out.put_be32(chain::HOOK_NUMBER, hook);
        out.put(chain::HOOK_PRIORITY, &base.priority.to_be_bytes());
    });
    out.put_be32(chain::POLICY, chain::POLICY_ACCEPT);
    out.put_text(chain::KIND, base.kind.name());
}

fn put_columns(out: &mut Payload, columns: &[usize]) {
    if columns.is_empty() {
        return;
    }
    out.nest(set::DESCRIPTION_CONCATENATION, |out| {
        for width in columns {
            out.nest(LIST_ITEM, |out| out.put_be32(set::FIELD_LENGTH, wire_length(*width)));
        }
    });
}

fn put_entry(out: &mut Payload, entry: &Entry) {
    out.nest(LIST_ITEM, |out| {
        put_value(out, elements::KEY, &entry.key);
        if let Upper::Last(last) = &entry.upper {
            put_value(out, elements::KEY_END, last);
        }
        if let Some(verdict) = entry.verdict {
            put_verdict(out, elements::DATA, verdict);
        }
    });
    if let Upper::Before(end) = &entry.upper {
        out.nest(LIST_ITEM, |out| {
            put_value(out, elements::KEY, end);
            out.put_be32(elements::FLAGS, elements::INTERVAL_END);
        });
    }
}

/// The comment as nft keeps it, and our fingerprint.
fn rule_user_data(rule: &Rule) -> Vec<u8> {
    let mut data = Vec::new();
    if let Some(comment) = &rule.comment {
        let text = comment_text(comment);
        data.push(user_data::RULE_COMMENT);
        data.push(u8::try_from(text.len() + 1).unwrap_or(u8::MAX));
        data.extend_from_slice(text.as_bytes());
        data.push(0);
    }
    let fingerprint = rule.fingerprint().to_be_bytes();
    data.push(user_data::FINGERPRINT);
    data.push(8);
    data.extend_from_slice(&fingerprint);
    data
}

fn byte_order_note(order: u32) -> Vec<u8> {
    let [a, b, c, d] = order.to_ne_bytes();
    vec![user_data::SET_KEY_BYTE_ORDER, 4, a, b, c, d]
}

/// Widths of keys: a few bytes.
fn wire_length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
