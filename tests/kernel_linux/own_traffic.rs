//! What the router itself sends: from the address of the uplink it leaves by, and by a live one also where no
//! rule says so.

use lab::{Lab, wait_until};

use crate::tracking::{FAILOVER, FAST, HEALTHY, SOON, Site};

/// Both families, and nobody else who would put a wrong source address right.
pub(crate) fn bare_site(globals: &str) -> Option<Site> {
    if !lab::is_available() {
        return None;
    }
    let site = Site::prepare_with(Lab::builder().uplinks(2));
    site.lab.router().sh("nft flush chain inet fw4 srcnat");
    let mut text = format!("config globals 'globals'\n\toption mmx_mask '0x3F00'\n\t{globals}\n");
    for (name, family, targets) in [
        ("wan", "ipv4", "1.1.1.1"),
        ("wanb", "ipv4", "1.1.1.1"),
        ("wan6", "ipv6", "2606:4700:4700::1111"),
        ("wanb6", "ipv6", "2606:4700:4700::1111"),
    ] {
        let options = FAST.lines().filter(|line| !line.contains("track_ip")).collect::<Vec<_>>().join("\n");
        text += &format!(
            "config interface '{name}'\n\toption enabled '1'\n\toption family '{family}'\n\
             \toption device '{}'\n{options}\n\tlist track_ip '{targets}'\n\
             config member 'm_{name}'\n\toption interface '{name}'\n",
            name.trim_end_matches('6')
        );
    }
    text += &format!(
        "config policy 'first'\n\tlist use_member 'm_wan'\n\tlist use_member 'm_wan6'\n\
         config policy 'second'\n\tlist use_member 'm_wanb'\n\tlist use_member 'm_wanb6'\n\
         config rule 'by_second'\n\toption dest_ip '{HEALTHY},2620:0:ccd::2'\n\toption use_policy 'second'\n\
         config rule 'by_first'\n\toption dest_ip '{FAILOVER},2620:0:ccc::2'\n\toption use_policy 'first'\n"
    );
    site.lab.router().write_config(&text);
    Some(site)
}

#[test]
fn flows_of_each_policy_leave_with_the_address_of_their_uplink_in_both_families() {
    let Some(site) = bare_site("") else { return };
    let router = site.lab.router();
    let by = |destination: &str| router.udp_flows(destination, 4000, 10);
    site.run(&["start", "--no-track"]);
    for (destination, device) in
        [(FAILOVER, "wan"), (HEALTHY, "wanb"), ("2620:0:ccc::2", "wan"), ("2620:0:ccd::2", "wanb")]
    {
        assert!(by(destination).all_by(device), "{destination}: {}", by(destination));
        let report = router.tcp_flows(destination, 443, 10);
        assert!(report.all_by(device), "{destination}: {report}");
    }
    for isp in site.lab.isps() {
        assert_eq!(isp.foreign_packets(), 0, "packets with the other uplink's address at {}", isp.device());
    }
    // Without that chain the second ISP sees the address of the best default route, and drops it.
    router.sh("nft flush chain inet mwan3 own_traffic");
    let report = by("2620:0:ccd::2");
    assert_eq!((report.answered(), site.lab.isp(2).foreign_packets() > 0), (0, true), "{report}");
    site.run(&["reload", "--no-track"]);
    assert!(by("2620:0:ccd::2").all_by("wanb"));
}

#[test]
fn an_uplink_that_is_down_lends_its_address_to_nobody() {
    let Some(site) = bare_site("") else { return };
    site.run(&["start"]);
    let second_works = || {
        for destination in [HEALTHY, "2620:0:ccd::2"] {
            let report = || site.lab.router().udp_flows(destination, 4000, 5);
            assert!(wait_until(SOON, || report().all_by("wanb")), "{destination}: {}", report());
        }
    };
    // Its route in table main is still the best one, and so its address the first choice.
    site.run(&["ifdown", "wan"]);
    site.run(&["ifdown", "wan6"]);
    second_works();
    site.run(&["ifup", "wan"]);
    site.run(&["ifup", "wan6"]);
    site.lab.isp(1).carrier(false);
    site.await_status("wan", "disabled");
    second_works();
    assert_eq!(site.lab.isp(2).foreign_packets(), 0, "packets with the other uplink's address");
}

#[test]
fn an_address_that_changes_is_the_new_source_at_once() {
    let Some(site) = bare_site("") else { return };
    site.run(&["start"]);
    let router = site.lab.router();
    site.lab.isp(2).change_address("10.102.0.99".parse::<std::net::IpAddr>().unwrap());
    site.lab.isp(2).change_address("2001:db8:2::99".parse::<std::net::IpAddr>().unwrap());
    for destination in [HEALTHY, "2620:0:ccd::2"] {
        let report = || router.udp_flows(destination, 4000, 5);
        assert!(wait_until(SOON, || report().all_by("wanb")), "{destination}: {}", report());
    }
}

