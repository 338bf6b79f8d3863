//! The kernel's network settings below /proc/sys: read for `mwan3 check`, written only when a person asks.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{read_number, write_atomically};
use super::paths::text_of;
use super::process::variable;

const ROOT: &str = "/proc/sys";
/// Read by systemd-sysctl at boot, and by udev for each device that appears.
const FOLDER: &str = "/etc/sysctl.d";
const FILE: &str = "60-mwan3.conf";

/// Those that this kernel has, by names such as `net/ipv4/ip_forward`.
pub fn read(names: Vec<String>) -> Vec<(String, u32)> {
    let value = |name: &String| u32::try_from(read_number(&Path::new(ROOT).join(name))?).ok();
    names.into_iter().filter_map(|name| value(&name).map(|value| (name, value))).collect()
}

/// Now.
pub fn set(name: &str, value: u32) -> io::Result<()> {
    fs::write(Path::new(ROOT).join(name), value.to_string())
}

/// From the next boot on. What earlier calls kept stays; `MWAN3_SYSCTL_DIR` moves the folder.
pub fn keep(settings: &[(String, u32)]) -> io::Result<PathBuf> {
    let folder = variable("MWAN3_SYSCTL_DIR").map_or_else(|| PathBuf::from(FOLDER), PathBuf::from);
    let path = folder.join(FILE);
    let held = text_of(&path);
    let is_replaced = |line: &str| {
        let name = line.split('=').next().unwrap_or("").trim();
        settings.iter().any(|(setting, _)| setting == name)
    };
    let mut text = String::new();
    if held.is_empty() {
        text.push_str("# Written by 'mwan3 check --fix'.\n");
    }
    held.lines().filter(|line| !is_replaced(line)).for_each(|line| text.push_str(&format!("{line}\n")));
    settings.iter().for_each(|(name, value)| text.push_str(&format!("{name} = {value}\n")));
    write_atomically(&path, &text)?;
    Ok(path)
}
