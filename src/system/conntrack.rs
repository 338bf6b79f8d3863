//! The connection tracker: forgetting connections by mark, and telling what it holds.

use std::fs;
use std::net::IpAddr;
use std::os::fd::RawFd;

use crate::address::Family;
use crate::sorted::SortedMap;

use super::netlink::{self, Attribute, Attributes, NetlinkError, Payload, Socket};
use super::route::addresses::parse;

/// Subsystem 1 of nfnetlink.
const GET: u16 = 0x101;
const DELETE: u16 = 0x102;
/// NFNLGRP_CONNTRACK_NEW.
const NEW_GROUP: u32 = 1;
/// struct nfgenmsg; all zero means every family.
const HEADER: usize = 4;
/// Where OpenWrt's kernel takes an `f` to flush everything.
const PROC_FILE: &str = "/proc/net/nf_conntrack";

/// CTA_*; the inner ones count anew in each nest.
mod attribute {
    pub const ORIGINAL: u16 = 1;
    pub const REPLY: u16 = 2;
    pub const STATUS: u16 = 3;
    pub const MARK: u16 = 8;
    pub const ID: u16 = 12;
    pub const MASTER: u16 = 14;
    pub const ZONE: u16 = 18;
    pub const MARK_MASK: u16 = 21;
    pub const LABELS: u16 = 22;

    pub const TUPLE_ADDRESSES: u16 = 1;
    pub const TUPLE_TRANSPORT: u16 = 2;

    pub const IPV4_SOURCE: u16 = 1;
    pub const IPV4_DESTINATION: u16 = 2;
    pub const IPV6_SOURCE: u16 = 3;
    pub const IPV6_DESTINATION: u16 = 4;

    pub const PROTOCOL: u16 = 1;
    pub const SOURCE_PORT: u16 = 2;
    pub const DESTINATION_PORT: u16 = 3;
}

/// A connection is meant if its mark has `value` in the bits of `mask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkFilter {
    pub value: u32,
    pub mask: u32,
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// IPPROTO_*.
    pub protocol: u8,
    /// Of protocols that have any.
    pub ports: Option<(u16, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    pub original: Tuple,
    pub reply: Tuple,
    pub mark: u32,
    /// IPS_* bits.
    pub status: u32,
    /// 0 where the kernel knows no labels.
    pub label: u128,
}

impl Connection {
    /// IPS_SEEN_REPLY: packets went both ways.
    pub fn is_answered(&self) -> bool {
        self.status & 0x2 != 0
    }
}

/// Hears of every connection that begins.
#[derive(Debug)]
pub struct Beginnings {
    socket: Socket,
}

impl Beginnings {
    pub fn listen() -> Result<Beginnings, NetlinkError> {
        Ok(Beginnings { socket: Socket::subscribe(netlink::NETFILTER, &[NEW_GROUP])? })
    }

    pub fn raw_fd(&self) -> RawFd {
        self.socket.raw_fd()
    }

    /// The marks of those that began since last asked. In a storm some are lost.
    pub fn marks(&mut self) -> Vec<u32> {
        let mut marks = Vec::new();
        for answer in self.socket.notifications().unwrap_or_default() {
            marks.extend(decode_mark(&answer.payload));
        }
        marks
    }
}

/// Both families; the kernel sorts them out. Unsupported (`is_absent`) where `nf_conntrack_netlink` is not loaded.
pub fn flush_marked(filter: MarkFilter) -> Result<(), NetlinkError> {
    Socket::open(netlink::NETFILTER)?.request(DELETE, 0, &marked(Some(filter)))
}

