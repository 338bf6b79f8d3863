//! Forgetting and telling connections, in the running kernel's tracker. Needs root, or `unshare -Urn`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::IpAddr;

use mwan3::address::Family;
use mwan3::sorted::SortedMap;
use mwan3::system::conntrack::{self, Connection, MarkFilter};
use mwan3::system::netlink::{self, Payload, Socket, flag};

/// unshare() is the calling thread's; each namespace has connections of its own.
fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        // SAFETY: no pointers; it only moves this thread into a new network namespace.
        let failed = unsafe { libc::unshare(libc::CLONE_NEWNET) } < 0;
        assert!(!failed, "kernel tests need root or `unshare -Urn`: {}", std::io::Error::last_os_error());
        test();
    });
    if let Err(panic) = outcome.join() {
        std::panic::resume_unwind(panic);
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn tuple(payload: &mut Payload, kind: u16, from: IpAddr, to: IpAddr, (low, high): (u16, u16)) {
    let kinds = if from.is_ipv4() { (1, 2) } else { (3, 4) };
    payload.nest(kind, |tuple| {
        tuple.nest(1, |addresses| {
            addresses.put(kinds.0, &octets(from));
            addresses.put(kinds.1, &octets(to));
        });
        tuple.nest(2, |transport| {
            transport.put_u8(1, 17);
            transport.put(2, &low.to_be_bytes());
            transport.put(3, &high.to_be_bytes());
        });
    });
}

/// A UDP connection, as if packets had gone both ways.
fn insert(socket: &mut Socket, source: &str, destination: &str, ports: (u16, u16), mark: u32) {
    insert_with(socket, source, destination, ports, mark, |_| {});
}

fn insert_with(
    socket: &mut Socket,
    source: &str,
    destination: &str,
    ports: (u16, u16),
    mark: u32,
    more: impl FnOnce(&mut Payload),
) {
    let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
    let family = Family::of(source);
    let mut payload = Payload::new(&[family.number(), 0, 0, 0]);
    tuple(&mut payload, 1, source, destination, ports);
    tuple(&mut payload, 2, destination, source, (ports.1, ports.0));
    payload.put_be32(3, 0xa);
    payload.put_be32(7, 600);
    payload.put_be32(8, mark);
    more(&mut payload);
    socket.request(0x100, flag::CREATE | flag::EXCLUSIVE, &payload).unwrap();
}

fn two_uplinks_of_connections() {
    let mut socket = Socket::open(netlink::NETFILTER).unwrap();
    for port in 1..=20 {
        insert(&mut socket, "192.168.1.2", "203.0.113.9", (port, 53), 0x100);
        insert(&mut socket, "fd00::2", "2001:db8::9", (port, 53), 0x8000_0100);
        insert(&mut socket, "192.168.1.2", "203.0.113.10", (port, 53), 0x200);
    }
    insert(&mut socket, "fd00::2", "2001:db8::9", (99, 53), 0x3f01);
    insert(&mut socket, "192.168.1.2", "203.0.113.9", (99, 53), 0);
}

const MASK: u32 = 0x3f00;

fn counts() -> SortedMap<u32, u64> {
    conntrack::count_by_mark(MASK).unwrap()
}

#[test]
fn connections_are_counted_by_the_bits_of_the_mask() {
    in_namespace(|| {
        assert_eq!(counts(), SortedMap::new());
        two_uplinks_of_connections();
        assert_eq!(counts(), [(0, 1), (0x100, 40), (0x200, 20), (0x3f00, 1)].into());
        assert_eq!(conntrack::count_by_mark(0).unwrap(), [(0, 62)].into());
    });
}

#[test]
fn the_connections_of_one_uplink_are_forgotten_in_both_families_and_no_others() {
    in_namespace(|| {
        two_uplinks_of_connections();
        conntrack::flush_marked(MarkFilter { value: 0x100, mask: MASK }).unwrap();
        assert_eq!(counts(), [(0, 1), (0x200, 20), (0x3f00, 1)].into());
        conntrack::flush_marked(MarkFilter { value: 0x100, mask: MASK }).unwrap();
        assert_eq!(counts(), [(0, 1), (0x200, 20), (0x3f00, 1)].into());
        conntrack::flush_all().unwrap();
        assert_eq!(counts(), SortedMap::new());
    });
}

#[test]
fn connections_tell_both_directions_mark_and_state() {
    in_namespace(|| {
        two_uplinks_of_connections();
        let mut found: Vec<Connection> = Vec::new();
        let default = MarkFilter { value: MASK, mask: MASK };
        conntrack::for_each(Some(default), |connection| found.push(connection)).unwrap();
        let [one] = &found[..] else { panic!("{found:?}") };
        assert_eq!(one.original.source.to_string(), "fd00::2");
        assert_eq!(one.original.destination.to_string(), "2001:db8::9");
        assert_eq!(one.reply.source, one.original.destination);
        assert_eq!((one.original.protocol, one.original.ports), (17, Some((99, 53))));
        assert_eq!(one.reply.ports, Some((53, 99)));
        assert_eq!(one.mark, 0x3f01);
        assert!(one.is_answered());
        let mut all = 0;
        conntrack::for_each(None, |_| all += 1).unwrap();
        assert_eq!(all, 62);
    });
}

#[test]
fn packets_make_connections_that_are_told() {
    in_namespace(|| {
        let run = |words: &str| {
            let status = std::process::Command::new("sh").args(["-c", words]).status().unwrap();
            assert!(status.success(), "{words}");
        };
        // Tracking is on while somebody asks for it.
        run(
            "ip link set lo up && nft 'add table inet t; add chain inet t o { type filter hook output priority 0; }; \
             add rule inet t o udp dport 53 ct mark set 0x205'",
        );
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"hello", "127.0.0.1:53").unwrap();
        assert_eq!(counts(), [(0x200, 1)].into());
        let mut found = Vec::new();
        conntrack::for_each(None, |connection| found.push(connection)).unwrap();
        assert_eq!(found[0].original.ports, Some((socket.local_addr().unwrap().port(), 53)));
        assert!(!found[0].is_answered());
    });
}

