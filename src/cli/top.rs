//! `mwan3 top`: gathers the numbers again and again, and shows them until a key says enough.

use std::time::Duration;

use crate::address::Family;
use crate::control::ask;
use crate::json::Json;
use crate::plan::{Choice, choose, percentages, uplinks};
use crate::report::{
    Picture, Row, Screen as Size, Snapshot, Traffic, age, interface_states, last_resort_name, top_lines,
};
use crate::system::clock::{since_boot, whole_ms};
use crate::system::conntrack::Beginnings;
use crate::system::failure::{Context, Result};
use crate::system::files::Directories;
use crate::system::poll::{Signal, Signals, Until, wait};
use crate::system::{host, terminal};

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
    traffic: Vec<Traffic>,
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
        let traffic = host::traffic();
        let mut rows = Vec::new();
        for (interface, (state, since_s)) in snapshot.config.interfaces.iter().zip(states) {
            let found = snapshot.network.true_interface(&interface.name, interface.family);
            let device = found.and_then(|(_, found)| found.device.clone());
            let mut row = Row { name: interface.name.clone(), state, since_s, ..Row::default() };
            let of_device = |traffic: &&Traffic| Some(&traffic.device) == device.as_ref();
            let (now, before) = (traffic.iter().find(of_device), self.traffic.iter().find(of_device));
            if let (Some(now), Some(before)) = (now, before) {
                row.received = Some(a_second(now.received.saturating_sub(before.received), 8, passed_ms));
                row.sent = Some(a_second(now.sent.saturating_sub(before.sent), 8, passed_ms));
            }
            let mark = mask.interface(interface.id);
            row.flows = marks.as_ref().filter(|_| !is_first).map(|marks| {
                let count = marks.iter().filter(|one| *one & mask.bits() == mark).count() as u64;
                a_second(count, 1, passed_ms)
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
        let badness = |target: &Json| (target.number("loss_permille"), target.number("mean_us"));
        let mut best: Option<&Json> = None;
        for target in history.items("targets") {
            if best.is_none_or(|best| badness(target) < badness(best)) {
                best = Some(target);
            }
        }
        let Some(best) = best else { return };
        row.loss_permille = best.number("loss_permille");
        row.round_trip_us = best.number("mean_us").filter(|_| best.number("answered") > Some(0));
        for probe in best.items("probes") {
            row.probes.push(probe.as_u64());
        }
    }

    fn ask(&self, request: &str) -> Option<Json> {
        let answer = ask(&self.directories.control_socket(), request, PATIENCE).ok().flatten()?;
        answer.get("error").is_none().then_some(answer)
    }
}

fn a_second(count: u64, units: u64, passed_ms: u64) -> u64 {
    count.saturating_mul(units * 1_000) / passed_ms
}

fn newest(events: &Json) -> Vec<String> {
    let all = events.as_array().unwrap_or_default();
    let mut lines = Vec::new();
    for event in all.get(all.len().saturating_sub(EVENTS_SHOWN)..).unwrap_or_default() {
        let ago = age(event.number("ago_s").unwrap_or(0));
        let (interface, what) = (event.text("interface"), event.text("event"));
        lines.push(format!("{ago:>7} ago  {interface:<10} {what:<13} {}", event.text("reason")));
    }
    lines
}

/// `wan 60%, wanb 40%`, both families in one line where they differ.
fn policies(snapshot: &Snapshot) -> Vec<(String, String)> {
    let uplinks = uplinks(&snapshot.config, &snapshot.network, &snapshot.health);
    let mut lines = Vec::new();
    for policy in &snapshot.config.policies {
        let mut parts = Vec::new();
        for family in Family::BOTH {
            let is_of = |name: &str| snapshot.config.interface(name).is_some_and(|one| one.family == family);
            if policy.members.iter().any(|member| is_of(&member.interface)) {
                parts.push(shares_text(&choose(policy, family, &uplinks)));
            }
        }
        lines.push((policy.name.clone(), parts.join(" | ")));
    }
    lines
}

fn shares_text(choice: &Choice) -> String {
    match choice {
        Choice::LastResort(last_resort) => last_resort_name(*last_resort).to_owned(),
        Choice::Shares(shares) => {
            let mut named = Vec::new();
            for (share, percent) in shares.iter().zip(percentages(shares)) {
                named.push(format!("{} {percent}%", share.interface));
            }
            named.join(", ")
        }
    }
}
