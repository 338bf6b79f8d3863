//! Addresses on the wire.

use std::net::IpAddr;

use crate::address::{Family, Prefix};
use crate::network::{Device, DeviceAddress};
use crate::system::netlink::{Attributes, NetlinkError, Payload, Socket};

pub(super) const NEW_ADDRESS: u16 = 20;
pub(super) const DELETE_ADDRESS: u16 = 21;
pub(super) const GET_ADDRESS: u16 = 22;

/// struct ifaddrmsg.
pub(super) const HEADER: usize = 8;

mod attribute {
    pub const ADDRESS: u16 = 1;
    pub const LOCAL: u16 = 2;
    pub const FLAGS: u16 = 8;
}
mod flag {
    pub const OPTIMISTIC: u32 = 0x04;
    /// Somebody else has the address.
    pub const DUPLICATE: u32 = 0x08;
    pub const DEPRECATED: u32 = 0x20;
    pub const TENTATIVE: u32 = 0x40;
}

pub(super) fn dump_into(socket: &mut Socket, devices: &mut [Device]) -> Result<(), NetlinkError> {
    socket.dump_each(GET_ADDRESS, &Payload::new(&[0; HEADER]), &mut |message| match message {
        None => devices.iter_mut().for_each(|device| device.addresses.clear()),
        Some(message) if message.kind == NEW_ADDRESS => {
            if let Some((index, address)) = decode(message.payload)
                && let Some(device) = devices.iter_mut().find(|device| device.index == index)
            {
                device.addresses.push(address);
            }
        }
        Some(_) => {}
    })
}

/// With the index of the device it is on.
pub fn decode(payload: &[u8]) -> Option<(u32, DeviceAddress)> {
    let [family, length, flags, scope, index @ ..] = *payload.first_chunk::<HEADER>()?;
    let family = family_of(family)?;
    let (mut flags, mut local, mut address) = (u32::from(flags), None, None);
    for attribute in Attributes::new(payload.get(HEADER..)?) {
        match attribute.kind {
            attribute::LOCAL => local = parse(family, attribute.value),
            attribute::ADDRESS => address = parse(family, attribute.value),
            attribute::FLAGS => flags = attribute.u32()?,
            _ => {}
        }
    }
    let has = |wanted: u32| flags & wanted != 0;
    Some((
        u32::from_ne_bytes(index),
        DeviceAddress {
            // On a point-to-point link the other one is the peer's.
            address: local.or(address)?,
            length: length.min(family.bits()),
            scope,
            deprecated: has(flag::DEPRECATED),
            tentative: has(flag::DUPLICATE) || (has(flag::TENTATIVE) && !has(flag::OPTIMISTIC)),
        },
    ))
}

pub(super) fn family_of(number: u8) -> Option<Family> {
    match number {
        2 => Some(Family::Ipv4),
        10 => Some(Family::Ipv6),
        _ => None,
    }
}

#[inline(never)]
pub(in crate::system) fn parse(family: Family, bytes: &[u8]) -> Option<IpAddr> {
    Some(match family {
        Family::Ipv4 => IpAddr::from(*bytes.first_chunk::<4>()?),
        Family::Ipv6 => IpAddr::from(*bytes.first_chunk::<16>()?),
    })
}

/// Nothing for none, nor for one that holds everything.
pub(super) fn put_prefix(payload: &mut Payload, kind: u16, prefix: Option<Prefix>) {
    if let Some(prefix) = prefix.filter(|prefix| prefix.length() > 0) {
        payload.put(kind, &bytes(prefix.address()));
    }
}

#[inline(never)]
pub(in crate::system) fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
