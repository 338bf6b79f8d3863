//! What each policy does with new flows just now.

use serde_json::{Map, Value, json};

use crate::address::Family;
use crate::config::{LastResort, Policy};
use crate::plan::{Choice, choose, percentages, policy_chain, uplinks};

use super::Snapshot;

pub fn policies_text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for family in families(snapshot) {
        text.push_str(&format!("Current {family} policies:\n"));
        for (policy, choice) in current(snapshot, family) {
            text.push_str(&format!("{}:\n", policy.name));
            match &choice {
                Choice::Shares(_) => {
                    for (interface, percent) in shares(&choice) {
                        text.push_str(&format!(" {interface} ({percent}%)\n"));
                    }
                }
                Choice::LastResort(last_resort) => {
                    text.push_str(&format!(" {}\n", last_resort_name(*last_resort)));
                }
            }
        }
        text.push('\n');
    }
    text
}

/// A policy that is down to its last resort has no members: an empty list, as ubus clients know it.
pub fn policies_json(snapshot: &Snapshot) -> Value {
    let of_family = |family: Family| -> Value {
        let policies: Map<String, Value> = current(snapshot, family)
            .into_iter()
            .map(|(policy, choice)| {
                let members = shares(&choice)
                    .into_iter()
                    .map(|(interface, percent)| json!({ "interface": interface, "percent": percent }))
                    .collect();
                (policy.name.clone(), Value::Array(members))
            })
            .collect();
        Value::Object(policies)
    };
    json!({ "ipv4": of_family(Family::Ipv4), "ipv6": of_family(Family::Ipv6) })
}

fn families(snapshot: &Snapshot) -> impl Iterator<Item = Family> {
    let has_ipv6 = snapshot.network.has_ipv6;
    Family::BOTH.into_iter().filter(move |family| *family == Family::Ipv4 || has_ipv6)
}

/// Policies whose chain the kernel holds, by name.
fn current(snapshot: &Snapshot, family: Family) -> Vec<(&Policy, Choice)> {
    let uplinks = uplinks(&snapshot.config, &snapshot.network, &snapshot.health);
    let mut policies: Vec<(&Policy, Choice)> = snapshot
        .config
        .policies
        .iter()
        .filter(|policy| snapshot.ruleset.chains.contains_key(&policy_chain(&policy.name, family)))
        .map(|policy| (policy, choose(policy, family, &uplinks)))
        .collect();
    policies.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    policies
}

/// The last listed member first, as the shell package shows them.
fn shares(choice: &Choice) -> Vec<(String, u32)> {
    let shares = choice.shares();
    let named =
        shares.iter().zip(percentages(shares)).map(|(share, percent)| (share.interface.clone(), percent));
    named.rev().collect()
}

pub fn last_resort_name(last_resort: LastResort) -> &'static str {
    match last_resort {
        LastResort::Unreachable => "unreachable",
        LastResort::Blackhole => "blackhole",
        LastResort::Default => "default",
    }
}
