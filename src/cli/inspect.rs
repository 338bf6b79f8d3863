//! Commands that look at the configuration and the plan: check, plan, dump, schema.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::options::SectionKind;
use crate::config::{self, Config, Problem, Severity};
use crate::json::Json;
use crate::network::Network;
use crate::plan::{Health, Plan};
use crate::reconcile::{Goal, Pending, pending};
use crate::report::promises_text;
use crate::system::failure::{Context, Result, failure};
use crate::system::files::Directories;
use crate::system::host::{self, Host};
use crate::system::leftovers::{self, Leftovers};
use crate::system::nftables;
use crate::system::paths::{make_directory, make_new_directory, read, read_text, text_of};
use crate::system::process::variable;
use crate::system::settings::{self, Settings};
use crate::system::sysctl;

use super::ExitCode;
use super::options::Arguments;

pub(super) fn check(arguments: &Arguments) -> Result<ExitCode> {
    let directories = Directories::from_environment();
    let settings = match settings::load(&directories) {
        Ok(settings) => settings,
        Err(error) => {
            complain!("mwan3: {error}");
            return Ok(2);
        }
    };
    let mut network = host::observe(&directories, &settings.config).map(|host| host.network);
    if let Ok(network) = &mut network {
        host::observe_settings(&settings.config, network);
        if arguments.is_fix {
            fix(&settings.config, network)?;
            host::observe_settings(&settings.config, network);
        }
    }
    let problems = all_problems(&settings, network.as_ref().ok());
    if arguments.is_json {
        say!("{}", Json::Array(problems.iter().map(Problem::json).collect()));
    } else {
        for problem in problems.iter().filter(|problem| arguments.is_verbose || !problem.is_note()) {
            say!("{problem}");
        }
        if arguments.is_verbose {
            say!("{}", promises_text(&settings.config).trim_end());
        }
        say!("{}", summary(&problems));
    }
    Ok(config::exit_code(&problems))
}

/// Of the shell package, which may just be what runs here still.
fn problems_of_leftovers(found: &Leftovers) -> Vec<Problem> {
    let removable = format!("the shell package's {found} are here; a start removes them");
    let mut problems = Vec::new();
    if found.is_removable() {
        problems.push(Problem::of_kernel(Severity::Note, removable));
    }
    problems.extend(found.by_hand.iter().map(|command| {
        let text = format!(
            "the shell package's chains are here; a start cannot remove them, but this can: {command}"
        );
        Problem::of_kernel(Severity::Warning, text)
    }));
    problems
}

/// What is wrong with the file, what does not fit the network, and what others left in the kernel.
pub(super) fn all_problems(settings: &Settings, network: Option<&Network>) -> Vec<Problem> {
    let mut problems = settings.problems.clone();
    problems.extend(config::check(&settings.config, &settings.package, &settings.file, network));
    problems.extend(problems_of_leftovers(&leftovers::find()));
    problems
}

/// Now, and for the next boot. Told on stderr: stdout is the list of what is still wrong.
fn fix(config: &Config, network: &Network) -> Result<()> {
    let mut kept = Vec::new();
    for advice in config::advice(config, network) {
        let (name, value) = (advice.setting, advice.wanted);
        sysctl::set(&name, value).with_context(|| format!("cannot set {name} to {value}"))?;
        complain!("mwan3: {name} was {}, is {value} now", advice.held);
        kept.push((name, value));
    }
    if !kept.is_empty() {
        let path = sysctl::keep(&kept).context("the settings hold until the next boot only")?;
        complain!("mwan3: kept in {}", path.display());
    }
    Ok(())
}

fn summary(problems: &[Problem]) -> String {
    let count = |severity: Severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings, notes) = (count(Severity::Error), count(Severity::Warning), count(Severity::Note));
    let plural = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let counts = [plural(errors, "error"), plural(warnings, "warning"), plural(notes, "note")].join(", ");
    if notes > 0 { format!("{counts} (notes are shown with -v)") } else { counts }
}

pub(super) fn plan(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(folder) = &arguments.from {
        let case = Case::read(folder)?;
        show(&crate::plan::plan(&case.settings.config, &case.network, &case.health));
        return Ok(0);
    }
    let directories = Directories::from_environment();
    let config = settings::load_config(&directories)?;
    let health = directories.health(&config);
    if !arguments.is_diff {
        let network = host::observe(&directories, &config)?.network;
        show(&crate::plan::plan(&config, &network, &health));
        return Ok(0);
    }
    // A service that does not run wants nothing in the kernel; the question is what a start would do.
    let take_over = !directories.is_running();
    let pending = pending(&directories, &config, &health, Goal::Run { take_over })?;
    let mut changes = changes(&pending);
    if take_over {
        changes.extend(leftovers::find().removals());
    }
    if arguments.is_json {
        say!("{}", Json::only("changes", Json::texts(changes)));
    } else if changes.is_empty() {
        say!("# nothing to change");
    } else {
        changes.iter().for_each(|change| say!("{change}"));
    }
    Ok(0)
}

