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

/// A UDP connection, as if packets had gone both ways.
fn insert(socket: &mut Socket, source: &str, destination: &str, ports: (u16, u16), mark: u32) {
    let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
    let family = Family::of(source);
    let kinds = if family == Family::Ipv4 { (1, 2) } else { (3, 4) };
    let tuple = |payload: &mut Payload, kind: u16, from: IpAddr, to: IpAddr, (low, high): (u16, u16)| {
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
    };
    let mut payload = Payload::new(&[family.number(), 0, 0, 0]);
    tuple(&mut payload, 1, source, destination, ports);
    tuple(&mut payload, 2, destination, source, (ports.1, ports.0));
    payload.put_be32(3, 0xa);
    payload.put_be32(7, 600);
    payload.put_be32(8, mark);
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