#[test]
fn the_firewalls_own_translation_stays_in_force() {
    let Some(site) = bare_site("") else { return };
    site.lab.router().sh("ip addr add 10.102.0.50/24 dev wanb
         nft add rule inet fw4 srcnat oifname wanb ip saddr 10.101.0.2 snat ip to 10.102.0.50");
    site.run(&["start"]);
    let counter = "table inet seen {
        counter theirs { }
        chain in { type filter hook prerouting priority -300; ip saddr 10.102.0.50 counter name theirs; }
    }";
    site.lab.isp(2).namespace().nft(counter).unwrap();
    let report = site.lab.router().udp_flows(HEALTHY, 4000, 5);
    assert!(report.all_by("wanb"), "{report}");
    let seen = site.lab.isp(2).namespace().sh("nft list counter inet seen theirs");
    assert!(!seen.contains("packets 0"), "{seen}");
}

/// No rule is for it: table main decides.
const ELSEWHERE: [&str; 2] = ["1.0.0.1", "2606:4700:4700::1001"];

#[track_caller]
#[test]
fn a_kernel_that_cannot_translate_is_asked_once_and_then_left_alone() {
    let Some(site) = bare_site("") else { return };
    site.run(&["start", "--no-track"]);
    let table = || site.lab.router().sh("nft list table inet mwan3");
    assert!(table().contains("chain own_traffic"));
    // What the first attempt leaves behind on such a kernel.
    std::fs::write(site.lab.router().run_dir().join("mwan3/no_nat"), "").unwrap();
    site.run(&["reload", "--no-track"]);
    assert!(!table().contains("chain own_traffic"));
    assert_eq!(site.run(&["plan", "--diff"]), "# nothing to change\n");
    site.run(&["stop"]);
    site.run(&["start", "--no-track"]);
    assert!(table().contains("chain own_traffic"), "the next start tries again");
}

fn goes_by(site: &Site, device: &str) {
    for destination in ELSEWHERE {
        let report = || site.lab.router().udp_flows(destination, 4000, 5);
        assert!(wait_until(SOON, || report().all_by(device)), "{destination}: {}", report());
    }
}

fn main_defaults(site: &Site) -> String {
    let router = site.lab.router();
    router
        .sh("ip route show table main; ip -6 route show table main")
        .lines()
        .filter(|line| line.starts_with("default") || line.contains("/1 "))
        .map(|line| format!("{}\n", line.trim()))
        .collect()
}

#[test]
fn the_default_route_of_table_main_follows_a_live_uplink() {
    let Some(site) = bare_site("option manage_default '1'") else { return };
    let before = main_defaults(&site);
    site.run(&["start"]);
    for name in ["wan", "wanb", "wan6", "wanb6"] {
        site.await_status(name, "online");
    }
    goes_by(&site, "wan");
    assert_eq!(main_defaults(&site), before, "while all is well nothing is added");
    site.lab.isp(1).blackhole();
    goes_by(&site, "wanb");
    let during = main_defaults(&site);
    assert!(during.contains("default via 10.102.0.1 dev wanb proto 77 metric 1"), "{during}");
    assert!(during.contains("default via 10.101.0.1 dev wan metric 10"), "others' routes stay: {during}");
    site.lab.isp(1).restore();
    goes_by(&site, "wan");
    assert!(wait_until(SOON, || main_defaults(&site) == before), "{}", main_defaults(&site));
    site.run(&["ifdown", "wan"]);
    assert!(main_defaults(&site).contains("dev wanb proto 77"), "taken down by hand counts, too");
    site.run(&["stop"]);
    assert_eq!(main_defaults(&site), before);
}

#[test]
fn a_default_route_of_metric_0_is_overridden_by_its_halves() {
    let Some(site) = bare_site("option manage_default '1'") else { return };
    let router = site.lab.router();
    router.sh("ip route del default dev wan; ip route add default via 10.101.0.1 dev wan");
    let before = main_defaults(&site);
    site.run(&["start"]);
    site.await_status("wan", "online");
    site.lab.isp(1).blackhole();
    goes_by(&site, "wanb");
    let during = main_defaults(&site);
    for half in ["0.0.0.0/1 via 10.102.0.1 dev wanb proto 77", "128.0.0.0/1 via 10.102.0.1 dev wanb proto 77"]
    {
        assert!(during.contains(half), "{during}");
    }
    site.lab.isp(1).restore();
    goes_by(&site, "wan");
    site.run(&["stop"]);
    assert_eq!(main_defaults(&site), before);
}

#[test]
fn a_host_without_any_default_route_gets_one() {
    let Some(site) = bare_site("option manage_default '1'") else { return };
    let router = site.lab.router();
    router.sh("ip route del default dev wan; ip route del default dev wanb");
    router.sh("ip -6 route del default dev wan; ip -6 route del default dev wanb");
    for (device, v4, v6) in [("wan", "10.101.0.1", "2001:db8:1::1"), ("wanb", "10.102.0.1", "2001:db8:2::1")]
    {
        for gateway in [v4, v6] {
            let line = format!("ACTION=lease DEVICE={device} GATEWAY={gateway} mwan3 hotplug");
            assert!(crate::shell(&site, &line).success());
        }
    }
    site.run(&["start"]);
    goes_by(&site, "wan");
    site.lab.isp(1).blackhole();
    goes_by(&site, "wanb");
    site.run(&["stop"]);
    assert_eq!(main_defaults(&site), "");
}
