//! `cargo xtask fuzz [--seconds N] [TARGET…]`: builds the targets of fuzz/ with the stable toolchain and runs
//! them from fresh seeds and whatever corpus is there. A find is a failure and stays in fuzz/artifacts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

use crate::tools::{FOR_FUZZ, cargo, host, provide, run, workspace};

const TARGETS: [&str; 8] = ["uci", "plan", "netlink", "nfnetlink", "ubus", "probe", "network_json", "texts"];
const SECONDS: u32 = 60;

/// What `cargo fuzz -s none` passes: coverage for libFuzzer, no sanitizer, hence no nightly compiler.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

/// Longer inputs find nothing that shorter ones do not, but cost time.
const LONGEST_INPUT: u32 = 16_384;
/// On a machine that is busy with other builds, too.
const SLOWEST_INPUT_S: u32 = 30;
const MOST_MEMORY_MB: u32 = 1_024;

pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (mut seconds, mut targets) = (SECONDS, Vec::new());
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), TARGETS.iter().find(|target| **target == argument)) {
            ("--seconds", _) => {
                let number = arguments.next().and_then(|number| number.parse().ok());
                seconds = number.ok_or("--seconds wants a number")?;
            }
            (_, Some(target)) => targets.push(*target),
            _ => return Err(format!("unknown target '{argument}'; there are: {}", TARGETS.join(" "))),
        }
    }
    let targets = if targets.is_empty() { TARGETS.to_vec() } else { targets };
    run_targets(seconds, &targets)
}

pub fn run_all(seconds: u32) -> Result<(), String> {
    run_targets(seconds, &TARGETS)
}

fn run_targets(seconds: u32, targets: &[&'static str]) -> Result<(), String> {
    provide(FOR_FUZZ)?;
    let folder = workspace().join("fuzz");
    let programs = build(&folder)?;
    let queue = Mutex::new(targets.iter());
    let finds = Mutex::new(Vec::new());
    let work = || {
        while let Some(target) = queue.lock().ok().and_then(|mut queue| queue.next()) {
            match run_target(&folder, &programs, target, seconds) {
                Ok(summary) => eprintln!("xtask: fuzz {target}: {summary}"),
                Err(find) => finds.lock().map(|mut finds| finds.push(find)).unwrap_or_default(),
            }
        }
    };
    let workers = thread::available_parallelism().map_or(1, usize::from).min(targets.len());
    thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let finds = finds.into_inner().unwrap_or_default();
    if finds.is_empty() {
        println!("fuzz result: ok. {} targets, {seconds} s each, no finds", targets.len());
        Ok(())
    } else {
        println!("fuzz result: FAILED. {} of {} targets with finds", finds.len(), targets.len());
        Err(finds.join("\n"))
    }
}

/// The folder of the built targets. With `--target`, build scripts and macros are spared the flags.
fn build(folder: &Path) -> Result<PathBuf, String> {
    let host = host()?;
    let manifest = folder.join("Cargo.toml");
    let manifest = manifest.to_str().ok_or("the path of the tree is not text")?;
    let target_folder = folder.join("target");
    let mut command = cargo(&["build", "--quiet", "--release", "--locked", "--target", &host]);
    run(command
        .args(["--manifest-path", manifest])
        .env("CARGO_TARGET_DIR", &target_folder)
        .env("RUSTFLAGS", FLAGS))?;
    Ok(target_folder.join(&host).join("release"))
}

fn run_target(folder: &Path, programs: &Path, target: &str, seconds: u32) -> Result<String, String> {
    let [corpus, artifacts] = ["corpus", "artifacts"].map(|kind| folder.join(kind).join(target));
    fs::create_dir_all(&artifacts).map_err(|error| format!("{}: {error}", artifacts.display()))?;
    let program = programs.join(target);
    let seeded = output(Command::new(&program).env("MWAN3_FUZZ_SEEDS", &corpus))?;
    if !seeded.status.success() {
        return Err(format!("{target}: no seeds: {}", tail(&seeded)));
    }
    let mut command = Command::new(&program);
    command.arg(&corpus);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-max_len={LONGEST_INPUT}"));
    command.arg(format!("-timeout={SLOWEST_INPUT_S}"));
    command.arg(format!("-rss_limit_mb={MOST_MEMORY_MB}"));
    if ["uci", "plan"].contains(&target) {
        command.arg(format!("-dict={}", folder.join("configuration.dict").display()));
    }
    let ended = output(&mut command)?;
    if !ended.status.success() {
        return Err(format!("fuzz {target}: a find\n{}", tail(&ended)));
    }
    let words = String::from_utf8_lossy(&ended.stderr).into_owned();
    let done = words.lines().rev().find(|line| line.contains("DONE")).unwrap_or("no summary");
    Ok(done.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn output(command: &mut Command) -> Result<Output, String> {
    command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))
}

/// The panic and the name of the input that made it stand at the end.
fn tail(output: &Output) -> String {
    const LINES: usize = 60;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = words.lines().collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
}
