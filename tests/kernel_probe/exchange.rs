//! TCP, HTTP, HTTPS, DNS, UDP and looking up names: what counts as an answer and what does not.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::thread::JoinHandle;

use mwan3::address::Family;
use mwan3::probe_packet::icmp::checksum;
use mwan3::system::probe::{Method, ProbeResult, Strays};
use socket2::{Domain, Protocol, Socket, Type};

use super::wire::{
    Driver, Namespace, PATIENCE, assert_answered, far, near, on_a_wire, swallowed, unreachable, uplink, words,
};

fn listen(far_end: &Namespace, family: Family) -> TcpListener {
    far_end.run(|| TcpListener::bind(SocketAddr::new(far(family), 0)).expect("bind"))
}

fn udp(far_end: &Namespace, address: IpAddr) -> UdpSocket {
    let socket = far_end.run(|| UdpSocket::bind(SocketAddr::new(address, 0)).expect("bind"));
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Accepts one connection, says these pieces one by one once it has heard something, and closes.
fn serve_once(listener: TcpListener, pieces: &[&'static [u8]]) -> JoinHandle<Vec<u8>> {
    let pieces = pieces.to_vec();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().expect("a connection");
        connection.set_nodelay(true).expect("no delay");
        connection.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut heard = vec![0; 4096];
        let length = connection.read(&mut heard).expect("a request");
        heard.truncate(length);
        // A prober that has heard enough closes before the last piece.
        let _ = pieces.iter().try_for_each(|piece| connection.write_all(piece));
        heard
    })
}

#[test]
fn a_tcp_connection_and_its_refusal_are_both_answers() {
    on_a_wire(|far_end| {
        for family in Family::BOTH {
            let mut driver = Driver::new();
            let listener = listen(far_end, family);
            let target = listener.local_addr().expect("an address");
            assert_answered(driver.probe(&uplink(family), Method::Tcp { target }));
            drop(listener);
            assert_answered(driver.probe(&uplink(family), Method::Tcp { target }));
            assert_eq!(driver.prober.interests().count(), 0);
        }
    });
}

#[test]
fn icmp_errors_fail_connections_and_datagrams_with_their_sender() {
    on_a_wire(|_| {
        for (family, notice) in [(Family::Ipv4, "host unreachable"), (Family::Ipv6, "network unreachable")] {
            let target = SocketAddr::new(unreachable(family), 53);
            for method in [
                Method::Tcp { target },
                Method::Http { target, host: "a".into(), path: "/".into() },
                Method::Udp { target, payload: vec![1] },
                Method::Dns { server: target, name: "a".into() },
            ] {
                let mut driver = Driver::new();
                let told = words(driver.probe(&uplink(family), method.clone()));
                assert_eq!(told, format!("{notice}, says {}", far(family)), "{method:?}");
            }
        }
    });
}

#[test]
fn a_datagram_is_answered_by_a_datagram_or_by_the_closed_port_itself() {
    on_a_wire(|far_end| {
        for family in Family::BOTH {
            let mut driver = Driver::new();
            let server = udp(far_end, far(family));
            let target = server.local_addr().expect("an address");
            driver.start(&uplink(family), Method::Udp { target, payload: b"hello".to_vec() });
            let mut heard = [0; 16];
            let (length, from) = server.recv_from(&mut heard).expect("a datagram");
            assert_eq!(&heard[..length], b"hello");
            server.send_to(b"", from).expect("sent");
            assert_answered(driver.outcome().result);
            drop(server);
            assert_answered(driver.probe(&uplink(family), Method::Udp { target, payload: Vec::new() }));
        }
    });
}

/// What the far end's device receives for `destination`, from the IP header on.
struct Tap(Socket);

impl Tap {
    fn new(far_end: &Namespace) -> Tap {
        const ETHERTYPE_IPV4: u16 = 0x0800;
        let protocol = Protocol::from(i32::from(ETHERTYPE_IPV4.to_be()));
        let socket = far_end
            .run(|| Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)).expect("a packet socket"));
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Tap(socket)
    }

    fn packet_for(&self, destination: IpAddr) -> Vec<u8> {
        let IpAddr::V4(destination) = destination else { panic!("IPv4 only") };
        loop {
            let mut buffer = [MaybeUninit::uninit(); 2048];
            let length = self.0.recv(&mut buffer).expect("a packet in time");
            // SAFETY: recv() has initialised that many bytes.
            let packet: Vec<u8> = buffer[..length].iter().map(|byte| unsafe { byte.assume_init() }).collect();
            if packet[16..20] == destination.octets() {
                return packet;
            }
        }
    }
}

