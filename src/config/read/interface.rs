//! Interface sections. Their ids are positions over all of them, so that a section which is skipped keeps
//! its id to itself and no other interface's mark or table moves.

use std::net::IpAddr;

use crate::address::Family;
use crate::config::fields::{Fields, LEFT_OUT};
use crate::config::options::SectionKind;
use crate::config::problem::{Problem, Severity};
use crate::config::value;
use crate::config::{Failback, FlushOn, Globals, Interface, Quality, TrackMethod, Tracking};
use crate::mark::InterfaceId;

use super::Sections;

pub(super) fn read_all(
    sections: &Sections<'_>,
    globals: &Globals,
    file: &str,
    problems: &mut Vec<Problem>,
) -> Vec<Interface> {
    let room = globals.mask.max_interfaces();
    let sections: Vec<_> = sections.of(SectionKind::Interface).collect();
    let mut interfaces = Vec::new();
    for (position, section) in (1..).zip(&sections) {
        let mut fields = Fields::new(section, SectionKind::Interface, file, problems);
        match InterfaceId::try_from(position) {
            Ok(id) if id <= room => interfaces.extend(read(&mut fields, id)),
            _ => {
                let skipped = sections.len().saturating_sub(usize::from(room));
                fields.report_section(
                    Severity::Error,
                    &format!(
                        "number {position}, but mmx_mask {} has room for {room} interfaces: it and all later ones \
                         are skipped ({skipped})",
                        globals.mask
                    ),
                );
                break;
            }
        }
    }
    interfaces
}

fn read(fields: &mut Fields<'_>, id: InterfaceId) -> Option<Interface> {
    let family = match fields.text("family").as_deref() {
        None | Some("ipv4") => Family::Ipv4,
        Some("ipv6") => Family::Ipv6,
        Some(_) => {
            fields.report(Severity::Error, "family", "neither ipv4 nor ipv6; the interface is skipped");
            return None;
        }
    };
    Some(Interface {
        name: fields.name(),
        id,
        enabled: fields.boolean("enabled"),
        family,
        device: fields.optional("device", LEFT_OUT, &value::device),
        gateway: fields.optional("gateway", LEFT_OUT, &|text| gateway(text, family)),
        tracking: tracking(fields, family),
        failback: failback(fields),
        flush_conntrack: flush_conntrack(fields),
        flushes_all: fields.choice("flush_scope") == "all",
    })
}

fn gateway(text: &str, family: Family) -> value::Parsed<IpAddr> {
    let address = value::ip_address(text)?;
    if Family::of(address) == family { Ok(address) } else { Err(format!("not an {} address", name(family))) }
}

fn name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

fn tracking(fields: &mut Fields<'_>, family: Family) -> Tracking {
    Tracking {
        targets: fields.list("track_ip", &value::host),
        method: method(fields, family),
        port: fields.optional("track_port", LEFT_OUT, &value::port),
        dns_name: fields.value("nslookup_name", &value::host, &String::clone),
        initially_online: fields.choice("initial_state") == "online",
        reliability: fields.number("reliability"),
        count: fields.number("count"),
        size: fields.number("size"),
        max_ttl: fields.number("max_ttl"),
        timeout_ms: fields.duration_ms("timeout"),
        interval_ms: fields.duration_ms("interval"),
        failure_interval_ms: fields.duration_ms("failure_interval"),
        keep_failure_interval: fields.boolean("keep_failure_interval"),
        recovery_interval_ms: fields.duration_ms("recovery_interval"),
        confirm_interval_ms: fields.duration_ms("confirm_interval"),
        confirm_count: fields.number("confirm_count"),
        down: fields.number("down"),
        up: fields.number("up"),
        quality: quality(fields),
    }
}

fn method(fields: &mut Fields<'_>, family: Family) -> TrackMethod {
    let is_encrypted = fields.boolean("httping_ssl");
    match fields.choice("track_method") {
        "arping" | "nping-arp" if family == Family::Ipv6 => {
            fields.report(Severity::Warning, "track_method", "ARP is IPv4 only; using ping");
            TrackMethod::Ping
        }
        "arping" | "nping-arp" => TrackMethod::Arp,
        "httping" if is_encrypted => TrackMethod::Https,
        "httping" | "http" => TrackMethod::Http,
        "https" => TrackMethod::Https,
        "nping-tcp" | "tcp" => TrackMethod::Tcp,
        "nping-udp" | "udp" => TrackMethod::Udp,
        "nslookup" | "dns" => TrackMethod::Dns,
        _ => TrackMethod::Ping,
    }
}

/// The thresholds are read in any case, so that a mistake in them is told before they are switched on.
fn quality(fields: &mut Fields<'_>) -> Option<Quality> {
    let quality = Quality {
        failure_latency_ms: fields.number("failure_latency"),
        failure_loss_percent: fields.number("failure_loss"),
        recovery_latency_ms: fields.number("recovery_latency"),
        recovery_loss_percent: fields.number("recovery_loss"),
    };
    fields.boolean("check_quality").then_some(quality)
}

fn failback(fields: &mut Fields<'_>) -> Failback {
    let delay_ms = fields.duration_ms("failback_delay");
    let longest_delay_ms = fields.duration_ms("failback_delay_max");
    if delay_ms == 0 && longest_delay_ms > 0 {
        fields.report(Severity::Warning, "failback_delay_max", "no effect without failback_delay");
    } else if longest_delay_ms < delay_ms {
        fields.report(Severity::Warning, "failback_delay_max", "shorter than failback_delay; using that");
    }
    Failback {
        delay_ms,
        longest_delay_ms: longest_delay_ms.max(delay_ms),
        window: fields.optional("failback_window", LEFT_OUT, &value::daily_window),
    }
}

/// `always` and `never` are what the option took before it was a list.
fn flush_conntrack(fields: &mut Fields<'_>) -> Vec<FlushOn> {
    let mut events = Vec::new();
    for item in fields.items("flush_conntrack") {
        match &*item.text {
            "ifup" => events.push(FlushOn::Ifup),
            "ifdown" => events.push(FlushOn::Ifdown),
            "connected" => events.push(FlushOn::Connected),
            "disconnected" => events.push(FlushOn::Disconnected),
            "always" => events.extend_from_slice(&[FlushOn::Ifup, FlushOn::Ifdown]),
            "never" => {}
            _ => fields.report_item(
                Severity::Error,
                "flush_conntrack",
                &item,
                "not one of ifup, ifdown, connected, disconnected; left out",
            ),
        }
    }
    events
}
