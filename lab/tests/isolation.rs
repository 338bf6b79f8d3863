//! Laboratories live side by side, scale, and leave nothing behind.
//! One test only: it counts what the whole process holds.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::Lab;

/// Set for the copy of this test that is killed in the middle.
const VICTIM: &str = "LAB_TEST_VICTIM";

#[test]
fn laboratories_are_apart_quick_to_build_and_leave_nothing_behind() {
    if !lab::is_available() {
        return;
    }
    if std::env::var_os(VICTIM).is_some() {
        be_a_victim();
    }
    let own_namespace = fs::read_link("/proc/self/ns/net").expect("namespace");
    let before = inventory();
    parallel_laboratories_do_not_disturb_each_other();
    sixty_uplinks_are_built_in_seconds();
    dropping_ends_what_runs_inside();
    nothing_outlives_a_killed_process();
    let clean = lab::wait_until(Duration::from_secs(10), || inventory() == before);
    assert!(clean, "left behind: {:?} instead of {before:?}", inventory());
    assert_eq!(fs::read_link("/proc/self/ns/net").expect("namespace"), own_namespace);
}

fn parallel_laboratories_do_not_disturb_each_other() {
    std::thread::scope(|scope| {
        for broken in [false, true, false] {
            scope.spawn(move || {
                let lab = Lab::builder().build().expect("the laboratory");
                if broken {
                    lab.isp(1).blackhole();
                    lab.router().sh("ip route del default dev wanb; nft flush ruleset");
                }
                let report = lab.client().tcp_flows("1.1.1.1", 4000, 200);
                let expected = if broken { 0 } else { 200 };
                assert_eq!(report.by("wan"), expected, "{report}");
            });
        }
    });
}

fn sixty_uplinks_are_built_in_seconds() {
    let begun = Instant::now();
    let lab = Lab::builder().uplinks(60).build().expect("the laboratory");
    let took = begun.elapsed();
    for number in [1, 26, 27, 60] {
        let device = lab.isp(number).device();
        for target in ["1.1.1.1", "2606:4700:4700::1111"] {
            let report = lab.router().udp(target, 4000).device(device).count(2).run();
            assert!(report.all_by(device), "{device}: {report}");
        }
    }
    let begun = Instant::now();
    drop(lab);
    println!("60 uplinks built in {took:?}, dropped in {:?}", begun.elapsed());
    // Generous, for the machine may be busy; alone it takes about a second.
    assert!(took < Duration::from_secs(20), "{took:?}");
}

fn dropping_ends_what_runs_inside() {
    let lab = Lab::builder().mwan3("/bin/sh").build().expect("the laboratory");
    lab.router().write_config("config globals globals\n");
    let script = "cat $UCI_CONFIG_DIR/mwan3; ls -d $MWAN3_RUN_DIR; sleep 1000 & echo $!; echo no >&2; exit 3";
    let output = lab.router().mwan3(["-c", script]);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!((output.code, output.stderr.as_str(), lines[0]), (Some(3), "no\n", "config globals globals"));
    assert_eq!(lines[1], lab.router().run_dir().to_str().expect("path"));
    let sleeper = format!("/proc/{}/ns/net", lines[2]);
    let namespace = fs::read_link(&sleeper).expect("the background process");
    assert_eq!(namespace.to_str(), Some(format!("net:[{}]", lab.router().inode()).as_str()));
    let directory = lab.router().directory().to_owned();
    assert!(directory.exists());
    drop(lab);
    assert!(lab::wait_until(Duration::from_secs(5), || fs::read_link(&sleeper).is_err()), "{sleeper}");
    assert!(!directory.exists());
}

fn nothing_outlives_a_killed_process() {
    let mut victim = Command::new(std::env::current_exe().expect("path"))
        .args(["--nocapture", "laboratories_are_apart"])
        .env(VICTIM, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a copy of this test");
    let output = BufReader::new(victim.stdout.take().expect("stdout"));
    let line =
        output.lines().map_while(Result::ok).find_map(|line| Some(line.split_once("ready ")?.1.to_owned()));
    let line = line.expect("the victim's news");
    let (sleeper, directory) = line.split_once(' ').expect("two words");
    let sleeper = format!("/proc/{sleeper}/ns/net");
    assert!(fs::read_link(&sleeper).is_ok() && fs::exists(directory).expect("directory"));
    victim.kill().expect("kill");
    victim.wait().expect("wait");
    let gone = || fs::read_link(&sleeper).is_err() && !fs::exists(directory).expect("directory");
    assert!(lab::wait_until(Duration::from_secs(10), gone), "{sleeper} or {directory} survived");
}

fn be_a_victim() -> ! {
    let lab = Lab::builder().mwan3("/bin/sh").build().expect("the laboratory");
    let output = lab.router().mwan3(["-c", "setsid sleep 1000 & echo $!"]);
    println!("ready {} {}", output.stdout.trim(), lab.router().directory().display());
    loop {
        std::thread::park();
    }
}

/// What could be left: namespaces held by us, processes in other namespaces, mounts, directories.
fn inventory() -> (usize, BTreeSet<String>, usize, usize) {
    let descriptors = fs::read_dir("/proc/self/fd").expect("descriptors").flatten();
    let held = descriptors.filter(|one| {
        fs::read_link(one.path()).is_ok_and(|target| target.to_string_lossy().starts_with("net:["))
    });
    let children = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts").lines().count();
    let prefix = format!("mwan3-lab-{}-", std::process::id());
    let temporary = fs::read_dir(std::env::temp_dir()).expect("directory").flatten();
    let directories = temporary.filter(|one| one.file_name().to_string_lossy().starts_with(&prefix));
    let children = children.split_whitespace().map(str::to_owned).collect();
    (held.count(), children, mounts, directories.count())
}
