//! Files that are none, and output that goes nowhere: no command hangs, and none says that all is well.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use mwan3::system::paths;

const PATIENCE: Duration = Duration::from_secs(20);

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("mwan3-odd-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).expect("made");
    path
}

fn mwan3(folder: &PathBuf, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mwan3"));
    command.args(words).env("UCI_CONFIG_DIR", folder).env("MWAN3_RUN_DIR", folder.join("run"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// How it ended; `None` if it had to be ended.
fn ended(mut child: Child) -> Option<ExitStatus> {
    let ended = lab::wait_until(PATIENCE, || child.try_wait().expect("a child").is_some());
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().expect("a child");
    ended.then_some(status)
}

#[test]
fn a_pipe_in_the_place_of_the_configuration_hangs_nothing() {
    let folder = folder("pipe");
    let made = Command::new("mkfifo").arg(folder.join("mwan3")).status().expect("mkfifo");
    assert!(made.success());
    for (words, code) in
        [(&["check"][..], 2), (&["plan"], 1), (&["dump", "/dev/null/no"], 1), (&["status"], 0)]
    {
        let status = ended(mwan3(&folder, words).spawn().expect("started"));
        assert_eq!(status.and_then(|status| status.code()), Some(code), "{words:?}");
    }
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let folder = folder("full");
    fs::write(folder.join("mwan3"), "config interface 'wan'\n").expect("written");
    for words in [&["schema"][..], &["help"], &["version"]] {
        let full = File::options().write(true).open("/dev/full").expect("a full device");
        let status = ended(mwan3(&folder, words).stdout(full).spawn().expect("started"));
        assert_eq!(status.and_then(|status| status.code()), Some(1), "{words:?}");
        // Whoever closes the pipe has seen enough.
        let mut child = mwan3(&folder, words).stdout(Stdio::piped()).spawn().expect("started");
        drop(child.stdout.take());
        let status = ended(child);
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{words:?}");
    }
    let _ = fs::remove_dir_all(folder);
}

/// Several hotplug scripts are the first to need the run directory at boot.
#[test]
fn directories_that_somebody_else_makes_meanwhile_are_as_good_as_our_own() {
    let folder = folder("directories");
    // Making `new` makes `new/..` be there, too.
    paths::make_directory(&folder.join("new/../other")).expect("made");
    assert!(folder.join("new").is_dir() && folder.join("other").is_dir());
    for round in 0..200 {
        let wanted = folder.join(format!("{round}/run/deep"));
        thread::scope(|scope| {
            let makers = [(); 4].map(|()| scope.spawn(|| paths::make_directory(&wanted)));
            for maker in makers {
                maker.join().expect("no panic").expect("made by one of them");
            }
        });
    }
    fs::write(folder.join("file"), "").expect("written");
    for path in ["file", "file/below"] {
        assert!(paths::make_directory(&folder.join(path)).is_err(), "{path}");
    }
    let _ = fs::remove_dir_all(folder);
}
