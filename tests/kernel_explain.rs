//! `mwan3 explain` against the kernel: random configurations and packets, each packet explained before it is
//! sent. `MWAN3_EXPLAIN_CONFIGURATIONS=2000` looks longer by hand.

#![allow(clippy::unwrap_used)]

mod gateway;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use gateway::random::{UPLINKS, World, three_uplinks_two_lans};
use gateway::{Config, mwan3 as run};
use lab::{Fate, Host, Lab, Protocol};
use mwan3::address::Family;
use mwan3::config;
use mwan3::network::plain::{Named, logical_interfaces};
use mwan3::network::{IpRule, Network};
use mwan3::plan::explain::{Place, Stage};
use mwan3::plan::{Explanation, Health, Question, Situation, TABLE, Verdict, explain};
use mwan3::report::explain_text;
use mwan3::system::{conntrack, host, nftables};

const CONFIGURATIONS: u64 = 24;
const PACKETS_OF_EACH_HOST: usize = 20;
const OWN_PACKETS: usize = 10;
/// Everything is seen this often at least, or the comparison meant little.
const STAGES: [&str; 6] = ["rule", "no rule", "known", "came in", "marked", "router's own"];

#[test]
fn explain_says_where_the_kernel_sends_random_packets() {
    let Some(lab) = three_uplinks_two_lans() else { return };
    let wanted = std::env::var("MWAN3_EXPLAIN_CONFIGURATIONS").ok().and_then(|count| count.parse().ok());
    for isp in lab.isps() {
        isp.namespace().sh(&format!("ip address add {}/32 dev lo", far_side(isp.number())));
    }
    let mut tally = Tally::default();
    for seed in 0..wanted.unwrap_or(CONFIGURATIONS) {
        // Other numbers than those of tests/kernel_traffic_random.rs.
        let mut world = World::random(seed + 1_000_000, 10_000);
        world.enter(&lab);
        let router = Router::observe(&lab, &world);
        for (host, lan) in [(lab.client(), 1), (lab.guest(), 2)] {
            router.compare_lan(&mut world, host, lan, &mut tally);
        }
        router.compare_own(&mut world, &mut tally);
        router.compare_inbound(&mut world, &mut tally);
        tally.add("configurations");
    }
    eprintln!("{}", tally.text());
    for what in
        STAGES.iter().chain(&["remembered", "several ways", "refused", "vanished", "wan", "wanb", "wanc"])
    {
        assert!(tally.counts.contains_key(*what), "never {what}: {}", tally.text());
    }
}

#[test]
fn every_share_that_explain_names_is_used_and_no_other() {
    let Some(lab) = three_uplinks_two_lans() else { return };
    let config = Config::new(&UPLINKS)
        .policy("balanced", &[("wan", 1, 3), ("wanb", 1, 2), ("wanc", 2, 1)])
        .rule("all", "use_policy=balanced");
    config.reload(&lab);
    for (destination, count) in [("198.51.100.1", 60), ("2001:db8:ee::1", 60)] {
        let family = Family::of(destination.parse().unwrap());
        let source = if family == Family::Ipv4 { "192.168.1.10" } else { "fd00:1::10" };
        let output = run(&lab, &format!("explain --json --from {source} {destination} udp 4000")).stdout;
        let answer: serde_json::Value = serde_json::from_str(&output).unwrap();
        assert_eq!(answer["policy"], "balanced", "{answer}");
        let named: BTreeSet<String> = answer["ways"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|way| way["percent"].as_u64() > Some(0))
            .map(|way| way["device"].as_str().unwrap().to_owned())
            .collect();
        let used: BTreeSet<String> =
            lab.client().udp_flows(destination, 4000, count).by_isp().into_keys().collect();
        assert_eq!(named, used, "{answer}");
        assert_eq!(named.len(), 2);
    }
}

/// An address that lies behind an ISP.
fn far_side(isp: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, isp as u8)
}

