//! Carrying out what the machines decided, in the order that hurts least: the kernel first, in one
//! transaction, then files, then connections, then scripts.

use std::time::Duration;

use crate::config::FlushOn;
use crate::health::{Action, Announcement, HotplugAction, Level, Snapshot, Status, Transition};
use crate::json::{Json, Object};
use crate::plan::Verdict;
use crate::system::clock::since_boot;
use crate::system::conntrack::{self, MarkFilter};
use crate::system::files::write_atomically;
use crate::system::hooks::Notice;
use crate::system::logger as log;

use super::Tracker;

impl Tracker {
    /// False when there was nothing to do.
    pub(super) fn carry_out(&mut self) -> bool {
        let now = since_boot();
        let mut actions: Vec<(String, Action)> = Vec::new();
        for (name, watch) in self.watches.iter_mut() {
            while let Some(action) = watch.link.poll_action() {
                actions.push((name.clone(), action));
            }
        }
        if actions.is_empty() {
            return false;
        }
        let mut transitions: Vec<(String, Transition)> = Vec::new();
        for (name, action) in &actions {
            if let Action::Transition(transition) = action {
                transitions.push((name.clone(), transition.clone()));
            }
        }
        if !transitions.is_empty() {
            self.switch(&transitions, now);
        }
        for (name, action) in actions {
            match action {
                Action::Probe { target, sequence } => {
                    self.counts.probes += 1;
                    let Some(watch) = self.watches.get_mut(&name) else { continue };
                    watch.probes_sent += 1;
                    if let Some(event) = watch.probe(target, sequence, &mut self.prober, now) {
                        watch.link.handle(event, now);
                    }
                }
                Action::WriteFiles(snapshot) => self.write_files(&name, &snapshot),
                Action::Announce(announcement) => self.announce(&name, &announcement, now),
                Action::Log(Level::Notice, text) => {
                    log::log_as("mwan3track", log::Level::Info, format_args!("{text}"))
                }
                Action::Log(Level::Info, text) => {
                    log::log_as("mwan3track", log::Level::Debug, format_args!("{text}"))
                }
                Action::Transition(_) => {}
            }
        }
        true
    }

    /// Everybody's new state is written down, then one reconcile serves all of them.
    fn switch(&mut self, transitions: &[(String, Transition)], now: Duration) {
        for (name, transition) in transitions {
            self.events.record(now, name, transition.name(), &transition.reason);
            self.note_for_damping(name, transition, now);
            if let Some(watch) = self.watches.get_mut(name) {
                if transition.from != transition.to {
                    watch.switched_at = Some(now);
                    watch.transitions += 1;
                }
                let is_online = watch.verdict() == Verdict::Online;
                if let Err(error) = self.directories.write_interface_state(name, is_online) {
                    log::error!("cannot write the state of {name}: {error}");
                }
            }
        }
        if !transitions.iter().any(|(_, transition)| concerns_traffic(transition)) {
            return;
        }
        match self.reconcile() {
            Ok(outcome) => {
                self.note_switched(transitions);
                self.see(outcome, now);
            }
            Err(error) => {
                log::error!("{error}");
                self.look_within(Duration::from_secs(1), now);
            }
        }
        for (name, transition) in transitions {
            self.forget_connections(name, transition, now);
            self.alert(name, transition, now);
            for occasion in occasions(transition) {
                match occasion {
                    FlushOn::Ifup => self.tell_bus("ifup", name, ""),
                    FlushOn::Ifdown => self.tell_bus("ifdown", name, ""),
                    // Announced with the scripts.
                    FlushOn::Connected | FlushOn::Disconnected => {}
                }
            }
        }
        self.advance_alerts(now);
    }

    /// Connections of an uplink that just died would go on into the void; others only if somebody asked.
    fn forget_connections(&mut self, name: &str, transition: &Transition, now: Duration) {
        let Some(watch) = self.watches.get(name) else { return };
        let interface = watch.link.interface();
        let has_died = transition.from.usable() && !transition.to.usable();
        let is_asked = occasions(transition).iter().any(|event| interface.flush_conntrack.contains(event));
        if !has_died && !is_asked {
            return;
        }
        let (mark, family) = (watch.mark, interface.family);
        let flushed = match (is_asked, interface.flushes_all) {
            (true, true) => conntrack::flush_all(),
            (true, false) => {
                conntrack::flush_marked(MarkFilter { value: mark, mask: self.config.globals.mask.bits() })
            }
            (false, _) => self.forget_failed(mark, family, now),
        };
        match flushed {
            Ok(()) => log::debug!("Connection tracking flushed for interface '{name}'"),
            Err(error) if conntrack::is_absent(&error) => {}
            Err(error) => log::warn!("cannot flush the connections of {name}: {error}"),
        }
    }

    fn write_files(&mut self, name: &str, snapshot: &Snapshot) {
        let directory = self.directories.tracking(name);
        let Some(watch) = self.watches.get_mut(name) else { return };
        for (file, content) in snapshot.files() {
            if !watch.is_news(&file, &content) {
                continue;
            }
            if let Err(error) = write_atomically(&directory.join(&file), &content) {
                log::error!("cannot write {file} of {name}: {error}");
                watch.forget_written();
                return;
            }
        }
    }

    fn announce(&mut self, name: &str, announcement: &Announcement, now: Duration) {
        let mut notice = Notice::new(announcement.action.name(), name, &announcement.device);
        if announcement.action == HotplugAction::Connected {
            notice = notice.with("FIRSTCONNECT", if announcement.first_connect { "1" } else { "" });
        }
        if self.is_drilled(name) {
            notice = notice.with("MWAN3_DRILL", "1");
        }
        self.hooks.tell(&notice, now);
        self.tell_bus(announcement.action.name(), name, &announcement.device);
    }

    /// Where there is a bus, and at once or never. `device`: the one it had, where it may have gone.
    fn tell_bus(&mut self, event: &str, name: &str, device: &str) {
        let Some(watch) = self.watches.get(name) else { return };
        let device = watch.link.attachment().map_or(device, |found| &*found.device);
        let reason = self.events.after(0).filter(|event| event.interface == name).last();
        let mut data = Object::new();
        data.text("device", device);
        data.text("interface", name);
        data.text("reason", reason.map_or("", |event| &event.reason));
        data.text("status", watch.link.status().name());
        self.herald.send(&format!("mwan3.{event}"), &Json::Object(data));
    }
}

/// Between `online` and `disconnecting`, or `offline` and `connecting`, the kernel has nothing to learn.
fn concerns_traffic(transition: &Transition) -> bool {
    let (from, to) = (transition.from, transition.to);
    from.usable() != to.usable() || from == to || from == Status::Disabled || to == Status::Disabled
}

/// What `flush_conntrack` can name. A first connection is netifd's `ifup`, not `connected`.
fn occasions(transition: &Transition) -> Vec<FlushOn> {
    let (from, to) = (transition.from, transition.to);
    let comes_up = from == Status::Disabled || (from, to) == (Status::Online, Status::Online);
    let goes_down = to == Status::Disabled;
    let mut found = Vec::new();
    if comes_up && !goes_down {
        found.push(FlushOn::Ifup);
    }
    if goes_down && from != Status::Disabled {
        found.push(FlushOn::Ifdown);
    }
    if !comes_up && !from.usable() && to.usable() {
        found.push(FlushOn::Connected);
    }
    if from.usable() && !to.usable() {
        found.push(FlushOn::Disconnected);
    }
    found
}
