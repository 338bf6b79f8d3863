//! `mwan3 track`: one process, one thread, one poll loop for all uplinks. It probes, lets the state machines
//! decide, reconciles, and only then tells the world. Killing it never stops traffic.

mod alerts;
mod answers;
mod deadlines;
mod drill;
mod gauges;
mod life;
mod metrics;
mod probation;
mod repair;
mod sessions;
mod switching;
mod watch;

use std::os::fd::RawFd;
use std::time::Duration;

use crate::config::Config;
use crate::control::{ClientId, Server};
use crate::health::{Event, EventRing, times};
use crate::network::Network;
use crate::plan::Plan;
use crate::reconcile::{Goal, Outcome, reconcile};
use crate::sorted::{SortedMap, SortedSet};
use crate::system::clock::{after, since_boot};
use crate::system::failure::{Context, Result};
use crate::system::files::{Directories, Lock};
use crate::system::hooks::Hooks;
use crate::system::logger as log;
use crate::system::monitor::{Heard, Monitor};
use crate::system::poll::{Signal, Signals, Until, wait};
use crate::system::probe::{Interest, ProbeResult, Prober};
use crate::system::ubus::Herald;

use alerts::Alerts;
use drill::Drill;
use gauges::Finished;
use metrics::Metrics;
use repair::RepairGuard;
use sessions::Sessions;
use watch::{Finding, Watch};

/// Route changes come in storms: one look serves all of them.
const CALM: Duration = Duration::from_millis(200);
/// A device or an address that changes is looked at nearly at once.
const URGENT: Duration = Duration::from_millis(10);
/// But no look comes sooner after another: some drivers chatter.
const BREATH: Duration = Duration::from_millis(50);
/// However quiet the kernel is: a missed notification heals within this.
const LEAST_OFTEN: Duration = Duration::from_secs(60);
const EVENTS_KEPT: usize = 256;

pub struct Tracker {
    directories: Directories,
    config: Config,
    /// In the file that the configuration was read from, how many of each severity.
    problems: [(&'static str, usize); 3],
    watches: SortedMap<String, Watch>,
    network: Network,
    prober: Prober,
    monitor: Monitor,
    signals: Signals,
    server: Server,
    metrics: Metrics,
    hooks: Hooks,
    alerts: Alerts,
    herald: Herald,
    events: EventRing,
    repairs: RepairGuard,
    sessions: Sessions,
    next_look: Duration,
    /// How long the last one took.
    look_took: Duration,
    last_look: Duration,
    started: Duration,
    /// Why the next look is due, for the log of repairs.
    undone: bool,
    /// What the last reconcile made: writes without another plan repair what somebody else changed.
    applied: Plan,
    /// What the kernel refused then, in words.
    failures: Vec<String>,
    counts: Counts,
    tests: Vec<PersonsTest>,
    /// Of tests that nobody waits for, the newest last.
    finished: Vec<Finished>,
    last_test: u32,
    followers: SortedMap<ClientId, u64>,
    drill: Option<Drill>,
    ends: Option<Ending>,
    _only_one: Lock,
}

/// What a person wants to know who wonders what this process does all day.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    reconciles: u64,
    writes: u64,
    probes: u64,
    repairs: u64,
    heard: u64,
}

/// Somebody asked for probes right now.
struct PersonsTest {
    /// Who waits for the answer; without one it is kept under the id.
    client: Option<ClientId>,
    id: u32,
    interface: String,
    missing: SortedSet<usize>,
    findings: SortedMap<usize, ProbeResult>,
    until: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Traffic stays as it is: another tracker may take over.
    LeaveTraffic,
}

pub fn run() -> Result<()> {
    let mut tracker = Tracker::new()?;
    tracker.adopt_or_start()?;
    while tracker.ends.is_none() {
        tracker.settle()?;
        tracker.wait_and_hear()?;
    }
    tracker.say_goodbye();
    Ok(())
}

impl Tracker {
    fn wait_and_hear(&mut self) -> Result<()> {
        let mut watched: Vec<(RawFd, Until)> = Vec::new();
        for fd in self.monitor.descriptors() {
            watched.push((fd, Until::Readable));
        }
        watched.push((self.signals.raw_fd(), Until::Readable));
        self.server.watch(&mut watched);
        if let Some(door) = &self.metrics.door {
            door.watch(&mut watched);
        }
        for (fd, interest) in self.prober.interests() {
            watched.push((fd, if interest == Interest::Read { Until::Readable } else { Until::Writable }));
        }
        let timeout = self.next_deadline().saturating_sub(since_boot());
        let ready = wait(&watched, Some(timeout)).context("poll")?;
        let now = since_boot();
        for fd in ready {
            if fd == self.signals.raw_fd() {
                self.hear_signals()?;
            } else if self.monitor.descriptors().contains(&fd) {
                self.hear_kernel(fd, now);
            } else if self.server.is_ours(fd) {
                if let Some((client, request)) = self.server.handle_ready(fd, now) {
                    self.answer(client, &request)?;
                }
            } else if self.is_scrape(fd) {
                self.hear_scraper(fd, now);
            } else {
                self.prober.handle_ready(fd, now);
            }
        }
        self.hear_probes(now);
        // Answers first, deadlines after them: what has arrived is not late.
        self.meet_deadlines(now);
        Ok(())
    }

