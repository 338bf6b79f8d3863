//! The picture of `mwan3 top` at three widths, and where something is unknown.

use mwan3::report::{Picture, Row, Screen, age, sparkline, top_lines};

fn picture() -> Picture {
    let probes = (0..40).map(|number| if number % 9 == 0 { None } else { Some(100 + number * 10) });
    Picture {
        corner: "up 5h07m".to_owned(),
        is_tracked: true,
        uplinks: vec![
            Row {
                name: "fibre".to_owned(),
                state: "online".to_owned(),
                since_s: 18_420,
                round_trip_us: Some(12_340),
                loss_permille: Some(15),
                probes: probes.collect(),
                flows: Some(42),
                received: Some(81_234_567),
                sent: Some(950),
            },
            Row {
                name: "a_name_that_is_long".to_owned(),
                state: "disconnecting".to_owned(),
                since_s: 59,
                ..Row::default()
            },
            Row { name: "cable".to_owned(), state: "switched off".to_owned(), ..Row::default() },
        ],
        policies: vec![
            ("balanced".to_owned(), "fibre 60%, cable 40%".to_owned()),
            ("last".to_owned(), "unreachable".to_owned()),
        ],
        events: vec![" 12m03s ago  fibre      connected     the interface came up".to_owned()],
    }
}

fn shown(columns: usize, rows: usize, has_colour: bool) -> String {
    let lines = top_lines(&picture(), Screen { columns, rows, has_colour });
    format!("{}\n", lines.join("\n"))
}

#[test]
fn a_narrow_screen_shows_names_states_and_ages() {
    assert_eq!(shown(40, 0, false), include_str!("report_top/40.txt"));
}

#[test]
fn a_usual_screen_shows_the_numbers() {
    assert_eq!(shown(80, 0, false), include_str!("report_top/80.txt"));
}

#[test]
fn a_wide_screen_shows_probes_too() {
    assert_eq!(shown(120, 0, false), include_str!("report_top/120.txt"));
}

#[test]
fn no_line_is_wider_than_the_screen_and_no_picture_higher() {
    for columns in 1..140 {
        for (rows, has_colour) in [(0, false), (0, true), (3, false), (7, true)] {
            let text = shown(columns, rows, has_colour);
            assert!(rows == 0 || text.lines().count() <= rows, "{text}");
            for line in text.lines() {
                let mut plain = line.to_owned();
                for code in ["\x1b[0m", "\x1b[2m", "\x1b[7m", "\x1b[31m", "\x1b[32m", "\x1b[33m"] {
                    plain = plain.replace(code, "");
                }
                assert!(!plain.contains('\x1b'), "{plain:?}");
                assert!(plain.chars().count() <= columns, "{columns}: {plain:?}");
            }
        }
    }
}

#[test]
fn a_sparkline_is_scaled_to_the_slowest_and_shows_losses() {
    assert_eq!(sparkline(&[Some(0), Some(50), Some(100), None], 10), "▁▄▇x");
    assert_eq!(sparkline(&[Some(900), Some(50), Some(100), None], 3), "▄▇x");
    assert_eq!(sparkline(&[None, Some(0)], 10), "x▁");
    assert_eq!(sparkline(&[], 10), "");
    assert_eq!(sparkline(&[Some(u64::MAX), Some(1)], 10).chars().count(), 2);
}

#[test]
fn ages_take_the_two_units_that_matter() {
    let ages = [0, 59, 60, 723, 3_600, 18_420, 86_400, 1_047_600].map(age);
    assert_eq!(ages, ["0s", "59s", "1m00s", "12m03s", "1h00m", "5h07m", "1d00h", "12d03h"]);
}

#[test]
fn without_a_tracker_the_title_says_so() {
    let lines = top_lines(&Picture::default(), Screen { columns: 60, rows: 0, has_colour: false });
    assert!(lines[0].contains("NO TRACKER RUNS"), "{lines:?}");
}
