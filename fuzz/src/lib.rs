//! What the fuzz targets share: seeds to start from, how an input is read, and a network with something of everything.

pub mod network;
pub mod seeds;

use mwan3::uci::{self, Package};

/// A configuration, and behind the first NUL changes to it.
pub fn package(data: &[u8]) -> Package {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let mut package = uci::parse("mwan3", parts.next().unwrap_or_default());
    uci::apply_delta(&mut package, parts.next().unwrap_or_default());
    package
}
