//! The logical interfaces of an OpenWrt host, from one call to netifd. What the reply means is decided in
//! `network::netifd`.

use serde_json::{Value, json};

use crate::network::LogicalInterface;
use crate::network::netifd::from_dump;
use crate::sorted::SortedMap;

use super::ubus::{Bus, UbusError};

pub fn interfaces(bus: &mut Bus) -> Result<SortedMap<String, LogicalInterface>, UbusError> {
    let dump = bus.call("network.interface", "dump", &json!({}))?;
    // A host without interfaces would have us take down every uplink: that must have been said outright.
    if !dump.get("interface").is_some_and(Value::is_array) {
        return Err(UbusError::meaningless("ubus call network.interface dump", "no list of interfaces"));
    }
    Ok(from_dump(&dump))
}
