//! The router under test: its configuration and run directories, and the mwan3 program on it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::host::Host;
use crate::isp::{Isp, expect};
use crate::process::Output;

/// Dereferences to its `Host`, so `router.ping(…)` and `router.sh(…)` work.
#[derive(Debug)]
pub struct Router {
    host: Host,
    directory: Directory,
    program: Option<PathBuf>,
}

impl Router {
    pub(crate) fn new(host: Host, program: Option<PathBuf>) -> io::Result<Router> {
        let program = program.or_else(|| std::env::var_os("MWAN3_BIN").map(PathBuf::from));
        let router = Router { host, directory: Directory::new()?, program };
        fs::create_dir(router.config_dir())?;
        fs::create_dir(router.run_dir())?;
        Ok(router)
    }

    /// A temporary directory of this laboratory, removed with it.
    pub fn directory(&self) -> &Path {
        &self.directory.0
    }

    /// UCI_CONFIG_DIR
    pub fn config_dir(&self) -> PathBuf {
        self.directory.0.join("config")
    }

    /// MWAN3_RUN_DIR
    pub fn run_dir(&self) -> PathBuf {
        self.directory.0.join("run")
    }

    /// Replaces the mwan3 configuration.
    #[track_caller]
    pub fn write_config(&self, text: &str) {
        self.write_config_file("mwan3", text);
    }

    /// Replaces another UCI file, such as "network"; like `uci commit`, never half.
    #[track_caller]
    pub fn write_config_file(&self, name: &str, text: &str) {
        let half = self.config_dir().join(format!(".{name}.half"));
        expect(fs::write(&half, text));
        expect(fs::rename(half, self.config_dir().join(name)));
    }

    /// Runs mwan3 to its end.
    #[track_caller]
    pub fn mwan3<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        let mut command = self.mwan3_command();
        command.args(arguments);
        // What it leaves in the background must not hold the pipes that we read to their end.
        Output::of_daemon(&mut command, self.directory())
    }

    /// mwan3 with its directories set, inside the router, to be started as the caller likes.
    #[track_caller]
    pub fn mwan3_command(&self) -> Command {
        let Some(program) = &self.program else {
            panic!("which mwan3? Give Builder::mwan3(path) or set MWAN3_BIN");
        };
        let mut command = self.host.command(program);
        command.env("UCI_CONFIG_DIR", self.config_dir()).env("MWAN3_RUN_DIR", self.run_dir());
        command
    }

    /// Forwards a port of an uplink's address to a host of the LAN, TCP and UDP.
    #[track_caller]
    pub fn forward_port(&self, isp: &Isp, port: u16, to: &str) {
        let Ok(target) = to.parse::<SocketAddr>() else { panic!("{to} is no address:port") };
        let (outer, inner) = if target.is_ipv4() { ("ipv4", "ip") } else { ("ipv6", "ip6") };
        let device = isp.device();
        expect(self.host.nft(&format!(
            "add rule inet fw4 dstnat iifname {device} meta nfproto {outer} th dport {port} \
             meta l4proto {{ tcp, udp }} dnat {inner} to {target}"
        )));
    }
}

impl Deref for Router {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Directory> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mwan3-lab-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Directory(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
