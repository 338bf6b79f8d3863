//! The whole nftables table. Shaped for cost: an established flow leaves after one look at its connection
//! mark; the first packet of a flow passes known networks and then the compiled user rules.
//! The life of a packet is drawn in docs/architecture.md.

use crate::address::Family;
use crate::config::{self, Config, Policy};
use crate::network::{Device, Network};
use crate::nft::{
    BaseChain, BaseKind, Chain, Field, Hook, Relation, Rule, Set, SetContent, Statement, Table, Value,
    ValueRange, Verdict,
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

pub(super) fn ruleset(
    config: &Config,
    network: &Network,
    uplinks: &[Uplink<'_>],
    notes: &mut Vec<String>,
) -> Table {
    let families: Vec<Family> = routing::families(network).collect();
    let tunnels: Vec<&str> =
        network.devices.iter().filter(|device| is_tunnel(device)).map(|d| &*d.name).collect();
    let mut table = Table { name: TABLE.to_owned(), ..Table::default() };
    for family in &families {
        table.sets.extend(known_sets(config, network, *family));
    }
    let set_families = set_families(config, network);
    table.sets.extend(user_sets(network, &set_families, &families));
    table.chains.extend(marking_chains(config, &families, uplinks));
    for family in &families {
        table.chains.push(known_chain(config, *family));
        table.chains.extend(inbound_chains(config, *family, uplinks));
        for policy in &config.policies {
            table.chains.push(policy_chain(policy, *family, uplinks));
        }
        let (mut matches, mut matched): (Vec<RuleMatch>, Vec<&config::Rule>) = (Vec::new(), Vec::new());
        for rule in &config.rules {
            let family_of_set = |set: &str| set_families.get(set).copied();
            let Ok(found) = rule_match(rule, *family, network, family_of_set, notes) else { continue };
            matches.push(found);
            matched.push(rule);
        }
        // First, though its chains come last: the memory that this takes for a while serves the others.
        let compiled = dispatch::compile(&matches, *family);
        drop(matches);
        for rule in matched {
            let (sets, chains) = action_chains(config, rule, *family, uplinks);
            table.sets.extend(sets);
            table.chains.extend(chains);
        }
        let rules_entry = compiled.last().map(|chain| chain.name.clone());
        table.chains.extend(compiled);
        table.chains.push(first_packet_of(config, *family, uplinks, rules_entry));
    }
    table.chains.extend(entry_chains(config, &families, uplinks, &tunnels));
    table.chains.extend(own_traffic::source_chain(&families, network, uplinks));
    table
}

pub(super) fn is_tunnel(device: &Device) -> bool {
    device.kind.as_deref().is_some_and(|kind| TUNNEL_KINDS.contains(&kind))
}

fn known_sets(config: &Config, network: &Network, family: Family) -> Vec<Set> {
    let set = |name: &str, content: SetContent| Set {
        name: format!("{name}_{family}"),
        key: Field::Destination(family),
        content,
    };
    let mut sets = vec![
        set("connected", SetContent::Computed(known::spans(&connected(network, family)))),
        set("dynamic", SetContent::External),
    ];
    if !config.globals.lookup_tables.is_empty() {
        sets.push(set("custom", SetContent::Computed(known::spans(&custom(config, network, family)))));
    }
    sets
}

pub(super) fn known_set_names(config: &Config, family: Family) -> Vec<String> {
    let custom = (!config.globals.lookup_tables.is_empty()).then_some("custom");
    custom.into_iter().chain(["connected", "dynamic"]).map(|name| format!("{name}_{family}")).collect()
}

/// One set per name that rules give as `ipset`: a mirror of fw4's where that has one, else for others to fill.
fn user_sets(network: &Network, of_sets: &SortedMap<&str, Family>, families: &[Family]) -> Vec<Set> {
    let wanted = of_sets.iter().filter(|(_, family)| families.contains(family));
    wanted
        .map(|(name, family)| {
            let content = match network.fw4_sets.get(*name) {
                Some(elements) => SetContent::Computed(known::spans(elements)),
                None => SetContent::External,
            };
            Set { name: name::user_set(name), key: Field::Destination(*family), content }
        })
        .collect()
}

/// What each set holds: what fw4 has in it; else what the first rule that names it is for, where a rule of
/// one family says more than one of both.
pub(super) fn set_families<'a>(config: &'a Config, network: &Network) -> SortedMap<&'a str, Family> {
    let named =
        || config.rules.iter().filter_map(|rule| Some((&*rule.ipset.as_ref()?.name, &*rule.families)));
    let certain = named().filter(|(_, families)| families.len() == 1);
    let mut found = SortedMap::new();
    for (name, families) in certain.chain(named()) {
        if let Some(family) = families.first() {
            found.or_insert(name, *family);
        }
    }
    for (name, _) in named() {
        if let Some(first) = network.fw4_sets.get(name).and_then(|elements| elements.first()) {
            found.insert(name, first.family());
        }
    }
    found
}

