//! Uplinks that failed and work again: written down and told while policies wait for them, and when they have proved
//! themselves. `health::Damping` decides.

use std::time::Duration;

use crate::health::{Damped, Transition, whole_ms};
use crate::system::clock::local_minute_of_day;
use crate::system::logger as log;

use super::Tracker;

impl Tracker {
    /// Written down with the transition: nobody must take an interface on probation for a good one.
    pub(super) fn note_for_damping(&mut self, name: &str, transition: &Transition, now: Duration) {
        let is_drilled = self.is_drilled(name);
        let Some(watch) = self.watches.get_mut(name) else { return };
        if is_drilled {
            // It says nothing about the link.
            return watch.damping.note_status(transition.to, now);
        }
        let is_news = watch.damping.note(transition, now);
        let (damped, delay) = (watch.damping.damped(), watch.damping.delay());
        let failback = watch.link.interface().failback;
        if is_news {
            self.write_damping(name, damped);
        }
        if damped.is_waiting && !transition.from.usable() && transition.to.usable() {
            let seconds = whole_ms(delay).div_ceil(1000);
            let mut reason = format!("works again; policies with another way wait {seconds} s");
            if failback.window.is_some() {
                reason.push_str(" and for its window");
            }
            self.events.record(now, name, "waiting", &reason);
        }
    }

    /// Interfaces that have proved themselves: policies prefer them again.
    pub(super) fn end_probations(&mut self, now: Duration) {
        let mut proved: Vec<(String, Damped)> = Vec::new();
        for (name, watch) in self.watches.iter_mut() {
            let is_due = watch.damping.deadline().is_some_and(|at| at <= now);
            if is_due && watch.damping.look(now, local_minute_of_day()) {
                proved.push((name.clone(), watch.damping.damped()));
            }
        }
        for (name, damped) in proved {
            self.write_damping(&name, damped);
            self.events.record(now, &name, "failback", "stable for long enough: policies prefer it again");
            self.next_look = now;
        }
    }

    pub(super) fn write_damping(&self, name: &str, damped: Damped) {
        if let Err(error) = self.directories.write_damping(name, damped) {
            log::error!("cannot write down whether {name} is on probation: {error}");
        }
    }
}
