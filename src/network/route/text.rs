//! Routes in iproute2's words: one line each for logs and plans, and the listing of `ip route show`.

use std::fmt::{self, Display, Formatter};

use crate::address::Family;

use super::super::TABLE_MAIN;
use super::{Hop, MetricValue, Route, RouteKind, attribute, protocol_name, scope};

/// One line that `ip route add` takes, too, except for what iproute2 itself cannot read back.
impl Display for Route {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_head(f, self)?;
        if let ([hop], None) = (&self.hops[..], self.nexthop_id) {
            write_hop(f, self.family, hop)?;
        }
        if self.table != TABLE_MAIN {
            write!(f, " table {}", self.table)?;
        }
        write_tail(f, self)?;
        if self.nexthop_id.is_none() {
            write_multipath(f, self, " ")?;
        }
        Ok(())
    }
}

/// A route as the object of a command: a nexthop object and IPv6's reject routes are given without hops, and
/// an encapsulation, which has no short form, is only hinted at.
#[derive(Clone, Copy, Debug)]
pub struct RouteCommand<'a> {
    pub verb: &'a str,
    pub route: &'a Route,
}

impl Display for RouteCommand<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let flag = match self.route.family {
            Family::Ipv4 => "-4",
            Family::Ipv6 => "-6",
        };
        write!(f, "ip {flag} route {} {}", self.verb, self.route.canonical())
    }
}

/// What `ip route show table N` prints for these routes, line breaks and trailing blanks included.
pub fn listing<'a>(routes: impl IntoIterator<Item = &'a Route>) -> String {
    routes.into_iter().map(|route| Listed(route).to_string()).collect()
}

struct Listed<'a>(&'a Route);

impl Display for Listed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let route = self.0;
        write_head(f, route)?;
        if let [hop] = &route.hops[..] {
            write_hop(f, route.family, hop)?;
        }
        write_tail(f, route)?;
        // The preference is the one thing that iproute2 puts no blank behind.
        f.write_str(if route.family == Family::Ipv6 { "" } else { " " })?;
        write_multipath(f, route, "\n\t")?;
        f.write_str(if route.hops.len() > 1 { " \n" } else { "\n" })
    }
}

/// From the kind to where the hop stands.
fn write_head(f: &mut Formatter<'_>, route: &Route) -> fmt::Result {
    if route.kind != RouteKind::Unicast {
        write!(f, "{} ", route.kind.name())?;
    }
    if route.is_default() {
        f.write_str("default")?;
    } else {
        write!(f, "{}", route.destination)?;
    }
    if let Some(source) = &route.source {
        write!(f, " from {source}")?;
    }
    if route.tos != 0 {
        write!(f, " tos {:#04x}", route.tos)?;
    }
    match route.nexthop_id {
        Some(id) => write!(f, " nhid {id}"),
        None => Ok(()),
    }
}

/// From where the hop stands to the hops of a multipath route.
fn write_tail(f: &mut Formatter<'_>, route: &Route) -> fmt::Result {
    if route.protocol != BOOT {
        write_protocol(f, route.protocol)?;
    }
    match scope_name(route.scope) {
        _ if route.scope == scope::GLOBAL => {}
        Some(name) => write!(f, " scope {name}")?,
        None => write!(f, " scope {}", route.scope)?,
    }
    if let Some(source) = &route.preferred_source {
        write!(f, " src {source}")?;
    }
    if route.metric != 0 {
        write!(f, " metric {}", route.metric)?;
    }
    if let [hop] = &route.hops[..] {
        if hop.onlink {
            f.write_str(" onlink")?;
        }
        write_realms(f, hop)?;
    }
    write_metrics(f, route)?;
    if route.family == Family::Ipv6 {
        let preference = route.other.get(&attribute::PREFERENCE).and_then(|value| value.first());
        write!(f, " pref {}", preference_name(preference.copied().unwrap_or(0)))?;
    }
    Ok(())
}

pub(in crate::network) fn write_protocol(f: &mut Formatter<'_>, number: u8) -> fmt::Result {
    match protocol_name(number) {
        Some(name) => write!(f, " proto {name}"),
        None => write!(f, " proto {number}"),
    }
}

/// iproute2's words.
pub fn scope_name(number: u8) -> Option<&'static str> {
    match number {
        0 => Some("global"),
        200 => Some("site"),
        253 => Some("link"),
        254 => Some("host"),
        255 => Some("nowhere"),
        _ => None,
    }
}

