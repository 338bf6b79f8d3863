//! `mwan3 drill`: an uplink fails on purpose, in our own state only. It comes back when the time is over,
//! when whoever asked is gone, when the tracker ends; and after a tracker that was killed, with the next one.

use std::time::Duration;

use crate::control::ClientId;
use crate::health::{Event, Transition, whole_us};
use crate::json::{Json, Object};
use crate::plan::{lost_without, uplinks};
use crate::system::clock::{after, since_boot};
use crate::system::conntrack;
use crate::system::files::write_atomically;
use crate::system::hooks::Notice;
use crate::system::logger as log;

use super::Tracker;

const LONGEST_S: u32 = 3_600;

#[derive(Debug)]
pub(super) struct Drill {
    client: ClientId,
    interface: String,
    pub(super) until: Duration,
    /// When the kernel was last changed for it.
    switched: Option<Duration>,
}

impl Tracker {
    /// The refusal, in words. The client is told what happens as it happens.
    pub(super) fn start_drill(
        &mut self,
        client: ClientId,
        name: &str,
        seconds: &str,
        is_forced: bool,
    ) -> Option<String> {
        let seconds = match seconds.parse::<u32>() {
            Ok(seconds) if (1..=LONGEST_S).contains(&seconds) => seconds,
            _ => return Some(format!("a drill takes 1 to {LONGEST_S} s")),
        };
        if let Some(refusal) = self.refusal(name, is_forced) {
            return Some(refusal);
        }
        let mark = self.watches.get(name).map_or(0, |watch| watch.mark);
        let counted = conntrack::count_by_mark(self.config.globals.mask.bits());
        let connections = counted.ok().map(|counts| counts.get(&mark).copied().unwrap_or(0));
        if let Err(error) = write_atomically(&self.directories.drill_note(name), "") {
            return Some(format!("cannot note the drill down, so that it ends in any case: {error}"));
        }
        let begun = since_boot();
        let until = after(begun, Duration::from_secs(u64::from(seconds)));
        self.events.record(begun, name, "drill", &format!("begins, for {seconds} s"));
        self.drill = Some(Drill { client, interface: name.to_owned(), until, switched: None });
        self.tell_link(name, Event::DrillBegins);
        let switched = self.drill.as_mut().and_then(|drill| drill.switched.take());
        let mut line = Object::new();
        line.number("begun_us", whole_us(begun));
        line.put("connections", connections.map(Json::from).unwrap_or_default());
        line.text("drill", "began");
        line.text("interface", name);
        line.number("mark", mark.into());
        line.put("switched_us", time_from(begun, switched));
        self.server.send(client, &Json::Object(line));
        None
    }

    fn refusal(&self, name: &str, is_forced: bool) -> Option<String> {
        if let Some(drill) = &self.drill {
            return Some(format!("a drill of {} is under way", drill.interface));
        }
        let Some(watch) = self.watches.get(name) else {
            return Some(format!("{name} is not an enabled interface"));
        };
        if !watch.link.usable() {
            return Some(format!("{name} is {} already", watch.link.status().name()));
        }
        let health = self.directories.health(&self.config);
        let lost = lost_without(&self.config, &uplinks(&self.config, &self.network, &health), name);
        (!is_forced && !lost.is_empty()).then(|| {
            format!("{}: nothing would be left there; --force does it all the same", lost.join(", "))
        })
    }

    /// Whether it is time, and whether anybody still wants it.
    pub(super) fn watch_drill(&mut self, now: Duration) {
        let Some(drill) = &self.drill else { return };
        let is_on = self.watches.get(&drill.interface).is_some_and(|watch| watch.link.is_drilled());
        if !is_on {
            self.end_drill("the interface changed");
        } else if drill.until <= now {
            self.end_drill("the time is over");
        } else if !self.server.is_connected(drill.client) {
            self.end_drill("whoever asked for it is gone");
        }
    }

    pub(super) fn end_drill(&mut self, reason: &str) {
        let Some(drill) = &self.drill else { return };
        let (name, client, ended) = (drill.interface.clone(), drill.client, since_boot());
        self.tell_link(&name, Event::DrillEnds);
        self.events.record(ended, &name, "drill", &format!("over: {reason}"));
        if let Err(error) = std::fs::remove_file(self.directories.drill_note(&name)) {
            log::warn!("cannot remove the note of the drill of {name}: {error}");
        }
        let switched = self.drill.take().and_then(|drill| drill.switched);
        let status = self.watches.get(&name).map_or("unknown", |watch| watch.link.status().name());
        let mut line = Object::new();
        line.text("drill", "over");
        line.text("interface", &name);
        line.text("reason", reason);
        line.text("status", status);
        line.put("switched_us", time_from(ended, switched));
        self.server.answer(client, &Json::Object(line), since_boot());
    }

    fn tell_link(&mut self, name: &str, event: Event) {
        if let Some(watch) = self.watches.get_mut(name) {
            watch.link.handle(event, since_boot());
        }
        self.rest();
    }

    pub(super) fn is_drilled(&self, name: &str) -> bool {
        self.drill.as_ref().is_some_and(|drill| drill.interface == name)
    }

    /// The kernel is as the transitions want it.
    pub(super) fn note_switched(&mut self, transitions: &[(String, Transition)]) {
        if let Some(drill) = &mut self.drill
            && transitions.iter().any(|(name, _)| *name == drill.interface)
        {
            drill.switched = Some(since_boot());
        }
    }

    /// What a tracker that was killed left behind: the uplinks are as before, until probes find otherwise.
    pub(super) fn forget_old_drills(&mut self) -> Vec<String> {
        let mut drilled = Vec::new();
        for interface in &self.config.interfaces {
            let name = &interface.name;
            if std::fs::remove_file(self.directories.drill_note(name)).is_err() {
                continue;
            }
            let status = self.directories.tracking(name).join("STATUS");
            let restored = self.directories.write_interface_state(name, true);
            if let Err(error) = restored.and_then(|()| write_atomically(&status, "online\n")) {
                log::error!("cannot end the drill of {name}: {error}");
            }
            drilled.push(name.clone());
        }
        drilled
    }

    /// Scripts have heard `disconnected`.
    pub(super) fn tell_old_drills(&mut self, drilled: &[String], now: Duration) {
        for name in drilled {
            self.events.record(now, name, "drill", "over: the tracker was started anew");
            let Some(watch) = self.watches.get(name).filter(|watch| watch.link.usable()) else { continue };
            let device = watch.link.attachment().map_or("", |attachment| &attachment.device);
            if !watch.link.interface().tracking.targets.is_empty() {
                let notice = Notice::new("connected", name, device).with("FIRSTCONNECT", "");
                self.hooks.tell(&notice.with("MWAN3_DRILL", "1"), now);
            }
        }
    }
}

/// Null where the kernel was not changed.
fn time_from(start: Duration, switched: Option<Duration>) -> Json {
    switched.map(|at| Json::from(whole_us(at.saturating_sub(start)))).unwrap_or_default()
}
