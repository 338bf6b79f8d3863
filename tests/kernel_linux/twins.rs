//! Uplinks that look alike: one network on both, one gateway address, one wire. Each probe and each flow still
//! takes its own device.

use lab::{Namespace, wait_until};

use crate::own_traffic::bare_site;
use crate::tracking::{FAILOVER, HEALTHY, SOON, Site};
use crate::{each_flow_takes_its_own_line, shell, site};

/// Both ends of an uplink in 192.168.77.0/24, as behind a neighbour's wifi. The ISP takes packets from this
/// address only.
fn move_to_the_network(site: &Site, number: usize, own: u8, gateway: u8) {
    let isp = site.lab.isp(number);
    let device = isp.device();
    isp.namespace().sh(&format!(
        "ip addr flush dev subscriber; ip addr add 192.168.77.{gateway}/24 dev subscriber
         nft flush chain inet isp forward
         nft add rule inet isp forward iifname subscriber ip saddr != 192.168.77.{own} counter name foreign drop
         nft add rule inet isp postrouting oifname core ip saddr 192.168.77.0/24 snat ip to 203.0.113.{number}"
    ));
    site.lab.router().sh(&format!(
        "ip addr flush dev {device}; ip addr add 192.168.77.{own}/24 dev {device}
         ip route replace default via 192.168.77.{gateway} dev {device} metric {number}0"
    ));
}

/// The lines end in one switch; the devices come back without addresses.
fn plug_into_one_switch(site: &Site) -> Namespace {
    let switch = Namespace::new("switch").unwrap();
    switch.sh("ip link add br0 type bridge; ip link set br0 up");
    for isp in site.lab.isps() {
        let (device, number, path) = (isp.device(), isp.number(), switch.path());
        site.lab.router().sh(&format!(
            "ip link del {device}; ip link add {device} type veth peer name router{number} netns {path}
             ip link set {device} up"
        ));
        isp.namespace().sh(&format!(
            "ip link add subscriber type veth peer name isp{number} netns {path}; ip link set subscriber up"
        ));
        for port in ["router", "isp"] {
            switch.sh(&format!("ip link set {port}{number} master br0 up"));
        }
    }
    switch
}

fn both_are_online(site: &Site) {
    site.await_status("wan", "online");
    site.await_status("wanb", "online");
}

#[test]
fn two_neighbours_wifi_with_the_same_prefix_and_the_same_gateway_address() {
    let Some(site) = site() else { return };
    move_to_the_network(&site, 1, 11, 1);
    move_to_the_network(&site, 2, 12, 1);
    site.run(&["start"]);
    both_are_online(&site);
    each_flow_takes_its_own_line(&site);
    // The probes are told apart, too: one line dies, and only that one.
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    assert_eq!(site.status("wanb"), "online");
    let moved = || site.lab.client().udp_flows(FAILOVER, 4000, 10);
    assert!(wait_until(SOON, || moved().all_by("wanb")), "{}", moved());
}

#[test]
fn two_lines_with_the_same_prefix_and_other_gateways() {
    let Some(site) = site() else { return };
    move_to_the_network(&site, 1, 11, 1);
    move_to_the_network(&site, 2, 12, 2);
    site.run(&["start"]);
    both_are_online(&site);
    each_flow_takes_its_own_line(&site);
}

#[test]
fn two_lines_that_gave_the_router_the_very_same_address() {
    let Some(site) = site() else { return };
    move_to_the_network(&site, 1, 11, 1);
    move_to_the_network(&site, 2, 11, 1);
    site.run(&["start"]);
    both_are_online(&site);
    each_flow_takes_its_own_line(&site);
    site.lab.isp(2).blackhole();
    site.await_status("wanb", "offline");
    assert_eq!(site.status("wan"), "online");
}

/// As nearly every router announces itself.
#[test]
fn two_ipv6_lines_whose_routers_are_both_fe80_1() {
    let Some(site) = bare_site("") else { return };
    let router = site.lab.router();
    for (device, metric) in [("wan", 1024), ("wanb", 1025)] {
        router.sh(&format!(
            "ip -6 route del default dev {device}
             ip -6 route add default via fe80::1 dev {device} proto ra metric {metric}"
        ));
    }
    site.run(&["start"]);
    site.await_status("wan6", "online");
    site.await_status("wanb6", "online");
    for (destination, device) in [("2620:0:ccc::2", "wan"), ("2620:0:ccd::2", "wanb")] {
        let report = router.udp_flows(destination, 4000, 10);
        assert!(report.all_by(device), "{destination}: {report}");
    }
    site.lab.isp(1).blackhole();
    site.await_status("wan6", "offline");
    assert_eq!(site.status("wanb6"), "online");
}

#[test]
fn two_uplinks_on_one_wire_with_a_gateway_each() {
    let Some(site) = site() else { return };
    let _switch = plug_into_one_switch(&site);
    move_to_the_network(&site, 1, 11, 1);
    move_to_the_network(&site, 2, 12, 2);
    each_device_answers_for_itself(&site);
    site.run(&["start"]);
    both_are_online(&site);
    each_flow_takes_its_own_line(&site);
}