    fn hear_probes(&mut self, now: Duration) {
        while let Some(outcome) = self.prober.next_outcome() {
            let is_owner = |watch: &&mut Watch| watch.link.interface().id == outcome.id.interface;
            let Some(watch) = self.watches.values_mut().find(is_owner) else { continue };
            for finding in watch.outcome(outcome.id, outcome.result, &mut self.prober, now) {
                match finding {
                    Finding::Round(event) => watch.link.handle(event, now),
                    Finding::Test { target, result } => {
                        note_test(&mut self.tests, &watch.link.interface().name, target, result);
                    }
                }
            }
        }
    }

    fn hear_kernel(&mut self, fd: RawFd, now: Duration) {
        for heard in self.monitor.hear(fd) {
            self.counts.heard += 1;
            match heard {
                Heard::LinkOrAddress => self.look_within(URGENT, now),
                Heard::Routing => self.look_within(CALM, now),
                Heard::FirewallSet => {
                    if self.config.rules.iter().any(|rule| rule.ipset.is_some()) {
                        // A name server may fill a huge set all day: following it takes a twentieth of our time.
                        let pause = times(self.look_took, 20);
                        self.look_within(pause.max(CALM), now);
                    }
                }
                Heard::OursUndone => {
                    self.undone = true;
                    let pause = self.repairs.pause(now);
                    self.look_within(pause.max(CALM), now);
                }
                Heard::GatewayFailed { index, gateway } => {
                    for watch in self.watches.values_mut() {
                        if watch.has_gateway(&self.network, index, gateway) {
                            watch.link.handle(Event::GatewayUnreachable(gateway), now);
                        }
                    }
                }
            }
        }
    }

    /// Sooner wins: a storm does not push the look it asked for ahead of itself.
    #[inline(never)]
    fn look_within(&mut self, pause: Duration, now: Duration) {
        self.next_look = self.next_look.min(after(now, pause).max(after(self.last_look, BREATH)));
    }

    fn hear_signals(&mut self) -> Result<()> {
        for signal in self.signals.take() {
            match signal {
                Signal::Terminate => self.ends = Some(Ending::LeaveTraffic),
                Signal::Reload => self.reload()?,
                Signal::ChildEnded => {
                    self.hooks.advance(since_boot());
                    self.advance_alerts(since_boot());
                }
                Signal::Resized => {}
            }
        }
        Ok(())
    }

    /// Looks at the host when that is due.
    fn settle(&mut self) -> Result<()> {
        if self.next_look <= since_boot() {
            self.look();
        }
        self.rest();
        self.feed_followers();
        Ok(())
    }

