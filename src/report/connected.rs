//! The networks that are left to table main.

use crate::address::Family;
use crate::json::{Json, Object};
use crate::plan::connected;

use super::Snapshot;

pub fn connected_text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for family in Family::BOTH {
        text.push_str(&format!("Directly connected {family} networks:\n"));
        for network in networks(snapshot, family) {
            text.push_str(&format!("{network}\n"));
        }
        text.push('\n');
    }
    text
}

pub fn connected_json(snapshot: &Snapshot) -> Json {
    let mut object = Object::new();
    object.put("ipv4", Json::texts(networks(snapshot, Family::Ipv4)));
    object.put("ipv6", Json::texts(networks(snapshot, Family::Ipv6)));
    Json::Object(object)
}

/// Nothing while the kernel holds no such set: then nothing is treated as connected.
fn networks(snapshot: &Snapshot, family: Family) -> Vec<String> {
    let mut networks = Vec::new();
    if snapshot.ruleset.sets.contains_key(&format!("connected_{family}")) {
        for network in &connected(&snapshot.network, family) {
            networks.push(network.to_string());
        }
    }
    networks
}
