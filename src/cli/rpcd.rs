//! `mwan3 rpcd list` and `mwan3 rpcd call METHOD`: the ubus object `mwan3`, as rpcd runs it for each call. Arguments come
//! as JSON by stdin, replies go as JSON by stdout; docs/reference/ubus.md is the contract.

use std::io::Read;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::{Problem, Severity, problem_counts};
use crate::control::ask;
use crate::report::{
    Json, Snapshot, connected_json, interfaces_json, members_json, policies_json, rules_page_json,
    uplinks_json,
};
use crate::system::failure::Result;
use crate::system::files::{Directories, uptime_s};
use crate::system::logger as log;
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
            say!("{}", json!({ "error": reason }));
            Ok(1)
        }
        // Anything but an object: rpcd makes "invalid argument" of it.
        Err(Refusal::InvalidArgument(reason)) => {
            say!("{}", Value::from(reason));
            Ok(2)
        }
    }
}

enum Refusal {
    InvalidArgument(String),
    Impossible(String),
}

type Answer<T> = Result<T, Refusal>;

fn impossible<T>(reason: impl ToString) -> Answer<T> {
    Err(Refusal::Impossible(reason.to_string()))
}

struct Call {
    directories: Directories,
    arguments: Map<String, Value>,
}

impl Call {
    fn read() -> Answer<Call> {
        let directories = Directories::from_environment();
        match serde_json::from_str(&arguments_by_stdin()) {
            Ok(Value::Object(arguments)) => Ok(Call { directories, arguments }),
            Ok(_) => Err(Refusal::InvalidArgument("the arguments are not an object".to_owned())),
            Err(error) => Err(Refusal::InvalidArgument(format!("the arguments are not JSON: {error}"))),
        }
    }

    fn answer(&self, method: &str) -> Answer<Json> {
        let plain = match method {
            "status" => return self.status(),
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
        };
        plain.map(Json::Plain)
    }

    /// Always an object, whatever state the host is in, as ever.
    fn status(&self) -> Answer<Json> {
        let (section, only) = (self.text("section")?.unwrap_or_default(), self.text("interface")?);
        let is_asked =
            |part: &str| section == part || !["interfaces", "connected", "policies"].contains(&section);
        let found = if section == "interfaces" { show::snapshot_of_uplinks() } else { show::snapshot() };
        let snapshot = self.or_less(found);
        let mut parts = Vec::new();
        if is_asked("interfaces") {
            parts.push(("interfaces".to_owned(), interfaces_json(&snapshot, only)));
        }
        if is_asked("connected") {
            parts.push(("connected".to_owned(), connected_json(&snapshot).into()));
        }
        if is_asked("policies") {
            parts.push(("policies".to_owned(), policies_json(&snapshot).into()));
        }
        Ok(Json::Object(parts))
    }

