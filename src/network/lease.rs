//! What a DHCP client or a PPP daemon was told about a line: table main often does not show it, for it holds
//! one default route only. The form is that of systemd-networkd's lease files.

use std::net::IpAddr;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    pub gateways: Vec<IpAddr>,
    pub name_servers: Vec<IpAddr>,
}

impl Lease {
    /// Lines such as `ROUTER=192.0.2.1`. What is no address costs itself.
    pub fn parse(text: &str) -> Lease {
        let mut lease = Lease::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "ROUTER" => add_addresses(&mut lease.gateways, value),
                "DNS" => add_addresses(&mut lease.name_servers, value),
                _ => {}
            }
        }
        lease
    }

    /// The first source that says something about gateways decides, and so for name servers.
    pub fn or(self, other: Lease) -> Lease {
        let first = |one: Vec<IpAddr>, other| if one.is_empty() { other } else { one };
        Lease {
            gateways: first(self.gateways, other.gateways),
            name_servers: first(self.name_servers, other.name_servers),
        }
    }
}

/// As hooks and lease files list them: between spaces or commas, some with a device behind a percent sign.
pub fn add_addresses(addresses: &mut Vec<IpAddr>, text: &str) {
    for word in text.split([' ', ',', '\t']) {
        let word = word.split('%').next().unwrap_or(word);
        match word.parse::<IpAddr>() {
            Ok(address) if !address.is_unspecified() && !addresses.contains(&address) => {
                addresses.push(address);
            }
            _ => {}
        }
    }
}

/// What `Lease::parse` reads.
pub fn lease_text(lease: &Lease) -> String {
    let list = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    format!("ROUTER={}\nDNS={}\n", list(&lease.gateways), list(&lease.name_servers))
}
