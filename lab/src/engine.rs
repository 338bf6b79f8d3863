//! The loop that makes flows: opens sockets at the asked pace, waits for their answers, gives up on
//! the silent ones.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::flow::{FlowReport, Flows, Kind, Outcome, sample};
use crate::packet;
use crate::sys;
use crate::tap::Tap;

/// Flows on their way at once: below the usual limit of 1,024 open files, with room for others.
const WINDOW: usize = 400;
/// A paced stream must keep its pace while a dead ISP swallows flows.
const PACED_WINDOW: usize = 4000;

pub(crate) struct Engine {
    flows: Flows,
    tap: Option<Tap>,
    pending: Vec<Pending>,
    begun: Instant,
    launched: usize,
    first_number: u64,
    report: FlowReport,
    // Answered pings with the packet number by which the tap knows their way.
    pings: Vec<(usize, u64)>,
}

struct Pending {
    socket: OwnedFd,
    number: u64,
    started: Instant,
    // TCP: we speak first, for not every service does.
    is_connecting: bool,
}

impl Pending {
    fn interest(&self) -> sys::PollFd {
        let events = if self.is_connecting { libc::POLLOUT } else { libc::POLLIN };
        sys::poll_for(self.socket.as_raw_fd(), events)
    }
}

impl Engine {
    pub(crate) fn new(flows: Flows, tap: Option<Tap>) -> Engine {
        Engine {
            flows,
            tap,
            pending: Vec::new(),
            begun: Instant::now(),
            launched: 0,
            first_number: packet::fresh_numbers(),
            report: FlowReport::default(),
            pings: Vec::new(),
        }
    }

    /// Runs on the calling thread's namespace until all flows ended, or begins no more once told to stop.
    pub(crate) fn run(mut self, stop: Option<UnixStream>) -> io::Result<FlowReport> {
        self.begun = Instant::now();
        let stop = stop.as_ref().map_or(-1, AsRawFd::as_raw_fd);
        let mut stopped = false;
        loop {
            let done = stopped || self.launched >= self.flows.count;
            if done && self.pending.is_empty() {
                break;
            }
            if !done {
                self.launch();
            }
            let mut wait = vec![sys::poll_for(if stopped { -1 } else { stop }, libc::POLLIN)];
            wait.extend(self.pending.iter().map(Pending::interest));
            sys::poll(&mut wait, Some(self.next_deadline(done)))?;
            stopped |= wait[0].revents != 0;
            self.collect(&wait[1..]);
            if let Some(tap) = &mut self.tap {
                tap.drain();
            }
        }
        self.name_pings();
        self.report.took = self.begun.elapsed();
        Ok(self.report)
    }

    fn launch(&mut self) {
        let window = if self.flows.per_second.is_some() { PACED_WINDOW } else { WINDOW };
        while self.launched < self.flows.count.min(self.due()) && self.pending.len() < window {
            let started = Instant::now();
            let number = self.first_number + self.launched as u64;
            self.launched += 1;
            match self.open(number) {
                Ok(socket) => {
                    let is_connecting = self.flows.kind == Kind::Tcp;
                    self.pending.push(Pending { socket, number, started, is_connecting });
                }
                Err(error) => self.finish(started, Outcome::Refused(error.to_string())),
            }
        }
    }

    /// How many flows should have been begun by now.
    fn due(&self) -> usize {
        let Some(rate) = self.flows.per_second else { return usize::MAX };
        (self.begun.elapsed().as_secs_f64() * f64::from(rate)) as usize + 1
    }

    fn next_deadline(&self, done: bool) -> Duration {
        let now = Instant::now();
        let expiry = self.pending.first().map(|oldest| oldest.started + self.flows.timeout);
        let launch = match self.flows.per_second {
            Some(rate) if !done => {
                Some(self.begun + Duration::from_secs_f64(self.launched as f64 / f64::from(rate)))
            }
            _ => None,
        };
        let next = [expiry, launch].into_iter().flatten().min();
        next.map_or(Duration::from_millis(100), |time| time.saturating_duration_since(now))
    }

