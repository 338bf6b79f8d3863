//! OpenWrt's configuration format, read exactly as its own C library reads it (`uci -S`): mistakes are
//! collected with their lines and parsing goes on. Values are bytes. Also applies pending changes (the
//! delta files of /tmp/.uci and /var/state) and writes the `uci export` form. A leaf: knows nothing of mwan3.

mod delta;
mod lexer;
mod parser;

use std::borrow::Cow;
use std::fmt;

pub use delta::apply_delta;
pub use parser::parse;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub sections: Vec<Section>,
    /// What was not understood, in file order; see `parser::MOST_ERRORS`.
    pub errors: Vec<SyntaxError>,
    /// A quote never closes: everything after it is lost.
    pub is_torn: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub kind: String,
    /// Made up (`cfg` and hex digits) where the file gives none.
    pub name: String,
    pub is_anonymous: bool,
    /// None for a section that a pending change added.
    pub line: Option<u32>,
    pub options: Vec<UciOption>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UciOption {
    pub name: String,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `option`
    One(Item),
    /// `list`
    List(Vec<Item>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub bytes: Vec<u8>,
    /// None for a value that a pending change set.
    pub line: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    pub line: u32,
    pub text: String,
}

impl Package {
    /// The first of that name, as libuci looks it up. Walks the list: for many look-ups build an index.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    pub fn sections_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Section> {
        self.sections.iter().filter(move |section| section.kind == kind)
    }

    /// What `uci -n export` prints: one canonical text for every way of writing the same configuration. Types
    /// stand there without quotes, so one that needs them does not read back.
    pub fn export(&self) -> Vec<u8> {
        let mut text = format!("package {}\n", self.name).into_bytes();
        for section in &self.sections {
            text.extend(format!("\nconfig {} ", section.kind.replace('\'', "'\\''")).into_bytes());
            text.extend(quote(section.name.as_bytes()));
            text.push(b'\n');
            for option in &section.options {
                let keyword = match option.value {
                    Value::One(_) => "option",
                    Value::List(_) => "list",
                };
                for item in option.value.items() {
                    text.extend(format!("\t{keyword} {} ", option.name).into_bytes());
                    text.extend(quote(&item.bytes));
                    text.push(b'\n');
                }
            }
        }
        text.push(b'\n');
        text
    }
}

impl Section {
    pub fn option(&self, name: &str) -> Option<&UciOption> {
        self.options.iter().find(|option| option.name == name)
    }

    /// The text of an option, None where it is missing or empty.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.option(name).map(|option| option.value.text()).filter(|text| !text.is_empty())
    }
}

impl Value {
    pub fn items(&self) -> &[Item] {
        match self {
            Value::One(item) => std::slice::from_ref(item),
            Value::List(items) => items,
        }
    }

    /// As one text; the items of a list are joined by blanks, as the shell's `config_get` does.
    pub fn text(&self) -> Cow<'_, str> {
        match self.items() {
            [item] => item.text(),
            items => Cow::Owned(items.iter().map(Item::text).collect::<Vec<_>>().join(" ")),
        }
    }

    pub fn line(&self) -> Option<u32> {
        self.items().first().and_then(|item| item.line)
    }
}

impl Item {
    /// The bytes as text; what is not UTF-8 is shown as U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

/// The value between single quotes, so that it is read back unchanged whatever it holds (but NUL, which the
/// format cannot carry).
pub fn quote(value: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in value {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// Letters, digits and `_`: what section and option names may hold. Package names may also hold `-`.
fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn is_package_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_kind(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_graphic)
}
