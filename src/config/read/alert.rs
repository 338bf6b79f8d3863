//! Alert sections: whom to tell. An address that cannot be used is left out; a section without any is skipped.

use crate::config::fields::{Fields, LEFT_OUT};
use crate::config::options::{ALERT_METHODS, SectionKind};
use crate::config::problem::{Problem, Severity};
use crate::config::value::{self, Parsed};
use crate::config::{Alert, AlertMethod};

use super::{Sections, suggestion};

pub(super) fn read_all(sections: &Sections<'_>, file: &str, problems: &mut Vec<Problem>) -> Vec<Alert> {
    let interfaces: Vec<&str> = sections.of(SectionKind::Interface).map(|section| &*section.name).collect();
    let mut alerts = Vec::new();
    for section in sections.of(SectionKind::Alert) {
        let mut fields = Fields::new(section, SectionKind::Alert, file, problems);
        if fields.boolean("enabled") {
            alerts.extend(read(&mut fields, &interfaces));
        }
    }
    alerts
}

fn read(fields: &mut Fields<'_>, known: &[&str]) -> Option<Alert> {
    let Some(method) = fields.optional("method", LEFT_OUT, &|text| value::choice(text, ALERT_METHODS)) else {
        if !fields.has("method") {
            fields.report_section(Severity::Error, "names no method; the alert is skipped");
        }
        return None;
    };
    let (method, parse): (AlertMethod, fn(&str) -> Parsed<String>) = match method {
        "mail" => {
            let from = fields.optional("from", LEFT_OUT, &mail_address);
            (AlertMethod::Mail { from, server: fields.optional("smtp", LEFT_OUT, &server) }, mail_address)
        }
        "webhook" => (AlertMethod::Webhook, web_address),
        "scripts" => (AlertMethod::Scripts, path),
        _ => (AlertMethod::StatusFile, path),
    };
    let to = fields.list("to", &parse);
    if to.is_empty() {
        fields.report_section(Severity::Error, "has nobody to tell (option to); the alert is skipped");
        return None;
    }
    let events: Vec<String> = fields.list("event", &event);
    Some(Alert {
        name: fields.name(),
        method,
        to,
        interfaces: interfaces(fields, known),
        tells_connected: events.is_empty() || events.iter().any(|event| event == "connected"),
        tells_disconnected: events.is_empty() || events.iter().any(|event| event == "disconnected"),
        interval_ms: fields.duration_ms("interval"),
    })
}

fn interfaces(fields: &mut Fields<'_>, known: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for item in fields.items("interface") {
        if !known.contains(&item.text.as_str()) {
            let closest = suggestion(&item.text, &mut known.iter().copied());
            let text = format!("no such interface{closest}");
            fields.report_item(Severity::Warning, "interface", &item, &text);
        }
        // Kept all the same: leaving the only one out would mean all of them.
        found.push(item.text);
    }
    found
}

fn event(text: &str) -> Parsed<String> {
    match text {
        "connected" | "disconnected" => Ok(text.to_owned()),
        _ => Err("not one of connected, disconnected".to_owned()),
    }
}

/// Only what cannot break out of a mail's header or a server's command.
fn mail_address(text: &str) -> Parsed<String> {
    // Brackets, quotes and separators have a meaning there.
    let is_plain =
        text.chars().all(|letter| letter.is_ascii_alphanumeric() || "@._%+-=/~!#$&'*?^`{|}".contains(letter));
    match text.split_once('@') {
        Some((name, host)) if is_plain && !name.is_empty() && !host.is_empty() => Ok(text.to_owned()),
        _ => Err("not a mail address".to_owned()),
    }
}

fn web_address(text: &str) -> Parsed<String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_good = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_good { Ok(text.to_owned()) } else { Err("not an http:// or https:// address".to_owned()) }
}

fn path(text: &str) -> Parsed<String> {
    let is_good = text.starts_with('/') && text.len() > 1 && !text.contains('\0');
    if is_good { Ok(text.to_owned()) } else { Err("not an absolute path".to_owned()) }
}

/// `192.168.1.2`, `mail.lan:2525`, `[fd00::2]:25`.
fn server(text: &str) -> Parsed<String> {
    let is_host = |host: &str| {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:_%".contains(&byte))
    };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (text, "25"),
    };
    let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_host(host) && is_port {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host = if bare.contains(':') { format!("[{bare}]") } else { bare.to_owned() };
        return Ok(format!("{host}:{port}"));
    }
    Err("not a host, or host:port".to_owned())
}
