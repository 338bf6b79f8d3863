//! The whole nftables table. Shaped for cost: an established flow leaves after one look at its connection
//! mark; the first packet of a flow passes known networks and then the compiled user rules.
//! The life of a packet is drawn in docs/architecture.md.

use crate::address::Family;
use crate::config::{Config, Policy};
use crate::mark::MarkMask;
use crate::network::{Device, Network};
use crate::nft::{
    BaseChain, BaseKind, Chain, Elements, Field, Hook, Relation, Rule, Set, SetContent, Statement, Table,
    Value, ValueRange, Verdict, element,
};
use crate::sorted::SortedMap;

use super::policy::is_held;
use super::rules::{RuleMatch, action_chains, last_resort_chain, rule_match};
use super::{Choice, Uplink, choose, connected, custom, dispatch, known, name, own_traffic, routing};

pub const TABLE: &str = "mwan3";

pub(super) const TAKE_DEFAULT: &str = "take_default";
pub(super) const TAKE_UNREACHABLE: &str = "take_unreachable";
pub(super) const TAKE_BLACKHOLE: &str = "take_blackhole";
const ALREADY_MARKED: &str = "already_marked";
const FIRST_PACKET: &str = "first_packet";
const CLASSIFY: &str = "classify";
const KEEP_DEFAULT: &str = "keep_default";

/// nf_tables' and iptables' "mangle": after connection tracking, before destination NAT.
const MANGLE: i32 = -150;
/// Multicast listener reports to redirects: a router that marks them loses its neighbours.
pub(super) const NEIGHBOUR_DISCOVERY: (u8, u8) = (131, 137);

/// Kinds of devices whose packets carry on the mark of the packet they travelled in, or the other way round.
/// WireGuard clears it, and what comes out of a `tun` was made anew by a program.
const TUNNEL_KINDS: [&str; 14] = [
    "gre",
    "gretap",
    "erspan",
    "ip6gre",
    "ip6gretap",
    "ip6erspan",
    "ipip",
    "ip6tnl",
    "sit",
    "vti",
    "vti6",
    "xfrm",
    "vxlan",
    "geneve",
];

/// What the table is made from.
struct Facts<'a> {
    config: &'a Config,
    network: &'a Network,
    uplinks: &'a [Uplink<'a>],
    families: &'static [Family],
    tunnels: Vec<&'a str>,
    mask: MarkMask,
}

pub(super) fn ruleset(
    config: &Config,
    network: &Network,
    uplinks: &[Uplink<'_>],
    notes: &mut Vec<String>,
) -> Table {
    let mut tunnels: Vec<&str> = Vec::new();
    for device in network.devices.iter().filter(|device| is_tunnel(device)) {
        tunnels.push(&device.name);
    }
    let (families, mask) = (routing::families(network), config.globals.mask);
    let facts = Facts { config, network, uplinks, families, tunnels, mask };
    let mut table = Table { name: TABLE.to_owned(), ..Table::default() };
    for family in families {
        facts.known_sets(*family, &mut table.sets);
    }
    let of_sets = set_families(config, network);
    facts.user_sets(&of_sets, &mut table.sets);
    facts.marking_chains(&mut table.chains);
    for family in families {
        facts.known_chain(*family, &mut table.chains);
        facts.inbound_chains(*family, &mut table.chains);
        for policy in &config.policies {
            policy_chain(policy, *family, uplinks, &mut table.chains);
        }
        let has_rules = facts.rule_chains(*family, &of_sets, &mut table, notes);
        facts.first_packet_chain(*family, has_rules, &mut table.chains);
    }
    facts.entry_chains(&mut table.chains);
    own_traffic::source_chain(families, network, uplinks, &mut table.chains);
    table
}

pub(super) fn is_tunnel(device: &Device) -> bool {
    device.kind.as_deref().is_some_and(|kind| TUNNEL_KINDS.contains(&kind))
}

pub(super) fn known_set_names(config: &Config, family: Family) -> Vec<String> {
    let mut names = Vec::new();
    for name in ["custom", "connected", "dynamic"] {
        if name != "custom" || !config.globals.lookup_tables.is_empty() {
            names.push(format!("{name}_{family}"));
        }
    }
    names
}

/// What each set holds: what fw4 has in it; else what the first rule that names it is for, where a rule of
/// one family says more than one of both.
pub(super) fn set_families<'a>(config: &'a Config, network: &Network) -> SortedMap<&'a str, Family> {
    let mut found = SortedMap::new();
    for is_certain in [true, false] {
        for rule in &config.rules {
            if let (Some(set), Some(family)) = (&rule.ipset, rule.families.first())
                && (!is_certain || rule.families.len() == 1)
            {
                found.or_insert(&*set.name, *family);
            }
        }
    }
    for rule in &config.rules {
        if let Some(set) = &rule.ipset
            && let Some(first) = network.fw4_sets.get(&set.name).and_then(|elements| elements.first())
        {
            found.insert(&*set.name, first.family());
        }
    }
    found
}

