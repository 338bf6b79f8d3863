//! The tracker's own life: starting beside a service that runs, reloading, taking leave.

use std::time::Duration;

use crate::config::{Config, Interface, problem_counts};
use crate::control::Server;
use crate::health::{Adopted, Event, EventRing, Status};
use crate::network::Network;
use crate::plan::{Plan, Verdict};
use crate::reconcile::{Goal, reconcile, take_turn};
use crate::sorted::SortedMap;
use crate::system::clock::{after, since_boot};
use crate::system::failure::{Context, Result, failure};
use crate::system::files::{Directories, read_line, write_atomically};
use crate::system::hooks::Hooks;
use crate::system::logger as log;
use crate::system::monitor::Monitor;
use crate::system::poll::Signals;
use crate::system::probe::Prober;
use crate::system::settings::{self, Settings};
use crate::system::ubus::Herald;

use super::alerts::Alerts;
use super::{Counts, EVENTS_KEPT, Metrics, RepairGuard, Sessions, Tracker, Watch};

/// For scripts that still run when the tracker ends; a stop waits longer than this for the tracker.
const SCRIPTS_TIME: Duration = Duration::from_secs(2);

impl Tracker {
    pub(super) fn new() -> Result<Tracker> {
        let directories = Directories::from_environment();
        let Some(only_one) = directories.lock_tracker().context("cannot take the tracker's lock")? else {
            return Err(failure!("another tracker runs already"));
        };
        let (config, problems) = read_config(&directories, settings::load)?;
        // Listening starts before the first look: nothing falls between.
        Ok(Tracker {
            monitor: Monitor::open().context("cannot listen to the kernel")?,
            signals: Signals::take_over().context("cannot take over signals")?,
            server: Server::listen(&directories.control_socket())
                .context("cannot open the control socket")?,
            prober: Prober::new().context("cannot prepare probes")?,
            metrics: Metrics::default(),
            hooks: Hooks::default(),
            alerts: Alerts::default(),
            herald: Herald::default(),
            events: EventRing::new(EVENTS_KEPT),
            repairs: RepairGuard::default(),
            sessions: Sessions::adopted(&directories),
            watches: SortedMap::new(),
            network: Network::default(),
            next_look: Duration::ZERO,
            look_took: Duration::ZERO,
            last_look: Duration::ZERO,
            started: since_boot(),
            undone: false,
            applied: Plan::default(),
            failures: Vec::new(),
            counts: Counts::default(),
            tests: Vec::new(),
            finished: Vec::new(),
            last_test: 0,
            followers: SortedMap::new(),
            drill: None,
            ends: None,
            _only_one: only_one,
            directories,
            config,
            problems,
        })
    }

    /// Beside a service that runs its state is adopted, and nothing switches; else the service starts here.
    pub(super) fn adopt_or_start(&mut self) -> Result<()> {
        let was_running = self.directories.is_running();
        self.directories
            .mark_running(self.config.globals.mask)
            .context("cannot write to the run directory")?;
        let drilled = self.forget_old_drills();
        let mut outcome = reconcile(&self.directories, &self.config, Goal::Run { take_over: !was_running })?;
        self.open_door();
        self.tell_failures(&outcome);
        // Looked at by those who begin now, and given back: what follows sees all of the outcome.
        self.network = std::mem::take(&mut outcome.host.network);
        for interface in &self.enabled() {
            self.watch(interface);
        }
        outcome.host.network = std::mem::take(&mut self.network);
        let now = since_boot();
        self.note_beginnings(now);
        self.next_look = after(now, super::LEAST_OFTEN);
        self.see(outcome, now);
        self.tell_old_drills(&drilled, now);
        log::info!("tracking {} interfaces", self.watches.len());
        Ok(())
    }

    fn enabled(&self) -> Vec<Interface> {
        let mut enabled = self.config.interfaces.clone();
        enabled.retain(|one| one.enabled);
        enabled
    }

    fn watch(&mut self, interface: &Interface) {
        let now = since_boot();
        let damped = self.directories.read_damping(&interface.name).unwrap_or_default();
        let mut watch = Watch::new(interface, self.config.globals.mask.interface(interface.id), damped, now);
        let (attachment, fault) = watch.first_look(&self.network);
        let directory = self.directories.tracking(&interface.name);
        let adopted = Adopted::from_files(|file| read_line(&directory.join(file)));
        let is_taken_down =
            self.directories.health(&self.config).get(&interface.name) == Some(&Verdict::TakenDown);
        if let Err(error) = write_atomically(&directory.join("PID"), &format!("{}\n", std::process::id())) {
            log::error!("cannot write the status files of {}: {error}", interface.name);
        }
        match adopted {
            Some(adopted) => {
                watch.link.handle(Event::Adopt(adopted, attachment), now);
                if watch.link.status() == Status::Online {
                    watch.damping.adopt_online(now);
                }
            }
            None => watch.link.handle(Event::Start(attachment), now),
        }
        if let Some(fault) = fault {
            watch.link.handle(Event::LinkDown(fault), now);
        }
        if is_taken_down {
            watch.link.handle(Event::ForcedDown, now);
        }
        self.watches.insert(interface.name.clone(), watch);
    }

