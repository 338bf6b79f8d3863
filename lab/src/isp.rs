//! One ISP and the line to it: how it is wired up, and changes of the line as verbs
//! (`change_address`, `remove_device`, …). Its faults are in `fault`.
//! Verbs panic when they fail: a laboratory that does not do as told is a failed test.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::address;
use crate::fault::Faults;
use crate::namespace::Namespace;

/// The ISP's device towards the router, and the one towards the internet.
pub(crate) const SUBSCRIBER: &str = "subscriber";
pub(crate) const CORE: &str = "core";

#[derive(Debug)]
pub struct Isp {
    number: usize,
    device: String,
    ipv6: bool,
    router: Namespace,
    pub(crate) namespace: Namespace,
    line: Mutex<Line>,
    pub(crate) faults: Mutex<Faults>,
}

/// Both ends' addresses on the line.
#[derive(Clone, Debug)]
struct Line {
    address_v4: Ipv4Addr,
    gateway_v4: Ipv4Addr,
    address_v6: Ipv6Addr,
    gateway_v6: Ipv6Addr,
}

impl Isp {
    pub(crate) fn new(number: usize, device: String, ipv6: bool, router: &Namespace) -> io::Result<Isp> {
        let line = Line {
            address_v4: address::wan_v4(number),
            gateway_v4: address::gateway_v4(number),
            address_v6: address::wan_v6(number),
            gateway_v6: address::gateway_v6(number),
        };
        let namespace = Namespace::new(&format!("isp{number}"))?;
        Ok(Isp {
            number,
            device,
            ipv6,
            router: router.clone(),
            namespace,
            line: Mutex::new(line),
            faults: Mutex::new(Faults::default()),
        })
    }

    /// Counted from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The router's device on this line; also the label under which flows are counted.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The ISP's own namespace, for faults that no verb covers.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The router's present address on this line.
    pub fn address_v4(&self) -> Ipv4Addr {
        self.line().address_v4
    }

    pub fn address_v6(&self) -> Ipv6Addr {
        self.line().address_v6
    }

    /// The router's present next hop on this line.
    pub fn gateway_v4(&self) -> Ipv4Addr {
        self.line().gateway_v4
    }

    pub fn gateway_v6(&self) -> Ipv6Addr {
        self.line().gateway_v6
    }

