//! What a change of health means outside: the transition itself, log lines, status files, hotplug events, in the order
//! in which they are to be carried out.

use HotplugAction::{Connected, Connecting, Disconnected, Disconnecting};

use crate::health::link::Link;
use crate::health::{Action, Announcement, HotplugAction, Level, Score, Status, Transition, timing};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstConnect {
    Yes,
    No,
}

impl Link {
    /// An interface came up: it gets its initial state without waiting for a round; one that was usable stays so.
    pub(super) fn connect_first(&mut self, before: Status, reason: &str) {
        self.abandon_round();
        (self.fault, self.drilled) = (None, false);
        if self.is_disabled() {
            return self.disable(before, "the interface has no device");
        }
        if !self.is_tracked() {
            return self.take_untracked_up(before, reason);
        }
        if before.usable() || self.tracking().initially_online {
            self.score = Score::online(self.tracking());
            self.stamp_online();
            self.push_transition(before, reason);
            self.tell(&[Connected], FirstConnect::Yes);
        } else {
            self.score = Score::offline(self.tracking());
            self.stamp_offline();
            self.push_transition(before, reason);
            self.log_skipped_event();
            self.write_files();
        }
        self.start_round();
    }

    /// Scripts hear nothing of an interface without targets but what the host itself tells them.
    pub(super) fn take_untracked_up(&mut self, before: Status, reason: &str) {
        self.score = Score::online(self.tracking());
        self.stamp_online();
        self.push_transition(before, reason);
        self.write_files();
    }

    /// The last target went away: whoever heard `disconnected` before hears that this is over.
    pub(super) fn stop_tracking(&mut self, before: Status) {
        self.score = Score::online(self.tracking());
        if before == Status::Online {
            return self.write_files();
        }
        self.push_transition(before, "nothing is probed any more");
        if before.usable() {
            return self.write_files();
        }
        self.stamp_online();
        self.tell(&[Connected], FirstConnect::No);
    }

    /// The interface is down or switched off.
    pub(super) fn disable(&mut self, before: Status, reason: &str) {
        self.drilled = false;
        if before == Status::Disabled {
            return self.write_files();
        }
        self.drop_to_zero();
        self.push_transition(before, reason);
        if before.usable() && self.is_tracked() {
            return self.tell(&[Disconnected], FirstConnect::No);
        }
        if self.is_tracked() {
            self.log_skipped_event();
        }
        self.write_files();
    }

    /// Hard evidence: no round has to confirm it.
    pub(super) fn go_offline(&mut self, reason: &str) {
        let before = self.status();
        self.drop_to_zero();
        self.push_transition(before, reason);
        if before.usable() && self.is_tracked() {
            self.tell(&[Disconnected], FirstConnect::No);
        } else {
            self.write_files();
        }
        if self.is_tracked() {
            self.next_round = Some(timing::after(self.now, timing::offline_pause(self.tracking())));
        }
    }

    pub(super) fn switch_after_round(&mut self, before: Status, reason: &str) {
        let after = self.status();
        if !before.usable() && after.usable() {
            self.stamp_online();
            self.turn = 1;
        } else if before.usable() && !after.usable() {
            self.stamp_offline();
        }
        if before != after {
            self.push_transition(before, reason);
        }
        let told: &[HotplugAction] = match (before, after) {
            (Status::Online, Status::Disconnecting) => &[Disconnecting],
            (Status::Online, Status::Offline) => &[Disconnecting, Disconnected],
            (Status::Disconnecting, Status::Offline) => &[Disconnected],
            (Status::Offline, Status::Connecting) => &[Connecting],
            (Status::Offline, Status::Online) => &[Connecting, Connected],
            (Status::Connecting, Status::Online) => &[Connected],
            _ => &[],
        };
        self.tell(told, FirstConnect::No);
    }

    pub(super) fn write_files(&mut self) {
        self.files_are_stale = false;
        self.actions.push(Action::WriteFiles(Box::new(self.snapshot())));
    }

    pub(super) fn log(&mut self, level: Level, text: String) {
        self.actions.push(Action::Log(level, text));
    }

    pub(super) fn log_detected(&mut self, event: &str) {
        if self.is_tracked() {
            let text =
                format!("Detect {event} event on interface {} ({})", self.interface.name, self.last_device);
            self.log(Level::Info, text);
        }
    }

    pub(super) fn tell(&mut self, told: &[HotplugAction], first_connect: FirstConnect) {
        for action in told {
            let state = match action {
                Connected => "online",
                Disconnected => "offline",
                Connecting | Disconnecting => action.name(),
            };
            let text = format!("Interface {} ({}) is {state}", self.interface.name, self.last_device);
            self.log(Level::Notice, text);
        }
        self.write_files();
        for action in told {
            self.actions.push(Action::Announce(Announcement {
                action: *action,
                device: self.last_device.clone(),
                first_connect: first_connect == FirstConnect::Yes,
            }));
        }
    }

    fn log_skipped_event(&mut self) {
        let text = format!("Skip disconnected event for {} ({})", self.interface.name, self.last_device);
        self.log(Level::Notice, text);
    }

    pub(super) fn push_transition(&mut self, from: Status, reason: &str) {
        let transition = Transition { from, to: self.status(), reason: reason.to_owned() };
        self.actions.push(Action::Transition(transition));
    }

    fn drop_to_zero(&mut self) {
        self.abandon_round();
        self.score = Score::offline(self.tracking());
        self.streak = 0;
        self.stamp_offline();
    }

    pub(super) fn stamp_online(&mut self) {
        (self.online_since, self.offline_since) = (Some(self.now), None);
        (self.lost, self.turn, self.streak) = (0, 0, 0);
    }

    /// An interface that was offline before stays so since then.
    pub(super) fn stamp_offline(&mut self) {
        self.online_since = None;
        self.offline_since = self.offline_since.or(Some(self.now));
    }
}
