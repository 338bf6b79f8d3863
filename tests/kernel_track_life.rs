//! The service and its tracker from start to stop: what other commands tell it, what it adopts, what it leaves,
//! and what scripts hear of all that, in exact sequence and environment.

#![allow(clippy::unwrap_used)]

mod tracking;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use lab::wait_until;
use tracking::{FAST, SOON, Site, tell};

#[test]
fn scripts_hear_the_sequence_of_the_shell_package_with_exactly_its_environment() {
    if !lab::is_available() {
        return;
    }
    let site = Site::prepare(2, FAST);
    site.configure(&[FAST, "option enabled '0'"]);
    site.run(&["start"]);
    site.await_heard(&["ACTION=connected DEVICE=wan INTERFACE=wan"]);
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
    let mut wanted = vec![
        "ACTION=connected DEVICE=wan INTERFACE=wan",
        "ACTION=disconnecting DEVICE=wan INTERFACE=wan",
        "ACTION=disconnected DEVICE=wan INTERFACE=wan",
        "ACTION=connecting DEVICE=wan INTERFACE=wan",
        "ACTION=connected DEVICE=wan INTERFACE=wan",
    ];
    site.await_heard(&wanted);
    // Down and up again on the host: the shell package's `disconnected` and first `connected`.
    site.lab.router().sh("ip link set wan down");
    site.await_status("wan", "disabled");
    wanted.push("ACTION=disconnected DEVICE=wan INTERFACE=wan");
    site.await_heard(&wanted);
    site.lab.router().sh("ip link set wan up && ip route add default via 10.101.0.1 dev wan metric 1");
    site.await_status("wan", "online");
    wanted.push("ACTION=connected DEVICE=wan INTERFACE=wan");
    site.await_heard(&wanted);
    site.run(&["stop"]);
    wanted.push("ACTION=disconnected DEVICE= INTERFACE=wan");
    site.await_heard(&wanted);
}

#[test]
fn hotplug_scripts_hear_first_connections_and_shutdowns_besides() {
    if !lab::is_available() {
        return;
    }
    let site = Site::prepare(1, FAST);
    let hotplug = site.lab.router().directory().join("hotplug-call");
    let script =
        "#!/bin/sh\nheard=$(tr '\\0' ' ' < /proc/$$/environ)\necho \"$heard($*)\" >> \"${0%/*}/heard\"\n";
    fs::write(&hotplug, script).unwrap();
    fs::set_permissions(&hotplug, fs::Permissions::from_mode(0o755)).unwrap();
    site.run(&["start"]);
    let mut wanted = vec!["ACTION=connected DEVICE=wan FIRSTCONNECT=1 INTERFACE=wan (iface)"];
    site.await_heard(&wanted);
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    site.lab.isp(1).restore();
    wanted.extend([
        "ACTION=disconnecting DEVICE=wan INTERFACE=wan (iface)",
        "ACTION=disconnected DEVICE=wan INTERFACE=wan (iface)",
        "ACTION=connecting DEVICE=wan INTERFACE=wan (iface)",
        "ACTION=connected DEVICE=wan FIRSTCONNECT= INTERFACE=wan (iface)",
    ]);
    site.await_heard(&wanted);
    site.run(&["stop"]);
    wanted.push("ACTION=disconnected DEVICE= INTERFACE=wan MWAN3_SHUTDOWN=1 (iface)");
    site.await_heard(&wanted);
}

#[test]
fn a_script_that_hangs_delays_neither_probes_nor_switches_nor_other_interfaces_events() {
    if !lab::is_available() {
        return;
    }
    let site = Site::prepare(2, FAST);
    let script =
        "#!/bin/sh\necho $ACTION $INTERFACE >> \"${0%/*}/heard\"; [ $INTERFACE = wanb ] || exec sleep 1000\n";
    site.write_user_script(script);
    site.run(&["start"]);
    assert!(wait_until(SOON, || site.heard().len() == 2));
    site.lab.isp(1).blackhole();
    tell("blackhole to offline while a script hangs", site.await_status("wan", "offline"));
    site.lab.isp(2).blackhole();
    site.await_status("wanb", "offline");
    assert!(wait_until(SOON, || site.heard().contains(&"disconnected wanb".to_owned())));
    assert!(!site.heard().contains(&"disconnected wan".to_owned()), "one at a time per interface");
}

