//! A network read back from the JSON of `mwan3 dump`. What is absent has its default where one makes sense;
//! names nobody knows are passed over.

use std::net::{IpAddr, Ipv4Addr};

use crate::address::{Family, Prefix};
use crate::json::{self, Json};
use crate::sorted::SortedMap;

use super::{
    Device, DeviceAddress, Hop, InterfaceAddress, LogicalInterface, MetricValue, Network, Route, RouteKind,
};

impl Network {
    /// What `json` wrote, or somebody by hand.
    pub fn read(text: &str) -> Result<Network, String> {
        let json = json::read(text).map_err(|mistake| mistake.to_string())?;
        let mut reader = Reader { complaint: None };
        let network = reader.network(&json);
        match reader.complaint {
            None => Ok(network),
            Some(complaint) => Err(complaint),
        }
    }
}

/// Keeps the first complaint. What is read from then on is of no use to anybody, so any value will do.
struct Reader {
    complaint: Option<String>,
}

impl Reader {
    fn network(&mut self, from: &Json) -> Network {
        self.need(from, &["interfaces", "devices", "routes"]);
        let mut network = Network::default();
        for (name, interface) in self.members(from, "interfaces") {
            network.interfaces.insert(name.clone(), self.logical_interface(interface));
        }
        network.devices = self.list(from, "devices", Reader::device);
        network.routes = self.list(from, "routes", Reader::route);
        network.has_ipv6 = self.find(from, "has_ipv6").is_none_or(|value| self.as_flag(value));
        for (name, set) in self.members(from, "fw4_sets") {
            network.fw4_sets.insert(name.clone(), self.as_list(set, Reader::as_prefix));
        }
        network
    }

    fn logical_interface(&mut self, from: &Json) -> LogicalInterface {
        self.need(from, &["up"]);
        LogicalInterface {
            up: self.flag(from, "up"),
            device: self.text(from, "device"),
            uptime_s: self.find(from, "uptime_s").map_or(0, |value| self.as_number(value, u64::MAX)),
            addresses: self.list(from, "addresses", Reader::interface_address),
            prefixes: self.list(from, "prefixes", Reader::as_prefix),
            assigned: self.list(from, "assigned", Reader::as_address),
            gateways: self.list(from, "gateways", Reader::as_address),
            name_servers: self.list(from, "name_servers", Reader::as_address),
        }
    }

    fn interface_address(&mut self, from: &Json) -> InterfaceAddress {
        self.need(from, &["address", "length"]);
        InterfaceAddress {
            address: self.address(from, "address").unwrap_or(NO_ADDRESS),
            length: self.u8(from, "length"),
        }
    }

    fn device(&mut self, from: &Json) -> Device {
        self.need(from, &["index", "name", "up", "carrier"]);
        Device {
            index: self.u32(from, "index"),
            name: self.text(from, "name").unwrap_or_default(),
            kind: self.text(from, "kind"),
            up: self.flag(from, "up"),
            carrier: self.flag(from, "carrier"),
            addresses: self.list(from, "addresses", Reader::device_address),
        }
    }

    fn device_address(&mut self, from: &Json) -> DeviceAddress {
        let InterfaceAddress { address, length } = self.interface_address(from);
        DeviceAddress {
            address,
            length,
            scope: self.u8(from, "scope"),
            deprecated: self.flag(from, "deprecated"),
            tentative: self.flag(from, "tentative"),
        }
    }

    fn route(&mut self, from: &Json) -> Route {
        self.need(from, &["family", "table", "kind", "destination", "protocol"]);
        Route {
            family: self.family(from),
            table: self.u32(from, "table"),
            kind: self.kind(from),
            destination: self.prefix(from, "destination").unwrap_or(Prefix::any(Family::Ipv4)),
            source: self.prefix(from, "source"),
            tos: self.u8(from, "tos"),
            protocol: self.u8(from, "protocol"),
            scope: self.u8(from, "scope"),
            metric: self.u32(from, "metric"),
            hops: self.list(from, "hops", Reader::hop),
            nexthop_id: self.find(from, "nexthop_id").map(|value| self.as_u32(value)),
            preferred_source: self.address(from, "preferred_source"),
            metrics: self.metrics(from),
            other: self.attributes(from),
        }
    }

    fn hop(&mut self, from: &Json) -> Hop {
        Hop {
            device: self.text(from, "device"),
            gateway: self.address(from, "gateway"),
            onlink: self.flag(from, "onlink"),
            weight: self
                .find(from, "weight")
                .map_or(0, |value| self.as_number(value, u16::MAX.into()) as u16),
            other: self.attributes(from),
        }
    }

    fn family(&mut self, from: &Json) -> Family {
        let name = self.text(from, "family").unwrap_or_default();
        match &*name {
            "ipv4" => Family::Ipv4,
            "ipv6" => Family::Ipv6,
            _ => {
                self.complain(format!("no family: {name}"));
                Family::Ipv4
            }
        }
    }

    fn kind(&mut self, from: &Json) -> RouteKind {
        let name = self.text(from, "kind").unwrap_or_default();
        RouteKind::of_name(&name).unwrap_or_else(|| {
            self.complain(format!("no kind of route: {name}"));
            RouteKind::Unicast
        })
    }

