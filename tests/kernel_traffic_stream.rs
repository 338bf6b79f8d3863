//! New flows without a pause while the configuration changes under them: none refused, none lost, none by an
//! uplink its policy does not allow.

mod gateway;

use std::time::Duration;

use gateway::{Config, V4, V6, assert_no_foreign_sources, count, counted, laboratory, mwan3};
use lab::{FlowReport, Flows, Lab, Stream};

const RELOADS: u32 = 10;

/// Web traffic has wanb to itself, IPv6 datagrams share wan and wanb; wanc is nobody's business here, and
/// the best route of table main is wand's, which no policy has: a leak would show.
fn config(version: u32) -> Config {
    let config = Config::new(&["wan", "wanb", "wanc"])
        .policy("balanced", &[("wan", 1, 1 + version), ("wanb", 1, 3)])
        .policy("web_first", &[("wanb", 1, 1 + version), ("wanc", 2, 1)])
        .policy("others", &[("wanc", 1, 1), ("wan", 2, 1)])
        .rule("web", "proto=tcp dest_port=443 use_policy=web_first");
    // Every other version has more rules, in front of those that the stream meets.
    let config = (0..version % 2 * 5).fold(config, |config, number| {
        let port = 5_000 + version * 10 + number;
        config.rule(&format!("more{number}"), &format!("proto=udp dest_port={port} use_policy=others"))
    });
    config
        .rule("sticky", "proto=udp dest_port=6000 sticky=1 use_policy=others")
        .rule("rest", "use_policy=balanced")
}

struct Streams<'l> {
    lab: &'l Lab,
    streams: [Stream; 3],
}

/// First packets, so that a retransmission does not hide that one was lost.
const FIRST_PACKETS: [(&str, &str); 3] = [
    ("web", "meta nfproto ipv4 tcp dport 443 tcp flags & (syn | ack) == syn"),
    ("datagrams", "meta nfproto ipv6 udp dport 4000"),
    ("own", "meta nfproto ipv4 tcp dport 443 tcp flags & (syn | ack) == syn"),
];

impl Streams<'_> {
    fn start(lab: &Lab) -> Streams<'_> {
        for (name, tests) in FIRST_PACKETS {
            let (hook, from, out) = match name {
                "own" => ("output", "", "iifname != lan0"),
                _ => ("prerouting", "iifname lan0", "iifname lan0"),
            };
            count(lab, &format!("{name}_begun"), hook, &format!("{from} {tests}"));
            count(
                lab,
                &format!("{name}_left"),
                "postrouting",
                &format!("{out} oifname {{ wan, wanb }} {tests}"),
            );
        }
        // A busy machine may be slow; only the router must not lose anything.
        let patient = |flows: Flows, rate| flows.per_second(rate).timeout(Duration::from_secs(5)).start();
        Streams {
            lab,
            streams: [
                patient(lab.client().tcp(V4, 443), 200),
                patient(lab.client().udp(V6, 4000), 200),
                patient(lab.router().tcp(V4, 443), 50),
            ],
        }
    }

    #[track_caller]
    fn stop(self) {
        let [web, datagrams, own] = self.streams.map(Stream::stop);
        for ((name, _), (report, allowed)) in FIRST_PACKETS.iter().zip([
            (&web, &["wanb"][..]),
            (&datagrams, &["wan", "wanb"]),
            (&own, &["wanb"]),
        ]) {
            println!("{name}: {report}");
            assert_all_allowed(name, report, allowed);
            let begun = counted(self.lab, &format!("{name}_begun"));
            assert!(begun as usize >= report.sent(), "{name}: {begun} seen, {report}");
            assert_eq!(counted(self.lab, &format!("{name}_left")), begun, "{name}: first packets were lost");
        }
        assert!(web.sent() > 200 && datagrams.sent() > 200 && own.sent() > 50, "it was a stream");
        assert!(datagrams.by("wan") > 0 && datagrams.by("wanb") > 0, "both had their share");
    }
}

