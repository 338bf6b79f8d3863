//! Files that are none, and output that goes nowhere: no command hangs, and none says that all is well.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

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

#[test]
fn a_caller_who_ignores_its_children_hides_none_of_ours() {
    let folder = folder("children");
    let scripts = folder.join("scripts");
    fs::create_dir(&scripts).expect("made");
    let script = scripts.join("tell");
    fs::write(&script, "#!/bin/sh\n").expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("executable");
    let alert = format!("config alert 'a'\n\toption method 'scripts'\n\tlist to '{}'\n", scripts.display());
    fs::write(folder.join("mwan3"), alert).expect("written");
    let mut command = mwan3(&folder, &["notify", "test"]);
    // SAFETY: between fork and exec; signal takes no pointers.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
            Ok(())
        });
    }
    let status = ended(command.spawn().expect("started"));
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    let _ = fs::remove_dir_all(folder);
}
