//! What only the tracker knows, as numbers for programs: each uplink now, recent rounds, tests in the background.

use std::time::Duration;

use crate::health::{Link, Measured, ProbeRecord, Reply, TargetState, milliseconds, whole_ms};
use crate::json::{Json, Object};
use crate::system::clock::since_boot;

use super::answers::no_such;
use super::{Tracker, Watch};

/// A page that forgot its own test is no reason to keep more.
const RESULTS_KEPT: usize = 8;
/// Rounds are numbered by the tenth of a second since boot in which they began: a number that programs with
/// 32 bits hold for years, and that needs no counter.
const TICK_MS: u64 = 100;

/// What a background test found, by its number.
pub(super) struct Finished {
    id: u32,
    answer: Json,
}

impl Tracker {
    pub(super) fn gauges(&self) -> Json {
        let (now, mut interfaces) = (since_boot(), Object::new());
        for (name, watch) in &self.watches {
            interfaces.put(name, gauge(watch, now));
        }
        let mut object = Object::new();
        object.put("interfaces", Json::Object(interfaces));
        object.number("probes", self.counts.probes);
        object.number("reconciles", self.counts.reconciles);
        object.number("repairs", self.counts.repairs);
        object.number("uptime", now.saturating_sub(self.started).as_secs());
        Json::Object(object)
    }

    /// Rounds after `since`, at most `limit` of each uplink; of one uplink also what each target did.
    pub(super) fn samples(&self, since: &str, limit: &str, only: Option<&str>) -> Json {
        let (now, limit) = (since_boot(), limit.parse().unwrap_or(usize::MAX));
        // That of another boot may lie in our future.
        let since = since.parse().ok().filter(|since| *since <= tick(now)).unwrap_or(0);
        let (mut wanted, mut end) = (Vec::new(), tick(now));
        for (name, watch) in &self.watches {
            if only.is_none_or(|only| only == name) {
                wanted.push((name, watch));
                end = end.min(settled(watch, now));
            }
        }
        if let (true, Some(name)) = (wanted.is_empty(), only) {
            return no_such(name);
        }
        let last = if wanted.is_empty() { since } else { end.saturating_sub(1).max(since) };
        let (between, mut interfaces) = (Between { since, end, limit }, Object::new());
        for (name, watch) in wanted {
            let mut found = Object::new();
            found.put("rtt", rounds(&watch.link, between));
            if only.is_some() {
                found.put("targets", targets(watch, now, between));
            }
            interfaces.put(name, Json::Object(found));
        }
        let mut object = Object::new();
        object.put("interfaces", Json::Object(interfaces));
        object.number("seq", last);
        Json::Object(object)
    }

    /// The number under which the answer will be found, at once. Who asks again while a test runs gets that one.
    pub(super) fn begin_test(&mut self, name: &str) -> Json {
        let running = self.tests.iter().find(|test| test.client.is_none() && test.interface == name);
        if let Some(test) = running {
            return Json::only("id", test.id.into());
        }
        let id = self.last_test.wrapping_add(1).max(1);
        match self.start_test(None, id, name) {
            Some(refusal) => refusal,
            None => {
                self.last_test = id;
                Json::only("id", id.into())
            }
        }
    }

    pub(super) fn keep_result(&mut self, id: u32, answer: Json) {
        if self.finished.len() >= RESULTS_KEPT {
            self.finished.remove(0);
        }
        self.finished.push(Finished { id, answer });
    }

    pub(super) fn test_result(&self, id: u32) -> Json {
        let finished = self.finished.iter().find(|one| one.id == id);
        let runs = self.tests.iter().any(|test| test.client.is_none() && test.id == id);
        let mut object = match finished.and_then(|finished| finished.answer.as_object()) {
            Some(found) => found.clone(),
            None if runs => Object::new(),
            None => {
                let refusal = format!("no test has the id {id}, or it was long ago");
                return Json::only("error", refusal.into());
            }
        };
        object.flag("done", finished.is_some());
        object.number("id", id.into());
        object.sort();
        Json::Object(object)
    }
}

/// Of the rounds after one tick and before another, the last so many.
#[derive(Clone, Copy)]
struct Between {
    since: u64,
    end: u64,
    limit: usize,
}

impl Between {
    /// When the round began that the probe belongs to, if it is one of these.
    fn round(self, record: ProbeRecord) -> Option<u64> {
        let at = tick(record.sent());
        (at > self.since && at < self.end && record.reply() != Reply::Abandoned).then_some(at)
    }

    fn last_of(self, mut values: Vec<Json>) -> Json {
        values.drain(..values.len().saturating_sub(self.limit));
        Json::Array(values)
    }
}

