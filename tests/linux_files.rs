//! What ships for plain Linux beside the program: the service unit, the completion of the shell.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mwan3::{config, uci};

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("files/linux")
}

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn the_service_unit_is_understood_and_keeps_the_service_in_a_small_box() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let unit = files().join("lib/systemd/system/mwan3.service");
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let other: Vec<&str> = complaints
        .lines()
        .filter(|line| line.contains("mwan3.service") && !line.contains("/usr/sbin/mwan3 is not executable"))
        .collect();
    assert!(other.is_empty(), "{complaints}");
    // 10 is a service that may do everything, 0 one that may do nothing.
    let mut security = Command::new("systemd-analyze");
    let output = security.args(["security", "--offline=yes", "--threshold=40"]).arg(&unit).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_shipped_configuration_does_nothing_and_becomes_a_good_one_without_its_comment_signs() {
    let text = fs::read_to_string(files().join("etc/config/mwan3")).unwrap();
    let read = |text: &str| config::read(&uci::parse("mwan3", text.as_bytes()), "mwan3");
    let (nothing, problems) = read(&text);
    assert_eq!(problems, []);
    assert!(nothing.interfaces.is_empty() && nothing.rules.is_empty());
    let example: String = text
        .lines()
        .filter_map(|line| line.strip_prefix('#'))
        .filter(|line| line.starts_with("config") || line.starts_with('\t'))
        .map(|line| format!("{line}\n"))
        .collect();
    let (example, problems) = read(&example);
    assert_eq!(problems, []);
    assert_eq!((example.interfaces.len(), example.rules.len()), (2, 1));
}

/// What bash offers when the last of these words is completed.
fn offered(words: &[&str]) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli");
    let script = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _mwan3
        [ ${#COMPREPLY[@]} = 0 ] || printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script, "bash"]);
    bash.arg(files().join("usr/share/bash-completion/completions/mwan3"));
    let output = bash.args(words).env("UCI_CONFIG_DIR", folder).output().unwrap();
    assert!(output.stderr.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn bash_completes_every_command_of_the_help() {
    if !is_installed("bash") {
        return;
    }
    let help = Command::new(env!("CARGO_BIN_EXE_mwan3")).arg("help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands =
        help.lines().skip_while(|line| *line != "Available commands:").take_while(|line| *line != "Options:");
    let verbs: BTreeSet<String> = commands
        .filter(|line| line.len() > 25 && !line.starts_with(' '))
        .filter_map(|line| line.split([' ', ',']).next())
        .map(str::to_owned)
        .collect();
    assert!(verbs.len() > 20, "{verbs:?}");
    assert_eq!(offered(&["mwan3", ""]), verbs);
    assert_eq!(offered(&["mwan3", "ev"]), set(&["events"]));
    assert_eq!(offered(&["mwan3", "--strict", "resta"]), set(&["restart"]));
}

#[test]
fn bash_completes_interfaces_and_options_where_they_belong() {
    if !is_installed("bash") {
        return;
    }
    let interfaces = set(&["wan", "wan6", "wanb", "wanb6", "wan3"]);
    for verb in ["ifup", "ifdown", "use", "history", "test"] {
        assert_eq!(offered(&["mwan3", verb, ""]), interfaces, "{verb}");
    }
    assert_eq!(offered(&["mwan3", "ifdown", "wanb"]), set(&["wanb", "wanb6"]));
    assert_eq!(offered(&["mwan3", "ifdown", "wan", ""]), set(&[]));
    assert_eq!(offered(&["mwan3", "check", "--f"]), set(&["--fix"]));
    assert_eq!(offered(&["mwan3", "plan", "--d"]), set(&["--diff"]));
    assert_eq!(offered(&["mwan3", "internal", ""]), set(&["ipv4", "ipv6"]));
    // Behind the interface comes a command of the machine.
    assert!(offered(&["mwan3", "use", "wan", "tru"]).contains("true"));
}
