//! What the kernel tells of its own accord when links, addresses, routes or rules change.

use std::net::IpAddr;

use crate::system::netlink::{self, Answer, Attribute, NetlinkError, Socket};

use super::addresses::{self, DELETE_ADDRESS, NEW_ADDRESS, family_of, parse};
use super::links::{self, DELETE_LINK, NEW_LINK};
use super::{DELETE_ROUTE, DELETE_RULE, NEW_ROUTE, NEW_RULE, routes, rules};

const NEW_NEIGHBOUR: u16 = 28;
const DELETE_NEIGHBOUR: u16 = 29;
/// struct ndmsg.
const NEIGHBOUR_HEADER: usize = 12;
const NEIGHBOUR_ADDRESS: u16 = 1;
const NEIGHBOUR_FAILED: u16 = 0x20;

/// RTNLGRP_*.
mod group {
    pub const LINK: u32 = 1;
    pub const NEIGHBOUR: u32 = 3;
    pub const IPV4_ADDRESS: u32 = 5;
    pub const IPV4_ROUTE: u32 = 7;
    pub const IPV4_RULE: u32 = 8;
    pub const IPV6_ADDRESS: u32 = 9;
    pub const IPV6_ROUTE: u32 = 11;
    pub const IPV6_RULE: u32 = 19;
}

/// Hears of every change to what `observe` sees. When its `notifications` fail with ENOBUFS some were lost,
/// and the only way on is to observe anew.
pub fn monitor() -> Result<Socket, NetlinkError> {
    Socket::subscribe(
        netlink::ROUTE,
        &[
            group::LINK,
            group::IPV4_ADDRESS,
            group::IPV4_ROUTE,
            group::IPV4_RULE,
            group::IPV6_ADDRESS,
            group::IPV6_ROUTE,
            group::IPV6_RULE,
        ],
    )
}

/// Apart, since a LAN makes many of them.
pub fn monitor_neighbours() -> Result<Socket, NetlinkError> {
    Socket::subscribe(netlink::ROUTE, &[group::NEIGHBOUR])
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    Link { index: u32, name: String, has_carrier: bool, is_removed: bool },
    Address { index: u32, address: IpAddr, is_removed: bool },
    Route { table: u32, protocol: u8, is_removed: bool },
    Rule { protocol: u8, is_removed: bool },
    Neighbour { index: u32, address: IpAddr, has_failed: bool, is_removed: bool },
}

impl Notification {
    /// Nothing for what says nothing to us (bridge ports' messages, cache entries, the unintelligible).
    pub fn decode(answer: &Answer) -> Option<Notification> {
        let payload = &answer.payload[..];
        match answer.kind {
            NEW_LINK | DELETE_LINK => {
                let device = links::decode(payload)?;
                Some(Notification::Link {
                    index: device.index,
                    name: device.name,
                    has_carrier: device.up && device.carrier,
                    is_removed: answer.kind == DELETE_LINK,
                })
            }
            NEW_ADDRESS | DELETE_ADDRESS => {
                let (index, held) = addresses::decode(payload)?;
                let is_removed = answer.kind == DELETE_ADDRESS;
                Some(Notification::Address { index, address: held.address, is_removed })
            }
            NEW_ROUTE | DELETE_ROUTE => {
                // Not `routes::decode`: a route of a kind we cannot name has changed all the same.
                let (table, protocol) = routes::table_and_protocol(payload)?;
                let is_removed = answer.kind == DELETE_ROUTE;
                Some(Notification::Route { table, protocol, is_removed })
            }
            NEW_RULE | DELETE_RULE => {
                let is_removed = answer.kind == DELETE_RULE;
                Some(Notification::Rule { protocol: rules::decode(payload)?.protocol, is_removed })
            }
            NEW_NEIGHBOUR | DELETE_NEIGHBOUR => neighbour(payload, answer.kind == DELETE_NEIGHBOUR),
            _ => None,
        }
    }
}

fn neighbour(payload: &[u8], is_removed: bool) -> Option<Notification> {
    let [family, _, _, _, i0, i1, i2, i3, s0, s1, _, _] = *payload.first_chunk::<NEIGHBOUR_HEADER>()?;
    let family = family_of(family)?;
    let address = Attribute::within(payload, NEIGHBOUR_HEADER, NEIGHBOUR_ADDRESS)?;
    Some(Notification::Neighbour {
        index: u32::from_ne_bytes([i0, i1, i2, i3]),
        address: parse(family, address.value)?,
        has_failed: u16::from_ne_bytes([s0, s1]) & NEIGHBOUR_FAILED != 0,
        is_removed,
    })
}
