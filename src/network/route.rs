//! One route, wanted or observed. Everything the kernel told us about it is kept, so that a copy into
//! another table is the same route. `Display` (in `text`) is iproute2's syntax.

mod text;

use std::cmp::Ordering;
use std::net::IpAddr;

use crate::address::{Family, Prefix};
use crate::sorted::{SortedMap, plain_keys, sort_by};

pub(super) use text::write_protocol;
pub use text::{RouteCommand, listing, scope_name};

/// RTN_*: what the route does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteKind {
    Unicast,
    Local,
    Broadcast,
    Anycast,
    Multicast,
    Blackhole,
    Unreachable,
    Prohibit,
    Throw,
}

impl RouteKind {
    const ALL: [(RouteKind, u8, &'static str); 9] = [
        (RouteKind::Unicast, 1, "unicast"),
        (RouteKind::Local, 2, "local"),
        (RouteKind::Broadcast, 3, "broadcast"),
        (RouteKind::Anycast, 4, "anycast"),
        (RouteKind::Multicast, 5, "multicast"),
        (RouteKind::Blackhole, 6, "blackhole"),
        (RouteKind::Unreachable, 7, "unreachable"),
        (RouteKind::Prohibit, 8, "prohibit"),
        (RouteKind::Throw, 9, "throw"),
    ];

    pub fn from_number(number: u8) -> Option<RouteKind> {
        Self::ALL.iter().find(|entry| entry.1 == number).map(|entry| entry.0)
    }

    pub fn number(self) -> u8 {
        Self::ALL.iter().find(|entry| entry.0 == self).map_or(1, |entry| entry.1)
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|entry| entry.0 == self).map_or("unicast", |entry| entry.2)
    }

    pub fn of_name(name: &str) -> Option<RouteKind> {
        Self::ALL.iter().find(|entry| entry.2 == name).map(|entry| entry.0)
    }

    /// Packets end here, with or without an answer.
    pub fn is_reject(self) -> bool {
        matches!(self, RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw)
    }
}

/// What the kernel gives an IPv6 route that was added without a metric.
pub const DEFAULT_IPV6_METRIC: u32 = 1024;

/// RTA_*: those of our `other` maps that mean something to us all the same.
pub mod attribute {
    /// Of a hop whose device has no name we know (it vanished while we were reading): the raw index.
    pub const DEVICE_INDEX: u16 = 4;
    pub const REALMS: u16 = 11;
    pub const PREFERENCE: u16 = 20;
    pub const ENCAPSULATION_KIND: u16 = 21;
    pub const ENCAPSULATION: u16 = 22;
}

pub mod scope {
    pub const GLOBAL: u8 = 0;
    pub const LINK: u8 = 253;
    pub const HOST: u8 = 254;
}

#[derive(Clone, Debug, Eq, PartialOrd, Ord)]
pub struct Route {
    pub family: Family,
    pub table: u32,
    pub kind: RouteKind,
    pub destination: Prefix,
    /// IPv6 source-specific routing (`from`).
    pub source: Option<Prefix>,
    pub tos: u8,
    pub protocol: u8,
    pub scope: u8,
    pub metric: u32,
    /// One for an ordinary route, several for multipath, none for `unreachable` and its like.
    pub hops: Vec<Hop>,
    /// A nexthop object; `hops` then only tells what it resolves to.
    pub nexthop_id: Option<u32>,
    pub preferred_source: Option<IpAddr>,
    /// RTA_METRICS by RTAX number (1 the set of locked ones, 2 mtu, 8 advmss, 16 congctl …).
    pub metrics: SortedMap<u16, MetricValue>,
    /// Attributes we have no use for, copied as they came.
    pub other: SortedMap<u16, Vec<u8>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hop {
    pub device: Option<String>,
    /// May be of the other family (`via inet6 …`).
    pub gateway: Option<IpAddr>,
    pub onlink: bool,
    /// 1 is the kernel's default (0 is taken as 1); meaningful in multipath routes only.
    pub weight: u16,
    /// Attributes of this hop we have no use for (encapsulation, realms, see `attribute`), copied as they
    /// came.
    pub other: SortedMap<u16, Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetricValue {
    Number(u32),
    Text(String),
}

plain_keys! { RouteKey; }

/// By way of the order, which is there anyway: another comparison would be half a KB.
impl PartialEq for Route {
    fn eq(&self, other: &Route) -> bool {
        self.cmp(other).is_eq()
    }
}

/// What the kernel takes as "the same route": two routes with one key replace each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    pub family: Family,
    pub table: u32,
    pub destination: Prefix,
    pub source: Option<Prefix>,
    pub tos: u8,
    pub metric: u32,
}

impl Route {
    /// To everywhere, and nowhere as yet.
    pub fn new(family: Family, table: u32, kind: RouteKind) -> Route {
        Route {
            family,
            table,
            kind,
            destination: Prefix::any(family),
            source: None,
            tos: 0,
            protocol: 0,
            scope: scope::GLOBAL,
            metric: 0,
            hops: Vec::new(),
            nexthop_id: None,
            preferred_source: None,
            metrics: SortedMap::new(),
            other: SortedMap::new(),
        }
    }

    pub fn key(&self) -> RouteKey {
        RouteKey {
            family: self.family,
            table: self.table,
            destination: self.destination,
            source: self.source,
            tos: self.tos,
            metric: self.metric,
        }
    }

    /// The form in which the kernel reports this route once it has it: defaults filled in, and what follows
    /// from the rest left out. Equal forms are equal routes.
    pub fn canonical(&self) -> Route {
        let mut route = self.clone();
        route.source = route.source.filter(|source| source.length() > 0);
        route.metrics.retain(|_, value| *value != MetricValue::Number(0));
        if route.family == Family::Ipv6 {
            route.metric = if route.metric == 0 { DEFAULT_IPV6_METRIC } else { route.metric };
            (route.scope, route.tos) = (scope::GLOBAL, 0);
            // Medium, which every route has that was not given another one.
            route.other.retain(|number, value| *number != attribute::PREFERENCE || value[..] != [0]);
        }
        // What a nexthop object resolves to, or rejects, is the object's business.
        if route.nexthop_id.is_some() {
            route.hops.clear();
            route.kind = if route.kind.is_reject() { RouteKind::Unicast } else { route.kind };
        }
        // IPv6 has them all on lo.
        if route.family == Family::Ipv6 && route.kind.is_reject() {
            route.hops.clear();
        }
        let is_multipath = route.hops.len() > 1;
        for hop in &mut route.hops {
            hop.weight = if is_multipath { hop.weight.max(1) } else { 1 };
        }
        route
    }

    pub fn is_default(&self) -> bool {
        self.destination.length() == 0
    }

    pub fn leads_by(&self, device: &str) -> bool {
        self.hops.iter().any(|hop| hop.device.as_deref() == Some(device))
    }

    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.hops.iter().filter_map(|hop| hop.device.as_deref())
    }
}

/// One sort for all orders: of each closure the compiler would make another.
pub(crate) fn sort_routes(routes: &mut [&Route], order: &dyn Fn(&Route, &Route) -> Ordering) {
    sort_by(routes, &|one, other| order(one, other));
}

const PROTOCOLS: [(u8, &str); 12] = [
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (9, "ra"),
    (11, "zebra"),
    (12, "bird"),
    (16, "dhcp"),
    (18, "keepalived"),
    (42, "babel"),
    (186, "bgp"),
    (188, "ospf"),
];

/// The names iproute2 knows without a file of its own.
fn protocol_name(number: u8) -> Option<&'static str> {
    PROTOCOLS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}
