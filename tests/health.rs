//! The health machine where a scenario file would say it less well: counters, files, rounds, evidence.

mod world;

use mwan3::config::{Quality, Tracking};
use mwan3::health::{Action, Adopted, Event, HotplugAction, Link, LinkFault, Reply, Status};

use world::{Behaviour, World, attachment, interface, ms, quick, s};

#[test]
fn absurd_thresholds_do_no_harm() {
    let tracking = Tracking { up: u32::MAX, down: u32::MAX, ..quick() };
    let mut link = Link::new(interface(tracking));
    link.handle(Event::Start(Some(attachment("eth1", None))), s(1));
    assert!(link.usable());
    let tracking = Tracking {
        up: 0,
        down: 0,
        interval_ms: 0,
        timeout_ms: 0,
        failure_interval_ms: 0,
        count: 0,
        reliability: 0,
        ..quick()
    };
    let mut link = Link::new(interface(tracking));
    link.handle(Event::Start(Some(attachment("eth1", None))), s(1));
    let (at, _) = link.deadline().expect("it is probed");
    assert!(at > s(1));
}

// ---- files

#[test]
fn files_have_the_contents_that_scripts_read() {
    let mut world = World::new(Tracking { quality: Some(Quality::default()), reliability: 2, ..quick() });
    world.now = s(100);
    world.handle(Event::Start(Some(attachment("eth1", None))));
    world.weather.insert("8.8.8.8".to_owned(), Behaviour::Lost);
    world.run_until(ms(103_500));
    let files = world.link.snapshot().files();
    let content = |name: &str| files.iter().find(|file| file.0 == name).map(|file| file.1.as_str());
    assert_eq!(content("STATUS"), Some("disconnecting\n"));
    assert_eq!(content("STARTED"), Some("1\n"));
    assert_eq!(content("SCORE"), Some("4\n"));
    assert_eq!(content("LOST"), Some("1\n"));
    assert_eq!(content("TURN"), Some("2\n"));
    assert_eq!(content("TIME"), Some("102\n"));
    assert_eq!(content("ONLINE"), Some("100\n"));
    assert_eq!(content("OFFLINE"), Some("0\n"));
    assert_eq!(content("TRACK_1.1.1.1"), Some("up\n"));
    assert_eq!(content("TRACK_8.8.8.8"), Some("down\n"));
    assert_eq!(content("LATENCY_1.1.1.1"), Some("20\n"));
    assert_eq!(content("LOSS_1.1.1.1"), Some("0\n"));
    assert_eq!(content("LATENCY_8.8.8.8"), Some("999999\n"));
    assert_eq!(content("LOSS_8.8.8.8"), Some("100\n"));
}

#[test]
fn turn_counts_rounds_since_the_link_connected() {
    let mut world = World::started(Tracking { targets: vec!["1.1.1.1".to_owned()], ..quick() });
    world.run_until(ms(3500));
    assert_eq!(world.link.snapshot().turn, 4);
    world.all_targets(Behaviour::Lost);
    world.run_for(s(20));
    world.all_targets(Behaviour::Answers(ms(20)));
    while !world.link.usable() {
        world.run_for(ms(100));
    }
    assert_eq!(world.link.snapshot().turn, 1);
}

#[test]
fn a_target_cannot_name_a_file_elsewhere() {
    let targets = vec!["../../etc/passwd".to_owned()];
    let mut world = World::started(Tracking { targets, ..quick() });
    world.run_until(s(1));
    assert!(world.link.snapshot().files().iter().all(|(name, _)| !name.contains('/')));
}

#[test]
fn files_read_back_are_the_state_that_was_written() {
    let mut world = World::started(quick());
    world.run_until(s(5));
    world.all_targets(Behaviour::Lost);
    world.run_until(s(8));
    let written = world.link.snapshot();
    assert_eq!(written.status, Status::Disconnecting);
    let files = written.files();
    let read = |name: &str| files.iter().find(|file| file.0 == name).map(|file| file.1.clone());
    let adopted = Adopted::from_files(read).expect("a known STATUS");
    let mut link = Link::new(interface(quick()));
    link.handle(Event::Adopt(adopted, Some(attachment("eth1", None))), s(8));
    let again = link.snapshot();
    assert_eq!((again.status, again.score, again.lost), (written.status, written.score, written.lost));
    let told = std::iter::from_fn(|| link.poll_action())
        .any(|action| matches!(action, Action::Transition(_) | Action::Announce(_)));
    assert!(!told, "taking over is no news");
}

