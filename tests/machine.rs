//! What must hold on every machine that we are built for; the interesting ones are emulated by
//! `cargo xtask qemu-test`.

use std::fs::{self, File};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2040-01-01: more seconds than a signed 32-bit number holds.
const LATE_S: u64 = 2_208_988_800;

/// A router whose clock has lost its mind may think that it is any year.
#[test]
fn times_past_2038_go_to_the_kernel_and_come_back() {
    assert!(i32::try_from(LATE_S).is_err());
    let late = UNIX_EPOCH + Duration::from_secs(LATE_S);
    let path = std::env::temp_dir().join(format!("mwan3-machine-{}", std::process::id()));
    let file = File::create(&path).expect("a file");
    file.set_modified(late).expect("a time of our choice");
    let found = fs::metadata(&path).and_then(|metadata| metadata.modified());
    fs::remove_file(&path).expect("the file was ours");
    assert_eq!(found.expect("its time"), late);
}

/// The standard library asks for it with a number as wide as this one; were it narrow, it would panic in 2038.
#[test]
fn seconds_have_64_bits() {
    assert_eq!(size_of::<libc::time_t>(), 8);
    assert!(SystemTime::now() > UNIX_EPOCH);
}
