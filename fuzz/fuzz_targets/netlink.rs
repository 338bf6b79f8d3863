//! rtnetlink messages of every kind we read; the first byte tells which.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mwan3::network::Device;
use mwan3::system::netlink::{Answer, Messages};
use mwan3::system::route::Notification;
use mwan3::system::route::links::{self, DeviceIndex};
use mwan3::system::route::listing::{ListedAddress, ListedLink};
use mwan3::system::route::{addresses, routes, rules};

/// RTM_NEWLINK and its like, up to RTM_DELNEIGH and the rules.
const NOTIFICATIONS: [u16; 10] = [16, 17, 20, 21, 24, 25, 28, 29, 32, 33];

fuzz_target!(init: mwan3_fuzz::seeds::write_if_asked("netlink"), |data: &[u8]| {
    let Some((kind, payload)) = data.split_first() else { return };
    let devices = [(1, "lo"), (2, "eth0")].map(|(index, name)| Device { index, name: name.to_owned(), ..Device::default() });
    let devices = DeviceIndex::of(&devices);
    match kind {
        0 => drop((links::decode(payload), ListedLink::decode(payload))),
        1 => drop((addresses::decode(payload), ListedAddress::decode(payload))),
        2 => {
            let Some(route) = routes::decode(payload, &devices) else { return };
            let _ = (route.to_string(), route.key(), route.canonical(), route.is_default());
            let _ = routes::encode(&route, &devices);
        }
        3 => {
            let Some(rule) = rules::decode(payload) else { return };
            let _ = rule.to_string();
            assert_eq!(rules::decode(rules::encode(&rule).bytes()), Some(rule));
        }
        4 => Messages::new(payload).for_each(|message| assert!(message.payload.len() <= payload.len())),
        other => {
            let kind = NOTIFICATIONS[usize::from(*other) % NOTIFICATIONS.len()];
            let _ = Notification::decode(&Answer { kind, flags: 0, payload: payload.to_vec() });
        }
    }
});
