//! A network namespace without a name: it is held by a descriptor only, so parallel tests cannot
//! collide and it vanishes with the process, however that ends.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::process::{self, Output};
use crate::{sys, wait_until};

/// Cheap to clone; the namespace lives as long as any clone, socket or process inside it.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    handle: Arc<OwnedFd>,
}

impl Namespace {
    /// A new, empty namespace. `name` appears in messages only.
    pub fn new(name: &str) -> io::Result<Namespace> {
        let made = thread::spawn(|| {
            sys::unshare_network()?;
            File::open("/proc/thread-self/ns/net").map(OwnedFd::from)
        });
        let handle = made.join().map_err(|_| io::Error::other("the thread that made a namespace died"))?;
        let handle = handle.map_err(|error| describe_refusal(name, &error))?;
        let namespace = Namespace { name: name.to_owned(), handle: Arc::new(handle) };
        namespace.batch("link set lo up")?;
        Ok(namespace)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path under which `ip link … netns PATH` finds this namespace.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    /// The number the kernel shows as `net:[…]`.
    pub fn inode(&self) -> u64 {
        fs::metadata(self.path()).map_or(0, |metadata| metadata.ino())
    }

    /// Runs the closure on a fresh thread inside the namespace. Sockets made there stay there;
    /// a panic in the closure is passed on.
    pub fn run<T: Send>(&self, action: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter_or_panic();
                action()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Like `run`, but goes on in the background.
    pub fn spawn<T: Send + 'static>(
        &self,
        action: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let namespace = self.clone();
        thread::spawn(move || {
            namespace.enter_or_panic();
            // The clone must not outlive its use: it would keep the namespace alive.
            drop(namespace);
            action()
        })
    }

    /// A command that starts inside the namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("PATH", process::search_path());
        let handle = Arc::clone(&self.handle);
        // SAFETY: the hook makes one async-signal-safe system call and touches no shared state.
        unsafe { command.pre_exec(move || sys::enter_network(handle.as_fd())) };
        command
    }

    /// Runs a shell line and returns its standard output; panics with its messages if it fails.
    #[track_caller]
    pub fn sh(&self, line: &str) -> String {
        let output = self.try_sh(line);
        assert!(output.success(), "in {}: `{line}` failed: {output}", self.name);
        output.stdout
    }

    /// Runs a shell line and returns whatever happened.
    pub fn try_sh(&self, line: &str) -> Output {
        let mut shell = self.command("sh");
        shell.args(["-c", line]);
        Output::of(&mut shell, "")
    }

    /// Runs `ip -batch` on the lines.
    pub fn batch(&self, lines: &str) -> io::Result<()> {
        self.feed("ip", &["-batch", "-"], lines)
    }

    /// Loads nftables text in one transaction.
    pub fn nft(&self, ruleset: &str) -> io::Result<()> {
        self.feed("nft", &["-f", "-"], ruleset)
    }

    /// Writes kernel settings, such as ("net/ipv4/ip_forward", "1"). One that this kernel lacks is left out.
    pub fn set(&self, settings: &[(&str, &str)]) -> io::Result<()> {
        self.run(|| {
            for (name, value) in settings {
                match fs::write(format!("/proc/sys/{name}"), value) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(io::Error::new(error.kind(), format!("{name}={value}: {error}")));
                    }
                    _ => {}
                }
            }
            Ok(())
        })
    }

    /// Waits until devices that are up can send: the kernel notices a link's other end in the background,
    /// and until then drops packets without a word.
    pub(crate) fn await_links(&self) -> io::Result<()> {
        let ready =
            self.run(|| wait_until(Duration::from_secs(10), || sys::links_are_ready().unwrap_or(false)));
        if ready { Ok(()) } else { Err(io::Error::other(format!("a link in {} stays down", self.name))) }
    }

    fn feed(&self, program: &str, arguments: &[&str], input: &str) -> io::Result<()> {
        let mut command = self.command(program);
        command.args(arguments);
        let output = Output::of(&mut command, input);
        if output.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("in {}: {program}: {output}, given:\n{input}", self.name)))
    }

    fn enter_or_panic(&self) {
        if let Err(error) = sys::enter_network(self.handle.as_fd()) {
            panic!("cannot enter the namespace {}: {error}", self.name);
        }
    }
}

/// Ends every process that still lives in one of the namespaces, by its id.
pub(crate) fn end_processes_in(namespaces: &[Namespace]) {
    let inodes: Vec<u64> = namespaces.iter().map(Namespace::inode).collect();
    let lives_inside = |process_id: &i32| {
        let inode = fs::metadata(format!("/proc/{process_id}/ns/net")).map(|metadata| metadata.ino());
        inode.is_ok_and(|inode| inodes.contains(&inode)) && *process_id != std::process::id() as i32
    };
    // They are gone before their files are removed.
    wait_until(Duration::from_secs(2), || {
        let alive: Vec<i32> = process::ids().into_iter().filter(lives_inside).collect();
        alive.iter().for_each(|process_id| sys::kill(*process_id));
        alive.is_empty()
    });
}

fn describe_refusal(name: &str, error: &io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return io::Error::new(error.kind(), format!("cannot make the namespace {name}: {error}"));
    }
    let advice = "run as root or under `unshare -Urnm`";
    io::Error::new(error.kind(), format!("cannot make the namespace {name}: {error}; {advice}"))
}
