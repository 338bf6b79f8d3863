//! Local time by the rules of a time zone and by its file, as the C library's `date` has it.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use mwan3::system::clock::zone::{offset_by_rules, offset_in_file};
use proptest::prelude::*;

const RULES: [&str; 11] = [
    "UTC0",
    "CET-1CEST,M3.5.0,M10.5.0/3",
    "EST5EDT,M3.2.0,M11.1.0",
    "NZST-12NZDT,M9.5.0,M4.1.0/3",
    "<+0330>-3:30",
    "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
    "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
    "IST-1GMT0,M10.5.0,M3.5.0/1",
    "XXX3YYY,J60/0,J300/24:30",
    "XXX3YYY2:15:30,J59,J366",
    "AAA-3BBB,58,304/1:59:59",
];

/// From 1971 to 2096, at hours that drift through the day.
fn times() -> Vec<i64> {
    (1..4400).map(|number| number * 908_103 + 31_536_000).collect()
}

/// As seconds.
fn by_date(zone: &str, times: &[i64]) -> Vec<i64> {
    let mut date = Command::new("date");
    date.args(["-f", "-", "+%::z"]).env("TZ", zone).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut date = date.spawn().unwrap();
    let text: String = times.iter().map(|time| format!("@{time}\n")).collect();
    let mut stdin = date.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = date.wait_with_output().unwrap();
    writer.join().unwrap();
    let seconds = |line: &str| {
        let parts: Vec<i64> = line[1..].split(':').map(|part| part.parse().unwrap()).collect();
        let seconds = parts[0] * 3600 + parts[1] * 60 + parts[2];
        if line.starts_with('-') { -seconds } else { seconds }
    };
    String::from_utf8(output.stdout).unwrap().lines().map(seconds).collect()
}

#[test]
fn rules_say_the_same_as_the_c_library() {
    let times = times();
    for rules in RULES {
        let expected = by_date(rules, &times);
        assert_eq!(expected.len(), times.len());
        for (time, expected) in times.iter().zip(expected) {
            assert_eq!(offset_by_rules(rules.as_bytes(), *time), Some(expected), "{rules} at {time}");
        }
    }
}

#[test]
fn files_of_the_database_say_the_same_as_the_c_library() {
    let folder = Path::new("/usr/share/zoneinfo");
    let times = times();
    for name in [
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Asia/Tehran",
        "UTC",
    ] {
        // Not every machine has all.
        let Ok(file) = std::fs::read(folder.join(name)) else { continue };
        for (time, expected) in times.iter().zip(by_date(name, &times)) {
            assert_eq!(offset_in_file(&file, *time), Some(expected), "{name} at {time}");
        }
    }
}

#[test]
fn the_day_of_a_change_turns_at_its_very_second() {
    let berlin = |time| offset_by_rules(b"CET-1CEST,M3.5.0,M10.5.0/3", time);
    // 2026-03-29 and 2026-10-25, 01:00 UTC.
    assert_eq!((berlin(1_774_745_999), berlin(1_774_746_000)), (Some(3600), Some(7200)));
    assert_eq!((berlin(1_792_889_999), berlin(1_792_890_000)), (Some(7200), Some(3600)));
}

#[test]
fn what_is_no_rule_has_no_offset() {
    for text in [
        "",
        "UTC",
        "Europe/Berlin",
        ":CET-1",
        "CET-",
        "<CET-1",
        "CET-1CEST,",
        "CET-1CEST,M3",
        "CET-1CEST,M3.5.0",
    ] {
        assert_eq!(offset_by_rules(text.as_bytes(), 1_774_746_000), None, "{text}");
    }
}

#[test]
fn an_old_file_has_times_of_32_bits_only() {
    let mut file = b"TZif\0".to_vec();
    file.extend([0; 15]);
    for count in [0u32, 0, 0, 1, 2, 4] {
        file.extend(count.to_be_bytes());
    }
    file.extend(1_000_000u32.to_be_bytes());
    file.push(1);
    file.extend([0, 0, 14, 16, 0, 0]);
    file.extend((-7200i32).to_be_bytes());
    file.extend([1, 0]);
    file.extend(b"ABC\0");
    assert_eq!(offset_in_file(&file, 999_999), Some(3600));
    assert_eq!(offset_in_file(&file, 1_000_000), Some(-7200));
    assert!((0..file.len()).all(|length| offset_in_file(&file[..length], 0).is_none()));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text in "[A-Z]{0,4}[-+]?[0-9:]{0,9}[<A-Z>]{0,5}(,[MJ]?[0-9./:]{0,12}){0,3}", bytes: Vec<u8>) {
        let _ = offset_by_rules(text.as_bytes(), 1_774_746_000);
        let _ = offset_by_rules(&bytes, 0);
        let file = [b"TZif", &bytes[..]].concat();
        let _ = offset_in_file(&file, 1_774_746_000);
    }
}
