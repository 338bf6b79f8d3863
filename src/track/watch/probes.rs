//! The probes of one interface: which are on the wire, what their outcomes are for, and the addresses of
//! targets that are names, asked for through the interface itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::address::Family;
use crate::config::{TrackMethod, Tracking};
use crate::health::{Event, Sequence, after};
use crate::sorted::SortedMap;
use crate::system::probe::{Failure, Method, Probe, ProbeId, ProbeResult, Prober, Uplink};

use super::Watch;

/// On the wire a person's `test` and look-ups of names are told apart by the target's number.
const TEST: usize = 1 << 16;
const LOOKUP: usize = 1 << 17;
const TARGET: usize = TEST - 1;
/// Addresses of a name are asked for again after this, whatever their lifetime.
const LEAST_LIFETIME: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Probes {
    /// The one in flight for each target and purpose, by its number on the wire.
    open: SortedMap<usize, ProbeId>,
    names: SortedMap<usize, Name>,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Round(Sequence),
    Person,
}

#[derive(Debug, Default)]
struct Name {
    address: Option<IpAddr>,
    valid_until: Duration,
    /// Those who wait for the address.
    waiting: Vec<Asker>,
}

/// What an outcome was for.
pub(in crate::track) enum Finding {
    Round(Event),
    Test { target: usize, result: ProbeResult },
}

impl Probes {
    pub fn forget_open(&mut self) {
        self.open.clear();
        self.names.values_mut().for_each(|name| name.waiting.clear());
    }
}

impl Watch {
    pub fn probe(
        &mut self,
        target: usize,
        sequence: Sequence,
        prober: &mut Prober,
        now: Duration,
    ) -> Option<Event> {
        let result = match self.has_default_route {
            true => self.send(target, Asker::Round(sequence), prober, now),
            false => Err("the interface has no default route".to_owned()),
        };
        result.err().map(|reason| Event::ProbeFailed { target, sequence, reason })
    }

    /// A person asks, out of turn. How many probes are under way.
    pub fn test(&mut self, prober: &mut Prober, now: Duration) -> usize {
        let targets = self.tracking().targets.len();
        (0..targets).filter(|target| self.send(*target, Asker::Person, prober, now).is_ok()).count()
    }

    fn send(
        &mut self,
        target: usize,
        asker: Asker,
        prober: &mut Prober,
        now: Duration,
    ) -> Result<(), String> {
        let text = self.tracking().targets.get(target).cloned().ok_or("no such target")?;
        if let Ok(address) = text.parse() {
            return self.launch(target, asker, &text, address, prober, now);
        }
        let name = self.probes.names.or_default(target);
        let (known, is_current) = (name.address, now < name.valid_until);
        match known {
            Some(address) => {
                if !is_current {
                    // An old address is better than none: a name server's silence is not the target's.
                    let _ = self.look_up(target, asker, &text, prober, now);
                }
                self.launch(target, asker, &text, address, prober, now)
            }
            None => {
                // A round that waits still waits in vain: the next one has begun.
                name.waiting.retain(|waiting| *waiting == Asker::Person && asker != Asker::Person);
                name.waiting.push(asker);
                self.look_up(target, asker, &text, prober, now)
            }
        }
    }

    fn launch(
        &mut self,
        target: usize,
        asker: Asker,
        text: &str,
        address: IpAddr,
        prober: &mut Prober,
        now: Duration,
    ) -> Result<(), String> {
        if Family::of(address) != self.interface().family {
            return Err(format!("{address} is not an {} address", self.interface().family));
        }
        let method = method(self.tracking(), text, address);
        self.start(target, asker, method, prober, now)
    }

    fn look_up(
        &mut self,
        target: usize,
        asker: Asker,
        name: &str,
        prober: &mut Prober,
        now: Duration,
    ) -> Result<(), String> {
        if self.name_servers.is_empty() {
            return Err(format!("no name server to ask for {name}"));
        }
        let mut servers = Vec::new();
        for server in &self.name_servers {
            servers.push(SocketAddr::new(*server, 53));
        }
        let method = Method::Resolve { name: name.to_owned(), servers };
        self.start(LOOKUP | target, asker, method, prober, now)
    }

