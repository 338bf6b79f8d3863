//! The measurements as Markdown, and their place in the document: between two markers.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::commands::{Costs, STEPS};
use super::packets::{PacketCost, Variant};
use super::sizes::Size;
use super::tracker::Idle;

const BEGIN: &str = "<!-- bench: written by `cargo xtask bench` -->";
const END: &str = "<!-- bench: end -->";

/// The shell package 2.12.2: wall and CPU milliseconds and forks of start and of ifdown.
const SHELL: [(Size, [u32; 3], [u32; 3]); 3] = [
    (Size::new(2, 4), [770, 748, 595], [403, 451, 409]),
    (Size::new(8, 50), [2606, 3113, 1825], [914, 1085, 865]),
    (Size::new(8, 300), [4983, 5602, 3077], [927, 1392, 865]),
];
/// At 60 WANs it was measured with 120 rules only.
const SHELL_LARGEST: &str = "90,088 / 110,364 / 10,198 (120 rules)";

pub fn machine() -> String {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = release.trim().split('.').take(2).collect::<Vec<_>>().join(".");
    let busy = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = busy.split_whitespace().next().unwrap_or("?");
    format!("Measured on {count} {} cores, kernel {kernel}, load average {load}.\n", std::env::consts::ARCH)
}

pub fn commands(costs: &[Costs]) -> String {
    let mut text = String::from(
        "## Commands\n\nWall / CPU milliseconds, medians of nine runs; child processes and peak memory from one \
         traced run.\n\n| | WANs / rules | wall / CPU ms | children | peak RSS KiB | shell: wall / CPU / forks |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for (position, step) in STEPS.iter().enumerate() {
        for cost in costs {
            let Some((spent, seen)) = cost.steps.get(position) else { continue };
            let _ = writeln!(
                text,
                "| {step} | {} / {} | {:.1} / {:.1} | {} | {} | {} |",
                cost.size.uplinks,
                cost.size.rules,
                spent.wall.as_secs_f64() * 1000.0,
                spent.cpu.as_secs_f64() * 1000.0,
                seen.children,
                seen.peak_rss_kib,
                shell(step, cost.size)
            );
        }
    }
    text
}

pub fn packets(variants: &[Variant], costs: &[PacketCost]) -> String {
    let mut text = String::from(
        "## Packets\n\nNanoseconds of CPU per UDP packet from a client through the router, with connection tracking and \
         source NAT in all rows; medians of 15 interleaved rounds of 10,000 packets. New flows match no rule but the \
         last. \"Routing only\" is what the ip rules cost that any such program needs.\n\n\
         | | established | over none | new flow | over none | shell, new flow over none |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    let none = costs.first().copied().unwrap_or_default();
    for (variant, cost) in variants.iter().zip(costs) {
        let (name, shell) = match variant {
            Variant::Plain => ("none".to_owned(), ""),
            Variant::RoutingOnly => ("routing only".to_owned(), ""),
            Variant::Rules(4) => ("4 rules".to_owned(), "+700 to +2,000 (nft ports: +2,100)"),
            Variant::Rules(300) => {
                ("300 rules".to_owned(), "+2,400 to +3,400 (nft ports: +9,500 to +12,800)")
            }
            Variant::Rules(count) => (format!("{count} rules"), ""),
            Variant::MixedRules(count) => (format!("{count} rules, kinds alternating"), ""),
        };
        let _ = writeln!(
            text,
            "| {name} | {:.0} | {:+.0} ({:.2}×) | {:.0} | {:+.0} ({:.2}×) | {shell} |",
            cost.established,
            cost.established - none.established,
            cost.established / none.established,
            cost.new,
            cost.new - none.new,
            cost.new / none.new,
        );
    }
    text
}

pub fn idle(found: &[Idle]) -> String {
    let mut text = String::from(
        "## The idle tracker\n\nProbes as the shell package ships them: four targets every 10 seconds; 20 seconds, \
         scaled to a minute.\n\n| WANs | processes | RSS KiB (not shared) | CPU ms a minute | shell: processes, RSS, CPU \
         |\n| --- | --- | --- | --- | --- |\n",
    );
    for one in found {
        let shell = match one.uplinks {
            2 => "10, 27.0 MB, 225 ms",
            8 => "22, 58.3 MB, 888 ms",
            _ => "",
        };
        let _ = writeln!(
            text,
            "| {} | 1 | {} ({}) | {:.1} | {shell} |",
            one.uplinks, one.rss_kib, one.anonymous_kib, one.cpu_ms_per_minute
        );
    }
    text
}

/// Replaces what stands between the markers and leaves the rest of the document alone.
pub fn write(path: &Path, text: &str) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("{}: {error}", path.display());
    let document = fs::read_to_string(path).map_err(problem)?;
    let (before, rest) = document.split_once(BEGIN).ok_or("docs/performance.md has lost its first marker")?;
    let (_, after) = rest.split_once(END).ok_or("docs/performance.md has lost its last marker")?;
    fs::write(path, format!("{before}{BEGIN}\n{text}\n{END}{after}")).map_err(problem)
}

fn shell(step: &str, size: Size) -> String {
    let known = SHELL.iter().find(|(known, ..)| *known == size);
    match (step, known) {
        ("start", Some((_, [wall, cpu, forks], _))) => format!("{wall} / {cpu} / {forks}"),
        ("start", None) => SHELL_LARGEST.to_owned(),
        ("ifdown of one WAN", Some((_, _, [wall, cpu, forks]))) => format!("{wall} / {cpu} / {forks}"),
        _ => String::new(),
    }
}
