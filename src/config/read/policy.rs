//! Member and policy sections. A policy ends up with the members that exist and whose interface exists.

use crate::config::fields::Fields;
use crate::config::options::SectionKind;
use crate::config::problem::{Problem, Severity};
use crate::config::value;
use crate::config::{Interface, LastResort, Member, Policy, SessionFate, SessionPolicy};
use crate::sorted::{SortedMap, SortedSet};

use super::{Sections, suggestion};

/// The shell package's largest metric: it left members above it out, without effect on ours.
const LARGEST_SHELL_METRIC: u32 = 256;

/// By name; None for a section that was skipped.
pub(super) type Members = SortedMap<String, Option<Member>>;

pub(super) fn read_members(
    sections: &Sections<'_>,
    interfaces: &[Interface],
    file: &str,
    problems: &mut Vec<Problem>,
) -> Members {
    let usable: SortedSet<&str> = interfaces.iter().map(|interface| &*interface.name).collect();
    let written: SortedSet<&str> =
        sections.of(SectionKind::Interface).map(|section| &*section.name).collect();
    let mut members = Members::new();
    for section in sections.of(SectionKind::Member) {
        let mut fields = Fields::new(section, SectionKind::Member, file, problems);
        members.insert(section.name.clone(), read_member(&mut fields, &usable, &written));
    }
    members
}

fn read_member(
    fields: &mut Fields<'_>,
    usable: &SortedSet<&str>,
    written: &SortedSet<&str>,
) -> Option<Member> {
    let metric = metric(fields);
    let weight = weight(fields);
    let Some(interface) = fields.text("interface") else {
        fields.report_section(Severity::Warning, "names no interface; the member is left out");
        return None;
    };
    if !usable.contains(&interface) {
        let text = if written.contains(&interface) {
            "this interface was skipped, and the member with it".to_owned()
        } else {
            format!(
                "no such interface; the member is left out{}",
                suggestion(&interface, &mut written.iter().copied())
            )
        };
        fields.report(Severity::Warning, "interface", &text);
        return None;
    }
    Some(Member { name: fields.name(), interface, metric, weight: weight? })
}

/// The shell package compared numbers below 0 too; nothing is preferred to 0 here.
fn metric(fields: &mut Fields<'_>) -> u32 {
    let text = fields.text("metric");
    let below = text.as_deref().and_then(|text| text.strip_prefix('-'));
    if below.is_some_and(|digits| value::number(digits, 0, u32::MAX).is_ok()) {
        fields.report(Severity::Warning, "metric", "below 0; using 0");
        return 0;
    }
    let metric = fields.number("metric");
    if metric > LARGEST_SHELL_METRIC {
        fields.report(
            Severity::Note,
            "metric",
            "works, but mwan3 before version 3 left out members above 256",
        );
    }
    metric
}

fn weight(fields: &mut Fields<'_>) -> Option<u32> {
    if fields.text("weight").as_deref() == Some("0") {
        fields.report(Severity::Warning, "weight", "no share at all; the member is left out");
        return None;
    }
    Some(fields.number("weight"))
}

pub(super) fn read_policies(
    sections: &Sections<'_>,
    members: &Members,
    file: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Policy> {
    let mut policies = Vec::new();
    for section in sections.of(SectionKind::Policy) {
        let mut fields = Fields::new(section, SectionKind::Policy, file, problems);
        let last_resort = match fields.choice("last_resort") {
            "blackhole" => LastResort::Blackhole,
            "default" => LastResort::Default,
            _ => LastResort::Unreachable,
        };
        let members = members_of(&mut fields, members);
        let sessions = sessions(&mut fields);
        policies.push(Policy { name: fields.name(), members, last_resort, sessions });
    }
    policies
}

fn sessions(fields: &mut Fields<'_>) -> SessionPolicy {
    let mut fate = |option| {
        let show = |fate: &SessionFate| value::session_fate_text(*fate);
        fields.value(option, &value::session_fate, &show)
    };
    let (on_fail, on_recover) = (fate("on_fail"), fate("on_recover"));
    SessionPolicy { on_fail, on_recover, hold_ms: fields.duration_ms("hold") }
}

fn members_of(fields: &mut Fields<'_>, members: &Members) -> Vec<Member> {
    let mut found = Vec::new();
    for item in fields.items("use_member") {
        match members.get(&item.text) {
            // A member that was skipped has been told of where it stands.
            Some(member) => found.extend(member.clone()),
            None => {
                let closest = suggestion(&item.text, &mut members.keys().map(|name| &**name));
                let text = format!("no such member, left out{closest}");
                fields.report_item(Severity::Warning, "use_member", &item, &text);
            }
        }
    }
    found
}
