//! The client's new connections: a few streams, each for one policy, and what became of every flow.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lab::{Host, Outcome, Sample, Stream};

/// Which connections, and what the policy promises.
pub struct Kind {
    pub name: &'static str,
    pub destination: &'static str,
    pub port: u16,
    pub per_second: u32,
    /// The policy never leaves this uplink, whatever happens to the others.
    pub only: Option<&'static str>,
}

pub const KINDS: [Kind; 4] = [
    Kind { name: "balanced 3:2", destination: "198.51.100.1", port: 80, per_second: 100, only: None },
    Kind { name: "balanced 3:2, IPv6", destination: "2001:db8:ee::1", port: 80, per_second: 50, only: None },
    Kind { name: "wan, then wanb", destination: "198.51.100.2", port: 1194, per_second: 50, only: None },
    Kind { name: "wanb only", destination: "198.51.100.3", port: 25, per_second: 50, only: Some("wanb") },
];

/// One connection, at the time it was begun.
#[derive(Clone, Debug)]
pub struct Flow {
    pub kind: usize,
    pub at: Instant,
    pub outcome: Outcome,
}

pub struct Streams {
    running: Vec<Running>,
    pub flows: Vec<Flow>,
}

struct Running {
    stream: Stream,
    begun: Instant,
    heard: Receiver<Sample>,
}

impl Streams {
    pub fn start(client: &Host) -> Streams {
        let running = KINDS.iter().map(|kind| {
            let (listener, heard) = channel();
            let flows = client.tcp(kind.destination, kind.port).per_second(kind.per_second);
            let begun = Instant::now();
            Running { stream: flows.tell(listener).start(), begun, heard }
        });
        Streams { running: running.collect(), flows: Vec::new() }
    }

    /// Takes in what has ended since.
    pub fn listen(&mut self) {
        for (kind, running) in self.running.iter().enumerate() {
            let flow =
                |sample: Sample| Flow { kind, at: running.begun + sample.started, outcome: sample.outcome };
            self.flows.extend(running.heard.try_iter().map(flow));
        }
    }

    /// Ends the streams and waits for what is on its way.
    pub fn stop(mut self) -> Vec<Flow> {
        let mut kept = Vec::new();
        for running in std::mem::take(&mut self.running) {
            running.stream.stop();
            kept.push((running.begun, running.heard));
        }
        for (kind, (begun, heard)) in kept.into_iter().enumerate() {
            let flow = |sample: Sample| Flow { kind, at: begun + sample.started, outcome: sample.outcome };
            self.flows.extend(heard.try_iter().map(flow));
        }
        self.flows
    }
}

/// Flows by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub wan: usize,
    pub wanb: usize,
    pub refused: usize,
    pub lost: usize,
}

impl Tally {
    pub fn of<'f>(flows: impl Iterator<Item = &'f Flow>) -> Tally {
        let mut tally = Tally::default();
        for flow in flows {
            match &flow.outcome {
                Outcome::Answered(by) if by == "wan" => tally.wan += 1,
                Outcome::Answered(_) => tally.wanb += 1,
                Outcome::Refused(_) => tally.refused += 1,
                Outcome::Lost => tally.lost += 1,
            }
        }
        tally
    }

    /// The part of the answered flows that `wan` carried, in percent.
    pub fn wan_percent(self) -> Option<f64> {
        let answered = self.wan + self.wanb;
        (answered > 0).then(|| self.wan as f64 * 100.0 / answered as f64)
    }
}

impl Flow {
    pub fn is_answered(&self) -> bool {
        matches!(self.outcome, Outcome::Answered(_))
    }

    pub fn is_by(&self, device: &str) -> bool {
        matches!(&self.outcome, Outcome::Answered(by) if by == device)
    }

    pub fn is_between(&self, from: Instant, to: Instant) -> bool {
        from <= self.at && self.at < to
    }
}

/// The longest wait for an answer, after which a flow counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(1);
