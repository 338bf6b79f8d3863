//! The reports: read everything once, print.

use std::time::Duration;

use crate::address::Family;
use crate::config::problem_counts;
use crate::control::ask;
use crate::json::Json;
use crate::network::change::{Leftovers, Observed, Wanted, diff};
use crate::nft;
use crate::plan::plan;
use crate::report::{
    Snapshot, connected_json, connected_text, interfaces_json, interfaces_text, internal_json, internal_text,
    metrics_text, policies_json, policies_text, rules_json, rules_text, status_json, status_text,
};
use crate::system::failure::{Context, Result};
use crate::system::files::{Directories, uptime_s, write_atomically};
use crate::system::paths::absolute;
use crate::system::{host, settings, terminal, tracks};

use super::ExitCode;
use super::options::Arguments;

/// A tracker that hangs costs its own metrics only.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn report(arguments: &Arguments) -> Result<ExitCode> {
    let snapshot = snapshot()?;
    let is_verbose = arguments.is_verbose;
    let (text, json) = match arguments.verb.as_str() {
        "interfaces" => (interfaces_text(&snapshot), interfaces_json(&snapshot, None)),
        "policies" => (policies_text(&snapshot), policies_json(&snapshot)),
        "connected" => (connected_text(&snapshot), connected_json(&snapshot)),
        "rules" => (rules_text(&snapshot, is_verbose), rules_json(&snapshot)),
        _ => (status_text(&snapshot), status_json(&snapshot)),
    };
    print_as(arguments, &text, &json);
    Ok(tell_drift(arguments, &snapshot))
}

/// What is shown follows from the configuration and the host as they are now. Where the kernel holds
/// something else, nobody has reconciled since, and that is said.
pub(super) fn tell_drift(arguments: &Arguments, snapshot: &Snapshot) -> ExitCode {
    if !snapshot.ruleset.exists {
        return u8::from(arguments.is_strict);
    }
    let has_drifted = drift(snapshot) > 0;
    if has_drifted {
        complain!("mwan3: the kernel differs from this: see 'mwan3 plan --diff', mend with 'mwan3 reload'");
    }
    u8::from(arguments.is_strict && has_drifted)
}

/// In how many places the kernel holds something else than it should.
pub(super) fn drift(snapshot: &Snapshot) -> usize {
    let wanted = plan(&snapshot.config, &snapshot.network, &snapshot.health);
    let routing = diff(
        Observed {
            rules: &snapshot.rules,
            own_routes: &snapshot.routes,
            foreign_routes: &snapshot.network.routes,
        },
        Wanted { rules: &wanted.rules, routes: &wanted.routes },
        Leftovers::Keep,
    );
    let table = nft::diff(&snapshot.ruleset, wanted.ruleset.as_ref());
    routing.before.len() + table.len() + routing.after.len()
}

pub(super) fn internal(arguments: &Arguments) -> Result<ExitCode> {
    let family = match arguments.words.first().map(String::as_str) {
        Some("ipv6") => Family::Ipv6,
        _ => Family::Ipv4,
    };
    let snapshot = snapshot()?;
    let addresses = crate::system::route::listing::address_listing(family).unwrap_or_default();
    let text = internal_text(&snapshot, family, &settings::release(), &addresses);
    print_as(arguments, &text, &internal_json(&snapshot));
    Ok(0)
}

/// For a scraper of text files: what it reads is never half a page.
pub(super) fn metrics(arguments: &Arguments) -> Result<ExitCode> {
    let directories = Directories::from_environment();
    let problems = settings::load(&directories).map(|settings| settings.problems).unwrap_or_default();
    let asked = ask(&directories.control_socket(), "gauges", PATIENCE);
    let text =
        metrics_text(&snapshot()?, &asked.ok().flatten().unwrap_or_default(), &problem_counts(&problems));
    match &arguments.output {
        Some(path) => {
            let path = absolute(path).unwrap_or_else(|_| path.clone());
            write_atomically(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => print_as(arguments, &text, &Json::from(&*text)),
    }
    Ok(0)
}

fn print_as(arguments: &Arguments, text: &str, json: &Json) {
    // A reader that closed its end (`| head`) is no failure of ours.
    let _ = match arguments.is_json {
        true => terminal::print(&format!("{json}\n")),
        false => terminal::print(text),
    };
}

pub(super) fn snapshot() -> Result<Snapshot> {
    snapshot_with(ruleset()?)
}

/// Without reading our table, which takes longest where there are many rules: for those who want to know of
/// the uplinks only.
pub(super) fn snapshot_of_uplinks() -> Result<Snapshot> {
    let exists = Directories::from_environment().is_running();
    snapshot_with(nft::Observed { exists, ..nft::Observed::default() })
}

fn snapshot_with(ruleset: nft::Observed) -> Result<Snapshot> {
    let directories = Directories::from_environment();
    // A report on a machine without configuration still tells what is there.
    let config = settings::load_config(&directories).unwrap_or_default();
    let host = host::observe(&directories, &config)?;
    Ok(Snapshot {
        health: directories.health(&config),
        tracks: tracks::read(&directories, &config),
        ruleset,
        rules: host.rules,
        routes: host.routes,
        network: host.network,
        config,
        uptime_s: uptime_s(),
    })
}

fn ruleset() -> Result<nft::Observed> {
    match host::observe_ruleset() {
        Err(error) if error.errno == libc::EPERM => {
            complain!("mwan3: only root can see the nftables table; it is reported as absent");
            Ok(nft::Observed::default())
        }
        other => other.context("cannot read the nftables table from the kernel"),
    }
}
