//! The configuration beside the observed network: uplinks that do not exist, share a device, or have no
//! default route of their own in table main.

use crate::address::Family;
use crate::config::options::SectionKind;
use crate::config::problem::Severity;
use crate::config::{Config, Interface};
use crate::network::{Network, Route, TABLE_MAIN};

use super::Report;

pub(super) fn check(config: &Config, network: &Network, report: &mut Report<'_>) {
    // What was met already, with the interface it belongs to.
    let mut devices: Vec<(Family, &str, &str)> = Vec::new();
    let mut defaults: Vec<(&Route, &str)> = Vec::new();
    for interface in config.interfaces.iter().filter(|interface| interface.enabled) {
        let place = (SectionKind::Interface, &*interface.name);
        report_foreign_routes(interface, network, report);
        let Some((_, found)) = network.true_interface(&interface.name, interface.family) else {
            report.about(
                Severity::Warning,
                place,
                "enabled, but the host has no interface of this name".to_owned(),
            );
            continue;
        };
        let Some(device) = found.device.as_deref().filter(|_| found.up) else { continue };
        let same =
            |(family, other, _): &&(Family, &str, &str)| *family == interface.family && *other == device;
        let user = devices.iter().rev().find(same).map(|(.., user)| *user);
        devices.push((interface.family, device, &interface.name));
        if let Some(other) = user {
            let text = format!(
                "uses device {device} as interface {other} does: what comes in by it counts as {other}'s"
            );
            report.about(Severity::Warning, place, text);
            continue;
        }
        let routes: Vec<&Route> = default_routes(network, interface.family, device).collect();
        let mut gateways = interface.gateway.iter().chain(&found.gateways);
        if routes.is_empty() && !gateways.any(|gateway| Family::of(*gateway) == interface.family) {
            report.about(Severity::Warning, place, no_default_route(interface, device));
        }
        report_shared_metrics(interface, routes, &mut defaults, report);
    }
    report_unknown_source_interfaces(config, network, report);
}

fn report_shared_metrics<'a>(
    interface: &'a Interface,
    routes: Vec<&'a Route>,
    defaults: &mut Vec<(&'a Route, &'a str)>,
    report: &mut Report<'_>,
) {
    for route in routes {
        let same = |(other, _): &&(&Route, &str)| {
            other.family == route.family && other.metric == route.metric && other.source == route.source
        };
        match defaults.iter().find(same) {
            None => defaults.push((route, &interface.name)),
            Some((_, other)) if *other == interface.name => {}
            Some((_, other)) => {
                let text = format!(
                    "its default route has metric {}, as that of interface {other}: give each its own `metric`",
                    route.metric
                );
                report.about(Severity::Warning, (SectionKind::Interface, &interface.name), text);
            }
        }
    }
}

/// We leave them alone, so traffic of the uplink may follow them.
fn report_foreign_routes(interface: &Interface, network: &Network, report: &mut Report<'_>) {
    let table = u32::from(interface.id);
    let mut foreign =
        network.routes.iter().filter(|route| route.table == table && route.family == interface.family);
    if let Some(route) = foreign.next() {
        let text =
            format!("its routing table {table} also holds routes of somebody else's, such as: {route}");
        report.about(Severity::Warning, (SectionKind::Interface, &interface.name), text);
    }
}

fn default_routes<'a>(
    network: &'a Network,
    family: Family,
    device: &'a str,
) -> impl Iterator<Item = &'a Route> {
    network.routes.iter().filter(move |route| {
        route.table == TABLE_MAIN
            && route.family == family
            && route.is_default()
            && route.devices().any(|name| name == device)
    })
}

fn no_default_route(interface: &Interface, device: &str) -> String {
    format!(
        "table main has no {} default route by {device}: no traffic can leave there. Give interface {} its own \
         `metric` in the network configuration",
        interface.family, interface.name
    )
}

fn report_unknown_source_interfaces(config: &Config, network: &Network, report: &mut Report<'_>) {
    for rule in &config.rules {
        let Some(source) = &rule.source_interface else { continue };
        let is_known = rule.families.iter().any(|family| network.true_interface(source, *family).is_some());
        if !is_known {
            let text = format!("the host has no interface {source}: the rule matches nothing until it has");
            report.about_option(Severity::Warning, (SectionKind::Rule, &rule.name), "src_iface", text);
        }
    }
}