#[test]
fn two_uplinks_on_one_wire_behind_the_same_gateway() {
    let Some(site) = site() else { return };
    let _switch = plug_into_one_switch(&site);
    move_to_the_network(&site, 1, 11, 1);
    let (isp, router) = (site.lab.isp(1).namespace(), site.lab.router());
    // Only the first ISP is there; the second device is another way to it.
    site.lab.isp(2).namespace().sh("ip link set subscriber down");
    router.sh("ip addr flush dev wanb; ip addr add 192.168.77.12/24 dev wanb
         ip route replace default via 192.168.77.1 dev wanb metric 20");
    isp.sh("nft flush chain inet isp forward");
    each_device_answers_for_itself(&site);
    let (wan, wanb) = (hardware_address(&site, "wan"), hardware_address(&site, "wanb"));
    isp.sh(&format!(
        "nft 'table netdev wire {{
            counter right_wan {{ }}
            counter right_wanb {{ }}
            counter wrong {{ }}
            chain in {{
                type filter hook ingress device subscriber priority 0;
                udp dport 4000 ether saddr {wan} ip saddr 192.168.77.11 counter name right_wan accept
                udp dport 4000 ether saddr {wanb} ip saddr 192.168.77.12 counter name right_wanb accept
                udp dport 4000 counter name wrong
            }}
        }}'"
    ));
    site.run(&["start"]);
    both_are_online(&site);
    for destination in [FAILOVER, HEALTHY] {
        // A port of a switch takes a moment to forward.
        let flows = || site.lab.client().udp_flows(destination, 4000, 20);
        assert!(wait_until(SOON, || flows().answered() == 20), "{}", flows());
    }
    let counted = |name: &str| {
        let text = isp.sh(&format!("nft list counter netdev wire {name}"));
        let mut words = text.split_whitespace().skip_while(|word| *word != "packets").skip(1);
        words.next().unwrap().parse::<u64>().unwrap()
    };
    let right = (counted("right_wan"), counted("right_wanb"));
    assert!(right.0 >= 20 && right.1 >= 20, "{right:?}, wrong: {}", counted("wrong"));
    assert_eq!(counted("wrong"), 0, "packets by one device with the other's address");
    // What comes back finds the device whose address it is for.
    let neighbours = isp.sh("ip neigh show dev subscriber");
    for (address, hardware) in [("192.168.77.11", wan), ("192.168.77.12", wanb)] {
        let line = neighbours.lines().find(|line| line.starts_with(&format!("{address} ")));
        assert!(line.is_some_and(|line| line.contains(&hardware)), "{address} {hardware}: {neighbours}");
    }
}

#[test]
fn a_filter_by_which_one_device_answers_for_both_on_one_wire_is_found() {
    let Some(site) = site() else { return };
    let _switch = plug_into_one_switch(&site);
    move_to_the_network(&site, 1, 11, 1);
    move_to_the_network(&site, 2, 12, 2);
    site.lab.router().set(&[("net/ipv4/conf/all/arp_filter", "1")]).unwrap();
    let (wan, wanb) = (hardware_address(&site, "wan"), hardware_address(&site, "wanb"));
    // Whose address the second ISP learns for ours on the second device.
    let answers = || {
        let isp = site.lab.isp(2).namespace();
        isp.sh("ip neigh flush dev subscriber; ping -c 1 -W 1 192.168.77.12 || true");
        let known = isp.sh("ip neigh show 192.168.77.12 dev subscriber");
        known.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).unwrap_or("nobody").to_owned()
    };
    assert!(wait_until(SOON, || answers() == wan), "{} and not {wan}", answers());
    let told = shell(&site, "mwan3 check");
    assert!(told.stdout.contains("net/ipv4/conf/all/arp_filter is 1, should be 0"), "{told}");
    assert!(shell(&site, "mwan3 check --fix").success());
    assert_eq!(answers(), wanb);
}

fn hardware_address(site: &Site, device: &str) -> String {
    let line = format!("ip -o link show {device} | sed 's/.*ether \\([^ ]*\\).*/\\1/'");
    site.lab.router().sh(&line).trim().to_owned()
}

/// As a person would: read what `check` says, and let it be set.
fn each_device_answers_for_itself(site: &Site) {
    let told = shell(site, "mwan3 check");
    assert_eq!(told.code, Some(1), "{told}");
    for device in ["wan", "wanb"] {
        let line = format!("net/ipv4/conf/{device}/arp_ignore is 0, should be 1");
        assert!(told.stdout.contains(&line), "{told}");
    }
    let fixed = shell(site, "mwan3 check --fix");
    assert_eq!(fixed.code, Some(0), "{fixed}");
    let sysctl = site.lab.router().sh("cat /proc/sys/net/ipv4/conf/wan/arp_ignore");
    assert_eq!(sysctl.trim(), "1");
}
