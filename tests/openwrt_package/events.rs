//! What scripts are told, and that they cannot hold up the router.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::package::Package;
use super::root::Root;

const CONFIG: &str = "
config interface 'wan'
	option enabled '1'
	list track_ip '1.1.1.1'
config interface 'wanb'
config member 'wan_m1'
	option interface 'wan'
config policy 'wan_only'
	list use_member 'wan_m1'
config rule 'all'
	option use_policy 'wan_only'
";

/// With a user script that has lost its mode, as from an old backup.
fn installed(script: &str) -> Option<Root> {
    let root = Root::new()?;
    root.write("/etc/config/mwan3", CONFIG);
    root.write("/etc/mwan3.user", script);
    fs::set_permissions(root.at("/etc/mwan3.user"), fs::Permissions::from_mode(0o644)).expect("allowed");
    root.install(&Package::new());
    root.await_that("the tracker runs", || root.is_tracked());
    Some(root)
}

/// In one write: netifd's events and the tracker's come side by side.
const WRITES_ITS_ENVIRONMENT: &str = "#!/bin/sh
heard=$(/bin/cat /proc/$$/environ | /bin/tr '\\0' ' ')
echo \"$heard\" >>/tmp/events
";

#[test]
fn the_user_script_hears_every_event_with_three_variables() {
    let Some(root) = installed(WRITES_ITS_ENVIRONMENT) else { return };
    root.await_that("the first event", || root.read("/tmp/events").contains("ACTION=connected"));
    root.write("/tmp/events", "");
    for (action, device) in [("ifup", "wan"), ("ifdown", ""), ("ifupdate", "wan"), ("ifup-failed", "")] {
        root.sh(&format!(
            "ACTION={action} INTERFACE=wan DEVICE={device} IFUPDATE_ADDRESSES=1 /sbin/hotplug-call iface
             ACTION={action} INTERFACE=wanb DEVICE=wanb /sbin/hotplug-call iface
             ACTION={action} INTERFACE=lan DEVICE=lan0 /sbin/hotplug-call iface"
        ));
        let line = format!("ACTION={action} DEVICE={device} INTERFACE=wan ");
        root.await_that(&line, || root.read("/tmp/events").lines().any(|heard| heard == line));
    }
    assert!(!root.read("/tmp/events").contains("INTERFACE=wanb"));
    assert!(!root.read("/tmp/events").contains("INTERFACE=lan"));
    let mode = fs::metadata(root.at("/etc/mwan3.user")).expect("there").permissions().mode();
    assert_eq!(mode & 0o111, 0o111);
    root.write("/tmp/events", "");
    root.sh("/etc/init.d/mwan3 stop");
    assert!(root.read("/tmp/events").ends_with("ACTION=disconnected DEVICE= INTERFACE=wan \n"));
    root.write("/tmp/events", "");
    root.sh("ACTION=ifup INTERFACE=wan DEVICE=wan /sbin/hotplug-call iface");
    assert_eq!(root.read("/tmp/events"), "", "the service does not run");
}

#[test]
fn a_script_that_hangs_ends_with_the_service_and_holds_no_lock() {
    let hangs = "#!/bin/sh\necho $$ >>/tmp/hanging\nexec /bin/sleep 1000\n";
    let Some(root) = installed(hangs) else { return };
    root.await_that("the script hangs", || !root.read("/tmp/hanging").is_empty());
    root.sh("/etc/init.d/mwan3 stop");
    for pid in root.read("/tmp/hanging").lines() {
        root.await_that("the script is gone", || {
            !fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("sleep"))
        });
    }
}

#[test]
fn what_a_script_leaves_behind_holds_no_lock() {
    let leaves = "#!/bin/sh\n/bin/sleep 1000 </dev/null >/dev/null 2>&1 &\necho $! >>/tmp/left\n";
    let Some(root) = installed(leaves) else { return };
    root.await_that("the first event", || !root.read("/tmp/left").is_empty());
    root.sh("/etc/init.d/mwan3 stop");
    root.sh("timeout 5 /etc/init.d/mwan3 enabled; timeout 10 /etc/init.d/mwan3 start");
    root.await_that("the tracker runs", || root.is_tracked());
    root.sh("kill $(cat /tmp/left)");
}
