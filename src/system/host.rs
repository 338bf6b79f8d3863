//! The router as it is now: the kernel's links, routes and rules, and the host's logical interfaces, from
//! netifd where it runs, else from the devices themselves.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::address::Prefix;
use crate::config::{Config, settings_to_read};
use crate::network::plain::{Named, logical_interfaces};
use crate::network::{IpRule, LogicalInterface, Network, OUR_PROTOCOL, Route};
use crate::nft;
use crate::plan::TABLE;
use crate::report::Traffic;
use crate::sorted::SortedMap;
use crate::system::logger as log;
use crate::uci;

use super::clock::since_boot;
use super::failure::{Context, Result};
use super::files::{Directories, uptime_s};
use super::netlink::NetlinkError;
use super::paths::{exists, text_of};
use super::ubus::{Bus, UbusError};
use super::{leases, netifd, nftables, route, sysctl};

/// The firewall's table, whose sets rules may name.
pub const FIREWALL_TABLE: &str = "fw4";

/// There on OpenWrt only.
const NETIFD_PROGRAM: &str = "/sbin/netifd";

/// What there is, and what of it is ours.
#[derive(Clone, Debug, Default)]
pub struct Host {
    pub network: Network,
    /// All ip rules; ours carry our protocol number.
    pub rules: Vec<IpRule>,
    /// Routes that carry our protocol number.
    pub routes: Vec<Route>,
    /// The interfaces are as netifd told them earlier: it does not answer just now.
    pub is_remembered: bool,
}

pub fn observe(directories: &Directories, config: &Config) -> Result<Host> {
    let mut host = observe_kernel()?;
    (host.network.interfaces, host.is_remembered) = interfaces(directories, config, &host)?;
    host.network.fw4_sets = fw4_sets(config).context("cannot read the firewall's sets from the kernel")?;
    Ok(host)
}

/// Besides: what only `mwan3 check` looks at.
pub fn observe_settings(config: &Config, network: &mut Network) {
    network.settings = sysctl::read(settings_to_read(config, network));
    // Without privileges nobody knows.
    network.translates_sources = nftables::is_anybody_translating(TABLE).ok().flatten();
}

/// Without the logical interfaces: enough to take away what is ours, whatever else is out of order.
pub fn observe_kernel() -> Result<Host> {
    let kernel = route::observe().context("cannot read routes and rules from the kernel")?;
    let mut host = Host { rules: kernel.rules, ..Host::default() };
    host.network.devices = kernel.devices;
    host.network.has_ipv6 = kernel.has_ipv6;
    for route in kernel.routes {
        let is_ours = route.protocol == OUR_PROTOCOL;
        let list = if is_ours { &mut host.routes } else { &mut host.network.routes };
        list.push(route);
    }
    Ok(host)
}

/// Our nftables table. Needs privileges, unlike the rest.
pub fn observe_ruleset() -> Result<nft::Observed, NetlinkError> {
    nftables::observe(TABLE)
}

/// What each device has carried.
pub fn traffic() -> Vec<Traffic> {
    let text = text_of(Path::new("/proc/net/dev"));
    let mut traffic = Vec::new();
    for line in text.lines() {
        let Some((device, numbers)) = line.split_once(':') else { continue };
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        if let (Some(received), Some(sent)) = (numbers.first(), numbers.get(8)) {
            let (received, sent) = (received.parse().unwrap_or(0), sent.parse().unwrap_or(0));
            traffic.push(Traffic { device: device.trim().to_owned(), received, sent });
        }
    }
    traffic
}

/// Only what rules name is read: the firewall may hold sets of a hundred thousand addresses.
fn fw4_sets(config: &Config) -> Result<SortedMap<String, Vec<Prefix>>, NetlinkError> {
    let mut names: Vec<&str> = Vec::new();
    for rule in &config.rules {
        names.extend(rule.ipset.as_ref().map(|set| &*set.name));
    }
    match nftables::address_sets(FIREWALL_TABLE, &names) {
        // `mwan3 plan` works without privileges, and on a kernel without nftables nothing can be mirrored.
        Err(error) if error.errno == libc::EPERM || error.is_unsupported() => Ok(SortedMap::new()),
        found => found,
    }
}

