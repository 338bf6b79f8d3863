//! JSON as text: on one line by Display, or laid out for people.

use std::fmt::{self, Write};

use crate::json::Json;

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_value(self, f, None)
    }
}

pub(super) fn pretty(value: &Json) -> String {
    let mut text = String::new();
    // Writing into a text cannot fail.
    let _ = write_value(value, &mut text, Some(0));
    text
}

/// The depth is how far lines are indented, if there are lines.
fn write_value(value: &Json, out: &mut dyn Write, depth: Option<usize>) -> fmt::Result {
    let inner = depth.map(|depth| depth + 1);
    match value {
        Json::Null => out.write_str("null"),
        Json::Bool(true) => out.write_str("true"),
        Json::Bool(false) => out.write_str("false"),
        Json::Number(number) => write!(out, "{number}"),
        Json::Decimal(digits) => out.write_str(digits),
        Json::Text(text) => write_text(text, out),
        Json::Array(items) => {
            out.write_char('[')?;
            for (position, item) in items.iter().enumerate() {
                separate(out, position, inner)?;
                write_value(item, out, inner)?;
            }
            end(out, items.is_empty(), depth)?;
            out.write_char(']')
        }
        Json::Object(object) => {
            out.write_char('{')?;
            for (position, (name, member)) in object.members.iter().enumerate() {
                separate(out, position, inner)?;
                write_text(name, out)?;
                out.write_str(if depth.is_some() { ": " } else { ":" })?;
                write_value(member, out, inner)?;
            }
            end(out, object.members.is_empty(), depth)?;
            out.write_char('}')
        }
    }
}

fn separate(out: &mut dyn Write, position: usize, depth: Option<usize>) -> fmt::Result {
    if position > 0 {
        out.write_char(',')?;
    }
    break_line(out, depth)
}

fn end(out: &mut dyn Write, is_empty: bool, depth: Option<usize>) -> fmt::Result {
    if is_empty { Ok(()) } else { break_line(out, depth) }
}

fn break_line(out: &mut dyn Write, depth: Option<usize>) -> fmt::Result {
    let Some(depth) = depth else { return Ok(()) };
    out.write_char('\n')?;
    for _ in 0..depth {
        out.write_str("  ")?;
    }
    Ok(())
}

fn write_text(text: &str, out: &mut dyn Write) -> fmt::Result {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\u{8}' => out.write_str("\\b")?,
            '\u{c}' => out.write_str("\\f")?,
            '\0'..='\u{1f}' => write!(out, "\\u{:04x}", character as u32)?,
            _ => out.write_char(character)?,
        }
    }
    out.write_char('"')
}