#[test]
fn ifdown_pauses_tracking_and_ifup_resumes_it() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    site.run(&["ifdown", "wan"]);
    let report = site.run(&["interfaces"]);
    assert!(report.contains("interface wan is disabled and tracking is paused ("), "{report}");
    let flows = site.lab.client().udp(tracking::FAILOVER, 4000).count(20).run();
    assert!(flows.all_by("wanb"), "{flows}");
    site.run(&["ifup", "wan"]);
    let report = site.run(&["interfaces"]);
    assert!(report.contains("interface wan is online and tracking is active (online "), "{report}");
    let flows = site.lab.client().udp(tracking::FAILOVER, 4000).count(20).run();
    assert!(flows.all_by("wan"), "{flows}");
    assert_eq!(site.events("wan"), ["connected", "disabled", "connected"]);
    // Coming up anew undoes an ifdown.
    site.run(&["ifdown", "wan"]);
    let before = site.stat("reconciles");
    site.lab.isp(1).carrier(false);
    assert!(wait_until(SOON, || site.stat("reconciles") > before));
    site.lab.isp(1).carrier(true);
    site.await_status("wan", "online");
    let flows = site.lab.client().udp(tracking::FAILOVER, 4000).count(20).run();
    assert!(flows.all_by("wan"), "{flows}");
}

#[test]
fn hotplug_tells_the_tracker_and_each_coming_up_is_announced_once() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(1, FAST);
    site.await_status("wan", "online");
    let hotplug = |action: &str| {
        let mut command = site.command();
        command.arg("hotplug").env("ACTION", action).env("INTERFACE", "wan").env("DEVICE", "wan");
        assert!(command.status().unwrap().success());
    };
    // A reconnect that nobody saw.
    hotplug("ifup");
    assert_eq!(site.events("wan"), ["connected", "connected"]);
    // The same word by another way.
    hotplug("ifup");
    hotplug("ifupdate");
    hotplug("connected");
    assert_eq!(site.events("wan"), ["connected", "connected"]);
    site.run(&["ifdown", "wan"]);
    hotplug("ifupdate");
    assert_eq!(site.status("wan"), "disabled");
    hotplug("ifup");
    assert_eq!(site.status("wan"), "online");
    assert_eq!(site.events("wan"), ["connected", "connected", "disabled", "connected"]);
}

#[test]
fn a_killed_tracker_is_succeeded_without_a_switch_or_an_event() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wanb", "online");
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    assert!(wait_until(SOON, || site.heard().len() == 4));
    let (heard, old) = (site.heard(), site.pid());
    let since = site.file("wan", "OFFLINE");
    let healthy = site.healthy_stream();
    site.signal("KILL");
    site.run(&["start"]);
    assert_ne!(site.pid(), old);
    let before = site.stat("probes");
    assert!(wait_until(SOON, || site.stat("probes") > before + 20));
    assert_eq!((site.status("wan"), site.status("wanb")), ("offline".to_owned(), "online".to_owned()));
    assert_eq!(site.file("wan", "OFFLINE"), since);
    assert_eq!(site.heard(), heard, "nothing happened");
    assert_eq!(site.ask("events 0"), serde_json::json!([]));
    assert_eq!(site.stat("writes"), 0);
    let report = healthy.stop();
    assert!(report.all_by("wanb"), "{report}");
}

#[test]
fn sigterm_leaves_traffic_as_it_is_and_stop_takes_everything_back() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let pid = site.pid();
    site.signal("TERM");
    assert!(wait_until(SOON, || !site.socket().exists()));
    let flows = site.lab.client().udp(tracking::HEALTHY, 4000).count(20).run();
    assert!(flows.all_by("wanb"), "{flows}");
    site.run(&["start"]);
    assert_ne!(site.pid(), pid);
    let pid = site.pid();
    site.run(&["stop"]);
    let is_gone = || !std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(wait_until(SOON, is_gone), "the tracker outlives its service");
    assert!(!site.lab.router().sh("nft list tables").contains("mwan3"));
    assert!(!site.lab.router().sh("ip rule").contains("2001:"));
}

#[test]
fn stop_ends_a_tracker_that_hangs() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(1, FAST);
    let pid = site.pid();
    site.signal("STOP");
    let begun = Instant::now();
    site.run(&["stop"]);
    tell("stop beside a hanging tracker", begun.elapsed());
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Whoever adopted it may not have waited for it yet.
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    assert!(!site.lab.router().sh("nft list tables").contains("mwan3"));
}

#[test]
fn a_second_tracker_refuses_to_run() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(1, FAST);
    let pid = site.pid();
    let second = site.try_run(&["track"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("another tracker runs already"), "{said}");
    assert_eq!(site.pid(), pid);
    site.run(&["start"]);
    assert_eq!(site.pid(), pid, "a second start finds it");
}

