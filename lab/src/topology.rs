//! Builds the laboratory and hands out its parts.
//!
//! ```text
//! client ── lan0 router wan  ── isp1 ── internet
//!                       wanb ── isp2 ──┘
//! ```

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::address::{self, SERVICE_V4, SERVICE_V6};
use crate::host::Host;
use crate::isp::Isp;
use crate::listener::Labels;
use crate::namespace::{self, Namespace};
use crate::process::{Background, Guardian};
use crate::router::Router;
use crate::sys;
use crate::wiring;

/// What to build. One client, one LAN, two uplinks and IPv6 unless changed.
#[derive(Clone, Debug)]
pub struct Builder {
    uplinks: usize,
    devices: Vec<String>,
    pub(crate) clients: usize,
    pub(crate) client_addresses: usize,
    pub(crate) ipv6: bool,
    pub(crate) second_lan: bool,
    pub(crate) vpn: bool,
    pub(crate) tunnel: bool,
    program: Option<PathBuf>,
}

/// A running laboratory. Dropping it ends all processes inside and leaves nothing behind;
/// while a test panics it first prints the router's state.
pub struct Lab {
    // The order is that of the end: services first, the guardian after the processes it looks after.
    _services: Vec<Background>,
    router: Router,
    clients: Vec<Host>,
    guest: Option<Host>,
    office: Option<Host>,
    isps: Vec<Isp>,
    internet: Host,
    _guardian: Guardian,
}

impl Lab {
    pub fn builder() -> Builder {
        Builder {
            uplinks: 2,
            devices: Vec::new(),
            clients: 1,
            client_addresses: 1,
            ipv6: true,
            second_lan: false,
            vpn: false,
            tunnel: false,
            program: None,
        }
    }

    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The first client.
    #[track_caller]
    pub fn client(&self) -> &Host {
        &self.clients[0]
    }

    pub fn clients(&self) -> &[Host] {
        &self.clients
    }

    /// The host in the second LAN.
    #[track_caller]
    pub fn guest(&self) -> &Host {
        let Some(guest) = &self.guest else { panic!("build the laboratory with second_lan()") };
        guest
    }

    /// The host behind the VPN-like device.
    #[track_caller]
    pub fn office(&self) -> &Host {
        let Some(office) = &self.office else { panic!("build the laboratory with vpn()") };
        office
    }

    /// An ISP, counted from 1.
    #[track_caller]
    pub fn isp(&self, number: usize) -> &Isp {
        &self.isps[number - 1]
    }

    pub fn isps(&self) -> &[Isp] {
        &self.isps
    }

    /// The far side, from which inbound connections come; give those a source of 198.51.100.1–10 or
    /// 2001:db8:ee::1–10.
    pub fn internet(&self) -> &Host {
        &self.internet
    }

    /// The router's rules, routes, nftables and neighbours, for a failed test.
    pub fn diagnose(&self) -> String {
        let mut text = String::new();
        for line in [
            "ip -4 rule",
            "ip -6 rule",
            "ip -4 route show table all",
            "ip -6 route show table all",
            "ip -brief address",
            "ip neigh",
            "nft list ruleset",
        ] {
            let output = self.router.try_sh(line);
            let _ = writeln!(text, "--- {line}\n{}{}", output.stdout, output.stderr);
        }
        text
    }

    fn namespaces(&self) -> Vec<Namespace> {
        let hosts = [self.router.namespace(), self.internet.namespace()].into_iter();
        let hosts = hosts.chain(self.clients.iter().map(Host::namespace));
        let hosts = hosts.chain(self.guest.iter().chain(&self.office).map(Host::namespace));
        hosts.chain(self.isps.iter().map(|isp| &isp.namespace)).cloned().collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.diagnose());
        }
        namespace::end_processes_in(&self.namespaces());
    }
}

impl Builder {
    /// How many ISPs, each with a line to the router. One that no configuration names plays the
    /// third party's default route.
    pub fn uplinks(mut self, count: usize) -> Builder {
        self.uplinks = count;
        self
    }

