//! The one clock of a long-running process: time since boot, which no clock step touches and which is what
//! the status files count in. And the time of day, for people's daily windows.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::files::read_line;
pub use crate::health::{after, whole_ms, whole_us};

pub fn since_boot() -> Duration {
    // SAFETY: an all-zero timespec is a valid value of that plain C struct.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, writable timespec.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) } != 0;
    if failed {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Of two moments, the first of which there may not be.
#[inline(never)]
pub fn earlier(one: Option<Duration>, other: Duration) -> Option<Duration> {
    Some(one.map_or(other, |one| one.min(other)))
}

/// Where OpenWrt keeps the time zone; its own C library looks there, ours does not.
const ZONE_FILE: &str = "/etc/TZ";

/// 0 to 1439.
pub fn local_minute_of_day() -> u32 {
    static IS_ZONE_OURS: AtomicBool = AtomicBool::new(false);
    if IS_ZONE_OURS.load(Ordering::Relaxed) || std::env::var_os("TZ").is_none() {
        // Anew each time: people set their time zone while we run.
        if let Some(zone) = read_line(Path::new(ZONE_FILE)) {
            IS_ZONE_OURS.store(true, Ordering::Relaxed);
            // SAFETY: a tracker has one thread, so nobody else reads the environment now.
            unsafe { std::env::set_var("TZ", zone.trim()) };
        }
    }
    // SAFETY: localtime wants a live time_t; its answer is read before anybody can call it again.
    let minute = unsafe {
        let now = libc::time(std::ptr::null_mut());
        libc::localtime(&raw const now).as_ref().map(|local| local.tm_hour * 60 + local.tm_min)
    };
    minute.and_then(|minute| u32::try_from(minute).ok()).unwrap_or(0)
}
