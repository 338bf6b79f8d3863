//! `mwan3 import`: the configuration on stdout, what a person should know on stderr.

use std::path::Path;

use crate::import;
use crate::system::failure::{Context, Result};
use crate::system::paths::{absolute, read};

use super::ExitCode;
use super::options::Arguments;

const USAGE: &str = "usage: mwan3 import multiwans <config.yaml> > /etc/config/mwan3";

/// 1 where lines have no equivalent.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let [program, file] = arguments.words.as_slice() else {
        complain!("{USAGE}");
        return Ok(2);
    };
    if program != "multiwans" {
        complain!("mwan3: only configurations of multiwans can be imported, not of '{program}'");
        return Ok(2);
    }
    let text = read(Path::new(file)).with_context(|| format!("cannot read {file}"))?;
    let path = absolute(Path::new(file)).unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new("/")).to_string_lossy();
    let imported = import::multiwans(&String::from_utf8_lossy(&text), &folder);
    say!("{}", imported.text.trim_end());
    for remark in &imported.remarks {
        let kind = if remark.is_lost { "not carried over" } else { "note" };
        complain!("{file}:{}: {kind}: {}", remark.line, remark.text);
    }
    let lost = imported.remarks.iter().filter(|remark| remark.is_lost).count();
    complain!("{lost} lines have no equivalent; now: mwan3 check");
    Ok(if lost == 0 { 0 } else { 1 })
}
