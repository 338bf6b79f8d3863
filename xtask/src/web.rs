//! `cargo xtask web-test`: the pages of luci-app/ in Chromium. Some tests invent their router; those of real.test.mjs
//! run inside the router of a laboratory, with the real program behind the pages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::{Lab, wait_until};

use crate::process::Background;
use crate::tools::{FOR_PAGES, build_debug, provide, run, workspace};

const CONFIG: &str = include_str!("web/mwan3");
const OLDEST_NODE: u32 = 18;
const PATIENCE: Duration = Duration::from_secs(30);

pub fn run_tests() -> Result<(), String> {
    provide(FOR_PAGES)?;
    check_node()?;
    let program = build_debug()?;
    lab::enter_unprivileged().map_err(|error| error.to_string())?;
    let lab = Lab::builder().uplinks(2).mwan3(&program).build().map_err(|error| error.to_string())?;
    let router = lab.router();
    router.write_config(CONFIG);
    let _tracker = start(&lab)?;
    let tests = workspace().join("luci-app/tests");
    let mut command = router.command("node");
    command.arg("--test").args(files(&tests)?).env("MWAN3_BIN", &program);
    command.env("UCI_CONFIG_DIR", router.config_dir()).env("MWAN3_RUN_DIR", router.run_dir());
    eprintln!("xtask: pictures of the pages go to {}", tests.join("pictures").display());
    run(&mut command)
}

/// By name: what `node --test FOLDER` means depends on its version.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.to_string_lossy().ends_with(".test.mjs")).collect();
    files.sort();
    Ok(files)
}

fn check_node() -> Result<(), String> {
    let output = Command::new("node").arg("--version").output().map_err(|error| format!("node: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let major: Option<u32> =
        text.trim().trim_start_matches('v').split('.').next().and_then(|word| word.parse().ok());
    match major {
        Some(major) if major >= OLDEST_NODE => Ok(()),
        _ => Err(format!("node {OLDEST_NODE} or newer is needed, this is {}", text.trim())),
    }
}

/// The rules, then the tracker, and both uplinks online.
fn start(lab: &Lab) -> Result<Background, String> {
    let router = lab.router();
    let started = router.mwan3(["start", "--no-track"]);
    if !started.success() {
        return Err(format!("mwan3 start: {started}"));
    }
    let mut command = router.mwan3_command();
    command.arg("track").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let tracker = Background(command.spawn().map_err(|error| format!("mwan3 track: {error}"))?);
    let is_online = |name: &str| router.mwan3(["history", name]).stdout.contains("is online");
    if wait_until(PATIENCE, || ["wan", "wanb"].iter().all(|name| is_online(name))) {
        Ok(tracker)
    } else {
        Err("the tracker does not find both uplinks online".to_owned())
    }
}