#[derive(Default)]
struct Tally {
    counts: BTreeMap<String, usize>,
}

impl Tally {
    fn add(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn text(&self) -> String {
        format!("{:?}", self.counts)
    }

    fn note(&mut self, answer: &Explanation<'_>) {
        self.add(match &answer.stage {
            Stage::Rule(decision) if decision.remembered.is_some() => "remembered",
            Stage::Rule(_) => "rule",
            Stage::NoRule => "no rule",
            Stage::KnownSource { .. } | Stage::KnownDestination { .. } => "known",
            Stage::CameIn { .. } => "came in",
            Stage::Marked => "marked",
            Stage::NeighbourDiscovery => "neighbour discovery",
        });
        if answer.ways.len() > 1 {
            self.add("several ways");
        }
    }
}

/// What explain goes by, read in the router's namespace.
struct Router<'l> {
    lab: &'l Lab,
    config: config::Config,
    network: Network,
    health: Health,
    rules: Vec<IpRule>,
}

impl<'l> Router<'l> {
    fn observe(lab: &'l Lab, world: &World) -> Router<'l> {
        let package = mwan3::uci::parse("mwan3", world.text.text().as_bytes());
        let (config, _) = config::read(&package, "mwan3");
        let mut named: Vec<Named> = config
            .interfaces
            .iter()
            .map(|one| Named { name: one.name.clone(), device: one.device.clone(), family: Some(one.family) })
            .collect();
        for (name, device) in [("lan", "lan0"), ("guest", "lan1")] {
            named.push(Named { name: name.to_owned(), device: Some(device.to_owned()), family: None });
        }
        let observed = lab.router().run(host::observe_kernel).unwrap();
        let mut network = observed.network;
        network.interfaces = logical_interfaces(&named, &network);
        let health = config
            .interfaces
            .iter()
            .map(|one| {
                let is_offline = world.offline.contains(&one.name);
                (one.name.clone(), if is_offline { Verdict::Offline } else { Verdict::Online })
            })
            .collect();
        Router { lab, config, network, health, rules: observed.rules }
    }

    fn explain(&self, question: &Question) -> Explanation<'_> {
        let Router { config, network, health, rules, .. } = self;
        let situation = Situation { config, network, health, other_rules: rules };
        let ask = |set: &str, address: IpAddr| nftables::set_holds(TABLE, set, address);
        self.lab.router().run(|| explain(&situation, question, &ask))
    }

    fn compare_lan(&self, world: &mut World, host: &Host, lan: u8, tally: &mut Tally) {
        let packets: Vec<lab::Packet> = (0..PACKETS_OF_EACH_HOST).map(|_| world.random_packet(lan)).collect();
        let mut again = self.compare_batch(world, host, lan, &packets, tally);
        // Once more from the same sources: now the sticky rules remember.
        for packet in &mut again {
            packet.source_port = world.next_port;
            world.next_port += 1;
        }
        if !again.is_empty() {
            self.compare_batch(world, host, lan, &again, tally);
        }
    }

