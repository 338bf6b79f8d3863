//! `mwan3 drill` on a router with the real tracker: one uplink is taken out on purpose, nobody else notices,
//! and it comes back whatever becomes of those who asked.

#![allow(clippy::unwrap_used)]

mod tracking;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use lab::wait_until;
use serde_json::Value;
use tracking::{FAST, SOON, Site, tell};

/// A drill in the background, as it is once the tracker has begun it.
fn begin(site: &Site, arguments: &[&str]) -> (Child, Value) {
    let mut command = site.command();
    command.arg("drill").args(arguments).arg("--json").stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let began: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
    assert_eq!(began["drill"], "began");
    (child, began)
}

fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

#[track_caller]
fn await_return(site: &Site) {
    site.await_status("wan", "online");
    assert!(wait_until(SOON, || site.policy_state("wan") == "online"), "policies still avoid wan");
    let reports = site.run(&["policies"]);
    assert!(reports.contains("failover:\n wan (100%)"), "{reports}");
    let note = site.lab.router().run_dir().join("mwan3track/wan/DRILL");
    assert!(wait_until(SOON, || !note.exists()));
}

#[test]
fn a_drill_moves_new_flows_and_brings_them_back() {
    if !lab::is_available() {
        return;
    }
    let site = Site::prepare(2, FAST);
    let (hooks, hooked) =
        (site.lab.router().directory().join("hooks.d"), site.lab.router().directory().join("hooked"));
    fs::create_dir_all(&hooks).unwrap();
    let script = format!("#!/bin/sh\ntr '\\0' ' ' < /proc/$$/environ >> {}\n", hooked.display());
    fs::write(hooks.join("tell"), script).unwrap();
    fs::set_permissions(hooks.join("tell"), fs::Permissions::from_mode(0o755)).unwrap();
    site.run(&["start"]);
    site.await_status("wan", "online");
    site.await_status("wanb", "online");
    let (healthy, failover) = (site.healthy_stream(), site.failover_stream());
    wait_until(SOON, || site.lab.client().udp_flows(tracking::FAILOVER, 4000, 1).all_by("wan"));
    let output = site.run(&["drill", "wan", "--seconds", "3", "--json"]);
    let lines: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    eprintln!("{output}");
    let [began, over] = &lines[..] else { panic!("{output}") };
    assert!(began["switched_us"].as_u64().is_some() && began["connections"].as_u64() > Some(0), "{began}");
    assert_eq!((&over["reason"], &over["status"]), (&"the time is over".into(), &"online".into()));
    assert!(over["switched_us"].as_u64().is_some());
    assert!(over["new_connections"]["wanb"].as_u64() > Some(50), "{over}");
    await_return(&site);
    wait_until(SOON, || site.lab.client().udp_flows(tracking::FAILOVER, 4000, 1).all_by("wan"));
    let (healthy, failover) = (healthy.stop(), failover.stop());
    assert_eq!((healthy.lost(), healthy.refused()), (0, 0), "flows of the other uplink noticed");
    assert!(healthy.all_by(site.last_device()));
    assert_eq!(failover.refused(), 0);
    assert!(failover.by("wan") > 0 && failover.by("wanb") > 50, "{:?}", failover.by_isp());
    tell("longest time without an answer over both switches", failover.longest_gap());
    let events = site.events("wan");
    assert!(
        events.ends_with(&["drill", "disconnected", "connected", "drill"].map(str::to_owned)),
        "{events:?}"
    );
    let word = |action: &str| format!("ACTION={action} DEVICE=wan INTERFACE=wan");
    let wanted = [word("connected"), word("disconnected"), word("connected")];
    let of_wan = || -> Vec<String> {
        site.heard().into_iter().filter(|line| line.ends_with("INTERFACE=wan")).collect()
    };
    wait_until(SOON, || of_wan() == wanted);
    assert_eq!(of_wan(), wanted);
    // Hooks are told that it was a drill, but for /etc/mwan3.user, which gets what it always got.
    let drills = || fs::read_to_string(&hooked).unwrap_or_default().matches("MWAN3_DRILL=1").count();
    assert!(wait_until(SOON, || drills() == 2), "{}", fs::read_to_string(&hooked).unwrap_or_default());
}

