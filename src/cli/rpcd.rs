//! `mwan3 rpcd list` and `mwan3 rpcd call METHOD`: the ubus object `mwan3`, as rpcd runs it for each call. Arguments come
//! as JSON by stdin, replies go as JSON by stdout; docs/reference/ubus.md is the contract.

mod given;

use std::time::Duration;

use crate::config::{Problem, Severity, problem_counts};
use crate::control::ask;
use crate::json::{Json, Object};
use crate::report::{
    Snapshot, connected_json, interfaces_json, members_json, policies_json, rules_page_json, uplinks_json,
};
use crate::system::failure::Result;
use crate::system::files::{Directories, uptime_s};
use crate::system::logger as log;
use crate::system::{conntrack, host, settings, tracks};

use super::explain::{self, Asked};
use super::options::Arguments;
use super::{ExitCode, inspect, show};
use given::{Given, LIST};

/// A tracker that hangs must not make a page wait.
const PATIENCE: Duration = Duration::from_secs(1);
const ROUNDS: u64 = 24;
const ROUNDS_OF_ONE: u64 = 64;
const EVENTS: u64 = 40;
const RULES: u64 = 50;
const PROBLEMS: usize = 30;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    let mut reply = Object::new();
    let answered = match words[..] {
        ["list"] => {
            say!("{LIST}");
            return Ok(0);
        }
        ["call", method] => answer(method, &mut reply),
        _ => {
            complain!("Usage: mwan3 rpcd list | mwan3 rpcd call <method>, arguments as JSON by stdin");
            return Ok(2);
        }
    };
    let (json, code) = match answered {
        Ok(()) => (Json::Object(reply), 0),
        Err(Refusal::Impossible(reason)) => (Json::only("error", reason.into()), 1),
        // Anything but an object: rpcd makes "invalid argument" of it.
        Err(Refusal::InvalidArgument(reason)) => (Json::Text(reason), 2),
    };
    say!("{json}");
    Ok(code)
}

enum Refusal {
    InvalidArgument(String),
    Impossible(String),
}

type Answer<T> = Result<T, Refusal>;

fn impossible<T>(reason: &str) -> Answer<T> {
    Err(Refusal::Impossible(reason.to_owned()))
}

fn invalid<T>(reason: String) -> Answer<T> {
    Err(Refusal::InvalidArgument(reason))
}

fn answer(method: &str, reply: &mut Object) -> Answer<()> {
    let given = Given::by_stdin(method)?;
    let call = Call { directories: Directories::from_environment(), given };
    match method {
        "status" => call.status(reply),
        "service" => call.service(reply),
        "uplinks" => call.uplinks(reply),
        "history" => return call.history(reply),
        "events" => return call.events(reply),
        "rules" => return call.rules(reply),
        "policies" => return call.policies(reply),
        "check" => return call.check(reply),
        "explain" => return call.explain(reply),
        "test" => return call.test(reply),
        _ => return call.test_result(reply),
    }
    Ok(())
}

struct Call {
    directories: Directories,
    given: Given,
}

impl Call {
    /// Always an object, whatever state the host is in, as ever.
    fn status(&self, reply: &mut Object) {
        let section = self.given.text("section").unwrap_or_default();
        let is_asked =
            |part: &str| section == part || !["interfaces", "connected", "policies"].contains(&section);
        let found = if section == "interfaces" { show::snapshot_of_uplinks() } else { show::snapshot() };
        let snapshot = self.or_less(found);
        if is_asked("interfaces") {
            reply.put("interfaces", interfaces_json(&snapshot, self.given.text("interface")));
        }
        if is_asked("connected") {
            reply.put("connected", connected_json(&snapshot));
        }
        if is_asked("policies") {
            reply.put("policies", policies_json(&snapshot));
        }
    }

    fn service(&self, reply: &mut Object) {
        let gauges = self.gauges();
        let problems = settings::load(&self.directories).map(|settings| settings.problems);
        let [(_, errors), (_, warnings), _] = problem_counts(&problems.unwrap_or_default());
        reply.number("errors", errors as u64);
        reply.number("probes", gauges.number("probes").unwrap_or(0));
        reply.number("repairs", gauges.number("repairs").unwrap_or(0));
        reply.flag("running", self.directories.is_running());
        reply.flag("tracker", !gauges.is_null());
        reply.number("uptime", gauges.number("uptime").unwrap_or(0));
        reply.text("version", env!("CARGO_PKG_VERSION"));
        reply.number("warnings", warnings as u64);
    }

