//! A machine's console: shown as it comes, kept for the verdict. No machine outlives its time.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

pub struct Console {
    machine: Child,
    output: ChildStdout,
}

impl Console {
    pub fn of(command: &mut Command) -> Result<Console, String> {
        let program = command.get_program().display().to_string();
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut machine = spawned.map_err(|error| format!("{program}: {error}"))?;
        let output = machine.stdout.take().ok_or("no console")?;
        Ok(Console { machine, output })
    }

    /// All that was said.
    pub fn read_until_end(mut self, longest: Duration) -> Result<String, String> {
        let deadline = Instant::now() + longest;
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(self.output);
        thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).replace('\r', "");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut said = String::new();
        let ended = loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    println!("| {line}");
                    said += &(line + "\n");
                }
                Err(RecvTimeoutError::Disconnected) => break Ok(said),
                Err(RecvTimeoutError::Timeout) => break Err("the machine ran out of time".to_owned()),
            }
        };
        let _ = self.machine.kill();
        let _ = self.machine.wait();
        ended
    }
}
