//! The user rules with their counters, in the columns people know from `iptables -L -v -n`.

use serde_json::{Value, json};

use crate::address::{AddressMatch, Family, PortRange};
use crate::config::{Protocol, Rule, Target};
use crate::plan::{counter_chain, protocol_number};

use super::Snapshot;

/// With `is_verbose` each line ends with the rule's name and what the shell package never showed: which
/// special target, sticky timeout.
pub fn rules_text(snapshot: &Snapshot, is_verbose: bool) -> String {
    let mut text = String::new();
    for family in
        Family::BOTH.into_iter().filter(|family| *family == Family::Ipv4 || snapshot.network.has_ipv6)
    {
        text.push_str(&format!("Active {family} user rules:\n"));
        for rule in &snapshot.config.rules {
            let Some((packets, bytes)) = counter(snapshot, rule, family) else { continue };
            let line = Line { snapshot, rule, family };
            text.push_str(&format!("{} {} {}", amount(packets), amount(bytes), line.columns()));
            if is_verbose {
                text.push_str(&line.verbose());
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

pub fn rules_json(snapshot: &Snapshot) -> Value {
    Value::Array(snapshot.config.rules.iter().map(|rule| rule_json(snapshot, rule)).collect())
}

fn rule_json(snapshot: &Snapshot, rule: &Rule) -> Value {
    let counted = |family: Family| {
        counter(snapshot, rule, family).map(|(packets, bytes)| json!({ "packets": packets, "bytes": bytes }))
    };
    let texts =
        |addresses: &[AddressMatch]| -> Vec<String> { addresses.iter().map(ToString::to_string).collect() };
    let ports = |ranges: &[PortRange]| -> Vec<String> { ranges.iter().map(ToString::to_string).collect() };
    json!({
        "name": rule.name,
        "families": rule.families,
        "proto": protocol_text(rule.protocol, Family::Ipv4),
        "src_ip": texts(&rule.sources),
        "dest_ip": texts(&rule.destinations),
        "src_port": ports(&rule.source_ports),
        "dest_port": ports(&rule.destination_ports),
        "src_iface": rule.source_interface,
        "ipset": rule.ipset.as_ref().map(|set| format!("{}{}", if set.negated { "!" } else { "" }, set.name)),
        "sticky": rule.sticky_s.is_some(),
        "timeout": rule.sticky_s,
        "logging": rule.log,
        "use_policy": target_name(&rule.target),
        "ipv4": counted(Family::Ipv4),
        "ipv6": counted(Family::Ipv6),
    })
}

/// Some of the rules, without what they do not say. `is_brief`: name and counters only.
pub fn rules_page_json(snapshot: &Snapshot, offset: usize, limit: usize, is_brief: bool) -> Value {
    let rules = snapshot.config.rules.iter().skip(offset).take(limit);
    if is_brief {
        let counted = rules.map(|rule| {
            let counts = Family::BOTH.map(|family| counter(snapshot, rule, family).unwrap_or_default());
            let (packets, bytes) = counts
                .iter()
                .fold((0_u64, 0_u64), |sum, one| (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1)));
            json!({ "name": rule.name, "packets": packets, "bytes": bytes })
        });
        return Value::Array(counted.collect());
    }
    Value::Array(rules.map(|rule| without_silence(rule_json(snapshot, rule))).collect())
}

/// Readers take what is missing for what is empty.
fn without_silence(mut rule: Value) -> Value {
    if let Some(members) = rule.as_object_mut() {
        let is_silent =
            |value: &Value| value.is_null() || *value == false || value.as_array().is_some_and(Vec::is_empty);
        members.retain(|name, value| match name.as_str() {
            "families" => value.as_array().is_some_and(|families| families.len() == 1),
            _ => !is_silent(value),
        });
    }
    rule
}

/// `None` while the kernel does not hold the rule.
pub(super) fn counter(snapshot: &Snapshot, rule: &Rule, family: Family) -> Option<(u64, u64)> {
    let chain = snapshot.ruleset.chains.get(&counter_chain(&rule.name, family))?;
    chain.rules.iter().find_map(|rule| rule.counter)
}

struct Line<'a> {
    snapshot: &'a Snapshot,
    rule: &'a Rule,
    family: Family,
}

impl Line<'_> {
    fn columns(&self) -> String {
        let target = match (&self.rule.target, self.rule.sticky_s) {
            (Target::Policy(_), Some(_)) => format!("S {}", self.rule.name),
            (Target::Policy(policy), None) => format!("- {policy}"),
            _ => format!("{:<9}", "MARK"),
        };
        let device = match &self.rule.source_interface {
            None => "*",
            Some(name) => self
                .snapshot
                .network
                .interfaces
                .get(name)
                .and_then(|found| found.device.as_deref())
                .unwrap_or("?"),
        };
        let mut line = format!(
            "{target}  {:<4} --  {device:<6} {:<6}  {:<19}  {:<19} ",
            protocol_text(self.rule.protocol, self.family),
            "*",
            self.addresses(&self.rule.sources),
            self.addresses(&self.rule.destinations),
        );
        if let Some(set) = &self.rule.ipset {
            line.push_str(&format!(" {}match-set {} dst", if set.negated { "! " } else { "" }, set.name));
        }
        for (ports, label) in [(&self.rule.source_ports, "sports"), (&self.rule.destination_ports, "dports")]
        {
            if !ports.is_empty() {
                let list: Vec<String> =
                    ports.iter().map(|range| range.to_string().replace('-', ":")).collect();
                line.push_str(&format!(" multiport {label} {}", list.join(",")));
            }
        }
        line.push(' ');
        line
    }

    fn addresses(&self, addresses: &[AddressMatch]) -> String {
        let ours: Vec<String> =
            addresses.iter().filter(|one| one.family == self.family).map(ToString::to_string).collect();
        match (ours.is_empty(), self.family) {
            (true, Family::Ipv4) => "0.0.0.0/0".to_owned(),
            (true, Family::Ipv6) => "::/0".to_owned(),
            (false, _) => ours.join(","),
        }
    }

    fn verbose(&self) -> String {
        let sticky =
            self.rule.sticky_s.map(|timeout_s| format!(", sticky {timeout_s} s")).unwrap_or_default();
        format!("[{} -> {}{sticky}]", self.rule.name, target_name(&self.rule.target))
    }
}

fn target_name(target: &Target) -> &str {
    match target {
        Target::Policy(name) => name,
        Target::Default => "default",
        Target::Unreachable => "unreachable",
        Target::Blackhole => "blackhole",
    }
}

fn protocol_text(protocol: Protocol, family: Family) -> String {
    match protocol_number(protocol, family) {
        None => "all".to_owned(),
        Some(1) => "icmp".to_owned(),
        Some(6) => "tcp".to_owned(),
        Some(17) => "udp".to_owned(),
        Some(47) => "gre".to_owned(),
        Some(50) => "esp".to_owned(),
        Some(51) => "ah".to_owned(),
        Some(58) => "icmpv6".to_owned(),
        Some(132) => "sctp".to_owned(),
        Some(number) => number.to_string(),
    }
}

/// iptables' five columns: large counts are rounded to K, M, G, T.
fn amount(count: u64) -> String {
    if count < 100_000 {
        return format!("{count:5}");
    }
    let mut scaled = count;
    for unit in ["K", "M", "G"] {
        scaled = scaled.saturating_add(500) / 1000;
        if scaled <= 9_999 {
            return format!("{scaled:4}{unit}");
        }
    }
    format!("{:4}T", scaled.saturating_add(500) / 1000)
}
