//! `mwan3 explain --flow`: the mark that a connection carries, and what today's rules would give it.

use std::net::IpAddr;

use crate::config::Config;
use crate::json::{Json, Object};
use crate::plan::explain::Stage;
use crate::plan::{Explanation, Question, protocol_name};

use super::{put_list, stage_name, stage_text, verdict};

/// What the list may take, in bytes.
const FLOWS_ROOM: usize = 6_000;

/// A connection that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// As its first packet came; the mark is the connection's.
    pub question: Question,
    pub is_answered: bool,
    /// Where answers are sent: our own address where the source was translated.
    pub answered_to: IpAddr,
}

/// What it keeps to.
enum Kept<'a> {
    Uplink(&'a str),
    Main,
    /// Its mark, which is no uplink's just now.
    Nobody(u32),
    Nothing,
}

pub fn flow_text(config: &Config, flow: &Flow, today: &Explanation<'_>) -> String {
    let kept = kept(config, flow.question.mark);
    let mark = flow.question.mark & config.globals.mask.bits();
    let keeps = match kept {
        Kept::Uplink(name) => format!("its connection carries mark {mark:#x}: uplink {name}, until it ends"),
        Kept::Main => format!("its connection carries mark {mark:#x}: table main"),
        Kept::Nobody(mark) => format!("its connection carries mark {mark:#x}, which is no uplink's"),
        Kept::Nothing => "its connection carries no mark of ours: table main".to_owned(),
    };
    let question = &flow.question;
    let port = |port: Option<u16>| port.map(|port| format!(" port {port}")).unwrap_or_default();
    let translated = match question.source {
        Some(source) if source != flow.answered_to => format!(", source translated to {}", flow.answered_to),
        _ => String::new(),
    };
    let same = if is_same(config, flow, today) { "the same" } else { "ANOTHER WAY" };
    format!(
        "{} from {}{} to {}{}{}\n  {keeps}{translated}\n  today's rules: {}: {}: {same}\n",
        question.protocol.map(protocol_name).unwrap_or_default(),
        question.source.map(|source| source.to_string()).unwrap_or_default(),
        port(question.source_port),
        question.destination,
        port(question.destination_port),
        if flow.is_answered { "" } else { ", not answered yet" },
        stage_text(config, &today.stage),
        ends(today).join(" or "),
    )
}

pub fn flows_json(config: &Config, flows: &[(Flow, Explanation<'_>)]) -> Json {
    let (mut object, mut told) = (Object::new(), Vec::new());
    for (flow, today) in flows {
        told.push(flow_json(config, flow, today));
    }
    put_list(&mut object, "flows", FLOWS_ROOM, told);
    Json::Object(object)
}

fn flow_json(config: &Config, flow: &Flow, today: &Explanation<'_>) -> Json {
    let question = &flow.question;
    let (keeps, interface) = match kept(config, question.mark) {
        Kept::Uplink(name) => ("uplink", name),
        Kept::Main => ("main", ""),
        Kept::Nobody(_) => ("nobody", ""),
        Kept::Nothing => ("none", ""),
    };
    let mut object = Object::new();
    object.flag("answered", flow.is_answered);
    object.text("answered_to", &flow.answered_to.to_string());
    object.text("dest", &question.destination.to_string());
    object.text("interface", interface);
    object.text("keeps", keeps);
    object.text("mark", &format!("{:#x}", question.mark & config.globals.mask.bits()));
    object.number("port", question.destination_port.unwrap_or(0).into());
    object.text("proto", &question.protocol.map(protocol_name).unwrap_or_default());
    object.flag("same", is_same(config, flow, today));
    object.number("sport", question.source_port.unwrap_or(0).into());
    object.text("src", &question.source.map(|source| source.to_string()).unwrap_or_default());
    object.put("today", today_json(today));
    Json::Object(object)
}

fn today_json(today: &Explanation<'_>) -> Json {
    let rule = if let Stage::Rule(decision) = &today.stage { &decision.rule.name } else { "" };
    let mut object = Object::new();
    object.text("interfaces", &ends(today).join(" "));
    object.text("rule", rule);
    object.text("stage", stage_name(&today.stage));
    object.text("verdict", verdict(today));
    Json::Object(object)
}

fn kept(config: &Config, mark: u32) -> Kept<'_> {
    let mask = config.globals.mask;
    let mark = mark & mask.bits();
    match config.interfaces.iter().find(|one| mask.interface(one.id) == mark) {
        _ if mark == 0 => Kept::Nothing,
        _ if mark == mask.default_mark() => Kept::Main,
        Some(found) => Kept::Uplink(&found.name),
        None => Kept::Nobody(mark),
    }
}

/// Whether today's rules may send it where it goes.
fn is_same(config: &Config, flow: &Flow, today: &Explanation<'_>) -> bool {
    match kept(config, flow.question.mark) {
        Kept::Uplink(name) => today.ways.iter().any(|way| way.interface == Some(name)),
        Kept::Main | Kept::Nothing => matches!(verdict(today), "main" | "router"),
        Kept::Nobody(mark) => today.ways.iter().any(|way| way.mark == mark),
    }
}

fn ends<'a>(today: &Explanation<'a>) -> Vec<&'a str> {
    today.ways.iter().map(|way| way.interface.unwrap_or_else(|| verdict(today))).collect()
}