    fn metrics(&mut self, from: &Json) -> SortedMap<u16, MetricValue> {
        let mut metrics = SortedMap::new();
        for (name, value) in self.members(from, "metrics") {
            let value = match value {
                Json::Text(text) => MetricValue::Text(text.clone()),
                _ => MetricValue::Number(self.as_u32(value)),
            };
            metrics.insert(self.number_in(name), value);
        }
        metrics
    }

    /// The bytes of attributes by their numbers.
    fn attributes(&mut self, from: &Json) -> SortedMap<u16, Vec<u8>> {
        let mut attributes = SortedMap::new();
        for (name, bytes) in self.members(from, "other") {
            let bytes = self.as_list(bytes, Reader::as_u8);
            attributes.insert(self.number_in(name), bytes);
        }
        attributes
    }

    fn number_in(&mut self, name: &str) -> u16 {
        name.parse().unwrap_or_else(|_| {
            self.complain(format!("not a number: {name}"));
            0
        })
    }
}

/// Members by name: what is absent or null is nothing, a zero, false or empty.
impl Reader {
    fn need(&mut self, from: &Json, names: &[&str]) {
        for name in names {
            if self.find(from, name).is_none() {
                self.complain(format!("missing field `{name}`"));
            }
        }
    }

    fn find<'a>(&mut self, from: &'a Json, name: &str) -> Option<&'a Json> {
        let Some(object) = from.as_object() else {
            self.complain_of("an object", from);
            return None;
        };
        object.get(name).filter(|value| **value != Json::Null)
    }

    fn members<'a>(&mut self, from: &'a Json, name: &str) -> &'a [(String, Json)] {
        match self.find(from, name) {
            None => &[],
            Some(Json::Object(object)) => object.members(),
            Some(other) => {
                self.complain_of("an object", other);
                &[]
            }
        }
    }

    fn list<T>(&mut self, from: &Json, name: &str, read: fn(&mut Reader, &Json) -> T) -> Vec<T> {
        self.find(from, name).map_or(Vec::new(), |items| self.as_list(items, read))
    }

    fn text(&mut self, from: &Json, name: &str) -> Option<String> {
        let value = self.find(from, name)?;
        if value.as_str().is_none() {
            self.complain_of("a text", value);
        }
        value.as_str().map(str::to_owned)
    }

    fn flag(&mut self, from: &Json, name: &str) -> bool {
        self.find(from, name).is_some_and(|value| self.as_flag(value))
    }

    fn u8(&mut self, from: &Json, name: &str) -> u8 {
        self.find(from, name).map_or(0, |value| self.as_u8(value))
    }

    fn u32(&mut self, from: &Json, name: &str) -> u32 {
        self.find(from, name).map_or(0, |value| self.as_u32(value))
    }

    fn address(&mut self, from: &Json, name: &str) -> Option<IpAddr> {
        self.find(from, name).map(|value| self.as_address(value))
    }

    fn prefix(&mut self, from: &Json, name: &str) -> Option<Prefix> {
        self.find(from, name).map(|value| self.as_prefix(value))
    }
}

/// Values.
impl Reader {
    fn as_list<T>(&mut self, value: &Json, read: fn(&mut Reader, &Json) -> T) -> Vec<T> {
        let mut list = Vec::new();
        for item in self.as_items(value) {
            list.push(read(self, item));
        }
        list
    }

    fn as_items<'a>(&mut self, value: &'a Json) -> &'a [Json] {
        value.as_array().unwrap_or_else(|| {
            self.complain_of("a list", value);
            &[]
        })
    }

    fn as_flag(&mut self, value: &Json) -> bool {
        value.as_bool().unwrap_or_else(|| {
            self.complain_of("true or false", value);
            false
        })
    }

    fn as_number(&mut self, value: &Json, largest: u64) -> u64 {
        value.as_u64().filter(|number| *number <= largest).unwrap_or_else(|| {
            self.complain_of("a number in range", value);
            0
        })
    }

    fn as_u8(&mut self, value: &Json) -> u8 {
        self.as_number(value, u8::MAX.into()) as u8
    }

    fn as_u32(&mut self, value: &Json) -> u32 {
        self.as_number(value, u32::MAX.into()) as u32
    }

    fn as_address(&mut self, value: &Json) -> IpAddr {
        let text = self.as_address_text(value);
        text.parse().unwrap_or_else(|_| {
            self.complain_of_address(text);
            NO_ADDRESS
        })
    }

    fn as_prefix(&mut self, value: &Json) -> Prefix {
        let text = self.as_address_text(value);
        text.parse().unwrap_or_else(|()| {
            self.complain_of_address(text);
            Prefix::host(NO_ADDRESS)
        })
    }

    fn as_address_text<'a>(&mut self, value: &'a Json) -> &'a str {
        value.as_str().unwrap_or_else(|| {
            self.complain_of("an address", value);
            ""
        })
    }

    fn complain_of_address(&mut self, text: &str) {
        self.complain(format!("not an address or network: {text}"));
    }

    fn complain_of(&mut self, wanted: &str, found: &Json) {
        self.complain(format!("expected {wanted}, found {found}"));
    }

    fn complain(&mut self, complaint: String) {
        self.complaint.get_or_insert(complaint);
    }
}

const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
