//! Changes that come at a bad time: while the service is stopped, or while the kernel takes no table from us.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use lab::{Lab, Router, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = "
config interface 'wan'
	option enabled '1'
config interface 'wanb'
	option enabled '1'
config member 'wan_m1'
	option interface 'wan'
config policy 'wan_only'
	list use_member 'wan_m1'
config rule 'rest'
	option use_policy 'wan_only'
";

fn started() -> Option<Lab> {
    if !lab::is_available() {
        return None;
    }
    let lab = Lab::builder().uplinks(2).mwan3(env!("CARGO_BIN_EXE_mwan3")).build().expect("a laboratory");
    lab.router().write_config(CONFIG);
    let output = lab.router().mwan3(["start"]);
    assert!(output.success() && output.stderr.is_empty(), "{output}");
    Some(lab)
}

fn ours(router: &Router) -> String {
    router.sh("ip -4 rule | grep 'proto 77'; ip -6 rule | grep 'proto 77'; ip route show table all proto 77;
               nft list tables | grep mwan3; true")
}

/// It would wait in the command's stead.
fn end_tracker(router: &Router) {
    let file = router.run_dir().join("mwan3track.lock");
    let pid = fs::read_to_string(file).unwrap_or_default().trim().to_owned();
    if !pid.is_empty() {
        router.sh(&format!("kill {pid}"));
        let process = Path::new("/proc").join(pid);
        assert!(wait_until(PATIENCE, || !process.join("exe").exists()));
    }
}

#[test]
fn an_event_that_waited_while_the_service_was_stopped_sets_nothing_up() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    end_tracker(router);
    let lock = fs::File::options().append(true).open(router.run_dir().join("mwan3.lock")).expect("a lock");
    // SAFETY: flock takes a live descriptor and no pointers.
    assert_eq!(unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }, 0);
    let mut command = router.mwan3_command();
    command.arg("hotplug").env("ACTION", "ifupdate").env("INTERFACE", "wan").stdin(Stdio::null());
    let child = command.spawn().expect("mwan3 runs");
    let files = Path::new("/proc").join(child.id().to_string()).join("fd");
    assert!(wait_until(PATIENCE, || {
        let open = fs::read_dir(&files).into_iter().flatten().flatten();
        open.map(|file| file.path())
            .any(|file| fs::read_link(file).is_ok_and(|file| file.ends_with("mwan3.lock")))
    }));
    // What a stop leaves to those who come after it.
    fs::remove_dir_all(router.run_dir().join("mwan3")).expect("the state was there");
    drop(lock);
    assert!(child.wait_with_output().expect("it ends").status.success());
    assert_eq!(ours(router), "");
}

#[test]
fn a_refused_table_leaves_the_ways_that_the_old_marks_need() {
    let Some(lab) = started() else { return };
    let router = lab.router();
    let before = ours(router);
    // A table that another program owns takes nothing from us.
    let mut nft = router.namespace().command("nft");
    let mut owner = nft.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("nft runs");
    let mut stdin = owner.stdin.take().expect("a pipe");
    writeln!(stdin, "delete table inet mwan3\nadd table inet mwan3 {{ flags owner; }}").expect("written");
    assert!(wait_until(PATIENCE, || router
        .sh("nft list tables inet; nft list table inet mwan3")
        .contains("owner")));
    router.write_config(&CONFIG.replacen("enabled '1'", "enabled '0'", 1));
    let output = router.mwan3(["reload"]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("Operation not permitted"), "{output}");
    let after = ours(router);
    let is_gone = |line: &&str| !after.lines().any(|held| held == *line);
    assert_eq!(before.lines().filter(is_gone).collect::<Vec<_>>(), [""; 0]);

    drop(stdin);
    owner.wait().expect("it ends");
    assert!(router.mwan3(["reload"]).success());
    assert!(!ours(router).contains("iif wan "), "{}", ours(router));
}
