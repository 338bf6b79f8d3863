//! What each policy does with new flows just now.

use crate::address::Family;
use crate::config::{LastResort, Member, Policy};
use crate::json::{Json, Object};
use crate::plan::{Choice, Uplink, choose, percentages, policy_chain, uplinks};

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
pub fn policies_json(snapshot: &Snapshot) -> Json {
    let mut object = Object::new();
    if snapshot.config.policies.iter().any(|policy| policy.sessions.hold_ms > 0) {
        object.put("held", Json::Array(holds(snapshot).map(|hold| hold.json()).collect()));
    }
    object.put("ipv4", shares_json(snapshot, Family::Ipv4));
    object.put("ipv6", shares_json(snapshot, Family::Ipv6));
    Json::Object(object)
}

fn shares_json(snapshot: &Snapshot, family: Family) -> Json {
    let mut object = Object::new();
    for (policy, choice) in current(snapshot, family) {
        if members(snapshot, policy, family).is_empty() {
            continue;
        }
        let mut items = Vec::new();
        for (interface, percent) in shares(&choice) {
            let mut item = Object::new();
            item.text("interface", &interface);
            item.number("percent", percent.into());
            items.push(Json::Object(item));
        }
        object.put(&policy.name, Json::Array(items));
    }
    Json::Object(object)
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

    fn json(&self) -> Json {
        let mut object = Object::new();
        object.text("family", self.family.name());
        object.number("left", self.left.into());
        object.text("policy", self.policy);
        object.number("remaining", self.remaining_s);
        Json::Object(object)
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
pub fn members_json(snapshot: &Snapshot, only: Option<&str>) -> Json {
    let uplinks = uplinks(&snapshot.config, &snapshot.network, &snapshot.health);
    let mut found = Vec::new();
    for policy in snapshot.config.policies.iter().filter(|one| only.is_none_or(|only| only == one.name)) {
        for family in Family::BOTH {
            let members = members(snapshot, policy, family);
            if members.is_empty() {
                continue;
            }
            let mut object = Object::new();
            object.text("family", family.name());
            object.text("last_resort", last_resort_name(policy.last_resort));
            // Not all that work: one may be on probation, or the policy holds.
            let choice = choose(policy, family, &uplinks);
            object.put("members", Json::Array(members_now(snapshot, &members, &uplinks, &choice)));
            object.text("name", &policy.name);
            found.push(Json::Object(object));
        }
    }
    Json::Array(found)
}

fn members_now(
    snapshot: &Snapshot,
    members: &[&Member],
    uplinks: &[Uplink<'_>],
    choice: &Choice,
) -> Vec<Json> {
    let (mut enabled, mut usable, mut carrying) = (Vec::new(), Vec::new(), Vec::new());
    for uplink in uplinks {
        enabled.push(&*uplink.interface.name);
        if uplink.usable && snapshot.ruleset.exists {
            usable.push(&*uplink.interface.name);
        }
    }
    if snapshot.ruleset.exists {
        for share in choice.shares() {
            carrying.push(&*share.interface);
        }
    }
    let (target, actual) = (permilles(members, &enabled), permilles(members, &carrying));
    let mut told = Vec::new();
    for ((member, target), actual) in members.iter().zip(target).zip(actual) {
        let role = match usable.contains(&&*member.interface) {
            true if actual > 0 => "active",
            true => "standby",
            false => "down",
        };
        let mut object = Object::new();
        object.number("actual", actual);
        object.text("interface", &member.interface);
        object.text("member", &member.name);
        object.number("metric", member.metric.into());
        object.text("role", role);
        object.number("target", target);
        object.number("weight", member.weight.into());
        told.push(Json::Object(object));
    }
    told
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
    let mut policies: Vec<(&Policy, Choice)> = Vec::new();
    for policy in &snapshot.config.policies {
        if snapshot.ruleset.chains.contains_key(&policy_chain(&policy.name, family)) {
            let place = policies.partition_point(|(other, _)| other.name <= policy.name);
            policies.insert(place, (policy, choose(policy, family, &uplinks)));
        }
    }
    policies
}

/// The last listed member first, as the shell package shows them.
fn shares(choice: &Choice) -> Vec<(String, u32)> {
    let shares = choice.shares();
    let mut named = Vec::new();
    for (share, percent) in shares.iter().zip(percentages(shares)) {
        named.insert(0, (share.interface.clone(), percent));
    }
    named
}

pub fn last_resort_name(last_resort: LastResort) -> &'static str {
    match last_resort {
        LastResort::Unreachable => "unreachable",
        LastResort::Blackhole => "blackhole",
        LastResort::Default => "default",
    }
}
