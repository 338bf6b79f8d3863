//! What each interface's timing promises and costs, in words.

use std::time::Duration;

use crate::config::{Config, Interface};
use crate::health::{Detection, detection_time, probe_bytes_per_hour, recovery_time};

/// A line for each interface that is probed.
pub fn promises_text(config: &Config) -> String {
    let mut text = String::new();
    for interface in &config.interfaces {
        if interface.enabled
            && let Some(promise) = promise(interface)
        {
            text.push_str(&promise);
        }
    }
    text
}

fn promise(interface: &Interface) -> Option<String> {
    let tracking = &interface.tracking;
    let (left, used) = (detection_time(tracking)?, recovery_time(tracking)?);
    Some(format!(
        "interface '{}': a silent fault is left after {}, a link that works again is used after {}; probes take \
         up to {} an hour\n",
        interface.name,
        range(left),
        range(used),
        size(probe_bytes_per_hour(tracking, interface.family))
    ))
}

fn range(time: Detection) -> String {
    format!("{} to {} s", seconds(time.best), seconds(time.worst))
}

/// `0.25`, `4.8`, `60`.
pub fn seconds(time: Duration) -> String {
    let text = format!("{}.{:03}", time.as_secs(), time.subsec_millis());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
    }
}