    /// What did not change keeps its health and its history.
    pub(super) fn reload(&mut self) -> Result<()> {
        let (config, problems) = match read_config(&self.directories, settings::load_to_replace) {
            Ok(read) => read,
            Err(error) => {
                log::error!("{error}");
                return Ok(());
            }
        };
        self.end_drill("the configuration was read anew");
        if config.alerts != self.config.alerts {
            // Of those that go nobody would take care.
            self.leave_status_files();
        }
        (self.config, self.problems) = (config, problems);
        self.directories
            .mark_running(self.config.globals.mask)
            .context("cannot write to the run directory")?;
        let enabled = self.enabled();
        let mut gone: Vec<String> = Vec::new();
        for name in self.watches.keys() {
            if !enabled.iter().any(|one| one.name == *name) {
                gone.push(name.clone());
            }
        }
        let now = since_boot();
        self.take_leave_of(&gone, now);
        for interface in &enabled {
            let mark = self.config.globals.mask.interface(interface.id);
            match self.watches.get_mut(&interface.name) {
                Some(watch) if watch.link.interface() == interface => watch.mark = mark,
                Some(watch) if watch.link.interface().id == interface.id => {
                    watch.mark = mark;
                    self.change(interface, now);
                }
                // Another id is another uplink to the kernel.
                _ => {
                    if let Some(mut old) = self.watches.remove(&interface.name) {
                        old.close(&mut self.prober);
                    }
                    self.watch(interface);
                }
            }
        }
        self.note_beginnings(now);
        self.look();
        Ok(())
    }

    fn change(&mut self, interface: &Interface, now: Duration) {
        let Some(watch) = self.watches.get_mut(&interface.name) else { return };
        if watch.link.interface().tracking != interface.tracking {
            watch.forget_names();
            watch.close(&mut self.prober);
        }
        watch.damping.configure(interface.failback);
        let damped = watch.damping.damped();
        watch.link.handle(Event::ConfigChanged(Box::new(interface.clone())), now);
        self.write_damping(&interface.name, damped);
    }

    /// Interfaces that are no longer configured: scripts that heard `connected` hear that it is over.
    fn take_leave_of(&mut self, gone: &[String], now: Duration) {
        for (_, watch) in self.watches.iter_mut().filter(|(name, _)| gone.contains(name)) {
            let mut interface = watch.link.interface().clone();
            interface.enabled = false;
            watch.link.handle(Event::ConfigChanged(Box::new(interface)), now);
        }
        self.rest();
        for name in gone {
            if let Some(mut watch) = self.watches.remove(name) {
                watch.close(&mut self.prober);
            }
            self.directories.forget(name);
        }
    }

    /// `mwan3 restart`: health, histories and hand-made intents are forgotten; traffic notices nothing.
    /// The refusal, where the configuration cannot be read.
    pub(super) fn begin_anew(&mut self) -> Result<Option<String>> {
        self.end_drill("the service starts anew");
        (self.config, self.problems) = match read_config(&self.directories, settings::load) {
            Ok(read) => read,
            Err(error) => return Ok(Some(error.to_string())),
        };
        for watch in self.watches.values_mut() {
            watch.close(&mut self.prober);
        }
        self.watches.clear();
        self.sessions = Sessions::default();
        self.forget_told();
        self.directories.remove_state().context("cannot clear the run directory")?;
        self.adopt_or_start().map(|()| None)
    }

    pub(super) fn say_goodbye(&mut self) {
        self.end_drill("the tracker ends");
        self.leave_status_files();
        for (name, watch) in &self.watches {
            log::log_as(
                "mwan3track",
                log::Level::Info,
                format_args!(
                    "Stopping mwan3track for interface \"{name}\". Status was \"{}\"",
                    watch.link.status().name()
                ),
            );
        }
        let _ = std::fs::remove_file(self.directories.control_socket());
        self.hooks.end_within(SCRIPTS_TIME);
    }
}

/// In turn, like those who change things: who waited goes by the newest configuration.
fn read_config(
    directories: &Directories,
    load: fn(&Directories) -> Result<Settings>,
) -> Result<(Config, [(&'static str, usize); 3])> {
    let _turn = take_turn(directories)?;
    let settings = load(directories)?;
    for problem in settings.problems.iter().filter(|problem| !problem.is_note()) {
        log::warn!("{problem}");
    }
    Ok((settings.config, problem_counts(&settings.problems)))
}
