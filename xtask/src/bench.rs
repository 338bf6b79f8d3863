//! `cargo xtask bench`: what the commands, a packet and the idle tracker cost, as tables in
//! docs/performance.md beside the measured shell package.

mod commands;
mod faces;
mod memory;
mod packets;
mod report;
mod sizes;
mod tracker;

use std::path::Path;

use packets::Variant;
use sizes::Size;

use crate::tools::{FOR_BENCH, build_release, provide, workspace};

const SIZES: [Size; 4] = [Size::new(2, 4), Size::new(8, 50), Size::new(8, 300), Size::new(60, 1000)];
const VARIANTS: [Variant; 7] = [
    Variant::Plain,
    Variant::RoutingOnly,
    Variant::Rules(4),
    Variant::Rules(50),
    Variant::Rules(300),
    Variant::Rules(1000),
    Variant::MixedRules(300),
];
const TRACKED: [usize; 3] = [2, 8, 60];
/// Uplinks and rules, and elements of a set that the rules name: the limits are set for the last.
const LARGEST: [(Size, u32); 3] =
    [(Size::new(2, 4), 1), (Size::new(8, 1000), 1), (Size::new(8, 1000), 10_000)];

/// Only some parts, if named: commands, faces, packets, idle, memory. All of them also rewrite the document.
pub fn run(parts: &[String]) -> Result<(), String> {
    provide(FOR_BENCH)?;
    // MWAN3_PROGRAM: measure this one, such as a static one for routers.
    let program = std::env::var_os("MWAN3_PROGRAM").map_or_else(build_release, |path| Ok(path.into()))?;
    lab::enter_unprivileged().map_err(|error| error.to_string())?;
    if let Some(other) =
        parts.iter().find(|part| !["commands", "faces", "packets", "idle", "memory"].contains(&part.as_str()))
    {
        return Err(format!("'{other}' is none of commands, faces, packets, idle, memory"));
    }
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let mut sections = Vec::new();
    if wants("commands") {
        sections.push(commands_section(&program)?);
    }
    if wants("faces") {
        sections.push(faces::section(&program).map_err(|error| error.to_string())?);
    }
    if wants("packets") {
        sections.push(packets_section(&program)?);
    }
    if wants("idle") {
        sections.push(idle_section(&program)?);
    }
    if wants("memory") {
        sections.push(memory_section(&program)?);
    }
    let text = report::machine() + "\n" + &sections.join("\n");
    println!("{text}");
    if parts.is_empty() {
        report::write(&workspace().join("docs/performance.md"), &text)?;
    }
    Ok(())
}

fn commands_section(program: &Path) -> Result<String, String> {
    let mut costs = Vec::new();
    for size in SIZES {
        eprintln!("bench: commands at {} WANs, {} rules", size.uplinks, size.rules);
        let measured = commands::costs(program, size, 9);
        costs.push(measured.map_err(|error| error.to_string())?);
    }
    Ok(report::commands(&costs))
}

fn packets_section(program: &Path) -> Result<String, String> {
    eprintln!("bench: packets");
    let costs = packets::costs(program, &VARIANTS, 15).map_err(|error| error.to_string())?;
    Ok(report::packets(&VARIANTS, &costs))
}

fn idle_section(program: &Path) -> Result<String, String> {
    let mut found = Vec::new();
    for uplinks in TRACKED {
        eprintln!("bench: the idle tracker at {uplinks} WANs");
        found.push(tracker::idle(program, uplinks).map_err(|error| error.to_string())?);
    }
    Ok(report::idle(&found))
}

fn memory_section(program: &Path) -> Result<String, String> {
    let mut text = String::from(
        "## Memory of a large start\n\n| WANs / rules | elements of a mirrored set | peak RSS KiB |\n| --- | --- | --- |\n",
    );
    for (size, elements) in LARGEST {
        eprintln!("bench: memory at {} rules, {elements} elements", size.rules);
        let found = memory::start(program, size, elements).map_err(|error| error.to_string())?;
        text += &format!("| {} / {} | {elements} | {} |\n", size.uplinks, size.rules, found.peak_rss_kib);
    }
    Ok(text)
}
