//! What a packet costs: CPU time of a client that sends UDP through a router; the kernel forwards on the
//! sender's time. All routers stand side by side and take turns, so that a busy machine slows all alike.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lab::Namespace;

use super::sizes::Size;
use crate::process::{measure, stay_on_one_cpu, thread_cpu};

/// The connection table holds at least 65,536; nothing answers, so no entry is ever more than half-open.
const PACKETS: u32 = 10_000;

/// Nanoseconds of CPU a packet.
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketCost {
    pub established: f64,
    pub new: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// A router as OpenWrt has it: connection tracking and source NAT.
    Plain,
    /// With our ip rules and tables, but the nftables table taken away again.
    RoutingOnly,
    Rules(usize),
    /// In the order that can be compiled least.
    MixedRules(usize),
}

/// For each variant the median of so many rounds.
pub fn costs(program: &Path, variants: &[Variant], rounds: usize) -> io::Result<Vec<PacketCost>> {
    let directory = Directory::new()?;
    let mut pairs = Vec::new();
    for (position, variant) in variants.iter().enumerate() {
        pairs.push(pair(program, *variant, &directory.0.join(position.to_string()))?);
    }
    let mut found = vec![Vec::new(); pairs.len()];
    for _ in 0..rounds {
        for ((client, router), costs) in pairs.iter().zip(&mut found) {
            costs.push(client.run(measure_once)?);
            router.sh("conntrack -F 2>&1");
        }
    }
    Ok(found.iter().map(|costs| median(costs)).collect())
}

/// A client and its router with two uplinks into nothing: what leaves is dropped by the far device, for it
/// is addressed to another.
fn pair(program: &Path, variant: Variant, directory: &Path) -> io::Result<(Namespace, Namespace)> {
    let (client, router) = (Namespace::new("client")?, Namespace::new("router")?);
    let mut lines = format!(
        "link add lan0 type veth peer name eth0 netns {}
         link set lan0 up\naddr add 192.168.1.1/24 dev lan0\n",
        client.path()
    );
    for (device, network) in [("wan", 11), ("wanb", 12)] {
        lines += &format!(
            "link add {device} type veth peer name {device}-far
             link set {device} up\nlink set {device}-far up
             addr add 10.{network}.0.2/24 dev {device}
             neigh add 10.{network}.0.1 lladdr 02:00:00:00:00:{network} dev {device} nud permanent
             route add default via 10.{network}.0.1 dev {device} metric {network}\n"
        );
    }
    router.batch(&lines)?;
    router.set(&[("net/ipv4/ip_forward", "1")])?;
    client.batch(
        "link set eth0 up\naddr add 192.168.1.10/24 dev eth0\nroute add default via 192.168.1.1 dev eth0",
    )?;
    router.nft(
        "table inet fw4 {
            chain srcnat { type nat hook postrouting priority srcnat; oifname { wan, wanb } masquerade; }
        }",
    )?;
    match variant {
        Variant::Plain => {}
        Variant::Rules(count) => start(program, &router, &Size::new(2, count).config(), directory)?,
        Variant::MixedRules(count) => {
            start(program, &router, &Size::new(2, count).mixed_config(), directory)?;
        }
        Variant::RoutingOnly => {
            start(program, &router, &Size::new(2, 4).config(), directory)?;
            router.nft("delete table inet mwan3")?;
        }
    }
    Ok((client, router))
}

fn start(program: &Path, router: &Namespace, config: &str, directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join("mwan3"), config)?;
    let mut command = router.command(program);
    command.args(["start", "--no-track"]).stdout(Stdio::null());
    command.env("UCI_CONFIG_DIR", directory).env("MWAN3_RUN_DIR", directory.join("run"));
    measure(&mut command).map(drop)
}

fn measure_once() -> io::Result<PacketCost> {
    stay_on_one_cpu()?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let one = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 40_000);
    socket.send_to(&[0; 32], one)?;
    let established = per_packet(|_| socket.send_to(&[0; 32], one))?;
    // Destinations that no rule but the last is for: the whole list is passed.
    let new = per_packet(|number| {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 19, 0, 0)) + number);
        socket.send_to(&[0; 32], SocketAddrV4::new(address, 40_001))
    })?;
    Ok(PacketCost { established, new })
}

fn per_packet(send: impl Fn(u32) -> io::Result<usize>) -> io::Result<f64> {
    let before = thread_cpu();
    for number in 0..PACKETS {
        send(number)?;
    }
    Ok((thread_cpu() - before).as_nanos() as f64 / f64::from(PACKETS))
}

fn median(costs: &[PacketCost]) -> PacketCost {
    let middle = |of: fn(&PacketCost) -> f64| {
        let mut values: Vec<f64> = costs.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    PacketCost { established: middle(|cost| cost.established), new: middle(|cost| cost.new) }
}

struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Directory> {
        let path = std::env::temp_dir().join(format!("mwan3-bench-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
