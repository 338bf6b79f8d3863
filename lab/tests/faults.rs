//! Each fault does what its verb says, and nothing else.

use std::time::{Duration, Instant};

use lab::{FlowReport, Host, Lab};

const GATEWAYS: [&str; 2] = ["10.101.0.1", "2001:db8:1::1"];
const TARGETS: [&str; 2] = ["1.1.1.1", "2606:4700:4700::1111"];

fn build() -> Option<Lab> {
    lab::is_available().then(|| Lab::builder().build().expect("the laboratory"))
}

fn short_udp(host: &Host, destination: &str, count: usize) -> FlowReport {
    host.udp(destination, 4000).count(count).timeout(Duration::from_millis(300)).run()
}

fn short_ping(host: &Host, destination: &str) -> FlowReport {
    host.ping(destination).count(2).timeout(Duration::from_millis(300)).run()
}

fn assert_all_well(lab: &Lab) {
    for target in TARGETS {
        // The first flows after a fault may still wait for a neighbour to be found again.
        let works = || short_udp(lab.client(), target, 5).all_by("wan");
        assert!(lab::wait_until(Duration::from_secs(15), works), "no way to {target}");
    }
}

#[test]
fn a_blackhole_begins_behind_the_gateway_and_leaves_the_other_isp_alone() {
    let Some(lab) = build() else { return };
    assert_all_well(&lab);
    lab.isp(1).blackhole();
    for (target, gateway) in TARGETS.into_iter().zip(GATEWAYS) {
        assert_eq!(short_udp(lab.client(), target, 3).lost(), 3);
        assert_eq!(short_ping(lab.router(), target).lost(), 2);
        assert_eq!(short_ping(lab.router(), gateway).answered(), 2);
        assert!(lab.router().udp(target, 4000).device("wanb").run().all_by("wanb"));
    }
    assert!(lab.router().sh("ip -brief link show wan").contains("LOWER_UP"));
    lab.isp(1).restore();
    assert_all_well(&lab);
}

#[test]
fn an_established_connection_survives_a_short_blackhole() {
    use std::io::{Read, Write};
    let Some(lab) = build() else { return };
    lab.client().run(|| {
        let mut stream = std::net::TcpStream::connect("1.1.1.1:4000").expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        let mut buffer = [0; 100];
        let length = stream.read(&mut buffer).expect("greeting");
        assert!(buffer[..length].starts_with(b"wan "));
        lab.isp(1).blackhole();
        stream.write_all(b"still there?").expect("write");
        lab.isp(1).restore();
        let length = stream.read(&mut buffer).expect("the echo");
        assert_eq!(&buffer[..length], b"still there?");
    });
}

#[test]
fn an_unreachable_isp_refuses_at_once() {
    let Some(lab) = build() else { return };
    lab.isp(1).unreachable();
    for target in TARGETS {
        for report in [lab.client().udp_flows(target, 4000, 5), lab.client().tcp_flows(target, 4000, 5)] {
            assert_eq!(report.refused(), 5, "{report}");
        }
    }
    lab.isp(1).restore();
    assert_all_well(&lab);
}

#[test]
fn a_silent_gateway_keeps_the_carrier_and_fails_as_a_neighbour() {
    let Some(lab) = build() else { return };
    lab.isp(1).gateway_silent();
    for gateway in GATEWAYS {
        assert_eq!(short_ping(lab.router(), gateway).answered(), 0, "{gateway}");
        let failed = || {
            short_ping(lab.router(), gateway);
            lab.router().sh(&format!("ip neigh show {gateway} nud failed")).contains("FAILED")
        };
        assert!(lab::wait_until(Duration::from_secs(15), failed), "{}", lab.router().sh("ip neigh"));
    }
    assert!(lab.router().sh("ip -brief link show wan").contains("LOWER_UP"));
    lab.isp(1).restore();
    assert_all_well(&lab);
}

#[test]
fn a_pulled_cable_takes_the_carrier_and_gives_it_back() {
    let Some(lab) = build() else { return };
    lab.isp(1).carrier(false);
    let flags = || lab.router().sh("ip -brief link show wan");
    assert!(lab::wait_until(Duration::from_secs(5), || flags().contains("NO-CARRIER")), "{}", flags());
    assert!(lab.router().sh("ip addr show dev wan").contains("10.101.0.2/24"));
    assert!(lab.router().sh("ip addr show dev wan").contains("2001:db8:1::2/64"));
    lab.isp(1).carrier(true);
    assert!(lab::wait_until(Duration::from_secs(5), || !flags().contains("NO-CARRIER")), "{}", flags());
    assert_all_well(&lab);
}

#[test]
fn loss_drops_the_asked_share_in_the_asked_direction() {
    let Some(lab) = build() else { return };
    let lost = |target| short_udp(lab.client(), target, 1000).lost();
    lab.isp(1).loss_up(20.0);
    // 1,000 flows at 20 %: a standard deviation of 12.6, so this is five of them.
    for target in TARGETS {
        let lost = lost(target);
        assert!((137..=263).contains(&lost), "{lost} of 1000 lost at 20 %");
    }
    lab.isp(1).loss_up(0.0);
    assert_eq!(lost(TARGETS[0]), 0);
    lab.isp(1).loss(50.0);
    let both_ways = lost(TARGETS[0]);
    assert!((680..=820).contains(&both_ways), "{both_ways} of 1000 lost at 50 % each way");
    lab.isp(1).loss(0.0);
    lab.isp(1).loss_down(100.0);
    assert_eq!(lost(TARGETS[1]), 1000);
    let received = "nft list table inet fault";
    assert!(lab.isp(1).namespace().sh(received).contains("oifname \"subscriber\""));
    lab.isp(1).restore();
    assert_all_well(&lab);
}

