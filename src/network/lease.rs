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
        for line in text.lines() {
            match line.split_once('=') {
                Some(("ROUTER", value)) => add_addresses(&mut lease.gateways, value),
                Some(("DNS", value)) => add_addresses(&mut lease.name_servers, value),
                _ => {}
            }
        }
        lease
    }

    /// The first source that says something about gateways decides, and so for name servers.
    pub fn or(self, other: Lease) -> Lease {
        let mut lease = self;
        if lease.gateways.is_empty() {
            lease.gateways = other.gateways;
        }
        if lease.name_servers.is_empty() {
            lease.name_servers = other.name_servers;
        }
        lease
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
    let mut text = String::new();
    for (key, addresses) in [("ROUTER", &lease.gateways), ("DNS", &lease.name_servers)] {
        let mut words = Vec::new();
        for address in addresses {
            words.push(address.to_string());
        }
        text.push_str(&format!("{key}={}\n", words.join(" ")));
    }
    text
}
