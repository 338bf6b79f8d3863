//! The queue of one alert: the first news leaves at once, more of it is gathered for the interval, and what could
//! not be delivered is kept and tried again, at once when an uplink is back. No clock, no sending.

use std::time::Duration;

use super::News;

/// More is a flapping line; the newest matter most.
const MOST_KEPT: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Routes and name servers of an uplink that has just come back need a moment.
const AFTER_RETURN: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Outbox {
    waiting: Vec<News>,
    /// How many of the first are on their way.
    on_way: usize,
    dropped: u32,
    /// Nothing leaves before.
    not_before: Duration,
    pause: Duration,
}

impl Outbox {
    pub fn put(&mut self, news: News) {
        if self.waiting.len() >= MOST_KEPT {
            // What is on its way stands in front, and is being told.
            self.waiting.remove(self.on_way.min(MOST_KEPT - 1));
            self.dropped = self.dropped.saturating_add(1);
        }
        self.waiting.push(news);
    }

    /// What is to be sent now, all in one; nothing while the last is on its way. How many were dropped before.
    pub fn take_due(&mut self, now: Duration) -> Option<(Vec<News>, u32)> {
        if self.on_way > 0 || self.waiting.is_empty() || now < self.not_before {
            return None;
        }
        self.on_way = self.waiting.len();
        Some((self.waiting.clone(), self.dropped))
    }

    pub fn delivered(&mut self, now: Duration, interval: Duration) {
        self.waiting.drain(..self.on_way.min(self.waiting.len()));
        (self.on_way, self.dropped, self.pause) = (0, 0, Duration::ZERO);
        self.not_before = now.saturating_add(interval);
    }

    /// Waits longer each time; the pause until the next try.
    pub fn failed(&mut self, now: Duration) -> Duration {
        self.on_way = 0;
        self.pause = self.pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.not_before = now.saturating_add(self.pause);
        self.pause
    }

    /// An uplink is back: what failed may get through now. The interval between messages stays.
    pub fn try_again_soon(&mut self, now: Duration) {
        if self.pause > Duration::ZERO {
            self.not_before = self.not_before.min(now.saturating_add(AFTER_RETURN));
            self.pause = Duration::ZERO;
        }
    }

    pub fn deadline(&self) -> Option<Duration> {
        (self.on_way == 0 && !self.waiting.is_empty()).then_some(self.not_before)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
