//! Flows from a host: each has a new source port, and the far end's answer tells by which ISP it came.
//! `host.udp(dest, port).count(10_000).run()` or, in the background, `….per_second(200).start()`.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::isp::expect;
use crate::namespace::Namespace;
use crate::tap::Tap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    Udp,
    Ping,
}

/// What became of one flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The far end answered; the label of the ISP by which it was reached.
    Answered(String),
    /// An error came back at once: reset, ICMP error, no route.
    Refused(String),
    /// Silence until the time limit.
    Lost,
}

/// One flow of a report.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Since the report's start.
    pub started: Duration,
    pub took: Duration,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, Default)]
pub struct FlowReport {
    /// In the order in which they ended.
    pub samples: Vec<Sample>,
    pub took: Duration,
}

/// Flows yet to be made.
#[derive(Clone, Debug)]
pub struct Flows {
    pub(crate) namespace: Namespace,
    pub(crate) router: Namespace,
    pub(crate) ports: Arc<AtomicU16>,
    pub(crate) kind: Kind,
    pub(crate) destination: IpAddr,
    pub(crate) port: u16,
    pub(crate) count: usize,
    pub(crate) per_second: Option<u32>,
    pub(crate) timeout: Duration,
    pub(crate) source: Option<IpAddr>,
    pub(crate) device: Option<String>,
    pub(crate) mark: Option<u32>,
    pub(crate) listener: Option<Sender<Sample>>,
}

/// Flows that go on until stopped.
pub struct Stream {
    stop: UnixStream,
    thread: JoinHandle<io::Result<FlowReport>>,
}

impl Flows {
    /// How many; one unless set.
    pub fn count(mut self, count: usize) -> Flows {
        self.count = count;
        self
    }

    /// An even pace instead of as fast as they are answered.
    pub fn per_second(mut self, rate: u32) -> Flows {
        self.per_second = Some(rate.max(1));
        self
    }

    /// How long to wait for each answer; one second unless set.
    pub fn timeout(mut self, timeout: Duration) -> Flows {
        self.timeout = timeout;
        self
    }

    pub fn source(mut self, source: impl Into<IpAddr>) -> Flows {
        self.source = Some(source.into());
        self
    }

    /// SO_BINDTODEVICE
    pub fn device(mut self, device: &str) -> Flows {
        self.device = Some(device.to_owned());
        self
    }

    /// SO_MARK
    pub fn mark(mut self, mark: u32) -> Flows {
        self.mark = Some(mark);
        self
    }

    /// Also tells each flow's end at once. The way of a ping is known in the final report only.
    pub fn tell(mut self, listener: Sender<Sample>) -> Flows {
        self.listener = Some(listener);
        self
    }

    /// Makes them all and waits for their ends.
    #[track_caller]
    pub fn run(self) -> FlowReport {
        let namespace = self.namespace.clone();
        let engine = expect(self.engine());
        expect(namespace.run(|| engine.run(None)))
    }

    /// Makes them at their pace (200 a second unless set) in the background until stopped.
    #[track_caller]
    pub fn start(mut self) -> Stream {
        self.count = usize::MAX;
        self.per_second.get_or_insert(200);
        let namespace = self.namespace.clone();
        let engine = expect(self.engine());
        let (stop, stopped) = expect(UnixStream::pair());
        Stream { stop, thread: namespace.spawn(move || engine.run(Some(stopped))) }
    }

    pub(crate) fn next_port(&self) -> u16 {
        // Below are well-known ports and services of the laboratory.
        const LOWEST: u16 = 10_240;
        let counted = self.ports.fetch_add(1, Ordering::Relaxed);
        LOWEST + counted % (u16::MAX - LOWEST)
    }

    fn engine(self) -> io::Result<Engine> {
        // An echo reply comes from the far kernel, which cannot say by which ISP: look at the router.
        let tap = if self.kind == Kind::Ping { Some(Tap::open(&self.router)?) } else { None };
        Ok(Engine::new(self, tap))
    }
}

impl Stream {
    /// Ends the stream, waits for the flows on their way and reports on all.
    #[track_caller]
    pub fn stop(self) -> FlowReport {
        drop(self.stop);
        let report = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        expect(report)
    }
}

impl FlowReport {
    pub fn sent(&self) -> usize {
        self.samples.len()
    }

    pub fn answered(&self) -> usize {
        self.by_isp().values().sum()
    }

    pub fn refused(&self) -> usize {
        self.samples.iter().filter(|sample| matches!(sample.outcome, Outcome::Refused(_))).count()
    }

    pub fn lost(&self) -> usize {
        self.samples.iter().filter(|sample| sample.outcome == Outcome::Lost).count()
    }

    /// Answered flows by the ISP that carried them.
    pub fn by_isp(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for sample in &self.samples {
            if let Outcome::Answered(label) = &sample.outcome {
                *counts.entry(label.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// Answered flows over this ISP.
    pub fn by(&self, label: &str) -> usize {
        self.by_isp().get(label).copied().unwrap_or(0)
    }

    /// Whether there were flows and this ISP carried every one of them.
    pub fn all_by(&self, label: &str) -> bool {
        self.sent() > 0 && self.by(label) == self.sent()
    }

    /// The longest time in which no flow was begun that would be answered.
    pub fn longest_gap(&self) -> Duration {
        let answered = self.samples.iter().filter(|one| matches!(one.outcome, Outcome::Answered(_)));
        let mut times: Vec<Duration> = answered.map(|sample| sample.started).collect();
        times.sort_unstable();
        let last_start = self.samples.iter().map(|sample| sample.started).max().unwrap_or_default();
        let mut previous = Duration::ZERO;
        let mut longest = Duration::ZERO;
        for time in times.into_iter().chain([last_start]) {
            longest = longest.max(time.saturating_sub(previous));
            previous = time;
        }
        longest
    }
}

/// `wan 61, wanb 39, refused 0, lost 0`
impl fmt::Display for FlowReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (label, count) in self.by_isp() {
            write!(f, "{label} {count}, ")?;
        }
        write!(f, "refused {}, lost {}", self.refused(), self.lost())?;
        let first = self.samples.iter().find_map(|sample| match &sample.outcome {
            Outcome::Refused(reason) => Some(reason),
            _ => None,
        });
        first.map_or(Ok(()), |reason| write!(f, " (first refusal: {reason})"))
    }
}

/// When a flow was begun, relative to the first.
pub(crate) fn sample(begun: Instant, now: Instant, started: Instant, outcome: Outcome) -> Sample {
    Sample { started: started - begun, took: now - started, outcome }
}