#[test]
fn a_router_that_says_port_unreachable_for_the_target_is_no_answer() {
    on_a_wire(|far_end| {
        let family = Family::Ipv4;
        let router = far_end.icmp_socket(far(family));
        let target = SocketAddr::new(swallowed(family), 443);
        for method in [Method::Tcp { target }, Method::Udp { target, payload: vec![1] }] {
            let tap = Tap::new(far_end);
            let mut driver = Driver::new();
            driver.start(&uplink(family), method);
            let mut error = vec![3, 3, 0, 0, 0, 0, 0, 0];
            error.extend(tap.packet_for(target.ip()));
            let sum = checksum(&error).to_be_bytes();
            error[2..4].copy_from_slice(&sum);
            router.send_to(&error, &SocketAddr::new(near(family), 0).into()).expect("sent");
            let told = words(driver.outcome().result);
            assert_eq!(told, format!("port unreachable, says {}", far(family)));
        }
    });
}

#[test]
fn any_http_status_is_an_answer_also_in_pieces() {
    on_a_wire(|far_end| {
        for (family, pieces) in [
            (Family::Ipv4, &[b"HTTP/1.1 503 Busy\r\n\r\n" as &[u8]][..]),
            (Family::Ipv6, &[b"HT" as &[u8], b"TP/1.", b"0 204", b" Fine\r\n\r\n"][..]),
        ] {
            let mut driver = Driver::new();
            let listener = listen(far_end, family);
            let target = listener.local_addr().expect("an address");
            let server = serve_once(listener, pieces);
            let method = Method::Http { target, host: "example.org".into(), path: "/x".into() };
            assert_answered(driver.probe(&uplink(family), method));
            let heard = String::from_utf8(server.join().expect("served")).expect("text");
            assert!(heard.starts_with("HEAD /x HTTP/1.1\r\nHost: example.org\r\n"), "{heard}");
        }
    });
}

#[test]
fn http_fails_on_a_closed_port_another_protocol_and_an_early_close() {
    on_a_wire(|far_end| {
        let mut driver = Driver::new();
        let family = Family::Ipv4;
        let http = |target| Method::Http { target, host: "example.org".into(), path: "/".into() };
        let cases: [&[&[u8]]; 3] = [&[b"SSH-2.0-dropbear\r\n"], &[b"HTTP/1."], &[]];
        for pieces in cases {
            let listener = listen(far_end, family);
            let target = listener.local_addr().expect("an address");
            let server = serve_once(listener, pieces);
            let told = words(driver.probe(&uplink(family), http(target)));
            assert_eq!(told, format!("{target} answers, but not with HTTP"));
            server.join().expect("served");
        }
        let closed = SocketAddr::new(far(family), 9);
        assert_eq!(words(driver.probe(&uplink(family), http(closed))), "192.0.2.1 refuses port 9");
        let broken = Method::Http { target: closed, host: "a b".into(), path: "/".into() };
        assert_eq!(words(driver.probe(&uplink(family), broken)), "cannot ask for a b/: not a host and path");
    });
}

#[test]
fn a_tls_handshake_or_alert_is_an_answer_and_plain_text_is_not() {
    on_a_wire(|far_end| {
        let family = Family::Ipv6;
        let mut driver = Driver::new();
        let mut ask = |piece: &'static [u8]| {
            let listener = listen(far_end, family);
            let target = listener.local_addr().expect("an address");
            let server = serve_once(listener, &[piece]);
            let result = driver.probe(&uplink(family), Method::Https { target, host: "example.org".into() });
            let heard = server.join().expect("served");
            assert!(heard.starts_with(&[22, 3, 1]), "a TLS handshake record");
            assert!(heard.windows(11).any(|part| part == b"example.org"), "the server's name");
            (target, result)
        };
        assert_answered(ask(&[22, 3, 3, 0, 80, 2]).1);
        assert_answered(ask(&[21, 3, 1, 0, 2, 2, 40]).1);
        let (target, result) = ask(b"HTTP/1.1 400 Bad Request\r\n");
        assert_eq!(words(result), format!("{target} answers, but not with TLS"));
    });
}

