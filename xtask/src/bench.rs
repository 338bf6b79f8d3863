//! `cargo xtask bench`: what the commands, a packet and the idle tracker cost, as tables in
//! docs/performance.md beside the measured shell package.

mod commands;
mod faces;
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

/// Only some parts, if named: commands, faces, packets, idle. All of them also rewrite the document.
pub fn run(parts: &[String]) -> Result<(), String> {
    provide(FOR_BENCH)?;
    let program = build_release()?;
    lab::enter_unprivileged().map_err(|error| error.to_string())?;
    if let Some(other) =
        parts.iter().find(|part| !["commands", "faces", "packets", "idle"].contains(&part.as_str()))
    {
        return Err(format!("'{other}' is none of commands, faces, packets, idle"));
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
