//! `cargo xtask demo`: a router with two ISPs runs the real program, a client opens new connections all the
//! time, and one ISP dies in two ways. Shows live where the flows go, then how long the switch took.

mod story;
mod streams;
mod summary;
mod view;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use lab::{Lab, wait_until};

use story::Story;

use crate::process::Background;
use crate::tools::{FOR_DEMO, build_release, provide};

const CONFIG: &str = include_str!("demo/mwan3");

pub fn run(arguments: &[String]) -> Result<(), String> {
    let is_fast = match arguments {
        [] => false,
        [only] if only == "--fast" => true,
        _ => return Err("usage: cargo xtask demo [--fast]".to_owned()),
    };
    provide(FOR_DEMO)?;
    let program = build_release()?;
    lab::enter_unprivileged().map_err(|error| {
        format!(
            "{error}\nthe demo needs root, or user namespaces (sysctl kernel.unprivileged_userns_clone=1)"
        )
    })?;
    let lab = build(&program)?;
    let _tracker = start(&lab)?;
    let told = Story::new(&lab, is_fast).tell();
    print!("{}", summary::table(&told));
    drop(lab);
    summary::judge(&told)
}

fn build(program: &Path) -> Result<Lab, String> {
    eprintln!("demo: client, router, two ISPs and an internet, in namespaces of their own");
    let lab = Lab::builder().uplinks(2).mwan3(program).build().map_err(|error| error.to_string())?;
    lab.router().write_config(CONFIG);
    Ok(lab)
}

/// The rules, then the tracker; both are what a router runs.
fn start(lab: &Lab) -> Result<Background, String> {
    let router = lab.router();
    let started = router.mwan3(["start", "--no-track"]);
    if !started.success() {
        return Err(format!("mwan3 start: {started}"));
    }
    let log =
        std::fs::File::create(router.directory().join("track.log")).map_err(|error| error.to_string())?;
    let mut command = router.mwan3_command();
    command.arg("track").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let tracker = Background(command.spawn().map_err(|error| format!("mwan3 track: {error}"))?);
    let is_ready = || ["wan", "wanb", "wan6", "wanb6"].iter().all(|name| view::state(lab, name) == "online");
    if wait_until(Duration::from_secs(20), || is_ready() && router.mwan3(["events"]).success()) {
        return Ok(tracker);
    }
    let log = std::fs::read_to_string(router.directory().join("track.log")).unwrap_or_default();
    Err(format!("the tracker does not find all uplinks online:\n{log}"))
}
