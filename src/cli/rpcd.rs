//! `mwan3 rpcd list` and `mwan3 rpcd call METHOD`: the ubus object `mwan3`, as rpcd runs it for each call. Arguments come
//! as JSON by stdin, replies go as JSON by stdout; docs/reference/ubus.md is the contract.

use std::io::Read;
use std::time::Duration;

use anyhow::Result;

use crate::config::{Severity, problem_counts};
use crate::control::ask;
use crate::json::{self, Json, Object};
use crate::report::{
    Snapshot, connected_json, interfaces_json, members_json, policies_json, rules_page_json, uplinks_json,
};
use crate::system::files::{Directories, uptime_s};
use crate::system::{conntrack, host, settings, tracks};

use super::explain::{self, Asked};
use super::options::Arguments;
use super::{ExitCode, inspect, show};

/// What rpcd asks for once: arguments by an example of their type.
const LIST: &str = r#"{
"status": {"section": "", "interface": ""},
"service": {},
"uplinks": {"interface": "", "brief": false},
"history": {"interface": "", "since_seq": 32, "limit": 32},
"events": {"since_seq": 32, "limit": 32},
"rules": {"offset": 32, "limit": 32, "brief": false},
"policies": {"policy": "", "connections": false},
"check": {},
"explain": {"src": "", "dest": "", "proto": "", "port": 32},
"test": {"interface": ""},
"test_result": {"id": 32}
}"#;

/// A tracker that hangs must not make a page wait.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST_ARGUMENTS: u64 = 64 * 1024;
const ROUNDS: u64 = 24;
const ROUNDS_OF_ONE: u64 = 64;
const EVENTS: u64 = 40;
const RULES: u64 = 50;
const PROBLEMS: usize = 30;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    let answer = match words[..] {
        ["list"] => {
            say!("{LIST}");
            return Ok(0);
        }
        ["call", method] => Call::read().and_then(|call| call.answer(method)),
        _ => {
            complain!("Usage: mwan3 rpcd list | mwan3 rpcd call <method>, arguments as JSON by stdin");
            return Ok(2);
        }
    };
    match answer {
        Ok(reply) => {
            say!("{reply}");
            Ok(0)
        }
        Err(Refusal::Impossible(reason)) => {
            say!("{}", Json::only("error", reason.into()));
            Ok(1)
        }
        // Anything but an object: rpcd makes "invalid argument" of it.
        Err(Refusal::InvalidArgument(reason)) => {
            say!("{}", Json::Text(reason));
            Ok(2)
        }
    }
}

enum Refusal {
    InvalidArgument(String),
    Impossible(String),
}

type Answer<T> = Result<T, Refusal>;

fn impossible<T>(reason: &str) -> Answer<T> {
    Err(Refusal::Impossible(reason.to_owned()))
}

struct Call {
    directories: Directories,
    arguments: Object,
}

impl Call {
    fn read() -> Answer<Call> {
        let directories = Directories::from_environment();
        match json::read(&arguments_by_stdin()) {
            Ok(Json::Object(arguments)) => Ok(Call { directories, arguments }),
            Ok(_) => Err(Refusal::InvalidArgument("the arguments are not an object".to_owned())),
            Err(error) => Err(Refusal::InvalidArgument(format!("the arguments are not JSON: {error}"))),
        }
    }

    fn answer(&self, method: &str) -> Answer<Json> {
        match method {
            "status" => self.status(),
            "service" => self.service(),
            "uplinks" => self.uplinks(),
            "history" => self.history(),
            "events" => self.events(),
            "rules" => self.rules(),
            "policies" => self.policies(),
            "check" => self.check(),
            "explain" => self.explain(),
            "test" => self.test(),
            "test_result" => self.test_result(),
            unknown => Err(Refusal::InvalidArgument(format!("unknown method '{unknown}'"))),
        }
    }

    /// Always an object, whatever state the host is in, as ever.
    fn status(&self) -> Answer<Json> {
        let (section, only) = (self.text("section")?.unwrap_or_default(), self.text("interface")?);
        let is_asked =
            |part: &str| section == part || !["interfaces", "connected", "policies"].contains(&section);
        let found = if section == "interfaces" { show::snapshot_of_uplinks() } else { show::snapshot() };
        let snapshot = self.or_less(found);
        let mut reply = Object::new();
        if is_asked("interfaces") {
            reply.put("interfaces", interfaces_json(&snapshot, only));
        }
        if is_asked("connected") {
            reply.put("connected", connected_json(&snapshot));
        }
        if is_asked("policies") {
            reply.put("policies", policies_json(&snapshot));
        }
        Ok(Json::Object(reply))
    }

