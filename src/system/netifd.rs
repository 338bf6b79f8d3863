//! The logical interfaces of an OpenWrt host, from one call to netifd. What the reply means is decided in
//! `network::netifd`.

use crate::json::Json;
use crate::network::LogicalInterface;
use crate::network::netifd::from_dump;
use crate::sorted::SortedMap;

use super::ubus::{Bus, UbusError};

pub fn interfaces(bus: &mut Bus) -> Result<SortedMap<String, LogicalInterface>, UbusError> {
    let dump = bus.call("network.interface", "dump", &Json::Null)?;
    // A host without interfaces would have us take down every uplink: that must have been said outright.
    if dump.get("interface").and_then(Json::as_array).is_none() {
        return Err(UbusError::meaningless("ubus call network.interface dump", "no list of interfaces"));
    }
    Ok(from_dump(&dump))
}