#[test]
fn unreadable_files_are_not_adopted() {
    assert_eq!(Adopted::from_files(|_| None), None);
    assert_eq!(Adopted::from_files(|_| Some("on line".to_owned())), None);
    let broken = Adopted::from_files(|name| Some(if name == "STATUS" { "online" } else { "x" }.to_owned()));
    assert_eq!(broken.map(|adopted| (adopted.status, adopted.score)), Some((Status::Online, 0)));
}

// ---- rounds

#[test]
fn a_round_without_answers_lasts_one_timeout_however_many_targets_and_packets() {
    let targets = (1..=20).map(|number| format!("192.0.2.{number}")).collect();
    let tracking = Tracking { targets, count: 5, down: 1, timeout_ms: 2_000, ..quick() };
    let mut world = World::new(tracking);
    world.all_targets(Behaviour::Lost);
    world.handle(Event::Start(Some(attachment("eth1", None))));
    world.run_until(ms(2_500));
    assert_eq!(world.transitions().last(), Some(&(s(2), Status::Online, Status::Offline)));
    assert_eq!(world.probes_sent, 100, "5 packets to each of 20 targets");
}

#[test]
fn packets_beyond_the_first_are_only_sent_while_a_target_is_silent() {
    let mut world = World::started(Tracking { count: 5, ..quick() });
    world.run_until(ms(500));
    assert_eq!(world.probes_sent, 2);
}

#[test]
fn a_quorum_that_cannot_be_reached_any_more_ends_the_round() {
    let targets = ["1.1.1.1", "8.8.8.8", "9.9.9.9"].map(str::to_owned).to_vec();
    let mut world = World::new(Tracking { targets, reliability: 2, timeout_ms: 4_000, ..quick() });
    for target in ["1.1.1.1", "9.9.9.9"] {
        world.weather.insert(target.to_owned(), Behaviour::Fails("refused".to_owned()));
    }
    world.weather.insert("8.8.8.8".to_owned(), Behaviour::Lost);
    world.handle(Event::Start(Some(attachment("eth1", None))));
    world.run_until(ms(100));
    assert_eq!(world.link.status(), Status::Disconnecting);
    assert!(world.now < s(4));
}

#[test]
fn a_reliability_beyond_the_targets_never_comes_up_and_says_why() {
    let mut world = World::started(Tracking { reliability: 3, initially_online: false, ..quick() });
    world.run_until(s(60));
    assert_eq!(world.link.status(), Status::Offline);
    let mut world = World::started(Tracking { reliability: 3, down: 2, ..quick() });
    world.all_targets(Behaviour::Lost);
    world.run_until(s(5));
    let reason = world.done.iter().rev().find_map(|(_, action)| match action {
        Action::Transition(transition) => Some(transition.reason.clone()),
        _ => None,
    });
    assert_eq!(
        reason.as_deref(),
        Some(
            "2 of 2 targets did not answer within 1 s, reliability 3 is more than there are targets, \
             2 rounds in a row"
        )
    );
}

#[test]
fn answers_read_late_by_a_busy_loop_still_count() {
    let mut link = Link::new(interface(Tracking { down: 1, reliability: 2, ..quick() }));
    link.handle(Event::Start(Some(attachment("eth1", None))), s(1));
    let sent: Vec<Action> = std::iter::from_fn(|| link.poll_action()).collect();
    for action in sent {
        if let Action::Probe { target, sequence } = action {
            link.handle(Event::ProbeAnswered { target, sequence, round_trip: ms(30) }, s(9));
        }
    }
    link.handle(Event::Deadline, s(9));
    assert_eq!(link.status(), Status::Online);
}

#[test]
fn an_answer_beyond_the_timeout_is_late_even_if_the_loop_was_later() {
    let mut link = Link::new(interface(Tracking { down: 1, reliability: 2, ..quick() }));
    link.handle(Event::Start(Some(attachment("eth1", None))), s(1));
    while let Some(action) = link.poll_action() {
        if let Action::Probe { target, sequence } = action {
            link.handle(Event::ProbeAnswered { target, sequence, round_trip: ms(1_001) }, s(9));
        }
    }
    assert_eq!(link.status(), Status::Offline);
}

