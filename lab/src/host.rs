//! A machine of the laboratory from which flows and packets can be sent and on which services listen.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;
use std::time::Duration;

use crate::flow::{FlowReport, Flows, Kind};
use crate::isp::expect;
use crate::listener::{self, Labels, Service};
use crate::namespace::Namespace;
use crate::packet::Packet;
use crate::process::Background;
use crate::tap::{self, Fate};

/// Dereferences to its `Namespace`, so `client.sh("ip route")` works.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: Namespace,
    router: Namespace,
    address_v4: IpAddr,
    address_v6: IpAddr,
    ports: Arc<AtomicU16>,
}

impl Host {
    pub(crate) fn new(
        namespace: Namespace,
        router: Namespace,
        addresses: (impl Into<IpAddr>, impl Into<IpAddr>),
    ) -> Host {
        let (address_v4, address_v6) = (addresses.0.into(), addresses.1.into());
        Host { namespace, router, address_v4, address_v6, ports: Arc::default() }
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The host's first address.
    pub fn address_v4(&self) -> IpAddr {
        self.address_v4
    }

    pub fn address_v6(&self) -> IpAddr {
        self.address_v6
    }

    /// Connections to any port but 1, answered with a line by the echo service, or by the DNS, HTTP and
    /// TLS services for the sake of the flow's token.
    #[track_caller]
    pub fn tcp(&self, destination: &str, port: u16) -> Flows {
        self.flows(Kind::Tcp, destination, port)
    }

    /// Datagrams to an echo service.
    #[track_caller]
    pub fn udp(&self, destination: &str, port: u16) -> Flows {
        self.flows(Kind::Udp, destination, port)
    }

    /// Echo requests, each with an identifier of its own.
    #[track_caller]
    pub fn ping(&self, destination: &str) -> Flows {
        self.flows(Kind::Ping, destination, 0)
    }

    #[track_caller]
    pub fn tcp_flows(&self, destination: &str, port: u16, count: usize) -> FlowReport {
        self.tcp(destination, port).count(count).run()
    }

    #[track_caller]
    pub fn udp_flows(&self, destination: &str, port: u16, count: usize) -> FlowReport {
        self.udp(destination, port).count(count).run()
    }

    #[track_caller]
    pub fn ping_flows(&self, destination: &str, count: usize) -> FlowReport {
        self.ping(destination).count(count).run()
    }

    /// Sends the packets as they are, also with a foreign source, and tells by which device of the
    /// router each left. Whether they are answered plays no part.
    #[track_caller]
    pub fn dispatch(&self, packets: &[Packet]) -> Vec<Fate> {
        expect(tap::dispatch(&self.namespace, &self.router, packets))
    }

    /// Runs a service here until the result is dropped, on a specific address such as
    /// "192.168.1.10:8080" or on all, "[::]:8080". An echo calls its peers by their addresses.
    pub fn listen(&self, address: &str, service: Service) -> io::Result<Background> {
        let address: SocketAddr =
            address.parse().map_err(|_| io::Error::other(format!("{address} is no address:port")))?;
        listener::listen(&self.namespace, vec![(address, service)], Labels::new())
    }

    #[track_caller]
    fn flows(&self, kind: Kind, destination: &str, port: u16) -> Flows {
        let Ok(destination) = destination.parse() else { panic!("{destination} is no IP address") };
        Flows {
            namespace: self.namespace.clone(),
            router: self.router.clone(),
            ports: Arc::clone(&self.ports),
            kind,
            destination,
            port,
            count: 1,
            per_second: None,
            timeout: Duration::from_secs(1),
            source: None,
            device: None,
            mark: None,
            listener: None,
        }
    }
}

impl Deref for Host {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}
