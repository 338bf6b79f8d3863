//! A link in a simulated world: targets that answer, lose or refuse probes, and a clock that only moves when told.
//! After every step it checks what must always be true.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mwan3::address::Family;
use mwan3::config::{Failback, Interface, Tracking};
use mwan3::health::{Action, Attachment, Damped, Damping, Event, HotplugAction, Link, Reply, Status};

pub struct World {
    pub link: Link,
    pub now: Duration,
    pub weather: BTreeMap<String, Behaviour>,
    pub done: Vec<(Duration, Action)>,
    pub keep_actions: bool,
    pub probes_sent: u64,
    replies: BTreeMap<(Duration, u64), Event>,
    order: u64,
    /// Probes to each target since the last round ended or the world interfered.
    asked: BTreeMap<usize, u32>,
    last_round: Option<Duration>,
    random: Random,
    told_usable: bool,
    pub damping: Damping,
    pub damped: Vec<(Duration, Damped)>,
    /// The local minute of the day at some time.
    pub clock: (Duration, u32),
}

#[derive(Clone, Debug)]
pub enum Behaviour {
    Answers(Duration),
    Duplicates(Duration),
    Lost,
    Fails(String),
    /// Loses this many of 100.
    Lossy(u32, Duration),
}

/// SplitMix64: the same day every time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % u64::from(limit)) as u32
    }
}

pub fn interface(tracking: Tracking) -> Interface {
    Interface {
        name: "wan".to_owned(),
        id: 1,
        enabled: true,
        family: Family::Ipv4,
        device: None,
        gateway: None,
        tracking,
        failback: Failback::default(),
        flush_conntrack: Vec::new(),
        flushes_all: false,
    }
}

pub fn attachment(device: &str, source: Option<&str>) -> Attachment {
    let source = source.map(|source| source.parse::<IpAddr>().expect("an address"));
    Attachment { device: device.to_owned(), source }
}

pub fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

pub fn s(number: u64) -> Duration {
    Duration::from_secs(number)
}

pub fn quick() -> Tracking {
    Tracking {
        targets: vec!["1.1.1.1".to_owned(), "8.8.8.8".to_owned()],
        timeout_ms: 1_000,
        interval_ms: 1_000,
        failure_interval_ms: 1_000,
        recovery_interval_ms: 1_000,
        confirm_interval_ms: 1_000,
        up: 2,
        down: 3,
        ..Tracking::default()
    }
}

/// What we ship.
pub fn shipped() -> Tracking {
    Tracking {
        targets: ["1.0.0.1", "1.1.1.1", "208.67.222.222", "208.67.220.220"].map(str::to_owned).to_vec(),
        reliability: 2,
        size: 16,
        timeout_ms: 800,
        interval_ms: 2_000,
        failure_interval_ms: 2_000,
        recovery_interval_ms: 2_000,
        confirm_interval_ms: 200,
        confirm_count: 3,
        up: 5,
        down: 3,
        ..Tracking::default()
    }
}

/// When told to be fast.
pub fn fast() -> Tracking {
    Tracking { timeout_ms: 300, interval_ms: 200, confirm_interval_ms: 50, down: 2, ..shipped() }
}

impl World {
    pub fn new(tracking: Tracking) -> World {
        World {
            link: Link::new(interface(tracking)),
            now: Duration::ZERO,
            weather: BTreeMap::new(),
            done: Vec::new(),
            keep_actions: true,
            probes_sent: 0,
            replies: BTreeMap::new(),
            order: 0,
            asked: BTreeMap::new(),
            last_round: None,
            random: Random(1),
            told_usable: false,
            damping: Damping::new(Failback::default(), Damped::default(), Duration::ZERO),
            damped: Vec::new(),
            clock: (Duration::ZERO, 12 * 60),
        }
    }

    /// Up from second 0 on eth1.
    pub fn started(tracking: Tracking) -> World {
        let mut world = World::new(tracking);
        world.handle(Event::Start(Some(attachment("eth1", Some("192.0.2.2")))));
        world
    }

    pub fn handle(&mut self, event: Event) {
        let is_deadline = event == Event::Deadline;
        let is_probing =
            is_deadline || matches!(event, Event::ProbeAnswered { .. } | Event::ProbeFailed { .. });
        if !is_probing {
            self.asked.clear();
        }
        self.link.handle(event, self.now);
        while let Some(action) = self.link.poll_action() {
            self.carry_out(&action);
            if self.keep_actions {
                self.done.push((self.now, action));
            }
        }
        self.check_invariants(is_deadline);
        self.check_one_round_at_a_time(is_probing);
    }

    /// Lets answers and deadlines happen up to and including this time.
    pub fn run_until(&mut self, end: Duration) {
        self.run(end, |at, end| at <= end);
    }

    /// Leaves what is due at this very time for later, so that an input of that time comes first.
    pub fn run_up_to(&mut self, end: Duration) {
        self.run(end, |at, end| at < end);
    }

    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    pub fn all_targets(&mut self, behaviour: Behaviour) {
        for target in self.link.interface().tracking.targets.clone() {
            self.weather.insert(target, behaviour.clone());
        }
    }

    pub fn transitions(&self) -> Vec<(Duration, Status, Status)> {
        let transition = |(at, action): &(Duration, Action)| match action {
            Action::Transition(transition) => Some((*at, transition.from, transition.to)),
            _ => None,
        };
        self.done.iter().filter_map(transition).collect()
    }

