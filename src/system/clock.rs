//! The one clock of a long-running process: time since boot, which no clock step touches and which is what
//! the status files count in.

use std::time::Duration;

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
