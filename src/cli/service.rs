//! Commands that change something: note the intent under the run directory, tell the tracker, reconcile, say
//! what went wrong. The lock is never held while the tracker is asked: it needs it, too.

use std::time::Duration;

use crate::config::Config;
use crate::plan::{Verdict, uplinks};
use crate::reconcile::{Goal, Outcome, reconcile_and_forget_rules, reconcile_in_turn, take_turn};
use crate::system::background;
use crate::system::failure::{Context, Result};
use crate::system::files::{Directories, Lock, read_line};
use crate::system::hooks::{self, Notice};
use crate::system::leases;
use crate::system::logger as log;
use crate::system::process;
use crate::system::settings::{self, Settings};

use super::options::Arguments;
use super::{ExitCode, tracker};

/// A stop waits for the scripts that it calls, but not for those that hang.
const SCRIPTS_TIME: Duration = Duration::from_secs(10);

pub(super) fn start(arguments: &Arguments) -> Result<ExitCode> {
    let directories = Directories::from_environment();
    let code = set_up(&take_turn(&directories)?, &directories)?;
    // The kernel is as configured; who watches it from now on comes second.
    watch(arguments, &directories)?;
    Ok(code)
}

pub(super) fn stop(arguments: &Arguments) -> Result<ExitCode> {
    // Behind procd's back it would start the tracker anew, and that the service.
    if !arguments.without_tracker
        && let Some(has_stopped) = background::call_service("stop").context("cannot stop the service")?
    {
        return Ok(u8::from(!has_stopped));
    }
    let directories = Directories::from_environment();
    let online = who_is_online(&directories);
    // First, or it would repair what is taken away.
    tracker::stop(&directories)?;
    let turn = take_turn(&directories)?;
    // What is ours carries our stamp: the configuration may be gone or broken by now.
    let outcome = reconcile_in_turn(&turn, &directories, &Config::default(), Goal::Stop)?;
    directories.remove_state().context("cannot clear the run directory")?;
    drop(turn);
    crate::system::binding::remove_leftovers();
    tell_shutdown(&online);
    Ok(tell_failures(&outcome))
}

/// Not stop and start: packets would notice. Health and hand-made intents begin anew.
pub(super) fn restart(arguments: &Arguments) -> Result<ExitCode> {
    let directories = Directories::from_environment();
    tell_shutdown(&who_is_online(&directories));
    if tracker::tell(&directories, "restart") {
        return set_up(&take_turn(&directories)?, &directories);
    }
    let turn = take_turn(&directories)?;
    directories.remove_state().context("cannot clear the run directory")?;
    let code = set_up(&turn, &directories)?;
    drop(turn);
    watch(arguments, &directories)?;
    Ok(code)
}

pub(super) fn reload(arguments: &Arguments) -> Result<ExitCode> {
    let directories = Directories::from_environment();
    if !directories.is_running() {
        return start(arguments);
    }
    tell_problems(&settings::load_to_replace(&directories)?);
    // Before the kernel changes: by its old configuration it would change it back.
    let watched = watch(arguments, &directories);
    let turn = take_turn(&directories)?;
    let mut config = settings::load_to_replace(&directories)?.config;
    directories.mark_running(config.globals.mask).context("cannot write to the run directory")?;
    let goal = Goal::Run { take_over: false };
    let outcome = reconcile_and_forget_rules(&turn, &directories, &mut config, goal)?;
    write_states(&directories, &config, &outcome)?;
    let code = tell_failures(&outcome);
    // The kernel is right without it; but nobody watches.
    watched.map(|()| code)
}

/// The configuration is read in turn too: who waited goes by the newest.
fn set_up(turn: &Lock, directories: &Directories) -> Result<ExitCode> {
    let mut config = load(directories)?;
    directories.mark_running(config.globals.mask).context("cannot write to the run directory")?;
    let outcome = reconcile_and_forget_rules(turn, directories, &mut config, Goal::Run { take_over: true })?;
    write_states(directories, &config, &outcome)?;
    tell_who_is_down(directories, &config, &outcome);
    Ok(tell_failures(&outcome))
}