/// Hears one query and answers with what `make` turns it into.
fn answer(server: &UdpSocket, make: impl Fn(&mut Vec<u8>)) {
    let mut query = vec![0; 512];
    let (length, from) = server.recv_from(&mut query).expect("a query");
    query.truncate(length);
    make(&mut query);
    server.send_to(&query, from).expect("sent");
}

fn as_answer(code: u8) -> impl Fn(&mut Vec<u8>) {
    move |message| {
        message[2] |= 0x80;
        message[3] = code;
    }
}

fn with_record(kind: u8, data: &[u8]) -> impl Fn(&mut Vec<u8>) {
    move |message| {
        as_answer(0)(message);
        message[7] = 1;
        message.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 90, 0, data.len() as u8]);
        message.extend_from_slice(data);
    }
}

#[test]
fn any_dns_answer_with_our_query_is_an_answer() {
    on_a_wire(|far_end| {
        for family in Family::BOTH {
            for code in [0, 2, 3, 5] {
                let mut driver = Driver::new();
                let server = udp(far_end, far(family));
                let address = server.local_addr().expect("an address");
                driver
                    .start(&uplink(family), Method::Dns { server: address, name: "www.example.org".into() });
                answer(&server, as_answer(code));
                assert_answered(driver.outcome().result);
            }
        }
    });
}

#[test]
fn a_dns_answer_to_another_query_is_waited_past() {
    on_a_wire(|far_end| {
        let family = Family::Ipv4;
        let mut driver = Driver::new();
        let server = udp(far_end, far(family));
        let address = server.local_addr().expect("an address");
        driver.start(&uplink(family), Method::Dns { server: address, name: "www.example.org".into() });
        let mut query = vec![0; 512];
        let (length, from) = server.recv_from(&mut query).expect("a query");
        query.truncate(length);
        as_answer(0)(&mut query);
        for at in [0, 14] {
            let mut other = query.clone();
            other[at] ^= 1;
            server.send_to(&other, from).expect("sent");
        }
        server.send_to(b"", from).expect("sent");
        server.send_to(&query, from).expect("sent");
        assert_answered(driver.outcome().result);
        assert_eq!(driver.prober.strays(), Strays { spoofed: 3, ..Strays::default() });
    });
}

#[test]
fn a_name_server_that_is_not_there_fails_the_dns_probe() {
    on_a_wire(|_| {
        let mut driver = Driver::new();
        let server = SocketAddr::new(far(Family::Ipv4), 53);
        let told = words(driver.probe(&uplink(Family::Ipv4), Method::Dns { server, name: "a".into() }));
        assert_eq!(told, "192.0.2.1 refuses port 53");
        let told = words(driver.probe(&uplink(Family::Ipv4), Method::Dns { server, name: "a b".into() }));
        assert_eq!(told, "cannot look up 'a b': not a host name");
    });
}

#[test]
fn a_name_is_looked_up_by_the_first_server_that_knows_it() {
    on_a_wire(|far_end| {
        for (family, kind, data) in [
            (Family::Ipv4, 1, vec![203, 0, 113, 9]),
            (Family::Ipv6, 28, vec![0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]),
        ] {
            let mut driver = Driver::new();
            let refusing = udp(far_end, far(family));
            let knowing = udp(far_end, far(family));
            let other_family = match family {
                Family::Ipv4 => far(Family::Ipv6),
                Family::Ipv6 => far(Family::Ipv4),
            };
            let servers = vec![
                SocketAddr::new(other_family, 53),
                refusing.local_addr().expect("an address"),
                SocketAddr::new(far(family), 9),
                knowing.local_addr().expect("an address"),
            ];
            let id = driver.start(&uplink(family), Method::Resolve { name: "example.org".into(), servers });
            assert_eq!(driver.prober.interests().count(), 3, "the servers of the uplink's family");
            answer(&refusing, as_answer(5));
            answer(&knowing, with_record(kind, &data));
            let outcome = driver.outcome();
            assert_eq!(outcome.id, id);
            let addresses = vec![super::wire::beyond(family)];
            assert_eq!(outcome.result, ProbeResult::Resolved { addresses, lifetime_s: 90 });
            assert_eq!(driver.prober.interests().count(), 0);
        }
    });
}

