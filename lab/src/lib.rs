//! A multi-WAN laboratory in network namespaces: client, router, ISPs, internet.
//!
//! Works as root and, unprivileged, under `unshare -Urnm`. Nothing in it has a global name, so
//! laboratories run side by side, and all of it vanishes with the process. See `Lab`.
//!
//! ```no_run
//! let lab = lab::Lab::builder().uplinks(2).build()?;
//! let stream = lab.client().udp("1.1.1.1", 4000).per_second(200).start();
//! lab.isp(1).blackhole();
//! lab.router().sh("ip route del default dev wan");
//! println!("{}", stream.stop()); // wan 3, wanb 17, refused 0, lost 2
//! # Ok::<(), std::io::Error>(())
//! ```

pub mod address;
mod engine;
mod fault;
mod flow;
mod host;
mod isp;
mod listener;
mod namespace;
mod packet;
mod process;
mod relay;
mod router;
mod sys;
mod tap;
mod topology;
mod wiring;

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

pub use flow::{FlowReport, Flows, Kind, Outcome, Sample, Stream};
pub use host::Host;
pub use isp::Isp;
pub use listener::{DNS_A, DNS_AAAA, Labels, Service};
pub use namespace::Namespace;
pub use packet::{Packet, Protocol};
pub use process::{Background, Output};
pub use router::Router;
pub use tap::Fate;
pub use topology::{Builder, Lab};

/// Tells the re-executed program that it has been through `enter_unprivileged`.
const ENTERED: &str = "MWAN3_LAB_ENTERED";

/// Waits until the condition holds; false if it still does not when the time is over.
pub fn wait_until(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Which of the programs are not installed. All but conntrack are needed.
pub fn missing_tools() -> Vec<&'static str> {
    let path = process::search_path();
    let exists = |tool: &str| path.split(':').any(|directory| Path::new(directory).join(tool).is_file());
    ["ip", "nft", "conntrack"].into_iter().filter(|tool| !exists(tool)).collect()
}

/// Whether a laboratory can be built here. Else says why on stderr — or panics if
/// MWAN3_KERNEL_TESTS=required, for then a skipped test is a failed one.
pub fn is_available() -> bool {
    let reason = match (missing_tools().first(), Namespace::new("probe")) {
        (Some(tool), _) if *tool != "conntrack" => format!("{tool} is not installed"),
        (_, Err(error)) => error.to_string(),
        _ => return true,
    };
    let is_required = std::env::var("MWAN3_KERNEL_TESTS").is_ok_and(|value| value == "required");
    assert!(!is_required, "no laboratory: {reason}");
    eprintln!("skipped: {reason}");
    false
}

/// Re-executes the running program inside `unshare -Urnm` if it may not make network namespaces.
/// Call it first in `main`, before there are threads. Returns if all is well, or why it is not.
pub fn enter_unprivileged() -> io::Result<()> {
    let may = std::thread::spawn(sys::unshare_network).join();
    if sys::effective_user_is_root() && matches!(may, Ok(Ok(()))) {
        return Ok(());
    }
    if std::env::var_os(ENTERED).is_some() {
        return Err(io::Error::other("even inside `unshare -Urnm` no network namespace can be made"));
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["-Urnm", "--"]).arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    let error = unshare.env(ENTERED, "1").exec();
    Err(io::Error::new(error.kind(), format!("unshare: {error}")))
}
