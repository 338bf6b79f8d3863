//! One round: every target is asked at once, up to `tries` times each over the first half of the timeout. It is decided
//! as soon as enough targets answered or too few still can, and then only waits on to learn of the rest.

use std::time::Duration;

use crate::config::{Quality, Tracking};
use crate::health::{Sequence, after, times, whole_ms};

pub(super) struct Round {
    started: Duration,
    timeout: Duration,
    tries: u32,
    tries_begun: u32,
    needed: usize,
    pub(super) targets: Vec<Asked>,
    pub(super) decided: bool,
}

/// What a round knows of one target.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) sequences: Vec<Sequence>,
    answered: u32,
    failed: u32,
    total: Duration,
    pub(super) hard_failure: Option<String>,
    pub(super) verdict: Option<Verdict>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) good: bool,
    /// Anything answered at all.
    pub(super) answered: bool,
    pub(super) latency_ms: u32,
    pub(super) loss_percent: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quorum {
    Open,
    Reached,
    Missed,
}

/// The thresholds that count now: while online only those for failing, while offline only those for recovering.
#[derive(Clone, Copy)]
pub(super) enum Bar<'a> {
    AnyAnswer,
    NotFailing(&'a Quality),
    Recovered(&'a Quality),
}

/// As the files have it where nothing answers.
const NO_ANSWER_MS: u32 = 999_999;

impl Round {
    pub(super) fn new(tracking: &Tracking, timeout: Duration, tries: u32, now: Duration) -> Round {
        Round {
            started: now,
            timeout,
            tries: tries.max(1),
            tries_begun: 0,
            needed: tracking.reliability as usize,
            targets: tracking.targets.iter().map(|_| Asked::default()).collect(),
            decided: false,
        }
    }

    pub(super) fn ends(&self) -> Duration {
        after(self.started, self.timeout)
    }

    /// When to ask those again that have not answered, if there is still something to ask.
    pub(super) fn next_try(&self) -> Option<Duration> {
        let wanted =
            !self.decided && self.tries_begun < self.tries && self.targets.iter().any(Asked::is_open);
        let spacing = self.timeout / self.tries.saturating_mul(2);
        wanted.then(|| after(self.started, times(spacing, self.tries_begun)))
    }

    /// The targets to ask now. A late call asks once, however many tries are due.
    pub(super) fn begin_try(&mut self, now: Duration, bar: Bar) -> Vec<usize> {
        let mut due = false;
        while self.next_try().is_some_and(|at| at <= now) {
            self.tries_begun += 1;
            due = true;
        }
        if !due || now >= self.ends() {
            return Vec::new();
        }
        let wants_all = !matches!(bar, Bar::AnyAnswer);
        let mut asked_now = Vec::new();
        for (index, asked) in self.targets.iter().enumerate() {
            if asked.is_open() && (wants_all || asked.answered == 0) {
                asked_now.push(index);
            }
        }
        asked_now
    }

    pub(super) fn asked(&mut self, target: usize, sequence: Sequence) {
        if let Some(asked) = self.targets.get_mut(target) {
            asked.sequences.push(sequence);
        }
    }

    pub(super) fn last_asked(&self, target: usize) -> Option<Sequence> {
        self.targets.get(target)?.sequences.last().copied()
    }

    /// True when this gives the verdict on the target.
    pub(super) fn answered(&mut self, target: usize, sequence: Sequence, trip: Duration, bar: Bar) -> bool {
        let in_time = trip <= self.timeout;
        let no_more_tries = self.no_more_tries();
        let Some(asked) = self.waiting_target(target, sequence) else { return false };
        if in_time {
            asked.answered += 1;
            asked.total = after(asked.total, trip);
        } else {
            asked.failed += 1;
        }
        asked.judge_if_complete(no_more_tries, bar)
    }

    pub(super) fn failed(&mut self, target: usize, sequence: Sequence, reason: String, bar: Bar) -> bool {
        let no_more_tries = self.no_more_tries();
        let Some(asked) = self.waiting_target(target, sequence) else { return false };
        asked.failed += 1;
        asked.hard_failure = Some(reason);
        if asked.answered == 0 {
            return asked.judge(bar);
        }
        asked.judge_if_complete(no_more_tries, bar)
    }

    /// Nothing more is waited for: the targets whose verdict this gives.
    pub(super) fn expire(&mut self, bar: Bar) -> Vec<usize> {
        let mut judged = Vec::new();
        for (index, asked) in self.targets.iter_mut().enumerate() {
            if asked.is_open() && !asked.sequences.is_empty() {
                asked.judge(bar);
                judged.push(index);
            }
        }
        judged
    }

    pub(super) fn quorum(&self) -> Quorum {
        let good = self.count(|verdict| verdict.good);
        let open = self.targets.iter().filter(|asked| asked.is_open()).count();
        // A quorum beyond the number of targets is missed too, but only after all have been heard.
        let still_possible = good + open >= self.needed.min(self.targets.len());
        if good >= self.needed {
            Quorum::Reached
        } else if still_possible && open > 0 {
            Quorum::Open
        } else {
            Quorum::Missed
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        !self.targets.iter().any(Asked::is_open)
    }

    pub(super) fn count(&self, wanted: fn(&Verdict) -> bool) -> usize {
        let mut found = 0;
        for asked in &self.targets {
            found += usize::from(asked.verdict.as_ref().is_some_and(wanted));
        }
        found
    }

    fn no_more_tries(&self) -> bool {
        self.decided || self.tries_begun >= self.tries
    }

    fn waiting_target(&mut self, target: usize, sequence: Sequence) -> Option<&mut Asked> {
        self.targets.get_mut(target).filter(|asked| asked.is_open() && asked.sequences.contains(&sequence))
    }
}

impl Asked {
    pub(super) fn is_open(&self) -> bool {
        self.verdict.is_none()
    }

    fn judge_if_complete(&mut self, no_more_tries: bool, bar: Bar) -> bool {
        let all_back = (self.answered + self.failed) as usize >= self.sequences.len();
        let enough = matches!(bar, Bar::AnyAnswer) && self.answered > 0;
        if enough || (no_more_tries && all_back) { self.judge(bar) } else { false }
    }

    fn judge(&mut self, bar: Bar) -> bool {
        let sent = self.sequences.len().max(1) as u64;
        let loss_per_sent = 100 * sent.saturating_sub(u64::from(self.answered));
        let verdict = match self.total.checked_div(self.answered) {
            None => Verdict { good: false, answered: false, latency_ms: NO_ANSWER_MS, loss_percent: 100 },
            Some(mean) => {
                let latency_ms = u32::try_from(whole_ms(mean)).unwrap_or(NO_ANSWER_MS);
                let good = match bar {
                    Bar::AnyAnswer => true,
                    Bar::NotFailing(quality) => {
                        latency_ms < quality.failure_latency_ms
                            && loss_per_sent < u64::from(quality.failure_loss_percent) * sent
                    }
                    Bar::Recovered(quality) => {
                        latency_ms <= quality.recovery_latency_ms
                            && loss_per_sent <= u64::from(quality.recovery_loss_percent) * sent
                    }
                };
                Verdict { good, answered: true, latency_ms, loss_percent: (loss_per_sent / sent) as u32 }
            }
        };
        self.verdict = Some(verdict);
        true
    }
}
