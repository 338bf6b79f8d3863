//! Random configurations and packets: the kernel sends each packet where the rules, tried one by one, say.

mod gateway;

use std::collections::BTreeSet;

use gateway::random::{World, three_uplinks_two_lans};
use lab::{Fate, Host, Protocol};
use mwan3::address::{AddressMatch, Family};
use mwan3::config::{self, LastResort, Rule, Target};
use mwan3::plan::{Packet, RuleMatch, SetTest, naive_match, protocol_number};

const CONFIGURATIONS: u64 = 32;
const PACKETS_OF_EACH_HOST: usize = 100;
/// Where table main leads.
const MAIN: &str = "wan";

#[test]
fn packets_go_where_the_rules_tried_one_by_one_say() {
    let Some(lab) = three_uplinks_two_lans() else { return };
    let mut seen = BTreeSet::new();
    for seed in 0..CONFIGURATIONS {
        let mut world = World::random(seed, 10_000 + seed as u16 * 2 * PACKETS_OF_EACH_HOST as u16);
        world.enter(&lab);
        for (host, lan) in [(lab.client(), 1), (lab.guest(), 2)] {
            world.compare(host, lan, seed, &mut seen);
        }
    }
    // All ends have been met, so that the comparison meant something.
    for end in ["wan", "wanb", "wanc", "refused", "vanished"] {
        assert!(seen.contains(end), "never {end}: {seen:?}");
    }
}

impl World {
    fn compare(&mut self, host: &Host, lan: u8, seed: u64, seen: &mut BTreeSet<String>) {
        let package = mwan3::uci::parse("mwan3", self.text.text().as_bytes());
        let (config, _) = config::read(&package, "mwan3");
        let packets: Vec<lab::Packet> = (0..PACKETS_OF_EACH_HOST).map(|_| self.random_packet(lan)).collect();
        for (fate, packet) in host.dispatch(&packets).into_iter().zip(packets) {
            let allowed = self.allowed(&config, &packet, lan);
            assert!(
                allowed.contains(&fate),
                "configuration {seed}: {fate:?}, expected one of {allowed:?}\n{packet:?}\noffline {:?}\n{}",
                self.offline,
                self.text.text()
            );
            seen.insert(match fate {
                Fate::Left(device) => device,
                Fate::Refused => "refused".to_owned(),
                Fate::Vanished => "vanished".to_owned(),
            });
        }
    }

    /// What may become of a packet.
    fn allowed(&self, config: &config::Config, packet: &lab::Packet, lan: u8) -> Vec<Fate> {
        let family = Family::of(packet.source);
        let rules: Vec<(RuleMatch, &Target)> =
            config.rules.iter().filter_map(|rule| Some((rule_match(rule, family)?, &rule.target))).collect();
        let matches: Vec<RuleMatch> = rules.iter().map(|(rule, _)| rule.clone()).collect();
        let ports = matches!(packet.protocol, Protocol::Tcp | Protocol::Udp)
            .then_some((packet.source_port, packet.destination_port));
        let seen = Packet {
            protocol: match packet.protocol {
                Protocol::Tcp => 6,
                Protocol::Udp => 17,
                Protocol::Icmp if family == Family::Ipv4 => 1,
                Protocol::Icmp => 58,
                Protocol::Other(number) => number,
            },
            source: packet.source,
            destination: packet.destination,
            ports,
            input_device: Some(if lan == 1 { "lan0" } else { "lan1" }),
            sets: &self.sets,
        };
        let main = || vec![Fate::Left(MAIN.to_owned())];
        // The kernel tells an IPv4 host of a few refusals only.
        let refused = || vec![Fate::Refused, Fate::Vanished];
        match naive_match(&matches, &seen).map(|position| rules[position].1) {
            None | Some(Target::Default) => main(),
            Some(Target::Unreachable) => refused(),
            Some(Target::Blackhole) => vec![Fate::Vanished],
            Some(Target::Policy(name)) => {
                let policy = config.policy(name).expect("a rule names a policy there is");
                let usable = |interface: &str| {
                    let of = config.interface(interface).expect("a member has an interface");
                    of.family == family && !self.offline.contains(interface)
                };
                let usable: Vec<_> = policy.members.iter().filter(|one| usable(&one.interface)).collect();
                match (usable.iter().map(|one| one.metric).min(), policy.last_resort) {
                    (Some(tier), _) => {
                        let active = usable.iter().filter(|one| one.metric == tier);
                        active.map(|one| Fate::Left(one.interface.trim_end_matches('6').to_owned())).collect()
                    }
                    (None, LastResort::Default) => main(),
                    (None, LastResort::Unreachable) => refused(),
                    (None, LastResort::Blackhole) => vec![Fate::Vanished],
                }
            }
        }
    }
}

/// The tests of a rule for one family, by the words of the documentation.
fn rule_match(rule: &Rule, family: Family) -> Option<RuleMatch> {
    if !rule.families.contains(&family) {
        return None;
    }
    let ours = |all: &[AddressMatch]| all.iter().filter(|one| one.family == family).copied().collect();
    Some(RuleMatch {
        chain: rule.name.clone(),
        protocol: protocol_number(rule.protocol, family),
        input_device: rule
            .source_interface
            .as_ref()
            .map(|name| if name == "lan" { "lan0".to_owned() } else { "lan1".to_owned() }),
        sources: ours(&rule.sources),
        destinations: ours(&rule.destinations),
        source_ports: rule.source_ports.clone(),
        destination_ports: rule.destination_ports.clone(),
        set: rule.ipset.as_ref().map(|set| SetTest { name: set.name.clone(), negated: set.negated }),
    })
}
