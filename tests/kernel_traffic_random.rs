//! Random configurations and packets: the kernel sends each packet where the rules, tried one by one, say.

mod gateway;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gateway::{Config, laboratory, mwan3};
use lab::{Fate, Host, Lab, Protocol};
use mwan3::address::{AddressMatch, Family};
use mwan3::config::{self, LastResort, Rule, Target};
use mwan3::plan::{Packet, RuleMatch, SetTest, naive_match, protocol_number};

const CONFIGURATIONS: u64 = 32;
const PACKETS_OF_EACH_HOST: usize = 100;
const UPLINKS: [&str; 3] = ["wan", "wanb", "wanc"];
const POLICIES: u32 = 4;
/// Where table main leads.
const MAIN: &str = "wan";
const ESP: u8 = 50;

#[test]
fn packets_go_where_the_rules_tried_one_by_one_say() {
    let Some(lab) = laboratory(Lab::builder().uplinks(3).second_lan().client_addresses(20)) else { return };
    lab.router().write_config_file(
        "network",
        "config interface 'lan'\n\toption device 'lan0'\nconfig interface 'guest'\n\toption device 'lan1'\n",
    );
    // Without ports, two hosts behind one address cannot be told apart: masquerading would drop the second.
    lab.router().sh("nft insert rule inet fw4 srcnat meta l4proto 50 accept");
    Config::new(&UPLINKS).start(&lab);
    let mut seen = BTreeSet::new();
    for seed in 0..CONFIGURATIONS {
        let mut world = World::random(seed);
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

/// SplitMix64: the same configurations every time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % u64::from(limit)) as u32
    }

    fn one_in(&mut self, number: u32) -> bool {
        self.below(number) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u32) as usize]
    }
}

struct World {
    random: Random,
    text: Config,
    offline: BTreeSet<String>,
    sets: BTreeMap<String, Vec<IpAddr>>,
    /// A port is used once in all: a flow seen before would not ask the rules.
    next_port: u16,
}

impl World {
    fn random(seed: u64) -> World {
        let mut random = Random(seed);
        let first_port = 10_000 + seed as u16 * 2 * PACKETS_OF_EACH_HOST as u16;
        let mut text = Config::new(&UPLINKS);
        for policy in 0..POLICIES {
            let mut members = Vec::new();
            for uplink in UPLINKS {
                if !random.one_in(3) {
                    members.push((uplink, 1 + random.below(2), 1 + random.below(9)));
                }
            }
            let last_resort = random.pick(&["unreachable", "blackhole", "default"]);
            text = text.policy_or(&format!("p{policy}"), &members, last_resort);
        }
        for rule in 0..4 + random.below(28) {
            let options = random_rule(&mut random, first_port);
            text = text.rule(&format!("r{rule}"), &options);
        }
        // So that both sets are there whatever the rules above name.
        for (rule, options) in [("s4", "family=ipv4 ipset=streaming"), ("s6", "family=ipv6 ipset=streaming6")]
        {
            text = text.rule(rule, &format!("{options} proto=99 use_policy=default"));
        }
        let interfaces = UPLINKS.iter().flat_map(|uplink| [(*uplink).to_owned(), format!("{uplink}6")]);
        let offline = interfaces.filter(|_| random.one_in(3)).collect();
        let third = |far: fn(u32) -> IpAddr| (1..=10).step_by(3).map(far).collect();
        let sets = BTreeMap::from([
            ("streaming".to_owned(), third(far_v4)),
            ("streaming6".to_owned(), third(far_v6)),
        ]);
        World { random, text, offline, sets, next_port: first_port }
    }

    fn enter(&self, lab: &Lab) {
        let router = lab.router();
        for uplink in UPLINKS.iter().flat_map(|uplink| [(*uplink).to_owned(), format!("{uplink}6")]) {
            let state = if self.offline.contains(&uplink) { "offline\n" } else { "online\n" };
            let file = router.run_dir().join("mwan3/iface_state").join(&uplink);
            std::fs::write(file, state).expect("the run directory is there");
        }
        router.write_config(self.text.text());
        // It may complain: random rules can be such that nothing matches them.
        let output = router.mwan3(["reload"]);
        assert!(output.success(), "{output}");
        mwan3(lab, "status");
        for (set, elements) in &self.sets {
            let elements: Vec<String> = elements.iter().map(ToString::to_string).collect();
            router.sh(&format!("nft add element inet mwan3 {set} '{{ {} }}'", elements.join(", ")));
        }
        router.run(mwan3::system::conntrack::flush_all).expect("connections can be forgotten");
    }

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