    fn uplinks(&self, reply: &mut Object) {
        let (only, is_brief) = (self.given.text("interface"), self.given.flag("brief"));
        let (gauges, snapshot) = (self.gauges(), self.or_less(show::snapshot_of_uplinks()));
        let traffic = if is_brief { Vec::new() } else { host::traffic() };
        reply.flag("running", self.directories.is_running());
        reply.flag("tracker", !gauges.is_null());
        reply.put("uplinks", uplinks_json(&snapshot, &gauges, &traffic, only, is_brief));
    }

    fn history(&self, reply: &mut Object) -> Answer<()> {
        let only = self.given.interface_name()?;
        let (since, rounds) =
            (self.given.number("since_seq", 0), if only.is_some() { ROUNDS_OF_ONE } else { ROUNDS });
        let limit = self.given.number("limit", rounds);
        let request = format!("samples {since} {limit} {}", only.unwrap_or_default());
        let answer = self.ask(request.trim_end())?;
        let interfaces = answer.as_ref().and_then(|answer| answer.get("interfaces"));
        reply.put("interfaces", interfaces.cloned().unwrap_or(Json::Object(Object::new())));
        reply.number("seq", answer.as_ref().and_then(|answer| answer.number("seq")).unwrap_or(0));
        reply.flag("tracker", answer.is_some());
        Ok(())
    }

    fn events(&self, reply: &mut Object) -> Answer<()> {
        let (since, limit) = (self.given.number("since_seq", 0), self.given.count("limit", EVENTS));
        let answer = self.ask("events 0")?;
        let all = answer.as_ref().and_then(Json::as_array).unwrap_or_default();
        let number = |event: &Json| event.number("number").unwrap_or(0);
        let last = all.last().map_or(0, number);
        let since = if since > last { 0 } else { since };
        let mut told = Vec::new();
        for event in all.get(all.len().saturating_sub(limit)..).unwrap_or_default() {
            if number(event) > since {
                told.push(event_json(event));
            }
        }
        reply.put("events", Json::Array(told));
        reply.number("seq", last);
        reply.flag("tracker", answer.is_some());
        Ok(())
    }

    fn rules(&self, reply: &mut Object) -> Answer<()> {
        let snapshot = self.snapshot()?;
        let (offset, limit) = (self.given.count("offset", 0), self.given.count("limit", RULES));
        reply.put("rules", rules_page_json(&snapshot, offset, limit, self.given.flag("brief")));
        reply.flag("running", snapshot.ruleset.exists);
        reply.number("total", snapshot.config.rules.len() as u64);
        Ok(())
    }

    fn policies(&self, reply: &mut Object) -> Answer<()> {
        let snapshot = self.snapshot()?;
        if self.given.flag("connections") {
            reply.put("connections", connections(&snapshot)?);
        }
        reply.put("policies", members_json(&snapshot, self.given.text("policy")));
        reply.flag("running", snapshot.ruleset.exists);
        Ok(())
    }

    fn check(&self, reply: &mut Object) -> Answer<()> {
        let settings = match settings::load(&self.directories) {
            Ok(settings) => settings,
            Err(error) => return impossible(&error.to_string()),
        };
        let mut snapshot = self.snapshot().ok();
        let network = snapshot.as_mut().map(|snapshot| &mut snapshot.network);
        let network = network.map(|network| {
            host::observe_settings(&settings.config, network);
            &*network
        });
        let problems = inspect::all_problems(&settings, network);
        let [(_, errors), (_, warnings), (_, notes)] = problem_counts(&problems);
        let running = snapshot.filter(|snapshot| snapshot.ruleset.exists);
        reply.number("differs", running.as_ref().map_or(0, show::drift) as u64);
        reply.number("errors", errors as u64);
        reply.number("notes", notes as u64);
        reply.put("problems", worst_of(&problems));
        reply.number("warnings", warnings as u64);
        Ok(())
    }

    fn explain(&self, reply: &mut Object) -> Answer<()> {
        let Some(destination) = self.given.text("dest") else {
            return invalid("dest is missing".to_owned());
        };
        let port = self.given.port()?;
        let (from, protocol) = (self.given.text("src"), self.given.text("proto"));
        let asked = Asked { from, destination, protocol, port: port.as_deref(), ..Asked::default() };
        match explain::answer(&asked) {
            Ok(answer) => take_answer(answer, reply),
            Err(error) => impossible(&error.to_string()),
        }
    }

