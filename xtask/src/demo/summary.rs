//! What the flows say in the end: how long each switch took, whom it cost what, and whether that is right.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lab::Outcome;

use super::story::{Chapter, ChapterKind, Passed, Told};
use super::streams::{Flow, KINDS, Tally};

/// A flow takes a millisecond, on a busy machine many: who was on the way when a line was cut was hurt by the cut.
const ON_THE_WAY: Duration = Duration::from_millis(250);
/// The far side of any doubt: 3:2 over some hundred flows, on a busy machine.
const BALANCE: std::ops::RangeInclusive<f64> = 45.0..=75.0;
const LONGEST_SWITCH: Duration = Duration::from_secs(5);

struct Finding {
    chapter: Chapter,
    /// From the event until new flows fare well again, or until the uplink carries flows again.
    switch: Option<Duration>,
    refused: usize,
    lost: usize,
    /// Flows of the policy that has nothing to do with the event: lost, refused or elsewhere.
    bystanders_hurt: usize,
    /// Balanced flows once the switch was over.
    balance: Option<f64>,
}

pub fn table(told: &Told) -> String {
    let mut text = format!(
        "{:<32}{:>10}{:>8}{:>9}{:>16}{:>12}\n",
        "", "switch", "lost", "refused", "others hurt", "balance"
    );
    for found in findings(told) {
        let switch = match (found.chapter.kind, found.switch) {
            (ChapterKind::Calm, _) => "-".to_owned(),
            (_, Some(time)) => format!("{:.2} s", time.as_secs_f64()),
            (_, None) => "never".to_owned(),
        };
        let balance = found.balance.map_or("-".to_owned(), |wan| format!("{wan:.0} : {:.0}", 100.0 - wan));
        let _ = writeln!(
            text,
            "{:<32}{switch:>10}{:>8}{:>9}{:>16}{balance:>12}",
            found.chapter.name, found.lost, found.refused, found.bystanders_hurt
        );
    }
    let rate: u32 = KINDS.iter().map(|kind| kind.per_second).sum();
    let _ = writeln!(
        text,
        "\n{} flows, {rate} a second. Switch: from the event until no new flow fails (or until wan carries flows \
         again).\nOthers hurt: flows of \"wanb only\" that failed or went elsewhere. Balance wan : wanb, 60 : 40 is \
         configured.\nThe shell package as shipped needs 121 to 125 s for the first switch, at best 4.3 s with 1 s \
         timings and four targets.",
        told.flows.len()
    );
    if let Some((reason, chapter, after)) = first_refusal(told) {
        let _ = writeln!(text, "First refusal, {:.2} s after \"{chapter}\": {reason}", after.as_secs_f64());
    }
    text
}

fn first_refusal(told: &Told) -> Option<(&str, &'static str, Duration)> {
    told.chapters.iter().find_map(|Passed { chapter, begun, ended, .. }| {
        told.flows.iter().filter(|flow| flow.is_between(*begun, *ended)).find_map(|flow| {
            match &flow.outcome {
                Outcome::Refused(reason) => Some((reason.as_str(), chapter.name, flow.at - *begun)),
                _ => None,
            }
        })
    })
}

/// What must hold on any machine.
pub fn judge(told: &Told) -> Result<(), String> {
    let mut wrong = Vec::new();
    for found in findings(told) {
        let name = found.chapter.name;
        if found.chapter.kind != ChapterKind::Calm && found.switch.is_none_or(|time| time > LONGEST_SWITCH) {
            wrong.push(format!("{name}: no switch within {} s", LONGEST_SWITCH.as_secs()));
        }
        if found.bystanders_hurt > 0 {
            wrong.push(format!("{name}: {} flows of another policy were hurt", found.bystanders_hurt));
        }
        if found.chapter.kind == ChapterKind::Calm && found.lost + found.refused > 0 {
            let when = failures(told, found.chapter.name);
            wrong.push(format!("{name}: {} flows failed: {when}", found.lost + found.refused));
        }
        let is_right = match found.chapter.kind {
            ChapterKind::Fault => found.balance == Some(0.0),
            _ => found.balance.is_some_and(|wan| BALANCE.contains(&wan)),
        };
        if !is_right {
            wrong.push(format!("{name}: {:?} % of the balanced flows went by wan", found.balance));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

/// Whether what became of the flow is the chapter's doing.
fn belongs(flow: &Flow, from: Instant, to: Instant) -> bool {
    let grace = if flow.is_answered() { Duration::ZERO } else { ON_THE_WAY };
    from <= flow.at + grace && flow.at + grace < to
}

/// When in a chapter flows that failed were begun.
fn failures(told: &Told, chapter: &str) -> String {
    let mut text = String::new();
    for Passed { begun, ended, .. } in told.chapters.iter().filter(|passed| passed.chapter.name == chapter) {
        for flow in told.flows.iter().filter(|flow| !flow.is_answered() && belongs(flow, *begun, *ended)) {
            let kind = KINDS.get(flow.kind).map_or("?", |kind| kind.name);
            let (since, left) = ((flow.at - *begun).as_secs_f64(), (*ended - flow.at).as_secs_f64());
            let _ = write!(
                text,
                "\n  {kind}: {:?}, {since:.3} s after its start, {left:.3} s before its end",
                flow.outcome
            );
        }
    }
    text
}

fn findings(told: &Told) -> Vec<Finding> {
    told.chapters.iter().map(|passed| finding(passed, &told.flows)).collect()
}

fn finding(passed: &Passed, flows: &[Flow]) -> Finding {
    let Passed { chapter, begun: from, happened, ended: to } = *passed;
    let during: Vec<&Flow> = flows.iter().filter(|flow| belongs(flow, from, to)).collect();
    let switch = match chapter.kind {
        ChapterKind::Calm => Some(Duration::ZERO),
        ChapterKind::Fault => end_of_failures(&during, from, to),
        ChapterKind::Return => {
            // The latest of the first flows, so that all policies are back.
            let is_away = |kind: &usize| KINDS.get(*kind).is_some_and(|kind| kind.only.is_none());
            let first_back = |kind: usize| {
                during.iter().filter(|flow| flow.kind == kind && flow.is_by("wan")).map(|flow| flow.at).min()
            };
            let back: Option<Vec<Instant>> = (0..KINDS.len()).filter(is_away).map(first_back).collect();
            back.and_then(|times| times.into_iter().max()).map(|at| at - from)
        }
    };
    let settled = happened.max(from + switch.unwrap_or_default());
    let tally = Tally::of(during.iter().copied());
    let is_hurt = |flow: &&&Flow| {
        KINDS.get(flow.kind).and_then(|kind| kind.only).is_some_and(|device| !flow.is_by(device))
    };
    let is_balanced = |flow: &&Flow| flow.kind < 2 && flow.at > settled;
    Finding {
        chapter,
        switch,
        refused: tally.refused,
        lost: tally.lost,
        bystanders_hurt: during.iter().filter(is_hurt).count(),
        balance: Tally::of(during.iter().copied().filter(is_balanced)).wan_percent(),
    }
}

/// Until the last failed flow was begun; none if flows failed to the end.
fn end_of_failures(during: &[&Flow], from: Instant, to: Instant) -> Option<Duration> {
    let last = during.iter().filter(|flow| !flow.is_answered()).map(|flow| flow.at).max();
    let last = last.unwrap_or(from);
    (last + Duration::from_millis(500) < to).then(|| last - from)
}
