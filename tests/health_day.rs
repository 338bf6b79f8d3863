//! A day of simulated time with random faults. `World` checks its invariants after every single step; this checks in
//! addition that transitions form a chain and that those who only listen to hotplug events know the truth.

mod world;

use mwan3::config::{Quality, Tracking};
use mwan3::health::{Action, Event, HotplugAction, Link, LinkFault, Status};

use world::{Behaviour, Random, World, attachment, interface, ms, s};

#[test]
fn a_day_of_random_faults_breaks_no_promise() {
    for seed in [1, 2, 3] {
        play_a_day(seed, None);
    }
}

#[test]
fn a_day_of_random_faults_with_quality_checks_breaks_no_promise() {
    play_a_day(4, Some(Quality::default()));
}

fn play_a_day(seed: u64, quality: Option<Quality>) {
    let mut random = Random(seed);
    let mut world = World::started(random_tracking(&mut random, &quality));
    let (mut heard_usable, mut last_status) = (false, Status::Disabled);
    let mut transitions = 0;
    while world.now < s(86_400) {
        inject(&mut world, &mut random, &quality);
        world.run_for(ms(u64::from(random.below(60_000))));
        for (at, action) in std::mem::take(&mut world.done) {
            match action {
                Action::Transition(transition) => {
                    assert_eq!(transition.from, last_status, "seed {seed} at {at:?}");
                    assert!(!transition.reason.is_empty());
                    last_status = transition.to;
                    transitions += 1;
                }
                Action::Announce(announcement) => match announcement.action {
                    HotplugAction::Connected => heard_usable = true,
                    HotplugAction::Disconnected => {
                        assert!(heard_usable, "disconnected twice, seed {seed} at {at:?}");
                        heard_usable = false;
                    }
                    HotplugAction::Connecting => assert!(!heard_usable),
                    HotplugAction::Disconnecting => assert!(heard_usable),
                },
                _ => {}
            }
        }
        assert_eq!(last_status, world.link.status(), "seed {seed}");
        assert_eq!(heard_usable, world.link.usable(), "seed {seed} at {:?}", world.now);
        world.check_told();
    }
    assert!(transitions > 1_000, "a dull day: {transitions} transitions");
}

fn inject(world: &mut World, random: &mut Random, quality: &Option<Quality>) {
    let device = format!("eth{}", random.below(3));
    let source = format!("192.0.2.{}", 1 + random.below(3));
    let attachment = attachment(&device, (random.below(5) > 0).then_some(source.as_str()));
    match random.below(23) {
        0 => world.handle(Event::InterfaceDown),
        1 | 2 => world.handle(Event::InterfaceUp(attachment)),
        3 => world.handle(Event::AddressChanged(attachment)),
        4 => world.handle(Event::LinkDown(LinkFault::Carrier)),
        5 => world.handle(Event::LinkBack),
        6 => world.handle(Event::GatewayUnreachable([192, 0, 2, 1].into())),
        7 => world.handle(Event::ForcedDown),
        8 => world.handle(Event::ForcedUp),
        9 => {
            let mut changed = interface(random_tracking(random, quality));
            changed.enabled = random.below(5) > 0;
            world.handle(Event::ConfigChanged(Box::new(changed)));
        }
        10 => restart(world),
        20 | 21 => world.handle(Event::DrillBegins),
        22 => world.handle(Event::DrillEnds),
        11 => world.all_targets(Behaviour::Lost),
        12 | 13 => world.all_targets(Behaviour::Answers(ms(u64::from(random.below(3_000))))),
        _ => {
            let targets = world.link.interface().tracking.targets.clone();
            let behaviour = match random.below(5) {
                0 => Behaviour::Lost,
                1 => Behaviour::Fails("the host is unreachable".to_owned()),
                2 => Behaviour::Duplicates(ms(u64::from(random.below(1_500)))),
                3 => Behaviour::Lossy(random.below(100), ms(30)),
                _ => Behaviour::Answers(ms(20)),
            };
            if let Some(target) = targets.get(random.below(targets.len() as u32) as usize) {
                world.weather.insert(target.clone(), behaviour);
            }
        }
    }
}

/// As after kill -9: only the files are left, and what the host says is there.
fn restart(world: &mut World) {
    let files = world.link.snapshot().files();
    let read = |name: &str| files.iter().find(|file| file.0 == name).map(|file| file.1.clone());
    let adopted = mwan3::health::Adopted::from_files(read).expect("our own files");
    if adopted.status == Status::Disabled {
        return;
    }
    let attachment = world.link.attachment().cloned();
    world.link = Link::new(world.link.interface().clone());
    world.handle(Event::Adopt(adopted, attachment));
}

fn random_tracking(random: &mut Random, quality: &Option<Quality>) -> Tracking {
    let targets = (0..1 + random.below(4)).map(|number| format!("198.51.100.{number}")).collect::<Vec<_>>();
    Tracking {
        reliability: 1 + random.below(targets.len() as u32),
        targets,
        count: 1 + random.below(3),
        timeout_ms: 100 + random.below(2_000),
        interval_ms: 500 + random.below(5_000),
        failure_interval_ms: random.below(3_000),
        keep_failure_interval: random.below(2) == 0,
        recovery_interval_ms: random.below(3_000),
        confirm_interval_ms: random.below(1_000),
        confirm_count: 1 + random.below(3),
        up: 1 + random.below(4),
        down: 1 + random.below(4),
        initially_online: random.below(2) == 0,
        quality: quality.clone(),
        ..Tracking::default()
    }
}