pub(super) fn ifup(arguments: &Arguments) -> Result<ExitCode> {
    let [name] = &arguments.words[..] else {
        let problem = if arguments.words.is_empty() { "Expecting interface." } else { "Too many arguments." };
        say!("{problem} Usage: mwan3 ifup <interface>");
        return Ok(arguments.usage_code());
    };
    let directories = Directories::from_environment();
    let turn = take_turn(&directories)?;
    if !directories.is_running() {
        say!("The service mwan3 is global disabled.");
        say!("Please execute \"/etc/init.d/mwan3 start\" first.");
        return Ok(1);
    }
    let config = load(&directories)?;
    let Some(interface) = config.interface(name).filter(|interface| interface.enabled) else {
        tell_not_up(name);
        return Ok(arguments.usage_code());
    };
    directories.bring_back(interface).context("cannot write the interface's state")?;
    drop(turn);
    tracker::tell(&directories, &format!("ifup {name}"));
    let (config, outcome) = catch_up(&directories)?;
    if !is_set_up(&directories, &config, &outcome, name) {
        tell_not_up(name);
    }
    Ok(tell_failures(&outcome))
}

pub(super) fn ifdown(arguments: &Arguments) -> Result<ExitCode> {
    let [name] = &arguments.words[..] else {
        let problem = if arguments.words.is_empty() { "Expecting interface." } else { "Too many arguments." };
        say!("Error: {problem} Usage: mwan3 ifdown <interface>");
        return Ok(arguments.usage_code());
    };
    let directories = Directories::from_environment();
    let turn = take_turn(&directories)?;
    let config = load(&directories)?;
    let Some(interface) = config.interface(name).filter(|interface| interface.enabled) else {
        log::info!("mwan3 ifdown on {name} does nothing: no such enabled interface");
        if arguments.is_strict {
            complain!("mwan3: no enabled interface is called '{name}'");
        }
        return Ok(arguments.usage_code());
    };
    if !directories.is_running() {
        return Ok(0);
    }
    directories.take_down(interface).context("cannot write the interface's state")?;
    drop(turn);
    tracker::tell(&directories, &format!("ifdown {name}"));
    let (_, outcome) = catch_up(&directories)?;
    Ok(tell_failures(&outcome))
}

/// Called by /etc/hotplug.d/iface with netifd's environment, or the tracker's; by the hooks in files/linux with
/// a lease.
pub(super) fn hotplug(arguments: &Arguments) -> Result<ExitCode> {
    let directories = Directories::from_environment();
    let variable =
        |name: &str| process::variable(name).and_then(|value| value.into_string().ok()).unwrap_or_default();
    if let Some("user") = arguments.words.first().map(String::as_str) {
        let is_shutdown = variable("MWAN3_SHUTDOWN") == "1";
        let [action, name, device] = ["ACTION", "INTERFACE", "DEVICE"].map(variable);
        return run_user_script(&directories, &Notice::new(&action, &name, &device), is_shutdown);
    }
    let (action, name) = (variable("ACTION"), variable("INTERFACE"));
    if action == "lease" {
        let (device, family) = (variable("DEVICE"), variable("FAMILY"));
        leases::learn(&directories, &device, &family, &variable("GATEWAY"), &variable("DNS"))
            .context("cannot keep the lease")?;
        if !directories.is_running() {
            return Ok(0);
        }
        return look(&directories, &format!("hotplug lease {device}"));
    }
    if !matches!(action.as_str(), "ifup" | "ifdown" | "ifupdate") || !directories.is_running() {
        return Ok(0);
    }
    let turn = take_turn(&directories)?;
    let config = load(&directories)?;
    match (action.as_str(), config.interface(&name).filter(|interface| interface.enabled)) {
        ("ifup", Some(interface)) => directories.bring_back(interface)?,
        ("ifdown", Some(interface)) => directories.write_interface_state(&interface.name, false)?,
        // Another interface may still be the source of a rule, or lead to a connected network.
        _ => {}
    }
    drop(turn);
    look(&directories, &format!("hotplug {action} {name}"))
}

/// Something is new on the host: the tracker hears of it, or it is done here.
fn look(directories: &Directories, request: &str) -> Result<ExitCode> {
    if tracker::tell(directories, request) {
        return Ok(0);
    }
    let (_, outcome) = catch_up(directories)?;
    Ok(tell_failures(&outcome))
}

