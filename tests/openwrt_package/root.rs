//! A router's root folder with a shell, the stand-ins, and the package unpacked in it. Commands run in it as on
//! the router, in the network of a laboratory.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab::{Lab, Output, Router, wait_until};

use super::package::{FIXTURES, Package, Scratch, listing, run};

pub const PATIENCE: Duration = Duration::from_secs(20);
/// Where opkg keeps what it knows of the package.
const INFO: &str = "/usr/lib/opkg/info/mwan3";
const SCRIPTS: [&str; 5] = ["postinst", "postinst-pkg", "prerm", "prerm-pkg", "postrm"];
const PROGRAMS: [&str; 3] = ["busybox", "dash", "flock"];

pub struct Root {
    scratch: Scratch,
    pub lab: Lab,
    log: Arc<Mutex<String>>,
}

impl Root {
    /// `None` where no laboratory can be built, or a program is missing, and none is required.
    pub fn new() -> Option<Root> {
        if !lab::is_available() || !has_programs() {
            return None;
        }
        let lab = Lab::builder().uplinks(2).build().expect("a laboratory");
        let root = Root { scratch: Scratch::new(), lab, log: Arc::default() };
        for folder in ["proc", "dev", "tmp", "var/run", "var/lock", "etc/config", "etc/rc.d", "bin"] {
            root.scratch.folder(folder);
        }
        for program in PROGRAMS {
            root.add_program(&find(program).expect("looked for before"), &format!("bin/{program}"));
        }
        // Linked against libraries that a router does not have.
        root.add_libraries(Path::new(env!("CARGO_BIN_EXE_mwan3")));
        let applets = run(Command::new("busybox").arg("--list"));
        for applet in applets.lines().filter(|applet| *applet != "busybox") {
            symlink("busybox", root.at("/bin").join(applet)).expect("a link");
        }
        root.copy(&Path::new(FIXTURES).join("root"));
        root.write("/etc/config/network", NETWORK);
        root.write("/dev/null", "");
        root.keep_log();
        Some(root)
    }

    fn keep_log(&self) {
        let socket = UnixDatagram::bind(self.at("/dev/log")).expect("a socket");
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            let mut line = [0; 2048];
            while let Ok(length) = socket.recv(&mut line) {
                let text = String::from_utf8_lossy(&line[..length]);
                *log.lock().expect("no panic") += &format!("{}\n", text.trim_end_matches(['\n', '\0']));
            }
        });
    }

    /// What programs have logged.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    pub fn router(&self) -> &Router {
        self.lab.router()
    }

    /// A path on the router as one of ours.
    pub fn at(&self, path: &str) -> PathBuf {
        self.scratch.path().join(path.trim_start_matches('/'))
    }

    #[track_caller]
    pub fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    pub fn try_sh(&self, line: &str) -> Output {
        const ENTER: &str = "mount --bind /proc \"$0/proc\" && mount --bind /dev/null \"$0/dev/null\" &&
            exec chroot \"$0\" /bin/sh -c \"$1\"";
        let mut command = self.router().command("unshare");
        command.args(["--mount", "sh", "-c", ENTER]).arg(self.scratch.path()).arg(line);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        Output::of(&mut command, "")
    }

    #[track_caller]
    pub fn sh(&self, line: &str) -> String {
        let output = self.try_sh(line);
        assert!(output.success(), "`{line}`: {output}\nlog: {}", self.log());
        output.stdout
    }

    /// As the package manager does it: conffiles that are there stay.
    #[track_caller]
    pub fn unpack(&self, package: &Package) {
        let conffiles = package.conffiles();
        let mut list = String::new();
        for (path, _) in listing(&package.content()) {
            list += &format!("{path}\n");
            if conffiles.contains(&path) && self.at(&path).exists() {
                continue;
            }
            let target = self.at(&path);
            fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
            let _ = fs::remove_file(&target);
            fs::copy(package.content().join(&path[1..]), &target).expect("copied");
        }
        self.write(&format!("{INFO}.list"), &list);
        for script in SCRIPTS.iter().filter(|script| package.control().join(script).exists()) {
            let target = format!("{INFO}.{script}");
            self.write(&target, &fs::read_to_string(package.control().join(script)).expect("a script"));
            fs::set_permissions(self.at(&target), fs::Permissions::from_mode(0o755)).expect("allowed");
        }
    }

    /// Unpacks it and runs what has to be run.
    #[track_caller]
    pub fn install(&self, package: &Package) {
        self.unpack(package);
        self.sh(&format!("{INFO}.postinst configure"));
    }

    #[track_caller]
    pub fn remove(&self, package: &Package) {
        self.sh(&format!("{INFO}.prerm remove"));
        for (path, _) in listing(&package.content()) {
            if !package.conffiles().contains(&path) {
                let _ = fs::remove_file(self.at(&path));
            }
        }
        self.sh(&format!("{INFO}.postrm remove; rm {INFO}.*"));
    }

    /// The tracker answers.
    pub fn is_tracked(&self) -> bool {
        self.try_sh("mwan3 events").success() && self.tracker_pid().is_some()
    }

    pub fn tracker_pid(&self) -> Option<u32> {
        let pid = self.read("/var/run/mwan3track.lock").trim().parse().ok()?;
        let is_alive =
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("track"));
        is_alive.then_some(pid)
    }

    #[track_caller]
    pub fn await_that(&self, what: &str, condition: impl FnMut() -> bool) {
        assert!(wait_until(PATIENCE, condition), "not in time: {what}\nlog: {}", self.log());
    }

    /// What the router holds below these folders, without what runs put there.
    pub fn files(&self) -> Vec<String> {
        let own = listing(self.scratch.path());
        let is_of_package =
            |path: &&String| ["/etc/", "/lib/", "/usr/", "/var/run/"].iter().any(|top| path.starts_with(top));
        own.iter().map(|(path, _)| path).filter(is_of_package).cloned().collect()
    }

    fn copy(&self, folder: &Path) {
        run(Command::new("cp").arg("-R").arg(folder.join(".")).arg(self.scratch.path()));
    }

    fn add_program(&self, program: &Path, to: &str) {
        fs::copy(program, self.at(to)).expect("copied");
        self.add_libraries(program);
    }

    fn add_libraries(&self, program: &Path) {
        let text = Command::new("ldd").arg(program).output().expect("ldd").stdout;
        for word in String::from_utf8_lossy(&text).split_whitespace().filter(|word| word.starts_with('/')) {
            let target = self.at(word);
            fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
            fs::copy(word, target).expect("copied");
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // What keeps the tracker alive ends with its service.
        let _ = fs::remove_dir_all(self.at("/var/run/procd"));
    }
}

const NETWORK: &str = "
config interface 'wan'
	option device 'wan'
config interface 'wanb'
	option device 'wanb'
config interface 'lan'
	option device 'lan0'
";

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

fn has_programs() -> bool {
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|program| find(program).is_none()).collect();
    let is_required = std::env::var("MWAN3_KERNEL_TESTS").is_ok_and(|value| value == "required");
    assert!(missing.is_empty() || !is_required, "not installed: {missing:?}");
    if !missing.is_empty() {
        eprintln!("skipped: not installed: {missing:?}");
    }
    missing.is_empty()
}
