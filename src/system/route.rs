//! The kernel's links, addresses, routes and rules: seen in one go, changed by a list of steps, watched for
//! what others change. How each is spelt on the wire is in the files below.

pub mod addresses;
pub mod links;
pub mod listing;
pub mod notification;
pub mod routes;
pub mod rules;

use std::fmt;

use crate::address::Family;
use crate::network::change::RoutingChange;
use crate::network::{Device, IpRule, Route};

use super::netlink::{self, NetlinkError, Payload, Socket, flag};

use links::DeviceIndex;
pub use listing::address_listing;
pub use notification::{Notification, monitor, monitor_neighbours};

const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const NEW_RULE: u16 = 32;
const DELETE_RULE: u16 = 33;
const GET_RULE: u16 = 34;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    pub devices: Vec<Device>,
    /// Of all tables and both families, ours and everybody's, in the kernel's order.
    pub routes: Vec<Route>,
    pub rules: Vec<IpRule>,
    /// Whether IPv6 can be routed by rules here; without, nothing of that family is listed.
    pub has_ipv6: bool,
}

pub fn observe() -> Result<Kernel, NetlinkError> {
    let mut socket = Socket::open(netlink::ROUTE)?;
    let mut devices = links::dump(&mut socket)?;
    addresses::dump_into(&mut socket, &mut devices)?;
    let index = DeviceIndex::of(&devices);
    let mut kernel = Kernel { devices, ..Kernel::default() };
    for family in Family::BOTH {
        match rules_of(&mut socket, family) {
            Ok(rules) => kernel.rules.extend(rules),
            // Asked for the routes of a family it does not know, a kernel would tell those of the others.
            Err(error) if family == Family::Ipv6 && error.is_unsupported() => continue,
            Err(error) => return Err(error),
        }
        kernel.has_ipv6 |= family == Family::Ipv6;
        kernel.routes.extend(routes_of(&mut socket, family, &index)?);
    }
    Ok(kernel)
}

fn rules_of(socket: &mut Socket, family: Family) -> Result<Vec<IpRule>, NetlinkError> {
    let mut found = Vec::new();
    socket.dump_each(GET_RULE, &Payload::new(&rules::header(family)), &mut |message| match message {
        None => found.clear(),
        Some(message) if message.kind == NEW_RULE => {
            found.extend(rules::decode(message.payload).filter(|rule| rule.family == family));
        }
        Some(_) => {}
    })?;
    Ok(found)
}

fn routes_of(socket: &mut Socket, family: Family, index: &DeviceIndex) -> Result<Vec<Route>, NetlinkError> {
    let mut found = Vec::new();
    socket.dump_each(GET_ROUTE, &Payload::new(&routes::header(family)), &mut |message| match message {
        None => found.clear(),
        Some(message) if message.kind == NEW_ROUTE => {
            found.extend(routes::decode(message.payload, index).filter(|route| route.family == family));
        }
        Some(_) => {}
    })?;
    Ok(found)
}

/// A step the kernel refused, with its reason. Without a step, it could not be asked at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub change: Option<RoutingChange>,
    pub error: NetlinkError,
}

impl From<NetlinkError> for Failure {
    fn from(error: NetlinkError) -> Failure {
        Failure { change: None, error }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            Some(change) => write!(f, "{change}: {}", self.error)?,
            None => write!(f, "routes and rules cannot be changed: {}", self.error)?,
        }
        f.write_str(if self.error.is_unsupported() { " (is IPv6 enabled?)" } else { "" })
    }
}

/// Takes all steps in order, whatever becomes of each.
pub fn apply(changes: &[RoutingChange]) -> Vec<Failure> {
    let mut failures = Vec::new();
    if let Err(error) = try_apply(changes, &mut failures) {
        failures.push(error.into());
    }
    failures
}

fn try_apply(changes: &[RoutingChange], failures: &mut Vec<Failure>) -> Result<(), NetlinkError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut socket = Socket::open(netlink::ROUTE)?;
    let index = DeviceIndex::of(&links::dump(&mut socket)?);
    let mut refuse = |change: &RoutingChange, error: NetlinkError| {
        if !is_done_already(change, &error) {
            failures.push(Failure { change: Some(change.clone()), error });
        }
    };
    let mut requests = Vec::with_capacity(changes.len());
    for change in changes {
        match body(change, &index) {
            Ok(payload) => requests.push((change, payload)),
            Err(error) => refuse(change, error),
        }
    }
    let mut pipeline = Vec::with_capacity(requests.len());
    for (change, payload) in &requests {
        let (kind, flags) = kind_and_flags(change);
        pipeline.push((kind, flags, payload));
    }
    socket.pipeline(&pipeline, &mut |position, error| {
        if let Some((change, _)) = requests.get(position) {
            refuse(change, error);
        }
    })
}

fn kind_and_flags(change: &RoutingChange) -> (u16, u16) {
    match change {
        RoutingChange::AddRoute(_) => (NEW_ROUTE, flag::CREATE | flag::EXCLUSIVE),
        RoutingChange::ReplaceRoute(_) => (NEW_ROUTE, flag::CREATE | flag::REPLACE),
        RoutingChange::AppendRoute(_) => (NEW_ROUTE, flag::CREATE | flag::APPEND),
        RoutingChange::DeleteRoute(_) => (DELETE_ROUTE, 0),
        // Not exclusive, the kernel would take an exact twin as a second rule; and it knows no replacing.
        RoutingChange::AddRule(_) => (NEW_RULE, flag::CREATE | flag::EXCLUSIVE),
        RoutingChange::DeleteRule(_) => (DELETE_RULE, 0),
    }
}

fn body(change: &RoutingChange, index: &DeviceIndex) -> Result<Payload, NetlinkError> {
    let payload = match change {
        RoutingChange::AddRoute(route)
        | RoutingChange::ReplaceRoute(route)
        | RoutingChange::AppendRoute(route)
        | RoutingChange::DeleteRoute(route) => routes::encode(route, index)?,
        RoutingChange::AddRule(rule) | RoutingChange::DeleteRule(rule) => rules::encode(rule),
    };
    match payload.has_overflow() {
        true => Err(NetlinkError::new(libc::EMSGSIZE, None)),
        false => Ok(payload),
    }
}

fn is_done_already(change: &RoutingChange, error: &NetlinkError) -> bool {
    match change {
        RoutingChange::AddRule(_) => error.errno == libc::EEXIST,
        RoutingChange::DeleteRule(_) => error.errno == libc::ENOENT,
        // Routes go with their device.
        RoutingChange::DeleteRoute(_) => {
            matches!(error.errno, libc::ESRCH | libc::ENOENT | libc::ENODEV)
        }
        _ => false,
    }
}
