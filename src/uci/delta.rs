//! Pending changes: the lines that `uci set` and its like leave in a delta file, applied as libuci applies
//! them when it loads the package. A line it would not take is skipped.

use crate::sorted::{SortedMap, SortedSet};

use super::lexer::Lexer;
use super::{Item, Package, Section, UciOption, Value};

/// Tells how many changes were applied.
pub fn apply_delta(package: &mut Package, text: &[u8]) -> usize {
    let mut lexer = Lexer::new(text);
    let mut draft = Draft::new(std::mem::take(&mut package.sections));
    let mut applied = 0;
    while lexer.next_line() {
        let change = Change::read(&mut lexer, &package.name);
        if change.and_then(|change| draft.apply(change)).is_some() {
            applied += 1;
        }
    }
    package.sections = draft.finish();
    applied
}

struct Change {
    verb: Verb,
    section: String,
    option: Option<String>,
    value: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Set,
    Add,
    Remove,
    Rename,
    Reorder,
    ListAdd,
    ListRemove,
}

impl Change {
    fn read(lexer: &mut Lexer<'_>, package: &str) -> Option<Change> {
        let line = lexer.argument().ok()?;
        if !lexer.at_end_of_line() {
            return None;
        }
        let (verb, rest) = match line.split_first()? {
            (b'+', rest) => (Verb::Add, rest),
            (b'-', rest) => (Verb::Remove, rest),
            (b'@', rest) => (Verb::Rename, rest),
            (b'^', rest) => (Verb::Reorder, rest),
            (b'|', rest) => (Verb::ListAdd, rest),
            (b'~', rest) => (Verb::ListRemove, rest),
            _ => (Verb::Set, &*line),
        };
        let (path, value) = match rest.iter().position(|byte| *byte == b'=') {
            Some(at) => (rest.get(..at)?, Some(rest.get(at + 1..)?.to_vec())),
            None => (rest, None),
        };
        let mut parts = path.split(|byte| *byte == b'.');
        if parts.next()? != package.as_bytes() {
            return None;
        }
        let section = name(parts.next()?)?;
        let option = match parts.next() {
            Some(part) => Some(name(part)?),
            None => None,
        };
        let change = Change { verb, section, option, value };
        (parts.next().is_none() && change.is_whole()).then_some(change)
    }

    fn is_whole(&self) -> bool {
        let is_text =
            |value: &[u8]| value.iter().all(|byte| *byte >= 32 || matches!(byte, b'\t' | b'\n' | b'\r'));
        if !self.value.as_deref().is_none_or(is_text) {
            return false;
        }
        match self.verb {
            Verb::Remove => true,
            Verb::Set | Verb::Add => self.value.is_some(),
            Verb::Rename => self.value.as_deref().is_some_and(super::is_name),
            Verb::Reorder => self.value.is_some() && self.option.is_none(),
            Verb::ListAdd | Verb::ListRemove => self.value.is_some() && self.option.is_some(),
        }
    }
}

fn name(bytes: &[u8]) -> Option<String> {
    if super::is_name(bytes) { String::from_utf8(bytes.to_vec()).ok() } else { None }
}

/// The sections while they change. Slots never move, so that finding one by name stays cheap.
struct Draft {
    sections: Slots<DraftSection>,
    /// Slots in file order; those of removed sections may linger.
    order: Vec<usize>,
}

struct DraftSection {
    section: Section,
    options: Slots<UciOption>,
}

impl Draft {
    fn new(sections: Vec<Section>) -> Draft {
        let mut draft = Draft { sections: Slots::default(), order: Vec::new() };
        sections.into_iter().for_each(|section| draft.push(section));
        draft
    }

    fn push(&mut self, mut section: Section) {
        let mut options = Slots::default();
        for option in std::mem::take(&mut section.options) {
            options.push(option.name.clone(), option);
        }
        self.order.push(self.sections.push(section.name.clone(), DraftSection { section, options }));
    }

    fn finish(mut self) -> Vec<Section> {
        let take = |slot: &usize| self.sections.take(*slot);
        self.order.iter().filter_map(take).map(DraftSection::finish).collect()
    }

    /// None where libuci would refuse the change.
    fn apply(&mut self, change: Change) -> Option<()> {
        let slot = self.find(&change.section);
        let value = change.value.unwrap_or_default();
        match (change.verb, change.option) {
            (Verb::Set | Verb::Add, None) => self.set_kind(slot, change.section, value, change.verb),
            (Verb::Remove, None) => self.sections.remove(slot?, &change.section),
            (Verb::Rename, None) => {
                let new_name = name(&value)?;
                let section = &mut self.sections.get_mut(slot?)?.section;
                section.name.clone_from(&new_name);
                section.is_anonymous = false;
                self.sections.rename(slot?, &change.section, new_name)
            }
            (Verb::Reorder, _) => self.reorder(slot?, leading_number(&value)),
            (verb, Some(option)) => self.sections.get_mut(slot?)?.change(verb, option, value),
            (Verb::ListAdd | Verb::ListRemove, None) => None,
        }
    }

