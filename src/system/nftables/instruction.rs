//! The kernel's expressions, one method each: they load, change and compare registers. Pure.

use crate::nft::{Relation, Verdict};

use super::super::netlink::Payload;
use super::numbers::expression::{
    self, bitwise, byteorder, cmp, counter, ct, dynset, immediate, log, lookup, meta, nat, numgen, payload,
    range,
};
use super::numbers::{LIST_ITEM, data, register};

/// The expressions of one rule, in order.
#[derive(Clone, Debug, Default)]
pub struct Program {
    out: Payload,
}

/// Which set a lookup means: one by name, or one of the same transaction that has no name yet.
#[derive(Clone, Copy, Debug)]
pub struct SetReference<'a> {
    pub name: &'a str,
    pub id: Option<u32>,
}

impl Program {
    pub fn payload(&self) -> &Payload {
        &self.out
    }

    pub fn load_header(&mut self, base: u32, offset: u32, length: usize, register: u32) {
        self.numbers(
            "payload",
            &[
                (payload::DESTINATION, register),
                (payload::BASE, base),
                (payload::OFFSET, offset),
                (payload::LENGTH, wire_length(length)),
            ],
        );
    }

    pub fn load_meta(&mut self, key: u32, register: u32) {
        self.numbers("meta", &[(meta::KEY, key), (meta::DESTINATION, register)]);
    }

    pub fn load_connection_mark(&mut self, register: u32) {
        self.numbers("ct", &[(ct::KEY, ct::MARK), (ct::DESTINATION, register)]);
    }

    pub fn load_random(&mut self, modulus: u32, register: u32) {
        self.numbers(
            "numgen",
            &[
                (numgen::DESTINATION, register),
                (numgen::MODULUS, modulus),
                (numgen::KIND, numgen::RANDOM),
                (numgen::OFFSET, 0),
            ],
        );
    }

    pub fn store_mark(&mut self, register: u32) {
        self.numbers("meta", &[(meta::KEY, meta::MARK), (meta::SOURCE, register)]);
    }

    pub fn store_connection_mark(&mut self, register: u32) {
        self.numbers("ct", &[(ct::KEY, ct::MARK), (ct::SOURCE, register)]);
    }

    pub fn store_connection_label(&mut self, register: u32) {
        self.numbers("ct", &[(ct::KEY, ct::LABEL), (ct::SOURCE, register)]);
    }

    /// Into the first register.
    pub fn load_value(&mut self, value: &[u8]) {
        self.add("immediate", |out| {
            out.put_be32(immediate::DESTINATION, register::FIRST);
            put_value(out, immediate::DATA, value);
        });
    }

    /// `register & mask ^ xor`
    pub fn change_bits(&mut self, register: u32, mask: &[u8], xor: &[u8]) {
        self.add("bitwise", |out| {
            out.put_be32(bitwise::SOURCE, register);
            out.put_be32(bitwise::DESTINATION, register);
            out.put_be32(bitwise::LENGTH, wire_length(mask.len()));
            out.put_be32(bitwise::OPERATION, bitwise::MASK_AND_XOR);
            put_value(out, bitwise::MASK, mask);
            put_value(out, bitwise::XOR, xor);
        });
    }

    /// A number of four bytes, from the machine's order to the one that sorts.
    pub fn turn_big_endian(&mut self, register: u32) {
        self.numbers(
            "byteorder",
            &[
                (byteorder::SOURCE, register),
                (byteorder::DESTINATION, register),
                (byteorder::OPERATION, byteorder::HOST_TO_NETWORK),
                (byteorder::LENGTH, 4),
                (byteorder::SIZE, 4),
            ],
        );
    }

    pub fn compare(&mut self, relation: Relation, value: &[u8]) {
        let operation = match relation {
            Relation::Is => cmp::EQUAL,
            Relation::IsNot => cmp::NOT_EQUAL,
        };
        self.add_cmp(operation, value);
    }

