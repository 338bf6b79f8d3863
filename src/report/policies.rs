//! What each policy does with new flows just now.

use serde_json::{Map, Value, json};

use crate::address::Family;
use crate::config::{LastResort, Member, Policy};
use crate::plan::{Choice, choose, percentages, policy_chain, uplinks};
use crate::sorted::sort_by;

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
                    for hold in holds(snapshot).filter(|hold| hold.is_of(policy, family)) {
                        text.push_str(&format!("  held: metric {} was left, ", hold.left));
                        text.push_str(&format!("another one is used in {} s\n", hold.remaining_s));
                    }
                }
            }
        }
        text.push('\n');
    }
    text
}

/// A policy that is down to its last resort has no members: an empty list, as ubus clients know it. One that
/// never has any in a family is left out there.
pub fn policies_json(snapshot: &Snapshot) -> Value {
    let of_family = |family: Family| -> Value {
        let policies: Map<String, Value> = current(snapshot, family)
            .into_iter()
            .filter(|(policy, _)| !members(snapshot, policy, family).is_empty())
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
    let mut json = json!({ "ipv4": of_family(Family::Ipv4), "ipv6": of_family(Family::Ipv6) });
    let has_hold = snapshot.config.policies.iter().any(|policy| policy.sessions.hold_ms > 0);
    if let (true, Some(members)) = (has_hold, json.as_object_mut()) {
        let held = holds(snapshot).map(|hold| {
            let family = hold.family.to_string();
            json!({ "policy": hold.policy, "family": family, "left": hold.left, "remaining": hold.remaining_s })
        });
        members.insert("held".to_owned(), Value::Array(held.collect()));
    }
    json
}

/// A policy that waits before it uses another tier.
struct Hold<'a> {
    policy: &'a str,
    family: Family,
    /// The metric of the tier that was left.
    left: u32,
    remaining_s: u64,
}

impl Hold<'_> {
    fn is_of(&self, policy: &Policy, family: Family) -> bool {
        self.policy == policy.name && self.family == family
    }
}

fn holds(snapshot: &Snapshot) -> impl Iterator<Item = Hold<'_>> {
    let held = snapshot.health.tiers.iter().filter(|tier| tier.is_held());
    held.filter_map(|tier| {
        // One that is over and still stands only waits for something to use.
        let left = tier.left.filter(|left| left.until.as_secs() > snapshot.uptime_s)?;
        Some(Hold {
            policy: &tier.policy,
            family: tier.family,
            left: left.tier,
            remaining_s: left.until.as_secs().saturating_sub(snapshot.uptime_s),
        })
    })
}

/// Each policy in each family it has members in: every member with its share when all uplinks work, and now.
/// In permille.
pub fn members_json(snapshot: &Snapshot, only: Option<&str>) -> Value {
    let uplinks = uplinks(&snapshot.config, &snapshot.network, &snapshot.health);
    let usable: Vec<&str> = uplinks
        .iter()
        .filter(|uplink| uplink.usable && snapshot.ruleset.exists)
        .map(|uplink| &*uplink.interface.name)
        .collect();
    let enabled: Vec<&str> = uplinks.iter().map(|uplink| &*uplink.interface.name).collect();
    let mut found = Vec::new();
    for policy in snapshot.config.policies.iter().filter(|one| only.is_none_or(|only| only == one.name)) {
        for family in Family::BOTH {
            let members = members(snapshot, policy, family);
            if members.is_empty() {
                continue;
            }
            // Not all that work: one may be on probation, or the policy holds.
            let choice = choose(policy, family, &uplinks);
            let shares = choice.shares().iter().filter(|_| snapshot.ruleset.exists);
            let carrying: Vec<&str> = shares.map(|share| &*share.interface).collect();
            let (target, actual) = (permilles(&members, &enabled), permilles(&members, &carrying));
            let told = members.iter().zip(target.iter().zip(&actual)).map(|(member, (target, actual))| {
                let role = match usable.contains(&&*member.interface) {
                    true if *actual > 0 => "active",
                    true => "standby",
                    false => "down",
                };
                json!({
                    "member": member.name,
                    "interface": member.interface,
                    "metric": member.metric,
                    "weight": member.weight,
                    "target": target,
                    "actual": actual,
                    "role": role,
                })
            });
            found.push(json!({
                "name": policy.name,
                "family": family,
                "last_resort": last_resort_name(policy.last_resort),
                "members": told.collect::<Vec<Value>>(),
            }));
        }
    }
    Value::Array(found)
}

fn members<'a>(snapshot: &Snapshot, policy: &'a Policy, family: Family) -> Vec<&'a Member> {
    let is_of = |name: &str| snapshot.config.interface(name).is_some_and(|one| one.family == family);
    policy.members.iter().filter(|member| is_of(&member.interface)).collect()
}

/// The shares of the lowest metric among those that carry traffic; the others have none. A weight so small
/// that it rounds to nothing counts as one.
fn permilles(members: &[&Member], carrying: &[&str]) -> Vec<u64> {
    let carries = |member: &Member| carrying.contains(&&*member.interface);
    let tier = members.iter().filter(|member| carries(member)).map(|member| member.metric).min();
    let is_used = |member: &Member| carries(member) && Some(member.metric) == tier;
    let total: u64 =
        members.iter().filter(|member| is_used(member)).map(|member| u64::from(member.weight)).sum();
    let share = |member: &Member| match is_used(member) {
        true => (u64::from(member.weight) * 1000).checked_div(total).unwrap_or(0).max(1),
        false => 0,
    };
    members.iter().map(|member| share(member)).collect()
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
    sort_by(&mut policies, &|(a, _), (b, _)| a.name.cmp(&b.name));
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
