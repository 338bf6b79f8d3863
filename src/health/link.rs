//! One interface's state machine. This file takes the events apart; `link/probing.rs` runs the rounds,
//! `link/switching.rs` turns score changes into transitions, files, log lines and hotplug events.

mod drill;
mod probing;
mod switching;

use std::time::Duration;

use crate::config::{Interface, Tracking};
use crate::health::round::Round;
use crate::health::{
    Action, Adopted, Attachment, Event, History, LinkFault, Score, Sequence, Snapshot, Status, TargetReport,
    TargetState, timing, words,
};

pub struct Link {
    interface: Interface,
    /// What the host says is there; None while the interface is down.
    attachment: Option<Attachment>,
    /// Kept over an ifdown, whose events still name it.
    last_device: String,
    forced_down: bool,
    /// Works, and is taken as one that does not.
    drilled: bool,
    fault: Option<LinkFault>,
    score: Score,
    targets: Vec<Target>,
    round: Option<Round>,
    next_round: Option<Duration>,
    next_sequence: Sequence,
    /// Probes lost since the last answered round.
    lost: u32,
    turn: u32,
    /// Rounds lost, or answered, one after the other.
    streak: u32,
    streak_is_won: bool,
    last_round: Option<Duration>,
    online_since: Option<Duration>,
    offline_since: Option<Duration>,
    now: Duration,
    /// A target's state changed since the files were written.
    files_are_stale: bool,
    actions: Vec<Action>,
}

struct Target {
    name: String,
    state: Option<TargetState>,
    latency_ms: Option<u32>,
    loss_percent: Option<u32>,
    history: History,
}

impl Link {
    pub fn new(interface: Interface) -> Link {
        Link {
            score: Score::offline(&interface.tracking),
            targets: interface.tracking.targets.iter().map(|name| Target::new(name)).collect(),
            interface,
            attachment: None,
            last_device: String::new(),
            forced_down: false,
            drilled: false,
            fault: None,
            round: None,
            next_round: None,
            next_sequence: 0,
            lost: 0,
            turn: 0,
            streak: 0,
            streak_is_won: false,
            last_round: None,
            online_since: None,
            offline_since: None,
            now: Duration::ZERO,
            files_are_stale: false,
            actions: Vec::new(),
        }
    }

    /// Answers that are already there should be handed in before `Event::Deadline`.
    pub fn handle(&mut self, event: Event, now: Duration) {
        self.now = self.now.max(now);
        match event {
            Event::Start(attachment) => self.start(attachment),
            Event::Adopt(adopted, attachment) => self.adopt(&adopted, attachment),
            Event::InterfaceUp(attachment) => self.interface_up(attachment),
            Event::InterfaceDown => self.interface_down(),
            Event::AddressChanged(attachment) => self.address_changed(attachment),
            Event::LinkDown(fault) => self.link_down(fault),
            Event::LinkBack => self.link_back(),
            Event::GatewayUnreachable(gateway) => self.gateway_unreachable(gateway),
            Event::ProbeAnswered { target, sequence, round_trip } => {
                self.probe_answered(target, sequence, round_trip)
            }
            Event::ProbeFailed { target, sequence, reason } => self.probe_failed(target, sequence, reason),
            Event::ConfigChanged(interface) => self.config_changed(*interface),
            Event::ForcedDown => self.force_down(),
            Event::ForcedUp => self.force_up(),
            Event::DrillBegins => self.begin_drill(),
            Event::DrillEnds => self.end_drill(),
            Event::Deadline => self.advance(),
        }
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        if self.actions.is_empty() { None } else { Some(self.actions.remove(0)) }
    }

    /// When to hand in `Event::Deadline`, and what for. None while nothing is probed.
    pub fn deadline(&self) -> Option<(Duration, &'static str)> {
        let next_round = self.next_round.map(|at| (at, "the next round begins"));
        let Some(round) = &self.round else { return next_round };
        let open_round = match round.next_try() {
            Some(at) if at < round.ends() => (at, "silent targets are asked again"),
            _ => (round.ends(), "targets have until then to answer"),
        };
        next_round.filter(|(at, _)| *at <= open_round.0).or(Some(open_round))
    }

    pub fn status(&self) -> Status {
        match self.is_disabled() {
            true => Status::Disabled,
            false if self.drilled => Status::Offline,
            false => self.score.status(),
        }
    }

    /// Whether policies may send traffic there.
    pub fn usable(&self) -> bool {
        self.status().usable()
    }

    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// What probes are to be bound to.
    pub fn attachment(&self) -> Option<&Attachment> {
        self.attachment.as_ref()
    }

    /// What it stands or last stood on; empty before it ever did.
    pub fn device(&self) -> &str {
        &self.last_device
    }

    /// Whether its status rests on a round of probes, and not on the configured initial state.
    pub fn is_decided(&self) -> bool {
        !self.is_tracked() || self.last_round.is_some()
    }

    pub fn score(&self) -> Score {
        self.score
    }