    pub fn compare_range(&mut self, relation: Relation, low: &[u8], high: &[u8]) {
        match relation {
            Relation::Is => {
                self.add_cmp(cmp::AT_LEAST, low);
                self.add_cmp(cmp::AT_MOST, high);
            }
            Relation::IsNot => self.add("range", |out| {
                out.put_be32(range::SOURCE, register::FIRST);
                out.put_be32(range::OPERATION, range::NOT_EQUAL);
                put_value(out, range::FROM, low);
                put_value(out, range::TO, high);
            }),
        }
    }

    pub fn test_membership(&mut self, set: SetReference, relation: Relation) {
        self.add("lookup", |out| {
            put_reference(out, set);
            if relation == Relation::IsNot {
                out.put_be32(lookup::FLAGS, lookup::INVERTED);
            }
        });
    }

    pub fn take_verdict_from(&mut self, map: SetReference) {
        self.add("lookup", |out| {
            put_reference(out, map);
            out.put_be32(lookup::DESTINATION, register::VERDICT);
        });
    }

    pub fn update_set(&mut self, set: &str, timeout_ms: u64) {
        self.add("dynset", |out| {
            out.put_text(dynset::SET, set);
            out.put_be32(dynset::OPERATION, dynset::UPDATE);
            out.put_be32(dynset::KEY, register::FIRST);
            if timeout_ms > 0 {
                out.put_be64(dynset::TIMEOUT_MS, timeout_ms);
            }
        });
    }

    pub fn verdict(&mut self, verdict: &Verdict) {
        self.add("immediate", |out| {
            out.put_be32(immediate::DESTINATION, register::VERDICT);
            put_verdict(out, immediate::DATA, verdict);
        });
    }

    pub fn source_nat(&mut self, family: u8, address: &[u8]) {
        self.load_value(address);
        self.numbers(
            "nat",
            &[
                (nat::KIND, nat::SOURCE),
                (nat::FAMILY, u32::from(family)),
                (nat::ADDRESS_REGISTER, register::FIRST),
            ],
        );
    }

    pub fn count(&mut self) {
        self.add("counter", |out| {
            out.put_be64(counter::BYTES, 0);
            out.put_be64(counter::PACKETS, 0);
        });
    }

    pub fn log(&mut self, prefix: &str, level: u32) {
        self.add("log", |out| {
            out.put_text(log::PREFIX, prefix);
            out.put_be32(log::LEVEL, level);
        });
    }

    /// An expression of nothing but numbers.
    fn numbers(&mut self, name: &str, numbers: &[(u16, u32)]) {
        self.add(name, |out| {
            for (kind, number) in numbers {
                out.put_be32(*kind, *number);
            }
        });
    }

    fn add_cmp(&mut self, operation: u32, value: &[u8]) {
        self.add("cmp", |out| {
            out.put_be32(cmp::SOURCE, register::FIRST);
            out.put_be32(cmp::OPERATION, operation);
            put_value(out, cmp::DATA, value);
        });
    }

    fn add(&mut self, name: &str, write: impl FnOnce(&mut Payload)) {
        self.out.nest(LIST_ITEM, |out| {
            out.put_text(expression::NAME, name);
            out.nest(expression::DATA, write);
        });
    }
}

pub fn put_verdict(out: &mut Payload, kind: u16, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Accept => (data::ACCEPT, None),
        Verdict::Return => (data::RETURN, None),
        Verdict::Jump(chain) => (data::JUMP, Some(chain)),
        Verdict::Goto(chain) => (data::GOTO, Some(chain)),
    };
    out.nest(kind, |out| {
        out.nest(data::VERDICT, |out| {
            out.put(data::VERDICT_CODE, &code.to_be_bytes());
            if let Some(chain) = chain {
                out.put_text(data::VERDICT_CHAIN, chain);
            }
        });
    });
}

pub fn put_value(out: &mut Payload, kind: u16, value: &[u8]) {
    out.nest(kind, |out| out.put(data::VALUE, value));
}

fn put_reference(out: &mut Payload, set: SetReference) {
    out.put_text(lookup::SET, set.name);
    out.put_be32(lookup::SOURCE, register::FIRST);
    if let Some(id) = set.id {
        out.put_be32(lookup::SET_ID, id);
    }
}

/// Lengths of fields: at most all registers together.
fn wire_length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
