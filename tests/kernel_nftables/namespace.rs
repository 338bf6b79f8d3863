//! A network namespace of its own for each test, and `nft` in it.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `body` on a new thread in a new namespace, which vanishes with the thread. Children inherit it.
pub fn in_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let outcome = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                // SAFETY: unshare takes no pointers and affects this thread only.
                let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
                let error = std::io::Error::last_os_error();
                assert_eq!(result, 0, "{error}: run as root or under `unshare -Urn`");
                body()
            })
            .join()
    });
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

pub fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().expect("nft must be installed");
    assert!(output.status.success(), "nft {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub fn load_text(text: &str) {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nft must be installed");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("nft reads");
    let output = child.wait_with_output().expect("nft ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

pub fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("installed");
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The ruleset as nft lists it. Elements that the kernel keeps by hash come in any order: sorted here.
pub fn listing() -> Vec<String> {
    nft(&["-s", "list", "ruleset"]).lines().map(with_sorted_elements).collect()
}

/// What the kernel executes, rule by rule.
pub fn instructions() -> Vec<String> {
    let text = nft(&["--debug=netlink", "-s", "list", "ruleset"]);
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with('['));
    // nft asks for bytes to be swapped in numbers of one byte, which does nothing.
    let lines = lines.filter(|line| !(line.contains("byteorder") && line.contains(", 2, 1)")));
    lines.map(without_numbers_of_sets).collect()
}

fn with_sorted_elements(line: &str) -> String {
    let Some((start, rest)) = line.split_once(" { ") else { return line.to_owned() };
    let Some((elements, end)) = rest.rsplit_once(" }") else { return line.to_owned() };
    let mut elements: Vec<&str> = elements.split(", ").collect();
    elements.sort_unstable();
    format!("{start} {{ {} }}{end}", elements.join(", "))
}

fn without_numbers_of_sets(line: &str) -> String {
    match line.split_once("__map").or_else(|| line.split_once("__set")) {
        Some((start, rest)) => format!("{start}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit())),
        None => line.to_owned(),
    }
}
