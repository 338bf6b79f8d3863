//! Flap damping: an interface that failed is on probation when it works again, and policies with another way wait for
//! it, longer with each failure (`failback_delay`, `failback_delay_max`, `failback_window`). Leaving is never delayed.

use std::fmt;
use std::time::Duration;

use crate::config::Failback;
use crate::health::{Status, Transition, after, milliseconds};

/// How often the time of day is looked at: it may be set at any moment.
const WINDOW_STEP: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Damping {
    failback: Failback,
    damped: Damped,
    /// When `failures` last changed.
    counted_at: Duration,
    /// Since when it works without a lost round; None while it does not.
    stable_since: Option<Duration>,
    next_look: Duration,
}

/// What outlives the tracker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damped {
    pub is_waiting: bool,
    /// That count: stable time takes them back.
    pub failures: u32,
}

impl Damping {
    pub fn new(failback: Failback, damped: Damped, now: Duration) -> Damping {
        Damping { failback, damped, counted_at: now, stable_since: None, next_look: now }
    }

    /// A tracker before this one has seen it come back, and nobody can say when.
    pub fn adopt_online(&mut self, now: Duration) {
        self.stable_since = Some(now);
    }

    pub fn damped(&self) -> Damped {
        self.damped
    }

    pub fn is_waiting(&self) -> bool {
        self.damped.is_waiting
    }

    pub fn configure(&mut self, failback: Failback) {
        self.failback = failback;
        self.damped.is_waiting &= failback.is_set();
        self.next_look = Duration::ZERO;
    }

    /// `mwan3 ifup`: nothing that happened before counts.
    pub fn forgive(&mut self) {
        self.damped = Damped::default();
    }

    /// True if what outlives the tracker has changed.
    pub fn note(&mut self, transition: &Transition, now: Duration) -> bool {
        if !self.failback.is_set() {
            return false;
        }
        let before = self.damped;
        self.take_back_failures(now);
        if transition.from.usable() && !transition.to.usable() {
            self.damped = Damped { is_waiting: true, failures: self.damped.failures.saturating_add(1) };
            self.counted_at = now;
        }
        self.note_status(transition.to, now);
        before != self.damped
    }

    /// Without counting failures. A lost round is none, but nothing stable either.
    pub fn note_status(&mut self, status: Status, now: Duration) {
        self.stable_since = (status == Status::Online).then_some(now);
        self.next_look = now;
    }

    /// How long it must be stable now.
    pub fn delay(&self) -> Duration {
        let doublings = self.damped.failures.saturating_sub(1).min(31);
        let delay_ms = u64::from(self.failback.delay_ms) << doublings;
        milliseconds(delay_ms.min(u64::from(self.failback.longest_delay_ms)) as u32)
    }

    /// When to `look`. None while that would change nothing.
    pub fn deadline(&self) -> Option<Duration> {
        let proved_at = self.proved_at().filter(|_| self.damped.is_waiting)?;
        Some(proved_at.max(self.next_look))
    }

    /// When it will have been stable for long enough.
    fn proved_at(&self) -> Option<Duration> {
        Some(after(self.stable_since?, self.delay()))
    }

    /// True if the interface has just proved itself. The minute is that of the local day.
    pub fn look(&mut self, now: Duration, minute: u32) -> bool {
        self.next_look = after(now, WINDOW_STEP);
        let is_stable = self.proved_at().is_some_and(|at| at <= now);
        let is_time = self.failback.window.is_none_or(|window| window.contains(minute));
        let is_over = self.damped.is_waiting && is_stable && is_time;
        if is_over {
            self.damped.is_waiting = false;
            self.take_back_failures(now);
        }
        is_over
    }

    fn take_back_failures(&mut self, now: Duration) {
        let Some(since) = self.stable_since else { return };
        let each = milliseconds(self.failback.longest_delay_ms.max(1));
        self.counted_at = self.counted_at.max(since);
        while self.damped.failures > 0 && now.saturating_sub(self.counted_at) >= each {
            self.damped.failures -= 1;
            self.counted_at = after(self.counted_at, each);
        }
    }
}

impl Damped {
    pub fn parse(line: &str) -> Option<Damped> {
        let (word, failures) = line.split_once(' ')?;
        Some(Damped { is_waiting: word == "waiting", failures: failures.trim().parse().ok()? })
    }
}

impl fmt::Display for Damped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.is_waiting { "waiting" } else { "settled" }, self.failures)
    }
}
