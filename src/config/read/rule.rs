//! Rule sections. A test that cannot be read must never widen its rule: a rule left with none of the
//! addresses, ports or the protocol it was written for is skipped.

use crate::address::{AddressMatch, Family, PortRange};
use crate::config::fields::Fields;
use crate::config::options::SectionKind;
use crate::config::problem::{Problem, Severity};
use crate::config::value;
use crate::config::{Policy, Protocol, Rule, Target};
use crate::sorted::SortedSet;

use super::{Sections, suggestion};

const RULE_SKIPPED: &str = "; the rule is skipped";

pub(super) fn read_all(
    sections: &Sections<'_>,
    policies: &[Policy],
    file: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Rule> {
    let policies: SortedSet<&str> = policies.iter().map(|policy| &*policy.name).collect();
    let mut rules = Vec::new();
    for section in sections.of(SectionKind::Rule) {
        let mut fields = Fields::new(section, SectionKind::Rule, file, problems);
        rules.extend(read(&mut fields, &policies));
    }
    rules
}

/// Everything is read before a rule is given up, so that all its mistakes are told at once.
fn read(fields: &mut Fields<'_>, policies: &SortedSet<&str>) -> Option<Rule> {
    let target = target(fields, policies);
    let protocol = protocol(fields);
    let addresses = Addresses::read(fields);
    let source_ports = ports(fields, "src_port", protocol);
    let destination_ports = ports(fields, "dest_port", protocol);
    let ipset = match fields.has("ipset") {
        true => Some(fields.optional("ipset", RULE_SKIPPED, &value::ipset)),
        false => None,
    };
    let sticky_s = sticky(fields, target.as_ref());
    let log = fields.boolean("logging");
    let addresses = addresses?;
    Some(Rule {
        name: fields.name(),
        families: addresses.families,
        protocol: protocol?,
        sources: addresses.sources,
        destinations: addresses.destinations,
        source_ports: source_ports?,
        destination_ports: destination_ports?,
        source_interface: fields.text("src_iface"),
        ipset: match ipset {
            Some(found) => Some(found?),
            None => None,
        },
        sticky_s,
        log,
        target: target?,
    })
}

fn target(fields: &mut Fields<'_>, policies: &SortedSet<&str>) -> Option<Target> {
    let Some(name) = fields.text("use_policy") else {
        fields.report_section(Severity::Error, "names no policy (use_policy); the rule is skipped");
        return None;
    };
    match &*name {
        "default" => Some(Target::Default),
        "unreachable" => Some(Target::Unreachable),
        "blackhole" => Some(Target::Blackhole),
        policy if policies.contains(policy) => Some(Target::Policy(policy.to_owned())),
        unknown => {
            let closest = suggestion(unknown, &mut policies.iter().copied());
            fields.report(
                Severity::Error,
                "use_policy",
                &format!("no such policy; the rule is skipped{closest}"),
            );
            None
        }
    }
}

fn protocol(fields: &mut Fields<'_>) -> Option<Protocol> {
    if fields.has("proto") {
        fields.optional("proto", RULE_SKIPPED, &value::protocol)
    } else {
        Some(Protocol::Any)
    }
}

/// A value the rule cannot do without.
fn ports(fields: &mut Fields<'_>, option: &str, protocol: Option<Protocol>) -> Option<Vec<PortRange>> {
    if !fields.has(option) {
        return Some(Vec::new());
    }
    if protocol.is_some_and(|protocol| !value::has_ports(protocol)) {
        fields.report(Severity::Warning, option, "ports need proto tcp or udp; left out");
        return Some(Vec::new());
    }
    some_of(fields, option, &value::port_range)
}

/// Those of the values that can be read; None if there is none, for then the rule would match too much.
fn some_of<T>(
    fields: &mut Fields<'_>,
    option: &str,
    parse: &dyn Fn(&str) -> value::Parsed<T>,
) -> Option<Vec<T>> {
    let values = fields.list(option, parse);
    if values.is_empty() {
        fields.report_section(Severity::Error, &format!("no usable value of {option}; the rule is skipped"));
        return None;
    }
    Some(values)
}

fn sticky(fields: &mut Fields<'_>, target: Option<&Target>) -> Option<u32> {
    let timeout_s = fields.number("timeout");
    if !fields.boolean("sticky") {
        return None;
    }
    match target {
        None | Some(Target::Policy(_)) => Some(timeout_s),
        Some(_) => {
            fields.report(
                Severity::Warning,
                "sticky",
                "has no effect: use_policy is not a policy of interfaces",
            );
            None
        }
    }
}

struct Addresses {
    families: Vec<Family>,
    sources: Vec<AddressMatch>,
    destinations: Vec<AddressMatch>,
}

impl Addresses {
    /// None if the rule must be skipped.
    fn read(fields: &mut Fields<'_>) -> Option<Addresses> {
        let wanted: &[Family] = match fields.choice("family") {
            "ipv4" => &[Family::Ipv4],
            "ipv6" => &[Family::Ipv6],
            _ => &Family::BOTH,
        };
        let sources = addresses(fields, "src_ip", wanted);
        let destinations = addresses(fields, "dest_ip", wanted);
        let (mut sources, mut destinations) = (sources?, destinations?);
        let has = |list: &[AddressMatch], family: Family| {
            list.is_empty() || list.iter().any(|address| address.family == family)
        };
        let families: Vec<Family> = wanted
            .iter()
            .copied()
            .filter(|family| has(&sources, *family) && has(&destinations, *family))
            .collect();
        if families.is_empty() {
            let text =
                "src_ip and dest_ip are of different families, so nothing can match; the rule is skipped";
            fields.report_section(Severity::Error, text);
            return None;
        }
        for (option, list) in [("src_ip", &mut sources), ("dest_ip", &mut destinations)] {
            let before = list.len();
            list.retain(|address| families.contains(&address.family));
            if list.len() < before {
                let text = "some of these addresses can never match: the other side has none of their family";
                fields.report(Severity::Warning, option, text);
            }
        }
        Some(Addresses { families, sources, destinations })
    }
}

/// Empty where the option is missing, None where it leaves nothing to match.
fn addresses(fields: &mut Fields<'_>, option: &str, wanted: &[Family]) -> Option<Vec<AddressMatch>> {
    if !fields.has(option) {
        return Some(Vec::new());
    }
    some_of(fields, option, &|text| {
        let address = value::address(text)?;
        if wanted.contains(&address.family) {
            Ok(address)
        } else {
            Err(format!("an {} address in a rule of the other family", address.family))
        }
    })
}
