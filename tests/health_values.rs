//! The values that health is made of: the score, the recent probes of a target, the recent events.

use std::time::Duration;

use mwan3::config::Tracking;
use mwan3::health::{CAPACITY, EventRing, History, ProbeRecord, Reply, Score, Status};

#[test]
fn score_follows_the_table_for_every_up_and_down() {
    for up in 1..=10 {
        for down in 1..=10 {
            let tracking = Tracking { up, down, ..Tracking::default() };
            let mut score = Score::online(&tracking);
            for lost in 1..down {
                score.lose_round();
                assert_eq!((score.value(), score.status()), (up + down - lost, Status::Disconnecting));
            }
            score.lose_round();
            assert_eq!((score.value(), score.status()), (0, Status::Offline));
            for won in 1..up {
                score.win_round();
                assert_eq!((score.value(), score.status()), (won, Status::Connecting));
            }
            score.win_round();
            assert_eq!((score.value(), score.status()), (up + down, Status::Online));
        }
    }
}

#[test]
fn one_answered_round_restores_the_full_score_and_one_lost_round_empties_it() {
    let tracking = Tracking { up: 4, down: 4, ..Tracking::default() };
    let mut score = Score::online(&tracking);
    (0..3).for_each(|_| score.lose_round());
    score.win_round();
    assert_eq!(score.value(), 8);
    let mut score = Score::offline(&tracking);
    (0..3).for_each(|_| score.win_round());
    score.lose_round();
    assert_eq!(score.value(), 0);
}

#[test]
fn history_is_judged_when_asked() {
    let mut history = History::default();
    for sequence in 0..10 {
        history.sent(sequence, s(u64::from(sequence)));
    }
    for (sequence, round_trip) in [(0, 10), (1, 20), (2, 30), (3, 40)] {
        assert_eq!(history.answered(sequence, ms(round_trip)), Some(Reply::Waiting));
    }
    assert!(history.failed(4));
    assert!(history.abandoned(5));
    let measured = history.measure(s(9), s(2));
    assert_eq!((measured.answered, measured.lost, measured.loss_permille), (4, 3, 428));
    assert_eq!((measured.mean_us, measured.jitter_us), (25_000, 11_180));
    let percentiles = [0, 50, 75, 100, 200].map(|percent| measured.percentile_us(percent));
    assert_eq!(percentiles, [10_000, 20_000, 30_000, 40_000, 40_000].map(Some));
    assert_eq!(history.answered(6, ms(5_000)), Some(Reply::Waiting), "late");
    assert_eq!(history.answered(6, ms(6_000)), None, "twice");
    assert_eq!(history.answered(4, ms(9_000)), Some(Reply::Failed), "after an error");
    assert_eq!(history.measure(s(9), s(2)).lost, 1);
    assert_eq!(History::default().measure(s(9), s(2)).percentile_us(50), None);
}

#[test]
fn history_is_bounded_and_small() {
    let mut history = History::default();
    for number in 0..100_000_u32 {
        history.sent(number as u16, s(u64::from(number)));
    }
    assert_eq!(history.records().count(), CAPACITY);
    assert_eq!(std::mem::size_of::<ProbeRecord>(), 16);
    let extreme = Duration::MAX;
    history.sent(1, extreme);
    assert_eq!(history.answered(1, extreme), Some(Reply::Waiting));
}

#[test]
fn event_ring_is_bounded_numbered_and_tells_what_is_new() {
    let mut ring = EventRing::new(3);
    for number in 1..=5 {
        assert_eq!(ring.record(s(number), "wan", "connected", "because"), number);
    }
    assert_eq!(ring.after(0).map(|event| event.number).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(ring.after(4).map(|event| event.at).collect::<Vec<_>>(), [s(5)]);
    assert_eq!((ring.after(5).count(), ring.last_number()), (0, 5));
}

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

fn s(number: u64) -> Duration {
    Duration::from_secs(number)
}