    fn test(&self, reply: &mut Object) -> Answer<()> {
        let Some(name) = self.given.interface_name()? else {
            return invalid("interface is missing".to_owned());
        };
        self.ask_running(&format!("begin_test {name}"), reply)
    }

    fn test_result(&self, reply: &mut Object) -> Answer<()> {
        let Some(id) = self.given.id() else {
            return invalid("id is missing".to_owned());
        };
        self.ask_running(&format!("test_result {id}"), reply)?;
        if let Some(Json::Array(targets)) = reply.get_mut("targets") {
            targets.iter_mut().for_each(shorten_finding);
        }
        Ok(())
    }

    fn ask_running(&self, request: &str, reply: &mut Object) -> Answer<()> {
        match self.ask(request)? {
            Some(answer) => take_answer(answer, reply),
            None => impossible("no tracker runs"),
        }
    }

    /// None without a tracker; one that does not answer counts as none. What it refuses is an error.
    fn ask(&self, request: &str) -> Answer<Option<Json>> {
        match ask(&self.directories.control_socket(), request, PATIENCE) {
            Ok(Some(answer)) => match answer.get("error").and_then(Json::as_str) {
                Some(error) => impossible(error),
                None => Ok(Some(answer)),
            },
            Ok(None) => Ok(None),
            Err(error) => {
                log::warn!("the tracker does not answer: {error}");
                Ok(None)
            }
        }
    }

    /// Null without a tracker.
    fn gauges(&self) -> Json {
        self.ask("gauges").ok().flatten().unwrap_or_default()
    }

    fn snapshot(&self) -> Answer<Snapshot> {
        show::snapshot().or_else(|error| impossible(&error.to_string()))
    }

    /// Where the kernel or netifd do not answer, what the configuration and the files say.
    fn or_less(&self, found: Result<Snapshot>) -> Snapshot {
        found.unwrap_or_else(|error| {
            log::warn!("{error}");
            let config =
                settings::load(&self.directories).map(|settings| settings.config).unwrap_or_default();
            Snapshot {
                health: self.directories.health(&config),
                tracks: tracks::read(&self.directories, &config),
                config,
                uptime_s: uptime_s(),
                ..Snapshot::default()
            }
        })
    }
}

fn take_answer(answer: Json, reply: &mut Object) -> Answer<()> {
    if let Some(mistake) = answer.get("error").and_then(Json::as_str) {
        return impossible(mistake);
    }
    if let Json::Object(answer) = answer {
        *reply = answer;
    }
    Ok(())
}

/// Not more of them than a page shows.
fn worst_of(problems: &[Problem]) -> Json {
    let mut worst = Vec::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        for problem in problems {
            if problem.severity == severity && worst.len() < PROBLEMS {
                let mut problem = problem.json();
                problem.sort_all();
                worst.push(problem);
            }
        }
    }
    Json::Array(worst)
}

fn event_json(event: &Json) -> Json {
    let mut object = Object::new();
    object.number("ago", event.number("ago_s").unwrap_or(0));
    object.text("event", event.text("event"));
    object.text("interface", event.text("interface"));
    object.text("reason", event.text("reason"));
    object.number("seq", event.number("number").unwrap_or(0));
    Json::Object(object)
}

/// A page shows tenths of a millisecond.
fn shorten_finding(target: &mut Json) {
    let Json::Object(object) = target else { return };
    if let Some(time_us) = object.remove("round_trip_us").and_then(|time| time.as_u64()) {
        object.number("rtt", time_us / 100);
        object.sort();
    }
}

fn connections(snapshot: &Snapshot) -> Answer<Json> {
    let mask = snapshot.config.globals.mask;
    let counts = match conntrack::count_by_mark(mask.bits()) {
        Ok(counts) => counts,
        Err(error) => return impossible(&format!("cannot read the connections: {error}")),
    };
    let mut counted = Object::new();
    for interface in &snapshot.config.interfaces {
        if interface.enabled {
            let count = counts.get(&mask.interface(interface.id)).copied().unwrap_or(0);
            counted.number(&interface.name, count);
        }
    }
    counted.sort();
    Ok(Json::Object(counted))
}
