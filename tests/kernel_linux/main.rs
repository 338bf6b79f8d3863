//! A gateway with a plain Linux on it: no netifd, no ubus, no procd; devices and gateways as the kernel and
//! DHCP clients tell them. Each test is named after the job it does.

#![allow(clippy::unwrap_used)]

mod leases;
mod names;
mod own_traffic;
mod sandbox;
mod settings;
#[path = "../tracking/mod.rs"]
mod tracking;
mod twins;

use std::path::{Path, PathBuf};

use lab::{Output, wait_until};
use tracking::{FAST, SOON, Site};

/// Two uplinks, IPv4, not started yet; `None` where there is no laboratory.
fn site() -> Option<Site> {
    if !lab::is_available() {
        return None;
    }
    for path in ["/sbin/netifd", "/sbin/procd", "/var/run/ubus/ubus.sock", "/var/run/ubus.sock"] {
        assert!(!Path::new(path).exists(), "{path} is here: this is no plain Linux");
    }
    let site = Site::prepare(2, FAST);
    for_ipv4(&site);
    Some(site)
}

/// There is no uplink for the other family, and `check` would say so.
fn for_ipv4(site: &Site) {
    let path = site.lab.router().config_dir().join("mwan3");
    let text = std::fs::read_to_string(path).unwrap();
    let rule = "config rule 'rest'\n";
    site.lab.router().write_config(&text.replace(rule, &format!("{rule}    option family 'ipv4'\n")));
}

fn linux_files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("files/linux")
}

/// A shell line on the router, with mwan3 in the search path and the site's directories.
fn shell(site: &Site, line: &str) -> Output {
    let router = site.lab.router();
    let mut shell = router.command("sh");
    let folder = Path::new(env!("CARGO_BIN_EXE_mwan3")).parent().unwrap().display();
    shell.args(["-c", &format!("PATH=\"{folder}:$PATH\"\n{line}")]);
    shell.env("UCI_CONFIG_DIR", router.config_dir()).env("MWAN3_RUN_DIR", router.run_dir());
    shell.env("MWAN3_SYSCTL_DIR", router.directory().join("sysctl.d"));
    Output::of(&mut shell, "")
}

#[track_caller]
fn table_holds(site: &Site, table: u32, wanted: &str) {
    let table = || site.lab.router().try_sh(&format!("ip route show table {table}")).stdout;
    assert!(wait_until(SOON, || table().contains(wanted)), "not there: {wanted}\n{}", table());
}

/// New flows to anywhere go by the first, those to one address by the second: each by its own line.
#[track_caller]
fn each_flow_takes_its_own_line(site: &Site) {
    for (destination, device) in [(tracking::FAILOVER, "wan"), (tracking::HEALTHY, "wanb")] {
        let flows = || site.lab.client().udp_flows(destination, 4000, 10);
        assert!(wait_until(SOON, || flows().all_by(device)), "{device}: {}", flows());
    }
    for isp in site.lab.isps() {
        assert_eq!(isp.foreign_packets(), 0, "packets with the other line's address at {}", isp.device());
    }
}
