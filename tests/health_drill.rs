//! A link that is taken out on purpose: what is told of it, and what its probes find meanwhile.

mod world;

use mwan3::health::HotplugAction::{Connected, Disconnected};
use mwan3::health::{Event, Status};

use world::{Behaviour, World, attachment, quick, s};

fn drilled() -> World {
    let mut world = World::started(quick());
    world.run_for(s(20));
    assert_eq!(world.link.status(), Status::Online);
    world.forget_actions();
    world.handle(Event::DrillBegins);
    world
}

#[test]
fn a_drill_is_a_failure_to_everybody_and_ends_at_once() {
    let mut world = drilled();
    let (begun, probes) = (world.now, world.probes_sent);
    world.run_for(s(60));
    assert_eq!(world.link.status(), Status::Offline);
    assert!(world.probes_sent > probes, "the probes go on");
    world.handle(Event::DrillEnds);
    let transitions =
        [(begun, Status::Online, Status::Offline), (world.now, Status::Offline, Status::Online)];
    assert_eq!(world.transitions(), transitions);
    assert_eq!(world.hotplug(), [Disconnected, Connected]);
}

#[test]
fn a_link_that_dies_in_its_drill_stays_away_until_it_recovers() {
    let mut world = drilled();
    world.all_targets(Behaviour::Lost);
    world.run_for(s(120));
    world.handle(Event::DrillEnds);
    assert_eq!((world.link.status(), world.hotplug()), (Status::Offline, vec![Disconnected]));
    world.all_targets(Behaviour::Answers(world::ms(20)));
    world.run_for(s(120));
    assert_eq!(world.link.status(), Status::Online);
}

#[test]
fn what_the_host_says_ends_a_drill() {
    let mut world = drilled();
    world.handle(Event::InterfaceDown);
    assert_eq!((world.link.is_drilled(), world.link.status()), (false, Status::Disabled));
    // Scripts have heard it before.
    assert_eq!(world.hotplug(), [Disconnected]);
    world.handle(Event::InterfaceUp(attachment("eth1", Some("192.0.2.2"))));
    assert!(world.link.usable());
    // Nobody can drill what does not work, and an end without a beginning is none.
    world.handle(Event::DrillEnds);
    assert!(world.link.usable());
    world.handle(Event::ForcedDown);
    world.handle(Event::DrillBegins);
    assert_eq!((world.link.is_drilled(), world.link.status()), (false, Status::Disabled));
}
