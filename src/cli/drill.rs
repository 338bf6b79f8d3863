//! `mwan3 drill`: asks the tracker to let an uplink fail, watches what becomes of new connections, and tells.
//! The tracker ends the drill by itself; this program may be killed at any time.

use std::time::Duration;

use crate::config::Config;
use crate::control::{Conversation, ask};
use crate::json::{Json, Object};
use crate::system::clock::{since_boot, whole_us};
use crate::system::conntrack::Beginnings;
use crate::system::failure::{Context, Result, failure};
use crate::system::files::Directories;
use crate::system::poll::{Signal, Signals, Until, wait};
use crate::system::settings;

use super::ExitCode;
use super::options::Arguments;

const USUAL_SECONDS: u32 = 10;
const PROGRESS: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let [name] = &arguments.words[..] else {
        complain!("Expecting interface. Usage: mwan3 drill <interface> [--seconds <number>] [--force]");
        return Ok(2);
    };
    let directories = Directories::from_environment();
    let config = settings::load_config(&directories)?;
    let seconds = arguments.seconds.unwrap_or(USUAL_SECONDS);
    let signals = Signals::take_over().context("cannot take over signals")?;
    // Before anything switches; kernels without connection tracking events tell nothing, and that is said.
    let beginnings = Beginnings::listen().ok();
    let force = if arguments.is_forced { "force" } else { "gently" };
    let socket = directories.control_socket();
    let begun = Conversation::begin(&socket, &format!("drill {name} {seconds} {force}"));
    let Some(tracker) = begun.context("cannot ask the tracker")? else {
        return Err(failure!("no tracker runs: start the service, or run 'mwan3 track'"));
    };
    let until = since_boot().saturating_add(Duration::from_secs(u64::from(seconds)));
    let drill = Drill {
        config,
        is_json: arguments.is_json,
        until,
        mark: None,
        asked: Duration::ZERO,
        first: None,
        begun: Vec::new(),
    };
    drill.watch(tracker, signals, beginnings, || {
        ask(&socket, "drill-end", PATIENCE).context("cannot ask the tracker").map(drop)
    })
}

struct Drill {
    config: Config,
    is_json: bool,
    until: Duration,
    /// Of the uplink that is out, once it is.
    mark: Option<u32>,
    /// When the tracker heard of it, since boot.
    asked: Duration,
    /// When the first connection by another uplink began, and by which.
    first: Option<(Duration, u32)>,
    /// Marks and how many connections began with each.
    begun: Vec<(u32, u32)>,
}

impl Drill {
    fn watch(
        mut self,
        mut tracker: Conversation,
        signals: Signals,
        mut beginnings: Option<Beginnings>,
        end: impl Fn() -> Result<()>,
    ) -> Result<ExitCode> {
        let mut watched = vec![(tracker.raw_fd(), Until::Readable), (signals.raw_fd(), Until::Readable)];
        watched.extend(beginnings.as_ref().map(|beginnings| (beginnings.raw_fd(), Until::Readable)));
        let mut next_progress = since_boot().saturating_add(PROGRESS);
        loop {
            let ready = wait(&watched, Some(next_progress.saturating_sub(since_boot()))).context("poll")?;
            if ready.contains(&signals.raw_fd())
                && signals.take().iter().any(|one| matches!(one, Signal::Terminate | Signal::Reload))
            {
                end()?;
            }
            if let Some(beginnings) = beginnings.as_mut().filter(|_| self.mark.is_some()) {
                self.note(&beginnings.marks());
            }
            let Some(lines) = tracker.lines().context("the tracker")? else {
                return Err(failure!("the tracker is gone; the next one ends the drill"));
            };
            for line in &lines {
                if let Some(code) = self.hear(line, beginnings.as_mut())? {
                    return Ok(code);
                }
            }
            if next_progress <= since_boot() {
                next_progress = since_boot().saturating_add(PROGRESS);
                self.tell_progress();
            }
        }
    }

