//! The binary form of apk-tools 3, as apk-v3(5) describes it: values are words with a kind in their upper four bits,
//! and what does not fit stands before the word, once for all that are equal.

use std::collections::BTreeMap;

const HEADER: usize = 8;
const OBJECT: u32 = 0xe000_0000;
const ARRAY: u32 = 0xd000_0000;

/// Zero is a value that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value(u32);

pub struct Adb {
    bytes: Vec<u8>,
    /// Where each content stands, by alignment and content.
    places: BTreeMap<(usize, Vec<u8>), u32>,
}

impl Default for Adb {
    fn default() -> Adb {
        Adb { bytes: vec![0; HEADER], places: BTreeMap::new() }
    }
}

impl Adb {
    pub fn blob(&mut self, content: &[u8]) -> Value {
        let length = content.len();
        if length == 0 {
            return Value::default();
        }
        let (kind, size, alignment) = match length {
            0..=0xff => (0x8000_0000, vec![length as u8], 1),
            0x100..=0xffff => (0x9000_0000, (length as u16).to_le_bytes().to_vec(), 2),
            _ => (0xa000_0000, (length as u32).to_le_bytes().to_vec(), 4),
        };
        let stored = [&size, content].concat();
        Value(kind | self.store(stored, alignment))
    }

    pub fn text(&mut self, text: &str) -> Value {
        self.blob(text.as_bytes())
    }

    pub fn number(&mut self, number: u64) -> Value {
        match u32::try_from(number) {
            Ok(small) if small < 1 << 28 => Value(0x1000_0000 | small),
            Ok(middle) => Value(0x2000_0000 | self.store(middle.to_le_bytes().to_vec(), 4)),
            Err(_) => Value(0x3000_0000 | self.store(number.to_le_bytes().to_vec(), 8)),
        }
    }

    /// Fields by their number in the schema, which counts from one.
    pub fn object(&mut self, fields: &[(usize, Value)]) -> Value {
        let used = fields.iter().filter(|(_, value)| *value != Value::default());
        let last = used.map(|(number, _)| *number).max().unwrap_or(0);
        let mut words = vec![Value::default(); last];
        for (number, value) in fields {
            if let Some(word) = words.get_mut(number.wrapping_sub(1)) {
                *word = *value;
            }
        }
        self.words(OBJECT, &words)
    }

    pub fn array(&mut self, items: &[Value]) -> Value {
        self.words(ARRAY, items)
    }

    /// Where the content of a short blob stands, to fill in what is known at the end only.
    pub fn place_of_blob(&self, content: &[u8]) -> Option<usize> {
        let stored = [&[u8::try_from(content.len()).ok()?], content].concat();
        self.places.get(&(1, stored)).map(|place| *place as usize + 1)
    }

    pub fn finish(mut self, root: Value) -> Vec<u8> {
        // Version 0, and no flags.
        self.bytes.splice(4..HEADER, root.0.to_le_bytes());
        self.bytes
    }

    fn words(&mut self, kind: u32, values: &[Value]) -> Value {
        if values.is_empty() {
            return Value::default();
        }
        let count = values.len() as u32 + 1;
        let words = std::iter::once(count).chain(values.iter().map(|value| value.0));
        let stored = words.flat_map(u32::to_le_bytes).collect();
        Value(kind | self.store(stored, 4))
    }

    fn store(&mut self, content: Vec<u8>, alignment: usize) -> u32 {
        let key = (alignment, content);
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        let place = self.bytes.len() as u32;
        self.bytes.extend(&key.1);
        self.places.insert(key, place);
        place
    }
}
