//! `mwan3 top`: gathers the numbers again and again, and shows them until a key says enough.

use std::time::Duration;

use serde_json::Value;

use crate::address::Family;
use crate::config::Policy;
use crate::control::ask;
use crate::plan::{Choice, choose, percentages, uplinks};
use crate::report::{
    Picture, Row, Screen as Size, Snapshot, age, interface_states, last_resort_name, top_lines,
};
use crate::system::clock::{since_boot, whole_ms};
use crate::system::conntrack::Beginnings;
use crate::system::failure::{Context, Result};
use crate::system::files::{Directories, device_traffic};
use crate::system::poll::{Signal, Signals, Until, wait};
use crate::system::terminal;

use super::options::Arguments;
use super::{ExitCode, show};

const PATIENCE: Duration = Duration::from_secs(2);
const USUAL_SECONDS: u32 = 2;
const EVENTS_SHOWN: usize = 5;
const CTRL_C: u8 = 3;
/// Of output that is no terminal: wide enough for all columns.
const PLAIN: Size = Size { columns: 120, rows: 0, has_colour: false };

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let seconds = arguments.interval.unwrap_or(USUAL_SECONDS).max(1);
    let interval = Duration::from_secs(u64::from(seconds));
    let mut gauge = Gauge::new();
    let signals = Signals::take_over().context("cannot take over signals")?;
    if arguments.is_once || !terminal::is_terminal() {
        return plainly(&mut gauge, &signals, interval, arguments.is_once);
    }
    let screen = terminal::Screen::take().context("cannot use the terminal")?;
    let mut picture = gauge.look()?;
    let mut next = since_boot().saturating_add(interval);
    loop {
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
        let lines = top_lines(&picture, Size { columns, rows, has_colour: true });
        screen.draw(&lines).context("the terminal")?;
        let pause = next.saturating_sub(since_boot());
        let ready = wait(&[(0, Until::Readable), (signals.raw_fd(), Until::Readable)], Some(pause))
            .context("poll")?;
        let is_enough = |keys: Vec<u8>| keys.iter().any(|key| matches!(*key, b'q' | CTRL_C));
        if ready.contains(&0) && screen.keys().is_none_or(is_enough) {
            return Ok(0);
        }
        if signals.take().iter().any(|one| matches!(one, Signal::Terminate | Signal::Reload)) {
            return Ok(0);
        }
        if next <= since_boot() {
            next = since_boot().saturating_add(interval);
            picture = gauge.look()?;
        }
    }
}

/// For files and pipes: one picture below the other.
fn plainly(gauge: &mut Gauge, signals: &Signals, interval: Duration, is_once: bool) -> Result<ExitCode> {
    // Rates need two looks.
    gauge.look()?;
    loop {
        let pause = if is_once { interval.min(Duration::from_secs(1)) } else { interval };
        wait(&[(signals.raw_fd(), Until::Readable)], Some(pause)).context("poll")?;
        if signals.take().iter().any(|one| matches!(one, Signal::Terminate | Signal::Reload)) {
            return Ok(0);
        }
        let size = Size { columns: terminal::size().map_or(PLAIN.columns, |(columns, _)| columns), ..PLAIN };
        let lines = top_lines(&gauge.look()?, size);
        if print(&lines).is_err() || is_once {
            return Ok(0);
        }
    }
}

/// Fails once the reader is gone.
fn print(lines: &[String]) -> std::io::Result<()> {
    terminal::print(&format!("{}\n", lines.join("\n")))
}

/// What has to be remembered from look to look.
struct Gauge {
    directories: Directories,
    beginnings: Option<Beginnings>,
    last: Duration,
    /// Device, bytes received and sent, as last seen.
    traffic: Vec<(String, u64, u64)>,
}

impl Gauge {
    fn new() -> Gauge {
        let directories = Directories::from_environment();
        let beginnings = Beginnings::listen().ok();
        Gauge { directories, beginnings, last: Duration::ZERO, traffic: Vec::new() }
    }

