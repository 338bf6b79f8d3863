//! The control socket under load and abuse: nothing that a client does or leaves undone reaches the probing.

#![allow(clippy::unwrap_used)]

mod tracking;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use lab::wait_until;
use tracking::{FAST, SOON, Site};

#[test]
fn only_root_may_ask() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(1, FAST);
    let mode = std::fs::metadata(site.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn garbage_slow_and_silent_clients_disturb_nobody() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    assert!(site.ask("no such thing")["error"].as_str().unwrap().contains("unknown request"));
    assert!(site.ask("")["error"].is_string());
    assert!(site.ask("history nobody")["error"].is_string());
    assert!(site.ask("events x")[0]["number"] == 1);
    let connect = || {
        let stream = UnixStream::connect(site.socket()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    // Bytes that are no text, and a line without an end.
    let mut garbage = connect();
    garbage.write_all(b"\xff\xfe\0\x80 \xc3\n").unwrap();
    assert!(!line_of(&garbage).is_empty());
    let mut endless = connect();
    let _ = endless.write_all(&[b'a'; 20_000]);
    let mut rest = Vec::new();
    let _ = endless.read_to_end(&mut rest);
    assert!(rest.is_empty(), "it is let go");
    // One that dribbles, and forty that say nothing at all.
    let mut slow = connect();
    slow.write_all(b"st").unwrap();
    let silent: Vec<UnixStream> = (0..40).map(|_| connect()).collect();
    let before = site.stat("probes");
    assert!(wait_until(SOON, || site.stat("probes") > before + 20), "probing goes on");
    slow.write_all(b"ats\n").unwrap();
    assert!(line_of(&slow).contains("reconciles"));
    // Those who never ask are let go.
    for mut one in silent {
        assert_eq!(one.read(&mut [0; 16]).unwrap(), 0);
    }
    // A client that closed its half still gets the answer.
    let mut half = connect();
    half.write_all(b"stats\n").unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(line_of(&half).contains("reconciles"));
}

#[test]
fn more_clients_than_places_are_all_answered() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(1, FAST);
    let streams: Vec<UnixStream> = (0..100)
        .map(|_| {
            let stream = UnixStream::connect(site.socket()).unwrap();
            stream.set_read_timeout(Some(SOON)).unwrap();
            writeln!(&stream, "stats").unwrap();
            stream
        })
        .collect();
    for stream in &streams {
        assert!(line_of(stream).contains("reconciles"));
    }
}

#[test]
fn followers_hear_each_event_once_and_one_that_sleeps_delays_nobody() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let asleep = UnixStream::connect(site.socket()).unwrap();
    writeln!(&asleep, "follow 0").unwrap();
    let mut follower = site.command();
    let mut follower = follower.args(["events", "-f", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut next = || {
        let line = lines.next().unwrap().unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        (event["interface"].as_str().unwrap().to_owned(), event["event"].as_str().unwrap().to_owned())
    };
    let pair = |interface: &str, event: &str| (interface.to_owned(), event.to_owned());
    assert_eq!(next(), pair("wan", "connected"));
    assert_eq!(next(), pair("wanb", "connected"));
    site.lab.isp(1).blackhole();
    assert_eq!(next(), pair("wan", "disconnecting"));
    assert_eq!(next(), pair("wan", "disconnected"));
    // The next to connect must not hear what the one before asked for.
    drop(asleep);
    let fresh = UnixStream::connect(site.socket()).unwrap();
    fresh.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    site.lab.isp(1).restore();
    assert_eq!(next(), pair("wan", "connecting"));
    let mut byte = [0; 1];
    assert!((&fresh).read(&mut byte).is_err(), "nothing was asked");
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn a_test_gives_its_verdict_in_words() {
    if !lab::is_available() {
        return;
    }
    let site = Site::start(2, FAST);
    site.await_status("wan", "online");
    let good = site.run(&["test", "wan"]);
    assert!(good.contains("2 of 2 targets answered, 1 needed: the link works"), "{good}");
    site.lab.isp(1).blackhole();
    let bad = site.try_run(&["test", "wan"]);
    assert_eq!(bad.status.code(), Some(1));
    let text = String::from_utf8_lossy(&bad.stdout);
    assert!(text.contains("0 of 2 targets answered, 1 needed: the link does not work"), "{text}");
    // The test leaves the rounds alone.
    site.await_status("wan", "offline");
    assert_eq!(site.events("wan"), ["connected", "disconnecting", "disconnected"]);
}

fn line_of(stream: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}