#[test]
fn reload_keeps_health_and_history_of_what_did_not_change() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    let answered = || site.ask("history wanb")["targets"][0]["answered"].as_u64().unwrap();
    assert!(wait_until(SOON, || answered() >= 5));
    let (since, pid, events) = (site.file("wan", "OFFLINE"), site.pid(), site.events("wan"));
    site.configure(&[&FAST.replace("down '2'", "down '3'"), FAST]);
    site.signal("HUP");
    site.run(&["reload"]);
    assert_eq!(site.pid(), pid);
    assert!(answered() >= 5);
    assert_eq!((site.status("wan"), site.file("wan", "OFFLINE")), ("offline".to_owned(), since));
    assert_eq!(site.events("wan"), events);
    // What is no longer configured is taken leave of.
    site.configure(&[FAST, "option enabled '0'"]);
    site.run(&["reload"]);
    assert_eq!(site.status("wanb"), "");
    assert!(wait_until(SOON, || {
        site.heard().contains(&"ACTION=disconnected DEVICE=wanb INTERFACE=wanb".to_owned())
    }));
    assert!(site.ask("history wanb")["error"].is_string());
    // A configuration that cannot be read changes nothing.
    fs::remove_file(site.lab.router().config_dir().join("mwan3")).unwrap();
    site.signal("HUP");
    assert!(site.ask("history wan")["error"].is_null());
}

#[test]
fn restart_begins_anew_in_the_same_tracker_and_flows_notice_nothing() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    site.run(&["ifdown", "wan"]);
    let pid = site.pid();
    let healthy = site.healthy_stream();
    site.run(&["restart"]);
    site.await_status("wan", "online");
    assert_eq!(site.pid(), pid);
    std::thread::sleep(Duration::from_millis(300));
    let report = healthy.stop();
    assert!(report.all_by("wanb"), "{report}");
    let of_wanb = site.heard().into_iter().filter(|line| line.contains("INTERFACE=wanb")).collect::<Vec<_>>();
    assert_eq!(
        of_wanb,
        [
            "ACTION=connected DEVICE=wanb INTERFACE=wanb",
            "ACTION=disconnected DEVICE= INTERFACE=wanb",
            "ACTION=connected DEVICE=wanb INTERFACE=wanb"
        ]
    );
}

#[test]
fn a_lock_that_is_never_given_back_hangs_neither_tracker_nor_commands() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let lock = site.lab.router().run_dir().join("mwan3.lock");
    let mut holder =
        Command::new("flock").arg(&lock).args(["sleep", "1000"]).process_group(0).spawn().unwrap();
    assert!(wait_until(SOON, || !Command::new("flock")
        .arg("-n")
        .arg(&lock)
        .arg("true")
        .status()
        .unwrap()
        .success()));
    site.lab.isp(1).blackhole();
    let failed = site.try_run(&["reload"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("cannot take the lock"), "{said}");
    let group = format!("kill -9 -{}", holder.id());
    site.lab.router().sh(&group);
    holder.wait().unwrap();
    site.await_status("wan", "offline");
    let switched = || site.lab.client().udp(tracking::FAILOVER, 4000).count(10).run().all_by("wanb");
    assert!(wait_until(SOON, switched), "the switch is made up for");
}

#[test]
fn a_reload_revives_a_dead_tracker() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(1, FAST);
    let pid = site.pid();
    site.signal("KILL");
    site.run(&["reload"]);
    assert_ne!(site.pid(), pid);
}

#[test]
fn the_tracker_keeps_no_descriptor_of_whoever_started_the_service() {
    if !lab::is_available() {
        return;
    }
    let site = Site::prepare(1, FAST);
    let lock = site.lab.router().directory().join("caller");
    let service = site.command();
    let mut shell = site.lab.router().namespace().command("sh");
    shell.args(["-c", "exec 9>\"$1\"; flock 9; exec \"$0\" start"]);
    shell.arg(service.get_program()).arg(&lock);
    shell.envs(service.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(shell.status().unwrap().success());
    site.await_status("wan", "online");
    let free = Command::new("flock").arg("-n").arg(&lock).arg("true").status().unwrap();
    assert!(free.success(), "the tracker holds its caller's lock");
    let pid = site.pid();
    assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).unwrap().to_str(), Some("/"));
    let output = fs::read_link(format!("/proc/{pid}/fd/1")).unwrap();
    assert_eq!(output.to_str(), Some("/dev/null"));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap();
    assert_eq!(session, pid.to_string(), "it has a session of its own");
}
