//! Reads JSON as RFC 8259 has it. What is nested deeper than anybody nests it is refused, so that no input
//! can exhaust the stack.

use std::fmt;

use crate::json::{Json, Object};

const DEEPEST: u32 = 127;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    line: usize,
    column: usize,
    /// The text ended where more was expected.
    pub is_unfinished: bool,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_unfinished { "JSON that ends too early" } else { "not JSON" };
        write!(f, "{what}, at line {} column {}", self.line, self.column)
    }
}

impl std::error::Error for Mistake {}

pub fn read(text: &str) -> Result<Json, Mistake> {
    let mut reader = Reader { text, place: 0 };
    let value = reader.value(DEEPEST);
    reader.skip_space();
    match value {
        Some(value) if reader.place == text.len() => Ok(value),
        _ => Err(reader.mistake()),
    }
}

/// Its functions give nothing where the text is wrong, and stand there then.
struct Reader<'a> {
    text: &'a str,
    place: usize,
}

impl Reader<'_> {
    fn mistake(&self) -> Mistake {
        let before = self.text.get(..self.place).unwrap_or_default();
        Mistake {
            line: before.matches('\n').count() + 1,
            column: before.len() - before.rfind('\n').map_or(0, |end| end + 1) + 1,
            is_unfinished: self.place == self.text.len(),
        }
    }

    fn value(&mut self, depth_left: u32) -> Option<Json> {
        self.skip_space();
        match self.peek()? {
            b'{' => self.object(depth_left.checked_sub(1)?),
            b'[' => self.array(depth_left.checked_sub(1)?),
            b'"' => Some(Json::Text(self.string()?)),
            b'-' | b'0'..=b'9' => self.number(),
            b'n' => self.word("null", Json::Null),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            _ => None,
        }
    }

    fn object(&mut self, depth_left: u32) -> Option<Json> {
        let mut object = Object::new();
        self.place += 1;
        self.skip_space();
        if self.take(b'}') {
            return Some(Json::Object(object));
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            self.demand(b':')?;
            object.add(name, self.value(depth_left)?);
            self.skip_space();
            if self.take(b'}') {
                return Some(Json::Object(object));
            }
            self.demand(b',')?;
        }
    }

    fn array(&mut self, depth_left: u32) -> Option<Json> {
        let mut items = Vec::new();
        self.place += 1;
        self.skip_space();
        if self.take(b']') {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(depth_left)?);
            self.skip_space();
            if self.take(b']') {
                return Some(Json::Array(items));
            }
            self.demand(b',')?;
        }
    }

    fn string(&mut self) -> Option<String> {
        self.demand(b'"')?;
        let mut string = String::new();
        loop {
            let start = self.place;
            while !matches!(self.peek()?, b'"' | b'\\' | 0..=0x1f) {
                self.place += 1;
            }
            string.push_str(self.text.get(start..self.place)?);
            if self.take(b'"') {
                return Some(string);
            }
            self.demand(b'\\')?;
            string.push(self.escaped()?);
        }
    }

    fn escaped(&mut self) -> Option<char> {
        let character = match self.peek()? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.numbered_character(),
            same @ (b'"' | b'\\' | b'/') => char::from(same),
            _ => return None,
        };
        self.place += 1;
        Some(character)
    }

    /// Characters past the first 65,536 are written as two halves.
    fn numbered_character(&mut self) -> Option<char> {
        self.place += 1;
        let first = self.four_digits()?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first);
        }
        self.demand(b'\\')?;
        self.demand(b'u')?;
        let second = self.four_digits()?.checked_sub(0xdc00).filter(|half| *half < 0x400)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + second)
    }

    fn four_digits(&mut self) -> Option<u32> {
        let mut number = 0;
        for _ in 0..4 {
            number = number << 4 | char::from(self.peek()?).to_digit(16)?;
            self.place += 1;
        }
        Some(number)
    }

    fn number(&mut self) -> Option<Json> {
        let start = self.place;
        self.take(b'-');
        // No zeros in front.
        if !self.take(b'0') {
            self.digits()?;
        }
        let mut is_whole = true;
        if self.take(b'.') {
            is_whole = false;
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            is_whole = false;
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let digits = self.text.get(start..self.place)?;
        // Not as i64: everybody else reads without a sign.
        let whole = match digits.strip_prefix('-') {
            _ if !is_whole => None,
            Some(rest) => rest.parse::<u64>().ok().and_then(|rest| 0_i64.checked_sub_unsigned(rest)),
            None => digits.parse::<u64>().ok().and_then(|number| i64::try_from(number).ok()),
        };
        Some(whole.map_or_else(|| Json::Decimal(digits.to_owned()), Json::Number))
    }

    /// At least one.
    fn digits(&mut self) -> Option<()> {
        let start = self.place;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.place += 1;
        }
        (self.place > start).then_some(())
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        for byte in word.bytes() {
            self.demand(byte)?;
        }
        Some(value)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.place += 1;
        }
    }

    fn demand(&mut self, byte: u8) -> Option<()> {
        self.take(byte).then_some(())
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        if is_there {
            self.place += 1;
        }
        is_there
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.place).copied()
    }
}
