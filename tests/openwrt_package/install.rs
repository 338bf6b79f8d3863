//! The package's life on a router: first installed, over the shell package, at boot, stopped, started, removed.

use std::fs;
use std::time::Duration;

use lab::wait_until;

use super::package::Package;
use super::root::Root;

/// Written for an old release of the shell package.
const OLD_CONFIG: &str = "
config globals 'globals'
	option mmx_mask '0x3F00'
	option local_source 'lan'
	option rtmon_interval '5'

config interface 'wan'
	option enabled '1'
	list track_ip '1.1.1.1'
	option interval '1'
	option flush_conntrack 'always'
	option track_colour 'blue'

config interface 'wanb'
	option enabled '1'
	option flush_conntrack 'never'

config member 'wanb_m1'
	option interface 'wanb'

config policy 'wanb_only'
	list use_member 'wanb_m1'

config rule 'all'
	option family 'ipv4'
	option use_policy 'wanb_only'
";

const STATE_OF_THE_SHELL_PACKAGE: &str = "
	ip rule add pref 1001 iif wan lookup 1
	ip rule add pref 1002 iif wanb lookup 2
	ip rule add pref 2001 fwmark 0x100/0x3f00 lookup 1
	ip rule add pref 2061 fwmark 0x3d00/0x3f00 blackhole
	ip rule add pref 3001 fwmark 0x100/0x3f00 unreachable
	ip rule add pref 2007 fwmark 0x700/0x3f00 lookup 7
	ip rule add pref 3007 fwmark 0x700/0x3f00 unreachable
	ip route add default via 10.101.0.1 dev wan table 1
	ip route add default via 10.101.0.1 dev wan table 1 proto static metric 10
	ip route add 10.55.0.0/16 via 192.168.1.2 dev lan0 table 1
	ip route add default via 10.102.0.1 dev wanb table 7
	ip route add 198.18.0.0/15 via 10.101.0.1 dev wan table 9
	nft add table ip mangle
	nft add chain ip mangle mwan3_hook
	nft add rule ip mangle mwan3_hook meta mark set 0x100
	nft add chain ip mangle PREROUTING '{ type filter hook prerouting priority mangle; }'
	nft add rule ip mangle PREROUTING counter jump mwan3_hook";

fn kernel(root: &Root) -> String {
    let listings = "ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all;
        nft -s list ruleset";
    let text = root.router().sh(listings);
    text.lines().filter(|line| !line.contains("proto kernel")).map(|line| line.to_owned() + "\n").collect()
}

fn lines_of(text: &str, piece: &str) -> usize {
    text.lines().filter(|line| line.contains(piece)).count()
}

#[test]
fn it_is_installed_works_and_is_removed_without_a_trace() {
    let Some(root) = Root::new() else { return };
    let package = Package::new();
    let before = (kernel(&root), root.files());
    root.install(&package);
    root.await_that("the tracker runs", || root.is_tracked());
    assert_eq!(
        fs::read_link(root.at("/etc/rc.d/S19mwan3")).expect("enabled").to_str(),
        Some("../init.d/mwan3")
    );
    assert!(!root.at("/etc/uci-defaults/50-mwan3").exists(), "it runs once");
    assert!(kernel(&root).contains("2001:\tfrom all fwmark 0x100/0x3f00 lookup 1 proto 77"));
    root.remove(&package);
    assert_eq!(kernel(&root), before.0);
    assert_eq!(root.tracker_pid(), None);
    let mut expected = before.1;
    expected.extend(package.conffiles());
    expected.sort();
    assert_eq!(root.files(), expected);
}

#[test]
fn the_shell_package_is_replaced_and_its_configuration_honoured() {
    let Some(root) = Root::new() else { return };
    let package = Package::new();
    root.write("/etc/config/mwan3", OLD_CONFIG);
    root.write("/etc/mwan3.user", "#!/bin/sh\nexit 0 # mine\n");
    root.router().sh(STATE_OF_THE_SHELL_PACKAGE);
    root.install(&package);
    root.await_that("the tracker runs", || root.is_tracked());
    let now = kernel(&root);
    // Of its own five there is none, of ours each once.
    for priority in ["1001:\t", "1002:\t", "2001:\t", "2002:\t", "3001:\t", "3002:\t"] {
        assert_eq!(lines_of(&now, priority), 1, "{priority} in\n{now}");
    }
    assert_eq!(lines_of(&now, "2061:\t"), 2, "one a family in\n{now}");
    for gone in ["mwan3_hook", "2007:", "3007:"] {
        assert_eq!(lines_of(&now, gone), 0, "{gone} in\n{now}");
    }
    let routes: Vec<&str> = now.lines().filter(|line| line.contains(" table ")).collect();
    let mine = "198.18.0.0/15 via 10.101.0.1 dev wan table 9";
    let is_known =
        |line: &&&str| line.contains("proto 77") || line.contains("table local") || line.starts_with(mine);
    assert_eq!(routes.iter().filter(|line| line.starts_with(mine)).count(), 1, "{now}");
    assert!(routes.iter().all(|line| is_known(&line)), "{now}");
    let flows = root.lab.client().udp("1.1.1.1", 4000).count(10).run();
    assert_eq!(flows.by("wanb"), 10, "{flows}");
    // Nothing of the owner's is lost, and what is not understood is named.
    let config = root.read("/etc/config/mwan3");
    for kept in ["option track_colour 'blue'", "option local_source 'lan'", "config rule 'all'"] {
        assert!(config.contains(kept), "no {kept} in\n{config}");
    }
    assert_eq!(config.matches("flush_conntrack").count(), 2, "{config}");
    assert!(config.contains("list flush_conntrack 'ifup'\n\tlist flush_conntrack 'ifdown'\n"), "{config}");
    assert!(root.read("/etc/mwan3.user").contains("# mine"));
    root.await_that("the log tells", || root.log().contains("option track_colour: unknown option"));
    assert!(root.log().contains(" mwan3-migrate: /etc/config/mwan3:"), "{}", root.log());
}