    /// Carries out what the state machines decided, until they have nothing more to say.
    fn rest(&mut self) {
        // Each turn of a machine needs a new event; the bound only guards against a mistake of ours.
        for _ in 0..8 {
            if !self.carry_out() {
                break;
            }
        }
        self.keep_status_files();
    }

    /// Reconciles and hears what has changed on the host.
    fn look(&mut self) {
        let now = since_boot();
        self.watches.values_mut().for_each(Watch::forget_written);
        (self.next_look, self.last_look) = (after(now, LEAST_OFTEN), now);
        self.open_door();
        let outcome = self.reconcile();
        self.look_took = since_boot().saturating_sub(now);
        match outcome {
            Ok(outcome) => self.see(outcome, now),
            Err(error) => {
                log::error!("{error}");
                self.look_within(Duration::from_secs(5), now);
            }
        }
    }

    fn reconcile(&mut self) -> Result<Outcome> {
        let outcome = reconcile(&self.directories, &self.config, Goal::Run { take_over: false })?;
        self.counts.reconciles += 1;
        self.counts.writes += outcome.writes as u64;
        self.tell_failures(&outcome);
        let was_undone = std::mem::take(&mut self.undone);
        let is_repair = was_undone && outcome.writes > 0 && outcome.failures.is_empty();
        // Our own removals are heard, too; but they come with another plan.
        if is_repair && outcome.plan == self.applied {
            self.note_repair(&outcome, since_boot());
        }
        Ok(outcome)
    }

    /// What cannot be mended stays away at every look, and is complained of once.
    fn tell_failures(&mut self, outcome: &Outcome) {
        for failure in &outcome.failures {
            if !self.failures.contains(failure) {
                log::error!("{failure}");
            }
        }
        self.failures = outcome.failures.clone();
    }

    /// What the host looks like now, told to the machines as events.
    fn see(&mut self, outcome: Outcome, now: Duration) {
        if outcome.host.is_remembered {
            self.look_within(Duration::from_secs(5), now);
        }
        self.see_policies(&outcome, now);
        self.network = outcome.host.network;
        let mut gone = Vec::new();
        for watch in self.watches.values_mut() {
            let table = u32::from(watch.link.interface().id);
            let family = watch.link.interface().family;
            let has_default = outcome
                .plan
                .routes
                .iter()
                .any(|route| route.table == table && route.family == family && route.is_default());
            watch.set_default_route(has_default);
            let source_before = watch.source();
            let events = watch.look_again(&self.network);
            if let Some(address) = source_before
                && !self.network.has_address(address)
            {
                gone.push((watch.mark, address));
            }
            if !events.is_empty() {
                watch.close(&mut self.prober);
            }
            for event in events {
                if matches!(event, Event::InterfaceUp(_)) {
                    watch.note_coming_up(now);
                    // Coming up undoes an `mwan3 ifdown`.
                    if let Err(error) = self.directories.allow(&watch.link.interface().name) {
                        log::error!("cannot forget that an interface was taken down: {error}");
                    }
                }
                watch.link.handle(event, now);
            }
        }
        self.applied = outcome.plan;
        for (mark, address) in gone {
            self.forget_gone_address(mark, address);
        }
    }

    fn note_repair(&mut self, outcome: &Outcome, now: Duration) {
        self.counts.repairs += 1;
        let again = self.repairs.repaired(now);
        let text = format!("repaired what somebody else removed ({} changes)", outcome.writes);
        log::warn!(
            "{text}{}",
            if again { "; it happens again and again: waiting longer each time" } else { "" }
        );
        self.events.record(now, "", "repaired", &text);
    }
}

fn note_test(tests: &mut [PersonsTest], interface: &str, target: usize, result: ProbeResult) {
    for test in tests {
        if test.interface == interface && test.missing.remove(&target) {
            test.findings.insert(target, result.clone());
        }
    }
}
