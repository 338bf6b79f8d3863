//! The laboratory is wired as documented, and tells by which ISP a flow left.

use std::time::Duration;

use lab::{Fate, Lab, Packet, Protocol, Service};

fn build(builder: lab::Builder) -> Option<Lab> {
    lab::is_available().then(|| builder.build().expect("the laboratory"))
}

/// Sends everything with this mark by an uplink, as mwan3 would.
fn steer(lab: &Lab, mark: u32, uplink: usize) {
    let isp = lab.isp(uplink);
    let table = 200 + uplink;
    let router = lab.router();
    router.sh(&format!("ip route add default via {} dev {} table {table}", isp.gateway_v4(), isp.device()));
    router.sh(&format!(
        "ip -6 route add default via {} dev {} table {table}",
        isp.gateway_v6(),
        isp.device()
    ));
    for family in ["-4", "-6"] {
        router.sh(&format!("ip {family} rule add fwmark {mark:#x} lookup {table} pref {table}"));
    }
}

#[test]
fn a_client_reaches_the_internet_by_the_first_isp_unless_told_otherwise() {
    let Some(lab) = build(Lab::builder()) else { return };
    for address in lab::address::WELL_KNOWN {
        for report in [
            lab.client().tcp_flows(address, 4000, 3),
            lab.client().tcp_flows(address, 443, 3),
            lab.client().tcp_flows(address, 80, 3),
            lab.client().udp_flows(address, 53, 3),
            lab.client().udp_flows(address, 4000, 3),
            lab.client().ping_flows(address, 3),
            lab.router().tcp_flows(address, 4000, 3),
            lab.router().udp_flows(address, 4000, 3),
            lab.router().ping_flows(address, 3),
        ] {
            assert!(report.all_by("wan"), "{address}: {report}");
        }
    }
}

#[test]
fn a_mark_steers_flows_of_client_and_router_to_the_second_isp() {
    let Some(lab) = build(Lab::builder().devices(&["eth1", "lte0"])) else { return };
    steer(&lab, 0x200, 2);
    lab.router()
        .nft(
            "table inet steer { chain pre { type filter hook prerouting priority mangle
                iifname lan0 th dport 5000 meta l4proto { tcp, udp } mark set 0x200; }
            }",
        )
        .expect("nft");
    for address in ["1.1.1.1", "2606:4700:4700::1111"] {
        for (flows, label) in [
            (lab.client().tcp(address, 5000), "lte0"),
            (lab.client().udp(address, 5000), "lte0"),
            (lab.client().udp(address, 5001), "eth1"),
            (lab.router().tcp(address, 6000).mark(0x200), "lte0"),
            (lab.router().udp(address, 6000).mark(0x200), "lte0"),
            (lab.router().ping(address).mark(0x200), "lte0"),
            (lab.router().udp(address, 6000).device("lte0"), "lte0"),
            (lab.router().tcp(address, 6000).device("eth1"), "eth1"),
        ] {
            let report = flows.count(4).run();
            assert!(report.all_by(label), "{address} expected by {label}: {report}");
        }
    }
}

#[test]
fn ten_thousand_flows_are_counted_by_isp_within_seconds() {
    let Some(lab) = build(Lab::builder()) else { return };
    steer(&lab, 0x100, 1);
    steer(&lab, 0x200, 2);
    lab.router()
        .nft(
            "table inet steer { chain pre { type filter hook prerouting priority mangle
                ct state new iifname lan0 meta l4proto udp ct mark set numgen inc mod 5 map { 0-2 : 0x100, 3-4 : 0x200 }
                iifname lan0 meta l4proto udp meta mark set ct mark; }
            }",
        )
        .expect("nft");
    let report = lab.client().udp_flows("8.8.8.8", 4000, 10_000);
    println!("10,000 UDP flows in {:?}: {report}", report.took);
    assert_eq!(report.sent(), 10_000);
    // Exact, so every flow was a new one and none was retransmitted.
    assert_eq!((report.by("wan"), report.by("wanb")), (6000, 4000), "{report}");
}

