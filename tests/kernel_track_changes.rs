//! The host changes under the tracker: devices vanish and return, addresses and gateways change, names and
//! methods of probing. The uplink must be usable again without anybody's help.

#![allow(clippy::unwrap_used)]

mod tracking;

use std::fs;

use lab::wait_until;
use tracking::{FAST, SOON, Site, tell};

fn flows_use(site: &Site, device: &str) {
    let arrived =
        wait_until(SOON, || site.lab.client().udp(tracking::FAILOVER, 4000).count(10).run().all_by(device));
    assert!(arrived, "flows do not use {device}: {}", site.ask("events 0"));
}

#[test]
fn a_device_that_vanishes_and_returns_with_another_index_is_used_again() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let healthy = site.healthy_stream();
    let index = || {
        site.lab
            .router()
            .sh("cat /sys/class/net/wan/ifindex 2>/dev/null || ip -o link show wan | cut -d: -f1")
    };
    let old = index();
    site.lab.isp(1).remove_device();
    tell("device gone to switch", site.await_status("wan", "disabled"));
    flows_use(&site, "wanb");
    site.lab.isp(1).recreate_device();
    assert_ne!(index(), old);
    tell("device back to online", site.await_status("wan", "online"));
    flows_use(&site, "wan");
    let before = site.ask("history wan")["targets"][0]["answered"].as_u64();
    assert!(wait_until(SOON, || site.ask("history wan")["targets"][0]["answered"].as_u64() > before));
    let report = healthy.stop();
    assert!(report.all_by("wanb"), "{report}");
}

#[test]
fn a_device_replaced_faster_than_anybody_looks_is_noticed() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    // Nobody looks meanwhile.
    let pid = site.pid();
    site.lab.router().sh(&format!("kill -STOP {pid}"));
    site.lab.isp(1).remove_device();
    site.lab.isp(1).recreate_device();
    site.lab.router().sh(&format!("kill -CONT {pid}"));
    let probed = || site.ask("history wan")["targets"][0]["answered"].as_u64();
    let before = probed();
    assert!(wait_until(SOON, || probed() > before));
    assert!(wait_until(SOON, || site.events("wan").len() > 1), "scripts hear of the reconnect");
    flows_use(&site, "wan");
}

#[test]
fn another_address_and_another_gateway_are_followed() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let healthy = site.healthy_stream();
    site.lab.isp(1).change_address("10.101.0.77".parse::<std::net::IpAddr>().unwrap());
    flows_use(&site, "wan");
    site.lab.isp(1).change_gateway("10.101.0.200".parse::<std::net::IpAddr>().unwrap());
    flows_use(&site, "wan");
    let table = || site.lab.router().sh("ip route show table 1");
    assert!(wait_until(SOON, || table().contains("default via 10.101.0.200")), "{}", table());
    let probed = || site.ask("history wan")["targets"][0]["answered"].as_u64();
    let before = probed();
    assert!(wait_until(SOON, || probed() > before));
    let report = healthy.stop();
    assert!(report.all_by("wanb"), "{report}");
}

/// What udhcpc's script does to its device: a longer lease changes times only; a lost lease takes the address
/// away, and the next one brings the same again.
#[test]
fn a_renewed_lease_is_silent_and_one_lost_and_given_again_is_used_again() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let healthy = site.healthy_stream();
    let router = site.lab.router();
    let before = site.events("wan");
    for lease in [600, 1200, 600] {
        router.sh(&format!(
            "ip addr change 10.101.0.2/24 dev wan valid_lft {lease} preferred_lft {lease}
            ip route replace default via 10.101.0.1 dev wan metric 10"
        ));
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    flows_use(&site, "wan");
    assert_eq!(site.events("wan"), before);
    router.sh("ip addr flush dev wan");
    tell("lost lease to disabled", site.await_status("wan", "disabled"));
    flows_use(&site, "wanb");
    router.sh("ip addr add 10.101.0.2/24 dev wan; ip route add default via 10.101.0.1 dev wan metric 10");
    tell("next lease to online", site.await_status("wan", "online"));
    flows_use(&site, "wan");
    let report = healthy.stop();
    assert!(report.all_by("wanb"), "{report}");
}

#[test]
fn a_gateway_that_falls_silent_is_noticed() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    site.lab.isp(1).gateway_silent();
    tell("silent gateway to offline", site.await_status("wan", "offline"));
    flows_use(&site, "wanb");
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
}

#[test]
fn interfaces_without_targets_get_route_changes_and_stay_silent() {
    if !lab::is_available() {
        return;
    }
    let site = Site::prepare(2, FAST);
    site.configure(&["", FAST]);
    site.run(&["start"]);
    assert_eq!(site.status("wan"), "online");
    let report = site.run(&["interfaces"]);
    assert!(report.contains("interface wan is online and tracking is disabled"), "{report}");
    site.lab.router().sh("ip route add 172.29.0.0/16 via 192.168.1.10");
    let held = || site.lab.router().sh("ip route show table 1");
    assert!(wait_until(SOON, || held().contains("172.29.0.0/16 via 192.168.1.10")), "{}", held());
    site.lab.router().sh("ip route del 172.29.0.0/16");
    assert!(wait_until(SOON, || !held().contains("172.29.0.0/16")), "{}", held());
    site.lab.isp(1).carrier(false);
    flows_use(&site, "wanb");
    assert!(!site.heard().iter().any(|line| line.ends_with("INTERFACE=wan")), "{:?}", site.heard());
}

