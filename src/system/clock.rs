//! The one clock of a long-running process: time since boot, which no clock step touches and which is what
//! the status files count in. And the time of day, for people's daily windows.

pub mod zone;

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::Duration;

use super::deliver::unix_time_s;
use super::files::read_line;
use super::paths::read_file;
use super::process::variable;
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

/// Where OpenWrt keeps the time zone; its own C library looks there, too.
const ZONE_FILE: &str = "/etc/TZ";
/// Where others keep it, as one file of the time zone database.
const LOCAL_TIME: &str = "/etc/localtime";
const DATABASES: [&str; 3] = ["/usr/share/zoneinfo", "/share/zoneinfo", "/etc/zoneinfo"];
const MINUTES_OF_DAY: i64 = 1440;

/// 0 to 1439.
pub fn local_minute_of_day() -> u32 {
    let now = i64::try_from(unix_time_s()).unwrap_or(0);
    let minutes = now.saturating_add(offset_s(now)).div_euclid(60);
    u32::try_from(minutes.rem_euclid(MINUTES_OF_DAY)).unwrap_or(0)
}

/// East of Greenwich. Looked up anew each time: people set their time zone while we run.
fn offset_s(now: i64) -> i64 {
    let zone = match variable("TZ") {
        Some(zone) => zone.into_vec(),
        None => match read_line(Path::new(ZONE_FILE)) {
            Some(zone) => zone.trim().as_bytes().to_vec(),
            None => return offset_in(Path::new(LOCAL_TIME), now).unwrap_or(0),
        },
    };
    if let Some(offset) = zone::offset_by_rules(&zone, now) {
        return offset;
    }
    let name = Path::new(OsStr::from_bytes(zone.strip_prefix(b":").unwrap_or(&zone)));
    // An absolute path stays one.
    DATABASES.iter().find_map(|folder| offset_in(&Path::new(folder).join(name), now)).unwrap_or(0)
}

fn offset_in(file: &Path, now: i64) -> Option<i64> {
    zone::offset_in_file(&read_file(file).ok()?, now)
}