impl Facts<'_> {
    fn known_sets(&self, family: Family, sets: &mut Vec<Set>) {
        let Facts { config, network, .. } = self;
        let mut add = |name: &str, content: SetContent| {
            sets.push(Set { name: format!("{name}_{family}"), key: Field::Destination(family), content });
        };
        add("connected", SetContent::Computed(known::spans(&connected(network, family))));
        add("dynamic", SetContent::External);
        if !config.globals.lookup_tables.is_empty() {
            add("custom", SetContent::Computed(known::spans(&custom(config, network, family))));
        }
    }

    /// One set per name that rules give as `ipset`: a mirror of fw4's where that has one, else for others to
    /// fill.
    fn user_sets(&self, of_sets: &SortedMap<&str, Family>, sets: &mut Vec<Set>) {
        for (name, family) in of_sets {
            if !self.families.contains(family) {
                continue;
            }
            let content = match self.network.fw4_sets.get(*name) {
                Some(elements) => SetContent::Computed(known::spans(elements)),
                None => SetContent::External,
            };
            sets.push(Set { name: name::user_set(name), key: Field::Destination(*family), content });
        }
    }

    /// Of each uplink of a family that the kernel knows: mark, family and name.
    fn marks(&self) -> Vec<(u32, Family, &str)> {
        let mut marks: Vec<(u32, Family, &str)> = Vec::new();
        for uplink in self.uplinks {
            let interface = uplink.interface;
            if self.families.contains(&interface.family) {
                marks.push((self.mask.interface(interface.id), interface.family, &interface.name));
            }
        }
        marks
    }

    /// For every uplink: mark packet and connection; restore the packet's mark from the connection's. Flows
    /// of an uplink that is down keep their mark, so that they carry on when it returns.
    fn marking_chains(&self, chains: &mut Vec<Chain>) {
        let (mask, default) = (self.mask.bits(), self.mask.default_mark());
        let mut take = |name: String, value: u32| {
            let rule = Chain::add(chains, name).rule();
            rule.set_mark(mask, value).and(Statement::SetConnectionMark { mask, value });
        };
        take(TAKE_DEFAULT.to_owned(), default);
        take(TAKE_UNREACHABLE.to_owned(), self.mask.unreachable());
        take(TAKE_BLACKHOLE.to_owned(), self.mask.blackhole());
        Chain::add(chains, KEEP_DEFAULT.to_owned()).rule().set_mark(mask, default);
        for (value, family, name) in self.marks() {
            let rule = Chain::add(chains, name::uplink_chain(name)).rule();
            rule.set_mark(mask, value).and(Statement::SetConnectionMark { mask, value });
            let keep = Chain::add(chains, name::keep_chain(name)).rule();
            keep.set_mark(mask, value).goto(&known_name(family));
        }
    }

    /// A packet of a marked connection that goes to a known network takes table main, this packet only.
    fn known_chain(&self, family: Family, chains: &mut Vec<Chain>) {
        let chain = Chain::add(chains, known_name(family));
        for set in known_set_names(self.config, family) {
            let rule = chain.rule().in_set(Field::Destination(family), Relation::Is, set);
            rule.set_mark(self.mask.bits(), self.mask.default_mark()).verdict(Verdict::Return);
        }
    }

    /// A new flow that comes in on an uplink belongs to it, unless its source is a known network.
    fn inbound_chains(&self, family: Family, chains: &mut Vec<Chain>) {
        for uplink in of_family(self.uplinks, family).filter(|uplink| uplink.device.is_some()) {
            let name = &uplink.interface.name;
            let chain = Chain::add(chains, name::from_chain(name));
            self.goto_default_if_known(Field::Source(family), family, chain);
            chain.rule().verdict(Verdict::Jump(name::uplink_chain(name)));
            chain.rule().goto(&known_name(family));
        }
    }

    fn goto_default_if_known(&self, field: Field, family: Family, chain: &mut Chain) {
        for set in known_set_names(self.config, family) {
            chain.rule().in_set(field, Relation::Is, set).goto(TAKE_DEFAULT);
        }
    }

    /// Whether there are any.
    fn rule_chains(
        &self,
        family: Family,
        of_sets: &SortedMap<&str, Family>,
        table: &mut Table,
        notes: &mut Vec<String>,
    ) -> bool {
        let mut matches: Vec<RuleMatch> = Vec::new();
        let mut matched = Vec::new();
        for rule in &self.config.rules {
            if let Ok(found) = rule_match(rule, family, self.network, of_sets, notes) {
                matches.push(found);
                matched.push(rule);
            }
        }
        // First, though its chains come last: the memory that this takes for a while serves the others.
        let compiled = dispatch::compile(&matches, family);
        drop(matches);
        for rule in &matched {
            action_chains(self.config, rule, family, self.uplinks, table);
        }
        table.chains.extend(compiled);
        !matched.is_empty()
    }

    fn first_packet_chain(&self, family: Family, has_rules: bool, chains: &mut Vec<Chain>) {
        let chain = Chain::add(chains, format!("{FIRST_PACKET}_{family}"));
        let mut devices: Elements = Vec::new();
        for uplink in of_family(self.uplinks, family) {
            let Some(device) = &uplink.device else { continue };
            let (key, verdict) = element(
                Value::Device(device.clone()),
                Verdict::Goto(name::from_chain(&uplink.interface.name)),
            );
            // Where two sections share a device, it belongs to the first.
            if !devices.iter().any(|(known, _)| *known == key) {
                devices.push((key, verdict));
            }
        }
        if !devices.is_empty() {
            chain.rule().dispatch(Field::InputDevice, devices);
        }
        self.goto_default_if_known(Field::Destination(family), family, chain);
        if has_rules {
            chain.rule().goto(&dispatch::entry_name(family));
        }
    }

    fn entry_chains(&self, chains: &mut Vec<Chain>) {
        self.classify(Chain::add(chains, CLASSIFY.to_owned()));
        self.already_marked(Chain::add(chains, ALREADY_MARKED.to_owned()));
        let mut base = |name: &str, kind: BaseKind, hook: Hook| {
            let chain = Chain::add(chains, name.to_owned());
            chain.base = Some(BaseChain { kind, hook, priority: MANGLE });
            if hook == Hook::Postrouting {
                self.unwrapped(chain);
                return;
            }
            self.mark_is(chain.rule(), Relation::IsNot, 0).goto(ALREADY_MARKED);
            self.restore(chain.rule());
            chain.rule().goto(CLASSIFY);
        };
        base("prerouting", BaseKind::Filter, Hook::Prerouting);
        base("output", BaseKind::Route, Hook::Output);
        if !self.tunnels.is_empty() {
            base("postrouting", BaseKind::Filter, Hook::Postrouting);
        }
    }

    /// The inner route is chosen: the packet around it shall find its own way, not inherit this one's mark.
    /// The mark `default` on the way into an uplink is a probe's, and on purpose.
    fn unwrapped(&self, chain: &mut Chain) {
        let is_uplink = |name: &str| self.uplinks.iter().any(|uplink| uplink.device.as_deref() == Some(name));
        for of_uplinks in [false, true] {
            let mut devices = Vec::new();
            for name in &self.tunnels {
                if is_uplink(name) == of_uplinks {
                    devices.push(device_range(name));
                }
            }
            if devices.is_empty() {
                continue;
            }
            let rule = self.mark_is(chain.rule(), Relation::IsNot, 0);
            if of_uplinks {
                self.mark_is(rule, Relation::IsNot, self.mask.default_mark());
            }
            rule.one_of(Field::OutputDevice, devices).set_mark(self.mask.bits(), 0);
        }
    }

    fn classify(&self, chain: &mut Chain) {
        self.leave_neighbour_discovery_alone(chain);
        let mut by_family = Vec::new();
        for family in self.families {
            let first_packet = Verdict::Goto(format!("{FIRST_PACKET}_{family}"));
            by_family.push(element(Value::Family(*family), first_packet));
        }
        chain.rule().dispatch(Field::NetworkFamily, by_family);
    }

    fn leave_neighbour_discovery_alone(&self, chain: &mut Chain) {
        if self.families.contains(&Family::Ipv6) {
            let (first, last) = NEIGHBOUR_DISCOVERY;
            let range = ValueRange { low: Value::Byte(first), high: Value::Byte(last) };
            chain.rule().one_of(Field::Icmpv6Type, vec![range]).verdict(Verdict::Return);
        }
    }

    fn restore(&self, rule: &mut Rule) {
        let mut elements =
            vec![element(Value::Mark(self.mask.default_mark()), Verdict::Goto(KEEP_DEFAULT.to_owned()))];
        for (mark, _, name) in self.marks() {
            elements.push(element(Value::Mark(mark), Verdict::Goto(name::keep_chain(name))));
        }
        rule.dispatch(Field::ConnectionMark { mask: self.mask.bits() }, elements);
    }

    /// Somebody marked the packet before us: a probe, `mwan3 use`, another program. The connection learns it.
    /// What comes out of a tunnel carries the mark of its wrapping, which says nothing about it.
    fn already_marked(&self, chain: &mut Chain) {
        let mask = self.mask.bits();
        self.leave_neighbour_discovery_alone(chain);
        if !self.tunnels.is_empty() {
            let mut devices = Vec::new();
            for name in &self.tunnels {
                devices.push(device_range(name));
            }
            chain.rule().one_of(Field::InputDevice, devices).set_mark(mask, 0);
            self.restore(self.mark_is(chain.rule(), Relation::Is, 0));
            self.mark_is(chain.rule(), Relation::Is, 0).goto(CLASSIFY);
        }
        let mut elements =
            vec![element(Value::Mark(self.mask.default_mark()), Verdict::Goto(TAKE_DEFAULT.to_owned()))];
        for (mark, _, name) in self.marks() {
            elements.push(element(Value::Mark(mark), Verdict::Jump(name::uplink_chain(name))));
        }
        chain.rule().dispatch(Field::Mark { mask }, elements);
        let mut by_family = Vec::new();
        for family in self.families {
            by_family.push(element(Value::Family(*family), Verdict::Goto(known_name(*family))));
        }
        chain.rule().dispatch(Field::NetworkFamily, by_family);
    }

    fn mark_is<'r>(&self, rule: &'r mut Rule, relation: Relation, value: u32) -> &'r mut Rule {
        rule.compare(Field::Mark { mask: self.mask.bits() }, relation, Value::Mark(value))
    }
}

