//! Blobs, the attributes ubus messages are made of, and blobmsg, the typed tables inside them. Bytes in,
//! values out, without any I/O. Values are JSON, because both ends want that: netifd's dump is read as JSON
//! and our own replies are. What JSON cannot say is lost: INT8 is taken as a boolean (ubus has no other),
//! the integer widths are one, infinities are null and table keys come back sorted.

use std::fmt;

use serde_json::{Map, Number, Value};

/// ubusd's own limit for one message.
pub const LONGEST_MESSAGE: usize = 1 << 20;
/// netifd nests six deep; more than this is an attack on our stack.
pub const DEEPEST_NESTING: usize = 32;

const HEADER_LENGTH: usize = 4;
const EXTENDED: u32 = 1 << 31;
const LENGTH_MASK: u32 = 0x00ff_ffff;

/// The types of blobmsg fields.
mod kind {
    pub const UNSPECIFIED: u8 = 0;
    pub const ARRAY: u8 = 1;
    pub const TABLE: u8 = 2;
    pub const STRING: u8 = 3;
    pub const INT64: u8 = 4;
    pub const INT32: u8 = 5;
    pub const INT16: u8 = 6;
    pub const INT8: u8 = 7;
    pub const DOUBLE: u8 = 8;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobError {
    Malformed(&'static str),
    TooDeep,
    TooLong,
}

impl fmt::Display for BlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlobError::Malformed(what) => write!(f, "malformed message: {what}"),
            BlobError::TooDeep => write!(f, "nested deeper than {DEEPEST_NESTING} levels"),
            BlobError::TooLong => f.write_str("longer than 1 MiB"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    pub id: u8,
    /// The payload starts with a name: this is a blobmsg field.
    pub is_field: bool,
    pub payload: &'a [u8],
}

/// Iterates over attributes laid end to end; ends after the first malformed one.
pub struct Attributes<'a> {
    rest: &'a [u8],
}

pub fn attributes(bytes: &[u8]) -> Attributes<'_> {
    Attributes { rest: bytes }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, BlobError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = split_attribute(self.rest);
        self.rest = taken.map_or(&[], |(_, rest)| rest);
        Some(taken.map(|(attribute, _)| attribute))
    }
}

fn split_attribute(bytes: &[u8]) -> Result<(Attribute<'_>, &[u8]), BlobError> {
    let header = bytes.first_chunk().ok_or(BlobError::Malformed("an attribute's header is cut off"))?;
    let header = u32::from_be_bytes(*header);
    let length = length_in_header(header);
    let payload =
        bytes.get(HEADER_LENGTH..length).ok_or(BlobError::Malformed("an attribute has a wrong length"))?;
    let rest = bytes.get(padded(length)..).unwrap_or(&[]);
    let id = (header >> 24) as u8 & 0x7f;
    Ok((Attribute { id, is_field: header & EXTENDED != 0, payload }, rest))
}

/// How long the attribute with this header is, the header included, the padding not.
pub fn length_in_header(header: u32) -> usize {
    (header & LENGTH_MASK) as usize
}

pub fn push_attribute(out: &mut Vec<u8>, id: u8, payload: &[u8]) -> Result<(), BlobError> {
    let start = open(out);
    out.extend_from_slice(payload);
    close(out, start, u32::from(id) << 24)
}

/// A string attribute, with the NUL that C expects.
pub fn push_text(out: &mut Vec<u8>, id: u8, text: &str) -> Result<(), BlobError> {
    let start = open(out);
    out.extend_from_slice(text.as_bytes());
    out.push(0);
    close(out, start, u32::from(id) << 24)
}

/// The fields of a table, without a header around them; null is the empty table.
pub fn encode_table(table: &Value) -> Result<Vec<u8>, BlobError> {
    let mut out = Vec::new();
    match table {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                push_field(&mut out, name, value, 0)?;
            }
        }
        _ => return Err(BlobError::Malformed("not a table")),
    }
    Ok(out)
}

