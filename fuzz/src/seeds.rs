//! The inputs a target starts from: golden cases, and what golden plans and this host's kernel look like as
//! bytes. Made at run time, so that they follow the code and none are kept in the repository.

use std::fs;
use std::path::{Path, PathBuf};

use mwan3::network::Network;
use mwan3::plan::{Health, Plan, TABLE, plan};
use mwan3::system::netlink::{self, Payload, Socket};
use mwan3::system::nftables::encode;
use mwan3::system::route::{links::DeviceIndex, routes, rules};
use mwan3::system::ubus::blob;
use mwan3::{config, json, nft, probe_packet, uci};

/// `cargo xtask fuzz` asks by this variable for a folder to be filled before the first run.
const FOLDER: &str = "MWAN3_FUZZ_SEEDS";

/// RTM_GET* of links, addresses, routes and rules, with room for the largest of their headers.
const ROUTE_DUMPS: [u16; 4] = [18, 22, 26, 34];
const LARGEST_HEADER: usize = 16;

/// Writes the seeds and ends the process, if that is what was asked.
pub fn write_if_asked(target: &str) {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    fs::create_dir_all(&folder).expect("the corpus folder can be made");
    for (number, seed) in of_target(target).into_iter().enumerate() {
        fs::write(folder.join(format!("seed{number:04}")), seed).expect("the corpus folder is writable");
    }
    std::process::exit(0);
}

fn of_target(target: &str) -> Vec<Vec<u8>> {
    match target {
        "uci" | "plan" => files("mwan3").into_iter().chain([DELTA.to_vec()]).collect(),
        "network_json" => files("network.json"),
        "netlink" => routing_messages(),
        "nfnetlink" => table_messages(),
        "ubus" => ubus_tables(),
        "probe" => probe_packets(),
        "texts" => texts(),
        _ => Vec::new(),
    }
}

/// The first byte names the reader; see the target.
fn texts() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests");
    let office = fs::read(root.join("fixtures/multiwans/config.yaml")).expect("part of the repository");
    let mut seeds = vec![
        tagged(0, b"GET /metrics HTTP/1.1\r\nHost: localhost:9101\r\nAccept: text/plain\r\n\r\n"),
        tagged(1, b"ADDRESS=192.0.2.9\nROUTER=192.0.2.1\nDNS=192.0.2.53 2001:db8::53\n"),
        tagged(3, &office),
        tagged(4, b"CET-1CEST,M3.5.0,M10.5.0/3"),
    ];
    seeds.extend(files("health").iter().map(|health| tagged(2, health)));
    seeds
}

const DELTA: &[u8] =
    b"config interface wan\n\toption enabled 1\n\tlist track_ip 1.1.1.1\n\0mwan3.wan.enabled='0'\n\
    +mwan3.cfg01=rule\n|mwan3.wan.track_ip='9.9.9.9'\n~mwan3.wan.track_ip='1.1.1.1'\n@mwan3.wan='lan'\n\
    ^mwan3.lan='0'\n-mwan3.lan.enabled\n-mwan3.lan\n";

fn files(name: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    folders(&root)
        .iter()
        .flat_map(|group| folders(group))
        .filter_map(|case| fs::read(case.join(name)).ok())
        .collect()
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).expect("the cases are part of the repository");
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}

fn golden_plans() -> Vec<(Network, Plan)> {
    let networks = files("network.json").into_iter().filter_map(|text| Network::read(std::str::from_utf8(&text).ok()?).ok());
    files("mwan3")
        .into_iter()
        .zip(networks)
        .map(|(text, network): (_, Network)| {
            let (config, _) = config::read(&uci::parse("mwan3", &text), "mwan3");
            let plan = plan(&config, &network, &Health::new());
            (network, plan)
        })
        .collect()
}

/// The first byte names the decoder; see the target.
fn tagged(tag: u8, payload: &[u8]) -> Vec<u8> {
    [&[tag], payload].concat()
}

fn routing_messages() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (network, plan) in golden_plans() {
        let devices = DeviceIndex::of(&network.devices);
        seeds.extend(plan.rules.iter().map(|rule| tagged(3, rules::encode(rule).bytes())));
        let encoded =
            plan.routes.iter().chain(&network.routes).filter_map(|r| routes::encode(r, &devices).ok());
        seeds.extend(encoded.map(|payload| tagged(2, payload.bytes())));
    }
    for (tag, kind) in (0u8..).zip(ROUTE_DUMPS) {
        seeds.extend(dump(netlink::ROUTE, kind, LARGEST_HEADER).iter().map(|payload| tagged(tag, payload)));
    }
    seeds
}

/// Whole batches, and each message of them alone.
fn table_messages() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (_, plan) in golden_plans() {
        let Some(table) = &plan.ruleset else { continue };
        let Ok(Some(batch)) = encode::batch(TABLE, &nft::replacement(table)) else { continue };
        seeds.extend(netlink::Messages::new(&batch.bytes).map(|message| message.payload.to_vec()));
        seeds.push(batch.bytes);
    }
    seeds
}

fn dump(protocol: i32, kind: u16, header: usize) -> Vec<Vec<u8>> {
    let answers =
        Socket::open(protocol).and_then(|mut socket| socket.dump(kind, &Payload::new(&vec![0; header])));
    answers.unwrap_or_default().into_iter().map(|answer| answer.payload).collect()
}

fn ubus_tables() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/netifd");
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    entries
        .filter_map(|path| json::read(&fs::read_to_string(path).ok()?).ok())
        .filter_map(|value| blob::encode_table(&value).ok())
        .collect()
}

fn probe_packets() -> Vec<Vec<u8>> {
    use mwan3::address::Family;
    use probe_packet::{arp, dns, icmp, tls};
    let echo = icmp::echo_request(Family::Ipv4, 7, 1, b"payload!");
    let mut with_ip_header = vec![0x45, 0, 0, 36, 0, 0, 0, 0, 64, 1, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    with_ip_header.extend(&echo);
    let mut answer = dns::query(7, "example.com", Family::Ipv4).unwrap_or_default();
    if let Some(flags) = answer.get_mut(2) {
        *flags |= 0x80;
    }
    answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01");
    vec![
        echo,
        with_ip_header,
        icmp::echo_request(Family::Ipv6, 7, 1, b"payload!"),
        arp::request([2; 6], [192, 0, 2, 1].into(), [192, 0, 2, 2].into()),
        answer,
        tls::client_hello("example.com", [1; 32], [2; 32]),
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
    ]
}