    /// The packets that came to a sticky rule.
    fn compare_batch(
        &self,
        world: &World,
        host: &Host,
        lan: u8,
        packets: &[lab::Packet],
        tally: &mut Tally,
    ) -> Vec<lab::Packet> {
        let questions: Vec<Question> = packets.iter().map(|packet| question(packet, lan)).collect();
        let answers: Vec<Explanation<'_>> = questions.iter().map(|one| self.explain(one)).collect();
        let mut asked_stickily = BTreeSet::new();
        let mut sticky = Vec::new();
        for (((fate, packet), answer), question) in
            host.dispatch(packets).into_iter().zip(packets).zip(&answers).zip(&questions)
        {
            assert!(answer.possible.is_empty(), "everything is known of {packet:?}: {:?}", answer.possible);
            let mut allowed: Vec<&str> = answer.ways.iter().map(|way| end(&way.place)).collect();
            if let Stage::Rule(decision) = &answer.stage
                && decision.rule.sticky_s.is_some()
            {
                sticky.push(*packet);
                if !asked_stickily.insert((decision.rule.name.clone(), packet.source)) {
                    // Remembered meanwhile, by a packet of this batch: any active member is right.
                    let active = answer.members.iter().filter(|member| member.state == "active");
                    allowed.extend(active.map(|member| member.interface.trim_end_matches('6')));
                }
            }
            let seen = match &fate {
                Fate::Left(device) => device.as_str(),
                Fate::Refused => "refused",
                Fate::Vanished => "vanished",
            };
            // The kernel tells an IPv4 host of a few refusals only.
            let fits = allowed.contains(&seen) || (seen == "vanished" && allowed.contains(&"refused"));
            assert!(
                fits,
                "{packet:?}: {seen}, explained {allowed:?}\n{}offline {:?}\n{}",
                explain_text(&self.config, question, answer),
                world.offline,
                world.text.text()
            );
            tally.note(answer);
            tally.add(seen);
            tally.add("packets of hosts");
        }
        sticky
    }

    /// By the marks that the connections got; addresses, ports and sets as of the others.
    fn compare_own(&self, world: &mut World, tally: &mut Tally) {
        for _ in 0..OWN_PACKETS {
            let mut packet = world.random_packet(1);
            packet.protocol = Protocol::Udp;
            if world.random.one_in(5) {
                // A known destination: a host of the LAN.
                packet.destination = packet.source;
            }
            let marks = [0, 0, 0, 0x100, 0x500, 0x3f00, 0x3d00];
            let mark = marks[world.random.below(marks.len() as u32) as usize];
            let asked = Question {
                source: None,
                protocol: Some(17),
                icmp_type: None,
                source_port: Some(packet.source_port),
                destination_port: Some(packet.destination_port),
                input_device: None,
                mark,
                ..question(&packet, 1)
            };
            let answer = self.explain(&asked);
            let any = if packet.source.is_ipv4() { "0.0.0.0" } else { "::" };
            let source = SocketAddr::new(any.parse().unwrap(), packet.source_port);
            let destination = SocketAddr::new(packet.destination, packet.destination_port);
            let (sent, connection) = self.lab.router().run(|| {
                let socket = UdpSocket::bind(source).unwrap();
                set_mark(&socket, mark);
                (socket.send_to(b"own", destination), self.connection(&asked))
            });
            let told = || {
                let text = world.text.text();
                let explained = explain_text(&self.config, &asked, &answer);
                format!("{explained}sent {sent:?}, {connection:?}\noffline {:?}\n{text}", world.offline)
            };
            let mask = self.config.globals.mask.bits();
            match &connection {
                Some(connection) => {
                    let mut marks: Vec<u32> = answer.ways.iter().map(|way| way.mark).collect();
                    if matches!(answer.stage, Stage::Marked) {
                        // To a known network only the packet takes table main.
                        marks.push(mark);
                    }
                    if connection.is_answered() && answer.stage == Stage::NoRule {
                        // The answer has given it to the uplink that it came in by.
                        let main = if packet.source.is_ipv4() { "wan" } else { "wan6" };
                        marks.push(
                            self.config.globals.mask.interface(self.config.interface(main).unwrap().id),
                        );
                    }
                    assert!(marks.contains(&(connection.mark & mask)), "{}", told());
                    assert_eq!(answer.source, Some(connection.original.source), "{}", told());
                    let leaves = |way: &mwan3::plan::explain::Way<'_>| matches!(way.place, Place::Leaves(_));
                    assert!(answer.ways.iter().any(leaves), "{}", told());
                }
                None => {
                    let stays = |place: &Place| matches!(place, Place::Unreachable | Place::Blackhole);
                    assert!(answer.ways.iter().all(|way| stays(&way.place)), "{}", told());
                }
            }
            tally.note(&answer);
            tally.add("router's own");
        }
    }

