//! `mwan3 explain`: which way a packet takes, in words and as JSON. The names in the JSON are a contract: pages
//! read them. It has no fractions and no nulls, and stays below 8 kB.

mod flow;

use serde_json::{Map, Value, json};

pub use flow::{Flow, flow_text, flows_json};

use crate::config::Config;
use crate::plan::explain::{Decision, Hop, Passed, Place, Stage, Standing, Way};
use crate::plan::{Explanation, Question, protocol_name};

use super::policies::last_resort_name;

/// What each list of the JSON may take, in bytes.
const WAYS_ROOM: usize = 2_200;
const MEMBERS_ROOM: usize = 1_400;
const RULES_ROOM: usize = 1_200;
const WHY_ROOM: usize = 900;

pub fn explain_text(config: &Config, question: &Question, answer: &Explanation<'_>) -> String {
    let mut text = format!("{}\n", question_text(question, answer));
    text.push_str(&format!("{}: {}\n", stage_text(config, &answer.stage), verdict(answer)));
    let shares = percentages(&answer.ways);
    for (way, percent) in answer.ways.iter().zip(shares) {
        let share = if answer.ways.len() > 1 { format!(" {percent} %") } else { String::new() };
        text.push_str(&format!("  {}{share}: {}\n", way.interface.unwrap_or("-"), way_text(way)));
    }
    for member in answer.members.iter().filter(|member| member.state != "active") {
        text.push_str(&format!("  {} is {} (tier {})\n", member.interface, member.state, member.metric));
    }
    let mut list = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("{title}:\n"));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    };
    list("Why", why(answer));
    list("Rules that would take it if more were known", answer.possible.iter().map(passed_text).collect());
    list("Rules that do not match", answer.passed.iter().map(passed_text).collect());
    text
}

pub fn explain_json(config: &Config, question: &Question, answer: &Explanation<'_>) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            object.insert(name.to_owned(), value);
        }
    };
    put("family", json!(question.family()));
    put("src", json!(answer.source));
    put("dest", json!(question.destination));
    put("proto", json!(question.protocol.map(protocol_name)));
    put("sport", json!(question.source_port));
    put("port", json!(question.destination_port));
    put("device", json!(question.input_device));
    put("stage", json!(stage_name(&answer.stage)));
    put("verdict", json!(verdict(answer)));
    put("certain", json!(answer.possible.is_empty()));
    if let Stage::Rule(decision) = &answer.stage {
        put("rule", json!(decision.rule.name));
        put("rule_number", json!(decision.position));
        put("policy", json!(decision.policy.map(|policy| &policy.name)));
        put("sticky", json!(decision.rule.sticky_s.is_some()));
        put("remembered", json!(decision.remembered));
        put("last_resort", json!(decision.last_resort.map(last_resort_name)));
    }
    put("rules", json!(config.rules.len()));
    let shares = percentages(&answer.ways);
    let ways = answer.ways.iter().zip(shares).map(|(way, percent)| way_json(way, percent));
    let mut put_list = |name: &str, room: usize, values: Vec<Value>| {
        let (shown, more) = within(room, values);
        put(name, Value::Array(shown));
        put(&format!("{name}_more"), json!(more));
    };
    put_list("ways", WAYS_ROOM, ways.collect());
    put_list("members", MEMBERS_ROOM, answer.members.iter().map(member_json).collect());
    put_list("maybe", RULES_ROOM, answer.possible.iter().map(passed_json).collect());
    put_list("not_matched", RULES_ROOM, answer.passed.iter().map(passed_json).collect());
    put_list("why", WHY_ROOM, why(answer).into_iter().map(Value::String).collect());
    Value::Object(object)
}

