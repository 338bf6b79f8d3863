//! Health probes on real sockets, none of which blocks or forks. `Prober` owns every socket; the owner of the
//! one poll loop asks it for the descriptors to watch, tells it which are ready and takes the outcomes out.
//! When a probe has waited long enough is the caller's decision: it cancels.

mod arp;
mod datagram;
mod echo;
mod evidence;
mod filter;
mod outcome;
pub(super) mod socket;
mod stream;
mod uplink;

use crate::sorted::SortedMap;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::time::Duration;

use crate::address::Family;
use crate::mark::InterfaceId;

use arp::ArpSocket;
use datagram::{DatagramExchange, DatagramQuestion};
use echo::{EchoRequest, EchoSocket};
use outcome::Desk;
pub use outcome::{Failure, Outcome, ProbeResult, Strays};
use stream::{Started, StreamExchange, StreamQuestion};
pub use uplink::Uplink;

/// The caller's own name for a probe; `target` is its index among the interface's targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeId {
    pub interface: InterfaceId,
    pub target: usize,
    pub sequence: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub id: ProbeId,
    pub uplink: Uplink,
    pub method: Method,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// ICMP or ICMPv6 echo with `payload` bytes after its header.
    Echo { target: IpAddr, payload: u32, hop_limit: u8 },
    /// ARP knows no sequence: any reply of the target answers all that wait for it.
    Arp { target: Ipv4Addr },
    /// A connection, or the target's refusal of one: both have crossed the uplink.
    Tcp { target: SocketAddr },
    /// Any status line answers. `host` is what the server is asked for.
    Http { target: SocketAddr, host: String, path: String },
    /// Any TLS handshake or alert record answers; no certificate is checked.
    Https { target: SocketAddr, host: String },
    /// Any well-formed answer to our query answers, whatever its response code.
    Dns { server: SocketAddr, name: String },
    /// Any datagram back answers, and the target's own "port unreachable" as well.
    Udp { target: SocketAddr, payload: Vec<u8> },
    /// The addresses of a name in the uplink's family, from the first server that has them.
    Resolve { name: String, servers: Vec<SocketAddr> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Read,
    Write,
}

pub struct Prober {
    channels: SortedMap<RawFd, Channel>,
    desk: Desk,
    identifier_base: u16,
    next_echo: u16,
}

/// What every way to start a probe needs.
struct Launch<'a> {
    id: ProbeId,
    uplink: &'a Uplink,
    now: Duration,
}

enum Channel {
    Echo(EchoSocket),
    Arp(ArpSocket),
    Stream(StreamExchange),
    Datagram(DatagramExchange),
}

impl Channel {
    fn fd(&self) -> RawFd {
        match self {
            Channel::Echo(echo) => echo.fd(),
            Channel::Arp(arp) => arp.fd(),
            Channel::Stream(stream) => stream.fd(),
            Channel::Datagram(datagram) => datagram.fd(),
        }
    }

    fn interest(&self) -> Interest {
        match self {
            Channel::Stream(stream) => stream.interest(),
            Channel::Echo(_) | Channel::Arp(_) | Channel::Datagram(_) => Interest::Read,
        }
    }

    fn interface(&self) -> InterfaceId {
        match self {
            Channel::Echo(echo) => echo.interface,
            Channel::Arp(arp) => arp.interface,
            Channel::Stream(stream) => stream.id.interface,
            Channel::Datagram(datagram) => datagram.id.interface,
        }
    }

    /// The one probe this socket is for; none where many share it.
    fn id(&self) -> Option<ProbeId> {
        match self {
            Channel::Stream(stream) => Some(stream.id),
            Channel::Datagram(datagram) => Some(datagram.id),
            Channel::Echo(_) | Channel::Arp(_) => None,
        }
    }
}

/// A flood must not keep the poll loop from its other work; what is left wakes it again.
const MOST_PER_WAKEUP: usize = 64;

impl Prober {
    pub fn new() -> io::Result<Prober> {
        Ok(Prober {
            channels: SortedMap::new(),
            desk: Desk::new(),
            identifier_base: u16::from_be_bytes(socket::random()?),
            next_echo: 0,
        })
    }

