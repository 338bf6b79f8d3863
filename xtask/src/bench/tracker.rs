//! What the tracker costs while nothing happens: memory, and CPU time with the probing that the shell
//! package ships.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use lab::{Lab, wait_until};

use super::sizes::Size;
use crate::process::{Background, status_kib};

/// Two rounds of probes at their interval of 10 seconds.
const WINDOW: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug)]
pub struct Idle {
    pub uplinks: usize,
    pub rss_kib: u64,
    /// The part that no other process can share.
    pub anonymous_kib: u64,
    pub cpu_ms_per_minute: f64,
}

pub fn idle(program: &Path, uplinks: usize) -> io::Result<Idle> {
    let lab = Lab::builder().uplinks(uplinks).ipv6(false).mwan3(program).build()?;
    lab.router().write_config(&Size::new(uplinks, 4).tracked_config());
    let started = lab.router().mwan3(["start", "--no-track"]);
    if !started.success() {
        return Err(io::Error::other(format!("mwan3 start: {started}")));
    }
    let mut command = lab.router().mwan3_command();
    let mut tracker = Background(command.arg("track").stdin(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let last =
        lab.router().run_dir().join("mwan3track").join(lab::address::default_device(uplinks)).join("TURN");
    let turn =
        || fs::read_to_string(&last).ok().and_then(|text| text.trim().parse::<u32>().ok()).unwrap_or(0);
    if !wait_until(Duration::from_secs(30), || turn() > 0) {
        return Err(io::Error::other("the tracker probes nothing"));
    }
    let id = tracker.0.id() as i32;
    let before = cpu_of(id)?;
    std::thread::sleep(WINDOW);
    let spent = cpu_of(id)? - before;
    if let Some(status) = tracker.0.try_wait()? {
        return Err(io::Error::other(format!("the tracker ended: {status}")));
    }
    Ok(Idle {
        uplinks,
        rss_kib: status_kib(id, "VmRSS"),
        anonymous_kib: status_kib(id, "RssAnon"),
        cpu_ms_per_minute: spent.as_secs_f64() * 1000.0 * 60.0 / WINDOW.as_secs_f64(),
    })
}

/// To the nanosecond: the clock ticks of /proc/ID/stat are too coarse.
pub fn cpu_of(id: i32) -> io::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{id}/schedstat"))?;
    let first = text.split_whitespace().next().and_then(|number| number.parse().ok());
    first.map(Duration::from_nanos).ok_or_else(|| io::Error::other("no CPU time in schedstat"))
}
