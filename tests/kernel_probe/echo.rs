//! ICMP and ICMPv6 echo, and ARP: answers, wrong answers, errors, and who is woken by them.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};

use mwan3::address::Family;
use mwan3::probe_packet::icmp::checksum;
use mwan3::system::probe::{Failure, Method, ProbeResult, Strays};
use socket2::Socket;

use super::wire::{
    Driver, Namespace, PATIENCE, assert_answered, beyond, echo, far, near, on_a_wire, swallowed, unreachable,
    uplink, words,
};

/// The far side, where we answer by hand instead of the kernel.
struct FarHost {
    family: Family,
    socket: Socket,
}

impl FarHost {
    fn new(far_end: &Namespace, family: Family) -> FarHost {
        far_end.stop_answering_echoes();
        FarHost { family, socket: far_end.icmp_socket(far(family)) }
    }

    /// The next echo request, from its ICMP header on.
    fn request(&self) -> Vec<u8> {
        loop {
            let mut buffer = [MaybeUninit::uninit(); 2048];
            let length = self.socket.recv(&mut buffer).expect("a request in time");
            // SAFETY: recv() has initialised that many bytes.
            let packet: Vec<u8> = buffer[..length].iter().map(|byte| unsafe { byte.assume_init() }).collect();
            let message = if self.family == Family::Ipv4 { packet[20..].to_vec() } else { packet };
            if message[0] == self.type_number(8, 128) {
                return message;
            }
        }
    }

    fn reply(&self, request: &[u8]) {
        self.send(&self.socket, self.reply_to(request));
    }

    fn reply_to(&self, request: &[u8]) -> Vec<u8> {
        let mut message = request.to_vec();
        message[0] = self.type_number(0, 129);
        message
    }

    fn type_number(&self, ipv4: u8, ipv6: u8) -> u8 {
        if self.family == Family::Ipv4 { ipv4 } else { ipv6 }
    }

    fn send(&self, from: &Socket, mut message: Vec<u8>) {
        message[2..4].fill(0);
        if self.family == Family::Ipv4 {
            let sum = checksum(&message).to_be_bytes();
            message[2..4].copy_from_slice(&sum);
        }
        from.send_to(&message, &SocketAddr::new(near(self.family), 0).into()).expect("sent");
    }
}

/// A "host unreachable" that quotes the request as one from us to `destination`.
fn error_about(family: Family, destination: IpAddr, request: &[u8]) -> Vec<u8> {
    let mut error = match family {
        Family::Ipv4 => vec![3, 1, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 84, 0, 0, 0, 0, 64, 1, 0, 0],
        Family::Ipv6 => vec![1, 3, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 64, 58, 64],
    };
    for address in [near(family), destination] {
        match address {
            IpAddr::V4(address) => error.extend(address.octets()),
            IpAddr::V6(address) => error.extend(address.octets()),
        }
    }
    error.extend_from_slice(request);
    error
}

#[test]
fn an_echo_is_answered() {
    on_a_wire(|_| {
        for family in Family::BOTH {
            let mut driver = Driver::new();
            assert_answered(driver.probe(&uplink(family), echo(far(family))));
            assert_answered(driver.probe(&uplink(family), echo(beyond(family))));
            assert_eq!(driver.prober.strays(), Strays::default());
        }
    });
}

#[test]
fn many_targets_are_probed_at_once_on_one_socket() {
    on_a_wire(|_| {
        let mut driver = Driver::new();
        let family = Family::Ipv4;
        let mut waiting: BTreeSet<_> = (0..40)
            .map(|n| if n % 2 == 0 { far(family) } else { beyond(family) })
            .map(|target| driver.start(&uplink(family), echo(target)))
            .collect();
        assert_eq!(driver.prober.interests().count(), 1);
        while !waiting.is_empty() {
            let outcome = driver.outcome();
            assert!(waiting.remove(&outcome.id), "{outcome:?}");
            assert_answered(outcome.result);
        }
    });
}

