//! The live picture: where the flows of the last second went, what the tracker thinks and what it has noted.
//! Redrawn in place on a terminal; elsewhere a line a second.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use lab::Lab;

use super::streams::{Flow, KINDS, PATIENCE, Tally};

const EVENTS: usize = 6;
const BAR: usize = 24;

pub struct View<'l> {
    lab: &'l Lab,
    begun: Instant,
    is_terminal: bool,
    /// Of the picture that stands on the terminal now.
    height: usize,
    last_line: Option<u64>,
}

/// The tracker's word for an uplink, from its status file.
pub fn state(lab: &Lab, name: &str) -> String {
    let path = lab.router().run_dir().join("mwan3track").join(name).join("STATUS");
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

impl<'l> View<'l> {
    pub fn new(lab: &'l Lab) -> View<'l> {
        let is_terminal = io::stdout().is_terminal();
        View { lab, begun: Instant::now(), is_terminal, height: 0, last_line: None }
    }

    pub fn show(&mut self, chapter: &str, since: Instant, flows: &[Flow]) {
        if self.is_terminal {
            let picture = self.picture(chapter, since, flows);
            self.draw(&picture);
            return;
        }
        let second = self.begun.elapsed().as_secs();
        if self.last_line.replace(second) != Some(second) {
            println!("{}", self.line(second, chapter, flows));
        }
    }

    /// The last picture stays.
    pub fn close(&mut self) {
        self.height = 0;
        println!();
    }

    /// Over the former picture, each line cleared to its end: nothing flickers, and nothing is left to be
    /// restored if we are interrupted.
    fn draw(&mut self, picture: &str) {
        let mut text = String::new();
        if self.height > 0 {
            let _ = write!(text, "\x1b[{}A", self.height);
        }
        for line in picture.lines() {
            let _ = writeln!(text, "\r{line}\x1b[K");
        }
        text.push_str("\x1b[J");
        self.height = picture.lines().count();
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn picture(&self, chapter: &str, since: Instant, flows: &[Flow]) -> String {
        let mut text = format!(
            "mwan3 demo  {:>3} s   \x1b[1m{chapter}\x1b[0m, for {:.0} s\n\n",
            self.begun.elapsed().as_secs(),
            since.elapsed().as_secs_f64()
        );
        let _ = writeln!(
            text,
            "{:<22}{:>6}{:>6}{:>9}{:>6}",
            "new flows a second", "wan", "wanb", "refused", "lost"
        );
        for (kind, (what, tally)) in KINDS.iter().zip(last_second(flows)).enumerate() {
            let alarm = if tally.refused + tally.lost > 0 { "\x1b[31m" } else { "" };
            let _ = writeln!(
                text,
                "{:<22}{:>6}{:>6}{alarm}{:>9}{:>6}\x1b[0m  {}",
                what.name,
                tally.wan,
                tally.wanb,
                tally.refused,
                tally.lost,
                if kind < 2 { bar(tally) } else { String::new() }
            );
        }
        let states = ["wan", "wanb", "wan6", "wanb6"]
            .map(|name| format!("{name} {}", coloured(&state(self.lab, name))));
        let _ = writeln!(text, "\nuplinks   {}\n", states.join("   "));
        let events = self.lab.router().mwan3(["events"]).stdout;
        let lines: Vec<&str> = events.lines().collect();
        for line in lines.iter().rev().take(EVENTS).rev() {
            let _ = writeln!(text, "{}", line.chars().take(110).collect::<String>());
        }
        text
    }

    fn line(&self, second: u64, chapter: &str, flows: &[Flow]) -> String {
        let mut text = format!("{second:>3} s  {chapter:<30}");
        for (kind, tally) in KINDS.iter().zip(last_second(flows)) {
            let _ = write!(text, "  {}: wan {} wanb {}", kind.name, tally.wan, tally.wanb);
            if tally.refused + tally.lost > 0 {
                let _ = write!(text, " refused {} lost {}", tally.refused, tally.lost);
            }
        }
        let _ = write!(text, "  [wan {}, wanb {}]", state(self.lab, "wan"), state(self.lab, "wanb"));
        text
    }
}

/// Flows that ended during the last second: those that were lost began a while ago.
fn last_second(flows: &[Flow]) -> Vec<Tally> {
    let now = Instant::now();
    let span = Duration::from_secs(1);
    let is_recent = |flow: &&Flow| {
        let ended = if flow.is_answered() { flow.at } else { flow.at + PATIENCE };
        ended + span > now
    };
    let of_kind = |kind: usize| {
        // The newest are last; anything older than two seconds need not be looked at.
        let recent = flows.iter().rev().take_while(|flow| flow.at + span * 6 > now);
        Tally::of(recent.filter(|flow| flow.kind == kind).filter(is_recent))
    };
    (0..KINDS.len()).map(of_kind).collect()
}

fn bar(tally: Tally) -> String {
    let Some(percent) = tally.wan_percent() else { return String::new() };
    let filled = (percent * BAR as f64 / 100.0).round() as usize;
    format!("{}{} {percent:.0} %", "█".repeat(filled), "░".repeat(BAR.saturating_sub(filled)))
}

fn coloured(state: &str) -> String {
    let colour = if state == "online" { 32 } else { 31 };
    format!("\x1b[{colour}m{state}\x1b[0m")
}
