//! The real program on the laboratory's router, and its configurations in few words. Every uplink is two
//! interfaces, one a family: `wan` and `wan6`.
#![allow(dead_code)]

pub mod random;

use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use lab::{Builder, Lab, Output};

pub const V4: &str = "1.1.1.1";
pub const V6: &str = "2606:4700:4700::1111";
/// However busy the machine is: what takes longer has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// `None` where no laboratory can be built and none is required.
pub fn laboratory(builder: Builder) -> Option<Lab> {
    if !lab::is_available() {
        return None;
    }
    Some(builder.mwan3(env!("CARGO_BIN_EXE_mwan3")).build().expect("a laboratory"))
}

#[derive(Clone)]
pub struct Config {
    text: String,
    members: usize,
}

impl Config {
    /// The ids are 1, 2, … for IPv4 in the order given, and go on for IPv6.
    pub fn new(uplinks: &[&str]) -> Config {
        Config::with_globals("", uplinks)
    }

    /// `globals` as in `mmx_mask=0xFF00 logging=1`.
    pub fn with_globals(globals: &str, uplinks: &[&str]) -> Config {
        let mut text = format!("config globals 'globals'\n{}", options(globals));
        for (family, suffix) in [("ipv4", ""), ("ipv6", "6")] {
            for uplink in uplinks {
                let _ = write!(
                    text,
                    "config interface '{uplink}{suffix}'\n{}",
                    options(&format!("enabled=1 family={family} device={uplink}"))
                );
            }
        }
        Config { text, members: 0 }
    }

    /// Members as (uplink, metric, weight).
    pub fn policy(self, name: &str, members: &[(&str, u32, u32)]) -> Config {
        self.policy_or(name, members, "unreachable")
    }

    pub fn policy_or(mut self, name: &str, members: &[(&str, u32, u32)], last_resort: &str) -> Config {
        let mut used = String::new();
        for (uplink, metric, weight) in members {
            for suffix in ["", "6"] {
                self.members += 1;
                let member = format!("m{}", self.members);
                let _ = write!(
                    self.text,
                    "config member '{member}'\n{}",
                    options(&format!("interface={uplink}{suffix} metric={metric} weight={weight}"))
                );
                let _ = writeln!(used, "\tlist use_member '{member}'");
            }
        }
        let _ = write!(
            self.text,
            "config policy '{name}'\n{used}{}",
            options(&format!("last_resort={last_resort}"))
        );
        self
    }

    /// A policy `NAME_only` for each uplink.
    pub fn policies_of_one(self, uplinks: &[&str]) -> Config {
        uplinks
            .iter()
            .fold(self, |config, uplink| config.policy(&format!("{uplink}_only"), &[(*uplink, 1, 1)]))
    }

    /// Options as in `proto=tcp dest_port=443 use_policy=wan_only`.
    pub fn rule(mut self, name: &str, text: &str) -> Config {
        let _ = write!(self.text, "config rule '{name}'\n{}", options(text));
        self
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn start(&self, lab: &Lab) {
        lab.router().write_config(&self.text);
        mwan3(lab, "start");
    }

    pub fn reload(&self, lab: &Lab) {
        lab.router().write_config(&self.text);
        mwan3(lab, "reload");
    }
}

fn options(text: &str) -> String {
    text.split_whitespace()
        .filter_map(|option| option.split_once('='))
        .map(|(name, value)| format!("\toption {name} '{value}'\n"))
        .collect()
}

/// Runs a command that must succeed without a complaint.
#[track_caller]
pub fn mwan3(lab: &Lab, arguments: &str) -> Output {
    let output = lab.router().mwan3(arguments.split_whitespace());
    assert!(output.success() && output.stderr.is_empty(), "mwan3 {arguments}: {output}");
    output
}

/// What a tracker would note about an uplink in both families.
pub fn note_state(lab: &Lab, uplink: &str, is_online: bool) {
    let directory = lab.router().run_dir().join("mwan3/iface_state");
    for interface in [uplink.to_owned(), format!("{uplink}6")] {
        let state = if is_online { "online\n" } else { "offline\n" };
        std::fs::write(directory.join(interface), state).expect("the run directory is there");
    }
}

/// A UDP flow that lives on: asks again and again by which ISP it is seen.
pub struct LongFlow(UdpSocket);

impl LongFlow {
    pub fn open(host: &lab::Host, destination: &str) -> LongFlow {
        let address = SocketAddr::new(destination.parse().expect("an address"), 4000);
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = host.run(|| UdpSocket::bind(any)).expect("a port is free");
        socket.connect(address).expect("there is a route");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a valid timeout");
        LongFlow(socket)
    }

    /// The label of the ISP, or the error.
    pub fn seen_by(&self) -> String {
        // What the laboratory's listeners answer with the name of the ISP.
        if let Err(error) = self.0.send(b"lab-pkt:00000000") {
            return error.to_string();
        }
        let mut buffer = [0; 128];
        match self.0.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                text.split(' ').next().unwrap_or_default().to_owned()
            }
            Err(error) => error.to_string(),
        }
    }
}

/// Counts the packets of the router that pass a hook with the given tests, from now on: after everybody else
/// where they leave, before everybody else where they come from.
pub fn count(lab: &Lab, name: &str, hook: &str, tests: &str) {
    let priority = if hook == "postrouting" { 300 } else { -300 };
    lab.router()
        .nft(&format!(
            "table inet watch {{
                counter {name} {{ }}
                chain {name} {{ type filter hook {hook} priority {priority}; {tests} counter name {name}; }}
            }}"
        ))
        .expect("nft takes the counter");
}

pub fn counted(lab: &Lab, name: &str) -> u64 {
    let listing = lab.router().sh(&format!("nft list counter inet watch {name}"));
    let mut words = listing.split_whitespace().skip_while(|word| *word != "packets").skip(1);
    words.next().and_then(|word| word.parse().ok()).expect("a counter has a number")
}

/// No packet has left by an uplink with an address of another one.
#[track_caller]
pub fn assert_no_foreign_sources(lab: &Lab) {
    for isp in lab.isps() {
        assert_eq!(isp.foreign_packets(), 0, "packets with foreign sources at {}", isp.device());
    }
}
