//! The networks that are left to table main.

use serde_json::{Value, json};

use crate::address::Family;
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

pub fn connected_json(snapshot: &Snapshot) -> Value {
    json!({ "ipv4": networks(snapshot, Family::Ipv4), "ipv6": networks(snapshot, Family::Ipv6) })
}

/// Nothing while the kernel holds no such set: then nothing is treated as connected.
fn networks(snapshot: &Snapshot, family: Family) -> Vec<String> {
    if !snapshot.ruleset.sets.contains_key(&format!("connected_{family}")) {
        return Vec::new();
    }
    connected(&snapshot.network, family).iter().map(ToString::to_string).collect()
}
