//! Answers on the control socket: events, histories, probes right now, and the intents of other commands.

use std::time::Duration;

use serde_json::{Value, json};

use crate::control::ClientId;
use crate::health::{Event, RecordedEvent, Reply, after, milliseconds, whole_us};
use crate::sorted::{SortedMap, SortedSet};
use crate::system::clock::since_boot;
use crate::system::failure::Result;
use crate::system::probe::ProbeResult;

use super::{Ending, PersonsTest, Tracker};

/// Beyond the interface's own timeout: look-ups of names take a turn more.
const TEST_MARGIN: Duration = Duration::from_millis(500);

impl Tracker {
    pub(super) fn answer(&mut self, client: ClientId, request: &str) -> Result<()> {
        let words: Vec<&str> = request.split_whitespace().collect();
        let answer = match words[..] {
            ["events", after] => self.events_after(after.parse().unwrap_or(0)),
            ["gauges"] => self.gauges(),
            ["samples", since, limit] => self.samples(since, limit, None),
            ["samples", since, limit, name] => self.samples(since, limit, Some(name)),
            ["begin_test", name] => self.begin_test(name),
            ["test_result", id] => self.test_result(id.parse().unwrap_or(0)),
            ["follow", after] => {
                self.followers.insert(client, after.parse().unwrap_or(0));
                return Ok(());
            }
            ["history", name] => self.history(name),
            ["test", name] => match self.start_test(Some(client), 0, name) {
                Some(refusal) => refusal,
                None => return Ok(()),
            },
            ["drill", name, seconds, force] => {
                match self.start_drill(client, name, seconds, force == "force") {
                    Some(refusal) => json!({ "error": refusal }),
                    None => return Ok(()),
                }
            }
            ["drill-end"] => {
                self.end_drill("it was ended by hand");
                json!({ "ok": true })
            }
            ["stats"] => self.stats(),
            ["ifup", name] => self.forced(name, Event::ForcedUp),
            ["ifdown", name] => self.forced(name, Event::ForcedDown),
            ["hotplug", action, name] => self.hotplug(action, name),
            ["reload"] => {
                self.reload()?;
                self.done()
            }
            ["restart"] => match self.begin_anew()? {
                None => self.done(),
                Some(refusal) => json!({ "error": refusal }),
            },
            ["quit"] => {
                self.ends = Some(Ending::LeaveTraffic);
                json!({ "ok": true })
            }
            _ => json!({ "error": format!("unknown request '{request}'") }),
        };
        self.server.answer(client, &answer, since_boot());
        Ok(())
    }

    fn events_after(&self, number: u64) -> Value {
        let now = since_boot();
        Value::Array(self.events.after(number).map(|event| event_json(event, now)).collect())
    }

    /// Those who follow get each event once, as it comes.
    pub(super) fn feed_followers(&mut self) {
        let (last, now) = (self.events.last_number(), since_boot());
        let mut gone: Vec<ClientId> =
            self.followers.keys().filter(|client| !self.server.is_connected(**client)).copied().collect();
        for (client, seen) in self.followers.iter_mut().filter(|(_, seen)| **seen < last) {
            let lines: Vec<Value> = self.events.after(*seen).map(|event| event_json(event, now)).collect();
            if !lines.iter().all(|line| self.server.send(*client, line)) {
                gone.push(*client);
            }
            *seen = last;
        }
        gone.iter().for_each(|client| {
            self.followers.remove(client);
        });
    }

    /// Round trips in tenths of a millisecond, oldest first; null is a lost probe.
    fn history(&self, name: &str) -> Value {
        let Some(watch) = self.watches.get(name) else { return no_such(name) };
        let (now, tracking) = (since_boot(), &watch.link.interface().tracking);
        let timeout = milliseconds(tracking.timeout_ms);
        let targets: Vec<Value> = tracking
            .targets
            .iter()
            .enumerate()
            .filter_map(|(position, target)| Some((target, watch.link.history(position)?)))
            .map(|(target, history)| {
                let judged = history.measure(now, timeout);
                let probes: Vec<Value> = history
                    .records()
                    .map(|record| match record.reply() {
                        Reply::Answered { round_trip_us } => json!(round_trip_us / 100),
                        _ => Value::Null,
                    })
                    .collect();
                json!({
                    "target": target,
                    "answered": judged.answered,
                    "lost": judged.lost,
                    "loss_permille": judged.loss_permille,
                    "mean_us": judged.mean_us,
                    "jitter_us": judged.jitter_us,
                    "p95_us": judged.percentile_us(95),
                    "probes": probes,
                })
            })
            .collect();
        json!({ "interface": name, "status": watch.link.status().name(), "targets": targets })
    }

