//! Programs that are started: their words, environment and streams, how they end, and what is said of those that cannot be.

#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mwan3::system::launch::{Launch, fork};

const SOON: Duration = Duration::from_secs(20);

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("mwan3-launch-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn script(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn shell(text: &str) -> Launch {
    let mut shell = Launch::new(OsStr::new("/bin/sh"));
    shell.word("-c");
    shell.word(text);
    shell
}

#[test]
fn an_empty_environment_holds_what_is_set_and_nothing_else() {
    let folder = Folder::new("environment");
    let (script, told) =
        (folder.script("tell", "tr '\\0' '\\n' </proc/$$/environ >$OUT", 0o755), folder.file("told"));
    let mut launch = Launch::with_nothing(script.as_os_str());
    launch.set("PATH", OsStr::new("/usr/bin:/bin"));
    launch.set("NAME", OsStr::new("first"));
    launch.set("NAME2", OsStr::new("= $x"));
    launch.set("OUT", told.as_os_str());
    launch.set("NAME", OsStr::new("last"));
    assert!(launch.status().unwrap().success());
    let out = format!("OUT={}", told.display());
    let mut held: Vec<String> = fs::read_to_string(told).unwrap().lines().map(str::to_owned).collect();
    held.sort();
    assert_eq!(held, ["NAME2== $x", "NAME=last", &out, "PATH=/usr/bin:/bin"]);
}

#[test]
fn our_environment_is_handed_on_with_what_is_set_besides() {
    let mut launch = shell("test \"$CARGO_PKG_NAME:$ADDED\" = mwan3:yes");
    launch.set("ADDED", OsStr::new("yes"));
    assert!(launch.status().unwrap().success());
}

#[test]
fn what_is_fed_arrives_and_complaints_come_back() {
    let (status, complaints) = shell("cat >&2; exit 3").feed(b"two\nlines").unwrap();
    assert_eq!((status.code(), &*complaints), (Some(3), &b"two\nlines"[..]));
    // More than a pipe holds, for one that does not read.
    let (status, complaints) = shell("exec <&-; echo no >&2").feed(&vec![b'x'; 1 << 20]).unwrap();
    assert_eq!((status.code(), &*complaints), (Some(0), &b"no\n"[..]));
}

#[test]
fn how_it_ended_is_said_in_the_usual_words() {
    assert_eq!(shell("exit 7").status().unwrap().to_string(), "exit status: 7");
    assert_eq!(shell("kill -9 $$").status().unwrap().to_string(), "signal: 9 (SIGKILL)");
}

#[test]
fn a_name_without_a_slash_is_looked_for_in_the_path_it_is_given() {
    let (good, refused) = (Folder::new("good"), Folder::new("refused"));
    good.script("mwan3-launch-test", "exit 5", 0o755);
    refused.script("mwan3-launch-test", "exit 6", 0o644);
    let status = |path: String| {
        let mut launch = Launch::with_nothing(OsStr::new("mwan3-launch-test"));
        launch.set("PATH", OsStr::new(&path));
        launch.status().map(|status| status.code())
    };
    let (good, refused) = (good.0.display(), refused.0.display());
    assert_eq!(status(format!("/nowhere:{refused}:{good}")).unwrap(), Some(5));
    assert_eq!(status(format!("{refused}:/nowhere")).unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(status("/nowhere:/etc/passwd".to_owned()).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn what_cannot_be_executed_is_told_and_leaves_nobody_behind() {
    let folder = Folder::new("refusal");
    let refused = folder.script("refused", "exit 0", 0o644);
    let kind = |path: &OsStr| Launch::new(path).status().unwrap_err().kind();
    assert_eq!(kind(refused.as_os_str()), ErrorKind::PermissionDenied);
    assert_eq!(kind(folder.file("missing").as_os_str()), ErrorKind::NotFound);
    assert_eq!(kind(OsStr::new("")), ErrorKind::NotFound);
    assert_eq!(kind(OsStr::new("a\0b")), ErrorKind::InvalidInput);
}

#[test]
fn signals_are_as_a_new_program_expects_them() {
    // Rust's own start ignores SIGPIPE, which is number 13.
    let (status, shown) = shell("exec grep -E 'Sig(Blk|Ign)' /proc/self/status >&2").feed(b"").unwrap();
    let shown = String::from_utf8(shown).unwrap();
    let masks: Vec<u64> =
        shown.split_whitespace().filter_map(|word| u64::from_str_radix(word, 16).ok()).collect();
    assert!(status.success() && masks.len() == 2, "{shown}");
    assert_eq!(masks[0], 0, "{shown}");
    assert_eq!(masks[1] & 1 << 12, 0, "{shown}");
}

#[test]
fn a_group_is_ended_with_all_that_it_started() {
    let folder = Folder::new("group");
    let number = folder.file("number");
    let mut launch = shell(&format!("sleep 1000 & echo $! >{}; wait", number.display()));
    launch.in_own_group();
    let mut child = launch.spawn().unwrap();
    let until = Instant::now() + SOON;
    let sleeper = loop {
        assert!(Instant::now() < until && child.try_wait().is_none());
        let text = fs::read_to_string(&number).unwrap_or_default();
        if let Ok(number) = text.trim().parse::<u32>() {
            break number;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    child.kill_group();
    assert_eq!(child.wait().to_string(), "signal: 9 (SIGKILL)");
    assert_eq!(child.try_wait(), Some(child.wait()));
    // Gone, or a zombie until init has heard of it.
    let is_alive =
        || fs::read_to_string(format!("/proc/{sleeper}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    while is_alive() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_session_of_its_own_works_in_the_root() {
    let mut launch = shell(
        "read -r _ _ _ _ group session _ </proc/$$/stat; \
        test \"$group:$session:$(readlink /proc/$$/cwd)\" = \"$$:$$:/\"",
    );
    launch.in_own_session();
    launch.without_input();
    launch.without_output();
    launch.without_complaints();
    assert!(launch.status().unwrap().success());
}

/// As from a shell, whose place `mwan3 use` takes.
#[test]
fn a_script_that_does_not_say_whose_it_is_takes_our_place_as_the_shells() {
    let folder = Folder::new("plain");
    let script = folder.file("plain-script");
    fs::write(&script, "test \"$0:$1\" = \"$WANTED:a b\" && exit 9\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    for name in [script.as_os_str(), OsStr::new("plain-script")] {
        let mut launch = Launch::new(name);
        launch.set("PATH", OsStr::new(&format!("/nowhere:{}:/usr/bin:/bin", folder.0.display())));
        launch.set("WANTED", script.as_os_str());
        launch.word("a b");
        let Some(mut child) = fork().unwrap() else {
            let _ = launch.execute();
            std::process::abort();
        };
        assert_eq!(child.wait().code(), Some(9), "{}", name.display());
    }
}

/// `mwan3 use` changes nothing about the program but its uplink; nohup and others count on it.
#[test]
fn who_takes_our_place_has_the_signals_that_we_were_given() {
    let mut launch = Launch::new(OsStr::new("grep"));
    launch.words(&["-q".into(), "SigBlk:.*200$".into(), "/proc/self/status".into()]);
    let Some(mut child) = fork().unwrap() else {
        // SAFETY: an all-zero set is a valid value of that plain C type, and the pointers are to a live one.
        unsafe {
            let mut blocked: libc::sigset_t = std::mem::zeroed();
            libc::sigaddset(&raw mut blocked, libc::SIGUSR1);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const blocked, std::ptr::null_mut());
        }
        let _ = launch.execute();
        std::process::abort();
    };
    assert_eq!(child.wait().code(), Some(0));
}