#[test]
fn a_paced_stream_keeps_its_pace_and_loses_nothing() {
    let Some(lab) = build(Lab::builder()) else { return };
    let stream = lab.client().tcp("1.1.1.1", 4000).per_second(200).start();
    let other = lab.client().udp("2606:4700:4700::1111", 4000).start();
    std::thread::sleep(Duration::from_secs(2));
    for report in [stream.stop(), other.stop()] {
        println!("{report}, longest gap {:?}", report.longest_gap());
        assert!(report.all_by("wan"), "{report}");
        assert!((300..=440).contains(&report.sent()), "{} flows in two seconds", report.sent());
    }
}

#[test]
fn listeners_speak_http_tls_dns_and_refuse_the_closed_port() {
    use std::io::{Read, Write};
    use std::net::{TcpStream, UdpSocket};
    let Some(lab) = build(Lab::builder().uplinks(1)) else { return };
    let ask = |address: &str, request: &[u8]| {
        lab.client().run(|| {
            let mut stream = TcpStream::connect(address).expect("connect");
            stream.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
            stream.write_all(request).expect("write");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            answer
        })
    };
    for address in ["1.1.1.1:80", "[2620:0:ccd::2]:80"] {
        let answer = String::from_utf8(ask(address, b"GET / HTTP/1.0\r\n\r\n")).expect("text");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\n\r\nwan "), "{answer}");
    }
    assert_eq!(ask("1.1.1.1:443", b"hello")[0], 0x15, "a TLS alert");
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";
    let answer = lab.client().run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
        socket.send_to(query, "208.67.222.222:53").expect("send");
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).expect("an answer");
        assert_eq!(from.to_string(), "208.67.222.222:53");
        buffer[..length].to_vec()
    });
    assert_eq!((&answer[..2], &answer[answer.len() - 4..]), (&query[..2], &lab::DNS_A.octets()[..]));
    for report in [
        lab.client().tcp_flows("1.1.1.1", lab::address::CLOSED_PORT, 3),
        lab.client().udp_flows("1.1.1.1", lab::address::CLOSED_PORT, 3),
        lab.client().tcp_flows("2606:4700:4700::1111", lab::address::CLOSED_PORT, 3),
    ] {
        assert_eq!(report.refused(), 3, "{report}");
    }
}

#[test]
fn single_packets_of_any_protocol_and_source_are_seen_leaving() {
    let Some(lab) = build(Lab::builder().second_lan()) else { return };
    steer(&lab, 0x200, 2);
    lab.router()
        .nft(
            "table inet steer { chain pre { type filter hook prerouting priority mangle
                ip saddr 192.168.1.77 mark set 0x200; ip6 nexthdr udp udp dport 7000 mark set 0x200; }
            }",
        )
        .expect("nft");
    lab.router().sh("ip route add unreachable 9.9.9.9; ip -6 route add unreachable 2620:fe::fe");
    let packet = |source: &str, destination: &str, protocol| Packet {
        source: source.parse().expect("source"),
        destination: destination.parse().expect("destination"),
        protocol,
        source_port: 40_000,
        destination_port: 7000,
    };
    let left = |device: &str| Fate::Left(device.to_owned());
    let guest = lab.guest().address_v4().to_string();
    let expected = [
        (packet("192.168.1.10", "1.1.1.1", Protocol::Tcp), left("wan")),
        (packet("192.168.1.77", "1.1.1.1", Protocol::Tcp), left("wanb")),
        (packet("192.168.1.77", "1.1.1.1", Protocol::Udp), left("wanb")),
        (packet("192.168.1.77", "1.1.1.1", Protocol::Icmp), left("wanb")),
        (packet("192.168.1.77", "1.1.1.1", Protocol::Other(132)), left("wanb")),
        (packet("192.168.1.10", "5.5.5.5", Protocol::Other(47)), left("wan")),
        (packet("fd00:1::10", "2001:db8:ee::3", Protocol::Udp), left("wanb")),
        (packet("fd00:1::10", "2001:db8:ee::3", Protocol::Tcp), left("wan")),
        (packet("fd00:1::10", "2001:db8:ee::3", Protocol::Icmp), left("wan")),
        (packet("192.168.1.10", &guest, Protocol::Udp), left("lan1")),
        (packet("192.168.1.10", "9.9.9.9", Protocol::Udp), Fate::Refused),
        (packet("fd00:1::10", "2620:fe::fe", Protocol::Tcp), Fate::Refused),
    ];
    let packets: Vec<Packet> = expected.iter().map(|(packet, _)| *packet).collect();
    let fates = lab.client().dispatch(&packets);
    for ((packet, wanted), fate) in expected.iter().zip(fates) {
        assert_eq!(fate, *wanted, "{packet:?}");
    }
}

