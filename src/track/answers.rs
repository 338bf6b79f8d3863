//! Answers on the control socket: events, histories, probes right now, and the intents of other commands.

use std::time::Duration;

use crate::control::ClientId;
use crate::health::{Event, History, RecordedEvent, Reply, after, milliseconds, whole_us};
use crate::json::{Json, Object};
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
                    Some(refusal) => Json::only("error", refusal.into()),
                    None => return Ok(()),
                }
            }
            ["drill-end"] => {
                self.end_drill("it was ended by hand");
                ok()
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
                Some(refusal) => Json::only("error", refusal.into()),
            },
            ["quit"] => {
                self.ends = Some(Ending::LeaveTraffic);
                ok()
            }
            _ => Json::only("error", format!("unknown request '{request}'").into()),
        };
        self.server.answer(client, &answer, since_boot());
        Ok(())
    }

    fn events_after(&self, number: u64) -> Json {
        let (now, mut events) = (since_boot(), Vec::new());
        for event in self.events.after(number) {
            events.push(event_json(event, now));
        }
        Json::Array(events)
    }

    /// Those who follow get each event once, as it comes.
    pub(super) fn feed_followers(&mut self) {
        let (last, now) = (self.events.last_number(), since_boot());
        let mut gone: Vec<ClientId> = Vec::new();
        for (client, seen) in self.followers.iter_mut() {
            if !self.server.is_connected(*client) {
                gone.push(*client);
            }
            for event in self.events.after(*seen) {
                self.server.send(*client, &event_json(event, now));
            }
            *seen = last.max(*seen);
        }
        for client in gone {
            self.followers.remove(&client);
        }
    }

    /// Round trips in tenths of a millisecond, oldest first; null is a lost probe.
    fn history(&self, name: &str) -> Json {
        let Some(watch) = self.watches.get(name) else { return no_such(name) };
        let (now, tracking) = (since_boot(), &watch.link.interface().tracking);
        let timeout = milliseconds(tracking.timeout_ms);
        let mut targets = Vec::new();
        for (position, target) in tracking.targets.iter().enumerate() {
            if let Some(history) = watch.link.history(position) {
                targets.push(history_json(target, history, now, timeout));
            }
        }
        let mut object = Object::new();
        object.text("interface", name);
        object.text("status", watch.link.status().name());
        object.put("targets", Json::Array(targets));
        Json::Object(object)
    }

    /// The answer comes when all targets have answered or had their time; a refusal comes at once.
    pub(super) fn start_test(&mut self, client: Option<ClientId>, id: u32, name: &str) -> Option<Json> {
        let Some(watch) = self.watches.get_mut(name) else { return Some(no_such(name)) };
        let now = since_boot();
        let tracking = watch.link.interface().tracking.clone();
        if watch.test(&mut self.prober, now) == 0 {
            let refusal = format!("{name} is down or has no targets: nothing to probe");
            return Some(Json::only("error", refusal.into()));
        }
        let mut missing: SortedSet<usize> = SortedSet::new();
        for target in 0..tracking.targets.len() {
            missing.insert(target);
        }
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
        while let Some(place) = self.tests.iter().position(is_over) {
            let test = self.tests.remove(place);
            let answer = self.verdict(&test);
            match test.client {
                Some(client) => self.server.answer(client, &answer, now),
                None => self.keep_result(test.id, answer),
            }
        }
    }

    fn verdict(&self, test: &PersonsTest) -> Json {
        let Some(watch) = self.watches.get(&test.interface) else { return no_such(&test.interface) };
        let tracking = &watch.link.interface().tracking;
        let (mut targets, mut answered) = (Vec::new(), 0);
        for (number, target) in tracking.targets.iter().enumerate() {
            let found = test.findings.get(&number);
            answered += u32::from(has_answered(found));
            targets.push(finding_json(target, found));
        }
        let is_good = answered >= tracking.reliability;
        let verdict = format!(
            "{answered} of {} targets answered, {} needed: {}",
            tracking.targets.len(),
            tracking.reliability,
            if is_good { "the link works" } else { "the link does not work" }
        );
        let mut object = Object::new();
        object.flag("good", is_good);
        object.text("interface", &test.interface);
        object.text("status", watch.link.status().name());
        object.put("targets", Json::Array(targets));
        object.text("verdict", &verdict);
        Json::Object(object)
    }

    fn forced(&mut self, name: &str, event: Event) -> Json {
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
    fn hotplug(&mut self, action: &str, name: &str) -> Json {
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
    fn done(&mut self) -> Json {
        self.rest();
        ok()
    }

    fn stats(&self) -> Json {
        let mut object = Object::new();
        object.number("events", self.events.last_number());
        object.number("heard", self.counts.heard);
        object.number("interfaces", self.watches.len() as u64);
        object.number("pid", std::process::id().into());
        object.number("probes", self.counts.probes);
        object.number("reconciles", self.counts.reconciles);
        object.number("repairs", self.counts.repairs);
        object.number("writes", self.counts.writes);
        Json::Object(object)
    }
}

fn ok() -> Json {
    Json::only("ok", Json::Bool(true))
}

pub(super) fn no_such(name: &str) -> Json {
    Json::only("error", format!("{name} is not an enabled interface").into())
}

fn event_json(event: &RecordedEvent, now: Duration) -> Json {
    let mut object = Object::new();
    object.number("ago_s", now.saturating_sub(event.at).as_secs());
    object.text("event", &event.event);
    object.text("interface", &event.interface);
    object.number("number", event.number);
    object.text("reason", &event.reason);
    Json::Object(object)
}

fn history_json(target: &str, history: &History, now: Duration, timeout: Duration) -> Json {
    let judged = history.measure(now, timeout);
    let mut probes = Vec::new();
    for record in history.records() {
        probes.push(match record.reply() {
            Reply::Answered { round_trip_us } => Json::from(round_trip_us / 100),
            _ => Json::Null,
        });
    }
    let mut object = Object::new();
    object.number("answered", judged.answered.into());
    object.number("jitter_us", judged.jitter_us.into());
    object.number("loss_permille", judged.loss_permille.into());
    object.number("lost", judged.lost.into());
    object.number("mean_us", judged.mean_us.into());
    object.put("p95_us", judged.percentile_us(95).map(Json::from).unwrap_or_default());
    object.put("probes", Json::Array(probes));
    object.text("target", target);
    Json::Object(object)
}

fn has_answered(found: Option<&ProbeResult>) -> bool {
    matches!(found, Some(ProbeResult::Answered { .. } | ProbeResult::Late { .. }))
}

fn finding_json(target: &str, found: Option<&ProbeResult>) -> Json {
    let mut object = Object::new();
    object.flag("answered", has_answered(found));
    match found {
        Some(ProbeResult::Answered { round_trip } | ProbeResult::Late { round_trip }) => {
            object.number("round_trip_us", whole_us(*round_trip));
        }
        Some(ProbeResult::Failed(failure)) => object.text("reason", &failure.to_string()),
        _ => object.text("reason", "no answer in time"),
    }
    object.text("target", target);
    Json::Object(object)
}