    /// The first in file order, should a rename have given two sections one name.
    fn find(&self, name: &str) -> Option<usize> {
        let slots = self.sections.named(name)?;
        match slots.len() {
            0 | 1 => slots.first().copied(),
            _ => self.order.iter().find(|slot| slots.contains(slot)).copied(),
        }
    }

    fn set_kind(&mut self, slot: Option<usize>, name: String, kind: Vec<u8>, verb: Verb) -> Option<()> {
        if kind.is_empty() {
            return match slot {
                Some(slot) => self.sections.remove(slot, &name),
                None => Some(()),
            };
        }
        let kind = String::from_utf8(kind).ok().filter(|kind| super::is_kind(kind.as_bytes()))?;
        let is_anonymous = verb == Verb::Add;
        match slot.and_then(|slot| self.sections.get_mut(slot)) {
            Some(DraftSection { section, .. }) => {
                section.kind = kind;
                section.is_anonymous |= is_anonymous;
            }
            None => self.push(Section { kind, name, is_anonymous, line: None, options: Vec::new() }),
        }
        Some(())
    }

    fn reorder(&mut self, slot: usize, position: usize) -> Option<()> {
        self.order.retain(|other| *other != slot && self.sections.is_alive(*other));
        self.order.insert(position.min(self.order.len()), slot);
        Some(())
    }
}

impl DraftSection {
    fn finish(self) -> Section {
        Section { options: self.options.slots.into_iter().flatten().collect(), ..self.section }
    }

    fn change(&mut self, verb: Verb, name: String, bytes: Vec<u8>) -> Option<()> {
        let slot = self.options.named(&name).and_then(|slots| slots.first().copied());
        let item = Item { bytes, line: None };
        match verb {
            Verb::Set | Verb::Add if item.bytes.is_empty() => match slot {
                Some(slot) => self.options.remove(slot, &name),
                None => Some(()),
            },
            Verb::Set | Verb::Add => {
                match slot.and_then(|slot| self.options.get_mut(slot)) {
                    Some(option) => option.value = Value::One(item),
                    None => self.add_option(name, Value::One(item)),
                }
                Some(())
            }
            Verb::Remove => self.remove(slot?, &name, &item.bytes),
            Verb::Rename => {
                let new_name = String::from_utf8(item.bytes).ok()?;
                self.options.get_mut(slot?)?.name.clone_from(&new_name);
                self.options.rename(slot?, &name, new_name)
            }
            Verb::ListAdd => {
                match slot.and_then(|slot| self.options.get_mut(slot)) {
                    Some(option) => option.value.push(item),
                    None => self.add_option(name, Value::List(vec![item])),
                }
                Some(())
            }
            Verb::ListRemove => {
                if let Some(UciOption { value: Value::List(items), .. }) =
                    slot.and_then(|slot| self.options.get_mut(slot))
                {
                    items.retain(|other| other.bytes != item.bytes);
                }
                Some(())
            }
            Verb::Reorder => None,
        }
    }

    fn add_option(&mut self, name: String, value: Value) {
        self.options.push(name.clone(), UciOption { name, value });
    }

    /// With a number, one item of a list; else the whole option.
    fn remove(&mut self, slot: usize, name: &str, number: &[u8]) -> Option<()> {
        match self.options.get_mut(slot) {
            Some(UciOption { value: Value::List(items), .. }) if !number.is_empty() => {
                let position: usize = String::from_utf8_lossy(number).trim().parse().ok()?;
                if position < items.len() {
                    items.remove(position);
                }
                Some(())
            }
            _ => self.options.remove(slot, name),
        }
    }
}

/// C's strtoul, as far as it matters for a position.
fn leading_number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .skip_while(|byte| byte.is_ascii_whitespace())
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |number: usize, digit| number.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
}

struct Slots<T> {
    slots: Vec<Option<T>>,
    by_name: SortedMap<String, SortedSet<usize>>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots { slots: Vec::new(), by_name: SortedMap::new() }
    }
}

impl<T> Slots<T> {
    fn push(&mut self, name: String, value: T) -> usize {
        let slot = self.slots.len();
        self.slots.push(Some(value));
        self.by_name.or_default(name).insert(slot);
        slot
    }

    fn named(&self, name: &str) -> Option<&SortedSet<usize>> {
        self.by_name.get(name)
    }

    fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.slots.get_mut(slot)?.as_mut()
    }

    fn take(&mut self, slot: usize) -> Option<T> {
        self.slots.get_mut(slot)?.take()
    }

    fn is_alive(&self, slot: usize) -> bool {
        matches!(self.slots.get(slot), Some(Some(_)))
    }

    fn remove(&mut self, slot: usize, name: &str) -> Option<()> {
        self.take(slot)?;
        self.by_name.get_mut(name)?.remove(&slot);
        Some(())
    }

    fn rename(&mut self, slot: usize, old: &str, new: String) -> Option<()> {
        self.by_name.get_mut(old)?.remove(&slot);
        self.by_name.or_default(new).insert(slot);
        Some(())
    }
}
