//! The addresses of a name: as /etc/hosts has it, else as the name servers of /etc/resolv.conf know it. The C library's
//! resolver does the same in ten times the bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use super::clock::since_boot;
use super::files::name_servers;
use super::paths::read_file;
use super::probe::socket::random;
use crate::address::Family;
use crate::probe_packet::dns;

const HOSTS: &str = "/etc/hosts";
const SETTINGS: &str = "/etc/resolv.conf";
const DNS_PORT: u16 = 53;
/// As many as the C library asks.
const MOST_SERVERS: usize = 3;
/// Packets get lost.
const ROUNDS: u32 = 2;
const PATIENCE: Duration = Duration::from_millis(2500);
/// Longer ones are not sent to who did not ask for them.
const LONGEST_ANSWER: usize = 512;

/// What this host knows, and whom it asks.
#[derive(Clone, Debug)]
pub struct Resolver {
    pub hosts: String,
    pub servers: Vec<SocketAddr>,
    /// Names without a dot are looked for in these domains.
    pub search: Vec<String>,
}

/// `name:port` or `address:port`.
pub fn socket_addresses(server: &str) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = server.parse() {
        return Ok(vec![address]);
    }
    let (host, port) = server.rsplit_once(':').ok_or("invalid socket address")?;
    let port: u16 = port.parse().map_err(|_| "invalid port value")?;
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => Resolver::of_this_host().addresses(host)?,
    };
    Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
}

impl Resolver {
    pub fn of_this_host() -> Resolver {
        let settings = readable_text(SETTINGS);
        let mut servers: Vec<SocketAddr> =
            name_servers(&settings).map(|server| SocketAddr::new(server, DNS_PORT)).collect();
        servers.truncate(MOST_SERVERS);
        if servers.is_empty() {
            servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT));
        }
        Resolver { hosts: readable_text(HOSTS), servers, search: search_domains(&settings) }
    }

    /// Those of IPv6 first: without a route to them that is known at once.
    pub fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let mut addresses = in_hosts(&self.hosts, host);
        for name in self.full_names(host) {
            if !addresses.is_empty() {
                break;
            }
            addresses = self.ask(&name).ok_or("no name server answers")?;
        }
        if addresses.is_empty() {
            return Err("no such name".to_owned());
        }
        let mut ordered = Vec::new();
        for is_ipv4 in [false, true] {
            ordered.extend(addresses.iter().filter(|address| address.is_ipv4() == is_ipv4));
        }
        Ok(ordered)
    }

    fn full_names(&self, host: &str) -> Vec<String> {
        let mut names = Vec::new();
        if !host.contains('.') {
            for domain in &self.search {
                names.push(format!("{host}.{domain}"));
            }
        }
        names.push(host.to_owned());
        names
    }

    /// Nothing where there is no such name; `None` where nobody could tell.
    fn ask(&self, name: &str) -> Option<Vec<IpAddr>> {
        for _ in 0..ROUNDS {
            for server in &self.servers {
                let answer = ask_server(*server, name);
                if answer.is_some() {
                    return answer;
                }
            }
        }
        None
    }
}

/// For both families at once.
fn ask_server(server: SocketAddr, name: &str) -> Option<Vec<IpAddr>> {
    let unspecified =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(unspecified, 0)).ok()?;
    socket.connect(server).ok()?;
    let mut unanswered = Vec::new();
    for family in Family::BOTH {
        // What DNS cannot carry nobody is called.
        let Some(query) = dns::query(u16::from_ne_bytes(random().ok()?), name, family) else {
            return Some(Vec::new());
        };
        socket.send(&query).ok()?;
        unanswered.push(query);
    }
    let until = since_boot().saturating_add(PATIENCE);
    let (mut addresses, mut is_in_doubt) = (Vec::new(), false);
    while !unanswered.is_empty() {
        let left = until.saturating_sub(since_boot());
        let mut message = [0; LONGEST_ANSWER];
        // No time at all would mean for ever, which is an error, too.
        let received = socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut message));
        let Ok(length) = received else {
            is_in_doubt = true;
            break;
        };
        let message = message.get(..length).unwrap_or_default();
        for place in 0..unanswered.len() {
            let Some(answer) = unanswered.get(place).and_then(|query| dns::parse_answer(query, message))
            else {
                continue;
            };
            is_in_doubt |= !answer.code.is_success() && !answer.code.is_name_error();
            addresses.extend(answer.addresses);
            unanswered.swap_remove(place);
            break;
        }
    }
    // One family may be enough.
    if is_in_doubt && addresses.is_empty() { None } else { Some(addresses) }
}

fn in_hosts(text: &str, host: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let address = words.next().and_then(|word| word.parse().ok());
        if let Some(address) = address
            && words.any(|name| name.eq_ignore_ascii_case(host))
        {
            found.push(address);
        }
    }
    found
}

/// The last such line counts.
fn search_domains(text: &str) -> Vec<String> {
    let mut domains = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if matches!(words.next(), Some("search" | "domain")) {
            domains = words.map(str::to_owned).collect();
        }
    }
    domains
}

/// Whatever is in it: one wrong byte in a comment hides no server.
fn readable_text(path: &str) -> String {
    let bytes = read_file(Path::new(path)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
