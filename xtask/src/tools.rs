//! Programs the tests and the demo run: installed when we are root on Debian, named otherwise.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Program, or file by its whole path, and the Debian package that has it.
pub const FOR_TESTS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("unshare", "util-linux"),
    ("busybox", "busybox-static"),
    ("dash", "dash"),
    ("flock", "util-linux"),
    ("make", "make"),
    ("ping", "iputils-ping"),
    ("python3", "python3"),
    ("curl", "curl"),
    ("kill", "procps"),
    ("dnsmasq", "dnsmasq-base"),
    ("dhclient", "isc-dhcp-client"),
    // Protocol names, for ip and nft.
    ("/etc/protocols", "netbase"),
];
/// Node 18 and Chromium are all the tests of the pages need: no package of npm's.
pub const FOR_PAGES: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("unshare", "util-linux"),
    ("node", "nodejs"),
    ("chromium", "chromium"),
];
pub const FOR_FUZZ: &[(&str, &str)] = &[("c++", "g++")];
pub const FOR_DEMO: &[(&str, &str)] = &[("ip", "iproute2"), ("nft", "nftables"), ("unshare", "util-linux")];
pub const FOR_BENCH: &[(&str, &str)] =
    &[("ip", "iproute2"), ("nft", "nftables"), ("unshare", "util-linux"), ("conntrack", "conntrack")];

pub fn provide(wanted: &[(&str, &str)]) -> Result<(), String> {
    let missing = || wanted.iter().filter(|(program, _)| !is_there(program)).collect::<Vec<_>>();
    let packages: Vec<&str> = missing().iter().map(|(_, package)| *package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let hint = format!("missing programs; install with: apt-get install {}", packages.join(" "));
    if !is_root() || !is_there("apt-get") {
        return Err(hint);
    }
    eprintln!("xtask: installing {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        let status =
            Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
        status.is_ok_and(|status| status.success())
    };
    // Old lists may name packages that are gone: a failed update only matters if the install fails, too.
    apt(&["update", "-qq"]);
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&packages);
    apt(&install);
    if missing().is_empty() { Ok(()) } else { Err(hint) }
}

pub fn is_root() -> bool {
    // The owner of our own /proc entry is who we are.
    std::fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    // A whole path stays what it is.
    places.into_iter().any(|place| place.join(program).is_file())
}

pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Runs a command from the workspace and fails with its words if it fails.
pub fn run(command: &mut Command) -> Result<(), String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let shown = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    eprintln!("xtask: {shown}");
    let status = command.current_dir(workspace()).status().map_err(|error| format!("{shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("failed: {shown}")) }
}

pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments);
    command
}

/// Builds mwan3 as it is shipped and tells where it is: beside the directory we were built in ourselves.
pub fn build_release() -> Result<PathBuf, String> {
    build("release", &["--release"])
}

/// Builds mwan3 as the tests have built it already.
pub fn build_debug() -> Result<PathBuf, String> {
    build("debug", &[])
}

fn build(folder: &str, flags: &[&str]) -> Result<PathBuf, String> {
    run(cargo(&["build", "--quiet", "--package", "mwan3"]).args(flags))?;
    let own = std::env::current_exe().map_err(|error| format!("our own path: {error}"))?;
    let target = own.parent().and_then(Path::parent).ok_or("we stand in no directory of cargo's")?;
    let program = target.join(folder).join("mwan3");
    if program.is_file() { Ok(program) } else { Err(format!("no {}", program.display())) }
}

/// The compiler's name for this machine.
pub fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().map_err(|error| format!("rustc: {error}"))?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = words.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc does not tell its host".to_owned())
}
