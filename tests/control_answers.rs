//! What the tracker answers, as those read it who asked.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use mwan3::control::{ask, follow};

const PATIENCE: Duration = Duration::from_secs(60);

/// Says this to the first who asks, a piece at a time.
fn tracker(name: &str, answer: Vec<u8>, piece: usize) -> PathBuf {
    let path = std::env::temp_dir().join(format!("mwan3-answers-{name}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("bound");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).expect("a request");
        answer.chunks(piece).all(|piece| stream.write_all(piece).is_ok());
    });
    path
}

#[test]
fn a_very_long_answer_takes_no_longer_than_its_length() {
    const LENGTH: usize = 4 << 20;
    let path = tracker("long", format!("\"{}\"\n", "x".repeat(LENGTH)).into_bytes(), 1 << 16);
    let began = Instant::now();
    let answer = ask(&path, "gauges", PATIENCE).expect("an answer").expect("a tracker");
    assert_eq!(answer.as_str().map(str::len), Some(LENGTH));
    // Looking at all of it again for each piece takes a minute.
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let _ = std::fs::remove_file(path);
}

#[test]
fn lines_are_told_one_by_one_however_they_come() {
    for piece in [1, 7, 4096] {
        let path = tracker(&format!("lines{piece}"), b"{\"number\":1}\n[]\n\"three\"\n4".to_vec(), piece);
        let mut told = Vec::new();
        let is_there = follow(&path, "events follow 0", Some(PATIENCE), &mut |line| {
            told.push(line.to_string());
            true
        });
        // The last one was not finished.
        assert_eq!((is_there.ok(), told.join(" ")), (Some(true), r#"{"number":1} [] "three""#.to_owned()));
        let _ = std::fs::remove_file(path);
    }
}