    fn open(&self, number: u64) -> io::Result<OwnedFd> {
        let flows = &self.flows;
        let family = sys::family_of(flows.destination);
        let (kind, protocol) = match flows.kind {
            Kind::Tcp => (libc::SOCK_STREAM, 0),
            Kind::Udp => (libc::SOCK_DGRAM, 0),
            Kind::Ping if flows.destination.is_ipv4() => (libc::SOCK_DGRAM, libc::IPPROTO_ICMP),
            Kind::Ping => (libc::SOCK_DGRAM, libc::IPPROTO_ICMPV6),
        };
        let socket = sys::socket(family, kind, protocol)?;
        let fd = socket.as_raw_fd();
        // Else only some ICMP errors would reach us.
        match flows.destination {
            IpAddr::V4(_) => sys::set_option(fd, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?,
            IpAddr::V6(_) => sys::set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?,
        }
        if flows.kind == Kind::Tcp {
            // Reset on close: no TIME_WAIT, the port is free again.
            let linger = [1i32.to_ne_bytes(), 0i32.to_ne_bytes()].concat();
            sys::set_option_bytes(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger)?;
        }
        if let Some(mark) = flows.mark {
            sys::set_option(fd, libc::SOL_SOCKET, libc::SO_MARK, mark as i32)?;
        }
        if let Some(device) = &flows.device {
            sys::bind_to_device(fd, device)?;
        }
        self.bind_new_port(fd)?;
        match sys::connect(fd, SocketAddr::new(flows.destination, flows.port)) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        match flows.kind {
            Kind::Tcp => {}
            Kind::Udp => drop(sys::send(fd, &packet::token(number))?),
            Kind::Ping => {
                let request = if flows.destination.is_ipv4() { 8 } else { 128 };
                let echo = [&[request, 0, 0, 0, 0, 0, 0, 1][..], &packet::token(number)].concat();
                sys::send(fd, &echo)?;
            }
        }
        Ok(socket)
    }

    /// Ports are counted through, never left to chance: a port used a moment ago is no new flow.
    fn bind_new_port(&self, fd: i32) -> io::Result<()> {
        let source = self.flows.source.unwrap_or_else(|| sys::unspecified_like(self.flows.destination));
        for _ in 0..100 {
            match sys::bind(fd, SocketAddr::new(source, self.flows.next_port())) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                result => return result,
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    fn collect(&mut self, ready: &[sys::PollFd]) {
        let now = Instant::now();
        let pending = std::mem::take(&mut self.pending);
        for (mut flow, poll) in pending.into_iter().zip(ready) {
            let answer = if poll.revents == 0 { None } else { self.progress(&mut flow, poll.revents) };
            match answer {
                Some(outcome) => self.finish(flow.started, outcome),
                None if now >= flow.started + self.flows.timeout => self.finish(flow.started, Outcome::Lost),
                None => self.pending.push(flow),
            }
        }
    }

    fn progress(&mut self, flow: &mut Pending, events: i16) -> Option<Outcome> {
        if flow.is_connecting && events & libc::POLLOUT != 0 {
            flow.is_connecting = false;
            // A failed connection tells why when it is read.
            let _ = sys::send(flow.socket.as_raw_fd(), &packet::token(flow.number));
        }
        self.read(flow)
    }

    fn read(&mut self, flow: &Pending) -> Option<Outcome> {
        let mut buffer = [0; 512];
        match sys::receive(flow.socket.as_raw_fd(), &mut buffer) {
            Ok(0) => Some(Outcome::Refused("closed without an answer".to_owned())),
            Ok(length) if self.flows.kind == Kind::Ping => {
                let is_ours = packet::find_token(&buffer[..length]) == Some(flow.number);
                is_ours.then(|| {
                    self.pings.push((self.report.samples.len(), flow.number));
                    Outcome::Answered("unseen".to_owned())
                })
            }
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]);
                Some(Outcome::Answered(text.split(' ').next().unwrap_or_default().to_owned()))
            }
            // An ICMP error that arrives while a connection is being opened waits in the queue only.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let error = sys::queued_error(flow.socket.as_raw_fd())?;
                Some(Outcome::Refused(error.to_string()))
            }
            Err(error) => Some(Outcome::Refused(error.to_string())),
        }
    }

    fn finish(&mut self, started: Instant, outcome: Outcome) {
        let now = Instant::now();
        let sample = sample(self.begun, now, started, outcome);
        if let Some(listener) = &self.flows.listener {
            // Whoever stopped listening does not stop the flows.
            let _ = listener.send(sample.clone());
        }
        self.report.samples.push(sample);
    }

    fn name_pings(&mut self) {
        let Some(tap) = &self.tap else { return };
        for (index, number) in &self.pings {
            if let Some(device) = tap.fate(*number).and_then(|fate| fate.device()) {
                self.report.samples[*index].outcome = Outcome::Answered(device.to_owned());
            }
        }
    }
}