fn push_field(out: &mut Vec<u8>, name: &str, value: &Value, depth: usize) -> Result<(), BlobError> {
    if depth > DEEPEST_NESTING {
        return Err(BlobError::TooDeep);
    }
    let start = open(out);
    let name_length = u16::try_from(name.len()).map_err(|_| BlobError::TooLong)?;
    out.extend_from_slice(&name_length.to_be_bytes());
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    pad(out);
    let kind = match value {
        Value::Null => kind::UNSPECIFIED,
        Value::Bool(flag) => {
            out.push(u8::from(*flag));
            kind::INT8
        }
        Value::Number(number) => push_number(out, number),
        Value::String(text) => {
            out.extend_from_slice(text.as_bytes());
            out.push(0);
            kind::STRING
        }
        Value::Array(items) => {
            for item in items {
                push_field(out, "", item, depth + 1)?;
            }
            kind::ARRAY
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                push_field(out, name, value, depth + 1)?;
            }
            kind::TABLE
        }
    };
    close(out, start, u32::from(kind) << 24 | EXTENDED)
}

/// The narrower integer where it fits: methods check their arguments' types, and ask for INT32.
fn push_number(out: &mut Vec<u8>, number: &Number) -> u8 {
    match number.as_i64() {
        Some(integer) => match i32::try_from(integer) {
            Ok(small) => {
                out.extend_from_slice(&small.to_be_bytes());
                kind::INT32
            }
            Err(_) => {
                out.extend_from_slice(&integer.to_be_bytes());
                kind::INT64
            }
        },
        None => {
            let real = number.as_f64().unwrap_or_default();
            out.extend_from_slice(&real.to_be_bytes());
            kind::DOUBLE
        }
    }
}

pub fn decode_table(bytes: &[u8]) -> Result<Value, BlobError> {
    decode_fields(bytes, 0).map(Value::Object)
}

fn decode_fields(bytes: &[u8], depth: usize) -> Result<Map<String, Value>, BlobError> {
    attributes(bytes).map(|attribute| decode_field(attribute?, depth)).collect()
}

fn decode_items(bytes: &[u8], depth: usize) -> Result<Vec<Value>, BlobError> {
    attributes(bytes).map(|attribute| Ok(decode_field(attribute?, depth)?.1)).collect()
}

fn decode_field(field: Attribute<'_>, depth: usize) -> Result<(String, Value), BlobError> {
    if depth > DEEPEST_NESTING {
        return Err(BlobError::TooDeep);
    }
    if !field.is_field {
        return Err(BlobError::Malformed("a field has no name"));
    }
    let (name, data) = split_name(field.payload).ok_or(BlobError::Malformed("a field's name is cut off"))?;
    let value = match field.id {
        kind::ARRAY => Value::Array(decode_items(data, depth + 1)?),
        kind::TABLE => Value::Object(decode_fields(data, depth + 1)?),
        kind::STRING => Value::String(c_text(data)),
        kind::INT64 => i64::from_be_bytes(leading(data)?).into(),
        kind::INT32 => i32::from_be_bytes(leading(data)?).into(),
        kind::INT16 => i16::from_be_bytes(leading(data)?).into(),
        kind::INT8 => Value::Bool(leading::<1>(data)? != [0]),
        kind::DOUBLE => f64::from_be_bytes(leading(data)?).into(),
        _ => Value::Null,
    };
    Ok((c_text(name), value))
}

/// The name, and the value behind its NUL and padding.
fn split_name(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, text) = payload.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let name = text.get(..length)?;
    let data = payload.get(padded(2 + length + 1)..)?;
    Some((name, data))
}

/// Up to the first NUL, as the C side reads it.
pub fn c_text(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn leading<const N: usize>(data: &[u8]) -> Result<[u8; N], BlobError> {
    data.first_chunk().copied().ok_or(BlobError::Malformed("a number is cut off"))
}

fn open(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LENGTH]);
    start
}

/// Writes the header that `open` left room for. Children are padded inside their parent, so the limit on
/// every attribute keeps a message from growing past it unnoticed.
fn close(out: &mut Vec<u8>, start: usize, id_bits: u32) -> Result<(), BlobError> {
    let length = out.len() - start;
    if length > LONGEST_MESSAGE {
        return Err(BlobError::TooLong);
    }
    let header = (id_bits | length as u32).to_be_bytes();
    if let Some(room) = out.get_mut(start..).and_then(|attribute| attribute.first_chunk_mut()) {
        *room = header;
    }
    pad(out);
    Ok(())
}

fn pad(out: &mut Vec<u8>) {
    out.resize(padded(out.len()), 0);
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}
