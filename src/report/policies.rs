//! What each policy does with new flows just now.

use crate::address::Family;
use crate::config::{LastResort, Member, Policy};
use crate::json::{Json, Object};
use crate::plan::{Choice, Uplink, choose, percentages, policy_chain, uplinks};

use super::{Snapshot, families};

pub fn policies_text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for &family in families(snapshot) {
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
                    for Hold { policy: held, family: of, left, remaining_s } in holds(snapshot) {
                        if held == policy.name && of == family {
                            text.push_str(&format!(
                                "  held: metric {left} was left, another one is used in {remaining_s} s\n"
                            ));
                        }
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
        let mut held = Vec::new();
        for hold in holds(snapshot) {
            held.push(hold.json());
        }
        object.put("held", Json::Array(held));
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
    fn json(&self) -> Json {
        let mut object = Object::new();
        object.text("family", self.family.name());
        object.number("left", self.left.into());
        object.text("policy", self.policy);
        object.number("remaining", self.remaining_s);
        Json::Object(object)
    }
}

fn holds(snapshot: &Snapshot) -> Vec<Hold<'_>> {
    let mut holds = Vec::new();
    for tier in &snapshot.health.tiers {
        // One that is over and still stands only waits for something to use.
        if let Some(left) = tier.left
            && tier.is_held()
            && left.until.as_secs() > snapshot.uptime_s
        {
            holds.push(Hold {
                policy: &tier.policy,
                family: tier.family,
                left: left.tier,
                remaining_s: left.until.as_secs() - snapshot.uptime_s,
            });
        }
    }
    holds
}

/// Each policy in each family it has members in: every member with its share when all uplinks work, and now.
/// In permille.
pub fn members_json(snapshot: &Snapshot, only: Option<&str>) -> Json {
    let uplinks = uplinks(&snapshot.config, &snapshot.network, &snapshot.health);
    let mut found = Vec::new();
    for policy in &snapshot.config.policies {
        for family in Family::BOTH {
            let members = members(snapshot, policy, family);
            if members.is_empty() || only.is_some_and(|only| only != policy.name) {
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
    let mut members = Vec::new();
    for member in &policy.members {
        if snapshot.config.interface(&member.interface).is_some_and(|one| one.family == family) {
            members.push(member);
        }
    }
    members
}

/// The shares of the lowest metric among those that carry traffic; the others have none. A weight so small
/// that it rounds to nothing counts as one.
fn permilles(members: &[&Member], carrying: &[&str]) -> Vec<u64> {
    let carries = |member: &Member| carrying.contains(&&*member.interface);
    let mut lowest = u32::MAX;
    for member in members {
        if carries(member) {
            lowest = lowest.min(member.metric);
        }
    }
    let weight = |member: &Member| match carries(member) && member.metric == lowest {
        true => u64::from(member.weight),
        false => 0,
    };
    let total: u64 = members.iter().map(|member| weight(member)).sum();
    let mut permilles = Vec::new();
    for member in members {
        let is_used = carries(member) && member.metric == lowest;
        let share = (weight(member) * 1000).checked_div(total).unwrap_or(0);
        permilles.push(if is_used { share.max(1) } else { 0 });
    }
    permilles
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