fn write_multipath(f: &mut Formatter<'_>, route: &Route, separator: &str) -> fmt::Result {
    if route.hops.len() < 2 {
        return Ok(());
    }
    for (position, hop) in route.hops.iter().enumerate() {
        // In a listing the line before ends in a blank, but for the first, which has its own.
        let blank = if position > 0 && separator != " " { " " } else { "" };
        write!(f, "{blank}{separator}nexthop")?;
        write_hop(f, route.family, hop)?;
        write_realms(f, hop)?;
        write!(f, " weight {}", hop.weight.max(1))?;
        if hop.onlink {
            f.write_str(" onlink")?;
        }
    }
    Ok(())
}

fn write_hop(f: &mut Formatter<'_>, family: Family, hop: &Hop) -> fmt::Result {
    if hop.other.contains_key(&attribute::ENCAPSULATION) {
        f.write_str(" encap …")?;
    }
    if let Some(gateway) = hop.gateway {
        let other_family = match (family, Family::of(gateway)) {
            (Family::Ipv4, Family::Ipv6) => "inet6 ",
            (Family::Ipv6, Family::Ipv4) => "inet ",
            _ => "",
        };
        write!(f, " via {other_family}{gateway}")?;
    }
    match (&hop.device, hop.other.get(&attribute::DEVICE_INDEX)) {
        (Some(device), _) => write!(f, " dev {device}"),
        // iproute2's word for an index without a name.
        (None, Some(index)) => write!(f, " dev if{}", number(index)),
        (None, None) => Ok(()),
    }
}

fn write_realms(f: &mut Formatter<'_>, hop: &Hop) -> fmt::Result {
    match hop.other.get(&attribute::REALMS).map(|value| number(value)) {
        None => Ok(()),
        Some(both) if both >> 16 == 0 => write!(f, " realm {both}"),
        Some(both) => write!(f, " realms {}/{}", both >> 16, both & 0xffff),
    }
}

fn write_metrics(f: &mut Formatter<'_>, route: &Route) -> fmt::Result {
    let locked = match route.metrics.get(&LOCK) {
        Some(MetricValue::Number(bits)) => *bits,
        _ => 0,
    };
    for (metric, value) in route.metrics.iter().filter(|(metric, _)| **metric != LOCK) {
        match METRIC_NAMES.get(usize::from(*metric)) {
            Some(name) => write!(f, " {name}")?,
            None => write!(f, " metric {metric}")?,
        }
        if 1u32.checked_shl(u32::from(*metric)).unwrap_or(0) & locked != 0 {
            f.write_str(" lock")?;
        }
        match (value, *metric) {
            (MetricValue::Text(text), _) => write!(f, " {text}")?,
            (MetricValue::Number(1), FEATURES) => f.write_str(" ecn")?,
            (MetricValue::Number(bits), FEATURES) => write!(f, " {bits:#x}")?,
            // The kernel keeps the first two in eighths and quarters of a millisecond.
            (MetricValue::Number(eighths), RTT) => write_milliseconds(f, eighths / 8)?,
            (MetricValue::Number(quarters), RTT_VARIANCE) => write_milliseconds(f, quarters / 4)?,
            (MetricValue::Number(time_ms), RTO_MIN) => write_milliseconds(f, *time_ms)?,
            (MetricValue::Number(value), _) => write!(f, " {value}")?,
        }
    }
    Ok(())
}

fn write_milliseconds(f: &mut Formatter<'_>, time_ms: u32) -> fmt::Result {
    if time_ms >= 1000 && time_ms.is_multiple_of(1000) {
        write!(f, " {}s", time_ms / 1000)
    } else {
        write!(f, " {time_ms}ms")
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn preference_name(preference: u8) -> &'static str {
    // RFC 4191, two bits: 10 is reserved.
    match preference & 3 {
        0 => "medium",
        1 => "high",
        3 => "low",
        _ => "2",
    }
}

const BOOT: u8 = 3;
const LOCK: u16 = 1;
const RTT: u16 = 4;
const RTT_VARIANCE: u16 = 5;
const FEATURES: u16 = 12;
const RTO_MIN: u16 = 13;

/// RTAX_* as iproute2 spells them.
const METRIC_NAMES: [&str; 18] = [
    "",
    "lock",
    "mtu",
    "window",
    "rtt",
    "rttvar",
    "ssthresh",
    "cwnd",
    "advmss",
    "reordering",
    "hoplimit",
    "initcwnd",
    "features",
    "rto_min",
    "initrwnd",
    "quickack",
    "congctl",
    "fastopen_no_cookie",
];