#[test]
fn inbound_connections_are_answered_by_the_isp_they_came_by_or_counted_as_foreign() {
    let Some(lab) = build(Lab::builder()) else { return };
    let client = lab.client();
    let _web = client.listen("192.168.1.10:8080", Service::Echo).expect("listen");
    let _web6 = client.listen("[fd00:1::10]:8080", Service::Echo).expect("listen");
    let connect = |number: usize| {
        let isp = lab.isp(number);
        lab.router().forward_port(isp, 8080, "192.168.1.10:8080");
        lab.router().forward_port(isp, 8080, "[fd00:1::10]:8080");
        let four = lab.internet().tcp(&isp.address_v4().to_string(), 8080);
        let six = lab.internet().tcp(&isp.address_v6().to_string(), 8080);
        [four.source([198, 51, 100, 5]).run(), six.run()]
    };
    for report in connect(1) {
        assert_eq!(report.answered(), 1, "{report}");
    }
    assert_eq!(lab.isp(1).foreign_packets(), 0);
    // Nothing sends replies of wanb back by wanb here: ISP 1 gets and drops them.
    for report in connect(2) {
        assert_eq!(report.lost(), 1, "{report}");
    }
    assert!(lab.isp(1).foreign_packets() >= 2, "{}", lab.isp(1).foreign_packets());
}

#[test]
fn vpn_second_lan_more_clients_and_addresses_are_there_when_asked_for() {
    let Some(lab) = build(Lab::builder().vpn().second_lan().clients(2).client_addresses(3)) else { return };
    lab.router().sh("ip route add 172.20.0.0/24 via 10.9.0.2; ip -6 route add fd20::/64 via fd09::2");
    for destination in ["172.20.0.1", "fd20::1"] {
        let report = lab.router().udp_flows(destination, 4000, 2);
        assert_eq!(report.answered(), 2, "{destination}: {report}");
    }
    let report = lab.client().udp_flows("172.20.0.1", 4000, 2);
    assert!(report.all_by("192.168.1.10"), "not masqueraded: {report}");
    for (host, source) in
        [(1, "192.168.1.30"), (1, "192.168.1.32"), (0, "192.168.1.11"), (0, "fd00:1::12"), (1, "fd00:1::31")]
    {
        let source: std::net::IpAddr = source.parse().expect("address");
        let destination = if source.is_ipv4() { "1.1.1.1" } else { "2001:db8:ee::1" };
        let report = lab.clients()[host].tcp(destination, 4000).source(source).run();
        assert!(report.all_by("wan"), "from {source}: {report}");
    }
    assert!(lab.guest().tcp_flows("1.1.1.1", 4000, 2).all_by("wan"));
    assert!(lab.guest().ping_flows("fd00:1::10", 1).all_by("lan0"));
}

#[test]
fn the_tunnel_carries_traffic_over_the_uplink_that_routes_choose() {
    let Some(lab) = build(Lab::builder().tunnel()) else { return };
    let router = lab.router();
    router.sh("ip route add 172.21.0.0/24 via 10.99.0.2");
    for isp in lab.isps() {
        router.sh(&format!("ip route replace 198.51.100.9 via {} dev {}", isp.gateway_v4(), isp.device()));
        let before = sent_bytes(&lab, isp.device());
        let report = lab.client().udp_flows("172.21.0.1", 4000, 20);
        assert_eq!(report.answered(), 20, "{}: {report}", isp.device());
        let sent = sent_bytes(&lab, isp.device()) - before;
        assert!(sent > 20 * 90, "only {sent} bytes left by {}", isp.device());
    }
}

fn sent_bytes(lab: &Lab, device: &str) -> u64 {
    let statistics = lab.router().sh("cat /proc/thread-self/net/dev");
    let line = statistics.lines().find_map(|line| line.trim().strip_prefix(&format!("{device}:")));
    let field = line.and_then(|line| line.split_whitespace().nth(8)?.parse().ok());
    field.expect("a statistics line")
}