/// `uplink`, `main`, `router`, `unreachable` or `blackhole`.
pub fn verdict(answer: &Explanation<'_>) -> &'static str {
    let Some(way) = answer.ways.first() else { return "unreachable" };
    match (&way.place, way.interface) {
        (Place::Leaves(_), Some(_)) => "uplink",
        (Place::Leaves(_), None) => "main",
        (Place::Delivered, _) => "router",
        (Place::Unreachable, _) => "unreachable",
        (Place::Blackhole, _) => "blackhole",
    }
}

fn stage_name(stage: &Stage<'_>) -> &'static str {
    match stage {
        Stage::NeighbourDiscovery => "neighbour-discovery",
        Stage::Marked => "marked",
        Stage::CameIn { .. } => "came-in",
        Stage::KnownSource { .. } => "known-source",
        Stage::KnownDestination { .. } => "known-destination",
        Stage::Rule(_) => "rule",
        Stage::NoRule => "no-rule",
    }
}

fn question_text(question: &Question, answer: &Explanation<'_>) -> String {
    let protocol = question.protocol.map_or_else(|| "any protocol".to_owned(), protocol_name);
    let port = |port: Option<u16>| port.map(|port| format!(" port {port}")).unwrap_or_default();
    let source = answer.source.map_or_else(|| "an unknown address".to_owned(), |source| source.to_string());
    let whence = match &question.input_device {
        Some(device) => format!(" by {device}"),
        None => " (the router itself)".to_owned(),
    };
    format!(
        "{protocol} from {source}{}{whence} to {}{}",
        port(question.source_port),
        question.destination,
        port(question.destination_port)
    )
}

fn stage_text(config: &Config, stage: &Stage<'_>) -> String {
    match stage {
        Stage::NeighbourDiscovery => "neighbour discovery, left alone".to_owned(),
        Stage::Marked => "marked before us".to_owned(),
        Stage::CameIn { interface } => format!("came in by uplink {interface}"),
        Stage::KnownSource { interface, set } => format!("came in by {interface} from a network in {set}"),
        Stage::KnownDestination { set } => format!("the destination is in {set}"),
        Stage::NoRule => "no rule matches".to_owned(),
        Stage::Rule(decision) => {
            let number = format!("{} of {}", decision.position, config.rules.len());
            let policy = decision.policy.map(|policy| format!(", policy {}", policy.name));
            let sticky = if decision.rule.sticky_s.is_some() { ", sticky" } else { "" };
            format!("rule {} ({number}){}{sticky}", decision.rule.name, policy.unwrap_or_default())
        }
    }
}

fn why(answer: &Explanation<'_>) -> Vec<String> {
    let mut reasons = match &answer.stage {
        Stage::NeighbourDiscovery => {
            vec!["neighbour discovery must not leave by any other device: it is never marked".to_owned()]
        }
        Stage::Marked => vec!["the packet carries a mark of ours already: rules are not asked".to_owned()],
        Stage::CameIn { interface } => vec![format!(
            "a connection that comes in by an uplink belongs to it: its answers leave by {interface}, too"
        )],
        Stage::KnownSource { .. } | Stage::KnownDestination { .. } => {
            vec!["what the router reaches directly is left to table main: rules are not asked".to_owned()]
        }
        Stage::NoRule => vec![
            "without a rule table main decides".to_owned(),
            "an answer that comes in by an uplink gives the connection to that uplink".to_owned(),
        ],
        Stage::Rule(decision) => why_rule(decision, answer),
    };
    reasons.extend(answer.ways.iter().filter_map(trouble_of));
    reasons.extend(answer.notes.iter().cloned());
    reasons
}

fn why_rule(decision: &Decision<'_>, answer: &Explanation<'_>) -> Vec<String> {
    let mut reasons = vec![match answer.passed.len() {
        0 => format!("rule {} is the first that matches", decision.rule.name),
        count => format!("rule {} is the first that matches, {count} before it do not", decision.rule.name),
    }];
    if let Some(uplink) = decision.remembered {
        reasons.push(format!("the rule is sticky and remembers {uplink} for this source"));
    } else if decision.rule.sticky_s.is_some() && decision.last_resort.is_none() {
        reasons.push("the rule is sticky, and remembers nothing for this source yet".to_owned());
    }
    let Some(policy) = decision.policy else {
        reasons.push("the rule leads to no policy".to_owned());
        return reasons;
    };
    let tier = answer.members.iter().find(|member| member.state == "active").map(|member| member.metric);
    let is_usable = |state: &str| ["standby", "on probation"].contains(&state);
    let is_lower = |metric: u32| tier.is_some_and(|tier| metric < tier);
    let waits_for_lower =
        answer.members.iter().any(|member| member.state == "on probation" && is_lower(member.metric));
    reasons.push(match (decision.last_resort, tier) {
        (Some(last_resort), _) if answer.members.is_empty() => {
            let name = last_resort_name(last_resort);
            format!("policy {} has no member of this family: its last resort is {name}", policy.name)
        }
        (Some(last_resort), _) if answer.members.iter().any(|member| is_usable(member.state)) => {
            let name = last_resort_name(last_resort);
            format!("policy {} uses no member just now: its last resort is {name}", policy.name)
        }
        (Some(last_resort), _) => {
            let name = last_resort_name(last_resort);
            format!("no member of policy {} is usable: its last resort is {name}", policy.name)
        }
        (None, Some(tier)) if waits_for_lower => format!(
            "tier {tier} is the lowest of policy {} with a usable member that is not on probation",
            policy.name
        ),
        (None, Some(tier)) => {
            format!("tier {tier} is the lowest of policy {} with a usable member", policy.name)
        }
        (None, None) => format!("policy {} decides", policy.name),
    });
    reasons
}

/// A mark whose table has no answer is refused rather than sent another way.
fn trouble_of(way: &Way<'_>) -> Option<String> {
    let interface = way.interface.filter(|_| matches!(way.place, Place::Unreachable | Place::Blackhole))?;
    Some(format!("the table of {interface} has no way to the destination: the packet is refused"))
}

fn way_text(way: &Way<'_>) -> String {
    let mark = if way.mark == 0 { "no mark".to_owned() } else { format!("mark {:#x}", way.mark) };
    match &way.place {
        Place::Delivered => format!("{mark}, for the router itself"),
        Place::Unreachable => format!("{mark}, refused with an answer"),
        Place::Blackhole => format!("{mark}, dropped in silence"),
        Place::Leaves(Hop { table, devices, gateway, .. }) => {
            let gateway = gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
            let source = way.source.map(|source| format!(", source {source}")).unwrap_or_default();
            format!("{mark}, table {},{gateway} dev {}{source}", table_name(*table), devices.join(" or "))
        }
    }
}

fn table_name(table: u32) -> String {
    match table {
        254 => "main".to_owned(),
        255 => "local".to_owned(),
        253 => "default".to_owned(),
        number => number.to_string(),
    }
}

fn way_json(way: &Way<'_>, percent: u32) -> Value {
    let mut object = Map::new();
    let place = match &way.place {
        Place::Leaves(hop) => {
            object.insert("table".to_owned(), json!(hop.table));
            object.insert("device".to_owned(), json!(hop.devices.join(" ")));
            if let Some(gateway) = hop.gateway {
                object.insert("gateway".to_owned(), json!(gateway));
            }
            if let Some(source) = way.source {
                object.insert("source".to_owned(), json!(source));
            }
            "leaves"
        }
        Place::Delivered => "router",
        Place::Unreachable => "unreachable",
        Place::Blackhole => "blackhole",
    };
    object.insert("interface".to_owned(), json!(way.interface.unwrap_or_default()));
    object.insert("percent".to_owned(), json!(percent));
    object.insert("weight".to_owned(), json!(way.weight));
    object.insert("mark".to_owned(), json!(format!("{:#x}", way.mark)));
    object.insert("place".to_owned(), json!(place));
    Value::Object(object)
}

fn member_json(member: &Standing<'_>) -> Value {
    json!({
        "interface": member.interface,
        "metric": member.metric,
        "weight": member.weight,
        "state": member.state,
    })
}

fn passed_text(passed: &Passed<'_>) -> String {
    let found = match &passed.found {
        Some(found) => format!(": it is {found}"),
        None => String::new(),
    };
    format!("{} ({}): {}{found}", passed.rule.name, passed.position, passed.test)
}

fn passed_json(passed: &Passed<'_>) -> Value {
    json!({
        "rule": passed.rule.name,
        "number": passed.position,
        "test": passed.test,
        "found": passed.found.as_deref().unwrap_or_default(),
    })
}

/// Of the weights, rounded down as everywhere.
fn percentages(ways: &[Way<'_>]) -> Vec<u32> {
    let total: u64 = ways.iter().map(|way| u64::from(way.weight)).sum();
    let percent = |way: &Way<'_>| (u64::from(way.weight) * 100).checked_div(total).unwrap_or(0) as u32;
    ways.iter().map(percent).collect()
}

/// The first of them, and how many more there are.
fn within(room: usize, values: Vec<Value>) -> (Vec<Value>, usize) {
    let (count, mut taken) = (values.len(), 0);
    let shown: Vec<Value> = values
        .into_iter()
        .take_while(|value| {
            taken += value.to_string().len() + 1;
            taken <= room
        })
        .collect();
    let more = count - shown.len();
    (shown, more)
}