    /// The answer comes when all targets have answered or had their time; a refusal comes at once.
    pub(super) fn start_test(&mut self, client: Option<ClientId>, id: u32, name: &str) -> Option<Value> {
        let Some(watch) = self.watches.get_mut(name) else { return Some(no_such(name)) };
        let now = since_boot();
        let tracking = watch.link.interface().tracking.clone();
        if watch.test(&mut self.prober, now) == 0 {
            return Some(json!({ "error": format!("{name} is down or has no targets: nothing to probe") }));
        }
        let missing: SortedSet<usize> = (0..tracking.targets.len()).collect();
        let until = after(after(now, milliseconds(tracking.timeout_ms)), TEST_MARGIN);
        self.tests.push(PersonsTest {
            client,
            id,
            interface: name.to_owned(),
            missing,
            findings: SortedMap::new(),
            until,
        });
        None
    }

    pub(super) fn end_tests(&mut self, now: Duration) {
        let is_over = |test: &PersonsTest| test.missing.is_empty() || test.until <= now;
        while let Some(position) = self.tests.iter().position(is_over) {
            let test = self.tests.remove(position);
            let answer = self.verdict(&test);
            match test.client {
                Some(client) => self.server.answer(client, &answer, now),
                None => self.keep_result(test.id, answer),
            }
        }
    }

    fn verdict(&self, test: &PersonsTest) -> Value {
        let Some(watch) = self.watches.get(&test.interface) else { return no_such(&test.interface) };
        let tracking = &watch.link.interface().tracking;
        let targets: Vec<Value> = tracking
            .targets
            .iter()
            .zip(0..)
            .map(|(target, number)| match test.findings.get(&number) {
                Some(ProbeResult::Answered { round_trip } | ProbeResult::Late { round_trip }) => {
                    json!({ "target": target, "answered": true, "round_trip_us": whole_us(*round_trip) })
                }
                Some(ProbeResult::Failed(failure)) => {
                    json!({ "target": target, "answered": false, "reason": failure.to_string() })
                }
                _ => json!({ "target": target, "answered": false, "reason": "no answer in time" }),
            })
            .collect();
        let answered = targets.iter().filter(|target| target["answered"] == true).count();
        let is_good = answered >= tracking.reliability as usize;
        json!({
            "interface": test.interface,
            "status": watch.link.status().name(),
            "targets": targets,
            "good": is_good,
            "verdict": format!(
                "{answered} of {} targets answered, {} needed: {}",
                tracking.targets.len(),
                tracking.reliability,
                if is_good { "the link works" } else { "the link does not work" }
            ),
        })
    }

    fn forced(&mut self, name: &str, event: Event) -> Value {
        let Some(watch) = self.watches.get_mut(name) else { return no_such(name) };
        if event == Event::ForcedUp {
            // Whoever says so wants it now.
            watch.damping.forgive();
        }
        let damped = watch.damping.damped();
        watch.link.handle(event, since_boot());
        self.write_damping(name, damped);
        self.look();
        self.done()
    }

    /// netifd's word: it knows before the kernel's notifications make sense of it.
    fn hotplug(&mut self, action: &str, name: &str) -> Value {
        let was_up = self.watches.get(name).is_some_and(|watch| watch.link.attachment().is_some());
        self.look();
        let now = since_boot();
        if let (true, Some(watch)) = (action == "ifup", self.watches.get_mut(name)) {
            if watch.is_forced_down() {
                watch.link.handle(Event::ForcedUp, now);
                watch.note_coming_up(now);
            } else if was_up && let Some(event) = watch.came_up_again(now) {
                watch.link.handle(event, now);
            }
        }
        self.done()
    }

    /// Who asked may rely on the kernel: what was decided is carried out before the answer.
    fn done(&mut self) -> Value {
        self.rest();
        json!({ "ok": true })
    }

    fn stats(&self) -> Value {
        json!({
            "pid": std::process::id(),
            "interfaces": self.watches.len(),
            "reconciles": self.counts.reconciles,
            "writes": self.counts.writes,
            "repairs": self.counts.repairs,
            "probes": self.counts.probes,
            "heard": self.counts.heard,
            "events": self.events.last_number(),
        })
    }
}

fn event_json(event: &RecordedEvent, now: Duration) -> Value {
    json!({
        "number": event.number,
        "ago_s": now.saturating_sub(event.at).as_secs(),
        "interface": event.interface,
        "event": event.event,
        "reason": event.reason,
    })
}

pub(super) fn no_such(name: &str) -> Value {
    json!({ "error": format!("{name} is not an enabled interface") })
}