    fn service(&self) -> Answer<Json> {
        let gauges = self.gauges();
        let problems = settings::load(&self.directories).map(|settings| settings.problems);
        let [(_, errors), (_, warnings), _] = problem_counts(&problems.unwrap_or_default());
        let mut reply = Object::new();
        reply.number("errors", errors as u64);
        reply.number("probes", gauges.number("probes").unwrap_or(0));
        reply.number("repairs", gauges.number("repairs").unwrap_or(0));
        reply.flag("running", self.directories.is_running());
        reply.flag("tracker", !gauges.is_null());
        reply.number("uptime", gauges.number("uptime").unwrap_or(0));
        reply.text("version", env!("CARGO_PKG_VERSION"));
        reply.number("warnings", warnings as u64);
        Ok(Json::Object(reply))
    }

    fn uplinks(&self) -> Answer<Json> {
        let (only, is_brief) = (self.text("interface")?, self.flag("brief")?);
        let (gauges, snapshot) = (self.gauges(), self.or_less(show::snapshot_of_uplinks()));
        let traffic = if is_brief { Vec::new() } else { host::traffic() };
        let mut reply = Object::new();
        reply.flag("running", self.directories.is_running());
        reply.flag("tracker", !gauges.is_null());
        reply.put("uplinks", uplinks_json(&snapshot, &gauges, &traffic, only, is_brief));
        Ok(Json::Object(reply))
    }

    fn history(&self) -> Answer<Json> {
        let (since, only) = (self.number("since_seq")?.unwrap_or(0), self.interface_name()?);
        let rounds = if only.is_some() { ROUNDS_OF_ONE } else { ROUNDS };
        let limit = self.number("limit")?.unwrap_or(rounds);
        let request = format!("samples {since} {limit} {}", only.unwrap_or_default());
        let answer = self.ask(request.trim_end())?;
        let mut reply = Object::new();
        let interfaces = answer.as_ref().and_then(|answer| answer.get("interfaces"));
        reply.put("interfaces", interfaces.cloned().unwrap_or(Json::Object(Object::new())));
        reply.number("seq", answer.as_ref().and_then(|answer| answer.number("seq")).unwrap_or(0));
        reply.flag("tracker", answer.is_some());
        Ok(Json::Object(reply))
    }

    fn events(&self) -> Answer<Json> {
        let since = self.number("since_seq")?.unwrap_or(0);
        let limit = usize::try_from(self.number("limit")?.unwrap_or(EVENTS)).unwrap_or(usize::MAX);
        let answer = self.ask("events 0")?;
        let all = answer.as_ref().and_then(Json::as_array).unwrap_or_default();
        let number = |event: &Json| event.number("number").unwrap_or(0);
        let last = all.last().map_or(0, number);
        let since = if since > last { 0 } else { since };
        let mut told = Vec::new();
        for event in all.iter().rev().take_while(|event| number(event) > since).take(limit) {
            told.push(event_json(event));
        }
        told.reverse();
        let mut reply = Object::new();
        reply.put("events", Json::Array(told));
        reply.number("seq", last);
        reply.flag("tracker", answer.is_some());
        Ok(Json::Object(reply))
    }