#[test]
fn an_upgrade_brings_the_new_program_and_keeps_the_rules() {
    let Some(root) = Root::new() else { return };
    let package = Package::new();
    root.write("/etc/config/mwan3", OLD_CONFIG);
    root.install(&package);
    root.await_that("the tracker runs", || root.is_tracked());
    let (first, rules) = (root.tracker_pid(), root.router().sh("ip rule"));
    // apk stops nothing before an upgrade. One more byte is another program.
    root.unpack(&package);
    let program = root.at("/usr/sbin/mwan3");
    let longer = [fs::read(&program).expect("readable"), vec![0]].concat();
    fs::remove_file(&program).expect("removed");
    fs::write(&program, longer).expect("written");
    root.sh("chmod 755 /usr/sbin/mwan3; PKG_UPGRADE=1 /usr/lib/opkg/info/mwan3.postinst configure");
    root.await_that("another tracker runs", || root.is_tracked() && root.tracker_pid() != first);
    assert_eq!(root.router().sh("ip rule"), rules);
    // A start without any change leaves it alone.
    let second = root.tracker_pid();
    root.sh("/etc/init.d/mwan3 start");
    assert_eq!(root.tracker_pid(), second);
}

#[test]
fn at_boot_it_is_there_before_the_network() {
    let Some(root) = Root::new() else { return };
    let package = Package::new();
    root.write("/etc/config/mwan3", OLD_CONFIG);
    root.unpack(&package);
    root.sh("/etc/init.d/mwan3 enable");
    let router = root.router();
    router.sh("ip addr flush dev wan; ip addr flush dev wanb; ip link set wan down; ip link set wanb down");
    root.sh("for script in /etc/rc.d/S*; do $script boot; done");
    root.await_that("the tracker runs", || root.is_tracked());
    assert_eq!(lines_of(&kernel(&root), "2002:"), 0);
    assert!(kernel(&root).contains("2061:\tfrom all fwmark 0x3d00/0x3f00 blackhole proto 77"));
    router.sh("ip link set wanb up; ip addr add 10.102.0.2/24 dev wanb
        ip route add default via 10.102.0.1 dev wanb metric 20");
    root.sh("ACTION=ifup INTERFACE=wanb DEVICE=wanb /sbin/hotplug-call iface");
    root.await_that("the uplink is used", || {
        kernel(&root).contains("default via 10.102.0.1 dev wanb table 2")
    });
    let flows = root.lab.client().udp("1.1.1.1", 4000).count(10).run();
    assert_eq!(flows.by("wanb"), 10, "{flows}");
}

#[test]
fn a_stop_by_hand_holds_and_a_start_by_hand_brings_the_tracker() {
    let Some(root) = Root::new() else { return };
    let package = Package::new();
    root.write("/etc/config/mwan3", OLD_CONFIG);
    let before = kernel(&root);
    root.install(&package);
    root.await_that("the tracker runs", || root.is_tracked());
    assert!(root.try_sh("/etc/init.d/mwan3 running").success());
    let killed = root.tracker_pid().expect("it runs");
    root.sh(&format!("kill -9 {killed}"));
    root.await_that("procd starts it again", || root.is_tracked() && root.tracker_pid() != Some(killed));
    root.sh("mwan3 stop");
    assert_eq!(kernel(&root), before);
    assert!(!root.try_sh("/etc/init.d/mwan3 running").success());
    assert!(root.try_sh("/etc/init.d/mwan3 enabled").success());
    // Longer than procd's stand-in waits before it starts something again.
    assert!(!wait_until(Duration::from_secs(3), || root.tracker_pid().is_some()), "it came back");
    root.sh("mwan3 status; mwan3 interfaces");
    assert!(!root.try_sh("/etc/init.d/mwan3 running").success(), "a report made it look running");
    root.sh("mwan3 start");
    root.await_that("the tracker runs", || root.is_tracked());
    // A restart is no stop: the tracker and the rules stay.
    let tracker = root.tracker_pid();
    root.sh("/etc/init.d/mwan3 restart; mwan3 restart; /etc/init.d/mwan3 reload");
    assert_eq!(root.tracker_pid(), tracker);
}
