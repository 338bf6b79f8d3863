//! The arithmetic of detection: what a configuration promises, and what it costs. Pauses lie between the end of
//! one round and the start of the next; a round that nobody answers lasts one timeout.

use std::time::Duration;

use crate::address::Family;
use crate::config::{TrackMethod, Tracking};

/// Below this a round that fails at once by send errors would keep the processor busy.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detection {
    /// The fault begins just before a round.
    pub best: Duration,
    /// The fault begins just after a round.
    pub worst: Duration,
}

/// How long a silent blackhole goes unnoticed; None where nothing is probed.
///
/// best = down × timeout + (down − 1) × confirm_interval, worst = best + interval
pub fn detection_time(tracking: &Tracking) -> Option<Detection> {
    if tracking.targets.is_empty() {
        return None;
    }
    let down = tracking.down.max(1);
    let confirming = times(confirm_pause(tracking), down - 1);
    let best = after(times(timeout(tracking), down), confirming);
    Some(Detection { best, worst: after(best, pause(tracking.interval_ms)) })
}

/// How long a link that works again stays unused, its round trip apart.
///
/// best = (up − 1) × recovery_interval, worst = best + timeout + the pause between rounds while offline
pub fn recovery_time(tracking: &Tracking) -> Option<Detection> {
    if tracking.targets.is_empty() {
        return None;
    }
    let best = times(pause(tracking.recovery_interval_ms), tracking.up.max(1) - 1);
    let waiting = after(timeout(tracking), offline_pause(tracking));
    Some(Detection { best, worst: after(best, waiting) })
}

/// Both directions, IP headers included, link layer not, while the link is well: an upper bound, as a round also takes
/// the round trip.
pub fn probe_bytes_per_hour(tracking: &Tracking, family: Family) -> u64 {
    let interval_ms = whole_ms(pause(tracking.interval_ms));
    let probes = tracking.targets.len() as u64 * u64::from(tracking.count.max(1));
    probes.saturating_mul(bytes_per_probe(tracking, family)).saturating_mul(3_600_000) / interval_ms.max(1)
}

/// Exact for ping and ARP; the rest are what a usual exchange takes.
fn bytes_per_probe(tracking: &Tracking, family: Family) -> u64 {
    let ip_header = match family {
        Family::Ipv4 => 20,
        Family::Ipv6 => 40,
    };
    match tracking.method {
        TrackMethod::Ping => 2 * (ip_header + 8 + u64::from(tracking.size)),
        TrackMethod::Arp => 2 * 28,
        TrackMethod::Udp => ip_header + 8 + ip_header + 8 + 28,
        TrackMethod::Dns => 2 * (ip_header + 8) + 33 + 97,
        TrackMethod::Tcp => 3 * (ip_header + 40),
        TrackMethod::Http => 10 * (ip_header + 32) + 600,
        TrackMethod::Https => 12 * (ip_header + 32) + 4_500,
    }
}

/// One addition of moments for all: in place it is some 30 instructions where registers have 32 bits.
#[inline(never)]
pub fn after(at: Duration, pause: Duration) -> Duration {
    at.saturating_add(pause)
}

/// Likewise.
#[inline(never)]
pub fn times(pause: Duration, factor: u32) -> Duration {
    pause.saturating_mul(factor)
}

/// Without the standard library's 128 bits, whose division alone is 2 KB.
#[inline(never)]
pub fn whole_ms(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1000).saturating_add(u64::from(time.subsec_millis()))
}

#[inline(never)]
pub fn whole_us(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(time.subsec_micros()))
}

pub(super) fn timeout(tracking: &Tracking) -> Duration {
    milliseconds(tracking.timeout_ms).max(SHORTEST_TIMEOUT)
}

pub(super) fn pause(interval_ms: u32) -> Duration {
    milliseconds(interval_ms).max(SHORTEST_PAUSE)
}

pub(super) fn confirm_pause(tracking: &Tracking) -> Duration {
    pause(tracking.confirm_interval_ms)
}

pub(super) fn offline_pause(tracking: &Tracking) -> Duration {
    if tracking.keep_failure_interval {
        pause(tracking.failure_interval_ms)
    } else {
        pause(tracking.interval_ms)
    }
}

/// Of 32 bits, which every processor divides.
#[inline(never)]
pub fn milliseconds(number: u32) -> Duration {
    Duration::new(u64::from(number / 1000), number % 1000 * 1_000_000)
}
