//! Options about running flows that cannot do what they are written for.

use crate::address::Family;
use crate::config::options::SectionKind;
use crate::config::problem::Severity;
use crate::config::{Config, LastResort, Policy, SessionFate, SessionPolicy};

use super::Report;

/// A connection has 128 labels, and ours is one a policy.
const MOST_LABELS: usize = 128;

pub(super) fn check(config: &Config, report: &mut Report<'_>) {
    let labelled = config.policies.iter().filter(|policy| policy.sessions != SessionPolicy::default());
    for (position, policy) in labelled.enumerate() {
        let tiers = Family::BOTH.map(|family| metrics(config, policy, family));
        if position >= MOST_LABELS {
            let text = format!(
                "its connections cannot be told from others: on_fail, on_recover and hold work for the first {MOST_LABELS} policies"
            );
            report.about(Severity::Warning, (SectionKind::Policy, &policy.name), text);
        }
        let has_second_tier = tiers.iter().any(|metrics| metrics.first() != metrics.last());
        if policy.sessions.hold_ms > 0 {
            check_hold(policy, has_second_tier, &tiers, report);
        } else if policy.sessions.on_recover != SessionFate::Keep
            && !has_second_tier
            && policy.last_resort != LastResort::Default
        {
            let text = "no effect: there is only one metric, so nothing ever stands in for another";
            about(report, policy, "on_recover", text);
        }
    }
}

fn check_hold(policy: &Policy, has_second_tier: bool, tiers: &[Vec<u32>], report: &mut Report<'_>) {
    if !has_second_tier {
        about(report, policy, "hold", "no effect: there is no second metric to wait for");
    }
    if policy.last_resort == LastResort::Default {
        let text = "while the policy holds, its traffic takes table main, maybe by the very uplink it is to wait for: \
                    give it another last_resort";
        about(report, policy, "hold", text);
    }
    if tiers.iter().any(|metrics| metrics.windows(2).any(|pair| pair.first() == pair.last())) {
        let text = "several members have the same metric: connections of this policy show all their addresses at once";
        about(report, policy, "hold", text);
    }
    for (option, fate) in [("on_fail", policy.sessions.on_fail), ("on_recover", policy.sessions.on_recover)] {
        if fate != SessionFate::Drop && report.has_option((SectionKind::Policy, &policy.name), option) {
            about(report, policy, option, "no effect beside hold, which drops all connections of the policy");
        }
    }
}

/// Of the members of the family that are enabled, sorted.
fn metrics(config: &Config, policy: &Policy, family: Family) -> Vec<u32> {
    let serves = |name: &str| {
        config.interface(name).is_some_and(|interface| interface.enabled && interface.family == family)
    };
    let members = policy.members.iter().filter(|member| serves(&member.interface));
    let mut metrics: Vec<u32> = members.map(|member| member.metric).collect();
    metrics.sort_unstable();
    metrics
}

fn about(report: &mut Report<'_>, policy: &Policy, option: &str, text: &str) {
    report.about_option(Severity::Warning, (SectionKind::Policy, &policy.name), option, text.to_owned());
}
