//! What can go wrong at an ISP, as verbs. Each verb sets one fault and leaves the others;
//! `restore` ends them all. Lost packets vanish in the ISP, so the router learns nothing.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use crate::isp::{Isp, SUBSCRIBER, expect};
use crate::relay::Relay;

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    blackhole: bool,
    unreachable: bool,
    gateway_silent: bool,
    carrier_lost: bool,
    // In hundredths of a percent.
    loss_up: u32,
    loss_down: u32,
    relay: Option<Relay>,
}

impl Isp {
    /// Drops everything behind the first hop. The carrier stays and the gateway still answers.
    #[track_caller]
    pub fn blackhole(&self) {
        self.faults().blackhole = true;
        self.apply();
    }

    /// Answers everything to be forwarded with ICMP "host unreachable".
    #[track_caller]
    pub fn unreachable(&self) {
        self.faults().unreachable = true;
        self.apply();
    }

    /// The gateway dies behind a switch: the carrier stays, nothing answers, not even ARP or
    /// neighbour discovery.
    #[track_caller]
    pub fn gateway_silent(&self) {
        self.faults().gateway_silent = true;
        expect(self.namespace.batch(&format!("link set {SUBSCRIBER} arp off")));
        self.apply();
    }

    /// Plugs the cable in or out: the router's device keeps its addresses but loses its carrier.
    #[track_caller]
    pub fn carrier(&self, present: bool) {
        self.faults().carrier_lost = !present;
        let state = if present { "up" } else { "down" };
        expect(self.namespace.batch(&format!("link set {SUBSCRIBER} {state}")));
    }

    /// Loses this share of the packets on the line, each way, those for the gateway included.
    /// ARP and neighbour discovery are spared.
    #[track_caller]
    pub fn loss(&self, percent: f64) {
        self.loss_up(percent);
        self.loss_down(percent);
    }

    /// Loses packets from the router only.
    #[track_caller]
    pub fn loss_up(&self, percent: f64) {
        self.faults().loss_up = hundredths(percent);
        self.apply();
    }

    /// Loses packets to the router only.
    #[track_caller]
    pub fn loss_down(&self, percent: f64) {
        self.faults().loss_down = hundredths(percent);
        self.apply();
    }

    /// Adds this much to the round trip of everything forwarded (on its way up, by a relay in user space;
    /// packets for the gateway itself are not delayed). Zero ends it.
    #[track_caller]
    pub fn delay(&self, delay: Duration) {
        let mut faults = self.faults();
        if delay.is_zero() {
            if let Some(relay) = faults.relay.take() {
                relay.disconnect(&self.namespace);
            }
        } else if let Some(relay) = &faults.relay {
            relay.set_delay(delay);
        } else {
            faults.relay = Some(expect(Relay::connect(&self.namespace, delay)));
        }
        drop(faults);
        self.apply();
    }

    /// Ends all faults.
    #[track_caller]
    pub fn restore(&self) {
        if self.faults().relay.is_some() {
            self.delay(Duration::ZERO);
        }
        let former = std::mem::take(&mut *self.faults());
        if former.gateway_silent {
            expect(self.namespace.batch(&format!("link set {SUBSCRIBER} arp on")));
        }
        if former.carrier_lost {
            self.carrier(true);
        }
        self.apply();
    }

    #[track_caller]
    fn apply(&self) {
        let ruleset = self.faults().ruleset();
        expect(self.namespace.nft(&ruleset));
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Faults {
    fn ruleset(&self) -> String {
        let forward = match (self.blackhole, self.unreachable) {
            (true, _) => "drop",
            (false, true) => "iifname subscriber reject with icmpx type host-unreachable",
            (false, false) => "",
        };
        let silence = if self.gateway_silent { "drop" } else { "" };
        // A delayed packet passes twice; connection tracking must see it the second time only.
        let untracked = match self.relay {
            Some(_) => format!("iifname {SUBSCRIBER} fib daddr type != local notrack"),
            None => String::new(),
        };
        format!(
            "table inet fault
             delete table inet fault
             table inet fault {{
                chain forward {{ type filter hook forward priority -10; {forward}; }}
                chain up {{ type filter hook prerouting priority -310; {silence}; {}; {untracked}; }}
                chain down {{ type filter hook postrouting priority 310; {silence}; {}; }}
             }}",
            loss("iifname", self.loss_up),
            loss("oifname", self.loss_down)
        )
    }
}

fn loss(direction: &str, hundredths_of_percent: u32) -> String {
    let kinds = "{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert }";
    match hundredths_of_percent {
        0 => String::new(),
        10_000 => format!("icmpv6 type {kinds} accept; {direction} {SUBSCRIBER} drop"),
        share => format!(
            "icmpv6 type {kinds} accept; {direction} {SUBSCRIBER} numgen random mod 10000 < {share} drop"
        ),
    }
}

fn hundredths(percent: f64) -> u32 {
    assert!((0.0..=100.0).contains(&percent), "a loss of {percent} % makes no sense");
    (percent * 100.0).round() as u32
}
