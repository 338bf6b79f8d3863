//! The status files of one interface as values: what /var/run/mwan3track/<interface>/ says, and how a tracker that
//! starts again reads it back. All times are seconds since the start of time, 0 for never.

use std::time::Duration;

use crate::health::{Status, TargetState};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub status: Status,
    pub score: u32,
    /// Probes lost since the last answered round.
    pub lost: u32,
    pub turn: u32,
    /// The end of the last round.
    pub time: Option<Duration>,
    pub online_since: Option<Duration>,
    pub offline_since: Option<Duration>,
    pub targets: Vec<TargetReport>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    pub target: String,
    pub state: Option<TargetState>,
    /// Where quality is checked.
    pub latency_ms: Option<u32>,
    pub loss_percent: Option<u32>,
}

/// What an earlier tracker left in the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    pub status: Status,
    pub score: u32,
    pub lost: u32,
    pub turn: u32,
    pub time: Option<Duration>,
    pub online_since: Option<Duration>,
    pub offline_since: Option<Duration>,
}

impl Snapshot {
    /// Names and contents. PID is the shell's own to write.
    pub fn files(&self) -> Vec<(String, String)> {
        let started = u8::from(self.status != Status::Disabled);
        let mut files = vec![
            file("STATUS", &self.status.name()),
            file("STARTED", &started),
            file("SCORE", &self.score),
            file("LOST", &self.lost),
            file("TURN", &self.turn),
            file("TIME", &seconds(self.time)),
            file("ONLINE", &seconds(self.online_since)),
            file("OFFLINE", &seconds(self.offline_since)),
        ];
        for report in self.targets.iter().filter(|report| is_file_name(&report.target)) {
            let target = &report.target;
            if let Some(state) = report.state {
                files.push(file(&format!("TRACK_{target}"), &state.name()));
            }
            if let Some(latency) = report.latency_ms {
                files.push(file(&format!("LATENCY_{target}"), &latency));
            }
            if let Some(loss) = report.loss_percent {
                files.push(file(&format!("LOSS_{target}"), &loss));
            }
        }
        files
    }
}

impl Adopted {
    /// None unless there is a STATUS that we know: then the interface starts anew.
    pub fn from_files(mut read: impl FnMut(&str) -> Option<String>) -> Option<Adopted> {
        let status = Status::from_name(read("STATUS")?.trim())?;
        let mut number = |name: &str| read(name)?.trim().parse::<u32>().ok();
        Some(Adopted {
            status,
            score: number("SCORE").unwrap_or(0),
            lost: number("LOST").unwrap_or(0),
            turn: number("TURN").unwrap_or(0),
            time: since(number("TIME")),
            online_since: since(number("ONLINE")),
            offline_since: since(number("OFFLINE")),
        })
    }
}

fn file(name: &str, content: &dyn std::fmt::Display) -> (String, String) {
    (name.to_owned(), format!("{content}\n"))
}

fn seconds(time: Option<Duration>) -> u64 {
    time.map_or(0, |time| time.as_secs())
}

fn since(seconds: Option<u32>) -> Option<Duration> {
    seconds.filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(u64::from(seconds)))
}

/// Targets come from the configuration: one must not name a file elsewhere.
fn is_file_name(target: &str) -> bool {
    !target.contains(['/', '\0'])
}
