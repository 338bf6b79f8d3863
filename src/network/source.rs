//! Which address of the router a packet through an uplink should come from, and which of several addresses
//! is the better one.

use std::net::IpAddr;

use crate::address::Family;

use super::{DeviceAddress, Network, scope};

/// A source address and where it was found, for a host to warn of a mere guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub address: IpAddr,
    pub origin: SourceOrigin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceOrigin {
    /// An address of the interface itself.
    Own,
    /// One the host took from the interface's delegated prefixes.
    Assigned,
    /// Some device's address within a delegated prefix.
    Delegated,
    /// Only the kernel knows it, on the interface's device.
    Device,
}

/// How far an address can be used as a source, the better one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Private IPv4 addresses too: masquerading is the rule there.
    Global,
    /// IPv6 unique and site local: only good behind somebody who translates prefixes.
    UniqueLocal,
    /// IPv4 only, for tunnels that are numbered so.
    LinkLocal,
    /// Never the source of a packet to the internet.
    Nowhere,
}

/// Sort by it (stably: the host's own order decides between equals) and the best source comes first: one that
/// is still preferred before a deprecated one, then a global one before a unique local one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Preference {
    /// Of four bits.
    pub(super) rank: u8,
}

pub fn preference(address: IpAddr, is_deprecated: bool) -> Preference {
    let reach = reach(address);
    let is_useless = reach == Reach::Nowhere;
    // What weighs most has the highest bit.
    Preference { rank: u8::from(is_useless) << 3 | u8::from(is_deprecated) << 2 | reach as u8 }
}

pub fn reach(address: IpAddr) -> Reach {
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
        return Reach::Nowhere;
    }
    match address {
        IpAddr::V4(v4) if v4.is_broadcast() => Reach::Nowhere,
        IpAddr::V4(v4) if v4.is_link_local() => Reach::LinkLocal,
        IpAddr::V4(_) => Reach::Global,
        IpAddr::V6(v6) => match v6.segments()[0] {
            0xfe80..=0xfebf => Reach::Nowhere,
            0xfec0..=0xfeff | 0xfc00..=0xfdff => Reach::UniqueLocal,
            _ => Reach::Global,
        },
    }
}

impl Network {
    /// The address that probes through this interface come from.
    pub fn source_address(&self, interface: &str, family: Family) -> Option<IpAddr> {
        self.source(interface, family).map(|source| source.address)
    }

    /// The interface's own address, else one from its delegated prefixes (uplinks that get a prefix but no
    /// address), else any of its device. A later one wins only where it is better in itself: see `Merit`.
    pub fn source(&self, interface: &str, family: Family) -> Option<Source> {
        let (_, interface) = self.true_interface(interface, family)?;
        let device = interface.device.as_deref();
        let mut best: Option<(Merit, Source)> = None;
        let mut consider = |origin: SourceOrigin, address: IpAddr| {
            if Family::of(address) != family || reach(address) == Reach::Nowhere {
                return;
            }
            let merit = self.merit(address, device);
            if best.as_ref().is_none_or(|(held, _)| merit.cmp(held).is_lt()) {
                best = Some((merit, Source { address, origin }));
            }
        };
        for own in &interface.addresses {
            consider(SourceOrigin::Own, own.address);
        }
        for address in &interface.assigned {
            consider(SourceOrigin::Assigned, *address);
        }
        for device in &self.devices {
            for found in &device.addresses {
                if interface.prefixes.iter().any(|prefix| prefix.contains(found.address)) {
                    consider(SourceOrigin::Delegated, found.address);
                }
            }
        }
        if let Some(device) = device.and_then(|name| self.device(name)) {
            for found in device.addresses.iter().filter(|found| found.scope != scope::HOST) {
                consider(SourceOrigin::Device, found.address);
            }
        }
        best.map(|(_, source)| source)
    }

    fn merit(&self, address: IpAddr, device: Option<&str>) -> Merit {
        let in_kernel = self.kernel_address(address);
        Merit {
            is_not_ready: in_kernel.is_none_or(|found| found.tentative),
            is_unrouted: !self.has_default_route_for(address, device),
            preference: preference(address, in_kernel.is_some_and(|found| found.deprecated)),
        }
    }

    fn has_default_route_for(&self, address: IpAddr, device: Option<&str>) -> bool {
        let Some(device) = device else { return false };
        self.routes.iter().any(|route| {
            route.is_default()
                && route.family == Family::of(address)
                && route.leads_by(device)
                && route.source.is_none_or(|network| network.contains(address))
                && route.preferred_source.is_none_or(|preferred| preferred == address)
        })
    }

    /// As it is on the first device that has it.
    pub(super) fn kernel_address(&self, address: IpAddr) -> Option<&DeviceAddress> {
        self.devices.iter().find_map(|device| device.addresses.iter().find(|one| one.address == address))
    }
}

/// What a source must have to be of use, the weightiest first; the lowest is the best.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Merit {
    /// Nothing can be bound to an address that the kernel has not got, or is still checking for duplicates.
    is_not_ready: bool,
    /// With source-specific default routes a packet from any other address has nowhere to go.
    is_unrouted: bool,
    preference: Preference,
}