    fn look(&mut self) -> Result<Picture> {
        let snapshot = show::snapshot()?;
        let now = since_boot();
        let passed_ms = whole_ms(now.saturating_sub(self.last)).max(1);
        let is_first = self.last.is_zero();
        self.last = now;
        let marks = self.beginnings.as_mut().map(Beginnings::marks);
        let states = interface_states(&snapshot);
        let mask = snapshot.config.globals.mask;
        let traffic = device_traffic();
        let mut rows = Vec::new();
        for (interface, (state, since_s)) in snapshot.config.interfaces.iter().zip(states) {
            let found = snapshot.network.true_interface(&interface.name, interface.family);
            let device = found.and_then(|(_, found)| found.device.clone());
            let mut row = Row { name: interface.name.clone(), state, since_s, ..Row::default() };
            let of_device = |(name, ..): &&(String, u64, u64)| Some(name) == device.as_ref();
            let (now, before) = (traffic.iter().find(of_device), self.traffic.iter().find(of_device));
            if let (Some(now), Some(before)) = (now, before) {
                let rate =
                    |now: u64, before: u64| now.saturating_sub(before).saturating_mul(8_000) / passed_ms;
                (row.received, row.sent) = (Some(rate(now.1, before.1)), Some(rate(now.2, before.2)));
            }
            let mark = mask.interface(interface.id);
            row.flows = marks.as_ref().filter(|_| !is_first).map(|marks| {
                let count = marks.iter().filter(|one| *one & mask.bits() == mark).count() as u64;
                count.saturating_mul(1_000) / passed_ms
            });
            self.add_history(&mut row);
            rows.push(row);
        }
        self.traffic = traffic;
        let events = self.ask("events 0").map(|events| newest(&events));
        Ok(Picture {
            corner: format!("up {}", age(snapshot.uptime_s)),
            is_tracked: events.is_some(),
            uplinks: rows,
            policies: policies(&snapshot),
            events: events.unwrap_or_default(),
        })
    }

    /// The target that answers best speaks for the uplink.
    fn add_history(&self, row: &mut Row) {
        let Some(history) = self.ask(&format!("history {}", row.name)) else { return };
        let number = |target: &Value, key: &str| target.get(key).and_then(Value::as_u64);
        let targets = history.get("targets").and_then(Value::as_array);
        let best = targets
            .into_iter()
            .flatten()
            .min_by_key(|target| (number(target, "loss_permille"), number(target, "mean_us")));
        let Some(best) = best else { return };
        row.loss_permille = number(best, "loss_permille");
        row.round_trip_us = number(best, "mean_us").filter(|_| number(best, "answered") > Some(0));
        let probes = best.get("probes").and_then(Value::as_array);
        row.probes = probes.into_iter().flatten().map(Value::as_u64).collect();
    }

    fn ask(&self, request: &str) -> Option<Value> {
        let answer = ask(&self.directories.control_socket(), request, PATIENCE).ok().flatten()?;
        answer.get("error").is_none().then_some(answer)
    }
}

fn newest(events: &Value) -> Vec<String> {
    let all: Vec<&Value> = events.as_array().into_iter().flatten().collect();
    let shown = all.get(all.len().saturating_sub(EVENTS_SHOWN)..).unwrap_or_default();
    let text = |event: &Value, key: &str| event.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let line = |event: &&Value| {
        let ago = event.get("ago_s").and_then(Value::as_u64).unwrap_or(0);
        let (interface, what) = (text(event, "interface"), text(event, "event"));
        format!("{:>7} ago  {interface:<10} {what:<13} {}", age(ago), text(event, "reason"))
    };
    shown.iter().map(line).collect()
}

/// `wan 60%, wanb 40%`, both families in one line where they differ.
fn policies(snapshot: &Snapshot) -> Vec<(String, String)> {
    let uplinks = uplinks(&snapshot.config, &snapshot.network, &snapshot.health);
    let shares = |policy: &Policy, family: Family| {
        let choice = choose(policy, family, &uplinks);
        match &choice {
            Choice::LastResort(last_resort) => last_resort_name(*last_resort).to_owned(),
            Choice::Shares(shares) => {
                let percents = percentages(shares);
                let named = shares
                    .iter()
                    .zip(percents)
                    .map(|(share, percent)| format!("{} {percent}%", share.interface));
                named.collect::<Vec<_>>().join(", ")
            }
        }
    };
    let line = |policy: &Policy| {
        let mut families: Vec<Family> = policy
            .members
            .iter()
            .filter_map(|member| snapshot.config.interface(&member.interface))
            .map(|interface| interface.family)
            .collect();
        families.sort_unstable();
        families.dedup();
        let parts: Vec<String> = families.into_iter().map(|family| shares(policy, family)).collect();
        (policy.name.clone(), parts.join(" | "))
    };
    snapshot.config.policies.iter().map(line).collect()
}