#[test]
fn an_uplink_returns_whatever_becomes_of_those_who_asked() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    for how in ["KILL", "INT", "TERM"] {
        let (mut drill, _) = begin(&site, &["wan", "--seconds", "600"]);
        assert_eq!((site.status("wan"), site.policy_state("wan")), ("offline".into(), "offline".into()));
        signal(&drill, how);
        await_return(&site);
        let status = drill.wait().unwrap();
        assert_eq!(status.success(), how != "KILL", "{how}: {status}");
    }
    // The tracker, too: asked to end it brings the uplink back, killed it leaves that to the next one.
    for how in ["TERM", "KILL"] {
        let (mut drill, _) = begin(&site, &["wan", "--seconds", "600"]);
        let (heard, tracker) = (site.heard().len(), PathBuf::from(format!("/proc/{}", site.pid())));
        site.signal(how);
        assert!(wait_until(SOON, || !tracker.exists()));
        assert!(!drill.wait().unwrap().success() || how == "TERM");
        if how == "TERM" {
            assert!(wait_until(SOON, || site.policy_state("wan") == "online"));
        } else {
            assert_eq!(site.policy_state("wan"), "offline");
        }
        site.run(&["start"]);
        await_return(&site);
        let connected = |line: &&String| line.contains("ACTION=connected");
        assert!(wait_until(SOON, || site.heard().iter().skip(heard).any(|line| connected(&line))), "{how}");
    }
}

#[test]
fn a_drill_that_would_cut_somebody_off_is_refused() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wanb", "online");
    let refused = |arguments: &[&str], why: &str| {
        let output = site.try_run(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && complaint.contains(why), "{arguments:?}: {output:?}");
    };
    refused(&["drill", "wanc"], "wanc is not an enabled interface");
    refused(&["drill", "wanb"], "policy last has no other usable member");
    refused(&["drill", "wan", "--seconds", "0"], "a drill takes 1 to");
    refused(&["drill"], "Usage");
    let (mut drill, _) = begin(&site, &["wanb", "--seconds", "600", "--force"]);
    refused(&["drill", "wan", "--force"], "a drill of wanb is under way");
    signal(&drill, "INT");
    drill.wait().unwrap();
    site.await_status("wanb", "online");
    site.run(&["ifdown", "wanb"]);
    refused(&["drill", "wanb"], "wanb is disabled already");
    refused(&["drill", "wan"], "no other uplink is usable");
}

#[test]
fn what_the_host_says_of_the_interface_ends_the_drill() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    for (command, then) in [("ifdown", "disabled"), ("ifup", "online")] {
        if command == "ifdown" {
            begin(&site, &["wan", "--seconds", "600"]).0
        } else {
            site.command().arg("help").stdout(Stdio::null()).spawn().unwrap()
        };
        site.run(&[command, "wan"]);
        site.await_status("wan", then);
    }
    assert!(wait_until(SOON, || site.events("wan").iter().filter(|event| *event == "drill").count() == 2));
    // A link that dies while it is drilled stays away when the drill is over.
    let drill = site.command().args(["drill", "wan", "--seconds", "600"]).stdout(Stdio::piped()).spawn();
    let drill = drill.unwrap();
    site.await_status("wan", "offline");
    site.lab.isps()[0].blackhole();
    let lost = || site.file("wan", "LOST").parse::<u32>().unwrap_or(0) >= 8;
    assert!(wait_until(SOON, lost), "the probes of a drilled link go on");
    signal(&drill, "INT");
    let output = drill.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!((output.status.code(), site.status("wan")), (Some(1), "offline".to_owned()));
    assert!(told.contains("the kernel does not use it") && !told.contains("uses it again"), "{told}");
}
