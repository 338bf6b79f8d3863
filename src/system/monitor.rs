//! What the kernel tells of its own accord, sorted by what it means to us: something to look at, something
//! of ours undone, a gateway that fell silent.

use std::net::IpAddr;
use std::os::fd::RawFd;

use crate::network::OUR_PROTOCOL;
use crate::plan::TABLE;

use super::host::FIREWALL_TABLE;
use super::netlink::{self, Answer, Attributes, NetlinkError, Socket};
use super::route::{self, Notification};

/// NFNLGRP_NFTABLES, and the messages of it that take something away.
const NFTABLES_GROUP: u32 = 7;
const NFTABLES_SUBSYSTEM: u16 = 10;
const REMOVALS: [u16; 6] = [2, 5, 8, 11, 14, 20];
/// New and deleted sets and elements.
const SET_CHANGES: [u16; 4] = [9, 11, 12, 14];
/// struct nfgenmsg; the table's name is attribute 1 of every one of them.
const NFGEN_HEADER: usize = 4;
const TABLE_NAME: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    LinkOrAddress,
    Routing,
    /// Something that carries our stamp, or our table, was taken away: perhaps by ourselves.
    OursUndone,
    /// On the device with that index: several uplinks may have a gateway of the same address.
    GatewayFailed {
        index: u32,
        gateway: IpAddr,
    },
    /// A set of the firewall, which rules may name, holds something else.
    FirewallSet,
}

#[derive(Debug)]
pub struct Monitor {
    routing: Socket,
    neighbours: Socket,
    nftables: Socket,
}

impl Monitor {
    pub fn open() -> Result<Monitor, NetlinkError> {
        Ok(Monitor {
            routing: route::monitor()?,
            neighbours: route::monitor_neighbours()?,
            nftables: Socket::subscribe(netlink::NETFILTER, &[NFTABLES_GROUP])?,
        })
    }

    pub fn descriptors(&self) -> [RawFd; 3] {
        [self.routing.raw_fd(), self.neighbours.raw_fd(), self.nftables.raw_fd()]
    }

    /// All that has arrived. Lost notifications are heard as the worst they could have been.
    pub fn hear(&mut self, fd: RawFd) -> Vec<Heard> {
        if fd == self.routing.raw_fd() {
            heard(&mut self.routing, routing, &[Heard::LinkOrAddress, Heard::OursUndone])
        } else if fd == self.neighbours.raw_fd() {
            heard(&mut self.neighbours, neighbour, &[])
        } else {
            heard(&mut self.nftables, nftables, &[Heard::OursUndone])
        }
    }
}

fn heard(socket: &mut Socket, meaning: fn(&Answer) -> Option<Heard>, if_lost: &[Heard]) -> Vec<Heard> {
    let Ok(answers) = socket.notifications() else { return if_lost.to_vec() };
    let mut heard = Vec::new();
    for answer in &answers {
        let news = meaning(answer);
        if news != heard.last().copied() {
            heard.extend(news);
        }
    }
    heard
}

fn routing(answer: &Answer) -> Option<Heard> {
    match Notification::decode(answer)? {
        Notification::Link { .. } | Notification::Address { .. } => Some(Heard::LinkOrAddress),
        Notification::Route { protocol: OUR_PROTOCOL, is_removed, .. }
        | Notification::Rule { protocol: OUR_PROTOCOL, is_removed } => {
            is_removed.then_some(Heard::OursUndone)
        }
        Notification::Route { .. } => Some(Heard::Routing),
        // Other people's rules are none of our business.
        Notification::Rule { .. } => None,
        Notification::Neighbour { .. } => None,
    }
}

fn neighbour(answer: &Answer) -> Option<Heard> {
    match Notification::decode(answer)? {
        Notification::Neighbour { index, address, has_failed: true, is_removed: false } => {
            Some(Heard::GatewayFailed { index, gateway: address })
        }
        _ => None,
    }
}

fn nftables(answer: &Answer) -> Option<Heard> {
    if answer.kind >> 8 != NFTABLES_SUBSYSTEM {
        return None;
    }
    let message = answer.kind & 0xff;
    let mut attributes = Attributes::new(answer.payload.get(NFGEN_HEADER..)?);
    let table = attributes.find(|attribute| attribute.kind == TABLE_NAME)?.text();
    if table == TABLE {
        REMOVALS.contains(&message).then_some(Heard::OursUndone)
    } else {
        (table == FIREWALL_TABLE && SET_CHANGES.contains(&message)).then_some(Heard::FirewallSet)
    }
}