fn show(plan: &Plan) {
    plan.notes.iter().for_each(|note| complain!("mwan3: {note}"));
    say!("{}", plan.to_string().trim_end());
}

/// In the order they would be made.
fn changes(pending: &Pending) -> Vec<String> {
    let before = pending.routing.before.iter().map(ToString::to_string);
    let table = pending.table_changes().iter().map(|change| change.to_string()).collect::<Vec<_>>();
    let after = pending.routing.after.iter().map(ToString::to_string);
    before.chain(table).chain(after).collect()
}

/// The folder is at once a bug report and a golden test case: the same three inputs, and what came of them.
pub(super) fn dump(arguments: &Arguments) -> Result<ExitCode> {
    let directories = Directories::from_environment();
    let mut loaded = settings::load(&directories)?;
    // Their addresses are often keys at the same time, and no plan depends on them.
    loaded.package.sections.retain(|section| section.kind != SectionKind::Alert.name());
    let text = loaded.package.export();
    // As the case will be read: lines are those of the exported text.
    let settings = settings::read("mwan3", &text, &[]);
    let mut host = host::observe(&directories, &settings.config)?;
    host::observe_settings(&settings.config, &mut host.network);
    let health = directories.health(&settings.config);
    let plan = crate::plan::plan(&settings.config, &host.network, &health);
    let folder = dump_folder(arguments)?;
    let write = |name: &str, content: &[u8]| {
        fs::write(folder.join(name), content).with_context(|| format!("cannot write {name}"))
    };
    write("mwan3", &text)?;
    write("network.json", host.network.json().pretty().as_bytes())?;
    write("health", health.to_string().as_bytes())?;
    write("expect.nft", plan.ruleset.as_ref().map(ToString::to_string).unwrap_or_default().as_bytes())?;
    write("expect.routing", plan.routing_text().as_bytes())?;
    write("expect.problems", problems_text(&settings.problems, &plan).as_bytes())?;
    write("sysctl", sysctl_text(&host.network).as_bytes())?;
    // What the export leaves out is told here.
    write("problems", problems_text(&loaded.problems, &plan).as_bytes())?;
    write("kernel.routing", held_routing(&host).as_bytes())?;
    let ruleset =
        nftables::observe(crate::plan::TABLE).map_or_else(|error| error.to_string(), |held| held.to_string());
    write("kernel.ruleset", ruleset.as_bytes())?;
    write("version", format!("mwan3 {}\n{}\n", env!("CARGO_PKG_VERSION"), settings::release()).as_bytes())?;
    say!("{}", folder.display());
    Ok(0)
}

fn dump_folder(arguments: &Arguments) -> Result<PathBuf> {
    let cannot = |folder: &Path| format!("cannot make the folder {}", folder.display());
    if let Some(folder) = arguments.words.first().map(PathBuf::from) {
        make_directory(&folder).with_context(|| cannot(&folder))?;
        return Ok(folder);
    }
    let folder = variable("TMPDIR")
        .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
        .join(format!("mwan3-dump-{}", std::process::id()));
    // Everybody may write there: one that exists may be a trap.
    make_new_directory(&folder).with_context(|| cannot(&folder))?;
    Ok(folder)
}

fn held_routing(host: &Host) -> String {
    let rules = host.rules.iter().map(|rule| format!("rule {} {rule}\n", rule.family));
    let routes = host.routes.iter().map(|route| format!("route {} {route}\n", route.family));
    rules.chain(routes).collect()
}

fn sysctl_text(network: &Network) -> String {
    network.settings.iter().map(|(name, value)| format!("{name} = {value}\n")).collect()
}

pub(super) fn schema() -> Result<ExitCode> {
    say!("{}", config::options::schema().pretty());
    Ok(0)
}

/// What `dump` wrote, read back.
pub struct Case {
    pub settings: Settings,
    pub network: Network,
    pub health: Health,
}

impl Case {
    pub fn read(folder: &Path) -> Result<Case> {
        let text =
            read(&folder.join("mwan3")).with_context(|| format!("no mwan3 in {}", folder.display()))?;
        let network = read_text(&folder.join("network.json")).context("no network.json")?;
        let health = text_of(&folder.join("health"));
        Ok(Case {
            settings: settings::read("mwan3", &text, &[]),
            network: Network::read(&network).map_err(|error| failure!("{error}")).context("network.json")?,
            health: Health::parse(&health)
                .map_err(|line| failure!("health: cannot read the line '{line}'"))?,
        })
    }
}

fn problems_text(problems: &[Problem], plan: &Plan) -> String {
    let problems = problems.iter().map(|problem| format!("{problem}\n"));
    problems.chain(plan.notes.iter().map(|note| format!("note: {note}\n"))).collect()
}