    /// Sends the probe. A failure to do so is an outcome like any other.
    /// `now` is the time since any fixed moment, by a clock that never steps.
    pub fn start(&mut self, probe: Probe, now: Duration) {
        let id = probe.id;
        if let Err(reason) = self.launch(probe, now) {
            self.desk.report(id, ProbeResult::Failed(Failure::NotSent(reason)));
        }
    }

    /// Gives the probe up and closes the sockets that were its own. Only an echo reply is still noticed
    /// afterwards, and told as `Late`.
    pub fn cancel(&mut self, id: ProbeId) {
        self.channels.retain(|_, channel| {
            match channel {
                Channel::Echo(echo) => echo.cancel_if(&|probe, _| probe == id),
                Channel::Arp(arp) => arp.cancel_if(&|probe, _| probe == id),
                Channel::Stream(_) | Channel::Datagram(_) => return channel.id() != Some(id),
            }
            true
        });
    }

    /// Gives up all probes of an interface that were started before that moment.
    pub fn cancel_older(&mut self, interface: InterfaceId, started_before: Duration) {
        let is_old = |at: Duration| at < started_before;
        self.channels.retain(|_, channel| {
            if channel.interface() != interface {
                return true;
            }
            match channel {
                Channel::Echo(echo) => echo.cancel_if(&|_, at| is_old(at)),
                Channel::Arp(arp) => arp.cancel_if(&|_, at| is_old(at)),
                Channel::Stream(stream) => return !is_old(stream.started_at),
                Channel::Datagram(datagram) => return !is_old(datagram.sent_at),
            }
            true
        });
    }

    /// Closes all sockets of an interface; nothing is told about its probes any more.
    pub fn close_interface(&mut self, interface: InterfaceId) {
        self.channels.retain(|_, channel| channel.interface() != interface);
        let outcomes = &mut self.desk.outcomes;
        while let Some(gone) = outcomes.iter().position(|outcome| outcome.id.interface == interface) {
            outcomes.remove(gone);
        }
    }

