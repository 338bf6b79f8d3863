//! Routes on the wire. What the kernel tells is kept whole, so that a copy is the same route; only the
//! expiry is dropped on purpose: when a router advertisement or a lease renews the original, nobody would
//! renew the copy, and it would die under a working uplink. The original's end is notified; the copy
//! goes then.

use std::net::IpAddr;

use crate::address::{Family, Prefix};
use crate::network::{Hop, MetricValue, Route, RouteKind, attribute as kept};
use crate::sorted::SortedMap;
use crate::system::netlink::{Attribute, Attributes, NetlinkError, Payload};

use super::addresses::{bytes, family_of, parse, put_prefix};
use super::links::DeviceIndex;

/// struct rtmsg.
const HEADER: usize = 12;
/// struct rtnexthop.
const HOP_HEADER: usize = 8;
/// A copy of another route in the kernel's cache.
const CLONED: u32 = 0x200;
/// The only state bit that is also an input.
const ONLINK: u8 = 0x4;
const LOOPBACK_INDEX: u32 = 1;
/// In the header of routes whose table number does not fit there.
const TABLE_ELSEWHERE: u8 = 252;

/// RTA_*.
mod attribute {
    pub const DESTINATION: u16 = 1;
    pub const SOURCE: u16 = 2;
    pub const INPUT_DEVICE: u16 = 3;
    pub const DEVICE: u16 = 4;
    pub const GATEWAY: u16 = 5;
    pub const METRIC: u16 = 6;
    pub const PREFERRED_SOURCE: u16 = 7;
    pub const METRICS: u16 = 8;
    pub const MULTIPATH: u16 = 9;
    pub const CACHE_INFO: u16 = 12;
    pub const TABLE: u16 = 15;
    pub const MULTICAST_STATISTICS: u16 = 17;
    /// A gateway of the other family.
    pub const VIA: u16 = 18;
    pub const EXPIRES: u16 = 23;
    pub const PADDING: u16 = 24;
    pub const NEXTHOP_ID: u16 = 30;
}
/// RTAX_CC_ALGO, the one metric that is a word.
const CONGESTION_CONTROL: u16 = 16;

pub(super) fn header(family: Family) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = family.number();
    header
}

/// Nothing for cache entries and for kinds of routes that have no name.
pub fn decode(payload: &[u8], devices: &DeviceIndex) -> Option<Route> {
    let [family, length, source_length, tos, table, protocol, scope, kind, flags @ ..] =
        *payload.first_chunk::<HEADER>()?;
    let (family, flags) = (family_of(family)?, u32::from_ne_bytes(flags));
    if flags & CLONED != 0 {
        return None;
    }
    let (table, kind) = (u32::from(table), RouteKind::from_number(kind)?);
    let mut route = Route { tos, protocol, scope, ..Route::new(family, table, kind) };
    let mut hop = Hop { onlink: flags & u32::from(ONLINK) != 0, weight: 1, ..Hop::default() };
    for attribute in Attributes::new(payload.get(HEADER..)?) {
        match attribute.kind {
            attribute::DESTINATION => {
                route.destination = Prefix::new(parse(family, attribute.value)?, length);
            }
            attribute::SOURCE => {
                route.source = Some(Prefix::new(parse(family, attribute.value)?, source_length));
            }
            attribute::TABLE => route.table = attribute.u32()?,
            attribute::METRIC => route.metric = attribute.u32()?,
            attribute::PREFERRED_SOURCE => route.preferred_source = Some(parse(family, attribute.value)?),
            attribute::METRICS => route.metrics = decode_metrics(&attribute)?,
            attribute::MULTIPATH => route.hops = decode_hops(family, attribute.value, devices)?,
            attribute::NEXTHOP_ID => route.nexthop_id = Some(attribute.u32()?),
            attribute::INPUT_DEVICE
            | attribute::CACHE_INFO
            | attribute::MULTICAST_STATISTICS
            | attribute::EXPIRES
            | attribute::PADDING => {}
            // Medium, which is what having none means.
            kept::PREFERENCE if attribute.value == [0] => {}
            _ => {
                if !decode_hop_attribute(family, &attribute, devices, &mut hop)? {
                    route.other.insert(attribute.kind, attribute.value.to_vec());
                }
            }
        }
    }
    place_single_hop(&mut route, hop);
    Some(route)
}