    /// The router's address is asked from the far side of each uplink.
    fn compare_inbound(&self, world: &mut World, tally: &mut Tally) {
        for isp in self.lab.isps() {
            let port = world.next_port;
            world.next_port += 1;
            // Its own network is known, what lies behind it is not.
            let is_far = world.random.one_in(2);
            let far = if is_far { far_side(isp.number()) } else { isp.gateway_v4() };
            let (source, destination) = (IpAddr::from(far), IpAddr::from(isp.address_v4()));
            let asked = Question {
                source: Some(source),
                destination,
                protocol: Some(17),
                source_port: Some(port),
                destination_port: Some(9),
                icmp_type: None,
                input_device: Some(isp.device().to_owned()),
                mark: 0,
            };
            let answer = self.explain(&asked);
            isp.namespace().run(|| {
                let socket = UdpSocket::bind(SocketAddr::new(source, port)).unwrap();
                socket.send_to(b"inbound", SocketAddr::new(destination, 9)).unwrap();
            });
            let mut found = None;
            lab::wait_until(gateway::DEADLINE, || {
                found = self.lab.router().run(|| self.connection(&asked));
                found.is_some()
            });
            let mark = found.unwrap_or_else(|| panic!("no connection of {asked:?}")).mark;
            let mask = self.config.globals.mask;
            match &answer.stage {
                Stage::CameIn { interface } => {
                    let id = self.config.interface(interface).unwrap().id;
                    assert_eq!(mark & mask.bits(), mask.interface(id), "{answer:#?}");
                }
                // The uplink's own network is one that the router reaches directly.
                Stage::KnownSource { .. } => {
                    assert_eq!(mark & mask.bits(), mask.default_mark(), "{answer:#?}");
                }
                other => panic!("{asked:?}: {other:?}"),
            }
            assert!(answer.ways.iter().all(|way| way.place == Place::Delivered), "{answer:#?}");
            tally.note(&answer);
            tally.add("inbound");
        }
    }

    fn connection(&self, asked: &Question) -> Option<conntrack::Connection> {
        let mut found = None;
        conntrack::for_each(None, |one| {
            let tuple = &one.original;
            let ports = asked.source_port.zip(asked.destination_port);
            if tuple.destination == asked.destination && tuple.ports == ports {
                found = Some(one);
            }
        })
        .unwrap();
        found
    }
}

fn set_mark(socket: &UdpSocket, mark: u32) {
    let size = size_of::<u32>() as libc::socklen_t;
    let pointer = (&raw const mark).cast();
    // SAFETY: pointer and size are those of a live u32.
    let failed =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MARK, pointer, size) };
    assert_eq!(failed, 0);
}

fn question(packet: &lab::Packet, lan: u8) -> Question {
    let is_ipv4 = packet.source.is_ipv4();
    let has_ports = matches!(packet.protocol, Protocol::Tcp | Protocol::Udp);
    let (protocol, icmp_type) = match packet.protocol {
        Protocol::Tcp => (6, None),
        Protocol::Udp => (17, None),
        Protocol::Icmp if is_ipv4 => (1, Some(8)),
        Protocol::Icmp => (58, Some(128)),
        Protocol::Other(number) => (number, None),
    };
    Question {
        source: Some(packet.source),
        destination: packet.destination,
        protocol: Some(protocol),
        source_port: has_ports.then_some(packet.source_port),
        destination_port: has_ports.then_some(packet.destination_port),
        icmp_type,
        input_device: Some(if lan == 1 { "lan0" } else { "lan1" }.to_owned()),
        mark: 0,
    }
}

/// As the laboratory names it.
fn end(place: &Place) -> &str {
    match place {
        Place::Leaves(hop) => &hop.devices[0],
        Place::Delivered => "the router",
        Place::Unreachable => "refused",
        Place::Blackhole => "vanished",
    }
}
