//! One section while it is read: hands out the values of its options with defaults and ranges from the
//! table, and notes what is wrong with them. Every option read here must be in the table.

use std::borrow::Cow;

use crate::uci::{Item, Section};

use super::options::{self, DefaultValue, OptionSpec, SectionKind, ValueType};
use super::problem::{Problem, Severity};
use super::value::{self, Parsed};

pub(super) struct Fields<'a> {
    pub section: &'a Section,
    kind: SectionKind,
    file: &'a str,
    problems: &'a mut Vec<Problem>,
}

/// One of the values of a list.
pub(super) struct ListItem<'a> {
    pub text: Cow<'a, str>,
    pub line: Option<u32>,
}

impl<'a> Fields<'a> {
    pub fn new(
        section: &'a Section,
        kind: SectionKind,
        file: &'a str,
        problems: &'a mut Vec<Problem>,
    ) -> Fields<'a> {
        let mut fields = Fields { section, kind, file, problems };
        fields.report_unknown_options();
        fields
    }

    pub fn name(&self) -> String {
        self.section.name.clone()
    }

    pub fn boolean(&mut self, option: &str) -> bool {
        self.value(option, value::boolean, |yes| if *yes { "yes" } else { "no" }.to_owned())
    }

    pub fn number(&mut self, option: &str) -> u32 {
        let ValueType::Number { min, max, unit } = spec(self.kind, option).value else {
            unreachable!("{option} is a number in the table");
        };
        let show = |number: &u32| format!("{number} {unit}").trim_end().to_owned();
        self.value(option, |text| value::number(text, min, max), show)
    }

    pub fn duration_ms(&mut self, option: &str) -> u32 {
        let ValueType::Duration { min_ms, max_ms } = spec(self.kind, option).value else {
            unreachable!("{option} is a duration in the table");
        };
        let parse = |text: &str| value::duration_ms(text, min_ms, max_ms);
        self.value(option, parse, |ms| value::duration_text(*ms))
    }

    pub fn choice(&mut self, option: &str) -> &'static str {
        let choices = choices(spec(self.kind, option));
        self.value(option, |text| value::choice(text, choices), |choice| (*choice).to_owned())
    }

    /// The value of an option that has a default, or the default.
    pub fn value<T>(
        &mut self,
        option: &str,
        parse: impl Fn(&str) -> Parsed<T>,
        show: impl Fn(&T) -> String,
    ) -> T {
        let spec = spec(self.kind, option);
        let default = || {
            self.written_instead(spec, &parse)
                .or_else(|| parse(default_text(spec)).ok())
                .expect("the defaults in the table are valid, as a test proves")
        };
        let Some(text) = self.text(option) else { return default() };
        match parse(&text) {
            Ok(value) => value,
            Err(reason) => {
                let value = default();
                let problem = self.problem(Severity::Error, option, reason);
                self.problems.push(problem.with_value(&text).using(show(&value)));
                value
            }
        }
    }

    /// What is written for the option whose value this one takes over, or for the one that takes over.
    fn written_instead<T>(&self, spec: &OptionSpec, parse: &impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let DefaultValue::SameAs(other) = spec.default else { return None };
        let written = self.text(other).and_then(|text| parse(&text).ok());
        written.or_else(|| self.written_instead(super::options::find(self.kind, other)?, parse))
    }

    /// The value of an option without default; a bad one is left out.
    pub fn optional<T>(&mut self, option: &str, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let text = self.text(option)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(reason) => {
                let problem = self.problem(Severity::Error, option, format!("{reason}; left out"));
                self.problems.push(problem.with_value(&text));
                None
            }
        }
    }

    /// The text of an option, None where it is missing or empty.
    pub fn text(&self, option: &str) -> Option<Cow<'a, str>> {
        let text = match self.section.text(option)? {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        };
        (!text.is_empty()).then_some(text)
    }

    /// The values of a list that parse; others are left out. Cut at commas where the option allows them.
    pub fn list<T>(&mut self, option: &str, parse: impl Fn(&str) -> Parsed<T>) -> Vec<T> {
        let mut values = Vec::new();
        for item in self.items(option) {
            match parse(&item.text) {
                Ok(value) => values.push(value),
                Err(reason) => {
                    self.report_item(Severity::Error, option, &item, format!("{reason}; left out"))
                }
            }
        }
        // Mostly one of them, of a thousand sections; room for four was made.
        values.shrink_to_fit();
        values
    }

    pub fn items(&self, option: &str) -> Vec<ListItem<'a>> {
        let separators: &[char] = match spec(self.kind, option).value {
            ValueType::Addresses | ValueType::Ports => &[','],
            _ => &[' ', '\t', '\n', '\r'],
        };
        let items = self.section.option(option).map(|option| option.value.items()).unwrap_or_default();
        items.iter().flat_map(|item| pieces(item, separators)).collect()
    }

    pub fn has(&self, option: &str) -> bool {
        self.text(option).is_some()
    }

    pub fn report_item(
        &mut self,
        severity: Severity,
        option: &str,
        item: &ListItem<'_>,
        text: impl Into<String>,
    ) {
        let problem = Problem::of_section(severity, self.file, self.section, text);
        self.problems.push(problem.with_option(option, item.line).with_value(&item.text));
    }

    /// About an option and its whole value.
    pub fn report(&mut self, severity: Severity, option: &str, text: impl Into<String>) {
        let problem = self.problem(severity, option, text.into());
        self.problems.push(match self.text(option) {
            Some(value) => problem.with_value(&value),
            None => problem,
        });
    }

    pub fn report_section(&mut self, severity: Severity, text: impl Into<String>) {
        self.problems.push(Problem::of_section(severity, self.file, self.section, text));
    }

    fn problem(&self, severity: Severity, option: &str, text: String) -> Problem {
        let line = match self.section.option(option) {
            Some(option) => option.value.line(),
            None => self.section.line,
        };
        Problem::of_section(severity, self.file, self.section, text).with_option(option, line)
    }

    fn report_unknown_options(&mut self) {
        for option in &self.section.options {
            let name = &*option.name;
            if options::find(self.kind, name).is_some() || options::was_removed(self.kind, name) {
                continue;
            }
            let text = match options::closest(self.kind, name) {
                Some(known) => format!("unknown option, left out; did you mean {known}?"),
                None => format!("unknown option of a section of type {}, left out", self.kind.name()),
            };
            self.problems.push(
                Problem::of_section(Severity::Warning, self.file, self.section, text)
                    .with_option(&super::problem::shown(name), option.value.line()),
            );
        }
    }
}