/// Of a notification, which needs no more. Nothing for cache entries.
pub(super) fn table_and_protocol(payload: &[u8]) -> Option<(u32, u8)> {
    let [family, _, _, _, table, protocol, _, _, flags @ ..] = *payload.first_chunk::<HEADER>()?;
    family_of(family)?;
    if u32::from_ne_bytes(flags) & CLONED != 0 {
        return None;
    }
    let wide = Attribute::within(payload, HEADER, attribute::TABLE).and_then(|wide| wide.u32());
    Some((wide.unwrap_or(u32::from(table)), protocol))
}

fn place_single_hop(route: &mut Route, hop: Hop) {
    if !route.hops.is_empty() {
        return;
    }
    let leads_somewhere =
        hop.device.is_some() || hop.gateway.is_some() || hop.other.contains_key(&kept::DEVICE_INDEX);
    if leads_somewhere {
        route.hops.push(hop);
    } else {
        route.other.extend(hop.other);
    }
}

/// False if the attribute does not belong to a hop.
fn decode_hop_attribute(
    family: Family,
    attribute: &Attribute<'_>,
    devices: &DeviceIndex,
    hop: &mut Hop,
) -> Option<bool> {
    match attribute.kind {
        attribute::DEVICE => set_device(hop, attribute.u32()?, devices),
        attribute::GATEWAY => hop.gateway = Some(parse(family, attribute.value)?),
        attribute::VIA => {
            let [f0, f1, address @ ..] = attribute.value else { return None };
            let other_family = family_of(u8::try_from(u16::from_ne_bytes([*f0, *f1])).ok()?)?;
            hop.gateway = Some(parse(other_family, address)?);
        }
        kept::REALMS | kept::ENCAPSULATION | kept::ENCAPSULATION_KIND => {
            hop.other.insert(attribute.kind, attribute.value.to_vec());
        }
        _ => return Some(false),
    }
    Some(true)
}

/// A device that came or went between the two dumps has no name for us: the route is kept with the bare
/// number, never mistaken for one without a device.
fn set_device(hop: &mut Hop, index: u32, devices: &DeviceIndex) {
    match devices.name(index) {
        Some(name) => hop.device = Some(name.to_owned()),
        None if index == 0 => {}
        None => {
            hop.other.insert(kept::DEVICE_INDEX, index.to_ne_bytes().to_vec());
        }
    }
}

fn decode_metrics(attribute: &Attribute<'_>) -> Option<SortedMap<u16, MetricValue>> {
    let mut metrics = SortedMap::new();
    for metric in attribute.nested() {
        let value = match metric.kind {
            CONGESTION_CONTROL => MetricValue::Text(metric.text()),
            _ => MetricValue::Number(metric.u32()?),
        };
        metrics.insert(metric.kind, value);
    }
    Some(metrics)
}

fn decode_hops(family: Family, mut bytes: &[u8], devices: &DeviceIndex) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    while let Some([l0, l1, flags, weight_less_one, index @ ..]) = bytes.first_chunk::<HOP_HEADER>() {
        let length = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let attributes = bytes.get(HOP_HEADER..length)?;
        let mut hop =
            Hop { onlink: flags & ONLINK != 0, weight: u16::from(*weight_less_one) + 1, ..Hop::default() };
        set_device(&mut hop, u32::from_ne_bytes(*index), devices);
        for attribute in Attributes::new(attributes) {
            if !decode_hop_attribute(family, &attribute, devices, &mut hop)? {
                hop.other.insert(attribute.kind, attribute.value.to_vec());
            }
        }
        hops.push(hop);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Some(hops)
}

