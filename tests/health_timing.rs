//! What the timing promises: how soon a fault is left, what it costs, and that a lossy link that works is not left.

mod world;

use std::time::Duration;

use mwan3::address::Family;
use mwan3::config::{TrackMethod, Tracking};
use mwan3::health::{HotplugAction, TargetState, detection_time, probe_bytes_per_hour, recovery_time};

use world::{Behaviour, World, fast, ms, quick, s, shipped};

#[test]
fn blackholes_are_left_within_the_time_that_the_arithmetic_promises() {
    for tracking in [shipped(), fast(), quick(), Tracking { down: 1, ..quick() }] {
        let promised = detection_time(&tracking).expect("it is probed");
        for phase in 0..97 {
            let mut world = World::started(tracking.clone());
            world.keep_actions = false;
            world.run_until(s(10) + ms(phase * 37));
            world.all_targets(Behaviour::Lost);
            let begun = world.now;
            while world.link.usable() {
                let (at, _) = world.link.deadline().expect("it is probed");
                world.run_until(at);
            }
            let taken = world.now - begun;
            // A reply on its way when the fault begins still arrives.
            assert!(taken <= promised.worst + ms(20), "{taken:?} is over {promised:?}");
            assert!(taken + ms(20) >= promised.best, "{taken:?} is under {promised:?}");
        }
    }
}

#[test]
fn shipped_timing_leaves_a_blackhole_within_5_s_for_less_than_1_mb_an_hour() {
    let shipped = shipped();
    assert_eq!(detection_time(&shipped).map(|time| (time.best, time.worst)), Some((ms(2_800), ms(4_800))));
    assert_eq!(recovery_time(&shipped).map(|time| (time.best, time.worst)), Some((s(8), ms(10_800))));
    assert_eq!(probe_bytes_per_hour(&shipped, Family::Ipv4), 4 * 2 * (20 + 8 + 16) * 1_800);
    assert_eq!(probe_bytes_per_hour(&shipped, Family::Ipv6), 921_600);
}

#[test]
fn fast_timing_leaves_a_blackhole_within_1_s() {
    let worst = detection_time(&fast()).map(|time| time.worst);
    assert_eq!(worst, Some(ms(850)));
}

#[test]
fn the_shell_packages_shipped_timing_takes_a_minute_here() {
    let targets = ["1.0.0.1", "1.1.1.1", "208.67.222.222", "208.67.220.220"].map(str::to_owned).to_vec();
    let tracking = Tracking { targets, reliability: 2, ..Tracking::default() };
    assert_eq!(detection_time(&tracking).map(|time| (time.best, time.worst)), Some((s(60), s(70))));
    assert_eq!(detection_time(&Tracking::default()), None, "nothing is probed");
}

#[test]
fn other_methods_have_an_estimate_of_their_traffic() {
    for method in [TrackMethod::Arp, TrackMethod::Tcp, TrackMethod::Udp, TrackMethod::Dns, TrackMethod::Http]
    {
        let tracking = Tracking { method, ..quick() };
        assert!(probe_bytes_per_hour(&tracking, Family::Ipv4) >= 2 * 56 * 3_600);
    }
}

#[test]
fn a_day_of_20_percent_loss_gives_no_false_alarm_with_the_shipped_timing() {
    assert_eq!(false_alarms(20, s(86_400)), 0);
}

#[test]
fn an_hour_of_50_percent_loss_gives_no_false_alarm_with_the_shipped_timing() {
    assert_eq!(false_alarms(50, s(3_600)), 0);
}

#[test]
fn one_dead_target_of_four_never_disconnects() {
    let mut world = World::started(shipped());
    world.weather.insert("1.1.1.1".to_owned(), Behaviour::Lost);
    world.run_until(s(3_600));
    assert_eq!(world.hotplug(), [HotplugAction::Connected]);
    let snapshot = world.link.snapshot();
    assert_eq!(
        snapshot.targets.iter().find(|target| target.target == "1.1.1.1").map(|target| target.state),
        Some(Some(TargetState::Down))
    );
}

#[test]
fn a_flapping_link_says_each_thing_once_and_in_order() {
    for period in [1, 2, 3, 5, 8, 13, 30] {
        let mut world = World::started(shipped());
        for half in 0..200 {
            let lost = half % 2 == 0;
            world.all_targets(if lost { Behaviour::Lost } else { Behaviour::Answers(ms(30)) });
            world.run_for(s(period));
        }
        let mut heard = HotplugAction::Disconnected;
        for action in world.hotplug() {
            let follows = match action {
                HotplugAction::Connected => {
                    matches!(heard, HotplugAction::Connecting | HotplugAction::Disconnected)
                }
                HotplugAction::Disconnected => heard == HotplugAction::Disconnecting,
                HotplugAction::Connecting => {
                    matches!(heard, HotplugAction::Disconnected | HotplugAction::Connecting)
                }
                HotplugAction::Disconnecting => {
                    matches!(heard, HotplugAction::Connected | HotplugAction::Disconnecting)
                }
            };
            assert!(follows, "{action:?} after {heard:?}, flapping every {period} s");
            heard = action;
        }
    }
}

fn false_alarms(loss_percent: u32, duration: Duration) -> usize {
    let mut world = World::started(shipped());
    world.all_targets(Behaviour::Lossy(loss_percent, ms(40)));
    world.keep_actions = false;
    let mut alarms = 0;
    while world.now < duration {
        let was_usable = world.link.usable();
        let (at, _) = world.link.deadline().expect("it is probed");
        world.run_until(at);
        alarms += usize::from(was_usable && !world.link.usable());
    }
    alarms
}
