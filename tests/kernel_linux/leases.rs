//! Uplinks whose default route is not in table main: the gateway comes from the lease, by the hooks that ship
//! in files/linux, or from the configuration.

use crate::tracking::{FAILOVER, SOON};
use crate::{each_flow_takes_its_own_line, linux_files, shell, site, table_holds};

/// What is left when each DHCP client replaces the route of the one before.
const ONE_DEFAULT: &str = "ip route del default dev wanb";
const NO_DEFAULT: &str = "ip route del default dev wan; ip route del default dev wanb";

#[test]
fn an_uplink_without_a_default_route_is_no_way_out_until_its_lease_is_known() {
    let Some(site) = site() else { return };
    site.lab.router().sh(ONE_DEFAULT);
    site.run(&["start"]);
    site.await_status("wan", "online");
    assert_eq!(site.lab.router().sh("ip route show table 2 | grep -c default || true").trim(), "0");
    let check = site.try_run(&["check"]);
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(text.contains("table main has no ipv4 default route by wanb"), "{text}");
}

#[test]
fn dhclient_tells_the_gateway_of_the_second_uplink() {
    let Some(site) = site() else { return };
    site.lab.router().sh(ONE_DEFAULT);
    site.run(&["start"]);
    let hook = linux_files().join("etc/dhcp/dhclient-exit-hooks.d/mwan3");
    let tell = |reason: &str, router: &str| {
        let line = format!(
            "reason={reason} interface=wanb new_routers='{router}' new_domain_name_servers='1.1.1.1 8.8.8.8'
             set -e; . {}; echo sourced",
            hook.display()
        );
        let output = shell(&site, &line);
        assert!(output.success() && output.stdout == "sourced\n" && output.stderr.is_empty(), "{output}");
    };
    tell("BOUND", "10.102.0.1");
    table_holds(&site, 2, "default via 10.102.0.1 dev wanb");
    site.await_status("wanb", "online");
    each_flow_takes_its_own_line(&site);
    // The lease outlives a restart of the service; nobody tells it again.
    site.run(&["restart"]);
    table_holds(&site, 2, "default via 10.102.0.1 dev wanb");
    site.lab.isp(2).namespace().sh("ip addr add 10.102.0.9/24 dev subscriber");
    tell("RENEW", "10.102.0.9");
    table_holds(&site, 2, "default via 10.102.0.9 dev wanb");
    // Classless routes outrank the router option.
    tell("RENEW", "10.102.0.77' new_rfc3442_classless_static_routes='24 192 168 9 10 102 0 9 0 10 102 0 1");
    table_holds(&site, 2, "default via 10.102.0.1 dev wanb");
    tell("EXPIRE", "");
    let table = || site.lab.router().sh("ip route show table 2");
    assert!(lab::wait_until(SOON, || !table().contains("default")), "{}", table());
}

#[test]
fn network_manager_tells_the_gateway_of_a_connection_that_is_never_default() {
    let Some(site) = site() else { return };
    site.lab.router().sh(NO_DEFAULT);
    site.run(&["start"]);
    let hook = linux_files().join("usr/lib/NetworkManager/dispatcher.d/50-mwan3");
    for (device, gateway) in [("wan", "10.101.0.1"), ("wanb", "10.102.0.1")] {
        let line = format!(
            "DEVICE_IP_IFACE={device} DHCP4_ROUTERS={gateway} IP4_NAMESERVERS=1.1.1.1 {} {device} up",
            hook.display()
        );
        let output = shell(&site, &line);
        assert!(output.success() && output.stderr.is_empty(), "{output}");
    }
    each_flow_takes_its_own_line(&site);
    assert!(shell(&site, &format!("{} wan down", hook.display())).success());
    let moved = || site.lab.client().udp_flows(FAILOVER, 4000, 10);
    assert!(lab::wait_until(SOON, || moved().all_by("wanb")), "{}", moved());
    assert!(shell(&site, &format!("{} none hostname", hook.display())).success());
}