/// For adding and for deleting alike: naming everything is what makes a deletion exact.
pub fn encode(route: &Route, devices: &DeviceIndex) -> Result<Payload, NetlinkError> {
    let flags = match (route.nexthop_id, &route.hops[..]) {
        (None, [hop]) if hop.onlink => u32::from(ONLINK),
        _ => 0,
    };
    // With a nexthop object it is the object that rejects; the route itself is an ordinary one.
    let kind = match route.nexthop_id {
        Some(_) if route.kind.is_reject() => RouteKind::Unicast,
        _ => route.kind,
    };
    let mut header = header(route.family);
    header[1..8].copy_from_slice(&[
        route.destination.length(),
        route.source.map_or(0, Prefix::length),
        route.tos,
        u8::try_from(route.table).unwrap_or(TABLE_ELSEWHERE),
        route.protocol,
        route.scope,
        kind.number(),
    ]);
    header[8..].copy_from_slice(&flags.to_ne_bytes());
    let mut payload = Payload::new(&header);
    put_prefix(&mut payload, attribute::DESTINATION, Some(route.destination));
    put_prefix(&mut payload, attribute::SOURCE, route.source);
    payload.put_u32(attribute::TABLE, route.table);
    if route.metric != 0 {
        payload.put_u32(attribute::METRIC, route.metric);
    }
    if let Some(source) = route.preferred_source {
        payload.put(attribute::PREFERRED_SOURCE, &bytes(source));
    }
    if !route.metrics.is_empty() {
        payload.nest(attribute::METRICS, |nest| encode_metrics(nest, &route.metrics));
    }
    encode_hops(&mut payload, route, devices)?;
    for (kind, value) in &route.other {
        payload.put(*kind, value);
    }
    Ok(payload)
}

fn encode_metrics(payload: &mut Payload, metrics: &SortedMap<u16, MetricValue>) {
    for (kind, value) in metrics {
        match value {
            MetricValue::Number(number) => payload.put_u32(*kind, *number),
            MetricValue::Text(text) => payload.put_text(*kind, text),
        }
    }
}

fn encode_hops(payload: &mut Payload, route: &Route, devices: &DeviceIndex) -> Result<(), NetlinkError> {
    match (route.nexthop_id, &route.hops[..]) {
        // The kernel takes the object or hops, never both.
        (Some(id), _) => payload.put_u32(attribute::NEXTHOP_ID, id),
        // It would put them there itself, but without being told it would delete any other for them.
        (None, []) if route.family == Family::Ipv6 && route.kind.is_reject() => {
            payload.put_u32(attribute::DEVICE, LOOPBACK_INDEX);
        }
        (None, []) => {}
        (None, [hop]) => {
            let index = device_index(hop, devices)?;
            if index != 0 {
                payload.put_u32(attribute::DEVICE, index);
            }
            encode_hop(payload, route.family, hop);
        }
        (None, hops) => {
            let mut run = Payload::new(&[]);
            for hop in hops {
                let mut attributes = Payload::new(&[]);
                encode_hop(&mut attributes, route.family, hop);
                let length = u16::try_from(HOP_HEADER + attributes.len()).unwrap_or(u16::MAX);
                let [l0, l1] = length.to_ne_bytes();
                let weight_less_one = u8::try_from(hop.weight.max(1) - 1).unwrap_or(u8::MAX);
                run.put_raw(&[l0, l1, if hop.onlink { ONLINK } else { 0 }, weight_less_one]);
                run.put_raw(&device_index(hop, devices)?.to_ne_bytes());
                run.put_raw(attributes.bytes());
            }
            payload.put(attribute::MULTIPATH, run.bytes());
        }
    }
    Ok(())
}

fn encode_hop(payload: &mut Payload, family: Family, hop: &Hop) {
    match hop.gateway {
        None => {}
        Some(gateway) if Family::of(gateway) == family => payload.put(attribute::GATEWAY, &bytes(gateway)),
        Some(gateway) => payload.put(attribute::VIA, &via(gateway)),
    }
    for (kind, value) in &hop.other {
        if *kind != kept::DEVICE_INDEX {
            payload.put(*kind, value);
        }
    }
}

/// struct rtvia.
fn via(gateway: IpAddr) -> Vec<u8> {
    let family = u16::from(Family::of(gateway).number()).to_ne_bytes();
    let mut via = family.to_vec();
    via.extend(bytes(gateway));
    via
}

fn device_index(hop: &Hop, devices: &DeviceIndex) -> Result<u32, NetlinkError> {
    match (&hop.device, hop.other.get(&kept::DEVICE_INDEX)) {
        (Some(name), _) => devices.number(name),
        (None, Some(index)) => Ok(index.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))),
        (None, None) => Ok(0),
    }
}