    pub fn hotplug(&self) -> Vec<HotplugAction> {
        let action = |(_, action): &(Duration, Action)| match action {
            Action::Announce(announcement) => Some(announcement.action),
            _ => None,
        };
        self.done.iter().filter_map(action).collect()
    }

    pub fn forget_actions(&mut self) {
        self.done.clear();
    }

    fn run(&mut self, end: Duration, is_due: impl Fn(Duration, Duration) -> bool) {
        loop {
            let reply = self.replies.keys().next().copied();
            let deadline = self.link.deadline().map(|(at, _)| at);
            let earlier = reply.map(|(at, _)| at).into_iter().chain(deadline).min();
            if let Some(at) = self.damping.deadline()
                && earlier.is_none_or(|earlier| at < earlier)
                && is_due(at, end)
            {
                self.now = self.now.max(at);
                self.damping.look(self.now, self.minute_of_day());
                self.note_damping();
                assert!(self.damping.deadline().is_none_or(|next| next > at), "spins at {at:?}");
                continue;
            }
            match (reply, deadline) {
                (Some((at, order)), deadline) if deadline.is_none_or(|deadline| at <= deadline) => {
                    if !is_due(at, end) {
                        break;
                    }
                    self.now = self.now.max(at);
                    let event = self.replies.remove(&(at, order)).expect("just seen");
                    self.handle(event);
                }
                (_, Some(at)) if is_due(at, end) => {
                    self.now = self.now.max(at);
                    self.handle(Event::Deadline);
                }
                _ => break,
            }
        }
        self.now = self.now.max(end);
    }

    fn note_damping(&mut self) {
        let damped = self.damping.damped();
        if self.damped.last().map_or(Damped::default(), |(_, known)| *known) != damped {
            self.damped.push((self.now, damped));
        }
    }

    fn minute_of_day(&self) -> u32 {
        let (at, minute) = self.clock;
        let passed = self.now.saturating_sub(at).as_secs() / 60;
        (minute + u32::try_from(passed).expect("a short story")) % (24 * 60)
    }

    fn carry_out(&mut self, action: &Action) {
        if let Action::Transition(transition) = action {
            self.told_usable = transition.to.usable();
            self.damping.note(transition, self.now);
            self.note_damping();
        }
        let Action::Probe { target, sequence } = action else { return };
        let (target, sequence) = (*target, *sequence);
        self.probes_sent += 1;
        *self.asked.entry(target).or_default() += 1;
        let name = &self.link.interface().tracking.targets[target];
        let behaviour = self.weather.get(name).cloned().unwrap_or(Behaviour::Answers(ms(20)));
        let answer = |round_trip| Event::ProbeAnswered { target, sequence, round_trip };
        match behaviour {
            Behaviour::Lost => {}
            Behaviour::Answers(trip) => self.reply_after(trip, answer(trip)),
            Behaviour::Duplicates(trip) => {
                self.reply_after(trip, answer(trip));
                self.reply_after(trip + ms(1), answer(trip + ms(1)));
            }
            Behaviour::Lossy(percent, trip) => {
                if self.random.below(100) >= percent {
                    self.reply_after(trip, answer(trip));
                }
            }
            Behaviour::Fails(reason) => {
                self.reply_after(ms(1), Event::ProbeFailed { target, sequence, reason });
            }
        }
    }

    fn reply_after(&mut self, delay: Duration, event: Event) {
        self.order += 1;
        self.replies.insert((self.now + delay, self.order), event);
    }

    fn check_invariants(&self, after_deadline: bool) {
        let link = &self.link;
        let (status, score) = (link.status(), link.score());
        let tracking = &link.interface().tracking;
        assert_eq!(score.full(), tracking.up + tracking.down);
        let value = score.value();
        let expected = match value {
            _ if link.is_drilled() => status == Status::Offline,
            0 => [Status::Offline, Status::Disabled].contains(&status),
            value if value < tracking.up => status == Status::Connecting,
            value if value > tracking.up && value < score.full() => status == Status::Disconnecting,
            value => value == score.full() && status == Status::Online,
        };
        assert!(expected, "score {value} and {status:?} at {:?}", self.now);
        assert_eq!(link.usable(), status.usable());
        assert_eq!(link.snapshot().status, status);
        let probing = status != Status::Disabled && !tracking.targets.is_empty();
        assert_eq!(link.deadline().is_some(), probing, "at {:?}", self.now);
        if after_deadline {
            assert!(link.deadline().is_none_or(|(at, _)| at > self.now), "spins at {:?}", self.now);
        }
        let mut waiting = BTreeSet::new();
        for target in 0..tracking.targets.len() {
            let history = link.history(target).expect("a history for every target");
            for record in history.records().filter(|record| record.reply() == Reply::Waiting) {
                assert!(waiting.insert(record.sequence), "sequence {} is in flight twice", record.sequence);
            }
        }
    }

    /// A round that began before the last one ended would ask a target too often.
    fn check_one_round_at_a_time(&mut self, is_probing: bool) {
        let tracking = &self.link.interface().tracking;
        let most = tracking.count.max(tracking.confirm_count).max(1);
        let too_often = self.asked.values().any(|asked| *asked > most);
        assert!(!too_often, "two rounds at once at {:?}: {:?}", self.now, self.asked);
        let last_round = self.link.snapshot().time;
        if !is_probing || last_round != self.last_round {
            self.asked.clear();
        }
        self.last_round = last_round;
    }

    /// For worlds where every start was told: the last transition and the link agree.
    pub fn check_told(&self) {
        assert_eq!(self.told_usable, self.link.usable(), "at {:?}", self.now);
    }
}
