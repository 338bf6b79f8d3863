//! The words of one call. What follows `use <iface>` belongs to the command that is run, untouched.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::prelude::*;

use super::ExitCode;

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
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut parsed = Arguments::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("json") => parsed.is_json = true,
                Long("strict") => parsed.is_strict = true,
                Long("diff") => parsed.is_diff = true,
                Long("fix") => parsed.is_fix = true,
                Short('f') | Long("follow") => parsed.follows = true,
                Long("no-track") => parsed.without_tracker = true,
                Long("from") => parsed.from = Some(parser.value()?.into()),
                Long("flow") => parsed.is_flow = true,
                Long("force") => parsed.is_forced = true,
                Long("once") => parsed.is_once = true,
                Long("sport") => parsed.source_port = Some(parser.value()?.parse()?),
                Long("mark") => parsed.mark = Some(parser.value()?.string()?),
                Long("seconds") => parsed.seconds = Some(parser.value()?.parse()?),
                Long("interval") => parsed.interval = Some(parser.value()?.parse()?),
                Long("output") => parsed.output = Some(parser.value()?.into()),
                Short('v') | Long("verbose") => parsed.is_verbose = true,
                Short('V') | Long("version") => parsed.verb = "version".to_owned(),
                Short('h') | Long("help") => parsed.verb = "help".to_owned(),
                Value(word) if parsed.verb.is_empty() => parsed.verb = word.string()?,
                Value(word) => {
                    parsed.words.push(word.string()?);
                    if parsed.verb == "use" {
                        parsed.command = parser.raw_args()?.collect();
                    }
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(parsed)
    }

    /// For mistakes of usage: the shell package's 0, or a real code where it was asked for.
    pub fn usage_code(&self) -> ExitCode {
        if self.is_strict { 2 } else { 0 }
    }
}
