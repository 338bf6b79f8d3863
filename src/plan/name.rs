//! Names of our kernel objects. UCI names of any length and content are mapped to something nftables takes;
//! people see the real name in comments and reports.

use crate::address::Family;
use crate::nft::fingerprint;

const LONGEST: usize = 40;
/// Each with the family behind it.
const KNOWN_SETS: [&str; 3] = ["connected", "custom", "dynamic"];

/// The UCI name itself if it is short and plain, else a readable beginning and a fingerprint of the whole.
pub fn object_name(uci_name: &str) -> String {
    if !uci_name.is_empty() && uci_name.len() <= LONGEST && uci_name.bytes().all(is_plain) {
        return uci_name.to_owned();
    }
    fingerprinted(uci_name)
}

fn fingerprinted(uci_name: &str) -> String {
    let mut readable = String::new();
    for byte in uci_name.bytes().filter(|byte| is_plain(*byte)).take(LONGEST - 18) {
        readable.push(char::from(byte));
    }
    // A dot cannot stand in a plain name, so the two forms never meet.
    format!("{readable}.{:016x}", fingerprint(uci_name.as_bytes()))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The chain that counts the packets of one user rule.
pub fn counter_chain(rule: &str, family: Family) -> String {
    format!("rule_{}_{family}", object_name(rule))
}

pub fn policy_chain(policy: &str, family: Family) -> String {
    format!("policy_{}_{family}", object_name(policy))
}

pub(super) fn sticky_chain(rule: &str, family: Family) -> String {
    format!("sticky_{}_{family}", object_name(rule))
}

/// A set that rules name with `option ipset`: dnsmasq and people fill it under the very name they gave it,
/// unless that is one of ours or no word of nft's.
pub(super) fn user_set(uci_name: &str) -> String {
    if is_ours(uci_name) || !is_nft_word(uci_name) {
        format!("user.{}", fingerprinted(uci_name))
    } else {
        uci_name.to_owned()
    }
}

fn is_ours(set: &str) -> bool {
    for family in Family::BOTH {
        for known in KNOWN_SETS {
            if set == format!("{known}_{family}") {
                return true;
            }
        }
    }
    set.starts_with("sticky_")
}

fn is_nft_word(name: &str) -> bool {
    let is_part = |byte: u8| is_plain(byte) || matches!(byte, b'-' | b'.' | b'/');
    let starts_well = name.bytes().next().is_some_and(|first| is_plain(first) && !first.is_ascii_digit());
    name.len() <= LONGEST && starts_well && name.bytes().all(is_part)
}

/// The sources that a sticky rule remembers for one uplink: a set, and the chain that renews its entries.
pub(super) fn sticky_set(rule: &str, family: Family, interface: &str) -> String {
    format!("{}_{}", sticky_chain(rule, family), name_behind_family(interface))
}

pub(super) fn renew_chain(rule: &str, family: Family, interface: &str) -> String {
    format!("renew_{}_{family}_{}", object_name(rule), name_behind_family(interface))
}

/// Where two names stand in one, the family between them must be the last one, or other two names would
/// give the same.
fn name_behind_family(uci_name: &str) -> String {
    if Family::BOTH.iter().any(|family| uci_name.contains(&format!("{family}_"))) {
        return fingerprinted(uci_name);
    }
    object_name(uci_name)
}

/// Marks packet and connection for an uplink.
pub(super) fn uplink_chain(interface: &str) -> String {
    format!("uplink_{}", object_name(interface))
}

/// Takes packets that came in on an uplink.
pub fn from_chain(interface: &str) -> String {
    format!("from_{}", object_name(interface))
}

/// Restores the mark of a known flow of an uplink.
pub(super) fn keep_chain(interface: &str) -> String {
    // That of the connections that keep table main.
    let is_taken = interface == "default";
    format!("keep_{}", if is_taken { fingerprinted(interface) } else { object_name(interface) })
}