fn pieces<'a>(item: &'a Item, separators: &'static [char]) -> impl Iterator<Item = ListItem<'a>> {
    let texts: Vec<Cow<'a, str>> = match item.text() {
        Cow::Borrowed(text) => cut(text, separators).map(Cow::Borrowed).collect(),
        Cow::Owned(text) => cut(&text, separators).map(|piece| Cow::Owned(piece.to_owned())).collect(),
    };
    texts.into_iter().map(|text| ListItem { text, line: item.line })
}

fn cut<'a>(text: &'a str, separators: &'static [char]) -> impl Iterator<Item = &'a str> {
    text.split(separators).map(str::trim).filter(|piece| !piece.is_empty())
}

fn spec(kind: SectionKind, option: &str) -> &'static OptionSpec {
    options::find(kind, option).expect("the reader asks for options of the table only, as a test proves")
}

fn choices(spec: &OptionSpec) -> &'static [&'static str] {
    match spec.value {
        ValueType::Choice { choices } | ValueType::PolicyOr { choices } => choices,
        _ => unreachable!("{} is a choice in the table", spec.name),
    }
}

fn default_text(spec: &OptionSpec) -> &'static str {
    match spec.default {
        DefaultValue::Value(text) => text,
        DefaultValue::SameAs(other) => options::find(spec.section, other).map_or("", default_text),
        DefaultValue::None | DefaultValue::Required => "",
    }
}
