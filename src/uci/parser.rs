//! From text to sections. Non-strict, as OpenWrt's shell scripts load configurations: a line with a mistake
//! is reported and left out. The time is linear in the text: sections and options are found by an index.

use crate::sorted::SortedMap;

use super::lexer::{Command, Lexer, UnterminatedQuote};
use super::{Item, Package, Section, SyntaxError, UciOption, Value};

/// A file that is no configuration at all must not fill the memory with its errors.
pub(super) const MOST_ERRORS: usize = 100;

/// The longest piece of the file that an error message repeats.
const LONGEST_SHOWN: usize = 60;

pub fn parse(name: &str, text: &[u8]) -> Package {
    let mut parser = Parser::new(name, text);
    while parser.lexer.next_line() {
        if let Err(error) = parser.read_line() {
            parser.report(error);
        }
        if parser.lexer.take_cut_by_nul() {
            let line = parser.lexer.line();
            parser
                .report(SyntaxError { line, text: "NUL byte: the rest of the line is left out".to_owned() });
        }
    }
    parser.package
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    package: Package,
    current_section: Option<usize>,
    sections_by_name: SortedMap<String, usize>,
    /// By section and name.
    options_by_name: SortedMap<(usize, String), usize>,
}

#[derive(Clone, Copy)]
enum Setting {
    Option,
    List,
}

