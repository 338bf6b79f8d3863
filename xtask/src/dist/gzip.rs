//! Gzip without a name and without a time: the same input gives the same output on every machine.

use std::io::Write;

use flate2::Compression;
use flate2::GzBuilder;

pub fn pack(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let packed = encoder.write_all(bytes).and_then(|()| encoder.finish());
    packed.map_err(|error| format!("gzip: {error}"))
}
