//! What programs and pages pay for asking: each method of the ubus object as rpcd runs it, and a scrape of the
//! metrics from the tracker.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use lab::{Lab, wait_until};

use super::sizes::Size;
use crate::process::{Background, Cost, measure};

const RUNS: usize = 9;
const ADDRESS: &str = "127.0.0.1:9101";
/// The tracker gives the same page again within a second.
const PAGE_KEPT: Duration = Duration::from_millis(1_050);
pub const SIZES: [Size; 3] = [Size::new(8, 50), Size::new(60, 50), Size::new(60, 1000)];
const CALLS: [(&str, &str); 14] = [
    ("status", "{}"),
    ("status", r#"{"section":"interfaces"}"#),
    ("status", r#"{"section":"policies"}"#),
    ("service", "{}"),
    ("uplinks", "{}"),
    ("uplinks", r#"{"brief":true}"#),
    ("history", "{}"),
    ("history", r#"{"interface":"wan"}"#),
    ("events", "{}"),
    ("rules", "{}"),
    ("rules", r#"{"brief":true}"#),
    ("policies", "{}"),
    ("check", "{}"),
    ("explain", r#"{"dest":"198.51.100.7","src":"192.168.1.10","proto":"tcp","port":443}"#),
];

/// One table: a row for each call, a pair of columns for each size.
pub fn section(program: &Path) -> io::Result<String> {
    let mut rows: Vec<String> = CALLS
        .iter()
        .map(|(method, arguments)| format!("| `{method} {arguments}` |").replace(" {}`", "`"))
        .chain(["| `mwan3 metrics` |", "| scrape by HTTP |"].map(str::to_owned))
        .collect();
    let mut head = "| |".to_owned();
    for size in SIZES {
        eprintln!("bench: faces at {} WANs, {} rules", size.uplinks, size.rules);
        let _ = write!(head, " {} / {}: ms | bytes |", size.uplinks, size.rules);
        for (row, cell) in rows.iter_mut().zip(cells(program, size)?) {
            row.push_str(&cell);
        }
    }
    let line = format!("| --- |{}", " --- | --- |".repeat(SIZES.len()));
    Ok(format!(
        "## Programs that ask\n\nCalls of the ubus object `mwan3` as rpcd makes them (a process each), and metrics: wall / CPU \
         milliseconds, medians of {RUNS}, and bytes of the reply; at WANs / rules, four targets a WAN. Of a scrape \
         wall time is the client's and CPU time the tracker's.\n\n{head}\n{line}\n{}\n",
        rows.join("\n")
    ))
}

fn cells(program: &Path, size: Size) -> io::Result<Vec<String>> {
    let lab = Lab::builder().uplinks(size.uplinks).ipv6(false).mwan3(program).build()?;
    let listen = format!("option mmx_mask 0x3F00\n  option metrics_listen {ADDRESS}");
    let config = size.tracked_config().replace("option mmx_mask 0x3F00", &listen);
    lab.router().write_config(&config.replace("option interval 10", "option interval 1"));
    let started = lab.router().mwan3(["start", "--no-track"]);
    if !started.success() {
        return Err(io::Error::other(format!("mwan3 start: {started}")));
    }
    let mut tracker = lab.router().mwan3_command();
    let tracker = Background(tracker.arg("track").stdin(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let turn = lab.router().run_dir().join("mwan3track/wan/TURN");
    // Histories that are worth a reply.
    let has_history = || fs::read_to_string(&turn).is_ok_and(|text| text.trim().parse().unwrap_or(0) >= 20);
    if !wait_until(Duration::from_secs(60), has_history) {
        return Err(io::Error::other("the tracker probes nothing"));
    }
    let directory = lab.router().directory();
    let (input, output) = (directory.join("arguments"), directory.join("reply"));
    let mut found = Vec::new();
    let mut measured = |words: &[&str], arguments: &str| -> io::Result<()> {
        fs::write(&input, arguments)?;
        let mut costs = Vec::new();
        for _ in 0..RUNS {
            let mut command = lab.router().mwan3_command();
            command.args(words).stdin(File::open(&input)?).stdout(File::create(&output)?);
            costs.push(measure(&mut command)?);
        }
        let Cost { wall, cpu } = super::commands::median(&costs);
        found.push(format!(" {} / {} | {} |", ms(wall), ms(cpu), fs::metadata(&output)?.len()));
        Ok(())
    };
    for (method, arguments) in CALLS {
        measured(&["rpcd", "call", method], arguments)?;
    }
    measured(&["metrics"], "")?;
    found.push(scrape(&lab, tracker.0.id() as i32)?);
    Ok(found)
}

/// Wall time of the client, CPU time of the tracker.
fn scrape(lab: &Lab, tracker: i32) -> io::Result<String> {
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..RUNS {
        std::thread::sleep(PAGE_KEPT);
        let before = super::tracker::cpu_of(tracker)?;
        let (wall, length) = lab.router().run(|| -> io::Result<(Duration, usize)> {
            let begun = Instant::now();
            let mut stream = TcpStream::connect(ADDRESS)?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: router\r\n\r\n")?;
            let mut page = Vec::new();
            stream.read_to_end(&mut page)?;
            Ok((begun.elapsed(), page.len()))
        })?;
        times.push(Cost { wall, cpu: super::tracker::cpu_of(tracker)? - before });
        bytes = length;
    }
    let Cost { wall, cpu } = super::commands::median(&times);
    Ok(format!(" {} / {} | {bytes} |", ms(wall), ms(cpu)))
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