#[test]
fn a_duplicate_does_not_make_up_for_a_lost_packet() {
    let tracking = Tracking { quality: Some(Quality::default()), count: 2, down: 1, ..quick() };
    let mut link = Link::new(interface(tracking));
    link.handle(Event::Start(Some(attachment("eth1", None))), s(1));
    let first: Vec<Action> = std::iter::from_fn(|| link.poll_action()).collect();
    for action in first.into_iter().cycle().take(100) {
        if let Action::Probe { target, sequence } = action {
            link.handle(Event::ProbeAnswered { target, sequence, round_trip: ms(9) }, s(1) + ms(9));
        }
    }
    link.handle(Event::Deadline, s(1) + ms(250));
    assert!(link.usable());
    link.handle(Event::Deadline, s(2));
    assert!(!link.usable(), "50 % loss is over the limit of 40 %");
    assert_eq!(link.snapshot().targets.first().and_then(|target| target.loss_percent), Some(50));
}

#[test]
fn probes_cut_short_by_an_address_change_are_not_counted_as_lost() {
    let mut world = World::started(quick());
    world.all_targets(Behaviour::Lost);
    world.run_until(ms(1_500));
    world.handle(Event::AddressChanged(attachment("eth1", Some("192.0.2.3"))));
    world.all_targets(Behaviour::Answers(ms(20)));
    let history = world.link.history(0).expect("a history");
    let replies: Vec<Reply> = history.records().map(|record| record.reply()).collect();
    let answered = Reply::Answered { round_trip_us: 20_000 };
    assert_eq!(replies, [answered, Reply::Abandoned, Reply::Waiting]);
    assert_eq!(history.measure(world.now, s(1)).lost, 0);
}

#[test]
fn answers_nobody_asked_for_change_nothing() {
    let mut world = World::started(quick());
    world.all_targets(Behaviour::Lost);
    world.run_until(s(30));
    assert_eq!(world.link.status(), Status::Offline);
    let before = world.link.snapshot();
    for sequence in 0..=u16::MAX {
        for target in [2, 7, usize::MAX] {
            world.link.handle(Event::ProbeAnswered { target, sequence, round_trip: ms(1) }, world.now);
            let reason = String::new();
            world.link.handle(Event::ProbeFailed { target, sequence, reason }, world.now);
        }
    }
    assert_eq!(world.link.snapshot(), before);
}

#[test]
fn a_clock_that_runs_backwards_is_ignored() {
    let mut world = World::started(quick());
    world.run_until(s(100));
    world.link.handle(Event::Deadline, s(1));
    let (at, _) = world.link.deadline().expect("it is probed");
    assert!(at > s(99));
}

#[test]
fn instant_failures_do_not_spin() {
    let tracking = Tracking {
        interval_ms: 0,
        failure_interval_ms: 0,
        confirm_interval_ms: 0,
        recovery_interval_ms: 0,
        ..quick()
    };
    let mut world = World::started(tracking);
    world.all_targets(Behaviour::Fails("the network is unreachable".to_owned()));
    world.run_until(s(10));
    assert!(world.probes_sent < 2 * 10 * 21, "{} probes in 10 s", world.probes_sent);
}

#[test]
fn fractional_loss_is_compared_exactly() {
    for (lost_percent, stays_online) in [(34, true), (33, false)] {
        let quality = Quality { failure_loss_percent: lost_percent, ..Quality::default() };
        let targets = vec!["1.1.1.1".to_owned()];
        let tracking = Tracking { quality: Some(quality), count: 3, down: 1, targets, ..quick() };
        let mut link = Link::new(interface(tracking));
        link.handle(Event::Start(Some(attachment("eth1", None))), s(1));
        let mut answered = 0;
        while let Some((at, _)) = link.deadline().filter(|(at, _)| *at <= s(2)) {
            while let Some(action) = link.poll_action() {
                if let Action::Probe { target, sequence } = action {
                    answered += 1;
                    if answered != 2 {
                        let round_trip = ms(10);
                        link.handle(Event::ProbeAnswered { target, sequence, round_trip }, at);
                    }
                }
            }
            link.handle(Event::Deadline, at);
        }
        assert_eq!(link.usable(), stays_online, "33.3 % loss against {lost_percent} %");
        assert_eq!(link.snapshot().targets.first().and_then(|target| target.loss_percent), Some(33));
    }
}