    /// One of each purpose at a time: the older one has had its time.
    fn start(
        &mut self,
        number: usize,
        asker: Asker,
        method: Method,
        prober: &mut Prober,
        now: Duration,
    ) -> Result<(), String> {
        let (target, sequence) = match asker {
            Asker::Round(sequence) => (number, sequence),
            Asker::Person => (TEST | number, 0),
        };
        let id = ProbeId { interface: self.interface().id, target, sequence };
        let uplink = self.uplink().ok_or("the interface is down")?;
        if let Some(older) = self.probes.open.replace(target, id) {
            prober.cancel(older);
        }
        prober.start(Probe { id, uplink, method }, now);
        Ok(())
    }

    fn uplink(&self) -> Option<Uplink> {
        let seen = self.seen.as_ref()?;
        let unspecified = match self.interface().family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Some(Uplink {
            device: seen.attachment.device.clone(),
            mark: self.mark,
            source: seen.attachment.source.unwrap_or(unspecified),
        })
    }

    pub fn outcome(
        &mut self,
        id: ProbeId,
        result: ProbeResult,
        prober: &mut Prober,
        now: Duration,
    ) -> Vec<Finding> {
        if self.probes.open.get(&id.target) == Some(&id) {
            self.probes.open.remove(&id.target);
        }
        let target = id.target & TARGET;
        if id.target & LOOKUP != 0 {
            return self.looked_up(target, result, prober, now);
        }
        let asker = if id.target & TEST != 0 { Asker::Person } else { Asker::Round(id.sequence) };
        finding(target, asker, result).into_iter().collect()
    }

    /// The probes that waited for the address go out now, or fail with the look-up.
    fn looked_up(
        &mut self,
        target: usize,
        result: ProbeResult,
        prober: &mut Prober,
        now: Duration,
    ) -> Vec<Finding> {
        let Some(name) = self.probes.names.get_mut(&target) else { return Vec::new() };
        let waiting = std::mem::take(&mut name.waiting);
        let failure = match result {
            ProbeResult::Resolved { addresses, lifetime_s } => {
                name.address = addresses.first().copied();
                name.valid_until = after(now, LEAST_LIFETIME.max(Duration::from_secs(u64::from(lifetime_s))));
                None
            }
            failure => Some(failure),
        };
        let mut findings = Vec::new();
        for asker in waiting {
            let failure = match &failure {
                Some(failure) => failure.clone(),
                None => match self.send(target, asker, prober, now) {
                    Ok(()) => continue,
                    Err(reason) => ProbeResult::Failed(Failure::NotSent(reason)),
                },
            };
            findings.extend(finding(target, asker, failure));
        }
        findings
    }
}

fn finding(target: usize, asker: Asker, result: ProbeResult) -> Option<Finding> {
    let Asker::Round(sequence) = asker else {
        return Some(Finding::Test { target, result });
    };
    match result {
        ProbeResult::Answered { round_trip } | ProbeResult::Late { round_trip } => {
            Some(Finding::Round(Event::ProbeAnswered { target, sequence, round_trip }))
        }
        ProbeResult::Failed(failure) => {
            Some(Finding::Round(Event::ProbeFailed { target, sequence, reason: failure.to_string() }))
        }
        ProbeResult::Resolved { .. } => None,
    }
}

fn method(tracking: &Tracking, text: &str, address: IpAddr) -> Method {
    let usual_port = match tracking.method {
        TrackMethod::Udp => 33434,
        TrackMethod::Https => 443,
        TrackMethod::Dns => 53,
        _ => 80,
    };
    let at = SocketAddr::new(address, tracking.port.unwrap_or(usual_port));
    match (&tracking.method, address) {
        (TrackMethod::Arp, IpAddr::V4(target)) => Method::Arp { target },
        (TrackMethod::Tcp, _) => Method::Tcp { target: at },
        (TrackMethod::Udp, _) => Method::Udp { target: at, payload: vec![0; 16] },
        (TrackMethod::Http, _) => Method::Http { target: at, host: text.to_owned(), path: "/".to_owned() },
        (TrackMethod::Https, _) => Method::Https { target: at, host: text.to_owned() },
        (TrackMethod::Dns, _) => Method::Dns { server: at, name: tracking.dns_name.clone() },
        (TrackMethod::Ping | TrackMethod::Arp, _) => Method::Echo {
            target: address,
            payload: tracking.size,
            hop_limit: u8::try_from(tracking.max_ttl).unwrap_or(u8::MAX),
        },
    }
}
