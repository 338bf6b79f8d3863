//! Commands that ask the tracker: events, histories, a test right now.

use std::time::Duration;

use crate::control::{ask, follow};
use crate::json::Json;
use crate::system::failure::{Context, Result, failure};
use crate::system::files::Directories;

use super::ExitCode;
use super::options::Arguments;

const PATIENCE: Duration = Duration::from_secs(5);
/// A test takes as long as the interface's timeout.
const TEST_PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn events(arguments: &Arguments) -> Result<ExitCode> {
    let socket = Directories::from_environment().control_socket();
    let show = |event: &Json| {
        if arguments.is_json { say!("{event}") } else { say!("{}", event_line(event)) }
    };
    if arguments.follows {
        let found = follow(&socket, "follow 0", None, &mut |event| {
            show(&event);
            true
        });
        return if found.context("cannot ask the tracker")? { Ok(0) } else { no_tracker() };
    }
    let answer = request("events 0", PATIENCE)?;
    answer.as_array().unwrap_or_default().iter().for_each(show);
    Ok(0)
}

pub(super) fn history(arguments: &Arguments) -> Result<ExitCode> {
    let Some(name) = arguments.words.first() else { return usage("history", arguments) };
    let answer = request(&format!("history {name}"), PATIENCE)?;
    if arguments.is_json {
        say!("{answer}");
        return Ok(0);
    }
    say!("{} is {}", answer.text("interface"), answer.text("status"));
    for target in answer.items("targets") {
        let number = |name: &str| target.number(name).unwrap_or(0);
        say!(
            " {}: {} answered, {} lost ({}%), round trip {} ms, jitter {} ms, 95 % within {} ms",
            target.text("target"),
            number("answered"),
            number("lost"),
            tenths(number("loss_permille")),
            tenths(number("mean_us") / 100),
            tenths(number("jitter_us") / 100),
            tenths(number("p95_us") / 100),
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
        for target in answer.items("targets") {
            let name = target.text("target");
            match target.number("round_trip_us") {
                Some(time) => say!(" {name} answered after {} ms", tenths(time / 100)),
                None => say!(" {name} did not: {}", target.text("reason")),
            }
        }
        say!("{}", answer.text("verdict"));
    }
    Ok(u8::from(answer.get("good").and_then(Json::as_bool) != Some(true)))
}

fn request(line: &str, patience: Duration) -> Result<Json> {
    let socket = Directories::from_environment().control_socket();
    let Some(answer) = ask(&socket, line, patience).context("cannot ask the tracker")? else {
        return no_tracker();
    };
    match answer.get("error").and_then(Json::as_str) {
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

fn event_line(event: &Json) -> String {
    let ago = event.number("ago_s").unwrap_or(0);
    let age = format!("{}h{:02}m{:02}s ago", ago / 3600, ago / 60 % 60, ago % 60);
    format!("{age:>14}  {:<12} {:<14} {}", event.text("interface"), event.text("event"), event.text("reason"))
}

/// 123 as "12.3".
fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}
