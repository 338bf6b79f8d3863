//! `mwan3 explain`: which way a packet takes, in words and as JSON. The names in the JSON are a contract: pages
//! read them. It has no fractions and no nulls, and stays below 8 kB.

mod flow;

pub use flow::{Flow, flow_text, flows_json};

use crate::config::Config;
use crate::json::{Json, Object};
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
    for way in &answer.ways {
        let percent = percent_of(way, &answer.ways);
        let share = if answer.ways.len() > 1 { format!(" {percent} %") } else { String::new() };
        text.push_str(&format!("  {}{share}: {}\n", way.interface.unwrap_or("-"), way_text(way)));
    }
    for Standing { interface, state, metric, .. } in &answer.members {
        if *state != "active" {
            text.push_str(&format!("  {interface} is {state} (tier {metric})\n"));
        }
    }
    push_list(&mut text, "Why", &why(answer));
    push_list(&mut text, "Rules that would take it if more were known", &passed_texts(&answer.possible));
    push_list(&mut text, "Rules that do not match", &passed_texts(&answer.passed));
    text
}

fn push_list(text: &mut String, title: &str, lines: &[String]) {
    if !lines.is_empty() {
        text.push_str(&format!("{title}:\n"));
        for line in lines {
            text.push_str(&format!("  {line}\n"));
        }
    }
}

pub fn explain_json(config: &Config, question: &Question, answer: &Explanation<'_>) -> Json {
    let mut object = Object::new();
    put_question(question, answer, &mut object);
    object.text("stage", stage_name(&answer.stage));
    object.text("verdict", verdict(answer));
    object.flag("certain", answer.possible.is_empty());
    if let Stage::Rule(decision) = &answer.stage {
        put_decision(decision, &mut object);
    }
    object.number("rules", config.rules.len() as u64);
    let (mut ways, mut members, mut reasons) = (Vec::new(), Vec::new(), Vec::new());
    for way in &answer.ways {
        ways.push(way_json(way, percent_of(way, &answer.ways)));
    }
    for member in &answer.members {
        members.push(member_json(member));
    }
    for reason in why(answer) {
        reasons.push(Json::Text(reason));
    }
    put_list(&mut object, "ways", WAYS_ROOM, ways);
    put_list(&mut object, "members", MEMBERS_ROOM, members);
    put_list(&mut object, "maybe", RULES_ROOM, passed_json(&answer.possible));
    put_list(&mut object, "not_matched", RULES_ROOM, passed_json(&answer.passed));
    put_list(&mut object, "why", WHY_ROOM, reasons);
    object.sort();
    Json::Object(object)
}

fn put_question(question: &Question, answer: &Explanation<'_>, object: &mut Object) {
    object.text("family", question.family().name());
    if let Some(source) = answer.source {
        object.text("src", &source.to_string());
    }
    object.text("dest", &question.destination.to_string());
    if let Some(protocol) = question.protocol {
        object.text("proto", &protocol_name(protocol));
    }
    if let Some(port) = question.source_port {
        object.number("sport", port.into());
    }
    if let Some(port) = question.destination_port {
        object.number("port", port.into());
    }
    if let Some(device) = &question.input_device {
        object.text("device", device);
    }
}

fn put_decision(decision: &Decision<'_>, object: &mut Object) {
    object.text("rule", &decision.rule.name);
    object.number("rule_number", decision.position as u64);
    if let Some(policy) = decision.policy {
        object.text("policy", &policy.name);
    }
    object.flag("sticky", decision.rule.sticky_s.is_some());
    if let Some(uplink) = decision.remembered {
        object.text("remembered", uplink);
    }
    if let Some(last_resort) = decision.last_resort {
        object.text("last_resort", last_resort_name(last_resort));
    }
}

/// The first of them, and how many more there are.
fn put_list(object: &mut Object, name: &str, room: usize, mut values: Vec<Json>) {
    let (mut taken, mut shown) = (0, 0);
    for value in &values {
        taken += value.to_string().len() + 1;
        if taken > room {
            break;
        }
        shown += 1;
    }
    let more = values.len() - shown;
    values.truncate(shown);
    object.put(name, Json::Array(values));
    object.number(&format!("{name}_more"), more as u64);
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
    for way in &answer.ways {
        reasons.extend(trouble_of(way));
    }
    reasons.extend_from_slice(&answer.notes);
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

fn way_json(way: &Way<'_>, percent: u64) -> Json {
    let mut object = Object::new();
    let place = match &way.place {
        Place::Leaves(hop) => {
            object.number("table", hop.table.into());
            object.text("device", &hop.devices.join(" "));
            if let Some(gateway) = hop.gateway {
                object.text("gateway", &gateway.to_string());
            }
            if let Some(source) = way.source {
                object.text("source", &source.to_string());
            }
            "leaves"
        }
        Place::Delivered => "router",
        Place::Unreachable => "unreachable",
        Place::Blackhole => "blackhole",
    };
    object.text("interface", way.interface.unwrap_or_default());
    object.number("percent", percent);
    object.number("weight", way.weight.into());
    object.text("mark", &format!("{:#x}", way.mark));
    object.text("place", place);
    object.sort();
    Json::Object(object)
}

fn member_json(member: &Standing<'_>) -> Json {
    let mut object = Object::new();
    object.text("interface", member.interface);
    object.number("metric", member.metric.into());
    object.text("state", member.state);
    object.number("weight", member.weight.into());
    Json::Object(object)
}

fn passed_texts(passed: &[Passed<'_>]) -> Vec<String> {
    let mut texts = Vec::new();
    for Passed { rule, position, test, found } in passed {
        let found = found.as_ref().map(|found| format!(": it is {found}")).unwrap_or_default();
        texts.push(format!("{} ({position}): {test}{found}", rule.name));
    }
    texts
}

fn passed_json(passed: &[Passed<'_>]) -> Vec<Json> {
    let mut told = Vec::new();
    for one in passed {
        let mut object = Object::new();
        object.text("found", one.found.as_deref().unwrap_or_default());
        object.number("number", one.position as u64);
        object.text("rule", &one.rule.name);
        object.text("test", &one.test);
        told.push(Json::Object(object));
    }
    told
}

/// Of all weights, rounded down as everywhere.
fn percent_of(way: &Way<'_>, ways: &[Way<'_>]) -> u64 {
    let mut total = 0;
    for way in ways {
        total += u64::from(way.weight);
    }
    (u64::from(way.weight) * 100).checked_div(total).unwrap_or(0)
}
