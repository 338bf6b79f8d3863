//! One section while it is read: hands out the values of its options with defaults and ranges from the
//! table, and notes what is wrong with them. Every option read here must be in the table.

use crate::uci::Section;

use super::options::{self, DefaultValue, OptionSpec, SectionKind, ValueType};
use super::problem::{Problem, Severity, shown};
use super::value::{self, Parsed};

/// What goes with most values that are bad.
pub(super) const LEFT_OUT: &str = "; left out";

pub(super) struct Fields<'a> {
    pub section: &'a Section,
    kind: SectionKind,
    file: &'a str,
    problems: &'a mut Vec<Problem>,
}

/// One of the values of a list.
pub(super) struct ListItem {
    pub text: String,
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
        self.value(option, &value::boolean, &|yes| if *yes { "yes" } else { "no" }.to_owned())
    }

    pub fn number(&mut self, option: &str) -> u32 {
        let ValueType::Number { min, max, unit } = spec(self.kind, option).value else {
            unreachable!("{option} is a number in the table");
        };
        let show = |number: &u32| format!("{number} {unit}").trim_end().to_owned();
        self.value(option, &|text| value::number(text, min, max), &show)
    }

    pub fn duration_ms(&mut self, option: &str) -> u32 {
        let ValueType::Duration { min_ms, max_ms } = spec(self.kind, option).value else {
            unreachable!("{option} is a duration in the table");
        };
        let parse = |text: &str| value::duration_ms(text, min_ms, max_ms);
        self.value(option, &parse, &|ms| value::duration_text(*ms))
    }

    pub fn choice(&mut self, option: &str) -> &'static str {
        let choices = choices(spec(self.kind, option));
        self.value(option, &|text| value::choice(text, choices), &|choice| (*choice).to_owned())
    }

    /// The value of an option that has a default, or the default.
    pub fn value<T>(
        &mut self,
        option: &str,
        parse: &dyn Fn(&str) -> Parsed<T>,
        show: &dyn Fn(&T) -> String,
    ) -> T {
        let mut found = None;
        let is_used_instead = self.offer_with_defaults(option, &mut |text| {
            found = Some(parse(text)?);
            Ok(())
        });
        let value = found.expect("the defaults in the table are valid, as a test proves");
        if let (true, Some(problem)) = (is_used_instead, self.problems.last_mut()) {
            problem.used = Some(show(&value));
        }
        value
    }

    /// The value of an option without default. With a bad one goes what `consequence` says.
    pub fn optional<T>(
        &mut self,
        option: &str,
        consequence: &str,
        parse: &dyn Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        let mut found = None;
        self.offer(option, consequence, &mut |text| {
            found = Some(parse(text)?);
            Ok(())
        });
        found
    }

    /// The values of a list that parse; others are left out. Cut at commas where the option allows them.
    pub fn list<T>(&mut self, option: &str, parse: &dyn Fn(&str) -> Parsed<T>) -> Vec<T> {
        let mut values = Vec::new();
        self.offer_items(option, &mut |text| {
            values.push(parse(text)?);
            Ok(())
        });
        // Mostly one of them, of a thousand sections; room for four was made.
        values.shrink_to_fit();
        values
    }

    /// Offers what is written, and what stands in for it, until something is taken. Whether what is written
    /// was refused; that is reported.
    fn offer_with_defaults(&mut self, option: &str, take: &mut dyn FnMut(&str) -> Parsed<()>) -> bool {
        let was_taken = self.offer(option, "", take);
        if was_taken == Some(true) {
            return false;
        }
        let mut spec = spec(self.kind, option);
        // What is written for the option whose value this one takes over, or for the one that takes over.
        while let DefaultValue::SameAs(other) = spec.default {
            if self.text(other).is_some_and(|text| take(&text).is_ok()) {
                return was_taken.is_some();
            }
            spec = self::spec(self.kind, other);
        }
        // None of the table's defaults is refused, as a test proves.
        let _ = take(match spec.default {
            DefaultValue::Value(text) => text,
            _ => "",
        });
        was_taken.is_some()
    }

    /// Whether the text of the option was taken; None where there is none. A refusal is reported.
    fn offer(
        &mut self,
        option: &str,
        consequence: &str,
        take: &mut dyn FnMut(&str) -> Parsed<()>,
    ) -> Option<bool> {
        let text = self.text(option)?;
        let refusal = take(&text).err();
        if let Some(reason) = &refusal {
            self.report(Severity::Error, option, &format!("{reason}{consequence}"));
        }
        Some(refusal.is_none())
    }

    fn offer_items(&mut self, option: &str, take: &mut dyn FnMut(&str) -> Parsed<()>) {
        for item in &self.items(option) {
            if let Err(reason) = take(&item.text) {
                self.report_item(Severity::Error, option, item, &format!("{reason}{LEFT_OUT}"));
            }
        }
    }

    /// The text of an option, None where it is missing or empty.
    pub fn text(&self, option: &str) -> Option<String> {
        let text = self.section.text(option)?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    pub fn items(&self, option: &str) -> Vec<ListItem> {
        let separators: &[char] = match spec(self.kind, option).value {
            ValueType::Addresses | ValueType::Ports => &[','],
            _ => &[' ', '\t', '\n', '\r'],
        };
        let mut found = Vec::new();
        let Some(option) = self.section.option(option) else { return found };
        for item in option.value.items() {
            for piece in item.text().split(separators) {
                let text = piece.trim();
                if !text.is_empty() {
                    found.push(ListItem { text: text.to_owned(), line: item.line });
                }
            }
        }
        found
    }

    pub fn has(&self, option: &str) -> bool {
        self.text(option).is_some()
    }

    pub fn report_item(&mut self, severity: Severity, option: &str, item: &ListItem, text: &str) {
        self.note(severity, Some(option), item.line, Some(&item.text), text);
    }

    /// About an option and its whole value.
    pub fn report(&mut self, severity: Severity, option: &str, text: &str) {
        let line = match self.section.option(option) {
            Some(option) => option.value.line(),
            None => self.section.line,
        };
        self.note(severity, Some(option), line, self.text(option).as_deref(), text);
    }

    pub fn report_section(&mut self, severity: Severity, text: &str) {
        self.note(severity, None, self.section.line, None, text);
    }

    fn note(
        &mut self,
        severity: Severity,
        option: Option<&str>,
        line: Option<u32>,
        value: Option<&str>,
        text: &str,
    ) {
        self.problems.push(Problem {
            line,
            option: option.map(shown),
            value: value.map(shown),
            ..Problem::of_section(severity, self.file, self.section, text.to_owned())
        });
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
            self.note(Severity::Warning, Some(name), option.value.line(), None, &text);
        }
    }
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