#[test]
fn payloads_of_any_size_are_answered_up_to_the_largest_and_refused_beyond() {
    on_a_wire(|_| {
        for (family, largest) in [(Family::Ipv4, 65507), (Family::Ipv6, 65527)] {
            let mut driver = Driver::new();
            for payload in [0, 1, 4, 8, 1472, 1473, largest] {
                let method = Method::Echo { target: far(family), payload, hop_limit: 60 };
                assert_answered(driver.probe(&uplink(family), method));
            }
            let method = Method::Echo { target: far(family), payload: largest + 1, hop_limit: 60 };
            let told = words(driver.probe(&uplink(family), method));
            assert_eq!(
                told,
                format!("cannot send {} bytes: an {family} echo carries at most {largest}", largest + 1)
            );
        }
    });
}

#[test]
fn duplicate_foreign_and_spoofed_replies_end_no_probe() {
    on_a_wire(|far_end| {
        for family in Family::BOTH {
            let host = FarHost::new(far_end, family);
            let other_host = far_end.icmp_socket(beyond(family));
            let mut driver = Driver::new();
            driver.start(&uplink(family), echo(far(family)));
            let request = host.request();
            let reply = host.reply_to(&request);

            host.send(&other_host, reply.clone());
            let change = |at: usize| {
                let mut changed = reply.clone();
                changed[at] ^= 1;
                changed
            };
            host.send(&host.socket, change(7)); // a sequence we never sent
            host.send(&host.socket, change(8)); // another cookie
            host.send(&host.socket, change(5)); // another program's identifier
            host.send(&host.socket, reply[..8].to_vec()); // no cookie at all
            host.reply(&request);
            host.reply(&request);

            assert_answered(driver.outcome().result);
            let strays = driver
                .wait_for("the duplicate", |driver| Some(driver.prober.strays()).filter(|s| s.duplicate > 0));
            assert_eq!(strays, Strays { duplicate: 1, foreign: 1, spoofed: 3, ..Strays::default() });
            assert_eq!(driver.prober.next_outcome(), None);
        }
    });
}

#[test]
fn a_reply_with_a_wrong_checksum_ends_no_probe() {
    on_a_wire(|far_end| {
        let host = FarHost::new(far_end, Family::Ipv4);
        let mut driver = Driver::new();
        driver.start(&uplink(Family::Ipv4), echo(far(Family::Ipv4)));
        let request = host.request();
        let mut broken = host.reply_to(&request);
        broken[2] ^= 0xff;
        let to = SocketAddr::new(near(Family::Ipv4), 0);
        host.socket.send_to(&broken, &to.into()).expect("sent");
        host.reply(&request);
        assert_answered(driver.outcome().result);
        assert_eq!(driver.prober.strays(), Strays { malformed: 1, ..Strays::default() });
    });
}

#[test]
fn a_reply_after_the_probe_was_cancelled_is_told_as_late_and_only_once() {
    on_a_wire(|far_end| {
        for family in Family::BOTH {
            let host = FarHost::new(far_end, family);
            let mut driver = Driver::new();
            let late = driver.start(&uplink(family), echo(far(family)));
            let late_request = host.request();
            driver.prober.cancel(late);
            assert_eq!(driver.prober.next_outcome(), None, "the caller knows what it cancelled");
            let next = driver.start(&uplink(family), echo(far(family)));
            let next_request = host.request();

            host.reply(&late_request);
            host.reply(&late_request);
            host.reply(&next_request);

            let first = driver.outcome();
            assert_eq!(first.id, late);
            assert!(matches!(first.result, ProbeResult::Late { .. }), "{first:?}");
            let second = driver.outcome();
            assert_eq!(second.id, next);
            assert_answered(second.result);
            assert_eq!(driver.prober.strays(), Strays { late: 1, duplicate: 1, ..Strays::default() });
        }
    });
}

