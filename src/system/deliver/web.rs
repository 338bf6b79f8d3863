//! A POST of JSON: plain HTTP by ourselves, HTTPS by whichever client is installed.

use std::io::Write;

use super::mail::connect;
use super::{installed, run_with_input, words};
use crate::system::paths::read_at_most;

/// Enough for the line with the status.
const LONGEST_ANSWER: usize = 1024;
const CLIENTS: [&str; 3] = ["curl", "uclient-fetch", "wget"];

pub(super) fn post(url: &str, json: &str) -> Result<(), String> {
    let sent = match url.strip_prefix("http://") {
        Some(rest) => by_http(rest, json),
        None => by_client(url, json),
    };
    sent.map_err(|error| format!("{url}: {error}"))
}

fn by_http(address: &str, json: &str) -> Result<(), String> {
    let end = address.find(['/', '?', '#']).unwrap_or(address.len());
    let (host, path) = address.split_at_checked(end).unwrap_or((address, ""));
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let has_port =
        host.rsplit_once(':').is_some_and(|(before, _)| !before.contains(':') || before.ends_with(']'));
    let server = if has_port { host.to_owned() } else { format!("{host}:80") };
    let mut stream = connect(&server)?;
    let length = json.len();
    let request = format!(
        "POST {slash}{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: mwan3\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{json}"
    );
    stream.write_all(request.as_bytes()).map_err(words)?;
    let mut answer = Vec::new();
    // What came before an error may be enough.
    let ended = read_at_most(&mut stream, LONGEST_ANSWER, &mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let line = answer.lines().next().unwrap_or_default();
    match (line.split(' ').nth(1), ended) {
        (Some(code), _) if line.starts_with("HTTP/1.") && code.starts_with('2') => Ok(()),
        (_, Err(error)) if line.is_empty() => Err(words(error)),
        _ => Err(format!("it answered \"{}\"", line.escape_debug())),
    }
}

fn by_client(url: &str, json: &str) -> Result<(), String> {
    let Some((name, program)) = installed(&CLIENTS) else {
        return Err(format!("https needs one of {}", CLIENTS.join(", ")));
    };
    if name == "curl" {
        let limits = ["--silent", "--show-error", "--fail", "--max-time", "30"];
        let content = ["--header", "Content-Type: application/json", "--data-binary", "@-", "--", url];
        return run_with_input(&program, &[&limits[..], &content].concat(), json);
    }
    let data = format!("--post-data={json}");
    let header = "--header=Content-Type: application/json";
    run_with_input(&program, &["-q", "-T", "30", "-O", "/dev/null", header, &data, url], "")
}
