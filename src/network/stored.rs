//! A network read back from the JSON of `mwan3 dump`, by hand: what serde derives for it is 60 KB on MIPS.
//! What is absent has its default where one makes sense; names nobody knows are passed over.

use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::{Map, Value};

use crate::address::Family;
use crate::sorted::SortedMap;

use super::{
    Device, DeviceAddress, Hop, InterfaceAddress, LogicalInterface, MetricValue, Network, Route, RouteKind,
};

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
        network(&Value::deserialize(deserializer)?).map_err(Error::custom)
    }
}

type Read<T> = Result<T, String>;

fn network(value: &Value) -> Read<Network> {
    let fields = Fields::of(value)?;
    Ok(Network {
        interfaces: map(fields.required("interfaces")?, logical_interface)?,
        devices: list(fields.required("devices")?, device)?,
        routes: list(fields.required("routes")?, route)?,
        has_ipv6: fields.optional("has_ipv6", flag)?.unwrap_or(true),
        fw4_sets: fields.optional("fw4_sets", |sets| map(sets, |set| list(set, parsed)))?.unwrap_or_default(),
        ..Network::default()
    })
}

fn logical_interface(value: &Value) -> Read<LogicalInterface> {
    let fields = Fields::of(value)?;
    Ok(LogicalInterface {
        up: flag(fields.required("up")?)?,
        device: fields.text("device")?,
        uptime_s: fields.number("uptime_s")?.unwrap_or(0),
        addresses: fields.list("addresses", interface_address)?,
        prefixes: fields.list("prefixes", parsed)?,
        assigned: fields.list("assigned", parsed)?,
        gateways: fields.list("gateways", parsed)?,
        name_servers: fields.list("name_servers", parsed)?,
    })
}

fn interface_address(value: &Value) -> Read<InterfaceAddress> {
    let fields = Fields::of(value)?;
    Ok(InterfaceAddress {
        address: parsed(fields.required("address")?)?,
        length: number(fields.required("length")?)?,
    })
}

fn device(value: &Value) -> Read<Device> {
    let fields = Fields::of(value)?;
    Ok(Device {
        index: number(fields.required("index")?)?,
        name: text(fields.required("name")?)?,
        kind: fields.text("kind")?,
        up: flag(fields.required("up")?)?,
        carrier: flag(fields.required("carrier")?)?,
        addresses: fields.list("addresses", device_address)?,
    })
}

fn device_address(value: &Value) -> Read<DeviceAddress> {
    let fields = Fields::of(value)?;
    Ok(DeviceAddress {
        address: parsed(fields.required("address")?)?,
        length: number(fields.required("length")?)?,
        scope: fields.number("scope")?.unwrap_or(0),
        deprecated: fields.flag("deprecated")?,
        tentative: fields.flag("tentative")?,
    })
}

fn route(value: &Value) -> Read<Route> {
    let fields = Fields::of(value)?;
    Ok(Route {
        family: family(fields.required("family")?)?,
        table: number(fields.required("table")?)?,
        kind: kind(fields.required("kind")?)?,
        destination: parsed(fields.required("destination")?)?,
        source: fields.optional("source", parsed)?,
        tos: fields.number("tos")?.unwrap_or(0),
        protocol: number(fields.required("protocol")?)?,
        scope: fields.number("scope")?.unwrap_or(0),
        metric: fields.number("metric")?.unwrap_or(0),
        hops: fields.list("hops", hop)?,
        nexthop_id: fields.number("nexthop_id")?,
        preferred_source: fields.optional("preferred_source", parsed)?,
        metrics: numbered(&fields, "metrics", metric_value)?,
        other: numbered(&fields, "other", bytes)?,
    })
}

fn hop(value: &Value) -> Read<Hop> {
    let fields = Fields::of(value)?;
    Ok(Hop {
        device: fields.text("device")?,
        gateway: fields.optional("gateway", parsed)?,
        onlink: fields.flag("onlink")?,
        weight: fields.number("weight")?.unwrap_or(0),
        other: numbered(&fields, "other", bytes)?,
    })
}

fn family(value: &Value) -> Read<Family> {
    let name = text(value)?;
    let known = Family::BOTH.into_iter().find(|family| family.to_string() == name);
    known.ok_or_else(|| format!("no family: {name}"))
}

fn kind(value: &Value) -> Read<RouteKind> {
    let name = text(value)?;
    RouteKind::of_name(&name).ok_or_else(|| format!("no kind of route: {name}"))
}

fn metric_value(value: &Value) -> Read<MetricValue> {
    match value {
        Value::String(text) => Ok(MetricValue::Text(text.clone())),
        _ => number(value).map(MetricValue::Number),
    }
}

fn bytes(value: &Value) -> Read<Vec<u8>> {
    list(value, number)
}

/// The members of an object.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn of(value: &'a Value) -> Read<Fields<'a>> {
        value.as_object().map(Fields).ok_or_else(|| unlike("an object", value))
    }

    fn required(&self, name: &str) -> Read<&'a Value> {
        self.0.get(name).ok_or_else(|| format!("missing field `{name}`"))
    }

    fn optional<T>(&self, name: &str, read: impl FnOnce(&Value) -> Read<T>) -> Read<Option<T>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some),
        }
    }

    fn text(&self, name: &str) -> Read<Option<String>> {
        self.optional(name, text)
    }

    fn flag(&self, name: &str) -> Read<bool> {
        Ok(self.optional(name, flag)?.unwrap_or(false))
    }

    fn number<N: TryFrom<u64>>(&self, name: &str) -> Read<Option<N>> {
        self.optional(name, number)
    }

    fn list<T>(&self, name: &str, read: fn(&Value) -> Read<T>) -> Read<Vec<T>> {
        Ok(self.optional(name, |value| list(value, read))?.unwrap_or_default())
    }
}

fn list<T>(value: &Value, read: fn(&Value) -> Read<T>) -> Read<Vec<T>> {
    value.as_array().ok_or_else(|| unlike("a list", value))?.iter().map(read).collect()
}

fn map<T>(value: &Value, read: fn(&Value) -> Read<T>) -> Read<SortedMap<String, T>> {
    let members = value.as_object().ok_or_else(|| unlike("an object", value))?;
    members.iter().map(|(name, value)| Ok((name.clone(), read(value)?))).collect()
}

/// An object whose members have numbers for names.
fn numbered<T>(fields: &Fields<'_>, name: &str, read: fn(&Value) -> Read<T>) -> Read<SortedMap<u16, T>> {
    let members = fields.optional(name, |value| map(value, read))?.unwrap_or_default();
    let number = |name: String| name.parse().map_err(|_| format!("not a number: {name}"));
    members.into_iter().map(|(name, value)| Ok((number(name)?, value))).collect()
}

fn parsed<T: FromStr>(value: &Value) -> Read<T> {
    let text = value.as_str().ok_or_else(|| unlike("an address", value))?;
    text.parse().map_err(|_| format!("not an address or network: {text}"))
}

fn text(value: &Value) -> Read<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| unlike("a text", value))
}

fn flag(value: &Value) -> Read<bool> {
    value.as_bool().ok_or_else(|| unlike("true or false", value))
}

fn number<N: TryFrom<u64>>(value: &Value) -> Read<N> {
    value.as_u64().and_then(|number| number.try_into().ok()).ok_or_else(|| unlike("a number in range", value))
}

fn unlike(wanted: &str, found: &Value) -> String {
    format!("expected {wanted}, found {found}")
}
