//! Whose flows go and whose stay: two policies share an uplink, and only one of them asked.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};

use lab::{Lab, wait_until};

use crate::operator::{ADDRESS, Call};
use crate::taxi::{dispatcher, end_tracker};
use crate::tracking::{FAILOVER, SOON, Site};

/// A download that goes on: the far end says once by which uplink it came, then echoes.
struct Web {
    stream: TcpStream,
}

impl Web {
    fn start(lab: &Lab, destination: &str) -> (Web, String) {
        let stream = lab.client().namespace().run(|| TcpStream::connect((destination, 8080))).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut web = Web { stream };
        let mut greeting = String::new();
        while !greeting.ends_with('\n') {
            let mut byte = [0];
            web.stream.read_exact(&mut byte).unwrap();
            greeting.push(char::from(byte[0]));
        }
        (web, greeting.split(' ').next().unwrap().to_owned())
    }

    /// With NAT it can only be by the uplink it began on.
    fn goes_on(&mut self) -> bool {
        let mut answer = [0; 4];
        self.stream.write_all(b"more").is_ok() && self.stream.read_exact(&mut answer).is_ok()
    }
}

#[track_caller]
fn await_uplink(call: &Call, wanted: &str) {
    let mut seen = None;
    let came = wait_until(SOON, || {
        seen = call.uplink();
        seen.as_deref() == Some(wanted)
    });
    assert!(came, "by {seen:?} and not by {wanted}");
}

/// A call and a download on the second uplink, because the first has failed.
fn on_the_second(site: &Site) -> (Call, Web) {
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    let call = Call::start(&site.lab, ADDRESS, 16_384);
    await_uplink(&call, "wanb");
    let (web, by) = Web::start(&site.lab, FAILOVER);
    assert_eq!(by, "wanb");
    (call, web)
}

#[test]
fn telephony_moves_back_and_the_download_beside_it_goes_on() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("    option on_recover 'drop'");
    let (call, mut web) = on_the_second(&site);
    let registration = Call::start(&site.lab, ADDRESS, 5061);
    await_uplink(&registration, "wanb");
    site.lab.isp(1).restore();
    await_uplink(&call, "wan");
    await_uplink(&registration, "wan");
    assert!(web.goes_on(), "a flow of another policy was dropped");
}

#[test]
fn what_asked_for_nothing_stays_where_it_is() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("");
    let (call, mut web) = on_the_second(&site);
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
    let fresh = Call::start(&site.lab, ADDRESS, 16_384);
    await_uplink(&fresh, "wan");
    assert_eq!(call.uplink().as_deref(), Some("wanb"));
    assert!(web.goes_on());
}

#[test]
fn only_datagrams_move_back_where_that_is_asked() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("    option on_recover 'drop_udp'");
    let (call, _) = on_the_second(&site);
    let (mut web, _) = Web::start(&site.lab, ADDRESS);
    site.lab.isp(1).restore();
    await_uplink(&call, "wan");
    assert!(web.goes_on(), "a connection of the same policy was dropped, and only datagrams were meant");
}

#[test]
fn a_call_may_end_before_its_line_is_taken_away() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("    option on_recover 'drain 4'");
    let (call, mut web) = on_the_second(&site);
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
    let draining = site.lab.router().run_dir().join("mwan3/draining");
    assert!(wait_until(SOON, || std::fs::read_to_string(&draining).is_ok_and(|text| !text.is_empty())));
    assert_eq!(call.uplink().as_deref(), Some("wanb"), "it drains");
    // A tracker that starts in between keeps to what was promised.
    end_tracker(&site);
    site.run(&["reload"]);
    await_uplink(&call, "wan");
    assert!(web.goes_on());
}

#[test]
fn a_flow_outlives_a_short_outage_where_its_policy_keeps_it() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("    option on_fail 'keep'");
    let kept = Call::start(&site.lab, ADDRESS, 16_384);
    await_uplink(&kept, "wan");
    let dropped = Call::start(&site.lab, FAILOVER, 16_384);
    await_uplink(&dropped, "wan");
    site.lab.isp(1).blackhole();
    await_uplink(&dropped, "wanb");
    assert_eq!(kept.uplink(), None, "it stays on the uplink that failed");
    site.lab.isp(1).restore();
    await_uplink(&kept, "wan");
    assert_eq!(dropped.uplink().as_deref(), Some("wanb"));
}

#[test]
fn only_datagrams_leave_a_failed_uplink_where_that_is_asked() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("    option on_fail 'drop_udp'");
    let call = Call::start(&site.lab, ADDRESS, 16_384);
    await_uplink(&call, "wan");
    let (mut web, by) = Web::start(&site.lab, ADDRESS);
    assert_eq!(by, "wan");
    site.lab.isp(1).blackhole();
    await_uplink(&call, "wanb");
    site.lab.isp(1).restore();
    assert!(web.goes_on(), "a short outage is nothing to a download");
}

#[test]
fn a_flow_whose_address_is_gone_is_not_kept() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("    option on_fail 'keep'");
    let call = Call::start(&site.lab, ADDRESS, 16_384);
    await_uplink(&call, "wan");
    // The kernel's own masquerading would forget it as well: this router translates by hand.
    let address = site.lab.isp(1).address_v4();
    site.lab.router().sh(&format!(
        "nft 'add table ip byhand; add chain ip byhand post {{ type nat hook postrouting priority 90; }}; \
         add rule ip byhand post oifname wan snat to {address}'"
    ));
    let by_hand = Call::start(&site.lab, ADDRESS, 16_385);
    await_uplink(&by_hand, "wan");
    let new = Ipv4Addr::new(10, 101, 0, 77);
    site.lab.isp(1).change_address(IpAddr::V4(new));
    let listing =
        || site.lab.router().sh("cat /proc/net/nf_conntrack 2>/dev/null || conntrack -L 2>/dev/null");
    let old = format!("dst={address}");
    let forgotten = wait_until(SOON, || {
        !listing().lines().any(|line| line.contains(&old) && line.contains("dport=16385"))
    });
    assert!(forgotten, "{}", listing());
}

#[test]
fn flows_drain_on_a_failed_uplink_for_as_long_as_was_said() {
    if !lab::is_available() {
        return;
    }
    let site = dispatcher("    option on_fail 'drain 3'");
    let call = Call::start(&site.lab, ADDRESS, 16_384);
    await_uplink(&call, "wan");
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    assert_eq!(call.uplink(), None, "it waits for its uplink");
    await_uplink(&call, "wanb");
}