fn gauge(watch: &Watch, now: Duration) -> Json {
    let snapshot = watch.link.snapshot();
    let since = watch.switched_at.or(snapshot.online_since).or(snapshot.offline_since);
    let count = |state| snapshot.targets.iter().filter(|target| target.state == Some(state)).count() as u64;
    let (mut answered, mut lost, mut sum_us) = (0, 0, 0);
    for position in 0..watch.link.interface().tracking.targets.len() {
        if let Some(judged) = judged(watch, position, now) {
            answered += u64::from(judged.answered);
            lost += u64::from(judged.lost);
            sum_us += u64::from(judged.mean_us) * u64::from(judged.answered);
        }
    }
    let mut object = Object::new();
    object.number("down", count(TargetState::Down));
    object.number("loss", (lost * 1000).checked_div(lost + answered).unwrap_or(0));
    object.number("probes", watch.probes_sent);
    if let Some(mean_us) = sum_us.checked_div(answered) {
        object.number("rtt_us", mean_us);
    }
    object.number("since", since.map_or(0, |at| now.saturating_sub(at).as_secs()));
    object.text("status", snapshot.status.name());
    object.number("transitions", watch.transitions);
    object.number("up", count(TargetState::Up));
    Json::Object(object)
}

fn judged(watch: &Watch, target: usize, now: Duration) -> Option<Measured> {
    Some(watch.link.history(target)?.measure(now, timeout(watch)))
}

fn timeout(watch: &Watch) -> Duration {
    milliseconds(watch.link.interface().tracking.timeout_ms)
}

fn tick(time: Duration) -> u64 {
    whole_ms(time) / TICK_MS
}

fn records(link: &Link) -> Vec<ProbeRecord> {
    let mut records = Vec::new();
    for target in 0..link.interface().tracking.targets.len() {
        if let Some(history) = link.history(target) {
            records.extend(history.records());
        }
    }
    records
}

/// The tick before which every probe has its answer or had its time.
fn settled(watch: &Watch, now: Duration) -> u64 {
    let (timeout, mut end) = (timeout(watch), tick(now));
    for record in records(&watch.link) {
        if record.reply() == Reply::Waiting && now.saturating_sub(record.sent()) < timeout {
            end = end.min(tick(record.sent()));
        }
    }
    end
}

/// The best round trip of each round in tenths of a millisecond; null where nobody answered. All targets are
/// asked at once, so that a round is what began in the same tick.
fn rounds(link: &Link, between: Between) -> Json {
    let mut found: Vec<(u64, Option<u32>)> = Vec::new();
    for record in records(link) {
        let Some(at) = between.round(record) else { continue };
        let answered = tenths(record.reply());
        match found.iter_mut().find(|(other, _)| *other == at) {
            Some((_, Some(best))) => *best = answered.map_or(*best, |answered| answered.min(*best)),
            Some((_, best)) => *best = answered,
            None => {
                let place = found.iter().rposition(|(other, _)| *other < at).map_or(0, |before| before + 1);
                found.insert(place, (at, answered));
            }
        }
    }
    let mut values = Vec::new();
    for (_, best) in found {
        values.push(or_null(best));
    }
    between.last_of(values)
}

fn targets(watch: &Watch, now: Duration, between: Between) -> Json {
    let mut told = Vec::new();
    for (position, target) in watch.link.interface().tracking.targets.iter().enumerate() {
        let Some(history) = watch.link.history(position) else { continue };
        let mut newer = Vec::new();
        for record in history.records() {
            if between.round(record).is_some() {
                newer.push(or_null(tenths(record.reply())));
            }
        }
        let judged = history.measure(now, timeout(watch));
        let mut object = Object::new();
        object.number("answered", judged.answered.into());
        object.number("jitter", (judged.jitter_us / 100).into());
        object.number("loss", judged.loss_permille.into());
        object.number("lost", judged.lost.into());
        object.number("mean", (judged.mean_us / 100).into());
        object.number("p95", (judged.percentile_us(95).unwrap_or(0) / 100).into());
        object.put("rtt", between.last_of(newer));
        object.text("target", target);
        told.push(Json::Object(object));
    }
    Json::Array(told)
}

fn tenths(reply: Reply) -> Option<u32> {
    match reply {
        Reply::Answered { round_trip_us } => Some(round_trip_us / 100),
        Reply::Waiting | Reply::Failed | Reply::Abandoned => None,
    }
}

fn or_null(number: Option<u32>) -> Json {
    number.map(Json::from).unwrap_or_default()
}
