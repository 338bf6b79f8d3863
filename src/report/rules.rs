//! The user rules with their counters, in the columns people know from `iptables -L -v -n`.

use std::fmt::Display;

use crate::address::{AddressMatch, Family};
use crate::config::{Protocol, Rule, Target};
use crate::json::{Json, Object};
use crate::plan::{counter_chain, protocol_number};

use super::{Snapshot, families};

/// With `is_verbose` each line ends with the rule's name and what the shell package never showed: which
/// special target, sticky timeout.
pub fn rules_text(snapshot: &Snapshot, is_verbose: bool) -> String {
    let mut text = String::new();
    for &family in families(snapshot) {
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

pub fn rules_json(snapshot: &Snapshot) -> Json {
    let mut rules = Vec::new();
    for rule in &snapshot.config.rules {
        rules.push(Json::Object(rule_json(snapshot, rule)));
    }
    Json::Array(rules)
}

fn rule_json(snapshot: &Snapshot, rule: &Rule) -> Object {
    let set = rule.ipset.as_ref().map(|set| format!("{}{}", if set.negated { "!" } else { "" }, set.name));
    let mut object = Object::new();
    object.put("dest_ip", texts(&rule.destinations));
    object.put("dest_port", texts(&rule.destination_ports));
    object.put("families", texts(&rule.families));
    for family in Family::BOTH {
        let counted = counter(snapshot, rule, family).map(|counted| Json::Object(counted_json(counted)));
        object.put(family.name(), counted.unwrap_or_default());
    }
    object.put("ipset", set.map(Json::Text).unwrap_or_default());
    object.flag("logging", rule.log);
    object.text("name", &rule.name);
    object.text("proto", &protocol_text(rule.protocol, Family::Ipv4));
    object.put("src_iface", rule.source_interface.as_deref().map(Json::from).unwrap_or_default());
    object.put("src_ip", texts(&rule.sources));
    object.put("src_port", texts(&rule.source_ports));
    object.flag("sticky", rule.sticky_s.is_some());
    object.put("timeout", rule.sticky_s.map(Json::from).unwrap_or_default());
    object.text("use_policy", target_name(&rule.target));
    object.sort();
    object
}

fn texts<T: Display>(values: &[T]) -> Json {
    let mut items = Vec::new();
    for value in values {
        items.push(Json::Text(value.to_string()));
    }
    Json::Array(items)
}

fn counted_json((packets, bytes): (u64, u64)) -> Object {
    let mut object = Object::new();
    object.number("bytes", bytes);
    object.number("packets", packets);
    object
}

/// Some of the rules, without what they do not say. `is_brief`: name and counters only.
pub fn rules_page_json(snapshot: &Snapshot, offset: usize, limit: usize, is_brief: bool) -> Json {
    let mut rules = Vec::new();
    for rule in snapshot.config.rules.iter().skip(offset).take(limit) {
        rules.push(Json::Object(match is_brief {
            true => brief_json(snapshot, rule),
            false => {
                let mut rule = rule_json(snapshot, rule);
                rule.retain(says_something);
                rule
            }
        }));
    }
    Json::Array(rules)
}

fn brief_json(snapshot: &Snapshot, rule: &Rule) -> Object {
    let mut sum = (0_u64, 0_u64);
    for family in Family::BOTH {
        let (packets, bytes) = counter(snapshot, rule, family).unwrap_or_default();
        sum = (sum.0.saturating_add(packets), sum.1.saturating_add(bytes));
    }
    let mut object = counted_json(sum);
    object.text("name", &rule.name);
    object.sort();
    object
}

/// Readers take what is missing for what is empty.
fn says_something(name: &str, value: &Json) -> bool {
    match value {
        Json::Array(families) if name == "families" => families.len() == 1,
        Json::Array(items) => !items.is_empty(),
        Json::Null | Json::Bool(false) => false,
        _ => true,
    }
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
                let mut list = Vec::new();
                for range in ports {
                    list.push(range.to_string().replace('-', ":"));
                }
                line.push_str(&format!(" multiport {label} {}", list.join(",")));
            }
        }
        line.push(' ');
        line
    }

    fn addresses(&self, addresses: &[AddressMatch]) -> String {
        let mut ours = Vec::new();
        for address in addresses {
            if address.family == self.family {
                ours.push(address.to_string());
            }
        }
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
