//! Commands that ask the tracker: events, histories, a test right now.

use std::time::Duration;

use serde_json::Value;

use crate::control::{ask, follow};
use crate::system::failure::{Context, Result, failure};
use crate::system::files::Directories;

use super::ExitCode;
use super::options::Arguments;

const PATIENCE: Duration = Duration::from_secs(5);
/// A test takes as long as the interface's timeout.
const TEST_PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn events(arguments: &Arguments) -> Result<ExitCode> {
    let socket = Directories::from_environment().control_socket();
    let show = |event: &Value| {
        if arguments.is_json { say!("{event}") } else { say!("{}", event_line(event)) }
    };
    if arguments.follows {
        let found = follow(&socket, "follow 0", None, |event| {
            show(&event);
            true
        });
        return if found.context("cannot ask the tracker")? { Ok(0) } else { no_tracker() };
    }
    let answer = request("events 0", PATIENCE)?;
    answer.as_array().into_iter().flatten().for_each(show);
    Ok(0)
}

pub(super) fn history(arguments: &Arguments) -> Result<ExitCode> {
    let Some(name) = arguments.words.first() else { return usage("history", arguments) };
    let answer = request(&format!("history {name}"), PATIENCE)?;
    if arguments.is_json {
        say!("{answer}");
        return Ok(0);
    }
    say!("{} is {}", text(&answer, "interface"), text(&answer, "status"));
    for target in answer["targets"].as_array().into_iter().flatten() {
        say!(
            " {}: {} answered, {} lost ({}%), round trip {} ms, jitter {} ms, 95 % within {} ms",
            text(target, "target"),
            target["answered"],
            target["lost"],
            tenths(target["loss_permille"].as_u64().unwrap_or(0)),
            tenths(target["mean_us"].as_u64().unwrap_or(0) / 100),
            tenths(target["jitter_us"].as_u64().unwrap_or(0) / 100),
            tenths(target["p95_us"].as_u64().unwrap_or(0) / 100),
        );
    }
    Ok(0)
}

pub(super) fn test(arguments: &Arguments) -> Result<ExitCode> {
    let Some(name) = arguments.words.first() else { return usage("test", arguments) };
    let answer = request(&format!("test {name}"), TEST_PATIENCE)?;
    if arguments.is_json {
        say!("{answer}");
    } else {
        for target in answer["targets"].as_array().into_iter().flatten() {
            match target["round_trip_us"].as_u64() {
                Some(time) => {
                    say!(" {} answered after {} ms", text(target, "target"), tenths(time / 100))
                }
                None => say!(" {} did not: {}", text(target, "target"), text(target, "reason")),
            }
        }
        say!("{}", text(&answer, "verdict"));
    }
    Ok(u8::from(answer["good"] != true))
}

fn request(line: &str, patience: Duration) -> Result<Value> {
    let socket = Directories::from_environment().control_socket();
    let Some(answer) = ask(&socket, line, patience).context("cannot ask the tracker")? else {
        return no_tracker();
    };
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(failure!("{error}")),
        None => Ok(answer),
    }
}

fn no_tracker<T>() -> Result<T> {
    Err(failure!("no tracker runs: start the service, or run 'mwan3 track'"))
}

fn usage(verb: &str, arguments: &Arguments) -> Result<ExitCode> {
    complain!("Expecting interface. Usage: mwan3 {verb} <interface>");
    Ok(arguments.usage_code().max(2))
}

fn event_line(event: &Value) -> String {
    let ago = event["ago_s"].as_u64().unwrap_or(0);
    let age = format!("{}h{:02}m{:02}s ago", ago / 3600, ago / 60 % 60, ago % 60);
    format!(
        "{age:>14}  {:<12} {:<14} {}",
        text(event, "interface"),
        text(event, "event"),
        text(event, "reason")
    )
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

/// 123 as "12.3".
fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}