    fn rules(&self) -> Answer<Json> {
        let offset = usize::try_from(self.number("offset")?.unwrap_or(0)).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.number("limit")?.unwrap_or(RULES)).unwrap_or(usize::MAX);
        let is_brief = self.flag("brief")?;
        let snapshot = self.snapshot()?;
        let mut reply = Object::new();
        reply.put("rules", rules_page_json(&snapshot, offset, limit, is_brief));
        reply.flag("running", snapshot.ruleset.exists);
        reply.number("total", snapshot.config.rules.len() as u64);
        Ok(Json::Object(reply))
    }

    fn policies(&self) -> Answer<Json> {
        let (only, counts_connections) = (self.text("policy")?, self.flag("connections")?);
        let snapshot = self.snapshot()?;
        let mut reply = Object::new();
        if counts_connections {
            reply.put("connections", connections(&snapshot)?);
        }
        reply.put("policies", members_json(&snapshot, only));
        reply.flag("running", snapshot.ruleset.exists);
        Ok(Json::Object(reply))
    }

    fn check(&self) -> Answer<Json> {
        let settings = match settings::load(&self.directories) {
            Ok(settings) => settings,
            Err(error) => return impossible(&format!("{error:#}")),
        };
        let mut snapshot = self.snapshot().ok();
        let network = snapshot.as_mut().map(|snapshot| &mut snapshot.network);
        let network = network.map(|network| {
            host::observe_settings(&settings.config, network);
            &*network
        });
        let problems = inspect::all_problems(&settings, network);
        let [(_, errors), (_, warnings), (_, notes)] = problem_counts(&problems);
        let mut worst = Vec::new();
        for severity in [Severity::Error, Severity::Warning, Severity::Note] {
            for problem in problems.iter().filter(|problem| problem.severity == severity) {
                if worst.len() < PROBLEMS {
                    let mut problem = problem.json();
                    problem.sort_all();
                    worst.push(problem);
                }
            }
        }
        let running = snapshot.filter(|snapshot| snapshot.ruleset.exists);
        let mut reply = Object::new();
        reply.number("differs", running.as_ref().map_or(0, show::drift) as u64);
        reply.number("errors", errors as u64);
        reply.number("notes", notes as u64);
        reply.put("problems", Json::Array(worst));
        reply.number("warnings", warnings as u64);
        Ok(Json::Object(reply))
    }

    fn explain(&self) -> Answer<Json> {
        let Some(destination) = self.text("dest")? else {
            return Err(Refusal::InvalidArgument("dest is missing".to_owned()));
        };
        // A page hands over what was typed.
        let port = match self.arguments.get("port") {
            Some(number @ (Json::Number(_) | Json::Decimal(_))) => Some(number.to_string()),
            _ => self.text("port")?.map(str::to_owned),
        };
        let (from, protocol) = (self.text("src")?, self.text("proto")?);
        let asked = Asked { from, destination, protocol, port: port.as_deref(), ..Asked::default() };
        match explain::answer(&asked) {
            Ok(answer) => match answer.get("error").and_then(Json::as_str) {
                Some(mistake) => impossible(mistake),
                None => Ok(answer),
            },
            Err(error) => impossible(&format!("{error:#}")),
        }
    }

    fn test(&self) -> Answer<Json> {
        let Some(name) = self.interface_name()? else {
            return Err(Refusal::InvalidArgument("interface is missing".to_owned()));
        };
        self.ask(&format!("begin_test {name}"))?.map_or_else(|| impossible("no tracker runs"), Ok)
    }

    fn test_result(&self) -> Answer<Json> {
        let Some(id) = self.number("id")? else {
            return Err(Refusal::InvalidArgument("id is missing".to_owned()));
        };
        let Some(mut result) = self.ask(&format!("test_result {id}"))? else {
            return impossible("no tracker runs");
        };
        let Json::Object(reply) = &mut result else { return Ok(result) };
        if let Some(Json::Array(targets)) = reply.get_mut("targets") {
            targets.iter_mut().for_each(shorten_finding);
        }
        Ok(result)
    }

    fn text(&self, name: &str) -> Answer<Option<&str>> {
        match self.arguments.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::Text(text)) => Ok(Some(&**text).filter(|text| !text.is_empty())),
            Some(_) => Err(Refusal::InvalidArgument(format!("{name} is not a string"))),
        }
    }

    fn number(&self, name: &str) -> Answer<Option<u64>> {
        match self.arguments.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(Refusal::InvalidArgument(format!("{name} is not a number from 0 on"))),
            },
        }
    }

    /// uci and ubus say 0 and 1, too.
    fn flag(&self, name: &str) -> Answer<bool> {
        match self.arguments.get(name) {
            None | Some(Json::Null) => Ok(false),
            Some(Json::Bool(flag)) => Ok(*flag),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(number != 0),
                None => Err(Refusal::InvalidArgument(format!("{name} is neither true nor false"))),
            },
        }
    }

    /// It becomes a word of a request: it must not bring words of its own.
    fn interface_name(&self) -> Answer<Option<&str>> {
        let Some(name) = self.text("interface")? else { return Ok(None) };
        match name.chars().any(|character| character.is_whitespace() || character.is_control()) {
            true => impossible(&format!("{name:?} is not an enabled interface")),
            false => Ok(Some(name)),
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
        show::snapshot().or_else(|error| impossible(&format!("{error:#}")))
    }

    /// Where the kernel or netifd do not answer, what the configuration and the files say.
    fn or_less(&self, found: Result<Snapshot>) -> Snapshot {
        found.unwrap_or_else(|error| {
            log::warn!("{error:#}");
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

/// Whoever asks may leave stdin open: the object is over when its last brace is there.
fn arguments_by_stdin() -> String {
    let mut arguments = Vec::new();
    let mut piece = [0; 1024];
    let mut stdin = std::io::stdin().lock().take(LONGEST_ARGUMENTS);
    while let Ok(length @ 1..) = stdin.read(&mut piece) {
        arguments.extend_from_slice(piece.get(..length).unwrap_or_default());
        let text = String::from_utf8_lossy(&arguments);
        let is_unfinished = json::read(&text).is_err_and(|mistake| mistake.is_unfinished);
        if !is_unfinished {
            break;
        }
    }
    match String::from_utf8_lossy(&arguments).trim() {
        "" => "{}".to_owned(),
        text => text.to_owned(),
    }
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
