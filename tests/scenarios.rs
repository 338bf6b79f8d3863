//! Scenario files: `at 10s probes 1.1.1.1 lost` is an input, `at 11s => ...` what must come of it. Every action but
//! the probes themselves must be listed, so a scenario also proves that nothing else happened. `files` lines show what
//! changed. MWAN3_WRITE_SCENARIOS=1 writes the expectations anew, to be read before they are committed.

mod world;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use mwan3::config::{DailyWindow, Failback, Interface, Quality, Tracking};
use mwan3::health::{Action, Adopted, Event, Level, LinkFault, Snapshot};

use world::{Behaviour, World, attachment, interface};

#[test]
fn every_scenario_does_exactly_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(folder).expect("the folder of scenarios");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "scenarios are missing");
    let rewrite = std::env::var_os("MWAN3_WRITE_SCENARIOS").is_some();
    let mut failures = String::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a readable scenario");
        let played = play(&text);
        if rewrite {
            std::fs::write(&path, played).expect("a writable scenario");
        } else if played != text {
            let _ = writeln!(failures, "{}:\n{}", path.display(), first_difference(&text, &played));
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn an_unlisted_action_is_noticed() {
    let text = "set targets 1.1.1.1\nat 0s start eth1 192.0.2.2\nat 1s end\n";
    assert!(first_difference(text, &play(text)).contains("+ at 0s => go disabled -> online"));
}

/// The scenario's own text with the expectations replaced by what happened.
fn play(text: &str) -> String {
    let (mut tracking, mut failback) = (Tracking::default(), Failback::default());
    let mut world: Option<World> = None;
    let mut shown = Shown::default();
    let mut played = String::new();
    for line in text.lines().filter(|line| !line.contains(" => ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["set", "failback_delay", delay] => {
                failback.delay_ms = duration(delay).as_millis() as u32;
                failback.longest_delay_ms = failback.longest_delay_ms.max(failback.delay_ms);
            }
            ["set", "failback_delay_max", delay] => {
                failback.longest_delay_ms = duration(delay).as_millis() as u32;
            }
            ["set", "failback_window", from, to] => {
                failback.window = Some(DailyWindow { from_min: minute(from), to_min: minute(to) });
            }
            ["set", option, values @ ..] => set(&mut tracking, option, values),
            ["at", at, input @ ..] => {
                let at = duration(at);
                let world = world.get_or_insert_with(|| {
                    let mut world = World::new(tracking.clone());
                    world.damping.configure(failback);
                    world
                });
                world.run_up_to(at);
                shown.write(world, &mut played);
                match input {
                    ["end"] => {
                        world.run_until(at);
                        shown.write(world, &mut played);
                    }
                    ["clock", time] => world.clock = (at, minute(time)),
                    input => apply(world, input),
                }
            }
            _ => {}
        }
        let _ = writeln!(played, "{line}");
        if let Some(world) = &mut world {
            shown.write(world, &mut played);
        }
    }
    played
}

fn minute(time: &str) -> u32 {
    let (hour, minute) = time.split_once(':').expect("HH:MM");
    hour.parse::<u32>().expect("an hour") * 60 + minute.parse::<u32>().expect("a minute")
}

fn apply(world: &mut World, input: &[&str]) {
    let event = match input {
        ["start"] => Event::Start(None),
        ["start", device, source] => Event::Start(Some(attachment(device, Some(source)))),
        ["adopt", files @ .., "on", device, source] => {
            Event::Adopt(adopted(files), Some(attachment(device, Some(source))))
        }
        ["adopt", files @ ..] => Event::Adopt(adopted(files), None),
        ["up", device, source] => Event::InterfaceUp(attachment(device, Some(source))),
        ["down"] => Event::InterfaceDown,
        ["address", device, "none"] => Event::AddressChanged(attachment(device, None)),
        ["address", device, source] => Event::AddressChanged(attachment(device, Some(source))),
        ["link", "back"] => Event::LinkBack,
        ["link", "lost", "carrier"] => Event::LinkDown(LinkFault::Carrier),
        ["link", "lost", "device"] => Event::LinkDown(LinkFault::Device),
        ["gateway", address, "unreachable"] => {
            Event::GatewayUnreachable(address.parse().expect("an address"))
        }
        ["forced", "down"] => Event::ForcedDown,
        ["forced", "up"] => Event::ForcedUp,
        ["set", option, values @ ..] => {
            let mut interface: Interface = interface(world.link.interface().tracking.clone());
            set(&mut interface.tracking, option, values);
            Event::ConfigChanged(Box::new(interface))
        }
        ["probes", "all", behaviour @ ..] => return world.all_targets(self::behaviour(behaviour)),
        ["probes", target, behaviour @ ..] => {
            world.weather.insert((*target).to_owned(), self::behaviour(behaviour));
            return;
        }
        other => panic!("no such input: {other:?}"),
    };
    world.handle(event);
}