    /// Packets from the router with a source that is not of this line: they left by the wrong ISP,
    /// and were dropped as a real one would (source address filtering).
    #[track_caller]
    pub fn foreign_packets(&self) -> u64 {
        let listing = self.namespace.sh("nft list counter inet isp foreign");
        let mut words = listing.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        words.next().and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// The router gets another address, and its default route anew, as after a DHCP renewal.
    /// Must lie in the line's own network: 10.(100+n).0.0/24 or 2001:db8:n::/64.
    #[track_caller]
    pub fn change_address(&self, new: impl Into<IpAddr>) {
        let old = self.line().clone();
        let new = new.into();
        let device = &self.device;
        let (old_address, length) = match new {
            IpAddr::V4(new) => {
                self.line().address_v4 = new;
                (IpAddr::V4(old.address_v4), 24)
            }
            IpAddr::V6(new) => {
                self.line().address_v6 = new;
                (IpAddr::V6(old.address_v6), 64)
            }
        };
        let nodad = if new.is_ipv6() { " nodad" } else { "" };
        self.on_router(&format!(
            "addr del {old_address}/{length} dev {device}\naddr add {new}/{length} dev {device}{nodad}\n{}",
            self.default_route(new)
        ));
    }

    /// The ISP answers at another address, and only there; the router's default route follows.
    #[track_caller]
    pub fn change_gateway(&self, new: impl Into<IpAddr>) {
        let old = self.line().clone();
        let new = new.into();
        let (old_gateway, length) = match new {
            IpAddr::V4(new) => {
                self.line().gateway_v4 = new;
                (IpAddr::V4(old.gateway_v4), 24)
            }
            IpAddr::V6(new) => {
                self.line().gateway_v6 = new;
                (IpAddr::V6(old.gateway_v6), 64)
            }
        };
        let nodad = if new.is_ipv6() { " nodad" } else { "" };
        let lines = format!(
            "addr del {old_gateway}/{length} dev {SUBSCRIBER}\naddr add {new}/{length} dev {SUBSCRIBER}{nodad}"
        );
        expect(self.namespace.batch(&lines));
        self.on_router(&self.default_route(new));
    }

    /// The router's device vanishes, with its addresses and routes.
    #[track_caller]
    pub fn remove_device(&self) {
        self.on_router(&format!("link del {}", self.device));
    }

    /// The device comes back under its name with another index, configured as before.
    #[track_caller]
    pub fn recreate_device(&self) {
        self.on_router(&self.link());
        expect(self.namespace.batch(&self.subscriber_side()));
        self.on_router(&self.router_side());
        expect(self.namespace.await_links());
    }

    /// Creates the line's two ends; run in the router.
    pub(crate) fn link(&self) -> String {
        format!("link add {} type veth peer name {SUBSCRIBER} netns {}\n", self.device, self.namespace.path())
    }

    /// Creates the ISP's way to the rest of the world; run in the internet.
    pub(crate) fn internet_link(&self) -> String {
        format!("link add isp{} type veth peer name {CORE} netns {}\n", self.number, self.namespace.path())
    }

    /// Everything inside the ISP, once both links exist.
    pub(crate) fn configure(&self) -> io::Result<()> {
        let number = self.number;
        let mut lines = self.subscriber_side();
        let _ = write!(
            lines,
            "link set {CORE} up\naddr add 100.64.{number}.1/30 dev {CORE}
             route add default via 100.64.{number}.2\n"
        );
        if self.ipv6 {
            let _ = write!(
                lines,
                "addr add 2001:db8:fe:{number}::1/64 dev {CORE} nodad
                 route add default via 2001:db8:fe:{number}::2\n"
            );
        }
        self.namespace.batch(&lines)?;
        self.namespace.nft(&self.firewall())
    }

    /// Addresses and routes of the internet's end; run there.
    pub(crate) fn internet_side(&self) -> String {
        let number = self.number;
        let via = format!("via 100.64.{number}.1");
        let mut lines = format!(
            "link set isp{number} up\naddr add 100.64.{number}.2/30 dev isp{number}
             route add {}/32 {via}\nroute add 10.{}.0.0/24 {via}\n",
            address::outside_v4(number),
            100 + number
        );
        if self.ipv6 {
            let via = format!("via 2001:db8:fe:{number}::1");
            let _ = write!(
                lines,
                "addr add 2001:db8:fe:{number}::2/64 dev isp{number} nodad
                 route add {}/128 {via}\nroute add 2001:db8:{number}::/64 {via}\n",
                address::outside_v6(number)
            );
        }
        lines
    }

    /// Addresses and default routes of the router's end; run there.
    pub(crate) fn router_side(&self) -> String {
        let line = self.line().clone();
        let device = &self.device;
        let mut lines = format!("link set {device} up\naddr add {}/24 dev {device}\n", line.address_v4);
        lines += &self.default_route(IpAddr::V4(line.gateway_v4));
        if self.ipv6 {
            let _ = writeln!(lines, "addr add {}/64 dev {device} nodad", line.address_v6);
            lines += &self.default_route(IpAddr::V6(line.gateway_v6));
        }
        lines
    }

    fn subscriber_side(&self) -> String {
        let line = self.line().clone();
        let mut lines =
            format!("link set {SUBSCRIBER} up\naddr add {}/24 dev {SUBSCRIBER}\n", line.gateway_v4);
        if self.ipv6 {
            // fe80::1 as well: real lines announce a link-local gateway.
            let _ = writeln!(lines, "addr add {}/64 dev {SUBSCRIBER} nodad", line.gateway_v6);
            let _ = writeln!(lines, "addr add fe80::1/64 dev {SUBSCRIBER} nodad");
        }
        lines
    }

    fn default_route(&self, family: IpAddr) -> String {
        let line = self.line().clone();
        let gateway = match family {
            IpAddr::V4(_) => IpAddr::V4(line.gateway_v4),
            IpAddr::V6(_) => IpAddr::V6(line.gateway_v6),
        };
        let metric = 10 * self.number;
        format!("route replace default via {gateway} dev {} metric {metric}\n", self.device)
    }

    /// Customers are seen from outside under the ISP's own address, so that a listener can tell the ISP.
    /// The tunnel's outer packets keep theirs, for its far end answers to a fixed port.
    fn firewall(&self) -> String {
        let number = self.number;
        let own_v4 = format!("10.{}.0.0/24", 100 + number);
        let own_v6 = format!("{{ 2001:db8:{number}::/64, fe80::/10 }}");
        format!(
            "table inet isp {{
                counter foreign {{ }}
                chain forward {{
                    type filter hook forward priority filter;
                    iifname {SUBSCRIBER} ip saddr != {own_v4} counter name foreign drop
                    iifname {SUBSCRIBER} ip6 saddr != {own_v6} counter name foreign drop
                }}
                chain postrouting {{
                    type nat hook postrouting priority srcnat;
                    udp dport 4789 accept
                    oifname {CORE} ip saddr {own_v4} snat ip to {}
                    oifname {CORE} ip6 saddr {own_v6} snat ip6 to {}
                }}
            }}",
            address::outside_v4(number),
            address::outside_v6(number)
        )
    }

    #[track_caller]
    fn on_router(&self, lines: &str) {
        expect(self.router.batch(lines));
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[track_caller]
pub(crate) fn expect<T>(result: io::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the laboratory failed: {error}"),
    }
}
