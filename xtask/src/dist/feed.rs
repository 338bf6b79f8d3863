//! A folder that opkg can use as a feed: packages and a list of them.

use crate::dist::package::Package;
use crate::dist::{checksum, ipk};

/// The list, from packages and their packed bytes.
pub fn index(packages: &[(&Package, &[u8])]) -> String {
    let mut entries: Vec<String> = packages.iter().map(|(package, packed)| entry(package, packed)).collect();
    entries.sort();
    entries.join("\n")
}

fn entry(package: &Package, packed: &[u8]) -> String {
    format!(
        "{}Filename: {}\nSize: {}\nSHA256sum: {}\n{}",
        ipk::control_fields(package),
        package.ipk_name(),
        packed.len(),
        checksum::sha256_hex(packed),
        ipk::description_field(package),
    )
}
