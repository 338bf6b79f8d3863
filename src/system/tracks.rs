//! The status files of the trackers, read for reports.

use std::path::Path;

use crate::config::{Config, Interface};
use crate::report::{Track, TrackedTarget};
use crate::sorted::SortedMap;

use super::files::{Directories, read_line, read_number};
use super::paths;

pub fn read(directories: &Directories, config: &Config) -> SortedMap<String, Track> {
    let mut tracks = SortedMap::new();
    for interface in &config.interfaces {
        tracks.insert(interface.name.clone(), track(directories, interface));
    }
    tracks
}

fn track(directories: &Directories, interface: &Interface) -> Track {
    let directory = directories.tracking(&interface.name);
    let number = |name: &str| read_number(&directory.join(name));
    let count = |name: &str| number(name).unwrap_or(0);
    let mut targets = SortedMap::new();
    for target in &interface.tracking.targets {
        targets.insert(target.clone(), tracked_target(&directory, target));
    }
    Track {
        is_alive: number("PID").is_some_and(is_tracker),
        started: number("STARTED"),
        status: read_line(&directory.join("STATUS")),
        policy_state: directories.read_interface_state(&interface.name),
        online_since_s: count("ONLINE"),
        offline_since_s: count("OFFLINE"),
        score: count("SCORE"),
        lost: count("LOST"),
        turn: count("TURN"),
        time_s: count("TIME"),
        targets,
    }
}

fn tracked_target(directory: &Path, target: &str) -> TrackedTarget {
    // A target is somebody's text: it must not lead out of the directory.
    if target.contains('/') {
        return TrackedTarget::default();
    }
    let file = |kind: &str| directory.join(format!("{kind}_{target}"));
    TrackedTarget {
        status: read_line(&file("TRACK")),
        latency_ms: read_number(&file("LATENCY")).unwrap_or(0),
        loss_percent: read_number(&file("LOSS")).unwrap_or(0),
    }
}

/// A process id alone says little: numbers are used again.
fn is_tracker(pid: u64) -> bool {
    let Ok(command) = paths::read(Path::new(&format!("/proc/{pid}/cmdline"))) else { return false };
    let mut words = command.split(|byte| *byte == 0);
    let program = words.next().unwrap_or_default();
    program.ends_with(b"mwan3") && words.any(|word| word == b"track")
}