    /// The router's devices on the first uplinks, instead of wan, wanb, wanc, …
    pub fn devices(mut self, names: &[&str]) -> Builder {
        self.devices = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// How many hosts in the LAN; with more than one, lan0 is a bridge.
    pub fn clients(mut self, count: usize) -> Builder {
        self.clients = count;
        self
    }

    /// How many addresses each client has: 192.168.1.10 and up, fd00:1::10 and up for the first.
    pub fn client_addresses(mut self, count: usize) -> Builder {
        self.client_addresses = count;
        self
    }

    pub fn ipv6(mut self, wanted: bool) -> Builder {
        self.ipv6 = wanted;
        self
    }

    /// A second LAN on lan1 (192.168.2.0/24, fd00:2::/64) with one host.
    pub fn second_lan(mut self) -> Builder {
        self.second_lan = true;
        self
    }

    /// A point-to-point device vpn0 (10.9.0.1, fd09::1) to a host (10.9.0.2, fd09::2) with the network
    /// 172.20.0.1/24, fd20::1/64 behind it. Routes to that network are the test's own.
    pub fn vpn(mut self) -> Builder {
        self.vpn = true;
        self
    }

    /// A VXLAN device tun0 (10.99.0.1) over the uplinks to the internet, with 10.99.0.2 and the network
    /// 172.21.0.1/24 at its far end. Which uplink carries it is up to the routes to 198.51.100.9.
    pub fn tunnel(mut self) -> Builder {
        self.tunnel = true;
        self
    }

    /// The program that `Router::mwan3` runs, instead of $MWAN3_BIN.
    pub fn mwan3(mut self, program: impl Into<PathBuf>) -> Builder {
        self.program = Some(program.into());
        self
    }

    pub fn build(self) -> io::Result<Lab> {
        self.check()?;
        sys::raise_open_file_limit();
        let router = Namespace::new("router")?;
        let internet = Namespace::new("internet")?;
        let isps = self.make_isps(&router)?;
        let mut hosts = self.make_hosts(&router)?;
        let mut everyone = vec![router.clone(), internet.clone()];
        everyone.extend(hosts.iter().map(|host| host.namespace().clone()));
        everyone.extend(isps.iter().map(|isp| isp.namespace.clone()));
        for namespace in &everyone {
            wiring::prepare(namespace)?;
        }
        self.wire(&router, &internet, &isps, &hosts)?;
        for namespace in &everyone {
            namespace.await_links()?;
        }

        let mut services = vec![wiring::start_services(&internet, wiring::labels(&isps), self.ipv6)?];
        let office = if self.vpn { hosts.pop() } else { None };
        if let Some(office) = &office {
            let labels = Labels::from([(Ipv4Addr::new(10, 9, 0, 1).into(), "vpn0".to_owned())]);
            services.push(wiring::start_services(office.namespace(), labels, self.ipv6)?);
        }
        let guest = if self.second_lan { hosts.pop() } else { None };
        let lan = (Ipv4Addr::new(192, 168, 1, 1), Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 1));
        let router = Router::new(Host::new(router.clone(), router, lan), self.program)?;
        let guardian = Guardian::start(&everyone, router.directory())?;
        let internet = Host::new(internet, router.namespace().clone(), (SERVICE_V4, SERVICE_V6));
        Ok(Lab {
            _services: services,
            router,
            clients: hosts,
            guest,
            office,
            isps,
            internet,
            _guardian: guardian,
        })
    }

    fn check(&self) -> io::Result<()> {
        let limits = [
            ("uplinks", self.uplinks, address::MAX_UPLINKS),
            ("clients", self.clients, 10),
            ("client_addresses", self.client_addresses, 20),
        ];
        for (what, wanted, most) in limits {
            if wanted > most || (wanted == 0 && what != "uplinks") {
                return Err(io::Error::other(format!("{what}: {wanted} asked, 1 to {most} possible")));
            }
        }
        match crate::missing_tools().first() {
            Some(tool) if *tool != "conntrack" => Err(io::Error::other(format!("{tool} is not installed"))),
            _ => Ok(()),
        }
    }

    fn make_isps(&self, router: &Namespace) -> io::Result<Vec<Isp>> {
        let device = |number: usize| match self.devices.get(number - 1) {
            Some(name) => name.clone(),
            None => address::default_device(number),
        };
        (1..=self.uplinks).map(|number| Isp::new(number, device(number), self.ipv6, router)).collect()
    }

    /// The clients, then the guest, then the office.
    fn make_hosts(&self, router: &Namespace) -> io::Result<Vec<Host>> {
        let mut hosts = Vec::new();
        for number in 1..=self.clients {
            let addresses = (address::client_v4(1, number, 0), address::client_v6(1, number, 0));
            hosts.push(Host::new(Namespace::new(&format!("client{number}"))?, router.clone(), addresses));
        }
        if self.second_lan {
            let addresses = (address::client_v4(2, 1, 0), address::client_v6(2, 1, 0));
            hosts.push(Host::new(Namespace::new("guest")?, router.clone(), addresses));
        }
        if self.vpn {
            let addresses = (Ipv4Addr::new(10, 9, 0, 2), Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2));
            hosts.push(Host::new(Namespace::new("office")?, router.clone(), addresses));
        }
        Ok(hosts)
    }
}
