//! Where a packet with a certain mark leaves: the ip rules in order, and the tables they lead to, as the
//! kernel would look them up.

use std::net::IpAddr;

use crate::address::{Family, Prefix};
use crate::network::source::{Reach, reach};
use crate::network::{
    DeviceAddress, IpRule, Network, OUR_PROTOCOL, Route, RouteKind, RuleAction, TABLE_LOCAL, TABLE_MAIN,
};
use crate::sorted::sort_by;

use super::super::{Uplink, routing};
use super::{Question, Situation};

/// Where the kernel has its three own rules: local, main, default.
const OWN_RULES: [(u32, u32); 3] = [(0, TABLE_LOCAL), (32_766, TABLE_MAIN), (32_767, 253)];

#[derive(Clone, Debug, PartialEq)]
pub struct Way<'a> {
    /// The uplink whose mark it carries.
    pub interface: Option<&'a str>,
    pub mark: u32,
    /// Beside the other ways; 1 for the only one.
    pub weight: u32,
    pub place: Place,
    /// The address that packets through this uplink should come from once they have left.
    pub source: Option<IpAddr>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    Leaves(Hop),
    /// For the router itself.
    Delivered,
    Unreachable,
    Blackhole,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    pub table: u32,
    /// More than one where a multipath route spreads flows.
    pub devices: Vec<String>,
    pub gateway: Option<IpAddr>,
    pub destination: Option<Prefix>,
    pub preferred_source: Option<IpAddr>,
}

pub(super) struct Ways<'w, 'a> {
    situation: &'w Situation<'a>,
    uplinks: &'w [Uplink<'a>],
    question: &'w Question,
    /// Once it is known.
    pub source: Option<IpAddr>,
    rules: Vec<IpRule>,
    routes: Vec<Route>,
}

