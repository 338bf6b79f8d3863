//! Our table as the kernel holds it, for a bug report: of a rule there is its fingerprint, since no more comes back.

use std::fmt;

use super::diff::{Observed, ObservedRule, ObservedSet};
use crate::address::{Family, Span};

impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.exists, self.is_dormant) {
            (false, _) => "no table\n",
            (true, false) => "table\n",
            (true, true) => "table, dormant\n",
        })?;
        for (name, set) in &self.sets {
            write_set(name, set, f)?;
        }
        for (name, chain) in &self.chains {
            write!(f, "chain {name}")?;
            if let Some(base) = &chain.base {
                write!(f, ", {base}")?;
            }
            f.write_str(if chain.is_foreign { ", not of our making\n" } else { "\n" })?;
            for rule in &chain.rules {
                write_rule(rule, f)?;
            }
        }
        Ok(())
    }
}

fn write_set(name: &str, set: &ObservedSet, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let filled_by = if set.is_dynamic { ", filled by packets" } else { "" };
    writeln!(f, "set {name} of {}{filled_by}", set.key_type)?;
    let family = match &*set.key_type {
        "ipv4_addr" => Some(Family::Ipv4),
        "ipv6_addr" => Some(Family::Ipv6),
        _ => None,
    };
    for Span { low, high } in set.elements.iter().flatten() {
        match family {
            Some(family) => writeln!(f, "\t{}-{}", family.address(*low), family.address(*high))?,
            // Marks and ports are short.
            None => writeln!(f, "\t{}-{}", *low as u64, *high as u64)?,
        }
    }
    Ok(())
}

fn write_rule(rule: &ObservedRule, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match rule.fingerprint {
        Some(fingerprint) => write!(f, "\trule {fingerprint:016x}")?,
        None => f.write_str("\trule of somebody else")?,
    }
    match rule.counter {
        Some((packets, bytes)) => writeln!(f, " packets {packets} bytes {bytes}"),
        None => f.write_str("\n"),
    }
}
