//! Each uplink as a page shows it: what the tracker measures, and what the host says of its device.

use serde_json::{Map, Value};

use crate::address::Family;
use crate::config::Interface;
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
    gauges: &Value,
    traffic: &[Traffic],
    only: Option<&str>,
    is_brief: bool,
) -> Value {
    let interfaces = snapshot.config.interfaces.iter();
    let wanted = interfaces.filter(|interface| only.is_none_or(|only| only == interface.name));
    Value::Array(
        wanted
            .map(|interface| {
                let mut members = state(snapshot, gauges, interface);
                if !is_brief {
                    attach(snapshot, traffic, interface, &mut members);
                }
                Value::Object(members)
            })
            .collect(),
    )
}

fn state(snapshot: &Snapshot, gauges: &Value, interface: &Interface) -> Map<String, Value> {
    let view = View::of(snapshot, interface);
    let live = gauges.get("interfaces").and_then(|all| all.get(&interface.name));
    let number = |name: &str| live.and_then(|live| live.get(name)?.as_u64());
    let status = live.and_then(|live| live.get("status")?.as_str()).unwrap_or_else(|| view.status());
    let track = snapshot.tracks.get(&interface.name);
    let in_files = |state: &str| {
        let targets = track.into_iter().flat_map(|track| track.targets.values());
        targets.filter(|target| target.status.as_deref() == Some(state)).count() as u64
    };
    let since_in_files = || match track.map_or(0, |track| track.offline_since_s) {
        0 => view.online_s(),
        offline_since_s => view.since(offline_since_s),
    };
    let mut members = Map::new();
    let mut tell = |name: &str, value: Value| members.insert(name.to_owned(), value);
    tell("name", interface.name.as_str().into());
    // Without targets the tracker has nothing to say that the files do not.
    tell("status", if interface.tracking.targets.is_empty() { view.status() } else { status }.into());
    tell("tracking", view.tracking().into());
    tell("since", number("since").unwrap_or_else(since_in_files).into());
    for state in ["up", "down"] {
        tell(state, number(state).unwrap_or_else(|| in_files(state)).into());
    }
    tell("targets", interface.tracking.targets.len().into());
    if let Some(round_trip_us) = number("rtt_us") {
        tell("rtt", (round_trip_us / 100).into());
    }
    if let Some(loss) = number("loss").filter(|_| !interface.tracking.targets.is_empty()) {
        tell("loss", loss.into());
    }
    members
}

fn attach(snapshot: &Snapshot, traffic: &[Traffic], interface: &Interface, members: &mut Map<String, Value>) {
    let (network, name) = (&snapshot.network, &interface.name);
    let mut tell = |name: &str, value: Value| members.insert(name.to_owned(), value);
    tell("id", interface.id.into());
    tell("family", interface.family.to_string().into());
    tell("enabled", interface.enabled.into());
    tell("mark", snapshot.config.globals.mask.interface(interface.id).into());
    tell("taken_down", (snapshot.health.get(name) == Some(&Verdict::TakenDown)).into());
    let found = network.true_interface(name, interface.family).map(|(_, found)| found);
    let Some(device) = found.filter(|found| found.up).and_then(|found| found.device.as_deref()) else {
        return;
    };
    tell("device", device.into());
    if let Some(address) = network.source_address(name, interface.family) {
        tell("address", address.to_string().into());
    }
    if let Some(route) = default_route(network, device, interface.family) {
        tell("metric", route.metric.into());
        let hop = route.hops.iter().find(|hop| hop.device.as_deref() == Some(device));
        if let Some(gateway) = hop.and_then(|hop| hop.gateway) {
            tell("gateway", gateway.to_string().into());
        }
    }
    if let Some(counted) = traffic.iter().find(|counted| counted.device == device) {
        tell("rx_bytes", counted.received.into());
        tell("tx_bytes", counted.sent.into());
    }
}

fn default_route<'a>(network: &'a Network, device: &str, family: Family) -> Option<&'a Route> {
    let routes = network.routes.iter();
    let ways_out = routes.filter(|route| {
        let leads_out = route.hops.iter().any(|hop| hop.device.as_deref() == Some(device));
        route.table == TABLE_MAIN && route.family == family && route.is_default() && leads_out
    });
    ways_out.min_by_key(|route| route.metric)
}
