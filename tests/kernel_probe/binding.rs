//! Every probe leaves by its device, with its mark and from its source address, and says so when it cannot.

use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use mwan3::address::Family;
use mwan3::probe_packet::icmp::request_type;
use mwan3::system::probe::{Method, ProbeResult, Uplink};
use socket2::Socket;

use super::wire::{
    DEVICE, Driver, MARK, Namespace, PATIENCE, assert_answered, beyond, echo, far, ip, lay_wire, near,
    on_a_wire, swallowed, uplink, wait_until_it_carries, words,
};

const SECOND: [(Family, &str); 2] = [(Family::Ipv4, "192.0.2.3"), (Family::Ipv6, "2001:db8::3")];

fn from_second(family: Family, address: &str) -> Uplink {
    Uplink { source: address.parse().expect("an address"), ..uplink(family) }
}

/// Who sent the echo request this raw socket receives next; IPv6 neighbours also send other messages.
fn sender_of_request(sniffer: &Socket, family: Family) -> IpAddr {
    loop {
        let mut buffer = [MaybeUninit::uninit(); 2048];
        let (_, sender) = sniffer.recv_from(&mut buffer).expect("the request in time");
        // SAFETY: a message has at least a header, which recv_from() has initialised.
        let kind = unsafe { buffer[if family == Family::Ipv4 { 20 } else { 0 }].assume_init() };
        if kind == request_type(family) {
            return sender.as_socket().expect("an IP address").ip();
        }
    }
}

/// How many ICMP messages of that kind the namespace has counted.
fn counted(namespace: &Namespace, family: Family) -> u64 {
    namespace.run(|| {
        let read =
            |name: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).expect("counters");
        match family {
            Family::Ipv4 => {
                let text = read("snmp");
                let mut lines = text.lines().filter(|line| line.starts_with("Icmp:"));
                let names = lines.next().expect("names").split_whitespace();
                let values = lines.next().expect("values").split_whitespace();
                let found = names.zip(values).find(|(name, _)| *name == "InEchos").expect("InEchos");
                found.1.parse().expect("a number")
            }
            Family::Ipv6 => {
                let text = read("snmp6");
                let line = text.lines().find(|line| line.starts_with("Icmp6InEchos ")).expect("Icmp6InEchos");
                line.split_whitespace().last().expect("a value").parse().expect("a number")
            }
        }
    })
}

#[test]
fn probes_come_from_the_given_source() {
    on_a_wire(|far_end| {
        ip("addr add 192.0.2.3/24 dev wan\naddr add 2001:db8::3/64 dev wan nodad");
        for (family, second) in SECOND {
            let second_address: IpAddr = second.parse().expect("an address");
            wait_until_it_carries(second_address);
            let sniffer = far_end.icmp_socket(far(family));
            for (uplink, source) in
                [(uplink(family), near(family)), (from_second(family, second), second_address)]
            {
                let mut driver = Driver::new();
                assert_answered(driver.probe(&uplink, echo(far(family))));
                assert_eq!(sender_of_request(&sniffer, family), source);

                let tcp = far_end.run(|| TcpListener::bind(SocketAddr::new(far(family), 0)).expect("bind"));
                let target = tcp.local_addr().expect("an address");
                assert_answered(driver.probe(&uplink, Method::Tcp { target }));
                assert_eq!(tcp.accept().expect("a connection").1.ip(), source);

                let udp = far_end.run(|| UdpSocket::bind(SocketAddr::new(far(family), 0)).expect("bind"));
                udp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                let target = udp.local_addr().expect("an address");
                driver.start(&uplink, Method::Udp { target, payload: vec![1] });
                assert_eq!(udp.recv_from(&mut [0; 10]).expect("a datagram").1.ip(), source);
            }
        }
    });
}