impl<'a> Parser<'a> {
    fn new(name: &str, text: &'a [u8]) -> Parser<'a> {
        Parser {
            lexer: Lexer::new(text),
            package: Package { name: name.to_owned(), ..Package::default() },
            current_section: None,
            sections_by_name: SortedMap::new(),
            options_by_name: SortedMap::new(),
        }
    }

    /// One line may hold several commands.
    fn read_line(&mut self) -> Result<(), SyntaxError> {
        self.lexer.skip_space();
        while let Some(Command { word, ends_line }) = self.lexer.command() {
            let keyword = match word {
                [b'#', ..] => return Ok(()),
                b"package" | b"p" => "package",
                b"config" | b"c" => "config",
                b"option" | b"o" => "option",
                b"list" | b"l" => "list",
                other => return Err(self.error(format!("unknown keyword '{}'", shown(other)))),
            };
            if ends_line {
                return Err(self.error(format!("'{keyword}' without a name")));
            }
            match keyword {
                "package" => self.read_package()?,
                "config" => self.read_section()?,
                "option" => self.read_setting(Setting::Option)?,
                _ => self.read_setting(Setting::List)?,
            }
        }
        Ok(())
    }

    /// The name of the file counts, not what stands in it.
    fn read_package(&mut self) -> Result<(), SyntaxError> {
        let name = self.required_argument("package")?;
        if !super::is_package_name(&name) {
            return Err(self.error(format!("package name '{}' holds a character it may not", shown(&name))));
        }
        self.end_command()
    }

    fn read_section(&mut self) -> Result<(), SyntaxError> {
        let line = self.lexer.line();
        let kind = self.required_argument("config")?;
        if !super::is_kind(&kind) {
            return Err(self.error(format!(
                "section type '{}' holds a character it may not; {}",
                shown(&kind),
                self.where_options_go()
            )));
        }
        let name = self.argument()?;
        if !name.is_empty() && !super::is_name(&name) {
            return Err(self.error(format!(
                "section name '{}' may only hold letters, digits and '_'; {}",
                shown(&name),
                self.where_options_go()
            )));
        }
        self.end_command()?;
        let (kind, name) = (into_text(kind), into_text(name));
        match self.sections_by_name.get(&name).copied() {
            Some(known) => self.continue_section(known, kind, line),
            None => self.open_section(kind, name, line),
        }
        Ok(())
    }

    fn open_section(&mut self, kind: String, name: String, line: u32) {
        let index = self.package.sections.len();
        let is_anonymous = name.is_empty();
        let name = if is_anonymous { made_up_name(index, &kind) } else { name };
        // A name someone wrote may already be the one we make up: the first is found, as in libuci.
        self.sections_by_name.or_insert(name.clone(), index);
        let section = Section { kind, name, is_anonymous, line: Some(line), options: Vec::new() };
        self.package.sections.push(section);
        self.current_section = Some(index);
    }

    fn continue_section(&mut self, index: usize, kind: String, line: u32) {
        self.current_section = Some(index);
        let Some(section) = self.package.sections.get_mut(index) else { return };
        if section.kind == kind {
            return;
        }
        let text = format!(
            "section '{}' is already of type {} (line {}); UCI has one section of a name and makes it type {}",
            section.name,
            shown(section.kind.as_bytes()),
            section.line.unwrap_or(0),
            shown(kind.as_bytes())
        );
        section.kind = kind;
        self.report(SyntaxError { line, text });
    }

    fn read_setting(&mut self, setting: Setting) -> Result<(), SyntaxError> {
        let line = self.lexer.line();
        let Some(section) = self.current_section else {
            return Err(self.error("an option before the first section".to_owned()));
        };
        let name = self.required_argument("option")?;
        if !super::is_name(&name) {
            return Err(
                self.error(format!("option name '{}' may only hold letters, digits and '_'", shown(&name)))
            );
        }
        let bytes = self.argument()?;
        self.end_command()?;
        self.set(section, into_text(name), Item { bytes, line: Some(line) }, setting);
        Ok(())
    }

    fn set(&mut self, section: usize, name: String, item: Item, setting: Setting) {
        let is_empty = item.bytes.is_empty();
        let Some(Section { options, .. }) = self.package.sections.get_mut(section) else { return };
        // `option x ''` sets nothing, but `list x ''` is an empty item.
        if is_empty && matches!(setting, Setting::Option) {
            return;
        }
        let place = *self.options_by_name.or_insert((section, name.clone()), options.len());
        let known = options.get_mut(place);
        match (known, setting) {
            (Some(known), Setting::Option) => known.value = Value::One(item),
            (Some(known), Setting::List) => known.value.push(item),
            (None, Setting::Option) => options.push(UciOption { name, value: Value::One(item) }),
            (None, Setting::List) => options.push(UciOption { name, value: Value::List(vec![item]) }),
        }
    }

    fn required_argument(&mut self, keyword: &str) -> Result<Vec<u8>, SyntaxError> {
        let argument = self.argument()?;
        if argument.is_empty() {
            Err(self.error(format!("'{keyword}' without a name")))
        } else {
            Ok(argument)
        }
    }

    fn argument(&mut self) -> Result<Vec<u8>, SyntaxError> {
        self.lexer.argument().map_err(|UnterminatedQuote { line }| {
            self.package.is_torn = true;
            let text = "this line opens a quote that never closes; everything after it is lost".to_owned();
            SyntaxError { line, text }
        })
    }

    /// libuci swallows one word too many without a sound and takes the next for a command.
    fn end_command(&mut self) -> Result<(), SyntaxError> {
        let line = self.lexer.line();
        let extra = self.argument()?;
        if !extra.is_empty() {
            let text = format!("'{}' is one word too many and left out; are quotes missing?", shown(&extra));
            self.report(SyntaxError { line, text });
        }
        Ok(())
    }

    fn where_options_go(&self) -> String {
        match self.current_section.and_then(|index| self.package.sections.get(index)) {
            Some(section) => {
                format!("UCI leaves this line out, so its options go to section '{}'", section.name)
            }
            None => "UCI leaves this line and its options out".to_owned(),
        }
    }

    fn error(&self, text: String) -> SyntaxError {
        SyntaxError { line: self.lexer.line(), text }
    }

    fn report(&mut self, error: SyntaxError) {
        let errors = &mut self.package.errors;
        if errors.len() + 1 < MOST_ERRORS {
            errors.push(error);
        } else if errors.len() < MOST_ERRORS {
            errors.push(SyntaxError { line: error.line, text: "more mistakes follow".to_owned() });
        }
    }
}

impl Value {
    /// Adding to a single value makes it a list.
    pub(super) fn push(&mut self, item: Item) {
        match self {
            Value::List(items) => items.push(item),
            Value::One(first) => {
                let first = Item { bytes: std::mem::take(&mut first.bytes), line: first.line };
                *self = Value::List(vec![first, item]);
            }
        }
    }
}

/// The name libuci gives the section: its number, and a hash (D. J. Bernstein's) of its type.
fn made_up_name(index: usize, kind: &str) -> String {
    let hash = kind.bytes().fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(byte)));
    format!("cfg{:02x}{:04x}", index.saturating_add(1), hash & 0xffff)
}

/// Names have been checked to be ASCII.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

/// A piece of the file as a message may repeat it: printable, short.
fn shown(bytes: &[u8]) -> String {
    let text =
        String::from_utf8_lossy(bytes.get(..LONGEST_SHOWN).unwrap_or(bytes)).escape_debug().to_string();
    if bytes.len() > LONGEST_SHOWN { format!("{text}…") } else { text }
}
