//! What exists now, as values: devices and addresses, the logical interfaces of the host, the routes and
//! rules of the kernel. The same types serve for what we want, so that a diff can compare them.

pub mod change;
pub mod lease;
pub mod netifd;
pub mod plain;
mod route;
mod rule;
pub mod source;
mod stored;
mod written;

use std::net::IpAddr;

pub(crate) use route::sort_routes;
pub use route::{Hop, MetricValue, Route, RouteKey, RouteKind, attribute, listing, scope, scope_name};
pub(crate) use rule::sort_rules;
pub use rule::{IpRule, RuleAction};

use crate::address::{Family, Prefix};
use crate::sorted::SortedMap;

/// The routing protocol number that all our rules and routes carry; what does not carry it is not ours.
pub const OUR_PROTOCOL: u8 = 77;
pub const TABLE_MAIN: u32 = 254;
pub const TABLE_LOCAL: u32 = 255;

/// The observed router, without anything we put there ourselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Logical interfaces by name (netifd's, or on plain Linux the ones our configuration names).
    pub interfaces: SortedMap<String, LogicalInterface>,
    pub devices: Vec<Device>,
    /// Routes of every table, except those that carry our protocol.
    pub routes: Vec<Route>,
    /// False where the kernel knows no IPv6: nothing of that family is planned then.
    pub has_ipv6: bool,
    /// Elements of the `inet fw4` sets that rules name with `option ipset`, as networks.
    pub fw4_sets: SortedMap<String, Vec<Prefix>>,
    /// Kernel settings by name (`net/ipv4/ip_forward`), as far as somebody asked for them.
    pub settings: Vec<(String, u32)>,
    /// Whether the firewall has a rule that does; `None` where that is not known.
    pub translates_sources: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogicalInterface {
    pub up: bool,
    /// The layer 3 device, once there is one.
    pub device: Option<String>,
    pub uptime_s: u64,
    /// Own addresses, IPv4 first, in the host's order of preference.
    pub addresses: Vec<InterfaceAddress>,
    /// Delegated IPv6 prefixes.
    pub prefixes: Vec<Prefix>,
    /// Addresses the router took from those prefixes, for this interface or its LANs: a source for uplinks
    /// without an own one.
    pub assigned: Vec<IpAddr>,
    pub gateways: Vec<IpAddr>,
    /// Name servers this interface came with.
    pub name_servers: Vec<IpAddr>,
}

/// An address with the length of its network: unlike a `Prefix` it keeps its host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceAddress {
    pub address: IpAddr,
    pub length: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    pub index: u32,
    pub name: String,
    /// The kernel's link kind ("vlan", "gre", "wireguard"), where it has one.
    pub kind: Option<String>,
    pub up: bool,
    pub carrier: bool,
    pub addresses: Vec<DeviceAddress>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAddress {
    pub address: IpAddr,
    pub length: u8,
    /// 0 global, 253 link, 254 host.
    pub scope: u8,
    pub deprecated: bool,
    pub tentative: bool,
}

impl Network {
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// Whether any device of the host has it.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.kernel_address(address).is_some()
    }

    /// A dynamic sub-interface (`wan_4`, `wan_6`) stands in for its parent where the host has one.
    pub fn true_interface<'a>(
        &'a self,
        name: &'a str,
        family: Family,
    ) -> Option<(String, &'a LogicalInterface)> {
        let suffix = match family {
            Family::Ipv4 => "_4",
            Family::Ipv6 => "_6",
        };
        let dynamic = format!("{name}{suffix}");
        match self.interfaces.get(&dynamic) {
            Some(found) => Some((dynamic, found)),
            None => self.interfaces.get(name).map(|found| (name.to_owned(), found)),
        }
    }
}