/// For every event of an enabled interface, while the service runs or takes leave.
fn run_user_script(directories: &Directories, notice: &Notice, is_shutdown: bool) -> Result<ExitCode> {
    let is_meant = |config: Config| config.interface(&notice.interface).is_some_and(|one| one.enabled);
    if (is_shutdown || directories.is_running()) && is_meant(settings::load_config(directories)?) {
        hooks::run_user_script(notice).context("cannot run the user script")?;
    }
    Ok(0)
}

/// Where procd runs the service it owns the tracker, and so does whoever says `--no-track`.
fn watch(arguments: &Arguments, directories: &Directories) -> Result<()> {
    if arguments.without_tracker {
        tracker::tell(directories, "reload");
        return Ok(());
    }
    tracker::start_or_tell(directories, "reload")
}

/// What the tracker has not done, or nobody: by the newest configuration and intents.
fn catch_up(directories: &Directories) -> Result<(Config, Outcome)> {
    let turn = take_turn(directories)?;
    let config = settings::load_config(directories)?;
    let outcome = reconcile_in_turn(&turn, directories, &config, Goal::Run { take_over: false })?;
    Ok((config, outcome))
}

/// Whose scripts have heard `connected`, and nothing since.
fn who_is_online(directories: &Directories) -> Vec<String> {
    let config = settings::load_config(directories).unwrap_or_default();
    let mut online = Vec::new();
    for interface in &config.interfaces {
        let name = &interface.name;
        if interface.enabled && !interface.tracking.targets.is_empty() {
            let status = read_line(&directories.tracking(name).join("STATUS"));
            if matches!(status.as_deref(), Some("online" | "disconnecting")) {
                online.push(name.clone());
            }
        }
    }
    online
}

fn tell_shutdown(online: &[String]) {
    let mut notices = Vec::new();
    for name in online {
        notices.push(Notice::new("disconnected", name, "").with("MWAN3_SHUTDOWN", "1"));
    }
    hooks::run_now(&notices, SCRIPTS_TIME);
}

/// The configuration, with its problems said on stderr: each cost its own section only.
fn load(directories: &Directories) -> Result<Config> {
    let settings = settings::load(directories)?;
    tell_problems(&settings);
    Ok(settings.config)
}

fn tell_problems(settings: &Settings) {
    for problem in settings.problems.iter().filter(|problem| !problem.is_note()) {
        complain!("mwan3: {problem}");
    }
}

/// Interfaces nobody has judged yet get their initial state written down, where scripts look for it.
fn write_states(directories: &Directories, config: &Config, outcome: &Outcome) -> Result<()> {
    let health = directories.health(config);
    for uplink in uplinks(config, &outcome.host.network, &health) {
        let name = &uplink.interface.name;
        if uplink.device.is_some() && !health.contains_key(name) {
            directories
                .write_interface_state(name, uplink.usable)
                .context("cannot write an interface's state")?;
        }
    }
    Ok(())
}

fn is_set_up(directories: &Directories, config: &Config, outcome: &Outcome, name: &str) -> bool {
    uplinks(config, &outcome.host.network, &directories.health(config))
        .iter()
        .any(|uplink| uplink.interface.name == name && uplink.device.is_some())
}

fn tell_who_is_down(directories: &Directories, config: &Config, outcome: &Outcome) {
    let health = directories.health(config);
    for uplink in uplinks(config, &outcome.host.network, &health) {
        let name = &uplink.interface.name;
        if uplink.device.is_none() && health.get(name) != Some(&Verdict::TakenDown) {
            tell_not_up(name);
        }
    }
}

/// The shell package's words, spelling included: scripts look for them.
fn tell_not_up(name: &str) {
    say!("The network interace '{name}' is not up.");
    say!("Please execute 'ifup {name}' first.");
}

fn tell_failures(outcome: &Outcome) -> ExitCode {
    for note in &outcome.plan.notes {
        complain!("mwan3: {note}");
    }
    for failure in &outcome.failures {
        complain!("mwan3: {failure}");
    }
    u8::from(!outcome.failures.is_empty())
}