#[test]
fn pppd_tells_the_far_end_of_a_line_without_a_default_route() {
    let Some(site) = site() else { return };
    site.lab.router().sh(NO_DEFAULT);
    site.run(&["start"]);
    let run = |script: &str, arguments: &str| {
        let path = linux_files().join("etc/ppp").join(script).join("mwan3");
        let output = shell(&site, &format!("{} {arguments}", path.display()));
        assert!(output.success() && output.stderr.is_empty(), "{output}");
    };
    run("ip-up.d", "wanb /dev/ttyS0 115200 10.102.0.2 10.102.0.1");
    table_holds(&site, 2, "default via 10.102.0.1 dev wanb");
    site.await_status("wanb", "online");
    run("ip-down.d", "wanb /dev/ttyS0 115200 10.102.0.2 10.102.0.1");
    site.await_status("wanb", "offline");
}

#[test]
fn dhcpcd_tells_the_gateway_of_its_lease() {
    let Some(site) = site() else { return };
    site.lab.router().sh(NO_DEFAULT);
    let hook = linux_files().join("usr/lib/dhcpcd/dhcpcd-hooks/60-mwan3");
    // Before the service runs, as at boot.
    for (device, gateway) in [("wan", "10.101.0.1"), ("wanb", "10.102.0.1")] {
        let line = format!("reason=REBOOT interface={device} new_routers={gateway}; . {}", hook.display());
        let output = shell(&site, &line);
        assert!(output.success() && output.stderr.is_empty(), "{output}");
    }
    site.run(&["start"]);
    each_flow_takes_its_own_line(&site);
}

#[test]
fn the_lease_files_of_systemd_networkd_are_read_as_they_are() {
    let Some(site) = site() else { return };
    let router = site.lab.router();
    router.sh(NO_DEFAULT);
    let folder = router.run_dir().join("systemd/netif/leases");
    std::fs::create_dir_all(&folder).unwrap();
    for (device, number) in [("wan", 101), ("wanb", 102)] {
        let index = router.sh(&format!("ip -o link show {device} | cut -d: -f1"));
        let lease = format!(
            "# This is private data. Do not parse.\nADDRESS=10.{number}.0.2\nNETMASK=255.255.255.0\n\
             ROUTER=10.{number}.0.1\nSERVER_ADDRESS=10.{number}.0.1\nLIFETIME=3600\nDNS=1.1.1.1 8.8.8.8\n"
        );
        std::fs::write(folder.join(index.trim()), lease).unwrap();
    }
    site.run(&["start"]);
    each_flow_takes_its_own_line(&site);
    site.await_status("wan", "online");
    site.await_status("wanb", "online");
}

#[test]
fn a_gateway_in_the_configuration_serves_a_static_uplink() {
    let Some(site) = site() else { return };
    site.lab.router().sh(NO_DEFAULT);
    let [first, second] =
        ["10.101.0.1", "10.102.0.1"].map(|gateway| format!("option gateway '{gateway}'\n{}", crate::FAST));
    site.configure(&[&first, &second]);
    crate::for_ipv4(&site);
    site.run(&["start"]);
    site.await_status("wan", "online");
    each_flow_takes_its_own_line(&site);
    let check = site.try_run(&["check"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
}

#[test]
fn a_lease_for_what_is_no_device_is_refused() {
    let Some(site) = site() else { return };
    for name in ["", "../mwan3", ".", "a-name-of-more-than-15-bytes"] {
        let output = shell(&site, &format!("ACTION=lease DEVICE='{name}' GATEWAY=192.0.2.1 mwan3 hotplug"));
        assert_eq!(output.code, Some(1), "{output}");
        assert!(output.stderr.contains("is no device"), "{output}");
    }
}

#[test]
fn the_time_since_an_uplink_came_up_is_told() {
    let Some(site) = site() else { return };
    site.run(&["start"]);
    site.await_status("wan", "online");
    let uptime = || {
        let status: serde_json::Value = serde_json::from_str(&site.run(&["interfaces", "--json"])).unwrap();
        let found = status["interfaces"]["wan"]["uptime"].as_u64().or(status["wan"]["uptime"].as_u64());
        found.unwrap_or_else(|| panic!("{status}"))
    };
    assert!(lab::wait_until(SOON, || uptime() >= 2), "{}", uptime());
    site.lab.isp(1).remove_device();
    site.await_status("wan", "disabled");
    assert_eq!(uptime(), 0);
    site.lab.isp(1).recreate_device();
    site.await_status("wan", "online");
    let since_return = uptime();
    assert!(lab::wait_until(SOON, || uptime() > since_return), "{}", uptime());
}
