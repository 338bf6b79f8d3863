//! The files we share with people, scripts and ourselves: configuration, the run directory, status files,
//! the lock. Paths and formats are a contract (docs/marks-and-tables.md); everything is written atomically.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Config, Interface};
use crate::health::Damped;
use crate::mark::MarkMask;
use crate::plan::{Health, TierInUse, Verdict};

use super::clock::{after, since_boot};
use super::paths::{exists, make_directory, read, read_file, remove_all, text_of};
use super::poll::pause;
use super::process::variable;

const CONFIG_DIR: &str = "/etc/config";
const RUN_DIR: &str = "/var/run";
/// It is held for milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_STEP: Duration = Duration::from_millis(2);
/// Uncommitted changes of uci, and its state overlay: the shell loader sees both.
const DELTA_DIRS: [&str; 2] = ["/tmp/.uci", "/var/state"];

#[derive(Clone, Debug)]
pub struct Directories {
    config: PathBuf,
    run: PathBuf,
    deltas: Vec<PathBuf>,
}

impl Directories {
    /// `UCI_CONFIG_DIR` and `MWAN3_RUN_DIR` move the directories; a moved configuration has no overlays but
    /// the one in `UCI_DELTA_DIR`.
    pub fn from_environment() -> Directories {
        let moved = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let config = moved("UCI_CONFIG_DIR");
        let deltas = match (moved("UCI_DELTA_DIR"), &config) {
            (Some(delta), _) => vec![delta],
            (None, Some(_)) => Vec::new(),
            (None, None) => DELTA_DIRS.map(PathBuf::from).to_vec(),
        };
        Directories {
            config: config.unwrap_or_else(|| CONFIG_DIR.into()),
            run: moved("MWAN3_RUN_DIR").unwrap_or_else(|| RUN_DIR.into()),
            deltas,
        }
    }

    pub fn config_file(&self, package: &str) -> PathBuf {
        self.config.join(package)
    }

    /// A configuration and its overlays, in the order they apply. A missing overlay is an empty one.
    pub fn config_texts(&self, package: &str) -> io::Result<(Vec<u8>, Vec<Vec<u8>>)> {
        let text = read_file(&self.config_file(package))?;
        let mut overlays = Vec::new();
        for directory in &self.deltas {
            overlays.extend(read_file(&directory.join(package)));
        }
        Ok((text, overlays))
    }

