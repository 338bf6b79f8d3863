//! Kernel settings and address translation, without which a gateway with several uplinks loses packets.
//! What is not known is not blamed.

use std::net::IpAddr;

use crate::address::{Family, Prefix};
use crate::config::options::SectionKind;
use crate::config::problem::Severity;
use crate::config::{Config, Interface};
use crate::network::source::{Reach, reach};
use crate::network::{Device, Network};

use super::Report;

/// A setting that has to be another one, with what goes wrong otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Below /proc/sys, also a name that sysctl takes.
    pub setting: String,
    pub held: u32,
    pub wanted: u32,
    /// None where it concerns all of them.
    pub interface: Option<String>,
    reason: String,
}

/// The settings that `advice` looks at.
pub fn settings_to_read(config: &Config, network: &Network) -> Vec<String> {
    let mut names = Vec::new();
    for family in Family::BOTH {
        names.push(forwarding_setting(family).to_owned());
    }
    let mut devices: Vec<&str> = lines(config, network).iter().map(|(_, device)| &*device.name).collect();
    devices.push("all");
    for device in devices {
        for name in ["rp_filter", "arp_filter", "arp_ignore"] {
            names.push(of_device(device, name));
        }
        names.push(format!("net/ipv6/conf/{device}/accept_ra"));
    }
    names
}

pub fn advice(config: &Config, network: &Network) -> Vec<Advice> {
    let mut advice = forwarding(config, network);
    let mut lines = lines(config, network);
    lines.retain(|(interface, _)| interface.family == Family::Ipv4);
    for (interface, device) in &lines {
        let mut is_alone = true;
        let mut neighbour = None;
        for (other, of_other) in &lines {
            if of_other.name != device.name {
                is_alone = false;
                neighbour = neighbour.or_else(|| Some((&*other.name, shared_network(device, of_other)?)));
            }
        }
        if !is_alone && let Some(one) = strict_filter(interface, device, network) {
            advice.push(one);
        }
        if let Some((other, shared)) = neighbour {
            answers_for_others(interface, device, network, (other, shared), &mut advice);
        }
    }
    // What concerns all devices is told with the first of them.
    let mut told: Vec<Advice> = Vec::new();
    for one in advice {
        if !told.iter().any(|other| other.setting == one.setting) {
            told.push(one);
        }
    }
    told
}

pub(super) fn check(config: &Config, network: &Network, report: &mut Report<'_>) {
    for advice in advice(config, network) {
        let Advice { setting, held, wanted, reason, .. } = &advice;
        let text = format!("{setting} is {held}, should be {wanted}: {reason} ('mwan3 check --fix' sets it)");
        match &advice.interface {
            Some(name) => report.about(Severity::Warning, (SectionKind::Interface, name), text),
            None => report.about_host(Severity::Warning, text),
        }
    }
    nothing_translates(config, network, report);
}

/// Enabled uplinks that have a device now.
fn lines<'a>(config: &'a Config, network: &'a Network) -> Vec<(&'a Interface, &'a Device)> {
    let mut lines = Vec::new();
    for interface in config.interfaces.iter().filter(|interface| interface.enabled) {
        let found = network.true_interface(&interface.name, interface.family);
        let name = found.and_then(|(_, found)| found.device.as_deref());
        if let Some(device) = name.and_then(|name| network.device(name)) {
            lines.push((interface, device));
        }
    }
    lines
}

fn forwarding(config: &Config, network: &Network) -> Vec<Advice> {
    let mut advice = deaf_to_routers(config, network);
    for family in Family::BOTH {
        let setting = forwarding_setting(family);
        if let Some(lan) = unserved_lan(config, network, family) {
            let reason = format!("nothing of the network behind {} is forwarded", lan.name);
            advice.push(Advice { setting: setting.to_owned(), held: 0, wanted: 1, interface: None, reason });
        }
    }
    advice
}

/// Told first, and so set first: a kernel that begins to forward forgets what routers told it before.
fn deaf_to_routers(config: &Config, network: &Network) -> Vec<Advice> {
    let will_forward = unserved_lan(config, network, Family::Ipv6).is_some();
    let forwards = held(network, forwarding_setting(Family::Ipv6)).is_some_and(|held| held > 0);
    let leads_out = |device: &Device| {
        let routes = network.routes.iter().filter(|route| route.family == Family::Ipv6 && route.is_default());
        routes.flat_map(|route| route.devices()).any(|name| name == device.name)
    };
    let mut deaf = Vec::new();
    for (interface, device) in lines(config, network) {
        let listens_to_nobody = will_forward || (forwards && !leads_out(device));
        let setting = format!("net/ipv6/conf/{}/accept_ra", device.name);
        let is_uplink = interface.family == Family::Ipv6;
        if is_uplink && listens_to_nobody && held(network, &setting) == Some(1) {
            deaf.push(Advice {
                setting,
                held: 1,
                wanted: 2,
                interface: Some(interface.name.clone()),
                reason: "a router that forwards listens to no other one".to_owned(),
            });
        }
    }
    deaf
}