    pub fn history(&self, target: usize) -> Option<&History> {
        self.targets.get(target).map(|target| &target.history)
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            status: self.status(),
            score: self.score.value(),
            lost: self.lost,
            turn: self.turn,
            time: self.last_round,
            online_since: self.online_since,
            offline_since: self.offline_since,
            targets: self.targets.iter().map(Target::report).collect(),
        }
    }

    fn start(&mut self, attachment: Option<Attachment>) {
        let before = self.status();
        self.attach(attachment);
        if self.is_disabled() {
            self.write_files();
        } else {
            self.connect_first(before, "the service started while the interface was up");
        }
    }

    fn adopt(&mut self, adopted: &Adopted, attachment: Option<Attachment>) {
        if adopted.status == Status::Disabled {
            return self.start(attachment);
        }
        let was_usable = adopted.status.usable();
        (self.online_since, self.offline_since) = match was_usable {
            true => (not_later(adopted.online_since, self.now), None),
            false => (None, not_later(adopted.offline_since, self.now)),
        };
        self.last_round = not_later(adopted.time, self.now);
        (self.lost, self.turn) = (adopted.lost, adopted.turn);
        self.score = Score::adopted(&self.interface.tracking, adopted.status, adopted.score);
        self.attach(attachment);
        if self.is_disabled() {
            return self.disable(self.score.status(), "the interface went down while nobody looked");
        }
        if !self.is_tracked() {
            self.score = Score::online(&self.interface.tracking);
        }
        self.write_files();
        self.start_round();
    }

    fn interface_up(&mut self, attachment: Attachment) {
        let before = self.status();
        self.attach(Some(attachment));
        self.forced_down = false;
        self.log_detected("ifup");
        self.connect_first(before, "the interface came up");
    }

    fn interface_down(&mut self) {
        if self.attachment.is_none() {
            return;
        }
        let before = self.status();
        self.log_detected("ifdown");
        self.attachment = None;
        if before != Status::Disabled {
            self.disable(before, "the interface went down");
        }
    }

    fn force_down(&mut self) {
        let before = self.status();
        self.forced_down = true;
        if before != Status::Disabled {
            self.log_detected("ifdown");
            self.disable(before, "taken down by hand");
        }
    }

    fn force_up(&mut self) {
        let before = self.status();
        self.forced_down = false;
        if !self.is_disabled() {
            self.log_detected("ifup");
            self.connect_first(before, "brought up by hand");
        }
    }

    fn address_changed(&mut self, attachment: Attachment) {
        let before = self.status();
        // An interface that is down has no addresses to change; only its coming up counts.
        let Some(old) = self.attachment.clone() else { return };
        if old == attachment {
            return;
        }
        let has_source = attachment.source.is_some();
        self.attach(Some(attachment));
        match (before, self.status()) {
            (Status::Disabled, Status::Disabled) => {}
            (Status::Disabled, _) => self.connect_first(before, "the interface has a device"),
            (_, Status::Disabled) => self.disable(before, "the interface has no device"),
            _ if old.source.is_some() && !has_source => self.link_down(LinkFault::Address),
            _ if has_source && self.fault == Some(LinkFault::Address) => self.link_back(),
            _ => self.restart_round(),
        }
    }

    fn link_down(&mut self, fault: LinkFault) {
        self.fault = Some(fault);
        if self.status() != Status::Disabled && self.score.value() > 0 {
            let reason = words::fault(fault, &self.last_device);
            self.go_offline(&reason);
        }
    }

    fn link_back(&mut self) {
        self.fault = None;
        if self.is_disabled() {
            return;
        }
        if self.is_tracked() {
            self.restart_round();
        } else if !self.usable() {
            self.take_untracked_up(self.status(), "the link is back");
        }
    }

    fn config_changed(&mut self, interface: Interface) {
        let before = self.status();
        let old = std::mem::replace(&mut self.interface, interface);
        if old.tracking != self.interface.tracking {
            self.tracking_changed(before);
        }
        match (before, self.status()) {
            (Status::Disabled, Status::Disabled) => {}
            (Status::Disabled, _) => self.connect_first(before, "enabled in the configuration"),
            (_, Status::Disabled) => self.disable(before, "disabled in the configuration"),
            _ => {}
        }
    }

    fn tracking_changed(&mut self, before: Status) {
        self.score = self.score.rescaled(&self.interface.tracking);
        self.abandon_round();
        self.rebuild_targets();
        if before == Status::Disabled || self.is_disabled() {
            return;
        }
        if !self.is_tracked() && self.fault.is_none() {
            self.stop_tracking(before);
        }
        self.start_round();
    }

    /// Targets that stay keep what is known of them.
    fn rebuild_targets(&mut self) {
        let mut old = std::mem::take(&mut self.targets);
        for name in &self.interface.tracking.targets {
            let known = old.iter().position(|target| target.name == *name);
            self.targets.push(known.map_or_else(|| Target::new(name), |index| old.swap_remove(index)));
        }
    }

    fn is_disabled(&self) -> bool {
        let has_device = self.attachment.as_ref().is_some_and(|attachment| !attachment.device.is_empty());
        !self.interface.enabled || self.forced_down || !has_device
    }

    fn is_tracked(&self) -> bool {
        !self.interface.tracking.targets.is_empty()
    }

    fn attach(&mut self, attachment: Option<Attachment>) {
        if let Some(attachment) = attachment.as_ref().filter(|attachment| !attachment.device.is_empty()) {
            self.last_device.clone_from(&attachment.device);
        }
        self.attachment = attachment;
    }

    fn tracking(&self) -> &Tracking {
        &self.interface.tracking
    }

    fn timeout(&self) -> Duration {
        timing::timeout(self.tracking())
    }
}

impl Target {
    fn new(name: &str) -> Target {
        Target {
            name: name.to_owned(),
            state: None,
            latency_ms: None,
            loss_percent: None,
            history: History::default(),
        }
    }

    fn report(&self) -> TargetReport {
        TargetReport {
            target: self.name.clone(),
            state: self.state,
            latency_ms: self.latency_ms,
            loss_percent: self.loss_percent,
        }
    }
}

/// What files say may lie in our future: another boot may have written them.
#[inline(never)]
fn not_later(time: Option<Duration>, now: Duration) -> Option<Duration> {
    time.map(|time| time.min(now))
}
