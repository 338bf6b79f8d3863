//! What only the tracker knows, as numbers for programs: each uplink now, recent rounds, tests in the background.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::health::{Link, Measured, ProbeRecord, Reply, TargetState, milliseconds, whole_ms};
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
    answer: Value,
}

impl Tracker {
    pub(super) fn gauges(&self) -> Value {
        let now = since_boot();
        let interfaces: Map<String, Value> =
            self.watches.iter().map(|(name, watch)| (name.clone(), gauge(watch, now))).collect();
        json!({
            "uptime": now.saturating_sub(self.started).as_secs(),
            "probes": self.counts.probes,
            "repairs": self.counts.repairs,
            "reconciles": self.counts.reconciles,
            "interfaces": interfaces,
        })
    }

    /// Rounds after `since`, at most `limit` of each uplink; of one uplink also what each target did.
    pub(super) fn samples(&self, since: &str, limit: &str, only: Option<&str>) -> Value {
        let (now, limit) = (since_boot(), limit.parse().unwrap_or(usize::MAX));
        // That of another boot may lie in our future.
        let since = since.parse().ok().filter(|since| *since <= tick(now)).unwrap_or(0);
        let watches = || self.watches.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
        let Some(end) = watches().map(|(_, watch)| settled(watch, now)).min() else {
            return only.map_or_else(|| json!({ "seq": since, "interfaces": {} }), no_such);
        };
        let interfaces: Map<String, Value> = watches()
            .map(|(name, watch)| {
                let found = json!({ "rtt": rounds(&watch.link, since, end, limit) });
                let targets = only.map(|_| targets(watch, now, since, end, limit));
                (name.clone(), with(found, "targets", targets))
            })
            .collect();
        json!({ "seq": end.saturating_sub(1).max(since), "interfaces": interfaces })
    }

    /// The number under which the answer will be found, at once. Who asks again while a test runs gets that one.
    pub(super) fn begin_test(&mut self, name: &str) -> Value {
        let running = self.tests.iter().find(|test| test.client.is_none() && test.interface == name);
        if let Some(test) = running {
            return json!({ "id": test.id });
        }
        let id = self.last_test.wrapping_add(1).max(1);
        match self.start_test(None, id, name) {
            Some(refusal) => refusal,
            None => {
                self.last_test = id;
                json!({ "id": id })
            }
        }
    }

    pub(super) fn keep_result(&mut self, id: u32, answer: Value) {
        if self.finished.len() >= RESULTS_KEPT {
            self.finished.remove(0);
        }
        self.finished.push(Finished { id, answer });
    }

    pub(super) fn test_result(&self, id: u32) -> Value {
        let found = match self.finished.iter().find(|one| one.id == id) {
            Some(finished) => finished.answer.clone(),
            None if self.tests.iter().any(|test| test.client.is_none() && test.id == id) => {
                return json!({ "id": id, "done": false });
            }
            None => return json!({ "error": format!("no test has the id {id}, or it was long ago") }),
        };
        with(with(found, "id", Some(id.into())), "done", Some(true.into()))
    }
}

fn gauge(watch: &Watch, now: Duration) -> Value {
    let snapshot = watch.link.snapshot();
    let since = watch.switched_at.or(snapshot.online_since).or(snapshot.offline_since);
    let count = |state| snapshot.targets.iter().filter(|target| target.state == Some(state)).count();
    let (mut answered, mut lost, mut sum_us) = (0, 0, 0);
    for judged in judged(watch, now) {
        answered += u64::from(judged.answered);
        lost += u64::from(judged.lost);
        sum_us += u64::from(judged.mean_us) * u64::from(judged.answered);
    }
    let found = json!({
        "status": snapshot.status.name(),
        "since": since.map_or(0, |at| now.saturating_sub(at).as_secs()),
        "up": count(TargetState::Up),
        "down": count(TargetState::Down),
        "loss": (lost * 1000).checked_div(lost + answered).unwrap_or(0),
        "probes": watch.probes_sent,
        "transitions": watch.transitions,
    });
    with(found, "rtt_us", sum_us.checked_div(answered).map(Value::from))
}