#[test]
fn an_unreachable_network_fails_at_once_with_the_router_that_says_so() {
    on_a_wire(|_| {
        for (family, notice) in [(Family::Ipv4, "host unreachable"), (Family::Ipv6, "network unreachable")] {
            let mut driver = Driver::new();
            let told = words(driver.probe(&uplink(family), echo(unreachable(family))));
            assert_eq!(told, format!("{notice}, says {}", far(family)));
            // Sent in fragments, of which the first is quoted.
            let method = Method::Echo { target: unreachable(family), payload: 3000, hop_limit: 60 };
            let told = words(driver.probe(&uplink(family), method));
            assert_eq!(told, format!("{notice}, says {}", far(family)));
        }
    });
}

#[test]
fn a_hop_limit_that_is_too_small_is_told_by_the_last_hop() {
    on_a_wire(|far_end| {
        far_end.ip("route add 100.64.0.0/24 dev far\n-6 route add 2001:db8:100::/64 dev far");
        for (family, target) in [(Family::Ipv4, "100.64.0.9"), (Family::Ipv6, "2001:db8:100::9")] {
            let mut driver = Driver::new();
            let target = target.parse().expect("an address");
            assert_answered(driver.probe(&uplink(family), echo(beyond(family))));
            let method = Method::Echo { target, payload: 56, hop_limit: 1 };
            let told = words(driver.probe(&uplink(family), method));
            assert_eq!(told, format!("hop limit exceeded, says {}", far(family)));
        }
    });
}

#[test]
fn a_neighbour_that_does_not_answer_is_told_by_this_host_itself() {
    on_a_wire(|_| {
        for (family, nobody) in [(Family::Ipv4, "192.0.2.99"), (Family::Ipv6, "2001:db8::99")] {
            let mut driver = Driver::new();
            let nobody = nobody.parse().expect("an address");
            let told = words(driver.probe(&uplink(family), echo(nobody)));
            assert_eq!(told, "host unreachable, found by this host itself");
        }
    });
}

#[test]
fn an_error_that_quotes_another_target_or_cookie_ends_no_probe() {
    on_a_wire(|far_end| {
        for family in Family::BOTH {
            let host = FarHost::new(far_end, family);
            let mut driver = Driver::new();
            driver.start(&uplink(family), echo(swallowed(family)));
            // The far host routes the request to nowhere: another to itself shows what is on the wire.
            driver.start(&uplink(family), echo(far(family)));
            let request = host.request();
            host.send(&host.socket, error_about(family, beyond(family), &request));
            let mut forged = request.clone();
            forged[8] ^= 1;
            host.send(&host.socket, error_about(family, far(family), &forged));
            host.send(&host.socket, error_about(family, far(family), &request));
            let told = words(driver.outcome().result);
            assert_eq!(told, format!("host unreachable, says {}", far(family)));
            assert_eq!(driver.prober.strays(), Strays { spoofed: 2, ..Strays::default() });
        }
    });
}

#[test]
fn of_sixty_interfaces_only_the_one_whose_reply_or_error_comes_is_woken() {
    on_a_wire(|far_end| {
        for family in Family::BOTH {
            let host = FarHost::new(far_end, family);
            let mut driver = Driver::new();
            // All on one device and address: only the identifier tells them apart.
            let requests: Vec<Vec<u8>> = (1..=60)
                .map(|interface| {
                    driver.start_for(interface, &uplink(family), echo(far(family)));
                    host.request()
                })
                .collect();
            let fds: Vec<_> = driver.prober.interests().map(|(fd, _)| fd).collect();
            assert_eq!(fds.len(), 60);

            // The second packet shows that the first has been handed to all who get it.
            host.reply(&requests[16]);
            host.send(&host.socket, error_about(family, far(family), &requests[41]));
            let deadline = std::time::Instant::now() + PATIENCE;
            let woken = loop {
                let woken = driver.ready(PATIENCE);
                if woken.len() > 1 {
                    break woken;
                }
                assert!(std::time::Instant::now() < deadline, "one packet woke nobody");
            };
            assert_eq!(woken.len(), 2, "{woken:?}");
            let first = driver.outcome();
            let second = driver.outcome();
            let interfaces = BTreeSet::from([first.id.interface, second.id.interface]);
            assert_eq!(interfaces, BTreeSet::from([17, 42]));
        }
    });
}

