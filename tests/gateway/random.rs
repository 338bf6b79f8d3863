//! Random configurations of three uplinks in a laboratory with two LANs, and random packets for them: the
//! same every time for a number.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lab::{Lab, Protocol};
use mwan3::sorted::SortedMap;

use super::{Config, laboratory, mwan3};

pub const UPLINKS: [&str; 3] = ["wan", "wanb", "wanc"];
pub const POLICIES: u32 = 4;
pub const ESP: u8 = 50;

pub fn three_uplinks_two_lans() -> Option<Lab> {
    let lab = laboratory(Lab::builder().uplinks(3).second_lan().client_addresses(20))?;
    lab.router().write_config_file(
        "network",
        "config interface 'lan'\n\toption device 'lan0'\nconfig interface 'guest'\n\toption device 'lan1'\n",
    );
    // Without ports, two hosts behind one address cannot be told apart: masquerading would drop the second.
    lab.router().sh("nft insert rule inet fw4 srcnat meta l4proto 50 accept");
    Config::new(&UPLINKS).start(&lab);
    Some(lab)
}

/// SplitMix64: the same configurations every time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % u64::from(limit)) as u32
    }

    pub fn one_in(&mut self, number: u32) -> bool {
        self.below(number) == 0
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u32) as usize]
    }
}

pub struct World {
    pub random: Random,
    pub text: Config,
    pub offline: BTreeSet<String>,
    pub sets: SortedMap<String, Vec<IpAddr>>,
    /// A port is used once in all: a flow seen before would not ask the rules.
    pub next_port: u16,
}

impl World {
    /// `first_port`: source ports of packets and rules count from there.
    pub fn random(seed: u64, first_port: u16) -> World {
        let mut random = Random(seed);
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
        let sets = SortedMap::from([
            ("streaming".to_owned(), third(far_v4)),
            ("streaming6".to_owned(), third(far_v6)),
        ]);
        World { random, text, offline, sets, next_port: first_port }
    }

    pub fn enter(&self, lab: &Lab) {
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

    pub fn random_packet(&mut self, lan: u8) -> lab::Packet {
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
}

fn far_v4(last: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, last as u8))
}

/// Written as the IPv4 ones: 10 is ::10.
fn far_v6(last: u32) -> IpAddr {
    let last = last / 10 * 0x10 + last % 10;
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xee, 0, 0, 0, 0, last as u16))
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
    if random.one_in(6) {
        options.push("sticky=1".to_owned());
    }
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