/// Where netifd should have answered there is no guessing: the devices it knows are often other ones than
/// /etc/config/network names (pppoe-wan), and every uplink would seem to have gone. Before it has started
/// there is nothing to lose.
fn interfaces(
    directories: &Directories,
    config: &Config,
    host: &Host,
) -> Result<(SortedMap<String, LogicalInterface>, bool)> {
    let mut interfaces = logical_interfaces(&named_devices(directories, config), &host.network);
    let may_be_away = host.routes.is_empty() || !exists(Path::new(NETIFD_PROGRAM));
    let (known, is_remembered) = match ask_netifd() {
        Ok(answer) => answer,
        Err(error) if error.is_nobody_there() && may_be_away => {
            complete(directories, &host.network, &mut interfaces);
            return Ok((interfaces, false));
        }
        Err(error) => return Err(error).context("cannot learn the state of the interfaces"),
    };
    // What netifd knows it knows best; a section with a device of its own may be none of netifd's.
    interfaces.retain(|name, _| config.interface(name).is_some_and(|one| one.device.is_some()));
    complete(directories, &host.network, &mut interfaces);
    interfaces.extend(known);
    Ok((interfaces, is_remembered))
}

/// What netifd last said to this process, and until when it is not asked again because it kept us waiting. A bus
/// that hangs must not keep the tracker from leaving a dead uplink: for that the kernel's word is enough.
static NETIFD: Mutex<Option<(SortedMap<String, LogicalInterface>, Duration)>> = Mutex::new(None);
const SILENCE: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_millis(500);

/// With whether this is what it said last, for want of an answer.
fn ask_netifd() -> Result<(SortedMap<String, LogicalInterface>, bool), UbusError> {
    let mut last = NETIFD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, _)) = last.as_ref().filter(|(_, silent_until)| since_boot() < *silent_until) {
        return Ok((known.clone(), true));
    }
    let asked_at = since_boot();
    match (Bus::connect().and_then(|mut bus| netifd::interfaces(&mut bus)), last.as_mut()) {
        (Ok(known), _) => {
            *last = Some((known.clone(), Duration::ZERO));
            Ok((known, false))
        }
        (Err(error), Some((known, silent_until))) => {
            log::warn!("{error}: going by what netifd said last");
            // A refusal costs nothing: netifd may only be restarting.
            if since_boot() > asked_at + LONG {
                *silent_until = since_boot() + SILENCE;
            }
            Ok((known.clone(), true))
        }
        (Err(error), None) => Err(error),
    }
}

/// What the kernel does not tell of interfaces without netifd.
fn complete(
    directories: &Directories,
    network: &Network,
    interfaces: &mut SortedMap<String, LogicalInterface>,
) {
    for (name, found) in interfaces.iter_mut() {
        let device = found.device.as_deref().and_then(|device| network.device(device));
        let Some(device) = device else { continue };
        if found.up {
            let since = directories.up_since(name, device.index);
            found.uptime_s = since.map_or(0, |since| uptime_s().saturating_sub(since));
        }
        let lease = leases::of_device(directories, device);
        (found.gateways, found.name_servers) = (lease.gateways, lease.name_servers);
    }
}

/// Every interface the configuration speaks of, with the device it gives: our own `option device`, else
/// what /etc/config/network says.
fn named_devices(directories: &Directories, config: &Config) -> Vec<Named> {
    let network = directories.config_texts("network").map(|(text, _)| uci::parse("network", &text)).ok();
    let in_network = |name: &str| -> Option<String> {
        let section = network.as_ref()?.section(name)?;
        let device = section.text("device").or_else(|| section.text("ifname"))?;
        Some(device.into_owned())
    };
    let mut named = Vec::new();
    for one in &config.interfaces {
        let device = one.device.clone().or_else(|| in_network(&one.name));
        named.push(Named { name: one.name.clone(), device, family: Some(one.family) });
    }
    for rule in &config.rules {
        if let Some(name) = rule.source_interface.as_deref()
            && config.interface(name).is_none()
        {
            named.push(Named { name: name.to_owned(), device: in_network(name), family: None });
        }
    }
    named
}
