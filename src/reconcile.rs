//! The only way the kernel is ever changed: see what is, plan what should be, make the difference. Start,
//! reload, failover, repair and stop are all this; done twice, the second time writes nothing.

use crate::config::Config;
use crate::network::change::{Leftovers, Observed, RoutingChange, RoutingChanges, Wanted, diff};
use crate::nft;
use crate::plan::{Health, Plan, TABLE, plan, tiers, uplinks};
use crate::system::clock::since_boot;
use crate::system::failure::{Context, Result};
use crate::system::files::{Directories, Lock};
use crate::system::host::{self, Host};
use crate::system::logger as log;
use crate::system::{leftovers, nftables, route};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// As configured. `take_over`: also clear what an installation of the shell package left behind.
    Run { take_over: bool },
    /// Nothing of ours.
    Stop,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub plan: Plan,
    /// Without the firewall's sets.
    pub host: Host,
    /// What the plan stands on.
    pub health: Health,
    /// Messages sent to the kernel that change something.
    pub writes: usize,
    /// What the kernel refused, in words.
    pub failures: Vec<String>,
}

/// Serialised against every other caller by the lock. The health is read under it.
pub fn reconcile(directories: &Directories, config: &Config, goal: Goal) -> Result<Outcome> {
    let turn = take_turn(directories)?;
    reconcile_in_turn(&turn, directories, config, goal)
}

/// For those who read or write more than the kernel while nobody else may.
pub fn take_turn(directories: &Directories) -> Result<Lock> {
    directories.lock().context("cannot take the lock in the run directory")
}

pub fn reconcile_in_turn(
    _turn: &Lock,
    directories: &Directories,
    config: &Config,
    goal: Goal,
) -> Result<Outcome> {
    let goal = goal_now(directories, goal);
    let health = directories.health(config);
    let pending = pending(directories, config, &health, goal)?;
    carry_out(directories, config, goal, &health, pending)
}

/// For whoever needs the user rules for nothing else: a thousand of them are worth the memory.
pub fn reconcile_and_forget_rules(
    _turn: &Lock,
    directories: &Directories,
    config: &mut Config,
    goal: Goal,
) -> Result<Outcome> {
    let goal = goal_now(directories, goal);
    let health = directories.health(config);
    let pending = pending(directories, config, &health, goal)?;
    config.rules = Vec::new();
    carry_out(directories, config, goal, &health, pending)
}

fn goal_now(directories: &Directories, goal: Goal) -> Goal {
    match goal {
        // Stopped while this one waited for its turn.
        Goal::Run { .. } if !directories.is_running() => Goal::Stop,
        goal => goal,
    }
}

fn carry_out(
    directories: &Directories,
    config: &Config,
    goal: Goal,
    health: &Health,
    mut pending: Pending,
) -> Result<Outcome> {
    // Planned by now, and large.
    pending.host.network.fw4_sets = Default::default();
    let routing = &pending.routing;
    if pending.health.tiers != health.tiers {
        // First: a hold that is forgotten would be none.
        directories.write_policy_tiers(&pending.health.tiers).context("cannot write to the run directory")?;
    }
    let mut failures = Vec::new();
    for conflict in &routing.conflicts {
        failures.push(conflict.to_string());
    }
    let table_changes = pending.table_changes();
    let writes = routing.before.len() + table_changes.len() + routing.after.len();
    change_routing(&routing.before, &mut failures);
    let loaded = load(&pending.observed, pending.plan.ruleset.as_ref(), table_changes);
    failures.extend(loaded.complaint);
    if loaded.lacks_nat {
        directories.note_lack_of_nat().context("cannot write to the run directory")?;
    }
    // While an old table still marks packets, what its marks lead to must stay as well.
    if loaded.is_in_force || goal == Goal::Stop {
        change_routing(&routing.after, &mut failures);
    }
    if loaded.is_in_force && matches!(goal, Goal::Run { take_over: true }) {
        failures.extend(clear_leftovers());
    }
    if goal != Goal::Stop {
        note_who_is_up(directories, config, &pending.host);
    }
    Ok(Outcome { plan: pending.plan, host: pending.host, health: pending.health, writes, failures })
}

/// The kernel does not tell since when; a report that shows it can do without.
fn note_who_is_up(directories: &Directories, config: &Config, host: &Host) {
    for interface in &config.interfaces {
        let found = host.network.interfaces.get(&interface.name).filter(|found| found.up);
        let device = found.and_then(|found| host.network.device(found.device.as_deref()?));
        if let Err(error) = directories.note_up(&interface.name, device.map(|device| device.index)) {
            log::debug!("cannot note since when {} is up: {error}", interface.name);
        }
    }
}

/// What would be changed now.
#[derive(Debug)]
pub struct Pending {
    pub plan: Plan,
    pub host: Host,
    /// With the tiers of policies with a `hold` as of now.
    pub health: Health,
    pub observed: nft::Observed,
    pub routing: RoutingChanges,
}