    pub fn run_path(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// `/var/run/mwan3`: while it holds the mask, the service runs.
    pub fn state(&self) -> PathBuf {
        self.run.join("mwan3")
    }

    #[inline(never)]
    fn state_file(&self, name: &str) -> PathBuf {
        self.state().join(name)
    }

    #[inline(never)]
    fn state_of(&self, folder: &str, interface: &str) -> PathBuf {
        self.state_file(folder).join(interface)
    }

    pub fn tracking(&self, interface: &str) -> PathBuf {
        self.run.join("mwan3track").join(interface)
    }

    fn interface_state(&self, interface: &str) -> PathBuf {
        self.state_of("iface_state", interface)
    }

    /// There while `mwan3 ifdown` holds and netifd has not brought the interface up anew.
    fn taken_down(&self, interface: &str) -> PathBuf {
        self.state_of("taken_down", interface)
    }

    /// As the first attempt to load a table has shown; forgotten at a stop.
    pub fn lacks_nat(&self) -> bool {
        exists(&self.state_file("no_nat"))
    }

    pub fn note_lack_of_nat(&self) -> io::Result<()> {
        write_atomically(&self.state_file("no_nat"), "")
    }

    pub fn is_running(&self) -> bool {
        exists(&self.state_file("mmx_mask"))
    }

    pub fn mark_running(&self, mask: MarkMask) -> io::Result<()> {
        make_directory(&self.state_file("iface_state"))?;
        write_atomically(&self.state_file("mmx_mask"), &format!("{mask}\n"))
    }

    pub fn remove_state(&self) -> io::Result<()> {
        for directory in [self.state(), self.run.join("mwan3track")] {
            match remove_all(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// What is written about each interface; nothing written means nobody has judged it yet.
    pub fn health(&self, config: &Config) -> Health {
        let verdict = |one: &Interface| Some((one.name.clone(), self.verdict(one)?));
        let mut health: Health = config.interfaces.iter().filter_map(verdict).collect();
        let text = text_of(&self.policy_tiers());
        for line in text.lines() {
            health.tiers.extend(TierInUse::parse(line));
        }
        health
    }

    /// Which tier each policy with a `hold` uses, and since when it waits for another.
    fn policy_tiers(&self) -> PathBuf {
        self.state_file("policy_tiers")
    }

    pub fn write_policy_tiers(&self, tiers: &[TierInUse]) -> io::Result<()> {
        let mut text = String::new();
        for tier in tiers {
            let _ = writeln!(text, "{tier}");
        }
        write_atomically(&self.policy_tiers(), &text)
    }

    fn verdict(&self, interface: &Interface) -> Option<Verdict> {
        let name = &*interface.name;
        if exists(&self.taken_down(name)) {
            return Some(Verdict::TakenDown);
        }
        let is_waiting =
            || interface.failback.is_set() && self.read_damping(name).is_some_and(|known| known.is_waiting);
        match self.read_interface_state(name)?.as_str() {
            "online" if is_waiting() => Some(Verdict::OnProbation),
            "online" => Some(Verdict::Online),
            _ => Some(Verdict::Offline),
        }
    }

    pub fn read_interface_state(&self, interface: &str) -> Option<String> {
        read_line(&self.interface_state(interface))
    }

    pub fn write_interface_state(&self, interface: &str, is_online: bool) -> io::Result<()> {
        let path = self.interface_state(interface);
        let text = if is_online { "online\n" } else { "offline\n" };
        if read(&path).is_ok_and(|held| held == text.as_bytes()) {
            return Ok(());
        }
        write_atomically(&path, text)
    }

    /// Connections that a policy lets go on for a while, in the tracker's own words.
    fn draining(&self) -> PathBuf {
        self.state_file("draining")
    }

    pub fn read_draining(&self) -> String {
        text_of(&self.draining())
    }

    pub fn write_draining(&self, text: &str) -> io::Result<()> {
        write_atomically(&self.draining(), text)
    }

    /// How an interface with a `failback_…` option stands; nothing written means it has not failed yet.
    fn damping(&self, interface: &str) -> PathBuf {
        self.state_of("failback", interface)
    }

    pub fn read_damping(&self, interface: &str) -> Option<Damped> {
        Damped::parse(&read_line(&self.damping(interface))?)
    }

    /// Nothing is written of one that never failed.
    pub fn write_damping(&self, interface: &str, damped: Damped) -> io::Result<()> {
        if damped == Damped::default() {
            let _ = fs::remove_file(self.damping(interface));
            return Ok(());
        }
        write_atomically(&self.damping(interface), &format!("{damped}\n"))
    }

    pub fn take_down(&self, interface: &Interface) -> io::Result<()> {
        write_atomically(&self.taken_down(&interface.name), "")?;
        self.write_interface_state(&interface.name, false)
    }

    /// Back to what the tracker last found, or to the configured initial state.
    pub fn bring_back(&self, interface: &Interface) -> io::Result<()> {
        self.allow(&interface.name)?;
        let tracked = read_line(&self.tracking(&interface.name).join("STATUS"));
        let starts_online = interface.tracking.targets.is_empty() || interface.tracking.initially_online;
        self.write_interface_state(&interface.name, starts_online || tracked.as_deref() == Some("online"))
    }

    /// `mwan3 ifdown` no longer holds.
    pub fn allow(&self, interface: &str) -> io::Result<()> {
        match fs::remove_file(self.taken_down(interface)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// There while `mwan3 drill` takes the interface as one that does not work.
    pub fn drill_note(&self, interface: &str) -> PathBuf {
        self.tracking(interface).join("DRILL")
    }

    /// Of an interface that is no longer configured nothing stays.
    pub fn forget(&self, interface: &str) {
        let _ = remove_all(&self.tracking(interface));
        let _ = fs::remove_file(self.interface_state(interface));
        let _ = fs::remove_file(self.taken_down(interface));
        let _ = fs::remove_file(self.damping(interface));
        let _ = fs::remove_file(self.up_since_file(interface));
    }

    pub fn control_socket(&self) -> PathBuf {
        self.run.join("mwan3.sock")
    }

    /// Since when, in seconds since boot, an interface without netifd has been up on this device.
    pub fn up_since(&self, interface: &str, device_index: u32) -> Option<u64> {
        let line = read_line(&self.up_since_file(interface))?;
        let (since, index) = line.split_once(' ')?;
        (index.parse() == Ok(device_index)).then(|| since.parse().ok())?
    }

    /// `device_index` while it is up.
    pub fn note_up(&self, interface: &str, device_index: Option<u32>) -> io::Result<()> {
        let path = self.up_since_file(interface);
        match device_index {
            Some(index) if self.up_since(interface, index).is_some() => Ok(()),
            Some(index) => write_atomically(&path, &format!("{} {index}\n", uptime_s())),
            None => {
                let _ = fs::remove_file(path);
                Ok(())
            }
        }
    }

    fn up_since_file(&self, interface: &str) -> PathBuf {
        self.state_of("up_since", interface)
    }

    /// For the one tracker; `None` while another has it.
    pub fn lock_tracker(&self) -> io::Result<Option<Lock>> {
        make_directory(&self.run)?;
        let mut file =
            fs::File::options().create(true).append(true).open(self.run.join("mwan3track.lock"))?;
        // SAFETY: flock takes a live descriptor and no pointers.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            file.set_len(0)?;
            file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
            return Ok(Some(Lock { _file: file }));
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            error => Err(error),
        }
    }

    /// The process that holds the tracker's lock.
    pub fn tracker_pid(&self) -> Option<u32> {
        let is_held = matches!(self.lock_tracker(), Ok(None));
        let pid = read_number(&self.run.join("mwan3track.lock")).filter(|_| is_held)?;
        u32::try_from(pid).ok()
    }

    /// Waits for its turn, but not for one that never comes: a stopped process must not stop the others. The
    /// lock ends with the value, also when the process dies.
    pub fn lock(&self) -> io::Result<Lock> {
        make_directory(&self.run)?;
        let file = fs::File::options().create(true).append(true).open(self.run.join("mwan3.lock"))?;
        let until = after(since_boot(), LOCK_PATIENCE);
        loop {
            // SAFETY: flock takes a live descriptor and no pointers.
            if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
                return Ok(Lock { _file: file });
            }
            let error = io::Error::last_os_error();
            let is_held = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            if !is_held || since_boot() >= until {
                return Err(error);
            }
            pause(LOCK_STEP);
        }
    }
}

/// Held while the kernel is read and changed. Never held while anything of the user's runs.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

pub fn read_line(path: &Path) -> Option<String> {
    let bytes = read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).lines().next().unwrap_or("").to_owned())
}

pub fn read_number(path: &Path) -> Option<u64> {
    read_line(path)?.trim().parse().ok()
}

/// Readers see the old content or the new one, never a part.
pub fn write_atomically(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let scratch = directory.join(format!(".{name}.{}", std::process::id()));
    let written = fs::write(&scratch, text).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => make_directory(directory).and_then(|()| fs::write(&scratch, text)),
        _ => Err(error),
    });
    written.and_then(|()| fs::rename(&scratch, path))
}

/// Seconds since boot: what the status files count in.
pub fn uptime_s() -> u64 {
    let text = read_line(Path::new("/proc/uptime")).unwrap_or_default();
    text.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0)
}

/// The host's own resolvers, but for those on this machine: they cannot be reached by a certain uplink.
pub fn system_name_servers() -> Vec<IpAddr> {
    let text = text_of(Path::new("/etc/resolv.conf"));
    name_servers(&text).filter(|server| !server.is_loopback()).collect()
}

/// Of a resolv.conf. What follows the address is a comment.
pub fn name_servers(text: &str) -> impl Iterator<Item = IpAddr> + '_ {
    text.lines().filter_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next()?.parse().ok())
}
