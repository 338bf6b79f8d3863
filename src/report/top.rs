//! `mwan3 top`: one picture of all uplinks and policies, as wide as the terminal. Pure: the numbers come in,
//! lines come out.

/// From quick to slow; a lost probe is an `x`.
const BARS: [char; 7] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇'];
const LOST: char = 'x';
/// Columns that every picture has: name, state, since.
const NAME: usize = 12;
const STATE: usize = 13;
const SINCE: usize = 9;
/// Those that come with the width: round trip, loss, new flows, traffic in and out.
const NUMBER: usize = 9;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// `12:34:56`, or any words for the corner.
    pub corner: String,
    /// A tracker runs.
    pub is_tracked: bool,
    pub uplinks: Vec<Row>,
    /// Name and shares, in words.
    pub policies: Vec<(String, String)>,
    /// The newest last.
    pub events: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub state: String,
    pub since_s: u64,
    pub round_trip_us: Option<u64>,
    pub loss_permille: Option<u64>,
    /// Round trips in tenths of a millisecond, oldest first; `None` is a lost probe.
    pub probes: Vec<Option<u64>>,
    /// New connections in a second; `None` where the kernel does not tell.
    pub flows: Option<u64>,
    /// Bits in a second, by the device.
    pub received: Option<u64>,
    pub sent: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    pub columns: usize,
    /// Lines beyond are cut off; 0 for a file without end.
    pub rows: usize,
    pub has_colour: bool,
}

/// One line for each row of the screen, none wider than it.
pub fn top_lines(picture: &Picture, screen: Screen) -> Vec<String> {
    let mut lines = Vec::new();
    let title = if picture.is_tracked { "mwan3 top" } else { "mwan3 top: NO TRACKER RUNS" };
    let gap = screen.columns.saturating_sub(width(title) + width(&picture.corner)).max(1);
    lines.push(cut(&format!("{title}{}{}", " ".repeat(gap), picture.corner), screen.columns));
    lines.push(head(screen));
    for row in &picture.uplinks {
        lines.push(line(row, screen));
    }
    if !picture.policies.is_empty() {
        lines.push(String::new());
        let mut name = 0;
        for (policy, _) in &picture.policies {
            name = name.max(width(policy)).min(24);
        }
        for (policy, shares) in &picture.policies {
            lines.push(cut(&format!("{} {shares}", padded(policy, name)), screen.columns));
        }
    }
    if !picture.events.is_empty() {
        lines.push(String::new());
        for event in &picture.events {
            lines.push(cut(event, screen.columns));
        }
    }
    if screen.rows > 0 {
        lines.truncate(screen.rows);
    }
    lines
}

/// How many of the number columns fit, and what is left for the sparkline.
fn layout(screen: Screen) -> (usize, usize) {
    let fixed = NAME + STATE + SINCE + 2;
    let room = screen.columns.saturating_sub(fixed);
    let numbers = (room / (NUMBER + 1)).min(5);
    let left = (room - numbers * (NUMBER + 1)).saturating_sub(1);
    // Fewer probes than this say nothing.
    (numbers, if left < 6 { 0 } else { left.min(64) })
}

fn head(screen: Screen) -> String {
    let (numbers, spark) = layout(screen);
    let mut text = format!("{} {} {:>SINCE$}", padded("uplink", NAME), padded("state", STATE), "since");
    for name in ["rtt ms", "loss %", "new/s", "in", "out"].iter().take(numbers) {
        text.push_str(&format!(" {name:>NUMBER$}"));
    }
    if spark > 0 {
        text.push_str(" probes");
    }
    let text = cut(&text, screen.columns);
    if screen.has_colour { format!("\u{1b}[7m{}\u{1b}[0m", padded(&text, screen.columns)) } else { text }
}

fn line(row: &Row, screen: Screen) -> String {
    let (numbers, spark) = layout(screen);
    let state = cut(&padded(&row.state, STATE), STATE);
    let state = match (screen.has_colour, row.state.as_str()) {
        (false, _) => state,
        (true, "online") => format!("\u{1b}[32m{state}\u{1b}[0m"),
        (true, "connecting" | "disconnecting" | "drill") => format!("\u{1b}[33m{state}\u{1b}[0m"),
        (true, "offline") => format!("\u{1b}[31m{state}\u{1b}[0m"),
        (true, _) => format!("\u{1b}[2m{state}\u{1b}[0m"),
    };
    let name = cut(&padded(&row.name, NAME), NAME);
    // Colours take no room: without them this much is cut off where the screen is narrower still.
    if screen.columns < NAME + 1 + STATE + 1 + SINCE {
        return cut(&format!("{name} {}", row.state), screen.columns);
    }
    let mut text = format!("{name} {state} {:>SINCE$}", age(row.since_s));
    let columns = [
        row.round_trip_us.map(|us| tenths(us / 100)),
        row.loss_permille.map(tenths),
        row.flows.map(|flows| flows.to_string()),
        row.received.map(rate),
        row.sent.map(rate),
    ];
    for column in columns.into_iter().take(numbers) {
        text.push_str(&format!(" {:>NUMBER$}", column.unwrap_or_else(|| "-".to_owned())));
    }
    if spark > 0 && !row.probes.is_empty() {
        text.push(' ');
        text.push_str(&sparkline(&row.probes, spark));
    }
    text
}

/// The newest probes, scaled to the slowest of them.
pub fn sparkline(probes: &[Option<u64>], columns: usize) -> String {
    let shown = probes.get(probes.len().saturating_sub(columns)..).unwrap_or_default();
    let mut slowest = 1;
    for time in shown.iter().flatten() {
        slowest = slowest.max(*time);
    }
    let bar = |time: u64| {
        let step = time.saturating_mul(BARS.len() as u64 - 1) / slowest;
        usize::try_from(step).ok().and_then(|step| BARS.get(step)).copied().unwrap_or(' ')
    };
    let mut line = String::new();
    for probe in shown {
        line.push(probe.map_or(LOST, bar));
    }
    line
}

/// `59s`, `12m03s`, `5h07m`, `12d03h`.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Bits in a second: `0`, `950`, `12.3k`, `1.2M`.
fn rate(bits: u64) -> String {
    let mut scaled = bits;
    let mut unit = "";
    let mut rest = 0;
    for next in ["k", "M", "G", "T"] {
        if scaled < 1_000 {
            break;
        }
        (rest, scaled, unit) = (scaled % 1_000 / 100, scaled / 1_000, next);
    }
    if unit.is_empty() { scaled.to_string() } else { format!("{scaled}.{rest}{unit}") }
}

/// 123 as "12.3".
fn tenths(number: u64) -> String {
    format!("{}.{}", number / 10, number % 10)
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn padded(text: &str, columns: usize) -> String {
    format!("{text:<columns$}")
}

fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns { text.to_owned() } else { text.chars().take(columns).collect() }
}