#[test]
fn single_connections_are_forgotten_by_label_and_others_stay() {
    in_namespace(|| {
        let run = |words: &str| {
            let status = std::process::Command::new("sh").args(["-c", words]).status().unwrap();
            assert!(status.success(), "{words}");
        };
        run(
            "ip link set lo up && nft 'add table inet t; add chain inet t o { type filter hook output priority 0; }; \
             add rule inet t o udp dport 53 ct mark set 0x205; add rule inet t o udp dport 54 ct mark set 0x205; \
             add rule inet t o udp dport 54 ct label set 77'",
        );
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"hello", "127.0.0.1:53").unwrap();
        socket.send_to(b"hello", "127.0.0.1:54").unwrap();
        // Pings have no ports but numbers of their own.
        run(
            "nft add rule inet t o icmp type echo-request ct label set 3 && ping -c 1 -W 1 127.0.0.1 >/dev/null",
        );
        let with = |label: u32| move |connection: &Connection| connection.label == 1u128 << label;
        assert_eq!(conntrack::forget(None, &mut with(76)), Ok(0));
        assert_eq!(conntrack::forget(Some(MarkFilter { value: 0x100, mask: MASK }), &mut with(77)), Ok(0));
        assert_eq!(conntrack::forget(Some(MarkFilter { value: 0x200, mask: MASK }), &mut with(77)), Ok(1));
        assert_eq!(conntrack::forget(None, &mut with(3)), Ok(1));
        let mut left = Vec::new();
        conntrack::for_each(None, |connection| left.push(connection)).unwrap();
        let ports: Vec<_> = left.iter().filter_map(|one| one.original.ports).map(|(_, to)| to).collect();
        assert_eq!((left.len(), &ports[..], left[0].label), (1, &[53][..], 0));
    });
}

#[test]
fn what_a_helper_expected_goes_with_the_call_that_announced_it() {
    in_namespace(|| {
        let rule = "nft 'add table inet t; add chain inet t o { type filter hook output priority 0; }; \
                    add rule inet t o udp dport 54 ct label set 77'";
        assert!(std::process::Command::new("sh").args(["-c", rule]).status().unwrap().success());
        let mut socket = Socket::open(netlink::NETFILTER).unwrap();
        let (phone, operator) = ("192.168.1.2", "203.0.113.9");
        let label = |call: &mut Payload| call.put(22, &(1u128 << 77).to_ne_bytes());
        insert_with(&mut socket, phone, operator, (5060, 5060), 0x100, label);
        let call = |media: &mut Payload| {
            tuple(media, 14, phone.parse().unwrap(), operator.parse().unwrap(), (5060, 5060));
        };
        insert_with(&mut socket, phone, operator, (16384, 16384), 0x100, call);
        insert(&mut socket, phone, operator, (16386, 16386), 0x100);
        let mut is_of_the_call = |connection: &Connection| connection.label == 1u128 << 77;
        assert_eq!(conntrack::forget(None, &mut is_of_the_call), Ok(2));
        let mut left = Vec::new();
        conntrack::for_each(None, |connection| left.extend(connection.original.ports)).unwrap();
        assert_eq!(left, [(16386, 16386)]);
    });
}