#[test]
fn targets_may_be_host_names_resolved_through_their_own_uplink() {
    if !lab::is_available() {
        return;
    }
    let options = FAST.replace("list track_ip '1.1.1.1'", "list track_ip 'one.example.org'");
    let options = options.replace("reliability '1'", "reliability '2'");
    let site = Site::prepare(2, &options);
    // Resolvers: the target that is an address (or this host's own, which the lab answers as well).
    site.run(&["start"]);
    assert!(
        wait_until(SOON, || site.file("wan", "TRACK_one.example.org") == "up"),
        "{}",
        site.ask("events 0")
    );
    site.await_status("wan", "online");
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    assert_eq!(site.status("wanb"), "online");
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
    let verdict = site.run(&["test", "wan"]);
    assert!(verdict.contains("2 of 2 targets answered") && verdict.contains("the link works"), "{verdict}");
}

#[test]
fn every_method_tells_a_good_link_from_a_dead_one() {
    if !lab::is_available() {
        return;
    }
    let options = |method: &str, more: &str| {
        format!(
            "{}\n    option track_method '{method}'\n    {more}",
            FAST.replace("0.3", "0.5").replace("\n    list track_ip '8.8.8.8'", "")
        )
    };
    let arp = options("arping", "").replace("1.1.1.1", "10.105.0.1");
    let site = Site::prepare(6, FAST);
    site.configure(&[
        &options("httping", ""),
        &options("nping-tcp", "option track_port '443'"),
        &options("nslookup", ""),
        &options("nping-udp", "option track_port '53'"),
        &arp,
        &options("httping", "option httping_ssl '1'"),
    ]);
    site.run(&["start"]);
    let names = ["wan", "wanb", "wanc", "wand", "wane", "wanf"];
    for (name, target) in
        names.iter().zip(["1.1.1.1", "1.1.1.1", "1.1.1.1", "1.1.1.1", "10.105.0.1", "1.1.1.1"])
    {
        let is_up = wait_until(SOON, || site.file(name, &format!("TRACK_{target}")) == "up");
        assert!(is_up, "{name}: {}", site.ask(&format!("test {name}")));
    }
    for (position, name) in names.iter().enumerate() {
        let isp = site.lab.isp(position + 1);
        // ARP ends at the gateway.
        if *name == "wane" { isp.gateway_silent() } else { isp.blackhole() }
    }
    for name in names {
        tell(&format!("{name} to offline"), site.await_status(name, "offline"));
    }
    for isp in site.lab.isps() {
        isp.restore();
    }
    for name in names {
        site.await_status(name, "online");
    }
}

#[test]
fn status_files_and_pid_are_where_scripts_look() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(1, FAST);
    site.await_status("wan", "online");
    assert_eq!(site.file("wan", "PID"), site.pid().to_string());
    assert_eq!((site.file("wan", "STARTED"), site.file("wan", "SCORE")), ("1".into(), "4".into()));
    let mask = fs::read_to_string(site.lab.router().run_dir().join("mwan3/mmx_mask")).unwrap();
    assert_eq!(mask.trim(), "0x3f00");
    assert!(site.file("wan", "ONLINE").parse::<u64>().unwrap() > 0);
    assert_eq!(site.file("wan", "OFFLINE"), "0");
}

#[test]
fn ipv4_and_ipv6_of_one_device_are_judged_apart() {
    if !lab::is_available() {
        return;
    }
    let site = Site::prepare_with(lab::Lab::builder().uplinks(2));
    let six = FAST.replace("1.1.1.1", "2606:4700:4700::1111").replace("8.8.8.8", "2620:0:ccc::2");
    let six = format!("{six}\n    option family 'ipv6'\n    option device 'wan'");
    let config = tracking::config(&["wan", "wan6", "wanb"], &[FAST, &six, FAST]);
    site.lab.router().write_config(&config);
    site.run(&["start"]);
    site.await_status("wan6", "online");
    site.lab
        .isp(1)
        .namespace()
        .nft("table ip6 six { chain forward { type filter hook forward priority 0; drop; }; }")
        .unwrap();
    tell("IPv6 alone dead to offline", site.await_status("wan6", "offline"));
    assert_eq!(site.events("wan"), ["connected"]);
    site.lab.isp(1).namespace().nft("delete table ip6 six").unwrap();
    site.await_status("wan6", "online");
    assert!(site.heard().contains(&"ACTION=disconnected DEVICE=wan INTERFACE=wan6".to_owned()));
}