#[test]
fn late_answers_heal_the_record_of_a_link_that_is_merely_slow() {
    let mut world = World::started(quick());
    world.all_targets(Behaviour::Answers(ms(1_500)));
    world.run_until(s(60));
    assert_eq!(world.link.status(), Status::Offline, "the timeout is 1 s");
    let measured = world.link.history(0).expect("a history").measure(world.now, ms(1_000));
    assert!(measured.answered > 20 && measured.lost <= 1, "{measured:?}");
    assert_eq!(measured.percentile_us(50), Some(1_500_000));
}

// ---- configuration and hard evidence

#[test]
fn a_reload_keeps_the_history_of_targets_that_stay() {
    let mut world = World::started(quick());
    world.run_until(s(20));
    let before = world.link.history(1).cloned().expect("a history");
    let mut changed = interface(quick());
    changed.tracking.targets = vec!["8.8.8.8".to_owned(), "9.9.9.9".to_owned()];
    world.handle(Event::ConfigChanged(Box::new(changed)));
    let kept = world.link.history(0).expect("a history");
    assert!(before.records().eq(kept.records().take(before.records().count())));
    assert_eq!(world.link.history(1).map(|history| history.records().count()), Some(1));
    assert_eq!(world.link.status(), Status::Online);
}

#[test]
fn disabling_and_enabling_an_interface_ends_and_begins_it() {
    let mut world = World::started(quick());
    world.run_until(s(2));
    let mut off = interface(quick());
    off.enabled = false;
    world.handle(Event::ConfigChanged(Box::new(off)));
    assert_eq!((world.link.status(), world.link.deadline()), (Status::Disabled, None));
    world.handle(Event::ConfigChanged(Box::new(interface(quick()))));
    assert!(world.link.usable());
    use HotplugAction::{Connected, Disconnected};
    assert_eq!(world.hotplug(), [Connected, Disconnected, Connected]);
}

#[test]
fn losing_the_last_target_ends_a_degradation() {
    let mut world = World::started(quick());
    world.run_until(s(2));
    world.all_targets(Behaviour::Lost);
    world.run_until(s(4));
    assert_eq!(world.link.status(), Status::Disconnecting);
    let untracked = Tracking { targets: Vec::new(), ..quick() };
    world.handle(Event::ConfigChanged(Box::new(interface(untracked))));
    assert_eq!((world.link.status(), world.link.deadline()), (Status::Online, None));
}

#[test]
fn carrier_loss_of_a_recovering_link_goes_back_to_offline_without_an_event() {
    let mut world = World::started(Tracking { initially_online: false, ..quick() });
    world.run_until(ms(100));
    assert_eq!(world.link.status(), Status::Connecting);
    world.handle(Event::LinkDown(LinkFault::Carrier));
    assert_eq!(world.link.status(), Status::Offline);
    assert_eq!(world.hotplug(), [HotplugAction::Connecting]);
}

#[test]
fn a_lost_message_that_the_carrier_is_back_does_not_keep_a_link_offline() {
    let mut world = World::started(quick());
    world.handle(Event::LinkDown(LinkFault::Carrier));
    world.run_until(s(30));
    assert!(world.link.usable());
}

#[test]
fn a_device_under_another_name_is_probed_at_once() {
    let mut world = World::started(quick());
    world.run_until(ms(1_900));
    let sent = world.probes_sent;
    world.handle(Event::AddressChanged(attachment("eth7", Some("192.0.2.2"))));
    assert_eq!(world.probes_sent, sent + 2);
    assert_eq!(world.link.attachment().map(|attachment| attachment.device.as_str()), Some("eth7"));
    world.handle(Event::AddressChanged(attachment("", None)));
    assert_eq!(world.link.status(), Status::Disabled);
    world.handle(Event::AddressChanged(attachment("eth8", None)));
    assert_eq!(world.link.status(), Status::Online);
}