/// For every uplink: mark packet and connection; restore the packet's mark from the connection's. Flows of
/// an uplink that is down keep their mark, so that they carry on when it returns.
fn marking_chains(config: &Config, families: &[Family], uplinks: &[Uplink<'_>]) -> Vec<Chain> {
    let mask = config.globals.mask;
    let mut chains = vec![
        chain(TAKE_DEFAULT, vec![mark_both(mask.bits(), mask.default_mark())]),
        chain(TAKE_UNREACHABLE, vec![mark_both(mask.bits(), mask.unreachable())]),
        chain(TAKE_BLACKHOLE, vec![mark_both(mask.bits(), mask.blackhole())]),
        chain(
            KEEP_DEFAULT,
            vec![rule([Statement::SetMark { mask: mask.bits(), value: mask.default_mark() }])],
        ),
    ];
    for uplink in uplinks.iter().filter(|uplink| families.contains(&uplink.interface.family)) {
        let mark = mask.interface(uplink.interface.id);
        let name = &uplink.interface.name;
        chains.push(chain(&name::uplink_chain(name), vec![mark_both(mask.bits(), mark)]));
        let restore = Statement::SetMark { mask: mask.bits(), value: mark };
        chains.push(chain(
            &name::keep_chain(name),
            vec![rule([restore, goto(&known_name(uplink.interface.family))])],
        ));
    }
    chains
}

fn mark_both(mask: u32, value: u32) -> Rule {
    rule([Statement::SetMark { mask, value }, Statement::SetConnectionMark { mask, value }])
}

fn known_name(family: Family) -> String {
    format!("known_{family}")
}

/// A packet of a marked connection that goes to a known network takes table main, this packet only.
fn known_chain(config: &Config, family: Family) -> Chain {
    let mask = config.globals.mask;
    let rules = known_set_names(config, family)
        .into_iter()
        .map(|set| {
            rule([
                Statement::InSet { field: Field::Destination(family), relation: Relation::Is, set },
                Statement::SetMark { mask: mask.bits(), value: mask.default_mark() },
                Statement::Verdict(Verdict::Return),
            ])
        })
        .collect();
    chain(&known_name(family), rules)
}

/// A new flow that comes in on an uplink belongs to it, unless its source is a known network.
fn inbound_chains(config: &Config, family: Family, uplinks: &[Uplink<'_>]) -> Vec<Chain> {
    of_family(uplinks, family)
        .filter(|uplink| uplink.device.is_some())
        .map(|uplink| {
            let name = &uplink.interface.name;
            let mut rules = goto_default_if_known(config, family, Field::Source(family));
            rules.push(rule([Statement::Verdict(Verdict::Jump(name::uplink_chain(name)))]));
            rules.push(rule([goto(&known_name(family))]));
            chain(&name::from_chain(name), rules)
        })
        .collect()
}

fn goto_default_if_known(config: &Config, family: Family, field: Field) -> Vec<Rule> {
    known_set_names(config, family)
        .into_iter()
        .map(|set| rule([Statement::InSet { field, relation: Relation::Is, set }, goto(TAKE_DEFAULT)]))
        .collect()
}

fn policy_chain(policy: &Policy, family: Family, uplinks: &[Uplink<'_>]) -> Chain {
    let rules = match choose(policy, family, uplinks) {
        Choice::Shares(shares) => match &shares[..] {
            [only] => vec![rule([goto(&name::uplink_chain(&only.interface))])],
            shares => balance(shares),
        },
        Choice::LastResort(last_resort) => {
            // The router's own traffic that table main, or its sender on purpose, sends by a dead uplink's
            // device may still try.
            let devices = member_devices(policy, family, uplinks);
            let devices: Vec<ValueRange> =
                devices.into_iter().map(|device| ValueRange::one(Value::Device(device))).collect();
            let mut rules = Vec::new();
            if !devices.is_empty() {
                rules.push(rule([in_list(Field::OutputDevice, devices), goto(TAKE_DEFAULT)]));
            }
            rules.push(rule([goto(last_resort_chain(last_resort))]));
            rules
        }
    };
    Chain { rules, ..chain(&name::policy_chain(&policy.name, family), Vec::new()) }
}

/// None while the policy holds: what is held must not get out by whichever of them table main prefers.
pub(super) fn member_devices(policy: &Policy, family: Family, uplinks: &[Uplink<'_>]) -> Vec<String> {
    if is_held(policy, family, uplinks) {
        return Vec::new();
    }
    of_family(uplinks, family)
        .filter(|uplink| policy.members.iter().any(|member| member.interface == uplink.interface.name))
        .filter_map(|uplink| uplink.device.clone())
        .collect()
}

/// Exact: the random number falls into each uplink's interval as often as its weight says. The last one
/// takes what is left without asking: a packet that is under way while the kernel exchanges this chain may
/// find the old map empty, and must not go without an uplink for that.
fn balance(shares: &[super::Share]) -> Vec<Rule> {
    let mut elements = Vec::new();
    let mut next: u32 = 0;
    for share in shares {
        // Weights that do not fit 32 bits together are cut: nobody can tell the difference.
        let end = next.saturating_add(share.weight);
        if end > next {
            let range = ValueRange { low: Value::Number(next), high: Value::Number(end - 1) };
            elements.push((vec![range], Verdict::Goto(name::uplink_chain(&share.interface))));
        }
        next = end;
    }
    let last = elements.pop().map(|(_, verdict)| Statement::Verdict(verdict));
    let field = Field::Random { modulus: next.max(1) };
    let drawn = match <[(Vec<ValueRange>, Verdict); 1]>::try_from(elements) {
        // Of two uplinks: comparing is cheaper than a map.
        Ok([(ranges, verdict)]) => ranges.into_iter().next().map(|range| {
            let relation = Relation::Is;
            rule([Statement::Compare { field, relation, range }, Statement::Verdict(verdict)])
        }),
        Err(elements) => {
            (!elements.is_empty()).then(|| rule([Statement::Dispatch { fields: vec![field], elements }]))
        }
    };
    drawn.into_iter().chain(last.map(|last| rule([last]))).collect()
}

fn first_packet_of(
    config: &Config,
    family: Family,
    uplinks: &[Uplink<'_>],
    rules_entry: Option<String>,
) -> Chain {
    let mut rules = Vec::new();
    let mut devices = Vec::new();
    for uplink in of_family(uplinks, family) {
        let Some(device) = &uplink.device else { continue };
        let key = vec![ValueRange::one(Value::Device(device.clone()))];
        // Where two sections share a device, it belongs to the first.
        if !devices.iter().any(|(known, _)| *known == key) {
            devices.push((key, Verdict::Goto(name::from_chain(&uplink.interface.name))));
        }
    }
    if !devices.is_empty() {
        rules.push(rule([Statement::Dispatch { fields: vec![Field::InputDevice], elements: devices }]));
    }
    rules.extend(goto_default_if_known(config, family, Field::Destination(family)));
    rules.extend(rules_entry.map(|entry| rule([goto(&entry)])));
    chain(&format!("{FIRST_PACKET}_{family}"), rules)
}

fn entry_chains(
    config: &Config,
    families: &[Family],
    uplinks: &[Uplink<'_>],
    tunnels: &[&str],
) -> Vec<Chain> {
    let mask = config.globals.mask.bits();
    let mut chains = vec![
        chain(CLASSIFY, classify(families)),
        chain(ALREADY_MARKED, already_marked(config, families, uplinks, tunnels)),
    ];
    let entry = || {
        vec![
            rule([mark_is(Relation::IsNot, mask, 0), goto(ALREADY_MARKED)]),
            rule([restore(config, families, uplinks)]),
            rule([goto(CLASSIFY)]),
        ]
    };
    let base = |name: &str, kind: BaseKind, hook: Hook, rules: Vec<Rule>| Chain {
        base: Some(BaseChain { kind, hook, priority: MANGLE }),
        ..chain(name, rules)
    };
    chains.push(base("prerouting", BaseKind::Filter, Hook::Prerouting, entry()));
    chains.push(base("output", BaseKind::Route, Hook::Output, entry()));
    if !tunnels.is_empty() {
        chains.push(base(
            "postrouting",
            BaseKind::Filter,
            Hook::Postrouting,
            unwrapped(config, uplinks, tunnels),
        ));
    }
    chains
}

/// The inner route is chosen: the packet around it shall find its own way, not inherit this one's mark. The
/// mark `default` on the way into an uplink is a probe's, and on purpose.
fn unwrapped(config: &Config, uplinks: &[Uplink<'_>], tunnels: &[&str]) -> Vec<Rule> {
    let mask = config.globals.mask;
    let is_uplink = |name: &&str| uplinks.iter().any(|uplink| uplink.device.as_deref() == Some(*name));
    let (own, others): (Vec<&str>, Vec<&str>) = tunnels.iter().copied().partition(is_uplink);
    let marked = || mark_is(Relation::IsNot, mask.bits(), 0);
    let clear = || Statement::SetMark { mask: mask.bits(), value: 0 };
    let leaves_by = |names: &[&str]| in_list(Field::OutputDevice, device_list(names));
    let mut rules = Vec::new();
    if !others.is_empty() {
        rules.push(rule([marked(), leaves_by(&others), clear()]));
    }
    if !own.is_empty() {
        let unless_default = mark_is(Relation::IsNot, mask.bits(), mask.default_mark());
        rules.push(rule([marked(), unless_default, leaves_by(&own), clear()]));
    }
    rules
}

fn classify(families: &[Family]) -> Vec<Rule> {
    let by_family = families
        .iter()
        .map(|family| {
            let chain = Verdict::Goto(format!("{FIRST_PACKET}_{family}"));
            (vec![ValueRange::one(Value::Family(*family))], chain)
        })
        .collect();
    let mut rules = Vec::new();
    if families.contains(&Family::Ipv6) {
        rules.push(leave_neighbour_discovery_alone());
    }
    rules.push(rule([Statement::Dispatch { fields: vec![Field::NetworkFamily], elements: by_family }]));
    rules
}

fn leave_neighbour_discovery_alone() -> Rule {
    let (first, last) = NEIGHBOUR_DISCOVERY;
    let range = ValueRange { low: Value::Byte(first), high: Value::Byte(last) };
    rule([
        Statement::Compare { field: Field::Icmpv6Type, relation: Relation::Is, range },
        Statement::Verdict(Verdict::Return),
    ])
}

fn restore(config: &Config, families: &[Family], uplinks: &[Uplink<'_>]) -> Statement {
    let mask = config.globals.mask;
    let mut elements = vec![mark_element(mask.default_mark(), Verdict::Goto(KEEP_DEFAULT.to_owned()))];
    for uplink in uplinks.iter().filter(|uplink| families.contains(&uplink.interface.family)) {
        let keep = Verdict::Goto(name::keep_chain(&uplink.interface.name));
        elements.push(mark_element(mask.interface(uplink.interface.id), keep));
    }
    Statement::Dispatch { fields: vec![Field::ConnectionMark { mask: mask.bits() }], elements }
}

/// Somebody marked the packet before us: a probe, `mwan3 use`, another program. The connection learns it.
/// What comes out of a tunnel carries the mark of its wrapping, which says nothing about it.
fn already_marked(
    config: &Config,
    families: &[Family],
    uplinks: &[Uplink<'_>],
    tunnels: &[&str],
) -> Vec<Rule> {
    let mask = config.globals.mask;
    let mut rules = Vec::new();
    if families.contains(&Family::Ipv6) {
        rules.push(leave_neighbour_discovery_alone());
    }
    if !tunnels.is_empty() {
        let clear = Statement::SetMark { mask: mask.bits(), value: 0 };
        rules.push(rule([in_list(Field::InputDevice, device_list(tunnels)), clear]));
        rules.push(rule([mark_is(Relation::Is, mask.bits(), 0), restore(config, families, uplinks)]));
        rules.push(rule([mark_is(Relation::Is, mask.bits(), 0), goto(CLASSIFY)]));
    }
    let mut elements = vec![mark_element(mask.default_mark(), Verdict::Goto(TAKE_DEFAULT.to_owned()))];
    for uplink in uplinks.iter().filter(|uplink| families.contains(&uplink.interface.family)) {
        let learn = Verdict::Jump(name::uplink_chain(&uplink.interface.name));
        elements.push(mark_element(mask.interface(uplink.interface.id), learn));
    }
    rules.push(rule([Statement::Dispatch { fields: vec![Field::Mark { mask: mask.bits() }], elements }]));
    let by_family = families
        .iter()
        .map(|family| (vec![ValueRange::one(Value::Family(*family))], Verdict::Goto(known_name(*family))))
        .collect();
    rules.push(rule([Statement::Dispatch { fields: vec![Field::NetworkFamily], elements: by_family }]));
    rules
}

pub(super) fn of_family<'a, 'c>(
    uplinks: &'a [Uplink<'c>],
    family: Family,
) -> impl Iterator<Item = &'a Uplink<'c>> {
    uplinks.iter().filter(move |uplink| uplink.interface.family == family)
}

fn mark_element(mark: u32, verdict: Verdict) -> (Vec<ValueRange>, Verdict) {
    (vec![ValueRange::one(Value::Mark(mark))], verdict)
}

fn mark_is(relation: Relation, mask: u32, value: u32) -> Statement {
    Statement::Compare { field: Field::Mark { mask }, relation, range: ValueRange::one(Value::Mark(value)) }
}

fn device_list(names: &[&str]) -> Vec<ValueRange> {
    names.iter().map(|name| ValueRange::one(Value::Device((*name).to_owned()))).collect()
}

pub(super) fn in_list(field: Field, list: Vec<ValueRange>) -> Statement {
    match <[ValueRange; 1]>::try_from(list) {
        Ok([range]) => Statement::Compare { field, relation: Relation::Is, range },
        Err(list) => Statement::InList { field, relation: Relation::Is, list },
    }
}

pub(super) fn chain(name: &str, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), base: None, rules }
}

pub(super) fn rule(statements: impl Into<Vec<Statement>>) -> Rule {
    Rule { statements: statements.into(), comment: None }
}

pub(super) fn goto(chain: &str) -> Statement {
    Statement::Verdict(Verdict::Goto(chain.to_owned()))
}
