//! The command line: the verbs, their help, and exit codes. The shell package's verbs keep its texts and
//! its exit code 0 for mistakes of usage; `--strict` gives every command real codes.

/// A line on stdout. Whoever closed the other end (`| head`) has seen enough: unlike `println!`, no panic.
macro_rules! say {
    ($($text:tt)*) => {
        crate::cli::say_line(format_args!($($text)*))
    };
}

/// A line on stderr, likewise.
macro_rules! complain {
    ($($text:tt)*) => {
        crate::system::terminal::complain(format_args!($($text)*))
    };
}

mod ask;
mod drill;
mod explain;
mod import;
mod inspect;
mod notify;
mod options;
mod rpcd;
mod service;
mod show;
mod top;
mod tracker;
mod use_uplink;

use std::ffi::OsString;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::system::failure::Result;
use crate::system::terminal;

pub use explain::{Asked, answer as explain};
use options::Arguments;

/// 0 good, 1 the kernel could not be changed or warnings, 2 usage or errors in the configuration.
pub type ExitCode = u8;

const HELP: &str = "\
Syntax: mwan3 [command]

Available commands:
start                    Load nftables rules, ip rules and ip routes
stop                     Unload nftables rules, ip rules and ip routes
restart                  Reload nftables rules, ip rules and ip routes
ifup <iface>             Load rules and routes for specific interface
ifdown <iface>           Unload rules and routes for specific interface
interfaces               Show interfaces status
policies                 Show currently active policy
connected                Show directly connected networks
rules                    Show active rules
status                   Show all status
internal <ipv4|ipv6>     Show internal configuration <default: ipv4>
use <iface> <cmd>        Run a command bound to <iface> and avoid mwan3 rules

More commands:
reload                   Apply a changed configuration; running flows notice nothing
track                    Watch the uplinks and switch (the service runs this)
events [-f]              What happened to the uplinks; -f: go on as it happens
history <iface>          Recent probes: loss, round trip, jitter
test <iface>             Probe now and say what that means
notify test [<alert>]    Send a test to whom alerts go
explain <dest> [<proto> [<port>]]
                         Which way a packet takes, and why; --flow <src> <dest>: a connection
top                      Watch uplinks, policies and new connections; q ends it
drill <iface>            Let an uplink fail on purpose for a while and measure the switch
check [-v] [--fix]       Check the configuration and the network; 0 good, 1 warnings, 2 errors
plan [--diff]            Show what would be in the kernel, or what would be changed
import multiwans <file>  Show the configuration of another program as ours
dump [<folder>]          Write a folder for a bug report, which is also a test case
schema                   Show every option with type, default and range (JSON)
metrics                  Show the state in Prometheus' text format
help, --version          This text; the version

Options:
--json                   JSON instead of text (reports, check, plan --diff)
--from <folder>          plan: on what a dump holds instead of this machine
--from <addr>[%<iface>]  explain: where the packet comes from; without, the router itself
--seconds <number>       drill: how long, 10 without
--force                  drill: also where no other uplink stands in
--interval <seconds>     top: how often, 2 without
--once                   top: one picture, as plain text
--sport <port>           explain: its source port
--mark <mark>            explain: the mark somebody gave it before us
--output <file>          metrics: write them there, never half
--no-track               start, stop, restart, reload: somebody else, such as procd, runs the tracker
--fix                    check: also set what is wrong in the kernel, now and for the next boot
--strict                 Exit with 2 for mistakes of usage, with 1 where a report finds trouble
-v, --verbose            More detail

Manual: man mwan3. Configuration: /etc/config/mwan3 (man 5 mwan3).";

type Verb = fn(&Arguments) -> Result<ExitCode>;

const VERBS: &[(&str, Verb)] = &[
    ("start", service::start),
    ("stop", service::stop),
    ("restart", service::restart),
    ("reload", service::reload),
    ("ifup", service::ifup),
    ("ifdown", service::ifdown),
    ("interfaces", show::report),
    ("policies", show::report),
    ("connected", show::report),
    ("rules", show::report),
    ("status", show::report),
    ("internal", show::internal),
    ("use", use_uplink::run),
    ("check", inspect::check),
    ("plan", inspect::plan),
    ("dump", inspect::dump),
    ("schema", |_| inspect::schema()),
    ("metrics", show::metrics),
    ("hotplug", service::hotplug),
    ("rpcd", rpcd::run),
    ("help", |_| help()),
    ("version", |_| version()),
    ("track", |_| crate::track::run().map(|()| 0)),
    ("events", ask::events),
    ("history", ask::history),
    ("test", ask::test),
    ("notify", notify::run),
    ("import", import::run),
    ("explain", explain::run),
    ("drill", drill::run),
    ("top", top::run),
];

pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let arguments = match Arguments::parse(&arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            complain!("mwan3: {error}; see 'mwan3 help'");
            return 2;
        }
    };
    let takes_from = matches!(arguments.verb.as_str(), "plan" | "explain");
    if !takes_from && arguments.from.is_some() || arguments.verb != "plan" && arguments.is_diff {
        complain!("mwan3: --from and --diff belong to 'mwan3 plan'");
        return 2;
    }
    if arguments.verb != "metrics" && arguments.output.is_some() {
        complain!("mwan3: --output belongs to 'mwan3 metrics'");
        return 2;
    }
    if arguments.is_fix && arguments.verb != "check" {
        complain!("mwan3: --fix belongs to 'mwan3 check'");
        return 2;
    }
    match dispatch(&arguments) {
        Ok(0) if WAS_LOST.load(Ordering::Relaxed) => {
            complain!("mwan3: cannot write all of the output");
            1
        }
        Ok(code) => code,
        Err(error) => {
            let advice = if error.lacks_rights() { " (are you root?)" } else { "" };
            complain!("mwan3: {error}{advice}");
            1
        }
    }
}

/// Whether something that was said could not be written, as on a full disk.
static WAS_LOST: AtomicBool = AtomicBool::new(false);

fn say_line(text: fmt::Arguments<'_>) {
    if terminal::print(&format!("{text}\n"))
        .is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe)
    {
        WAS_LOST.store(true, Ordering::Relaxed);
    }
}

fn suggestion(word: &str) -> String {
    let closest = crate::config::options::closest_of(word, &mut VERBS.iter().map(|(name, _)| *name));
    closest.map(|verb| format!(" (did you mean '{verb}'?)")).unwrap_or_default()
}

fn dispatch(arguments: &Arguments) -> Result<ExitCode> {
    let verb = &*arguments.verb;
    if verb.is_empty() {
        return help();
    }
    for (name, run) in VERBS {
        if *name == verb {
            return run(arguments);
        }
    }
    say!("{HELP}");
    complain!("mwan3: unknown command '{verb}'{}", suggestion(verb));
    Ok(arguments.usage_code())
}

fn help() -> Result<ExitCode> {
    say!("{HELP}");
    Ok(0)
}

fn version() -> Result<ExitCode> {
    say!("mwan3 {}", env!("CARGO_PKG_VERSION"));
    Ok(0)
}
