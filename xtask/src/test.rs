//! `cargo xtask test`: what decides whether a change is good. A kernel test that cannot run is a failure.
//! Who is not root runs the tests as root of a user namespace.

use std::process::Command;
use std::time::Instant;

use crate::tools::{FOR_FUZZ, FOR_TESTS, cargo, is_root, provide, run};
use crate::{demo, fuzz};

/// Enough to replay the seeds and to meet what a careless change breaks; `cargo xtask fuzz` is for more.
const FUZZ_SECONDS: u32 = 10;
/// Maps us to root, with network and mounts of our own.
const NAMESPACE: &str = "unshare -Urnm";

pub fn from_arguments(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [] => run_all(true),
        [only] if only == "--without-pages" => run_all(false),
        _ => Err("usage: cargo xtask test [--without-pages]".to_owned()),
    }
}

fn run_all(with_pages: bool) -> Result<(), String> {
    provide(&[FOR_TESTS, FOR_FUZZ].concat())?;
    step("format", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("lints", || {
        let arguments = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
        run(&mut cargo(&arguments))
    })?;
    step("tests", run_tests)?;
    if with_pages {
        step("pages", run_page_tests)?;
    }
    step("fuzz", || fuzz::run_all(FUZZ_SECONDS))?;
    // The program as it is shipped, in its main part.
    step("demo", || demo::run(&["--fast".to_owned()]))
}

/// In a process of its own, which may enter a namespace.
fn run_page_tests() -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| format!("our own path: {error}"))?;
    run(Command::new(own).arg("web-test"))
}

fn run_tests() -> Result<(), String> {
    run(&mut kernel_tests(&["--workspace", "--no-fail-fast"])?)
}

/// `cargo test` where a kernel test that cannot run is a failure. Building happens outside of the namespace, which
/// has no way to a registry.
pub fn kernel_tests(arguments: &[&str]) -> Result<Command, String> {
    let mut command = cargo(&["test"]);
    command.args(arguments).env("MWAN3_KERNEL_TESTS", "required");
    if !is_root() {
        namespaces_work()?;
        command.env(runner_variable()?, NAMESPACE);
    }
    Ok(command)
}

fn namespaces_work() -> Result<(), String> {
    let mut words = NAMESPACE.split(' ').chain(["ip", "link", "add", "type", "veth"]);
    let status = Command::new(words.next().unwrap_or_default())
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(words)
        .status();
    if status.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    Err("kernel tests need root, or a kernel that gives every user namespaces: \
         sysctl kernel.unprivileged_userns_clone and user.max_user_namespaces"
        .to_owned())
}

/// Where cargo looks for the program that runs test binaries.
fn runner_variable() -> Result<String, String> {
    let host = crate::tools::host()?.to_uppercase().replace(['-', '.'], "_");
    Ok(format!("CARGO_TARGET_{host}_RUNNER"))
}

fn step(name: &str, action: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    eprintln!("xtask: == {name}");
    let outcome = action();
    let word = if outcome.is_ok() { "passed" } else { "FAILED" };
    eprintln!("xtask: == {name} {word} after {} s", start.elapsed().as_secs());
    outcome
}
