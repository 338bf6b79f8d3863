//! Who uses whom: members without a policy, policies without a rule, and rules whose policy cannot carry
//! their traffic.

use crate::address::Family;
use crate::config::options::SectionKind;
use crate::config::problem::Severity;
use crate::config::{Config, LastResort, Policy, Rule, Target};
use crate::network::Network;
use crate::sorted::{SortedMap, SortedSet};

use super::Report;

pub(super) fn check(config: &Config, network: Option<&Network>, report: &mut Report<'_>) {
    report_unused_members(config, report);
    let mut users: SortedMap<&str, Vec<&Rule>> = SortedMap::new();
    for rule in &config.rules {
        if let Target::Policy(policy) = &rule.target {
            users.or_default(policy).push(rule);
        }
    }
    let families = match network {
        Some(network) if !network.has_ipv6 => &Family::BOTH[..1],
        _ => &Family::BOTH[..],
    };
    for policy in &config.policies {
        let place = (SectionKind::Policy, &*policy.name);
        let Some(rules) = users.get(&*policy.name) else {
            report.about(Severity::Note, place, "no rule uses this policy".to_owned());
            continue;
        };
        let mut members: Vec<(Family, bool)> = Vec::new();
        for member in &policy.members {
            if let Some(interface) = config.interface(&member.interface) {
                members.push((interface.family, interface.enabled));
            }
        }
        if members.iter().any(|(_, enabled)| *enabled) {
            for family in families {
                policy_serves(*family, &members, policy, rules, report);
            }
        } else {
            let what = if members.is_empty() { "has no member" } else { "has no member that is enabled" };
            let text = format!("{what}: all its traffic {}", fate(policy.last_resort));
            report.about(Severity::Warning, place, text);
        }
    }
}

fn policy_serves(
    family: Family,
    members: &[(Family, bool)],
    policy: &Policy,
    rules: &[&Rule],
    report: &mut Report<'_>,
) {
    if policy.last_resort == LastResort::Default || members.contains(&(family, true)) {
        return;
    }
    let Some(rule) = rules.iter().find(|rule| rule.families.contains(&family)) else { return };
    let (severity, missing) = if members.contains(&(family, false)) {
        (Severity::Note, "enabled ")
    } else {
        (Severity::Warning, "")
    };
    let text = format!(
        "has no {missing}{family} member, but rule {} sends it {family} traffic, which {}",
        rule.name,
        fate(policy.last_resort)
    );
    report.about(severity, (SectionKind::Policy, &policy.name), text);
}

fn fate(last_resort: LastResort) -> &'static str {
    match last_resort {
        LastResort::Unreachable => "is refused (last_resort unreachable)",
        LastResort::Blackhole => "is dropped (last_resort blackhole)",
        LastResort::Default => "takes table main (last_resort default)",
    }
}

fn report_unused_members(config: &Config, report: &mut Report<'_>) {
    let mut used = SortedSet::new();
    for policy in &config.policies {
        for member in &policy.members {
            used.insert(&*member.name);
        }
    }
    let mut unused = Vec::new();
    for (kind, name) in report.sections.keys() {
        if *kind == SectionKind::Member && !used.contains(name) {
            unused.push(*name);
        }
    }
    for name in unused {
        report.about(Severity::Note, (SectionKind::Member, name), "no policy uses this member".to_owned());
    }
}
