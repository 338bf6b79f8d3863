//! `mwan3 notify test`: whether alerts arrive is known only once one has.

use crate::alert::{Change, Message, News};
use crate::config::{Alert, AlertMethod};
use crate::system::deliver::{deliver, host_name, unix_time_s};
use crate::system::failure::{Result, failure};
use crate::system::files::Directories;
use crate::system::settings;

use super::ExitCode;
use super::options::Arguments;

const USAGE: &str = "usage: mwan3 notify test [<alert>]";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let wanted = match arguments.words.as_slice() {
        [verb] if verb == "test" => None,
        [verb, name] if verb == "test" => Some(name),
        _ => {
            complain!("{USAGE}");
            return Ok(2);
        }
    };
    let settings = settings::load(&Directories::from_environment())?;
    let mut alerts: Vec<&Alert> = Vec::new();
    for alert in &settings.config.alerts {
        if wanted.is_none_or(|name| alert.name == *name) {
            alerts.push(alert);
        }
    }
    if alerts.is_empty() {
        for problem in settings.problems.iter().filter(|problem| !problem.is_note()) {
            complain!("{problem}");
        }
        match wanted {
            Some(name) => return Err(failure!("there is no alert '{name}' that could be sent")),
            None => return Err(failure!("no alert is configured (man 5 mwan3, CONFIG ALERT)")),
        }
    }
    let mut failures = 0;
    for alert in alerts {
        failures += usize::from(!test(alert));
    }
    Ok(if failures == 0 { 0 } else { 1 })
}

fn test(alert: &Alert) -> bool {
    let to = alert.to.join(", ");
    if alert.method == AlertMethod::StatusFile {
        say!("{}: the tracker keeps {to}", alert.name);
        return true;
    }
    let now = unix_time_s();
    // Scripts get an event that none of them can take for a real one.
    let news = News {
        interface: "test".to_owned(),
        device: String::new(),
        change: Change::Connected(None),
        reason: "mwan3 notify test".to_owned(),
        at_unix_s: now,
    };
    let failures = deliver(alert, &Message::test(&host_name(), now), &[news]);
    for failure in &failures {
        say!("{}: {failure}", alert.name);
    }
    if failures.is_empty() {
        say!("{}: delivered ({to})", alert.name);
    }
    failures.is_empty()
}
