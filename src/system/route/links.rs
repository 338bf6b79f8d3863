//! Links on the wire: what a device is called and whether it carries anything.

use crate::network::Device;
use crate::sorted::SortedMap;
use crate::system::netlink::{Attributes, NetlinkError, Payload, Socket};

pub(super) const NEW_LINK: u16 = 16;
pub(super) const DELETE_LINK: u16 = 17;
pub(super) const GET_LINK: u16 = 18;

/// struct ifinfomsg.
pub(super) const HEADER: usize = 16;
const FLAG_UP: u32 = 0x1;
const FLAG_LOWER_UP: u32 = 0x10000;

mod attribute {
    pub const NAME: u16 = 3;
    pub const LINK_INFO: u16 = 18;
    pub const KIND: u16 = 1;
    pub const EXTENSION_MASK: u16 = 29;
    pub const CARRIER: u16 = 33;
}
/// RTEXT_FILTER_SKIP_STATS: counters are half of the answer and nothing to us.
const WITHOUT_STATISTICS: u32 = 1 << 3;

/// Names by index, as they were at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceIndex {
    names: SortedMap<u32, String>,
}

impl DeviceIndex {
    pub fn of(devices: &[Device]) -> DeviceIndex {
        let mut names = SortedMap::new();
        for device in devices {
            names.insert(device.index, device.name.clone());
        }
        DeviceIndex { names }
    }

    pub fn name(&self, index: u32) -> Option<&str> {
        self.names.get(&index).map(String::as_str)
    }

    pub fn number(&self, name: &str) -> Result<u32, NetlinkError> {
        match self.names.iter().find(|(_, known)| *known == name) {
            Some((index, _)) => Ok(*index),
            None => Err(NetlinkError::new(libc::ENODEV, Some(name.to_owned()))),
        }
    }
}

pub(super) fn dump(socket: &mut Socket) -> Result<Vec<Device>, NetlinkError> {
    let mut payload = Payload::new(&[0; HEADER]);
    payload.put_u32(attribute::EXTENSION_MASK, WITHOUT_STATISTICS);
    let mut devices = Vec::new();
    socket.dump_each(GET_LINK, &payload, &mut |message| match message {
        None => devices.clear(),
        Some(message) if message.kind == NEW_LINK => devices.extend(decode(message.payload)),
        Some(_) => {}
    })?;
    Ok(devices)
}

/// The device without its addresses, which come separately.
pub fn decode(payload: &[u8]) -> Option<Device> {
    let [_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *payload.first_chunk::<HEADER>()?;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let mut device = Device {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        up: flags & FLAG_UP != 0,
        carrier: flags & FLAG_LOWER_UP != 0,
        ..Device::default()
    };
    for attribute in Attributes::new(payload.get(HEADER..)?) {
        match attribute.kind {
            attribute::NAME => device.name = attribute.text(),
            attribute::CARRIER => device.carrier = attribute.u8()? != 0,
            attribute::LINK_INFO => {
                device.kind = attribute.inner(attribute::KIND).map(|one| one.text());
            }
            _ => {}
        }
    }
    (!device.name.is_empty()).then_some(device)
}
