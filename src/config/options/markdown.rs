//! docs/reference/options.md, written from the table.

use std::fmt::Write as _;

use super::{DefaultValue, OptionSpec, SectionKind, ValueType};

pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for section in SectionKind::ALL {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## config {}\n\n{}\n\n", section.name(), about(section));
        page.push_str("| option | value | default | meaning |\n| --- | --- | --- | --- |\n");
        for spec in super::of_section(section) {
            let _ = writeln!(page, "{}", row(spec));
        }
    }
    page.push_str(CLOSING);
    page
}

const INTRODUCTION: &str = "\
# Options of /etc/config/mwan3

<!-- Written from the table in src/config/options.rs by `MWAN3_BLESS=1 cargo test --test docs`. -->

A value that cannot be used costs its own option or section: `mwan3 check` tells the line and what is used
instead, everything else keeps working.

* **yes/no**: `1 on true yes enabled` or `0 off false no disabled`.
* **time**: seconds, with a fraction (`0.5`) or a unit (`200ms`, `10s`) if wanted.
* **list**: one `list` line for each value; a single `option` works too.
";

const CLOSING: &str = "
Options of earlier versions (`local_source`, `rtmon_interval`, `online_metric`, `enabled` in globals) are taken
without a word and have no effect. `flush_conntrack` also takes the old `always` (ifup and ifdown) and `never`.
";

pub(super) fn about(section: SectionKind) -> &'static str {
    match section {
        SectionKind::Globals => "One section, named `globals`.",
        SectionKind::Interface => {
            "One for each uplink and address family, named as the logical interface. Its position among the interface \
             sections is its number: routing table, mark and rule priorities follow from it."
        }
        SectionKind::Member => "An interface with a metric and a weight, for use in policies.",
        SectionKind::Policy => "Members that share traffic or stand in for each other.",
        SectionKind::Rule => {
            "Which traffic takes which policy. The first rule that matches decides; what no rule matches takes table main."
        }
        SectionKind::Alert => {
            "Whom to tell when an interface is lost or back: once per change, by the tracker, which never waits for it. \
             `mwan3 notify test` sends a test."
        }
    }
}

fn row(spec: &OptionSpec) -> String {
    let list = if spec.list { "list of " } else { "" };
    let default = default_text(spec);
    let luci = if spec.luci { "" } else { " Not in LuCI." };
    format!("| `{}` | {list}{} | {default} | {}{luci} |", spec.name, value(spec), spec.help)
}

pub(super) fn default_text(spec: &OptionSpec) -> String {
    match spec.default {
        DefaultValue::None => "–".to_owned(),
        DefaultValue::Required => "required".to_owned(),
        DefaultValue::SameAs(other) => format!("value of `{other}`"),
        DefaultValue::Value(text) => format!("`{text}`"),
    }
}

pub(super) fn value(spec: &OptionSpec) -> String {
    let quoted =
        |choices: &[&str]| choices.iter().map(|choice| format!("`{choice}`")).collect::<Vec<_>>().join(", ");
    match spec.value {
        ValueType::Bool => "yes/no".to_owned(),
        ValueType::Number { min, max, unit } => {
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            if max == u32::MAX { format!("number from {min}{unit}") } else { format!("{min}–{max}{unit}") }
        }
        ValueType::Duration { min_ms, max_ms } => {
            format!(
                "time, {} to {}",
                super::super::value::duration_text(min_ms),
                super::super::value::duration_text(max_ms)
            )
        }
        ValueType::Choice { choices } => quoted(choices),
        ValueType::Mask => "hexadecimal or decimal number".to_owned(),
        ValueType::RoutingTable => "table numbers".to_owned(),
        ValueType::Host if spec.list => "addresses or host names".to_owned(),
        ValueType::Host => "address or host name".to_owned(),
        ValueType::IpAddress => "address".to_owned(),
        ValueType::AddressAndPort => "`address:port`".to_owned(),
        ValueType::Addresses => "addresses with `/length` or `/mask`, or comma lists of them".to_owned(),
        ValueType::Ports => "ports or ranges (`80`, `1024-2048`), or comma lists of them".to_owned(),
        ValueType::Protocol => "name, number or `all`".to_owned(),
        ValueType::Device => "device name".to_owned(),
        ValueType::Network => "logical interface".to_owned(),
        ValueType::Ipset => "set name".to_owned(),
        ValueType::SessionFate => "`keep`, `drop`, `drop_udp`, `drain` and a time".to_owned(),
        ValueType::DailyWindow => "`HH:MM-HH:MM`".to_owned(),
        ValueType::Reference { to } if spec.list => format!("{} sections, by name", to.name()),
        ValueType::Reference { to } => format!("{} section, by name", to.name()),
        ValueType::Text => "text".to_owned(),
        ValueType::PolicyOr { choices } => format!("name of a policy, {}", quoted(choices)),
    }
}