/// A network behind a router with uplinks of that family that does not forward.
fn unserved_lan<'a>(config: &'a Config, network: &'a Network, family: Family) -> Option<&'a Device> {
    let has_uplink = lines(config, network).iter().any(|(interface, _)| interface.family == family);
    let is_off = held(network, forwarding_setting(family)) == Some(0);
    lan(config, network, family).filter(|_| has_uplink && is_off)
}

fn forwarding_setting(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "net/ipv4/ip_forward",
        Family::Ipv6 => "net/ipv6/conf/all/forwarding",
    }
}

/// The larger of the device's own value and that for all devices holds: 2, loose, outdoes 1.
fn strict_filter(interface: &Interface, device: &Device, network: &Network) -> Option<Advice> {
    let own = of_device(&device.name, "rp_filter");
    let held = held(network, &own)?.max(held(network, "net/ipv4/conf/all/rp_filter")?);
    (held == 1).then(|| Advice {
        setting: own,
        held,
        wanted: 2,
        interface: Some(interface.name.clone()),
        reason: "answers that come in here are dropped while table main leads out by another uplink"
            .to_owned(),
    })
}

fn answers_for_others(
    interface: &Interface,
    device: &Device,
    network: &Network,
    (other, shared): (&str, Prefix),
    advice: &mut Vec<Advice>,
) {
    let mut add = |setting: String, held, wanted, reason: String| {
        advice.push(Advice { setting, held, wanted, interface: Some(interface.name.clone()), reason });
    };
    let together = format!("interface {other} is in the same network {shared}");
    for name in [&*device.name, "all"] {
        let setting = of_device(name, "arp_filter");
        if let Some(held @ 1..) = held(network, &setting) {
            let silence = "only the device that table main prefers answers, and for both addresses";
            add(setting, held, 0, format!("{together}: {silence}"));
        }
    }
    let own = of_device(&device.name, "arp_ignore");
    let all = held(network, "net/ipv4/conf/all/arp_ignore");
    if let (Some(0), Some(0)) = (held(network, &own), all) {
        let flux = "each device answers for the other's address, and what comes back arrives by either";
        add(own, 0, 1, format!("{together}: {flux}"));
    }
}

/// Told of a LAN with private addresses only: a public one may be routed as it is.
fn nothing_translates(config: &Config, network: &Network, report: &mut Report<'_>) {
    let has_uplink = lines(config, network).iter().any(|(interface, _)| interface.family == Family::Ipv4);
    let forwards = held(network, forwarding_setting(Family::Ipv4)).is_some_and(|held| held > 0);
    if !has_uplink || !forwards || network.translates_sources != Some(false) {
        return;
    }
    if let Some(lan) = lan(config, network, Family::Ipv4) {
        let text = format!(
            "nothing translates source addresses: packets from behind {} leave with private ones, and no \
             answer comes back. Masquerade what leaves by the uplinks",
            lan.name
        );
        report.about_host(Severity::Warning, text);
    }
}

/// A device of the router with hosts behind it: it has an address to be their gateway, and is no uplink.
fn lan<'a>(config: &Config, network: &'a Network, family: Family) -> Option<&'a Device> {
    let is_uplink = |device: &Device| {
        config.interfaces.iter().any(|interface| {
            let found = network.true_interface(&interface.name, interface.family);
            found.is_some_and(|(_, found)| found.device.as_deref() == Some(&device.name))
                || interface.device.as_deref() == Some(&device.name)
        })
    };
    let is_of_lan = |address: IpAddr| match address {
        IpAddr::V4(address) => family == Family::Ipv4 && address.is_private(),
        IpAddr::V6(_) => family == Family::Ipv6 && reach(address) != Reach::Nowhere,
    };
    let addressed =
        |device: &&Device| device.addresses.iter().any(|one| one.length > 0 && is_of_lan(one.address));
    let has_default = |device: &Device| {
        network
            .routes
            .iter()
            .any(|route| route.is_default() && route.devices().any(|name| name == device.name))
    };
    let mut devices = network.devices.iter().filter(|device| device.up && device.name != "lo");
    devices.find(|device| addressed(device) && !is_uplink(device) && !has_default(device))
}

fn shared_network(one: &Device, other: &Device) -> Option<Prefix> {
    let of_other = networks(other);
    networks(one).into_iter().find(|prefix| of_other.contains(prefix))
}

fn networks(device: &Device) -> Vec<Prefix> {
    let mut networks = Vec::new();
    for found in &device.addresses {
        if found.address.is_ipv4() && found.length < 32 {
            networks.push(Prefix::new(found.address, found.length));
        }
    }
    networks
}

fn of_device(device: &str, name: &str) -> String {
    format!("net/ipv4/conf/{device}/{name}")
}

fn held(network: &Network, setting: &str) -> Option<u32> {
    network.settings.iter().find(|(name, _)| name == setting).map(|(_, value)| *value)
}