#[track_caller]
fn assert_all_allowed(name: &str, report: &FlowReport, allowed: &[&str]) {
    let right: usize = allowed.iter().map(|device| report.by(device)).sum();
    assert_eq!(right, report.sent(), "{name}: {report}");
}

/// Until every stream has been seen going on for a while.
fn go_on() {
    std::thread::sleep(Duration::from_millis(200));
}

/// wand is the first of the laboratory's lines, so the best route of table main.
fn four_lines() -> Option<Lab> {
    laboratory(Lab::builder().uplinks(4).devices(&["wand", "wan", "wanb", "wanc"]))
}

#[test]
fn ten_reloads_hurt_no_flow() {
    let Some(lab) = four_lines() else { return };
    config(0).start(&lab);
    let streams = Streams::start(&lab);
    for version in 1..=RELOADS {
        go_on();
        config(version).reload(&lab);
        if version % 2 == 0 {
            mwan3(&lab, "ifdown wanc");
            mwan3(&lab, "ifdown wanc6");
            go_on();
            mwan3(&lab, "ifup wanc");
            mwan3(&lab, "ifup wanc6");
        }
    }
    go_on();
    streams.stop();
    assert_no_foreign_sources(&lab);
}

#[test]
fn restarts_and_takeovers_hurt_no_flow() {
    let Some(lab) = four_lines() else { return };
    config(0).start(&lab);
    let streams = Streams::start(&lab);
    for _ in 0..3 {
        go_on();
        mwan3(&lab, "restart");
        go_on();
        mwan3(&lab, "start");
    }
    go_on();
    streams.stop();
    assert_no_foreign_sources(&lab);
}

#[test]
fn an_uplink_that_comes_and_goes_in_a_policy_hurts_no_flow_of_the_others() {
    let Some(lab) = four_lines() else { return };
    config(0).start(&lab);
    let streams = Streams::start(&lab);
    for _ in 0..5 {
        gateway::note_state(&lab, "wanc", false);
        mwan3(&lab, "reload");
        go_on();
        gateway::note_state(&lab, "wanc", true);
        mwan3(&lab, "reload");
        go_on();
    }
    streams.stop();
    assert_no_foreign_sources(&lab);
}

#[test]
fn a_policy_that_loses_a_member_sends_new_flows_to_the_rest_at_once() {
    let Some(lab) = four_lines() else { return };
    config(0).start(&lab);
    let stream = lab.client().tcp(V6, 8443).per_second(200).timeout(Duration::from_secs(5)).start();
    for _ in 0..5 {
        go_on();
        mwan3(&lab, "ifdown wan6");
        go_on();
        mwan3(&lab, "ifup wan6");
    }
    go_on();
    let report = stream.stop();
    // Nothing was wrong with wan: flows on their way when it was taken down may have ended either way.
    assert_all_allowed("TCP over IPv6", &report, &["wan", "wanb"]);
    assert!(report.by("wan") > 0 && report.by("wanb") > 0, "{report}");
}

#[test]
fn networks_that_come_and_go_hurt_no_flow() {
    let Some(lab) = four_lines() else { return };
    config(0).start(&lab);
    let streams = Streams::start(&lab);
    for number in 0..RELOADS {
        // Neighbours of what is known already, so that whole intervals are exchanged.
        let (net4, net6) =
            (format!("192.168.{}.0/24", number % 3 * 2), format!("fd00:{}::/64", number % 3 * 2));
        lab.router().sh(&format!("ip route add {net4} dev lan0; ip -6 route add {net6} dev lan0"));
        mwan3(&lab, "reload");
        go_on();
        lab.router().sh(&format!("ip route del {net4} dev lan0; ip -6 route del {net6} dev lan0"));
        mwan3(&lab, "reload");
    }
    streams.stop();
    assert_no_foreign_sources(&lab);
}
