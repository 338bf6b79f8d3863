//! Scripts that are told of events: hotplug on OpenWrt, /etc/mwan3.user and hook folders elsewhere. They run
//! one at a time per interface, in their own process group, with a time limit; nobody waits for them.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::sorted::SortedMap;

use super::background::keep_descriptors_here;
use super::clock::{after, earlier, since_boot};
use super::launch::{Child, Launch};
use super::paths::{executables_in, is_executable, is_file};
use super::poll::pause;
use super::process;
use crate::system::logger as log;

const HOTPLUG_CALL: &str = "/sbin/hotplug-call";
const USER_SCRIPT: &str = "/etc/mwan3.user";
const HOOK_FOLDER: &str = "/etc/mwan3/hooks.d";
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Of what starts with an empty environment.
pub const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// netifd runs hotplug scripts one at a time, for all interfaces: ours must end before the tracker ends them all.
const USER_SCRIPT_LIMIT: Duration = Duration::from_secs(50);
/// A script that hangs must not let events pile up without bound; the newest matter most.
const MOST_WAITING: usize = 32;

/// One event and what scripts find in their environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub interface: String,
    /// Of every script; /etc/mwan3.user gets exactly these.
    environment: Vec<(&'static str, String)>,
    /// What hotplug scripts know besides (FIRSTCONNECT, MWAN3_SHUTDOWN).
    for_hotplug: Vec<(&'static str, String)>,
}

impl Notice {
    pub fn new(action: &str, interface: &str, device: &str) -> Notice {
        let environment = vec![
            ("ACTION", action.to_owned()),
            ("INTERFACE", interface.to_owned()),
            ("DEVICE", device.to_owned()),
        ];
        Notice { interface: interface.to_owned(), environment, for_hotplug: Vec::new() }
    }

    /// For hotplug scripts and hook folders only.
    pub fn with(mut self, name: &'static str, value: &str) -> Notice {
        self.for_hotplug.push((name, value.to_owned()));
        self
    }
}

#[derive(Debug, Default)]
pub struct Hooks {
    queues: SortedMap<String, Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Launch>,
    running: Option<(Child, Duration)>,
}

impl Hooks {
    pub fn tell(&mut self, notice: &Notice, now: Duration) {
        let queue = self.queues.or_default(notice.interface.clone());
        for command in commands(notice) {
            if queue.waiting.len() >= MOST_WAITING {
                log::warn!(
                    "events of {} wait for a script that hangs; the oldest is dropped",
                    notice.interface
                );
                queue.waiting.pop_front();
            }
            queue.waiting.push_back(command);
        }
        queue.advance(now);
    }

    /// After a child ended or the deadline came.
    pub fn advance(&mut self, now: Duration) {
        self.queues.values_mut().for_each(|queue| queue.advance(now));
        self.queues.retain(|_, queue| queue.running.is_some() || !queue.waiting.is_empty());
    }

    /// When the next running script has had its time.
    pub fn deadline(&self) -> Option<Duration> {
        let mut next = None;
        for queue in self.queues.values() {
            if let Some((_, limit)) = &queue.running {
                next = earlier(next, *limit);
            }
        }
        next
    }

    pub fn is_idle(&self) -> bool {
        self.queues.is_empty()
    }

    /// Waits for what runs, and then ends it: nobody would watch over its time any more.
    pub fn end_within(&mut self, time_limit: Duration) {
        for queue in self.queues.values_mut() {
            queue.waiting.clear();
        }
        self.run_to_the_end(time_limit);
    }

    fn run_to_the_end(&mut self, time_limit: Duration) {
        let end = after(since_boot(), time_limit);
        while !self.is_idle() && since_boot() < end {
            pause(Duration::from_millis(5));
            self.advance(since_boot());
        }
        for (child, _) in self.queues.values_mut().filter_map(|queue| queue.running.as_mut()) {
            log::warn!("a script did not end within {} s and is stopped", time_limit.as_secs());
            child.kill_group();
            child.wait();
        }
    }
}

impl Queue {
    fn advance(&mut self, now: Duration) {
        if let Some((child, limit)) = &mut self.running {
            match child.try_wait() {
                None if now < *limit => return,
                None => {
                    log::warn!("a script did not end within {} s and is stopped", TIME_LIMIT.as_secs());
                    child.kill_group();
                    child.wait();
                }
                Some(_) => {}
            }
            self.running = None;
        }
        while let Some(mut command) = self.waiting.pop_front() {
            command.in_own_group();
            match command.spawn() {
                Ok(child) => {
                    self.running = Some((child, after(now, TIME_LIMIT)));
                    return;
                }
                Err(error) => log::warn!("cannot run {}: {error}", command.program()),
            }
        }
    }
}

/// All of them to their end, one after the other for each interface: for commands that have nothing else to
/// do. Who has not ended when the time is over is stopped.
pub fn run_now(notices: &[Notice], time_limit: Duration) {
    // A lock that our caller's shell holds by a descriptor must not live on in what a script leaves behind.
    keep_descriptors_here();
    let mut hooks = Hooks::default();
    for notice in notices {
        hooks.tell(notice, since_boot());
    }
    hooks.run_to_the_end(time_limit);
}

/// Only /etc/mwan3.user, for the hotplug script that runs it. It stays in the caller's process group: who ends
/// hotplug-call with all it started ends this, too.
pub fn run_user_script(notice: &Notice) -> io::Result<()> {
    let user = place("MWAN3_USER_SCRIPT", USER_SCRIPT);
    if !is_file(&user) {
        return Ok(());
    }
    make_executable(&user);
    let mut child = prepared(&user, notice).spawn()?;
    let end = after(since_boot(), USER_SCRIPT_LIMIT);
    while child.try_wait().is_none() {
        if since_boot() >= end {
            log::warn!(
                "{} did not end within {} s and is stopped",
                user.display(),
                USER_SCRIPT_LIMIT.as_secs()
            );
            child.kill();
        }
        pause(Duration::from_millis(20));
    }
    Ok(())
}

/// hotplug-call reaches every package's scripts, /etc/mwan3.user among them; without it we call ours.
fn commands(notice: &Notice) -> Vec<Launch> {
    let hotplug = place("MWAN3_HOTPLUG_CALL", HOTPLUG_CALL);
    if is_file(&hotplug) {
        let mut command = prepared(&hotplug, notice);
        // It sets a PATH of its own.
        command.word("iface");
        notice.for_hotplug.iter().for_each(|(name, value)| command.set(name, value.as_ref()));
        return vec![command];
    }
    let user = place("MWAN3_USER_SCRIPT", USER_SCRIPT);
    let hooks = place("MWAN3_HOOK_DIR", HOOK_FOLDER);
    let mut commands = Vec::new();
    if is_file(&user) {
        make_executable(&user);
        commands.push(prepared(&user, notice));
    }
    for script in executables_in(&hooks).unwrap_or_default() {
        let mut command = prepared(&script, notice);
        command.set("PATH", PATH.as_ref());
        notice.for_hotplug.iter().for_each(|(name, value)| command.set(name, value.as_ref()));
        commands.push(command);
    }
    commands
}

fn place(variable: &str, usual: &str) -> PathBuf {
    process::variable(variable).map_or_else(|| PathBuf::from(usual), PathBuf::from)
}

fn prepared(script: &Path, notice: &Notice) -> Launch {
    let mut command = Launch::with_nothing(script.as_os_str());
    notice.environment.iter().for_each(|(name, value)| command.set(name, value.as_ref()));
    command.without_input();
    command
}

/// Scripts restored from old backups may have lost their mode.
fn make_executable(script: &Path) {
    if !is_executable(script) {
        let _ = std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755));
    }
}
