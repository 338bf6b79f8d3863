//! Where the leases of a host without netifd are: in files of ours that hooks of DHCP clients and PPP fill by
//! `mwan3 hotplug`, and in those of systemd-networkd.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::address::Family;
use crate::network::Device;
use crate::network::lease::{Lease, add_addresses, lease_text};

use super::files::{Directories, write_atomically};
use super::paths;

const LONGEST_DEVICE_NAME: usize = 15;

/// Ours first: a hook was put there on purpose.
pub fn of_device(directories: &Directories, device: &Device) -> Lease {
    let mut found = Lease::default();
    for family in Family::BOTH {
        let lease = read(&file(directories, &device.name, family));
        found.gateways.extend(lease.gateways);
        found.name_servers.extend(lease.name_servers);
    }
    let networkd = directories.run_path("systemd/netif/leases").join(device.index.to_string());
    found.or(read(&networkd))
}

fn read(path: &Path) -> Lease {
    paths::read(path).map(|text| Lease::parse(&String::from_utf8_lossy(&text))).unwrap_or_default()
}

/// What a hook says: `gateways` and `name_servers` in words, both empty where the lease is gone. A hook speaks
/// for one family; without one it is that of the gateway.
pub fn learn(
    directories: &Directories,
    device: &str,
    family: &str,
    gateways: &str,
    name_servers: &str,
) -> io::Result<()> {
    let is_name = !device.is_empty() && device.len() <= LONGEST_DEVICE_NAME && !device.contains('/');
    if !is_name || device.starts_with('.') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("'{device}' is no device")));
    }
    let mut lease = Lease::default();
    add_addresses(&mut lease.gateways, gateways);
    add_addresses(&mut lease.name_servers, name_servers);
    let family = match (family, lease.gateways.first()) {
        ("ipv6", _) => Family::Ipv6,
        ("ipv4", _) | (_, None) => Family::Ipv4,
        (_, Some(gateway)) => Family::of(*gateway),
    };
    lease.gateways.retain(|gateway| Family::of(*gateway) == family);
    let path = file(directories, device, family);
    if lease != Lease::default() {
        return write_atomically(&path, &lease_text(&lease));
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Not below what a stop clears: the lease goes on, and nobody would tell it again.
fn file(directories: &Directories, device: &str, family: Family) -> PathBuf {
    directories.run_path("mwan3lease").join(format!("{device}.{family}"))
}