#[test]
fn the_mark_decides_the_routing_table() {
    on_a_wire(|far_end| {
        let listeners = Family::BOTH.map(|family| {
            far_end.run(|| TcpListener::bind(SocketAddr::new(beyond(family), 0)).expect("bind"))
        });
        ip(&format!(
            "route del default
             -6 route del default
             rule add fwmark {MARK:#x} lookup 77
             -6 rule add fwmark {MARK:#x} lookup 77
             route add default via 192.0.2.1 table 77
             -6 route add default via 2001:db8::1 table 77"
        ));
        for (family, listener) in Family::BOTH.into_iter().zip(&listeners) {
            let mut driver = Driver::new();
            let marked = uplink(family);
            let unmarked = Uplink { mark: 0, ..marked.clone() };
            let tcp = Method::Tcp { target: listener.local_addr().expect("an address") };
            for method in [echo(beyond(family)), tcp] {
                assert_answered(driver.probe(&marked, method.clone()));
                let told = words(driver.probe(&unmarked, method));
                // Without a route, IPv4 takes the target for a neighbour.
                let expected = if family == Family::Ipv4 { "host unreachable" } else { "no route" };
                assert!(told.contains(expected), "{told}");
            }
            assert_answered(driver.probe(&marked, echo(beyond(family))));
        }
    });
}

#[test]
fn the_device_decides_between_two_uplinks_with_the_same_addresses_behind_them() {
    on_a_wire(|far_end| {
        // The same wire again, under another name; the first keeps the better routes.
        ip(&format!("link set {DEVICE} name wanb"));
        ip("route flush dev wanb
            -6 route del default
            addr flush dev wanb scope global
            addr add 192.0.2.22/24 dev wanb
            addr add 2001:db8::22/64 dev wanb nodad
            route add default via 192.0.2.1 dev wanb metric 10
            -6 route add default via 2001:db8::1 dev wanb metric 10");
        let other_end = Namespace::new();
        lay_wire(&other_end);
        for (family, source) in [(Family::Ipv4, "192.0.2.22"), (Family::Ipv6, "2001:db8::22")] {
            let by_wanb = Uplink {
                device: "wanb".into(),
                source: source.parse().expect("an address"),
                ..uplink(family)
            };
            let mut driver = Driver::new();
            for (interface, uplink, expected) in [(1, uplink(family), [0, 1]), (2, by_wanb, [1, 0])] {
                let before = [far_end, &other_end].map(|end| counted(end, family));
                driver.start_for(interface, &uplink, echo(beyond(family)));
                assert_answered(driver.outcome().result);
                let after = [far_end, &other_end].map(|end| counted(end, family));
                assert_eq!([after[0] - before[0], after[1] - before[1]], expected, "{uplink:?}");
            }
        }
    });
}

fn every_method(family: Family) -> Vec<Method> {
    let target = SocketAddr::new(far(family), 53);
    let host = "example.org".to_owned();
    vec![
        echo(far(family)),
        Method::Tcp { target },
        Method::Http { target, host: host.clone(), path: "/".into() },
        Method::Https { target, host: host.clone() },
        Method::Dns { server: target, name: host.clone() },
        Method::Udp { target, payload: vec![1] },
        Method::Resolve { name: host, servers: vec![target] },
    ]
}

#[test]
fn a_source_address_that_is_gone_is_told_by_every_method_and_returns() {
    on_a_wire(|_| {
        for (family, add, address) in [
            (Family::Ipv4, "addr add 192.0.2.2/24 dev wan", "192.0.2.2/24"),
            (Family::Ipv6, "addr add 2001:db8::2/64 dev wan nodad", "2001:db8::2/64"),
        ] {
            let mut driver = Driver::new();
            assert_answered(driver.probe(&uplink(family), echo(far(family))));
            ip(&format!("addr del {address} dev wan"));
            for method in every_method(family) {
                let told = words(driver.probe(&uplink(family), method));
                assert_eq!(told, format!("cannot bind to {} on wan: address is gone", near(family)));
            }
            ip(add);
            wait_until_it_carries(near(family));
            assert_answered(driver.probe(&uplink(family), echo(far(family))));
        }
    });
}

#[test]
fn a_device_that_is_gone_is_told_and_found_again_under_another_number() {
    on_a_wire(|_| {
        let mut ends = Vec::new();
        for family in Family::BOTH {
            let mut driver = Driver::new();
            assert_answered(driver.probe(&uplink(family), echo(far(family))));
            ip("link del wan");
            for method in every_method(family) {
                assert_eq!(
                    words(driver.probe(&uplink(family), method)),
                    "cannot use device wan: device is gone"
                );
            }
            let new_end = Namespace::new();
            lay_wire(&new_end);
            assert_answered(driver.probe(&uplink(family), echo(far(family))));
            assert_eq!(driver.prober.interests().count(), 1, "the same socket");
            // A wire goes with the namespace its other end is in.
            ends.push(new_end);
        }
    });
}

#[test]
fn a_device_that_is_down_is_told() {
    on_a_wire(|_| {
        let mut driver = Driver::new();
        ip("link set wan down");
        assert_eq!(
            words(driver.probe(&uplink(Family::Ipv4), echo(far(Family::Ipv4)))),
            "cannot send to 192.0.2.1 on wan: no route"
        );
    });
}

#[test]
fn names_no_device_can_have_and_mixed_families_are_refused() {
    on_a_wire(|_| {
        let mut driver = Driver::new();
        for device in ["", "a-name-of-16-chr", "wan\0"] {
            let uplink = Uplink { device: device.into(), ..uplink(Family::Ipv4) };
            for method in every_method(Family::Ipv4) {
                let told = words(driver.probe(&uplink, method));
                assert_eq!(told, format!("cannot use device '{device}': no device can have this name"));
            }
        }
        let told = words(driver.probe(&uplink(Family::Ipv6), echo(far(Family::Ipv4))));
        assert_eq!(told, "cannot reach 192.0.2.1 from 2001:db8::2: not the same family");
    });
}

#[test]
fn the_source_may_be_left_to_the_kernel() {
    on_a_wire(|_| {
        for (family, any) in [(Family::Ipv4, "0.0.0.0"), (Family::Ipv6, "::")] {
            let mut driver = Driver::new();
            assert_answered(driver.probe(&from_second(family, any), echo(far(family))));
        }
    });
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/thread-self/fd").expect("the descriptors").count()
}

#[test]
fn a_thousand_probes_leave_no_descriptor_behind() {
    on_a_wire(|far_end| {
        let listener =
            far_end.run(|| TcpListener::bind(SocketAddr::new(far(Family::Ipv4), 0)).expect("bind"));
        let open_port = listener.local_addr().expect("an address");
        let closed_port = SocketAddr::new(far(Family::Ipv4), 9);
        let nowhere = SocketAddr::new(swallowed(Family::Ipv4), 53);
        let uplink = uplink(Family::Ipv4);
        let mut driver = Driver::new();
        let before = open_descriptors();
        for _ in 0..125 {
            assert_answered(driver.probe(&uplink, echo(far(Family::Ipv4))));
            assert_answered(driver.probe(&uplink, Method::Tcp { target: open_port }));
            drop(listener.accept());
            assert_answered(driver.probe(&uplink, Method::Tcp { target: closed_port }));
            words(driver.probe(&uplink, Method::Https { target: closed_port, host: "a".into() }));
            let unanswered = [
                Method::Tcp { target: nowhere },
                Method::Http { target: nowhere, host: "a".into(), path: "/".into() },
                Method::Dns { server: nowhere, name: "a".into() },
                Method::Resolve { name: "a".into(), servers: vec![nowhere, nowhere] },
            ]
            .map(|method| driver.start(&uplink, method));
            assert_eq!(driver.prober.interests().count(), 1 + 5);
            for id in unanswered {
                driver.prober.cancel(id);
            }
            assert_eq!(driver.prober.interests().count(), 1);
        }
        assert_eq!(open_descriptors(), before + 1, "the echo socket stays");
        driver.prober.close_interface(1);
        assert_eq!(open_descriptors(), before);
        assert_eq!(driver.prober.next_outcome(), None);
    });
}

#[test]
fn round_trips_are_measured() {
    on_a_wire(|_| {
        let mut driver = Driver::new();
        let before = driver.now();
        let result = driver.probe(&uplink(Family::Ipv4), echo(far(Family::Ipv4)));
        let ProbeResult::Answered { round_trip } = result else { panic!("{result:?}") };
        assert!(!round_trip.is_zero() && round_trip <= driver.now() - before, "{round_trip:?}");
    });
}