impl Pending {
    pub fn table_changes(&self) -> Vec<nft::Change<'_>> {
        nft::diff(&self.observed, self.plan.ruleset.as_ref())
    }

    pub fn writes(&self) -> usize {
        self.routing.before.len() + self.table_changes().len() + self.routing.after.len()
    }
}

pub fn pending(directories: &Directories, config: &Config, health: &Health, goal: Goal) -> Result<Pending> {
    let host = match goal {
        Goal::Run { .. } => host::observe(directories, config)?,
        Goal::Stop => host::observe_kernel()?,
    };
    let observed = host::observe_ruleset().context("cannot read the nftables table from the kernel")?;
    let mut health = health.clone();
    if let Goal::Run { .. } = goal {
        let uplinks = uplinks(config, &host.network, &health);
        health.tiers = tiers(config, &uplinks, &health.tiers, since_boot());
    }
    let mut plan = match goal {
        Goal::Run { .. } => plan(config, &host.network, &health),
        Goal::Stop => Plan::default(),
    };
    if let Some(table) = plan.ruleset.as_mut().filter(|_| directories.lacks_nat()) {
        // Every look meets the same kernel.
        table.chains.retain(|chain| !chain.is_nat());
    }
    let leftovers = match goal {
        Goal::Run { take_over: true } => Leftovers::TakeOver(config.globals.mask),
        _ => Leftovers::Keep,
    };
    let routing = diff(
        Observed { rules: &host.rules, own_routes: &host.routes, foreign_routes: &host.network.routes },
        Wanted { rules: &plan.rules, routes: &plan.routes },
        leftovers,
    );
    Ok(Pending { plan, host, health, observed, routing })
}

/// Last: until our table is in force, theirs decides.
fn clear_leftovers() -> Vec<String> {
    let found = leftovers::find();
    for command in &found.by_hand {
        log::warn!("the shell package's chains still mark packets; remove them by: {command}");
    }
    found.remove()
}

fn change_routing(changes: &[RoutingChange], failures: &mut Vec<String>) {
    for failure in route::apply(changes) {
        failures.push(failure.to_string());
    }
}

struct Loaded {
    /// The kernel's table is now the wanted one, with or without logging.
    is_in_force: bool,
    /// The kernel cannot translate addresses.
    lacks_nat: bool,
    complaint: Option<String>,
}

type StatementTest = fn(&nft::Statement) -> bool;

/// What a kernel may lack, and what is missed then, in the order of trying.
const LUXURIES: [(StatementTest, &str); 3] = [
    (
        is_label,
        "connection labels: `on_fail`, `on_recover` and `hold` of policies cannot tell whose a flow is",
    ),
    (is_log, "logging"),
    (|statement| is_label(statement) || is_log(statement), "connection labels and logging"),
];

fn is_label(statement: &nft::Statement) -> bool {
    matches!(statement, nft::Statement::SetConnectionLabel { .. })
}

fn is_log(statement: &nft::Statement) -> bool {
    matches!(statement, nft::Statement::Log { .. })
}

/// One transaction. A kernel that lacks a luxury gets the rules without it; one that refuses the
/// difference for a reason we did not foresee gets the whole table anew.
fn load(observed: &nft::Observed, wanted: Option<&nft::Table>, mut changes: Vec<nft::Change<'_>>) -> Loaded {
    let in_force = |complaint| Loaded { is_in_force: true, lacks_nat: false, complaint };
    let refused = |refusal: &nftables::ApplyError| Loaded {
        is_in_force: false,
        lacks_nat: false,
        complaint: Some(refusal.to_string()),
    };
    if changes.is_empty() {
        return in_force(None);
    }
    let Err(refusal) = nftables::apply(TABLE, &changes) else { return in_force(None) };
    let all = changes.len();
    changes = nft::without_nat(changes);
    if changes.len() < all && nftables::apply(TABLE, &changes).is_ok() {
        log::warn!("the router's own traffic may have a wrong source address: {refusal}");
        return Loaded { lacks_nat: true, ..in_force(None) };
    }
    let Some(wanted) = wanted else { return refused(&refusal) };
    let attempt = |changes: Vec<nft::Change>| {
        changes.is_empty()
            || nftables::apply(TABLE, &changes).is_ok()
            || nftables::apply(TABLE, &nft::without_nat(changes)).is_ok()
    };
    for (is_missing, luxury) in LUXURIES {
        let Some(plain) = nft::without(wanted, is_missing) else { continue };
        if attempt(nft::diff(observed, Some(&plain))) || attempt(nft::replacement(&plain)) {
            return in_force(Some(format!("rules are loaded without {luxury}: {refusal}")));
        }
    }
    if attempt(nft::replacement(wanted)) {
        log::warn!("the nftables table was made anew: {refusal}");
        return in_force(None);
    }
    refused(&refusal)
}
