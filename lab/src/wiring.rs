//! The devices, addresses, routes and rules of the laboratory, as lines for `ip -batch` and `nft`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::address::{self, SERVICE_V4, SERVICE_V6};
use crate::host::Host;
use crate::isp::Isp;
use crate::listener::{self, Labels, Service};
use crate::namespace::Namespace;
use crate::process::Background;
use crate::topology::Builder;

/// Address and service of each listener behind the redirection of `ruleset_for_services`.
const PORTS: [(u16, Service); 4] =
    [(7, Service::Echo), (53, Service::Dns), (80, Service::Http), (443, Service::Tls)];

/// The far end learns a new uplink at once, but VXLAN would go on using the route it has cached towards
/// the former one; it does not cache for marked packets.
const TUNNEL_END_RULES: &str = "table inet tunnel {
    chain postrouting { type filter hook postrouting priority filter; oifname far0 meta mark set 1; }
}";

impl Builder {
    pub(crate) fn wire(
        &self,
        router: &Namespace,
        internet: &Namespace,
        isps: &[Isp],
        hosts: &[Host],
    ) -> io::Result<()> {
        let mut router_lines = String::new();
        let mut internet_lines = String::new();
        for isp in isps {
            router_lines += &isp.link();
            internet_lines += &isp.internet_link();
        }
        internet.batch(&internet_lines)?;
        router_lines += &self.lan_links(hosts);
        router.batch(&router_lines)?;

        let mut router_lines = self.router_lan_side();
        let mut internet_lines = self.internet_addresses();
        for isp in isps {
            isp.configure()?;
            router_lines += &isp.router_side();
            internet_lines += &isp.internet_side();
        }
        internet.batch(&internet_lines)?;
        router.batch(&router_lines)?;
        router.nft(&firewall(isps))?;
        if self.tunnel {
            internet.nft(TUNNEL_END_RULES)?;
        }
        for (index, host) in hosts.iter().enumerate() {
            host.batch(&self.host_side(index))?;
        }
        Ok(())
    }

    /// The router's devices towards its hosts; each host's own is eth0.
    fn lan_links(&self, hosts: &[Host]) -> String {
        let mut lines = String::new();
        if self.clients > 1 {
            lines += "link add lan0 type bridge\n";
        }
        for (index, host) in hosts.iter().enumerate() {
            let device = self.device_towards(index);
            let _ = writeln!(lines, "link add {device} type veth peer name eth0 netns {}", host.path());
            if self.clients > 1 && index < self.clients {
                let _ = writeln!(lines, "link set {device} master lan0 up");
            }
        }
        lines
    }

    fn device_towards(&self, index: usize) -> String {
        match index {
            _ if index >= self.clients && self.second_lan && index == self.clients => "lan1".to_owned(),
            _ if index >= self.clients => "vpn0".to_owned(),
            _ if self.clients > 1 => format!("port{}", index + 1),
            _ => "lan0".to_owned(),
        }
    }

    fn router_lan_side(&self) -> String {
        let mut lines = String::from("link set lan0 up\naddr add 192.168.1.1/24 dev lan0\n");
        let mut addresses_v6 = vec![("fd00:1::1/64", "lan0")];
        if self.second_lan {
            lines += "link set lan1 up\naddr add 192.168.2.1/24 dev lan1\n";
            addresses_v6.push(("fd00:2::1/64", "lan1"));
        }
        if self.vpn {
            lines += "link set vpn0 up\naddr add 10.9.0.1/24 dev vpn0\n";
            addresses_v6.push(("fd09::1/64", "vpn0"));
        }
        if self.tunnel {
            lines += "link add tun0 type vxlan id 7 dstport 4789 remote 198.51.100.9
                      link set tun0 up\naddr add 10.99.0.1/24 dev tun0\n";
        }
        if self.ipv6 {
            for (address, device) in addresses_v6 {
                let _ = writeln!(lines, "addr add {address} dev {device} nodad");
            }
        }
        lines
    }

    fn internet_addresses(&self) -> String {
        let mut lines = String::new();
        for address in address::internet().filter(|address| self.ipv6 || address.is_ipv4()) {
            lines += &own_address("add", address);
        }
        if self.tunnel {
            // No remote: it learns the router's address, hence the uplink, from what arrives.
            lines += "link add far0 type vxlan id 7 dstport 4789 local 198.51.100.9
                      link set far0 up\naddr add 10.99.0.2/24 dev far0
                      addr add 172.21.0.1/24 dev lo\nroute add 192.168.0.0/16 via 10.99.0.1\n";
        }
        lines
    }