    fn random_packet(&mut self, lan: u8) -> lab::Packet {
        let random = &mut self.random;
        let (near, far) = (random.below(20), 1 + random.below(10));
        let (source, destination) = match random.below(2) {
            0 => (IpAddr::from(Ipv4Addr::new(192, 168, lan, 10 + near as u8)), far_v4(far)),
            // Numbers as they are written: ::10 to ::29.
            _ => {
                let last = 0x10 + near / 10 * 0x10 + near % 10;
                (IpAddr::from(Ipv6Addr::new(0xfd00, lan.into(), 0, 0, 0, 0, 0, last as u16)), far_v6(far))
            }
        };
        let protocol = match random.below(7) {
            0..=2 => Protocol::Tcp,
            3..=4 => Protocol::Udp,
            5 => Protocol::Icmp,
            _ => Protocol::Other(ESP),
        };
        let source_port = self.next_port;
        self.next_port += 1;
        let destination_port = 78 + self.random.below(17) as u16;
        lab::Packet { source, destination, protocol, source_port, destination_port }
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

fn far_v4(last: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, last as u8))
}

/// Written as the IPv4 ones: 10 is ::10.
fn far_v6(last: u32) -> IpAddr {
    let last = last / 10 * 0x10 + last % 10;
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xee, 0, 0, 0, 0, last as u16))
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

/// Few values, so that rules meet each other and packets meet rules.
fn random_rule(random: &mut Random, first_port: u16) -> String {
    let mut options = Vec::new();
    let family = random.pick(&["any", "any", "ipv4", "ipv6"]);
    let protocol = random.pick(&["all", "tcp", "tcp", "udp", "icmp", "50"]);
    options.push(format!("family={family} proto={protocol}"));
    if random.one_in(2) {
        options.push(format!("src_ip={}", random_addresses(random, family, &SOURCES)));
    }
    if random.one_in(2) {
        options.push(format!("dest_ip={}", random_addresses(random, family, &DESTINATIONS)));
    }
    if matches!(protocol, "tcp" | "udp") {
        if random.one_in(4) {
            let low = first_port + random.below(150) as u16;
            options.push(format!("src_port={low}:{}", low + random.below(100) as u16));
        }
        if random.one_in(2) {
            let (low, other) = (78 + random.below(10), 78 + random.below(17));
            options.push(format!("dest_port={low}-{},{other}", low + random.below(5)));
        }
    }
    if random.one_in(5) {
        options.push(format!("src_iface={}", random.pick(&["lan", "guest"])));
    }
    if family != "any" && random.one_in(3) {
        let name = if family == "ipv4" { "streaming" } else { "streaming6" };
        options.push(format!("ipset={}{name}", random.pick(&["", "!"])));
    }
    let target = match random.below(10) {
        0 => random.pick(&["default", "unreachable", "blackhole"]).to_owned(),
        _ => format!("p{}", random.below(POLICIES)),
    };
    options.push(format!("use_policy={target}"));
    options.join(" ")
}

type Pool = [(&'static str, &'static str); 6];

const SOURCES: Pool = [
    ("192.168.1.16/28", "fd00:1::20/124"),
    ("192.168.2.0/24", "fd00:2::/64"),
    ("0.0.0.1/0.0.0.1", "::1/::1"),
    ("0.0.0.0/0.0.0.3", "::/::3"),
    ("192.168.1.12", "fd00:1::12"),
    ("0.0.0.0/0", "::/0"),
];

const DESTINATIONS: Pool = [
    ("198.51.100.0/29", "2001:db8:ee::/125"),
    ("198.51.100.8/30", "2001:db8:ee::8/126"),
    ("198.51.100.3", "2001:db8:ee::3"),
    ("0.0.0.2/0.0.0.2", "::2/::2"),
    ("198.51.100.0/24", "2001:db8:ee::/64"),
    ("198.51.100.9/32", "2001:db8:ee::9/128"),
];

fn random_addresses(random: &mut Random, family: &str, pool: &Pool) -> String {
    let mut addresses = Vec::new();
    for _ in 0..=random.below(2) {
        let (four, six) = pool[random.below(pool.len() as u32) as usize];
        addresses.push(match family {
            "ipv4" => four,
            "ipv6" => six,
            _ => random.pick(&[four, six]),
        });
    }
    addresses.join(",")
}