impl<'w, 'a> Ways<'w, 'a> {
    pub fn new(situation: &'w Situation<'a>, uplinks: &'w [Uplink<'a>], question: &'w Question) -> Self {
        let Situation { config, network, .. } = *situation;
        let family = question.family();
        let mut rules = routing::rules(config, network, uplinks);
        rules.extend(situation.other_rules.iter().filter(|rule| rule.protocol != OUR_PROTOCOL).cloned());
        for (priority, table) in OWN_RULES {
            // What was read from the kernel has them.
            if !rules.iter().any(|rule| rule.family == family && rule.priority == priority) {
                rules.push(IpRule::new(family, priority, RuleAction::Lookup(table), 2));
            }
        }
        rules.retain(|rule| rule.family == family);
        sort_by(&mut rules, &|one, other| one.priority.cmp(&other.priority));
        let mut routes = routing::routes(config, network, uplinks);
        routes.extend(network.routes.iter().cloned());
        routes.retain(|route| route.family == family);
        Ways { situation, uplinks, question, source: question.source, rules, routes }
    }

    pub fn marked(&self, mark: u32) -> Way<'a> {
        let mask = self.situation.config.globals.mask;
        let family = self.question.family();
        // A mark means nothing to the rules of the other family.
        let of_mark = |one: &&Uplink<'a>| {
            one.interface.family == family && mark != 0 && mask.interface(one.interface.id) == mark
        };
        let interface = self.uplinks.iter().find(of_mark).map(|one| one.interface.name.as_str());
        let place = self.place(mark);
        let by_device = || {
            let Place::Leaves(hop) = &place else { return None };
            let leaves_by = |one: &&Uplink<'a>| {
                one.interface.family == self.question.family()
                    && one.device.as_ref().is_some_and(|device| hop.devices.contains(device))
            };
            self.uplinks.iter().find(leaves_by).map(|one| one.interface.name.as_str())
        };
        let source = interface
            .or_else(by_device)
            .and_then(|name| self.situation.network.source_address(name, self.question.family()));
        Way { interface, mark, weight: 1, place, source }
    }

    /// By which device the router's own packets would leave before we mark them.
    pub fn first_device(&self) -> Option<String> {
        self.first_hop().and_then(|hop| hop.devices.into_iter().next())
    }

    /// What the kernel chooses for the router's own packets, likewise.
    pub fn usual_source(&self) -> Option<IpAddr> {
        let hop = self.first_hop()?;
        if let Some(preferred) = hop.preferred_source {
            return Some(preferred);
        }
        let device = self.situation.network.device(hop.devices.first()?)?;
        let family = self.question.family();
        let is_near = |address: &DeviceAddress| {
            hop.gateway.is_some_and(|gateway| Prefix::new(address.address, address.length).contains(gateway))
        };
        let is_good = |one: &&DeviceAddress| {
            Family::of(one.address) == family && reach(one.address) < Reach::Nowhere && !one.deprecated
        };
        let mut good = device.addresses.iter().filter(is_good);
        let first = good.next()?;
        let near = if is_near(first) { Some(first) } else { good.find(|one| is_near(one)) };
        Some(near.unwrap_or(first).address)
    }

    fn first_hop(&self) -> Option<Hop> {
        if self.question.input_device.is_some() {
            return None;
        }
        match self.place(self.question.mark & self.situation.config.globals.mask.bits()) {
            Place::Leaves(hop) => Some(hop),
            Place::Delivered => {
                Some(Hop { preferred_source: Some(self.question.destination), ..Hop::default() })
            }
            Place::Unreachable | Place::Blackhole => None,
        }
    }

    fn place(&self, mark: u32) -> Place {
        for rule in self.rules.iter().filter(|rule| self.meets(rule, mark)) {
            match rule.action {
                RuleAction::Lookup(table) => {
                    if let Some(place) = self.look_up(table) {
                        return place;
                    }
                }
                RuleAction::Blackhole => return Place::Blackhole,
                RuleAction::Unreachable | RuleAction::Prohibit => return Place::Unreachable,
                RuleAction::Other(_) => {}
            }
        }
        Place::Unreachable
    }

    /// Rules with selectors that we do not know are passed over, as are those for packets bound to a device.
    fn meets(&self, rule: &IpRule, mark: u32) -> bool {
        if !rule.other.is_empty() || rule.output_device.is_some() || rule.tos != 0 {
            return false;
        }
        let (question, source) = (self.question, self.source);
        let device = question.input_device.as_deref().unwrap_or("lo");
        let holds = rule.mark.is_none_or(|(value, mask)| (mark | self.foreign_mark()) & mask == value)
            && rule.input_device.as_deref().is_none_or(|wanted| wanted == device)
            && rule
                .from
                .is_none_or(|from| from.length() == 0 || source.is_some_and(|one| from.contains(one)))
            && rule.to.is_none_or(|to| to.length() == 0 || to.contains(question.destination));
        holds != rule.inverted
    }

    /// The bits that are none of ours stay as they came.
    fn foreign_mark(&self) -> u32 {
        self.question.mark & !self.situation.config.globals.mask.bits()
    }

    fn look_up(&self, table: u32) -> Option<Place> {
        let (source, destination) = (self.source, self.question.destination);
        let fits = |route: &&Route| {
            route.table == table
                && route.tos == 0
                && route.destination.contains(destination)
                && route.source.is_none_or(|from| source.is_some_and(|one| from.contains(one)))
        };
        let specific = |route: &&Route| {
            let from = route.source.map_or(0, Prefix::length);
            (std::cmp::Reverse(route.destination.length()), std::cmp::Reverse(from), route.metric)
        };
        let route = self.routes.iter().filter(fits).min_by_key(specific)?;
        match route.kind {
            RouteKind::Throw => None,
            RouteKind::Blackhole => Some(Place::Blackhole),
            RouteKind::Unreachable | RouteKind::Prohibit => Some(Place::Unreachable),
            RouteKind::Local | RouteKind::Broadcast | RouteKind::Anycast => Some(Place::Delivered),
            RouteKind::Unicast | RouteKind::Multicast => Some(Place::Leaves(Hop {
                table,
                devices: route.devices().map(str::to_owned).collect(),
                gateway: route.hops.first().and_then(|hop| hop.gateway),
                destination: Some(route.destination),
                preferred_source: route.preferred_source,
            })),
        }
    }
}

/// By which device packets from there come in: `None` for an address of the router's own.
pub fn usual_device(network: &Network, source: IpAddr) -> Option<Option<String>> {
    let addresses = network.devices.iter().flat_map(|device| &device.addresses);
    if addresses.clone().any(|own| own.address == source) {
        return Some(None);
    }
    let leads_there = |route: &&Route| {
        route.table == TABLE_MAIN && route.kind == RouteKind::Unicast && route.destination.contains(source)
    };
    let nearest = |route: &&Route| (std::cmp::Reverse(route.destination.length()), route.metric);
    let route = network.routes.iter().filter(leads_there).min_by_key(nearest)?;
    route.devices().next().map(|device| Some(device.to_owned()))
}
