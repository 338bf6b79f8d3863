//! Reasons and log lines. The log lines are the shell package's, to the letter: people's filters read them.

use std::time::Duration;

use crate::config::{TrackMethod, Tracking};
use crate::health::LinkFault;
use crate::health::round::{Round, Verdict};
use crate::sorted::SortedSet;

/// What log lines call the interface: `interface wan (eth1)`.
pub(super) fn place(interface: &str, device: &str) -> String {
    format!("interface {interface} ({device})")
}

pub(super) fn check_line(
    tracking: &Tracking,
    target: &str,
    place: &str,
    verdict: &Verdict,
    score: u32,
) -> String {
    let mut method = method_name(&tracking.method).to_owned();
    if tracking.quality.is_some() {
        method += &format!(": latency={}ms loss={}%", verdict.latency_ms, verdict.loss_percent);
    }
    let result = if verdict.good { "success" } else { "failed" };
    format!("Check ({method}) {result} for target \"{target}\" on {place}. Current score: {score}")
}

/// The options' oldest spelling, which is what the shell package logged.
fn method_name(method: &TrackMethod) -> &'static str {
    match method {
        TrackMethod::Ping => "ping",
        TrackMethod::Arp => "arping",
        TrackMethod::Tcp => "nping-tcp",
        TrackMethod::Udp => "nping-udp",
        TrackMethod::Http | TrackMethod::Https => "httping",
        TrackMethod::Dns => "nslookup",
    }
}

/// Why the round was lost: `3 of 4 targets did not answer within 1 s`.
pub(super) fn lost_round(round: &Round, tracking: &Tracking, timeout: Duration) -> String {
    let total = round.targets.len();
    let (mut silent, mut hard, mut poor, mut worst_ms) = (0, 0, 0, 0);
    let mut reasons: SortedSet<&str> = SortedSet::new();
    for asked in &round.targets {
        match (&asked.verdict, &asked.hard_failure) {
            (None, _) => {}
            (Some(verdict), _) if verdict.answered => {
                poor += usize::from(!verdict.good);
                worst_ms = worst_ms.max(verdict.latency_ms);
            }
            (Some(_), None) => silent += 1,
            (Some(_), Some(reason)) => {
                hard += 1;
                reasons.insert(reason);
            }
        }
    }
    let mut parts = Vec::new();
    if silent > 0 {
        parts.push(format!("{} did not answer within {}", targets(silent, total), duration(timeout)));
    }
    if hard > 0 {
        let reasons: Vec<&str> = reasons.into_iter().collect();
        parts.push(format!("{} failed ({})", targets(hard, total), reasons.join(", ")));
    }
    if poor > 0 {
        parts
            .push(format!("{} answered too slowly or with loss (up to {worst_ms} ms)", targets(poor, total)));
    }
    if tracking.reliability as usize > total {
        parts.push(format!("reliability {} is more than there are targets", tracking.reliability));
    }
    parts.join(", ")
}

pub(super) fn won_round(round: &Round) -> String {
    format!("{} answered", targets(round.count(|verdict| verdict.good), round.targets.len()))
}

pub(super) fn in_a_row(reason: &str, rounds: u32) -> String {
    if rounds > 1 { format!("{reason}, {rounds} rounds in a row") } else { reason.to_owned() }
}

pub(super) fn fault(fault: LinkFault, device: &str) -> String {
    match fault {
        LinkFault::Carrier => format!("{device} lost its carrier"),
        LinkFault::Device => format!("{device} is gone"),
        LinkFault::Address => format!("{device} lost its address"),
    }
}

/// `250 ms`, `1 s`, `2.5 s`.
pub(super) fn duration(duration: Duration) -> String {
    let (seconds, ms) = (duration.as_secs(), duration.subsec_millis());
    match (seconds, ms) {
        (0, _) => format!("{ms} ms"),
        (_, 0) => format!("{seconds} s"),
        // Without floating point, whose printing alone is 10 KB.
        _ => format!("{seconds}.{} s", format!("{ms:03}").trim_end_matches('0')),
    }
}

fn targets(count: usize, total: usize) -> String {
    if total == 1 { "the only target".to_owned() } else { format!("{count} of {total} targets") }
}
