//! Each uplink as a page shows it: what the tracker measures, and what the host says of its device.

use crate::address::Family;
use crate::config::Interface;
use crate::json::{Json, Object};
use crate::network::{Network, Route, TABLE_MAIN};
use crate::plan::Verdict;

use super::Snapshot;
use super::interfaces::View;

/// Bytes that a device has received and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    pub device: String,
    pub received: u64,
    pub sent: u64,
}

/// `gauges`: what the tracker answers to the request of that name, null without one.
pub fn uplinks_json(
    snapshot: &Snapshot,
    gauges: &Json,
    traffic: &[Traffic],
    only: Option<&str>,
    is_brief: bool,
) -> Json {
    let mut uplinks = Vec::new();
    for interface in &snapshot.config.interfaces {
        if only.is_none_or(|only| only == interface.name) {
            let mut uplink = Object::new();
            put_state(snapshot, gauges, interface, &mut uplink);
            if !is_brief {
                put_attachment(snapshot, traffic, interface, &mut uplink);
            }
            uplink.sort();
            uplinks.push(Json::Object(uplink));
        }
    }
    Json::Array(uplinks)
}

fn put_state(snapshot: &Snapshot, gauges: &Json, interface: &Interface, uplink: &mut Object) {
    let view = View::of(snapshot, interface);
    let live = gauges.get("interfaces").and_then(|all| all.get(&interface.name)).unwrap_or(&Json::Null);
    let has_targets = !interface.tracking.targets.is_empty();
    // Without targets the tracker has nothing to say that the files do not.
    let status = live.get("status").and_then(Json::as_str).filter(|_| has_targets);
    uplink.text("name", &interface.name);
    uplink.text("status", status.unwrap_or_else(|| view.status()));
    uplink.text("tracking", view.tracking());
    uplink.number("since", live.number("since").unwrap_or_else(|| view.state_s()));
    for state in ["up", "down"] {
        uplink.number(state, live.number(state).unwrap_or_else(|| view.targets_in(state)));
    }
    uplink.number("targets", interface.tracking.targets.len() as u64);
    if let Some(round_trip_us) = live.number("rtt_us") {
        uplink.number("rtt", round_trip_us / 100);
    }
    if let Some(loss) = live.number("loss").filter(|_| has_targets) {
        uplink.number("loss", loss);
    }
}

fn put_attachment(snapshot: &Snapshot, traffic: &[Traffic], interface: &Interface, uplink: &mut Object) {
    let (network, name) = (&snapshot.network, &interface.name);
    uplink.number("id", interface.id.into());
    uplink.text("family", interface.family.name());
    uplink.flag("enabled", interface.enabled);
    uplink.number("mark", snapshot.config.globals.mask.interface(interface.id).into());
    uplink.flag("taken_down", snapshot.health.get(name) == Some(&Verdict::TakenDown));
    let found = network.true_interface(name, interface.family).map(|(_, found)| found);
    let Some(device) = found.filter(|found| found.up).and_then(|found| found.device.as_deref()) else {
        return;
    };
    uplink.text("device", device);
    if let Some(address) = network.source_address(name, interface.family) {
        uplink.text("address", &address.to_string());
    }
    if let Some(route) = default_route(network, device, interface.family) {
        uplink.number("metric", route.metric.into());
        let hop = route.hops.iter().find(|hop| hop.device.as_deref() == Some(device));
        if let Some(gateway) = hop.and_then(|hop| hop.gateway) {
            uplink.text("gateway", &gateway.to_string());
        }
    }
    if let Some(counted) = traffic.iter().find(|counted| counted.device == device) {
        uplink.number("rx_bytes", counted.received);
        uplink.number("tx_bytes", counted.sent);
    }
}

fn default_route<'a>(network: &'a Network, device: &str, family: Family) -> Option<&'a Route> {
    let mut best: Option<&Route> = None;
    for route in &network.routes {
        let leads_out = route.hops.iter().any(|hop| hop.device.as_deref() == Some(device));
        let is_way_out =
            route.table == TABLE_MAIN && route.family == family && route.is_default() && leads_out;
        if is_way_out && best.is_none_or(|best| route.metric < best.metric) {
            best = Some(route);
        }
    }
    best
}