#[test]
fn a_delay_adds_to_the_round_trip_and_loses_nothing() {
    let Some(lab) = build() else { return };
    for delay in [100, 30] {
        let delay = Duration::from_millis(delay);
        lab.isp(1).delay(delay);
        for target in TARGETS {
            for report in [
                lab.client().udp_flows(target, 4000, 50),
                lab.client().tcp_flows(target, 4000, 20),
                lab.client().ping_flows(target, 5),
                lab.router().ping_flows(target, 5),
            ] {
                assert!(report.all_by("wan"), "{target}: {report}");
                let fastest = report.samples.iter().map(|sample| sample.took).min().expect("samples");
                assert!(fastest >= delay, "{target}: {fastest:?} is below {delay:?}");
            }
            let other = lab.router().udp(target, 4000).device("wanb").count(5).run();
            let fastest = other.samples.iter().map(|sample| sample.took).min().expect("samples");
            assert!(other.all_by("wanb") && fastest < delay, "{other}, {fastest:?}");
        }
    }
    lab.isp(1).delay(Duration::ZERO);
    assert_all_well(&lab);
    let report = lab.client().ping_flows(TARGETS[0], 5);
    let fastest = report.samples.iter().map(|sample| sample.took).min().expect("samples");
    assert!(fastest < Duration::from_millis(30), "{fastest:?} after the delay ended");
}

#[test]
fn bulk_data_passes_a_delayed_line_unharmed() {
    use std::io::{Read, Write};
    let Some(lab) = build() else { return };
    lab.isp(1).delay(Duration::from_millis(5));
    let data: Vec<u8> = (0..1_000_000u32).map(|number| (number % 251) as u8).collect();
    let echoed = lab.client().run(|| {
        let mut stream = std::net::TcpStream::connect("1.1.1.1:4000").expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
        let mut writer = stream.try_clone().expect("clone");
        std::thread::scope(|scope| {
            scope.spawn(|| writer.write_all(&data).expect("write"));
            let mut echoed = Vec::new();
            let mut buffer = [0; 65_536];
            // The greeting's line comes first.
            while echoed.iter().position(|byte| *byte == b'\n').map_or(0, |end| echoed.len() - end - 1)
                < data.len()
            {
                let length = stream.read(&mut buffer).expect("read");
                assert_ne!(length, 0, "closed after {} bytes", echoed.len());
                echoed.extend_from_slice(&buffer[..length]);
            }
            echoed
        })
    });
    assert!(echoed.ends_with(&data));
}

#[test]
fn address_gateway_and_device_can_change() {
    let Some(lab) = build() else { return };
    let isp = lab.isp(1);
    isp.change_address([10, 101, 0, 77]);
    isp.change_address("2001:db8:1::77".parse::<std::net::IpAddr>().expect("address"));
    assert!(lab.router().sh("ip addr show dev wan").contains("10.101.0.77/24"));
    assert!(!lab.router().sh("ip addr show dev wan").contains("10.101.0.2/24"));
    assert_all_well(&lab);
    isp.change_gateway([10, 101, 0, 254]);
    isp.change_gateway("2001:db8:1::fe".parse::<std::net::IpAddr>().expect("address"));
    assert!(lab.router().sh("ip route show default dev wan").contains("via 10.101.0.254 "));
    let routes = lab.router().sh("ip -6 route show default dev wan");
    assert!(routes.contains("via 2001:db8:1::fe ") && routes.lines().count() == 1, "{routes}");
    assert_eq!(short_ping(lab.router(), GATEWAYS[0]).answered(), 0, "the former gateway still answers");
    assert_all_well(&lab);

    let index = || lab.router().run(|| std::fs::read_to_string("/proc/thread-self/net/dev_mcast"));
    let before = index().expect("indices");
    isp.remove_device();
    assert!(!lab.router().sh("ip -brief link").contains("wan@"));
    assert!(lab.client().udp_flows(TARGETS[0], 4000, 3).all_by("wanb"));
    isp.recreate_device();
    assert_ne!(index().expect("indices"), before, "the same index as before");
    assert_eq!(isp.gateway_v4().octets(), [10, 101, 0, 254]);
    assert_all_well(&lab);
}

#[test]
fn a_stream_sees_the_gap_of_a_fault() {
    let Some(lab) = build() else { return };
    let stream =
        lab.client().udp(TARGETS[0], 4000).per_second(200).timeout(Duration::from_millis(500)).start();
    std::thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    lab.isp(1).blackhole();
    std::thread::sleep(Duration::from_millis(700));
    lab.isp(1).restore();
    let fault = begun.elapsed();
    std::thread::sleep(Duration::from_millis(300));
    let report = stream.stop();
    let gap = report.longest_gap();
    println!("{report}, gap {gap:?} of a fault of {fault:?}");
    assert!(gap >= Duration::from_millis(600) && gap <= fault + Duration::from_millis(200), "{gap:?}");
    assert!(report.lost() >= 100 && report.refused() == 0, "{report}");
}
