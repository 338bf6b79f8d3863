//! Networks, routes and rules as JSON, for dumps and support. What is empty is left out where `stored` does
//! not ask for it.

use std::net::IpAddr;

use crate::address::Prefix;
use crate::json::{Json, Object};
use crate::sorted::SortedMap;

use super::{
    Device, DeviceAddress, Hop, InterfaceAddress, IpRule, LogicalInterface, MetricValue, Network, Route,
    RuleAction,
};

impl Network {
    /// What `read` reads.
    pub fn json(&self) -> Json {
        let mut object = Object::new();
        let mut interfaces = Object::new();
        for (name, interface) in &self.interfaces {
            interfaces.put(name, interface.json());
        }
        object.put("interfaces", interfaces.into());
        object.put("devices", list(&self.devices, Device::json));
        object.put("routes", list(&self.routes, Route::json));
        object.flag("has_ipv6", self.has_ipv6);
        let mut sets = Object::new();
        for (name, set) in &self.fw4_sets {
            sets.put(name, list(set, prefix));
        }
        put_filled(&mut object, "fw4_sets", sets.into());
        object.into()
    }
}

impl LogicalInterface {
    fn json(&self) -> Json {
        let mut object = Object::new();
        object.flag("up", self.up);
        put_text(&mut object, "device", &self.device);
        object.number("uptime_s", self.uptime_s);
        put_filled(&mut object, "addresses", list(&self.addresses, InterfaceAddress::json));
        put_filled(&mut object, "prefixes", list(&self.prefixes, prefix));
        put_filled(&mut object, "assigned", list(&self.assigned, address));
        put_filled(&mut object, "gateways", list(&self.gateways, address));
        put_filled(&mut object, "name_servers", list(&self.name_servers, address));
        object.into()
    }
}

impl InterfaceAddress {
    fn json(&self) -> Json {
        let mut object = Object::new();
        object.put("address", address(&self.address));
        object.number("length", self.length.into());
        object.into()
    }
}

impl Device {
    fn json(&self) -> Json {
        let mut object = Object::new();
        object.number("index", self.index.into());
        object.text("name", &self.name);
        put_text(&mut object, "kind", &self.kind);
        object.flag("up", self.up);
        object.flag("carrier", self.carrier);
        put_filled(&mut object, "addresses", list(&self.addresses, DeviceAddress::json));
        object.into()
    }
}

impl DeviceAddress {
    fn json(&self) -> Json {
        let mut object = Object::new();
        object.put("address", address(&self.address));
        object.number("length", self.length.into());
        object.number("scope", self.scope.into());
        object.flag("deprecated", self.deprecated);
        object.flag("tentative", self.tentative);
        object.into()
    }
}

impl Route {
    pub fn json(&self) -> Json {
        let mut object = Object::new();
        object.text("family", self.family.name());
        object.number("table", self.table.into());
        object.text("kind", self.kind.name());
        object.put("destination", prefix(&self.destination));
        put_prefix(&mut object, "source", self.source);
        object.number("tos", self.tos.into());
        object.number("protocol", self.protocol.into());
        object.number("scope", self.scope.into());
        object.number("metric", self.metric.into());
        put_filled(&mut object, "hops", list(&self.hops, Hop::json));
        if let Some(id) = self.nexthop_id {
            object.number("nexthop_id", id.into());
        }
        if let Some(source) = &self.preferred_source {
            object.put("preferred_source", address(source));
        }
        let mut metrics = Object::new();
        for (number, value) in &self.metrics {
            metrics.put(&number.to_string(), value.json());
        }
        put_filled(&mut object, "metrics", metrics.into());
        put_filled(&mut object, "other", attributes(&self.other));
        object.into()
    }
}

impl Hop {
    fn json(&self) -> Json {
        let mut object = Object::new();
        put_text(&mut object, "device", &self.device);
        if let Some(gateway) = &self.gateway {
            object.put("gateway", address(gateway));
        }
        object.flag("onlink", self.onlink);
        object.number("weight", self.weight.into());
        put_filled(&mut object, "other", attributes(&self.other));
        object.into()
    }
}

impl MetricValue {
    fn json(&self) -> Json {
        match self {
            MetricValue::Number(number) => Json::from(*number),
            MetricValue::Text(text) => Json::from(&**text),
        }
    }
}

impl IpRule {
    pub fn json(&self) -> Json {
        let mut object = Object::new();
        object.text("family", self.family.name());
        object.number("priority", self.priority.into());
        object.flag("inverted", self.inverted);
        put_prefix(&mut object, "from", self.from);
        put_prefix(&mut object, "to", self.to);
        object.number("tos", self.tos.into());
        if let Some((value, mask)) = self.mark {
            object.put("mark", Json::Array(vec![value.into(), mask.into()]));
        }
        put_text(&mut object, "input_device", &self.input_device);
        put_text(&mut object, "output_device", &self.output_device);
        object.put("action", self.action.json());
        object.number("protocol", self.protocol.into());
        put_filled(&mut object, "other", attributes(&self.other));
        object.into()
    }
}

impl RuleAction {
    fn json(self) -> Json {
        let (name, number) = match self {
            RuleAction::Blackhole => return Json::from("blackhole"),
            RuleAction::Unreachable => return Json::from("unreachable"),
            RuleAction::Prohibit => return Json::from("prohibit"),
            RuleAction::Lookup(table) => ("lookup", table),
            RuleAction::Other(number) => ("other", number.into()),
        };
        let mut object = Object::new();
        object.number(name, number.into());
        object.into()
    }
}

fn attributes(attributes: &SortedMap<u16, Vec<u8>>) -> Json {
    let mut object = Object::new();
    for (number, bytes) in attributes {
        object.put(&number.to_string(), list(bytes, |byte| Json::from(u32::from(*byte))));
    }
    object.into()
}

fn list<T>(items: &[T], json: fn(&T) -> Json) -> Json {
    let mut list = Vec::new();
    for item in items {
        list.push(json(item));
    }
    Json::Array(list)
}

fn address(address: &IpAddr) -> Json {
    Json::Text(address.to_string())
}

fn prefix(prefix: &Prefix) -> Json {
    Json::Text(prefix.to_string())
}

fn put_text(object: &mut Object, name: &str, text: &Option<String>) {
    if let Some(text) = text {
        object.text(name, text);
    }
}

fn put_prefix(object: &mut Object, name: &str, found: Option<Prefix>) {
    if let Some(found) = found {
        object.put(name, prefix(&found));
    }
}

fn put_filled(object: &mut Object, name: &str, value: Json) {
    match &value {
        Json::Array(items) if items.is_empty() => {}
        Json::Object(members) if members.is_empty() => {}
        _ => object.put(name, value),
    }
}