    fn host_side(&self, index: usize) -> String {
        let mut lines = String::from("link set eth0 up\n");
        let is_office = self.device_towards(index) == "vpn0";
        let (lan, number) = if index < self.clients { (1, index + 1) } else { (2, 1) };
        if is_office {
            lines += "addr add 10.9.0.2/24 dev eth0\nroute add default via 10.9.0.1
                      addr add 172.20.0.1/24 dev lo\n";
        } else {
            for one in 0..self.client_addresses {
                let _ = writeln!(lines, "addr add {}/24 dev eth0", address::client_v4(lan, number, one));
            }
            let _ = writeln!(lines, "route add default via 192.168.{lan}.1");
        }
        if self.ipv6 && is_office {
            lines += "addr add fd09::2/64 dev eth0 nodad\nroute add default via fd09::1
                      addr add fd20::1/64 dev lo nodad\n";
        } else if self.ipv6 {
            // In reverse, for the kernel prefers the address added last as a source.
            for one in (0..self.client_addresses).rev() {
                let address = address::client_v6(lan, number, one);
                let _ = writeln!(lines, "addr add {address}/64 dev eth0 nodad");
            }
            let _ = writeln!(lines, "route add default via fd00:{lan}::1");
        }
        lines
    }
}

/// Everybody forwards, accepts what comes by another way, and needs no second to trust an address.
pub(crate) fn prepare(namespace: &Namespace) -> io::Result<()> {
    namespace.set(&[
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        ("net/ipv4/conf/all/send_redirects", "0"),
        ("net/ipv4/conf/default/send_redirects", "0"),
        // For echo requests without a raw socket; group 0 exists in every user namespace.
        ("net/ipv4/ping_group_range", "0 0"),
        // Each flow's refusal counts.
        ("net/ipv4/icmp_ratelimit", "0"),
        ("net/ipv6/icmp/ratelimit", "0"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv6/conf/default/forwarding", "1"),
        ("net/ipv6/conf/all/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/default/dad_transmits", "0"),
        // Addresses outlive a lost carrier, as those of IPv4 do.
        ("net/ipv6/conf/all/keep_addr_on_down", "1"),
        ("net/ipv6/conf/default/keep_addr_on_down", "1"),
    ])
}

/// What OpenWrt's firewall does: everything that leaves by an uplink takes the uplink's address.
fn firewall(isps: &[Isp]) -> String {
    let devices: Vec<&str> = isps.iter().map(Isp::device).collect();
    let masquerade = match devices[..] {
        [] => String::new(),
        _ => format!("oifname {{ {} }} masquerade", devices.join(", ")),
    };
    format!(
        "table inet fw4 {{
            chain dstnat {{ type nat hook prerouting priority dstnat; }}
            chain srcnat {{ type nat hook postrouting priority srcnat; {masquerade}; }}
        }}"
    )
}

/// Every port of every address has an answer: an echo but for a few well-known ones.
pub(crate) fn start_services(namespace: &Namespace, labels: Labels, ipv6: bool) -> io::Result<Background> {
    let mut services = Vec::new();
    let mut ruleset = String::from("table inet services {\nchain prerouting {\n");
    ruleset += "type nat hook prerouting priority dstnat\n";
    let _ = writeln!(ruleset, "th dport {{ {}, 4789 }} accept", address::CLOSED_PORT);
    let mut families = vec![("ip", IpAddr::V4(SERVICE_V4))];
    if ipv6 {
        families.push(("ip6", IpAddr::V6(SERVICE_V6)));
    }
    let mut own = String::new();
    for (family, address) in families {
        let to_echo = SocketAddr::new(address, 7);
        own += &own_address("replace", address);
        let nfproto = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        let _ = write!(
            ruleset,
            "meta nfproto {nfproto} tcp dport {{ 53, 80, 443 }} dnat {family} to {address}
             meta nfproto {nfproto} udp dport 53 dnat {family} to {address}
             meta nfproto {nfproto} meta l4proto {{ tcp, udp }} dnat {family} to {to_echo}\n"
        );
        services.extend(PORTS.map(|(port, service)| (SocketAddr::new(address, port), service)));
    }
    namespace.batch(&own)?;
    namespace.nft(&(ruleset + "}\n}"))?;
    listener::listen(namespace, services, labels)
}

/// How the internet calls those who come by each ISP.
pub(crate) fn labels(isps: &[Isp]) -> Labels {
    let mut labels = BTreeMap::new();
    for isp in isps {
        let number = isp.number();
        let addresses: [IpAddr; 4] = [
            address::outside_v4(number).into(),
            address::outside_v6(number).into(),
            address::wan_v4(number).into(),
            address::wan_v6(number).into(),
        ];
        labels.extend(addresses.map(|address| (address, isp.device().to_owned())));
    }
    labels
}

/// Without "nodad" an IPv6 address cannot be used at once, not even one of the loopback device.
fn own_address(action: &str, address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("addr {action} {address}/32 dev lo\n"),
        IpAddr::V6(address) => format!("addr {action} {address}/128 dev lo nodad\n"),
    }
}
