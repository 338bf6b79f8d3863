//! Commands and what they left: output, background threads that stop when dropped, and the guardian
//! that cleans up after a laboratory whose process was killed.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use crate::namespace::Namespace;

/// What a finished command printed and returned.
#[derive(Clone, Debug)]
pub struct Output {
    /// `None` if a signal ended it or it could not be started.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Runs the command to its end with `input` on its standard input.
    pub fn of(command: &mut Command, input: &str) -> Output {
        match run(command, input) {
            Ok(output) => Output {
                code: output.status.code(),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            },
            Err(error) => {
                let program = command.get_program().to_string_lossy().into_owned();
                Output { code: None, stdout: String::new(), stderr: format!("{program}: {error}") }
            }
        }
    }

    /// Like `of`, for a command that may leave a process in the background: that one inherits its
    /// output, so reading a pipe to its end would wait for it. Files do not wait.
    pub(crate) fn of_daemon(command: &mut Command, directory: &Path) -> Output {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let paths = ["stdout", "stderr"].map(|name| directory.join(format!("{name}.{number}")));
        let status = (|| {
            command.stdin(Stdio::null()).stdout(File::create(&paths[0])?).stderr(File::create(&paths[1])?);
            command.status()
        })();
        let [stdout, stderr] = paths.map(|path| {
            let text = fs::read(&path).unwrap_or_default();
            let _ = fs::remove_file(&path);
            String::from_utf8_lossy(&text).into_owned()
        });
        match status {
            Ok(status) => Output { code: status.code(), stdout, stderr },
            Err(error) => {
                let program = command.get_program().to_string_lossy().into_owned();
                Output { code: None, stdout, stderr: format!("{stderr}{program}: {error}") }
            }
        }
    }

    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "exit code {code}")?,
            None => f.write_str("no exit code")?,
        }
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(f, ", {name}: {}", text.trim_end())?;
            }
        }
        Ok(())
    }
}

/// A thread that is told to stop, and waited for, when this is dropped.
#[derive(Debug)]
pub struct Background {
    // Closing our end wakes the thread, which polls the other.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts `work` inside the namespace; it must return once its stream becomes readable.
    pub fn start(
        namespace: &Namespace,
        work: impl FnOnce(UnixStream) + Send + 'static,
    ) -> io::Result<Background> {
        let (stop, stopped) = UnixStream::pair()?;
        let thread = namespace.spawn(move || work(stopped));
        Ok(Background { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic over there has already been printed; a second one here would abort.
            let _ = thread.join();
        }
    }
}

/// A child that outlives a killed parent just long enough to end what that left in the namespaces:
/// background programs (`mwan3 track`) and the temporary directory.
#[derive(Debug)]
pub(crate) struct Guardian(Child);

impl Guardian {
    pub(crate) fn start(namespaces: &[Namespace], directory: &Path) -> io::Result<Guardian> {
        let nets: Vec<String> = namespaces.iter().map(|one| format!("'net:[{}]'", one.inode())).collect();
        let script = format!(
            "trap '' INT TERM HUP; read wait_for_the_end
             for p in /proc/[0-9]*; do case \"$(readlink $p/ns/net)\" in {}) kill -9 ${{p#/proc/}};; esac; done
             rm -rf \"$1\"",
            nets.join("|")
        );
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, "guardian"]).arg(directory);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Its own group: Ctrl-C must not take it along.
        shell.process_group(0).spawn().map(Guardian)
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Users without privileges often lack the sbin directories in theirs.
pub(crate) fn search_path() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin"
}

/// The ids of all processes we can see.
pub(crate) fn ids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn run(command: &mut Command, input: &str) -> io::Result<std::process::Output> {
    command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that stops reading says why itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    child.wait_with_output()
}
