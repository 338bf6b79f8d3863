//! A laboratory whose router runs the real service in the background, with fast timing and a user script
//! that writes down what it hears.
#![allow(dead_code)]
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lab::{Lab, wait_until};
use serde_json::Value;

/// The other end of the fastest timing that a shared machine bears.
pub const FAST: &str = "option interval '0.3'
    option timeout '0.3'
    option down '2'
    option up '2'
    option failure_interval '0.3'
    option recovery_interval '0.3'
    option confirm_interval '0.1'
    option confirm_count '3'
    option size '16'
    option reliability '1'
    list track_ip '1.1.1.1'
    list track_ip '8.8.8.8'";
/// Generous: for things that take milliseconds on a machine at rest.
pub const SOON: Duration = Duration::from_secs(15);
/// Flows there use the last uplink, whatever becomes of the others.
pub const HEALTHY: &str = "208.67.222.222";
/// Flows to anywhere else use the first uplink that works.
pub const FAILOVER: &str = "198.51.100.20";

pub struct Site {
    pub lab: Lab,
}

impl Site {
    /// Uplinks wan, wanb, …, all with these options.
    pub fn start(uplinks: usize, options: &str) -> Site {
        let site = Site::prepare(uplinks, options);
        site.run(&["start"]);
        site
    }

    pub fn prepare(uplinks: usize, options: &str) -> Site {
        let site = Site::prepare_with(Lab::builder().uplinks(uplinks).ipv6(false));
        let options = vec![options; uplinks];
        site.configure(&options);
        site
    }

    /// Without a configuration yet.
    pub fn prepare_with(builder: lab::Builder) -> Site {
        let site = Site { lab: builder.mwan3(env!("CARGO_BIN_EXE_mwan3")).build().unwrap() };
        // One write for each event: scripts of different interfaces run side by side.
        let script =
            "#!/bin/sh\nheard=$(tr '\\0' ' ' < /proc/$$/environ)\necho \"$heard\" >> \"${0%/*}/heard\"\n";
        site.write_user_script(script);
        site
    }

    pub fn configure(&self, options: &[&str]) {
        let names: Vec<&str> = self.lab.isps().iter().map(lab::Isp::device).collect();
        self.lab.router().write_config(&config(&names, options));
    }

    pub fn write_user_script(&self, text: &str) {
        let path = self.lab.router().directory().join("mwan3.user");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn command(&self) -> Command {
        let directory = self.lab.router().directory();
        let mut command = self.lab.router().mwan3_command();
        command.env("MWAN3_HOTPLUG_CALL", directory.join("hotplug-call"));
        command.env("MWAN3_USER_SCRIPT", directory.join("mwan3.user"));
        command.env("MWAN3_HOOK_DIR", directory.join("hooks.d"));
        command
    }

    /// Runs mwan3 and wants it to succeed.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().unwrap();
        assert!(output.status.success(), "mwan3 {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn try_run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    pub fn socket(&self) -> PathBuf {
        self.lab.router().run_dir().join("mwan3.sock")
    }

    /// One line asked of the tracker, one answer.
    #[track_caller]
    pub fn ask(&self, request: &str) -> Value {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        writeln!(stream, "{request}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{request}: {error}: {line:?}"))
    }

    #[track_caller]
    pub fn stat(&self, name: &str) -> u64 {
        self.ask("stats")[name].as_u64().unwrap()
    }

    pub fn pid(&self) -> u32 {
        u32::try_from(self.stat("pid")).unwrap()
    }

    pub fn signal(&self, name: &str) {
        self.lab.router().sh(&format!("kill -{name} {}", self.pid()));
    }

    pub fn file(&self, interface: &str, name: &str) -> String {
        let path = self.lab.router().run_dir().join("mwan3track").join(interface).join(name);
        fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
    }

    pub fn status(&self, interface: &str) -> String {
        self.file(interface, "STATUS")
    }

    pub fn policy_state(&self, interface: &str) -> String {
        let path = self.lab.router().run_dir().join("mwan3/iface_state").join(interface);
        fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
    }

    /// How long the interface took to get there.
    #[track_caller]
    pub fn await_status(&self, interface: &str, wanted: &str) -> Duration {
        let begun = Instant::now();
        let came = wait_until(SOON, || self.status(interface) == wanted);
        assert!(came, "{interface} is {} and not {wanted}: {}", self.status(interface), self.ask("events 0"));
        begun.elapsed()
    }

    /// The events of an interface: `connected disconnecting …`.
    pub fn events(&self, interface: &str) -> Vec<String> {
        let all = self.ask("events 0");
        let events = all.as_array().unwrap().iter().filter(|event| event["interface"] == interface);
        events.map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }

    /// The environments of the user script, one call a line.
    pub fn heard(&self) -> Vec<String> {
        let text = fs::read_to_string(self.lab.router().directory().join("heard")).unwrap_or_default();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[track_caller]
    pub fn await_heard(&self, wanted: &[&str]) {
        wait_until(SOON, || self.heard().len() >= wanted.len());
        assert_eq!(self.heard(), wanted);
    }

    /// Flows that must not notice anything, whatever happens to other uplinks.
    pub fn healthy_stream(&self) -> lab::Stream {
        self.lab.client().udp(HEALTHY, 4000).per_second(100).start()
    }

    pub fn failover_stream(&self) -> lab::Stream {
        let flows = self.lab.client().udp(FAILOVER, 4000).per_second(100);
        flows.timeout(Duration::from_millis(500)).start()
    }

    pub fn last_device(&self) -> &str {
        self.lab.isps().last().unwrap().device()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("events: {:?}", self.try_run(&["events"]));
            eprintln!("heard: {:#?}", self.heard());
        }
        let _ = self.try_run(&["stop"]);
    }
}

/// The first uplink that works takes everything but what goes to HEALTHY, which is the last one's.
pub fn config(names: &[&str], options: &[&str]) -> String {
    let mut text = "config globals 'globals'\n    option mmx_mask '0x3F00'\n".to_owned();
    for (name, options) in names.iter().zip(options) {
        let _ = write!(text, "config interface '{name}'\n    option enabled '1'\n    {options}\n");
    }
    let mut policy = "config policy 'failover'\n".to_owned();
    for (position, name) in names.iter().enumerate() {
        let _ = write!(
            text,
            "config member 'm_{name}'\n    option interface '{name}'\n    option metric '{}'\n",
            position + 1
        );
        let _ = writeln!(policy, "    list use_member 'm_{name}'");
    }
    let last = names.last().unwrap();
    let _ = write!(
        text,
        "{policy}config policy 'last'\n    list use_member 'm_{last}'\n\
         config rule 'healthy'\n    option dest_ip '{HEALTHY}'\n    option use_policy 'last'\n\
         config rule 'rest'\n    option use_policy 'failover'\n"
    );
    text
}

/// Prints a measured time where `--nocapture` shows it.
pub fn tell(what: &str, time: Duration) {
    eprintln!("{what}: {} ms", time.as_millis());
}