#[test]
fn a_name_nobody_knows_fails_once_with_the_last_servers_words() {
    on_a_wire(|far_end| {
        let family = Family::Ipv4;
        let mut driver = Driver::new();
        let (first, second) = (udp(far_end, far(family)), udp(far_end, far(family)));
        let servers = [&first, &second].map(|server| server.local_addr().expect("an address")).to_vec();
        let resolve = |servers| Method::Resolve { name: "example.org".into(), servers };
        driver.start(&uplink(family), resolve(servers));
        answer(&first, as_answer(2));
        driver.wait_for("the first answer", |driver| (driver.prober.interests().count() == 1).then_some(()));
        assert_eq!(driver.prober.next_outcome(), None);
        answer(&second, as_answer(3));
        let told = words(driver.outcome().result);
        assert_eq!(told, "example.org cannot be looked up, says 192.0.2.1: no such name");

        let servers = vec![first.local_addr().expect("an address")];
        driver.start(&uplink(family), resolve(servers));
        answer(&first, as_answer(0));
        assert_eq!(words(driver.outcome().result), "example.org has no ipv4 address, says 192.0.2.1");

        let told =
            words(driver.probe(&uplink(family), resolve(vec![SocketAddr::new(far(Family::Ipv6), 53)])));
        assert_eq!(told, "cannot look up example.org: no ipv4 name server");
    });
}

#[test]
fn an_unanswered_connection_waits_until_it_is_cancelled_and_is_then_closed() {
    on_a_wire(|_| {
        let mut driver = Driver::new();
        let target = SocketAddr::new(swallowed(Family::Ipv4), 80);
        let id = driver.start(&uplink(Family::Ipv4), Method::Tcp { target });
        let (fd, _) = driver.prober.interests().next().expect("a socket");
        // As if an older socket of this number had been ready in the same poll.
        let now = driver.now();
        driver.prober.handle_ready(fd, now);
        assert_eq!(driver.prober.next_outcome(), None);
        assert_eq!(driver.prober.interests().count(), 1);
        driver.prober.cancel(id);
        assert_eq!(driver.prober.interests().count(), 0);
        driver.prober.handle_ready(fd, now);
        assert_eq!(driver.prober.next_outcome(), None);
    });
}

#[test]
fn probes_older_than_a_moment_are_cancelled_and_younger_ones_and_other_interfaces_are_not() {
    on_a_wire(|far_end| {
        far_end.stop_answering_echoes();
        let family = Family::Ipv4;
        let mut driver = Driver::new();
        let target = SocketAddr::new(swallowed(family), 80);
        let nobody = "192.0.2.77".parse().expect("an address");
        let methods = [
            Method::Tcp { target },
            Method::Udp { target, payload: vec![1] },
            Method::Arp { target: nobody },
            super::wire::echo(far(family)),
        ];
        for method in &methods {
            driver.start_for(1, &uplink(family), method.clone());
        }
        driver.start_for(2, &uplink(family), methods[0].clone());
        let moment = driver.now();
        driver.wait_for("the clock", |driver| (driver.now() > moment).then_some(()));
        driver.start_for(1, &uplink(family), methods[0].clone());
        assert_eq!(driver.prober.interests().count(), 6);
        driver.prober.cancel_older(1, moment);
        assert_eq!(driver.prober.interests().count(), 4, "shared ARP and echo sockets and two connections");
        far_end.ip("addr add 192.0.2.77/24 dev far");
        let id = driver.start_for(1, &uplink(family), Method::Arp { target: nobody });
        assert_eq!(driver.outcome().id, id);
        assert_eq!(driver.prober.next_outcome(), None, "the cancelled ARP probe is not answered");
    });
}
