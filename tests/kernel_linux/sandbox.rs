//! The tracker with no more than the service unit leaves it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

use lab::wait_until;

use crate::tracking::{FAILOVER, SOON};
use crate::{linux_files, site};

struct Tracker(Child);

impl Drop for Tracker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The names in `CapabilityBoundingSet=`, as setpriv spells them.
fn capabilities() -> Vec<String> {
    let unit = std::fs::read_to_string(linux_files().join("lib/systemd/system/mwan3.service")).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).unwrap();
    line.split_whitespace().map(|name| name.trim_start_matches("CAP_").to_lowercase()).collect()
}

#[test]
fn the_capabilities_of_the_service_unit_are_enough_to_start_track_and_switch() {
    let Some(site) = site() else { return };
    let names = capabilities();
    assert_eq!(names, ["net_admin", "net_raw"]);
    let directory = site.lab.router().directory();
    let mut command = site.lab.router().command("setpriv");
    command.arg("--bounding-set").arg(format!("-all,+{}", names.join(",+")));
    command.arg(env!("CARGO_BIN_EXE_mwan3")).arg("track");
    command.env("UCI_CONFIG_DIR", site.lab.router().config_dir());
    command.env("MWAN3_RUN_DIR", site.lab.router().run_dir());
    command.env("MWAN3_HOTPLUG_CALL", "/nonexistent");
    command.env("MWAN3_USER_SCRIPT", directory.join("mwan3.user"));
    command.stdout(Stdio::null()).process_group(0);
    let mut tracker = Tracker(command.spawn().unwrap());
    assert!(wait_until(SOON, || site.status("wan") == "online"), "{:?}", tracker.0.try_wait());
    let held = site.lab.router().sh(&format!("grep CapEff /proc/{}/status", site.pid()));
    // CAP_NET_ADMIN is 12, CAP_NET_RAW 13.
    assert_eq!(held.split_whitespace().last(), Some("0000000000003000"), "{held}");
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    let moved = || site.lab.client().udp_flows(FAILOVER, 4000, 10);
    assert!(wait_until(SOON, || moved().all_by("wanb")), "{}", moved());
    // Scripts run there, too.
    assert!(wait_until(SOON, || site.heard().iter().any(|line| line.contains("ACTION=disconnected"))));
}
