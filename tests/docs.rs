//! Documentation that is written from tables in the code. `MWAN3_BLESS=1 cargo test --test docs` rewrites it.

use std::path::Path;

use mwan3::config::{self, Tracking, options};
use mwan3::health::detection_time;
use mwan3::report::{promises_text, seconds};
use mwan3::uci;

#[test]
fn the_reference_of_options_is_what_the_table_says() {
    is_current("docs/reference/options.md", &options::markdown());
}

#[test]
fn the_manual_page_of_the_configuration_is_what_the_table_says() {
    is_current("docs/man/mwan3.5", &options::manual());
}

#[test]
fn the_guides_table_of_detection_times_is_what_the_arithmetic_says() {
    let text = include_str!("../docs/guide/tracking.md");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| ") && line.matches('|').count() == 8)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let mut checked = 0;
    for row in rows.iter().filter(|row| row[0] != "interval") {
        let ms = |column: usize| (row[column].parse::<f64>().expect("a number") * 1000.0).round() as u32;
        let tracking = Tracking {
            targets: vec!["1.1.1.1".to_owned()],
            interval_ms: ms(0),
            timeout_ms: ms(1),
            down: row[2].parse().expect("a number"),
            confirm_interval_ms: ms(3),
            ..Tracking::default()
        };
        let promised = detection_time(&tracking).expect("it is probed");
        assert_eq!((row[4], row[5]), (&*seconds(promised.best), &*seconds(promised.worst)), "{row:?}");
        checked += 1;
    }
    assert!(checked >= 5, "the table is gone");
}

#[test]
fn the_shipped_configuration_promises_what_the_guide_says() {
    let package = uci::parse("mwan3", include_bytes!("../files/etc/config/mwan3"));
    let (mut config, problems) = config::read(&package, "mwan3");
    assert_eq!(problems, []);
    config.interfaces.iter_mut().for_each(|interface| interface.enabled = true);
    let text = promises_text(&config);
    assert_eq!(text.lines().count(), 4, "{text}");
    for line in text.lines() {
        assert!(line.contains("a silent fault is left after 2.8 to 4.8 s"), "{line}");
        assert!(line.contains("is used after 8 to 10.8 s"), "{line}");
        let cost = if line.contains("6'") { "922 kB" } else { "634 kB" };
        assert!(line.ends_with(&format!("probes take up to {cost} an hour")), "{line}");
    }
}

fn is_current(path: &str, wanted: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("MWAN3_BLESS").is_some() {
        std::fs::write(&path, wanted).expect("the file can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{} is not current: run MWAN3_BLESS=1 cargo test --test docs", path.display());
}