#[test]
fn a_flood_of_replies_is_read_in_portions() {
    on_a_wire(|far_end| {
        let host = FarHost::new(far_end, Family::Ipv4);
        let mut driver = Driver::new();
        driver.start(&uplink(Family::Ipv4), echo(far(Family::Ipv4)));
        let request = host.request();
        let mut foreign = host.reply_to(&request);
        foreign[7] ^= 1;
        for _ in 0..100 {
            host.send(&host.socket, foreign.clone());
        }
        let fd = *driver.ready(PATIENCE).first().expect("a woken socket");
        let now = driver.now();
        driver.prober.handle_ready(fd, now);
        assert!((1..=64).contains(&driver.prober.strays().foreign), "{:?}", driver.prober.strays());
        driver.wait_for("the rest", |driver| (driver.prober.strays().foreign == 100).then_some(()));
    });
}

#[test]
fn an_arp_probe_is_answered_by_the_neighbour_only() {
    on_a_wire(|far_end| {
        let mut driver = Driver::new();
        let uplink = uplink(Family::Ipv4);
        let ask = |text: &str| Method::Arp { target: text.parse().expect("an address") };
        assert_answered(driver.probe(&uplink, ask("192.0.2.1")));
        // Nobody has this address yet.
        let unanswered = driver.start(&uplink, ask("192.0.2.77"));
        assert_answered(driver.probe(&uplink, ask("192.0.2.1")));
        driver.prober.cancel(unanswered);
        far_end.ip("addr add 192.0.2.77/24 dev far");
        assert_answered(driver.probe(&uplink, ask("192.0.2.77")));
        assert_eq!(driver.prober.interests().count(), 1, "one socket for all of an interface's ARP probes");
        assert_eq!(driver.prober.next_outcome(), None);
    });
}

#[test]
fn an_arp_probe_tells_what_is_wrong_with_device_address_and_family() {
    on_a_wire(|_| {
        let mut driver = Driver::new();
        let method = Method::Arp { target: "192.0.2.1".parse().expect("an address") };
        let told = words(driver.probe(&uplink(Family::Ipv6), method.clone()));
        assert_eq!(told, "ARP is for IPv4 only");
        let mut on_loopback = uplink(Family::Ipv4);
        on_loopback.device = "lo".into();
        let told = words(driver.probe(&on_loopback, method.clone()));
        assert_eq!(told, "cannot speak ARP on lo: it is not Ethernet");
        let mut elsewhere = uplink(Family::Ipv4);
        elsewhere.source = "192.0.2.50".parse().expect("an address");
        let told = words(driver.probe(&elsewhere, method.clone()));
        assert_eq!(told, "cannot bind to 192.0.2.50 on wan: address is gone");
        assert_eq!(driver.prober.interests().count(), 0);
    });
}

#[test]
fn arp_probes_fail_at_once_when_their_device_goes() {
    on_a_wire(|_| {
        let mut driver = Driver::new();
        let method = Method::Arp { target: "192.0.2.77".parse().expect("an address") };
        driver.start(&uplink(Family::Ipv4), method);
        super::wire::ip("link del wan");
        let result = driver.outcome().result;
        assert_eq!(
            result,
            ProbeResult::Failed(Failure::Unusable("no ARP reply on wan: device is down".into()))
        );
        assert_eq!(driver.prober.interests().count(), 0);
    });
}