fn behaviour(words: &[&str]) -> Behaviour {
    match words {
        ["lost"] => Behaviour::Lost,
        ["twice", trip] => Behaviour::Duplicates(duration(trip)),
        ["fail", reason @ ..] => Behaviour::Fails(reason.join(" ")),
        [trip] => Behaviour::Answers(duration(trip)),
        other => panic!("no such behaviour: {other:?}"),
    }
}

fn set(tracking: &mut Tracking, option: &str, values: &[&str]) {
    let number = || values.first().and_then(|value| value.parse::<u32>().ok()).expect("a number");
    let milliseconds = || duration(values.first().expect("a time")).as_millis() as u32;
    match option {
        "targets" => tracking.targets = values.iter().map(|target| (*target).to_owned()).collect(),
        "reliability" => tracking.reliability = number(),
        "count" => tracking.count = number(),
        "up" => tracking.up = number(),
        "down" => tracking.down = number(),
        "timeout" => tracking.timeout_ms = milliseconds(),
        "interval" => {
            tracking.interval_ms = milliseconds();
            tracking.failure_interval_ms = tracking.interval_ms;
            tracking.recovery_interval_ms = tracking.interval_ms;
            tracking.confirm_interval_ms = tracking.interval_ms;
        }
        "failure_interval" => {
            tracking.failure_interval_ms = milliseconds();
            tracking.confirm_interval_ms = tracking.failure_interval_ms;
        }
        "recovery_interval" => tracking.recovery_interval_ms = milliseconds(),
        "confirm_interval" => tracking.confirm_interval_ms = milliseconds(),
        "confirm_count" => tracking.confirm_count = number(),
        "keep_failure_interval" => tracking.keep_failure_interval = number() == 1,
        "initial_state" => tracking.initially_online = values == ["online"],
        "check_quality" => tracking.quality = (number() == 1).then(Quality::default),
        other => panic!("no such option: {other}"),
    }
}

fn adopted(files: &[&str]) -> Adopted {
    let files: BTreeMap<&str, &str> = files.iter().filter_map(|file| file.split_once('=')).collect();
    Adopted::from_files(|name| files.get(name).map(|content| format!("{content}\n"))).expect("a STATUS")
}

fn duration(text: &str) -> Duration {
    if let Some(milliseconds) = text.strip_suffix("ms") {
        return Duration::from_millis(milliseconds.parse().expect("milliseconds"));
    }
    let seconds: f64 = text.strip_suffix('s').and_then(|text| text.parse().ok()).expect("seconds");
    Duration::from_millis((seconds * 1000.0).round() as u64)
}

/// What has been written to the transcript so far.
#[derive(Default)]
struct Shown {
    actions: usize,
    damped: usize,
    files: BTreeMap<String, String>,
}

impl Shown {
    fn write(&mut self, world: &World, played: &mut String) {
        let mut lines: Vec<(Duration, String)> = Vec::new();
        for (at, action) in world.done.iter().skip(self.actions) {
            lines.extend(self.text(action).map(|text| (*at, text)));
        }
        let damped = world.damped.iter().skip(self.damped);
        lines.extend(damped.map(|(at, damped)| (*at, format!("failback {damped}"))));
        (self.actions, self.damped) = (world.done.len(), world.damped.len());
        lines.sort_by_key(|(at, _)| *at);
        for (at, text) in lines {
            let _ = writeln!(played, "at {}s => {text}", at.as_millis() as f64 / 1000.0);
        }
    }

    fn text(&mut self, action: &Action) -> Option<String> {
        Some(match action {
            Action::Probe { .. } => return None,
            Action::Transition(change) => {
                format!("go {} -> {}: {}", change.from.name(), change.to.name(), change.reason)
            }
            Action::Log(Level::Notice, text) => format!("notice {text}"),
            Action::Log(Level::Info, text) => format!("info {text}"),
            Action::WriteFiles(snapshot) => return self.changed_files(snapshot),
            Action::Announce(announcement) => {
                let first = if announcement.first_connect { " FIRSTCONNECT=1" } else { "" };
                format!("hotplug {} {}{first}", announcement.action.name(), announcement.device)
            }
        })
    }

    /// TURN and TIME change with every round and would hide the rest.
    fn changed_files(&mut self, snapshot: &Snapshot) -> Option<String> {
        let mut changed = Vec::new();
        for (name, content) in snapshot.files() {
            if self.files.get(&name) != Some(&content) && !["TURN", "TIME"].contains(&name.as_str()) {
                changed.push(format!("{name} {}", content.trim_end()));
            }
            self.files.insert(name, content);
        }
        (!changed.is_empty()).then(|| format!("files {}", changed.join(", ")))
    }
}

fn first_difference(wanted: &str, played: &str) -> String {
    let differs = |(wanted, played): &(&str, &str)| wanted != played;
    let same = wanted.lines().zip(played.lines()).take_while(|pair| !differs(pair)).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(the end)").to_owned();
    format!("line {}:\n- {}\n+ {}\n\nall of it:\n{played}", same + 1, line(wanted), line(played))
}
