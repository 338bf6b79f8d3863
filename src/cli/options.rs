//! The words of one call. What follows `use <iface>` belongs to the command that is run, untouched.

use std::ffi::{OsStr, OsString};
use std::num::ParseIntError;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::slice::Iter;

use super::ExitCode;
use crate::json::Json;

#[derive(Debug, Default)]
pub struct Arguments {
    pub verb: String,
    /// Words behind the verb.
    pub words: Vec<String>,
    /// `use`: the command and its arguments, any bytes.
    pub command: Vec<OsString>,
    pub is_json: bool,
    pub is_strict: bool,
    pub is_verbose: bool,
    pub is_diff: bool,
    /// check: also put right what is wrong with the kernel's settings.
    pub is_fix: bool,
    pub follows: bool,
    /// start, stop, restart, reload: somebody else runs the tracker, or nobody shall.
    pub without_tracker: bool,
    /// plan: a folder; explain: where the packet comes from.
    pub from: Option<PathBuf>,
    /// explain: connections that exist.
    pub is_flow: bool,
    /// drill: also where somebody is cut off.
    pub is_forced: bool,
    /// top: one picture, and the end.
    pub is_once: bool,
    pub source_port: Option<u16>,
    pub mark: Option<String>,
    pub seconds: Option<u32>,
    pub interval: Option<u32>,
    pub output: Option<PathBuf>,
}

impl Arguments {
    /// The mistake, in words.
    pub fn parse(arguments: &[OsString]) -> Result<Arguments, String> {
        let mut parsed = Arguments::default();
        let mut has_only_words = false;
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            match argument.as_bytes() {
                b"--" if !has_only_words => has_only_words = true,
                [b'-', b'-', long @ ..] if !has_only_words => parsed.take_long(long, &mut rest)?,
                [b'-', letters @ ..] if !has_only_words && !letters.is_empty() => {
                    parsed.take_letters(letters)?;
                }
                _ => parsed.take_word(argument, &mut rest)?,
            }
        }
        Ok(parsed)
    }

    fn take_word(&mut self, word: &OsStr, rest: &mut Iter<OsString>) -> Result<(), String> {
        let word = text(word)?;
        if self.verb.is_empty() {
            self.verb = word;
            return Ok(());
        }
        self.words.push(word);
        if self.verb == "use" {
            self.command = rest.as_slice().to_vec();
            *rest = [].iter();
        }
        Ok(())
    }

    /// `name` or `name=value`.
    fn take_long(&mut self, option: &[u8], rest: &mut Iter<OsString>) -> Result<(), String> {
        let mut parts = option.splitn(2, |byte| *byte == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
        let value = parts.next().map(OsStr::from_bytes);
        if let Some(flag) = self.flag(&name) {
            *flag = true;
        } else if matches!(&*name, "version" | "help") {
            self.verb = name.clone().into_owned();
        } else {
            return self.take_value(&name, value, rest);
        }
        match value {
            Some(value) => Err(format!("unexpected argument for option '--{name}': {}", quoted(value))),
            None => Ok(()),
        }
    }

    fn flag(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "json" => &mut self.is_json,
            "strict" => &mut self.is_strict,
            "diff" => &mut self.is_diff,
            "fix" => &mut self.is_fix,
            "follow" => &mut self.follows,
            "no-track" => &mut self.without_tracker,
            "flow" => &mut self.is_flow,
            "force" => &mut self.is_forced,
            "once" => &mut self.is_once,
            "verbose" => &mut self.is_verbose,
            _ => return None,
        })
    }

    fn take_value(
        &mut self,
        name: &str,
        value: Option<&OsStr>,
        rest: &mut Iter<OsString>,
    ) -> Result<(), String> {
        if !["from", "sport", "mark", "seconds", "interval", "output"].contains(&name) {
            return Err(format!("invalid option '--{name}'"));
        }
        let Some(value) = value.or_else(|| rest.next().map(OsString::as_os_str)) else {
            return Err(format!("missing argument for option '--{name}'"));
        };
        match name {
            "from" => self.from = Some(value.into()),
            "output" => self.output = Some(value.into()),
            _ => {
                let value = text(value)?;
                let wrong = |error: ParseIntError| format!("cannot parse argument \"{value}\": {error}");
                match name {
                    "sport" => self.source_port = Some(value.parse().map_err(wrong)?),
                    "seconds" => self.seconds = Some(value.parse().map_err(wrong)?),
                    "interval" => self.interval = Some(value.parse().map_err(wrong)?),
                    _ => self.mark = Some(value),
                }
            }
        }
        Ok(())
    }

    /// `-fv`: none of them takes a value.
    fn take_letters(&mut self, letters: &[u8]) -> Result<(), String> {
        let mut last = None;
        for (position, letter) in String::from_utf8_lossy(letters).char_indices() {
            match (letter, last) {
                ('f', _) => self.follows = true,
                ('v', _) => self.is_verbose = true,
                ('V', _) => self.verb = "version".to_owned(),
                ('h', _) => self.verb = "help".to_owned(),
                ('=', Some(last)) => {
                    let value = OsStr::from_bytes(letters.get(position + 1..).unwrap_or_default());
                    return Err(format!("unexpected argument for option '-{last}': {}", quoted(value)));
                }
                _ => return Err(format!("invalid option '-{letter}'")),
            }
            last = Some(letter);
        }
        Ok(())
    }

    /// For mistakes of usage: the shell package's 0, or a real code where it was asked for.
    pub fn usage_code(&self) -> ExitCode {
        if self.is_strict { 2 } else { 0 }
    }
}

fn text(word: &OsStr) -> Result<String, String> {
    match word.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(format!("argument is invalid unicode: {}", quoted(word))),
    }
}

fn quoted(word: &OsStr) -> Json {
    Json::from(&*word.to_string_lossy())
}