    fn note(&mut self, marks: &[u32]) {
        let Some(drilled) = self.mark else { return };
        for mark in marks.iter().map(|mark| mark & self.config.globals.mask.bits()) {
            match self.begun.iter_mut().find(|(known, _)| *known == mark) {
                Some((_, count)) => *count = count.saturating_add(1),
                None => self.begun.push((mark, 1)),
            }
            if mark != drilled && self.name(mark).is_some() {
                self.first.get_or_insert((since_boot(), mark));
            }
        }
    }

    fn hear(&mut self, line: &Json, beginnings: Option<&mut Beginnings>) -> Result<Option<ExitCode>> {
        if let Some(refusal) = line.get("error").and_then(Json::as_str) {
            return Err(failure!("{refusal}"));
        }
        if line.text("drill") == "began" {
            let can_count = beginnings.is_some();
            // What began before the switch says nothing about it.
            beginnings.map(Beginnings::marks);
            self.mark = line.number("mark").and_then(|mark| u32::try_from(mark).ok());
            self.asked = Duration::from_micros(line.number("begun_us").unwrap_or(0));
            if self.is_json {
                say!("{line}");
                return Ok(None);
            }
            say!("{} is out of use; Ctrl-C brings it back sooner", line.text("interface"));
            match line.number("connections") {
                Some(count) => say!(" {count} connections used it and are forgotten"),
                None => say!(" how many connections used it is not known: no nf_conntrack_netlink"),
            }
            say!(" the kernel sends new connections elsewhere since {}", after(line.number("switched_us")));
            if !can_count {
                say!(" new connections cannot be counted: the kernel tells nothing of them");
            }
            return Ok(None);
        }
        let code = u8::from(line.text("status") != "online");
        if self.is_json {
            let mut told = line.as_object().cloned().unwrap_or_default();
            told.put("new_connections", self.counts_json());
            told.sort();
            say!("{}", Json::Object(told));
            return Ok(Some(code));
        }
        say!("{} is {}: {}", line.text("interface"), line.text("status"), line.text("reason"));
        say!(" the kernel {}", use_afterwards(line.text("status"), line.number("switched_us")));
        say!(" new connections meanwhile: {}", self.counts());
        if let Some((at, name)) = self.first.and_then(|(at, mark)| Some((at, self.name(mark)?))) {
            let time_us = Some(whole_us(at.saturating_sub(self.asked)));
            say!(" the first of them by another uplink ({name}) {}", after(time_us));
        }
        Ok(Some(code))
    }

    fn tell_progress(&self) {
        if self.mark.is_none() || self.is_json {
            return;
        }
        let left = self.until.saturating_sub(since_boot()).as_secs();
        let first = self.first.map(|(_, mark)| mark).and_then(|mark| self.name(mark));
        let first = first.map(|name| format!(", the first by {name}")).unwrap_or_default();
        say!(" {left:>3} s left; new connections: {}{first}", self.counts());
    }

    fn counts_json(&self) -> Json {
        let mut counts = Object::new();
        for (mark, count) in &self.begun {
            if let Some(name) = self.name(*mark) {
                counts.number(name, u64::from(*count));
            }
        }
        counts.sort();
        Json::Object(counts)
    }

    fn counts(&self) -> String {
        let mut counts = Vec::new();
        for (mark, count) in &self.begun {
            if let Some(name) = self.name(*mark) {
                counts.push(format!("{name} {count}"));
            }
        }
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    }

    fn name(&self, mark: u32) -> Option<&str> {
        let found =
            self.config.interfaces.iter().find(|one| self.config.globals.mask.interface(one.id) == mark);
        found.map(|interface| interface.name.as_str())
    }
}

/// A link may have died meanwhile, or have been taken down by hand.
fn use_afterwards(status: &str, switched_us: Option<u64>) -> String {
    match status {
        "online" | "disconnecting" => format!("uses it again since {}", after(switched_us)),
        _ => "does not use it".to_owned(),
    }
}

/// `2.4 ms after the command`.
fn after(time_us: Option<u64>) -> String {
    match time_us {
        Some(us) => format!("{}.{} ms after the command", us / 1000, us / 100 % 10),
        None => "an unknown time (the kernel was not changed; see the log)".to_owned(),
    }
}