/// Forgets those that `is_meant`, one by one; how many. Others of the same uplink notice nothing. A connection that a
/// helper expected (the media of a SIP call) has no label of its own: it bears that of the one which announced it.
pub fn forget(
    filter: Option<MarkFilter>,
    is_meant: &mut dyn FnMut(&Connection) -> bool,
) -> Result<usize, NetlinkError> {
    let (mut requests, mut labels, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    let mut socket = Socket::open(netlink::NETFILTER)?;
    socket.stream(GET, &marked(filter), &mut |message| {
        let Some(connection) = decode(message.payload).filter(|one| is_marked(one, filter)) else { return };
        if connection.label != 0 {
            labels.push((connection.original, connection.label));
        } else if let Some(master) = master(message.payload) {
            expected.push((master, message.payload.to_vec()));
            return;
        }
        if is_meant(&connection) {
            requests.extend(deletion(message.payload));
        }
    })?;
    for (master, told) in expected {
        let Some(mut connection) = decode(&told) else { continue };
        if let Some((_, label)) = labels.iter().find(|(tuple, _)| *tuple == master) {
            connection.label = *label;
        }
        if is_meant(&connection) {
            requests.extend(deletion(&told));
        }
    }
    let mut pipeline = Vec::with_capacity(requests.len());
    for payload in &requests {
        pipeline.push((DELETE, 0, payload));
    }
    let mut refusal = None;
    socket.pipeline(&pipeline, &mut |_, error| {
        // It ended by itself in the meantime.
        if error.errno != libc::ENOENT {
            refusal = Some(error);
        }
    })?;
    refusal.map_or(Ok(requests.len()), Err)
}

/// The connection named by what the kernel itself said of it.
fn deletion(told: &[u8]) -> Option<Payload> {
    let mut payload = Payload::new(told.get(..HEADER)?);
    for attribute in Attributes::new(told.get(HEADER..)?) {
        match attribute.kind {
            attribute::ORIGINAL => payload.nest(attribute.kind, |nest| nest.put_raw(attribute.value)),
            attribute::ID | attribute::ZONE => payload.put(attribute.kind, attribute.value),
            _ => {}
        }
    }
    Some(payload)
}

/// All connections of everybody. Also works on OpenWrt without `nf_conntrack_netlink`.
pub fn flush_all() -> Result<(), NetlinkError> {
    let flushed = Socket::open(netlink::NETFILTER)?.request(DELETE, 0, &marked(None));
    match flushed {
        Err(error) if is_absent(&error) => fs::write(PROC_FILE, "f").map_err(|_| error),
        other => other,
    }
}

/// The kernel has no `nf_conntrack_netlink`: nfnetlink answers "invalid argument" for subsystems it lacks.
pub fn is_absent(error: &NetlinkError) -> bool {
    error.is_unsupported() || error.errno == libc::EINVAL
}

/// How many connections carry each mark, of which only the bits of `mask` are looked at.
pub fn count_by_mark(mask: u32) -> Result<SortedMap<u32, u64>, NetlinkError> {
    let mut counts = SortedMap::new();
    let mut socket = Socket::open(netlink::NETFILTER)?;
    // Being told of one twice while the table changes is no reason to start again.
    socket.stream(GET, &marked(None), &mut |message| {
        if let Some(mark) = decode_mark(message.payload) {
            let count: &mut u64 = counts.or_default(mark & mask);
            *count = count.saturating_add(1);
        }
    })?;
    Ok(counts)
}

/// Each connection as it comes, without keeping the table in memory.
pub fn for_each(filter: Option<MarkFilter>, mut each: impl FnMut(Connection)) -> Result<(), NetlinkError> {
    let mut socket = Socket::open(netlink::NETFILTER)?;
    socket.stream(GET, &marked(filter), &mut |message| {
        if let Some(connection) = decode(message.payload).filter(|one| is_marked(one, filter)) {
            each(connection);
        }
    })?;
    Ok(())
}

/// Kernels without the filter for dumps tell all.
fn is_marked(connection: &Connection, filter: Option<MarkFilter>) -> bool {
    filter.is_none_or(|wanted| connection.mark & wanted.mask == wanted.value)
}

fn marked(filter: Option<MarkFilter>) -> Payload {
    let mut payload = Payload::new(&[0; HEADER]);
    if let Some(filter) = filter {
        payload.put_be32(attribute::MARK, filter.value);
        payload.put_be32(attribute::MARK_MASK, filter.mask);
    }
    payload
}

fn decode_mark(payload: &[u8]) -> Option<u32> {
    // Kernels without marks tell none.
    match Attribute::within(payload, HEADER, attribute::MARK) {
        None => (payload.len() >= HEADER).then_some(0),
        Some(mark) => mark.be32(),
    }
}

pub fn decode(payload: &[u8]) -> Option<Connection> {
    let (mut original, mut reply, mut mark, mut status, mut label) = (None, None, 0, 0, 0);
    for attribute in Attributes::new(payload.get(HEADER..)?) {
        match attribute.kind {
            attribute::ORIGINAL => original = decode_tuple(&attribute),
            attribute::REPLY => reply = decode_tuple(&attribute),
            attribute::MARK => mark = attribute.be32()?,
            attribute::STATUS => status = attribute.be32()?,
            attribute::LABELS => label = decode_label(attribute.value),
            _ => {}
        }
    }
    Some(Connection { original: original?, reply: reply?, mark, status, label })
}

/// In the order of the machine, as nft writes it; a kernel with fewer labels tells fewer bytes.
fn decode_label(bytes: &[u8]) -> u128 {
    bytes.first_chunk().map_or(0, |bytes| u128::from_ne_bytes(*bytes))
}

fn master(payload: &[u8]) -> Option<Tuple> {
    decode_tuple(&Attribute::within(payload, HEADER, attribute::MASTER)?)
}

fn decode_tuple(nest: &Attribute<'_>) -> Option<Tuple> {
    let (mut source, mut destination, mut protocol) = (None, None, None);
    let (mut source_port, mut destination_port) = (None, None);
    for attribute in nest.nested() {
        match attribute.kind {
            attribute::TUPLE_ADDRESSES => {
                for one in attribute.nested() {
                    match one.kind {
                        attribute::IPV4_SOURCE => source = parse(Family::Ipv4, one.value),
                        attribute::IPV4_DESTINATION => destination = parse(Family::Ipv4, one.value),
                        attribute::IPV6_SOURCE => source = parse(Family::Ipv6, one.value),
                        attribute::IPV6_DESTINATION => destination = parse(Family::Ipv6, one.value),
                        _ => {}
                    }
                }
            }
            attribute::TUPLE_TRANSPORT => {
                for one in attribute.nested() {
                    match one.kind {
                        attribute::PROTOCOL => protocol = one.u8(),
                        attribute::SOURCE_PORT => source_port = one.be16(),
                        attribute::DESTINATION_PORT => destination_port = one.be16(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let ports = source_port.zip(destination_port);
    Some(Tuple { source: source?, destination: destination?, protocol: protocol?, ports })
}