fn with(mut object: Value, name: &str, value: Option<Value>) -> Value {
    if let (Some(members), Some(value)) = (object.as_object_mut(), value) {
        members.insert(name.to_owned(), value);
    }
    object
}

fn judged(watch: &Watch, now: Duration) -> impl Iterator<Item = Measured> + '_ {
    let timeout = timeout(watch);
    let count = watch.link.interface().tracking.targets.len();
    (0..count)
        .filter_map(|target| watch.link.history(target))
        .map(move |history| history.measure(now, timeout))
}

fn timeout(watch: &Watch) -> Duration {
    milliseconds(watch.link.interface().tracking.timeout_ms)
}

fn tick(time: Duration) -> u64 {
    whole_ms(time) / TICK_MS
}

fn records(link: &Link) -> impl Iterator<Item = (usize, ProbeRecord)> + '_ {
    let count = link.interface().tracking.targets.len();
    (0..count).flat_map(|target| {
        let records = link.history(target).into_iter().flat_map(|history| history.records());
        records.map(move |record| (target, record))
    })
}

/// The tick before which every probe has its answer or had its time.
fn settled(watch: &Watch, now: Duration) -> u64 {
    let timeout = timeout(watch);
    let waits = |record: &ProbeRecord| {
        record.reply() == Reply::Waiting && now.saturating_sub(record.sent()) < timeout
    };
    let waiting = records(&watch.link).filter(|(_, record)| waits(record));
    waiting.map(|(_, record)| tick(record.sent())).min().unwrap_or(u64::MAX).min(tick(now))
}

/// The best round trip of each round in tenths of a millisecond; null where nobody answered. All targets are
/// asked at once, so that a round is what began in the same tick.
fn rounds(link: &Link, since: u64, end: u64, limit: usize) -> Value {
    let mut found: Vec<(u64, Option<u32>)> = Vec::new();
    let of_round = |at: u64| at > since && at < end;
    for (_, record) in records(link) {
        let (at, reply) = (tick(record.sent()), record.reply());
        if reply == Reply::Abandoned || !of_round(at) {
            continue;
        }
        let answered = tenths(reply);
        match found.iter_mut().find(|(other, _)| *other == at) {
            Some((_, best)) => *best = (*best).into_iter().chain(answered).min(),
            None => {
                let place = found.iter().rposition(|(other, _)| *other < at).map_or(0, |before| before + 1);
                found.insert(place, (at, answered));
            }
        }
    }
    last_of(found.into_iter().map(|(_, best)| best.into()).collect(), limit)
}

fn targets(watch: &Watch, now: Duration, since: u64, end: u64, limit: usize) -> Value {
    let names = &watch.link.interface().tracking.targets;
    let told = names.iter().zip(judged(watch, now)).enumerate().map(|(position, (target, judged))| {
        let newer = records(&watch.link).filter(|(of, record)| {
            let at = tick(record.sent());
            *of == position && at > since && at < end && record.reply() != Reply::Abandoned
        });
        let newer = newer.map(|(_, record)| tenths(record.reply()).into()).collect();
        json!({
            "target": target,
            "answered": judged.answered,
            "lost": judged.lost,
            "loss": judged.loss_permille,
            "mean": judged.mean_us / 100,
            "jitter": judged.jitter_us / 100,
            "p95": judged.percentile_us(95).unwrap_or(0) / 100,
            "rtt": last_of(newer, limit),
        })
    });
    Value::Array(told.collect())
}

fn tenths(reply: Reply) -> Option<u32> {
    match reply {
        Reply::Answered { round_trip_us } => Some(round_trip_us / 100),
        Reply::Waiting | Reply::Failed | Reply::Abandoned => None,
    }
}

fn last_of(mut values: Vec<Value>, limit: usize) -> Value {
    values.drain(..values.len().saturating_sub(limit));
    Value::Array(values)
}