fn policy_chain(policy: &Policy, family: Family, uplinks: &[Uplink<'_>], chains: &mut Vec<Chain>) {
    let chain = Chain::add(chains, name::policy_chain(&policy.name, family));
    match choose(policy, family, uplinks) {
        Choice::Shares(shares) => balance(&shares, chain),
        Choice::LastResort(last_resort) => {
            // The router's own traffic that table main, or its sender on purpose, sends by a dead uplink's
            // device may still try.
            let mut devices = Vec::new();
            for device in member_devices(policy, family, uplinks) {
                devices.push(device_range(&device));
            }
            if !devices.is_empty() {
                chain.rule().one_of(Field::OutputDevice, devices).goto(TAKE_DEFAULT);
            }
            chain.rule().goto(last_resort_chain(last_resort));
        }
    }
}

/// None while the policy holds: what is held must not get out by whichever of them table main prefers.
pub(super) fn member_devices(policy: &Policy, family: Family, uplinks: &[Uplink<'_>]) -> Vec<String> {
    let mut devices = Vec::new();
    if is_held(policy, family, uplinks) {
        return devices;
    }
    for uplink in of_family(uplinks, family) {
        if policy.members.iter().any(|member| member.interface == uplink.interface.name) {
            devices.extend(uplink.device.clone());
        }
    }
    devices
}

/// Exact: the random number falls into each uplink's interval as often as its weight says. The last one
/// takes what is left without asking: a packet that is under way while the kernel exchanges this chain may
/// find the old map empty, and must not go without an uplink for that.
fn balance(shares: &[super::Share], chain: &mut Chain) {
    let mut elements: Elements = Vec::new();
    let mut next: u32 = 0;
    for share in shares {
        // Weights that do not fit 32 bits together are cut: nobody can tell the difference.
        let end = next.saturating_add(share.weight);
        if end > next || shares.len() == 1 {
            let range = ValueRange { low: Value::Number(next), high: Value::Number(end.saturating_sub(1)) };
            elements.push((vec![range], Verdict::Goto(name::uplink_chain(&share.interface))));
        }
        next = end;
    }
    let last = elements.pop();
    let field = Field::Random { modulus: next.max(1) };
    match &mut elements[..] {
        [] => {}
        // Of two uplinks: comparing is cheaper than a map.
        [(ranges, verdict)] => {
            chain.rule().one_of(field, std::mem::take(ranges)).verdict(verdict.clone());
        }
        _ => {
            chain.rule().dispatch(field, elements);
        }
    }
    if let Some((_, verdict)) = last {
        chain.rule().verdict(verdict);
    }
}

pub(super) fn of_family<'a, 'c>(
    uplinks: &'a [Uplink<'c>],
    family: Family,
) -> impl Iterator<Item = &'a Uplink<'c>> {
    uplinks.iter().filter(move |uplink| uplink.interface.family == family)
}

fn known_name(family: Family) -> String {
    format!("known_{family}")
}

fn device_range(name: &str) -> ValueRange {
    ValueRange::one(Value::Device(name.to_owned()))
}