    fn service(&self) -> Answer<Value> {
        let gauges = self.gauges();
        let problems = settings::load(&self.directories).map(|settings| settings.problems);
        let [(_, errors), (_, warnings), _] = problem_counts(&problems.unwrap_or_default());
        let number = |name: &str| gauges.get(name).and_then(Value::as_u64).unwrap_or(0);
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "running": self.directories.is_running(),
            "tracker": !gauges.is_null(),
            "uptime": number("uptime"),
            "probes": number("probes"),
            "repairs": number("repairs"),
            "errors": errors,
            "warnings": warnings,
        }))
    }

    fn uplinks(&self) -> Answer<Value> {
        let (only, is_brief) = (self.text("interface")?, self.flag("brief")?);
        let (gauges, snapshot) = (self.gauges(), self.or_less(show::snapshot_of_uplinks()));
        let traffic = if is_brief { Vec::new() } else { host::traffic() };
        Ok(json!({
            "tracker": !gauges.is_null(),
            "running": self.directories.is_running(),
            "uplinks": uplinks_json(&snapshot, &gauges, &traffic, only, is_brief),
        }))
    }

    fn history(&self) -> Answer<Value> {
        let (since, only) = (self.number("since_seq")?.unwrap_or(0), self.interface_name()?);
        let rounds = if only.is_some() { ROUNDS_OF_ONE } else { ROUNDS };
        let limit = self.number("limit")?.unwrap_or(rounds);
        let request = format!("samples {since} {limit} {}", only.unwrap_or_default());
        let Some(mut answer) = self.ask(request.trim_end())? else {
            return Ok(json!({ "tracker": false, "seq": 0, "interfaces": {} }));
        };
        if let Some(members) = answer.as_object_mut() {
            members.insert("tracker".to_owned(), true.into());
        }
        Ok(answer)
    }

    fn events(&self) -> Answer<Value> {
        let since = self.number("since_seq")?.unwrap_or(0);
        let limit = usize::try_from(self.number("limit")?.unwrap_or(EVENTS)).unwrap_or(usize::MAX);
        let Some(answer) = self.ask("events 0")? else {
            return Ok(json!({ "tracker": false, "seq": 0, "events": [] }));
        };
        let all = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let number = |event: &Value| event.get("number").and_then(Value::as_u64).unwrap_or(0);
        let last = all.last().map_or(0, number);
        let since = if since > last { 0 } else { since };
        let newer: Vec<&Value> = all.iter().filter(|event| number(event) > since).collect();
        let newest = newer.iter().skip(newer.len().saturating_sub(limit));
        let told = newest.map(|event| {
            json!({
                "seq": number(event),
                "ago": event.get("ago_s"),
                "interface": event.get("interface"),
                "event": event.get("event"),
                "reason": event.get("reason"),
            })
        });
        Ok(json!({ "tracker": true, "seq": last, "events": told.collect::<Vec<Value>>() }))
    }

    fn rules(&self) -> Answer<Value> {
        let offset = usize::try_from(self.number("offset")?.unwrap_or(0)).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.number("limit")?.unwrap_or(RULES)).unwrap_or(usize::MAX);
        let is_brief = self.flag("brief")?;
        let snapshot = self.snapshot()?;
        Ok(json!({
            "running": snapshot.ruleset.exists,
            "total": snapshot.config.rules.len(),
            "rules": rules_page_json(&snapshot, offset, limit, is_brief),
        }))
    }

    fn policies(&self) -> Answer<Value> {
        let (only, counts_connections) = (self.text("policy")?, self.flag("connections")?);
        let snapshot = self.snapshot()?;
        let mut reply = json!({
            "running": snapshot.ruleset.exists,
            "policies": members_json(&snapshot, only),
        });
        if let (true, Some(members)) = (counts_connections, reply.as_object_mut()) {
            members.insert("connections".to_owned(), connections(&snapshot)?);
        }
        Ok(reply)
    }

    fn check(&self) -> Answer<Value> {
        let settings = match settings::load(&self.directories) {
            Ok(settings) => settings,
            Err(error) => return impossible(error.to_string()),
        };
        let mut snapshot = self.snapshot().ok();
        let network = snapshot.as_mut().map(|snapshot| &mut snapshot.network);
        let network = network.map(|network| {
            host::observe_settings(&settings.config, network);
            &*network
        });
        let problems = inspect::all_problems(&settings, network);
        let [(_, errors), (_, warnings), (_, notes)] = problem_counts(&problems);
        let mut worst: Vec<&Problem> = Vec::new();
        for severity in [Severity::Error, Severity::Warning, Severity::Note] {
            worst.extend(problems.iter().filter(|problem| problem.severity == severity));
        }
        worst.truncate(PROBLEMS);
        let running = snapshot.filter(|snapshot| snapshot.ruleset.exists);
        Ok(json!({
            "errors": errors,
            "warnings": warnings,
            "notes": notes,
            "differs": running.as_ref().map_or(0, show::drift),
            "problems": worst,
        }))
    }

    fn explain(&self) -> Answer<Value> {
        let Some(destination) = self.text("dest")? else {
            return Err(Refusal::InvalidArgument("dest is missing".to_owned()));
        };
        // A page hands over what was typed.
        let port = match self.arguments.get("port") {
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => self.text("port")?.map(str::to_owned),
        };
        let (from, protocol) = (self.text("src")?, self.text("proto")?);
        let asked = Asked { from, destination, protocol, port: port.as_deref(), ..Asked::default() };
        match explain::answer(&asked) {
            Ok(answer) => match answer.get("error").and_then(Value::as_str) {
                Some(mistake) => impossible(mistake),
                None => Ok(answer),
            },
            Err(error) => impossible(error.to_string()),
        }
    }

    fn test(&self) -> Answer<Value> {
        let Some(name) = self.interface_name()? else {
            return Err(Refusal::InvalidArgument("interface is missing".to_owned()));
        };
        self.ask(&format!("begin_test {name}"))?.map_or_else(|| impossible("no tracker runs"), Ok)
    }

    fn test_result(&self) -> Answer<Value> {
        let Some(id) = self.number("id")? else {
            return Err(Refusal::InvalidArgument("id is missing".to_owned()));
        };
        let Some(mut result) = self.ask(&format!("test_result {id}"))? else {
            return impossible("no tracker runs");
        };
        for target in result.get_mut("targets").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(members) = target.as_object_mut() else { continue };
            if let Some(time_us) = members.remove("round_trip_us").as_ref().and_then(Value::as_u64) {
                members.insert("rtt".to_owned(), (time_us / 100).into());
            }
        }
        Ok(result)
    }

    fn text(&self, name: &str) -> Answer<Option<&str>> {
        match self.arguments.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty()).map(String::as_str)),
            Some(_) => Err(Refusal::InvalidArgument(format!("{name} is not a string"))),
        }
    }

    fn number(&self, name: &str) -> Answer<Option<u64>> {
        match self.arguments.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(Refusal::InvalidArgument(format!("{name} is not a number from 0 on"))),
            },
        }
    }

    /// uci and ubus say 0 and 1, too.
    fn flag(&self, name: &str) -> Answer<bool> {
        match self.arguments.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
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
            true => impossible(format!("{name:?} is not an enabled interface")),
            false => Ok(Some(name)),
        }
    }

    /// None without a tracker; one that does not answer counts as none. What it refuses is an error.
    fn ask(&self, request: &str) -> Answer<Option<Value>> {
        match ask(&self.directories.control_socket(), request, PATIENCE) {
            Ok(Some(answer)) => match answer.get("error").and_then(Value::as_str) {
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
    fn gauges(&self) -> Value {
        self.ask("gauges").ok().flatten().unwrap_or_default()
    }

    fn snapshot(&self) -> Answer<Snapshot> {
        show::snapshot().or_else(|error| impossible(error.to_string()))
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

/// Whoever asks may leave stdin open: the object is over when its last brace is there.
fn arguments_by_stdin() -> String {
    let mut arguments = Vec::new();
    let mut piece = [0; 1024];
    let mut stdin = std::io::stdin().lock().take(LONGEST_ARGUMENTS);
    while let Ok(length @ 1..) = stdin.read(&mut piece) {
        arguments.extend_from_slice(piece.get(..length).unwrap_or_default());
        let text = String::from_utf8_lossy(&arguments);
        let is_unfinished = serde_json::from_str::<Value>(&text).is_err_and(|error| error.is_eof());
        if !is_unfinished {
            break;
        }
    }
    match String::from_utf8_lossy(&arguments).trim() {
        "" => "{}".to_owned(),
        text => text.to_owned(),
    }
}

fn connections(snapshot: &Snapshot) -> Answer<Value> {
    let mask = snapshot.config.globals.mask;
    let counts = match conntrack::count_by_mark(mask.bits()) {
        Ok(counts) => counts,
        Err(error) => return impossible(format!("cannot read the connections: {error}")),
    };
    let interfaces = snapshot.config.interfaces.iter().filter(|interface| interface.enabled);
    let counted = interfaces.map(|interface| {
        let count = counts.get(&mask.interface(interface.id)).copied().unwrap_or(0);
        (interface.name.clone(), count.into())
    });
    Ok(Value::Object(counted.collect()))
}