    /// What to poll for now; asked anew before each poll, as every call here may change it.
    pub fn interests(&self) -> impl Iterator<Item = (RawFd, Interest)> + '_ {
        self.channels.iter().map(|(fd, channel)| (*fd, channel.interest()))
    }

    /// To be called for each descriptor with any event at all (errors and hang-ups included). A descriptor
    /// that is not ready or not ours does no harm.
    pub fn handle_ready(&mut self, fd: RawFd, now: Duration) {
        let Some(channel) = self.channels.get_mut(&fd) else { return };
        let result = match channel {
            Channel::Echo(echo) => {
                echo.receive(&mut self.desk, now);
                return;
            }
            Channel::Arp(arp) => {
                if arp.receive(&mut self.desk, now).is_err() {
                    self.channels.remove(&fd);
                }
                return;
            }
            Channel::Stream(stream) => stream.advance(now),
            Channel::Datagram(datagram) => datagram.receive(&mut self.desk, now),
        };
        if let Some(result) = result {
            self.conclude(fd, result);
        }
    }

    pub fn next_outcome(&mut self) -> Option<Outcome> {
        let outcomes = &mut self.desk.outcomes;
        if outcomes.is_empty() { None } else { Some(outcomes.remove(0)) }
    }

    pub fn strays(&self) -> Strays {
        self.desk.strays
    }

    /// The error: why nothing left this host, in words.
    fn launch(&mut self, probe: Probe, now: Duration) -> Result<(), String> {
        let Probe { id, uplink, method } = probe;
        let launch = Launch { id, uplink: &uplink, now };
        match method {
            Method::Echo { target, payload, hop_limit } => {
                let number = self.next_echo;
                self.next_echo = number.wrapping_add(1);
                let request = EchoRequest { number, target, payload, hop_limit };
                self.echo_socket(id.interface, &uplink)?.send(&launch, &request)
            }
            Method::Arp { target } => self.arp_socket(id.interface, &uplink)?.send(id, target, now),
            Method::Tcp { target } => self.connect(&launch, target, StreamQuestion::Connection),
            Method::Http { target, host, path } => {
                self.connect(&launch, target, StreamQuestion::http(&host, &path)?)
            }
            Method::Https { target, host } => self.connect(&launch, target, StreamQuestion::https(&host)?),
            Method::Dns { server, name } => {
                self.ask(&launch, server, DatagramQuestion::dns(&name, uplink.family())?)
            }
            Method::Udp { target, payload } => {
                self.ask(&launch, target, DatagramQuestion::Anything { payload })
            }
            Method::Resolve { name, servers } => self.resolve(&launch, &name, &servers),
        }
    }

    /// Made at an interface's first echo and kept: its filters wake us for that interface's replies only.
    fn echo_socket(&mut self, interface: InterfaceId, uplink: &Uplink) -> Result<&mut EchoSocket, String> {
        let family = uplink.family();
        let known = self.channels.iter().find_map(|(fd, channel)| match channel {
            Channel::Echo(echo) if echo.interface == interface && echo.family == family => Some(*fd),
            _ => None,
        });
        let fd = match known {
            Some(fd) => fd,
            None => {
                let echo = EchoSocket::open(interface, uplink, self.identifier_base ^ interface)?;
                self.insert(Channel::Echo(echo))
            }
        };
        match self.channels.get_mut(&fd) {
            Some(Channel::Echo(echo)) => Ok(echo),
            _ => Err("the echo socket was closed".to_owned()),
        }
    }

    /// Kept while device and source stay the same; closing one makes the kernel wait for all its CPUs.
    fn arp_socket(&mut self, interface: InterfaceId, uplink: &Uplink) -> Result<&mut ArpSocket, String> {
        let binding = arp::Binding::observe(uplink)?;
        self.channels.retain(|_, channel| match channel {
            Channel::Arp(arp) => arp.interface != interface || arp.binding == binding,
            _ => true,
        });
        let known = self.channels.iter().find_map(|(fd, channel)| match channel {
            Channel::Arp(arp) if arp.interface == interface => Some(*fd),
            _ => None,
        });
        let fd = match known {
            Some(fd) => fd,
            None => {
                let arp = ArpSocket::open(interface, binding)?;
                self.insert(Channel::Arp(arp))
            }
        };
        match self.channels.get_mut(&fd) {
            Some(Channel::Arp(arp)) => Ok(arp),
            _ => Err("the ARP socket was closed".to_owned()),
        }
    }

    fn connect(
        &mut self,
        launch: &Launch<'_>,
        target: SocketAddr,
        question: StreamQuestion,
    ) -> Result<(), String> {
        match StreamExchange::start(launch, target, question)? {
            Started::Waiting(exchange) => {
                self.insert(Channel::Stream(exchange));
            }
            Started::Done(result) => self.desk.report(launch.id, result),
        }
        Ok(())
    }

    fn ask(
        &mut self,
        launch: &Launch<'_>,
        server: SocketAddr,
        question: DatagramQuestion,
    ) -> Result<(), String> {
        let exchange = DatagramExchange::start(launch, server, question)?;
        self.insert(Channel::Datagram(exchange));
        Ok(())
    }

    /// Asks all servers of the uplink's family at once; one that can be asked is enough.
    fn resolve(&mut self, launch: &Launch<'_>, name: &str, servers: &[SocketAddr]) -> Result<(), String> {
        let family = launch.uplink.family();
        let mut result = Err(format!("cannot look up {name}: no {family} name server"));
        for server in servers.iter().filter(|server| Family::of(server.ip()) == family) {
            let asked = DatagramQuestion::addresses(name, family)
                .and_then(|question| self.ask(launch, *server, question));
            result = result.or(asked);
        }
        result
    }

    fn insert(&mut self, channel: Channel) -> RawFd {
        let fd = channel.fd();
        self.channels.insert(fd, channel);
        fd
    }

    /// A success ends the probe; a failure only once no other socket of the same probe waits.
    fn conclude(&mut self, fd: RawFd, result: ProbeResult) {
        let Some(id) = self.channels.remove(&fd).and_then(|channel| channel.id()) else { return };
        let others_wait = self.channels.values().any(|channel| channel.id() == Some(id));
        if matches!(result, ProbeResult::Failed(_)) && others_wait {
            return;
        }
        self.channels.retain(|_, channel| channel.id() != Some(id));
        self.desk.report(id, result);
    }
}
