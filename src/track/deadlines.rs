//! When the tracker has to wake, and what it does then.

use std::time::Duration;

use crate::health::Event;
use crate::scrape::Door;

use super::Tracker;

impl Tracker {
    pub(super) fn next_deadline(&self) -> Duration {
        let mut next = self.next_look;
        for watch in self.watches.values() {
            bring_forward(&mut next, watch.link.deadline().map(|(at, _)| at));
            bring_forward(&mut next, watch.damping.deadline());
        }
        for test in &self.tests {
            bring_forward(&mut next, Some(test.until));
        }
        bring_forward(&mut next, self.sessions.deadline());
        bring_forward(&mut next, self.hooks.deadline());
        bring_forward(&mut next, self.alerts_deadline());
        bring_forward(&mut next, self.drill.as_ref().map(|drill| drill.until));
        bring_forward(&mut next, self.server.deadline());
        bring_forward(&mut next, self.metrics.door.as_ref().and_then(Door::deadline));
        next
    }

    pub(super) fn meet_deadlines(&mut self, now: Duration) {
        for watch in self.watches.values_mut() {
            if watch.link.deadline().is_some_and(|(at, _)| at <= now) {
                watch.link.handle(Event::Deadline, now);
            }
        }
        self.hooks.advance(now);
        self.advance_alerts(now);
        self.server.advance(now);
        if let Some(door) = &mut self.metrics.door {
            door.advance(now);
        }
        self.end_tests(now);
        self.watch_drill(now);
        self.end_draining(now);
        self.end_probations(now);
    }
}

#[inline(never)]
fn bring_forward(next: &mut Duration, at: Option<Duration>) {
    if let Some(at) = at {
        *next = (*next).min(at);
    }
}
