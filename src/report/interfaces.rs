//! The state of each uplink: what its tracker says, and whether the kernel holds what it needs.

use crate::config::Interface;
use crate::json::{Json, Object};
use crate::plan::{Verdict, from_chain};
use crate::sorted::SortedMap;

use super::{Snapshot, Track, TrackedTarget};

/// Where there are no status files.
static UNTOLD: Track = Track {
    is_alive: false,
    started: None,
    status: None,
    policy_state: None,
    online_since_s: 0,
    offline_since_s: 0,
    score: 0,
    lost: 0,
    turn: 0,
    time_s: 0,
    targets: SortedMap::new(),
};

pub fn interfaces_text(snapshot: &Snapshot) -> String {
    let mut text = "Interface status:\n".to_owned();
    for interface in &snapshot.config.interfaces {
        let view = View::of(snapshot, interface);
        text.push_str(&format!(
            " interface {} is {} and tracking is {}{}\n",
            interface.name,
            view.status(),
            view.tracking(),
            view.detail()
        ));
        if view.is_on_probation() {
            text.push_str("  on probation: policies that have another way wait for it\n");
        }
    }
    text.push('\n');
    text
}

/// In words, and for how many seconds, in the order of the configuration.
pub fn interface_states(snapshot: &Snapshot) -> Vec<(String, u64)> {
    let mut states = Vec::new();
    for interface in &snapshot.config.interfaces {
        let view = View::of(snapshot, interface);
        let since_s =
            if view.online_s() > 0 { view.online_s() } else { view.since(view.track.offline_since_s) };
        let state = if interface.enabled { view.status() } else { "switched off" };
        states.push((state.to_owned(), since_s));
    }
    states
}

/// The `interfaces` part of ubus `mwan3 status`, all or one.
pub fn interfaces_json(snapshot: &Snapshot, only: Option<&str>) -> Json {
    let mut interfaces = Object::new();
    for interface in &snapshot.config.interfaces {
        if only.is_none_or(|name| name == interface.name) {
            interfaces.put(&interface.name, View::of(snapshot, interface).json());
        }
    }
    Json::Object(interfaces)
}

pub(super) struct View<'a> {
    snapshot: &'a Snapshot,
    interface: &'a Interface,
    track: &'a Track,
}

impl<'a> View<'a> {
    pub fn of(snapshot: &'a Snapshot, interface: &'a Interface) -> View<'a> {
        let track = snapshot.tracks.get(&interface.name).unwrap_or(&UNTOLD);
        View { snapshot, interface, track }
    }

    /// An interface without targets has no tracker to say so: it is online while it is up.
    pub fn status(&self) -> &str {
        match &self.track.status {
            Some(status) => status,
            None if self.is_untracked() && self.interface.enabled && self.is_usable() => "online",
            None => "unknown",
        }
    }

    pub fn tracking(&self) -> &'static str {
        if self.is_untracked() {
            return "disabled";
        }
        match (self.track.is_alive, self.track.started) {
            (true, Some(0)) => "paused",
            (true, Some(1)) => "active",
            _ => "down",
        }
    }

    fn is_untracked(&self) -> bool {
        self.interface.tracking.targets.is_empty()
    }

    fn is_on_probation(&self) -> bool {
        self.snapshot.health.get(&self.interface.name) == Some(&Verdict::OnProbation)
    }

    fn is_usable(&self) -> bool {
        crate::plan::uplinks(&self.snapshot.config, &self.snapshot.network, &self.snapshot.health)
            .iter()
            .any(|uplink| uplink.interface.name == self.interface.name && uplink.usable)
            && self.snapshot.ruleset.exists
    }

    fn detail(&self) -> String {
        if self.status() == "online" {
            let state = self.track.policy_state.as_deref().unwrap_or("online");
            return format!(" ({state} {}, uptime {})", clock(self.online_s()), clock(self.uptime_s()));
        }
        match self.missing() {
            0 => String::new(),
            bits => format!(" ({bits})"),
        }
    }

    pub fn online_s(&self) -> u64 {
        match self.track.online_since_s {
            0 if self.is_untracked() && self.status() == "online" => self.uptime_s(),
            since => self.since(since),
        }
    }

    /// For how long it is what it is, by the files.
    pub fn state_s(&self) -> u64 {
        match self.track.offline_since_s {
            0 => self.online_s(),
            offline_since_s => self.since(offline_since_s),
        }
    }

    pub fn targets_in(&self, state: &str) -> u64 {
        let mut found = 0;
        for target in self.track.targets.values() {
            found += u64::from(target.status.as_deref() == Some(state));
        }
        found
    }

    #[inline(never)]
    pub fn since(&self, moment_s: u64) -> u64 {
        if moment_s == 0 { 0 } else { self.snapshot.uptime_s.saturating_sub(moment_s) }
    }

    fn uptime_s(&self) -> u64 {
        self.snapshot.network.interfaces.get(&self.interface.name).map_or(0, |found| found.uptime_s)
    }

    /// The shell package's bit sum of what the kernel lacks: the three ip rules, the inbound chain, a
    /// default route.
    fn missing(&self) -> u32 {
        let (family, id) = (self.interface.family, u32::from(self.interface.id));
        let has_rule = |base: u32| {
            self.snapshot.rules.iter().any(|rule| rule.family == family && rule.priority == base + id)
        };
        let has_chain = self
            .snapshot
            .ruleset
            .chains
            .get(&from_chain(&self.interface.name))
            .is_some_and(|chain| !chain.rules.is_empty());
        let has_default = self
            .snapshot
            .routes
            .iter()
            .any(|route| route.family == family && route.table == id && route.is_default());
        let lacks = |has: bool, bit: u32| if has { 0 } else { bit };
        lacks(has_rule(1000), 1)
            + lacks(has_rule(2000), 2)
            + lacks(has_rule(3000), 4)
            + lacks(has_chain, 8)
            + lacks(has_default, 16)
    }

    /// The members stand in the shell package's order.
    fn json(&self) -> Json {
        let track = self.track;
        let is_up = self.snapshot.network.interfaces.get(&self.interface.name).is_some_and(|found| found.up);
        let mut object = Object::new();
        object.number("age", self.since(track.time_s));
        object.number("online", self.online_s());
        object.number("offline", self.since(track.offline_since_s));
        object.number("uptime", self.uptime_s());
        object.number("score", track.score);
        object.number("lost", track.lost);
        object.number("turn", track.turn);
        object.text("status", self.status());
        object.flag("enabled", self.interface.enabled);
        object.flag("running", self.tracking() == "active");
        object.text("tracking", self.tracking());
        object.flag("up", is_up);
        object.put("track_ip", self.targets_json());
        if self.interface.failback.is_set() {
            object.flag("on_probation", self.is_on_probation());
        }
        Json::Object(object)
    }

    fn targets_json(&self) -> Json {
        let unseen = TrackedTarget::default();
        let mut targets = Vec::new();
        for target in &self.interface.tracking.targets {
            let seen = self.track.targets.get(target).unwrap_or(&unseen);
            let mut object = Object::new();
            object.text("ip", target);
            object.text("status", seen.status.as_deref().unwrap_or("unknown"));
            object.number("latency", seen.latency_ms);
            object.number("packetloss", seen.loss_percent);
            targets.push(Json::Object(object));
        }
        Json::Array(targets)
    }
}

/// Hours without bound, two digits each.
fn clock(seconds: u64) -> String {
    format!("{:02}h:{:02}m:{:02}s", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
