//! What reading cannot see: sections that do not fit together, rules that never match, and, with an observed
//! network, uplinks the host does not have. Certain or silent: nothing is reported on a guess.

mod kernel;
mod network;
mod sessions;
mod shadow;
mod usage;

pub use kernel::{Advice, advice, settings_to_read};

use std::net::IpAddr;

use crate::address::Family;
use crate::network::Network;
use crate::sorted::{SortedMap, sort_by};
use crate::uci::{Package, Section};

use super::options::{SPECIAL_TARGETS, SectionKind};
use super::problem::{Problem, Severity};
use super::{Config, Interface, Policy};

/// `package` is what `config` was read from, for the lines; `file` is the name that problems show.
pub fn check(config: &Config, package: &Package, file: &str, network: Option<&Network>) -> Vec<Problem> {
    let mut report = Report::new(package, file);
    for interface in &config.interfaces {
        targets_can_answer(interface, &mut report);
    }
    for policy in &config.policies {
        name_is_free(policy, &mut report);
        interfaces_are_distinct(policy, &mut report);
    }
    usage::check(config, network, &mut report);
    sessions::check(config, &mut report);
    shadow::check(&config.rules, &mut report);
    if let Some(network) = network {
        network::check(config, network, &mut report);
        kernel::check(config, network, &mut report);
    }
    report.finish()
}

/// Collects problems and knows where in the file their sections stand.
struct Report<'a> {
    file: &'a str,
    sections: SortedMap<(SectionKind, &'a str), &'a Section>,
    problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    fn new(package: &'a Package, file: &'a str) -> Report<'a> {
        let sections = package
            .sections
            .iter()
            .filter_map(|section| Some(((SectionKind::from_name(&section.kind)?, &*section.name), section)))
            .collect();
        Report { file, sections, problems: Vec::new() }
    }

    fn about(&mut self, severity: Severity, (kind, name): (SectionKind, &str), text: String) {
        if let Some(section) = self.sections.get(&(kind, name)) {
            self.problems.push(Problem::of_section(severity, self.file, section, text));
        }
    }

    /// No section is to blame.
    fn about_host(&mut self, severity: Severity, text: String) {
        self.problems.push(Problem::of_kernel(severity, text));
    }

    /// The option's line is shown where the file has it.
    fn about_option(
        &mut self,
        severity: Severity,
        (kind, name): (SectionKind, &str),
        option: &str,
        text: String,
    ) {
        if let Some(section) = self.sections.get(&(kind, name)) {
            let line = match section.option(option) {
                Some(option) => option.value.line(),
                None => section.line,
            };
            self.problems.push(Problem {
                line,
                option: Some(option.to_owned()),
                ..Problem::of_section(severity, self.file, section, text)
            });
        }
    }

    fn has_option(&self, (kind, name): (SectionKind, &str), option: &str) -> bool {
        self.sections.get(&(kind, name)).is_some_and(|section| section.option(option).is_some())
    }

    fn line_of(&self, kind: SectionKind, name: &str) -> Option<u32> {
        self.sections.get(&(kind, name)).and_then(|section| section.line)
    }

    fn finish(mut self) -> Vec<Problem> {
        sort_by(&mut self.problems, &|one, other| one.line.cmp(&other.line));
        self.problems
    }
}

fn targets_can_answer(interface: &Interface, report: &mut Report<'_>) {
    let place = (SectionKind::Interface, &*interface.name);
    let targets = &interface.tracking.targets;
    let reliability = interface.tracking.reliability;
    if !targets.is_empty() && u32::try_from(targets.len()).is_ok_and(|count| count < reliability) {
        let text =
            format!("{reliability} targets must answer, but there are only {}: never online", targets.len());
        report.about_option(Severity::Warning, place, "reliability", text);
    }
    for target in targets {
        let address = target.split('%').next().and_then(|address| address.parse::<IpAddr>().ok());
        if address.is_some_and(|address| Family::of(address) != interface.family) {
            let text = format!("{target} can never answer: the interface is {}", interface.family);
            report.about_option(Severity::Warning, place, "track_ip", text);
        }
    }
}

fn name_is_free(policy: &Policy, report: &mut Report<'_>) {
    if SPECIAL_TARGETS.contains(&&*policy.name) {
        let text =
            format!("no rule can use this policy: use_policy '{}' has a meaning of its own", policy.name);
        report.about(Severity::Warning, (SectionKind::Policy, &policy.name), text);
    }
}

fn interfaces_are_distinct(policy: &Policy, report: &mut Report<'_>) {
    for (position, member) in policy.members.iter().enumerate() {
        let (metric, interface) = (member.metric, &member.interface);
        let before = policy.members.iter().take(position);
        let mut same = before.filter(|other| other.metric == metric && other.interface == *interface);
        // Told once, with the second of them.
        if let (Some(first), None) = (same.next(), same.next()) {
            let text = format!(
                "members {} and {} are both interface {interface} with metric {metric}: their weights add up",
                first.name, member.name
            );
            report.about_option(Severity::Warning, (SectionKind::Policy, &policy.name), "use_member", text);
        }
    }
}
