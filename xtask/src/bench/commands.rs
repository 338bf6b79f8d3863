//! What the commands cost: start, the start that finds all done, reload after one changed rule, one uplink
//! down, stop.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::Lab;

use super::sizes::Size;
use crate::process::{Cost, Inspection, inspect, measure};

pub const STEPS: [&str; 6] =
    ["start", "start again", "reload, one rule changed", STATE_CHANGE, "ifdown of one WAN", "stop"];
const STATE_CHANGE: &str = "one WAN offline";

pub struct Costs {
    pub size: Size,
    /// In the order of `STEPS`.
    pub steps: Vec<(Cost, Inspection)>,
}

pub fn costs(program: &Path, size: Size, runs: usize) -> io::Result<Costs> {
    let lab = Lab::builder().uplinks(size.uplinks).ipv6(false).mwan3(program).build()?;
    let mut measured: Vec<Vec<Cost>> = vec![Vec::new(); STEPS.len()];
    for _ in 0..runs {
        each_step(&lab, size, |step, command| {
            measured[step].push(measure(command)?);
            Ok(())
        })?;
    }
    let mut inspected = Vec::new();
    each_step(&lab, size, |_, command| {
        inspected.push(inspect(command)?);
        Ok(())
    })?;
    let steps = measured.iter().map(|costs| median(costs)).zip(inspected).collect();
    Ok(Costs { size, steps })
}

fn each_step(
    lab: &Lab,
    size: Size,
    mut each: impl FnMut(usize, &mut Command) -> io::Result<()>,
) -> io::Result<()> {
    let config = size.config();
    // One rule in the middle loses its flows to another device.
    let rule = format!("config rule r{}\n", size.rules / 2);
    let changed = config.replace(&rule, &format!("{rule}  option src_ip 192.0.2.7\n"));
    let words: [&[&str]; 6] = [
        &["start", "--no-track"],
        &["start", "--no-track"],
        &["reload", "--no-track"],
        &["reload", "--no-track"],
        &["ifdown", "wanb"],
        &["stop"],
    ];
    for (step, words) in words.iter().enumerate() {
        lab.router().write_config(if step < 2 { &config } else { &changed });
        if STEPS[step] == STATE_CHANGE {
            // What the tracker writes before it reconciles.
            std::fs::write(lab.router().run_dir().join("mwan3/iface_state/wanb"), "offline\n")?;
        }
        let mut command = lab.router().mwan3_command();
        command.args(*words).stdin(Stdio::null()).stdout(Stdio::null());
        each(step, &mut command)?;
    }
    Ok(())
}

pub fn median(costs: &[Cost]) -> Cost {
    let middle = |of: fn(&Cost) -> Duration| {
        let mut values: Vec<Duration> = costs.iter().map(of).collect();
        values.sort_unstable();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Cost { wall: middle(|cost| cost.wall), cpu: middle(|cost| cost.cpu) }
}
