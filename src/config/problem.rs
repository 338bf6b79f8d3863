//! What is wrong with a configuration, told so that a person can put it right: the place, the value, the
//! reason, and what is used instead.

use std::fmt;

use crate::json::{Json, Object};
use crate::uci::{Section, SyntaxError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// In effect as written, but hardly what was meant.
    Warning,
    /// Not in effect as written.
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub file: String,
    /// None where no line of the file is to blame, as for pending changes.
    pub line: Option<u32>,
    pub section: Option<SectionName>,
    pub option: Option<String>,
    pub value: Option<String>,
    pub text: String,
    /// What is used instead of the value.
    pub used: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionName {
    pub kind: String,
    pub name: String,
}

impl SectionName {
    fn json(&self) -> Json {
        let mut object = Object::new();
        object.text("kind", &self.kind);
        object.text("name", &self.name);
        object.into()
    }
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Values are shown up to this length.
const LONGEST_SHOWN: usize = 80;

/// 0: nothing but notes, 1: warnings, 2: errors.
pub fn exit_code(problems: &[Problem]) -> u8 {
    match problems.iter().map(|problem| problem.severity).max() {
        None | Some(Severity::Note) => 0,
        Some(Severity::Warning) => 1,
        Some(Severity::Error) => 2,
    }
}

/// How many of each severity, by name, the worst first.
pub fn problem_counts(problems: &[Problem]) -> [(&'static str, usize); 3] {
    [Severity::Error, Severity::Warning, Severity::Note].map(|severity| {
        (severity.name(), problems.iter().filter(|problem| problem.severity == severity).count())
    })
}

impl Problem {
    pub fn of_section(severity: Severity, file: &str, section: &Section, text: String) -> Problem {
        Problem {
            severity,
            file: file.to_owned(),
            line: section.line,
            section: Some(SectionName { kind: shown(&section.kind), name: section.name.clone() }),
            option: None,
            value: None,
            text,
            used: None,
        }
    }

    /// Of something the kernel holds, whatever the file says.
    pub fn of_kernel(severity: Severity, text: String) -> Problem {
        let error = SyntaxError { line: 0, text };
        Problem { severity, line: None, ..Problem::of_syntax("kernel", &error) }
    }

    pub fn json(&self) -> Json {
        let text = |text: &Option<String>| text.as_deref().map_or(Json::Null, Json::from);
        let mut object = Object::new();
        object.text("severity", self.severity.name());
        object.text("file", &self.file);
        object.put("line", self.line.map_or(Json::Null, Json::from));
        object.put("section", self.section.as_ref().map_or(Json::Null, SectionName::json));
        object.put("option", text(&self.option));
        object.put("value", text(&self.value));
        object.text("text", &self.text);
        object.put("used", text(&self.used));
        object.into()
    }

    pub fn is_note(&self) -> bool {
        self.severity == Severity::Note
    }

    pub fn of_syntax(file: &str, error: &SyntaxError) -> Problem {
        Problem {
            severity: Severity::Error,
            file: file.to_owned(),
            line: Some(error.line),
            section: None,
            option: None,
            value: None,
            text: error.text.clone(),
            used: None,
        }
    }
}

/// `/etc/config/mwan3:12: interface 'wan', option interval 'abc': not a duration; using 10 s`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match (self.line, &self.section) {
            (Some(line), _) => write!(f, ":{line}")?,
            (None, Some(_)) => f.write_str(" (pending change)")?,
            (None, None) => {}
        }
        if let Some(section) = &self.section {
            write!(f, ": {} '{}'", section.kind, section.name)?;
        }
        if let Some(option) = &self.option {
            write!(f, ", option {option}")?;
        }
        if let Some(value) = &self.value {
            write!(f, " '{value}'")?;
        }
        write!(f, ": {}", self.text)?;
        match &self.used {
            Some(used) => write!(f, "; using {used}"),
            None => Ok(()),
        }
    }
}

/// One line of printable text, whatever the file holds.
pub(super) fn shown(value: &str) -> String {
    let mut text = String::new();
    for (number, letter) in value.chars().enumerate() {
        if number == LONGEST_SHOWN {
            text.push('…');
            break;
        }
        match letter {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            _ if letter.is_control() => text.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
            _ => text.push(letter),
        }
    }
    text
}
