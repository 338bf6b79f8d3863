//! The tar format (ustar), as much of it as packages need: everything belongs to root and has one time.

use crate::dist::tree::{Entry, Tree};

const BLOCK: usize = 512;
const LONGEST_NAME: usize = 100;
/// Where the checksum stands in a header.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// An archive of `./` and all below it.
pub fn write(tree: &Tree, time_s: u64) -> Result<Vec<u8>, String> {
    let mut archive = Vec::new();
    append(&mut archive, "./", &Entry::Folder, time_s)?;
    for (path, entry) in tree.entries() {
        let slash = if *entry == Entry::Folder { "/" } else { "" };
        append(&mut archive, &format!("./{path}{slash}"), entry, time_s)?;
    }
    Ok(finish(archive))
}

/// Just these files, in this order.
pub fn write_members(members: &[(&str, &[u8])], time_s: u64) -> Result<Vec<u8>, String> {
    let mut archive = Vec::new();
    for (name, content) in members {
        append(&mut archive, &format!("./{name}"), &Entry::file(*content), time_s)?;
    }
    Ok(finish(archive))
}

fn append(archive: &mut Vec<u8>, name: &str, entry: &Entry, time_s: u64) -> Result<(), String> {
    archive.extend(header(name, entry, time_s)?);
    if let Entry::File { content, .. } = entry {
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    Ok(())
}

fn finish(mut archive: Vec<u8>) -> Vec<u8> {
    archive.resize(archive.len() + 2 * BLOCK, 0);
    archive
}

fn header(name: &str, entry: &Entry, time_s: u64) -> Result<Vec<u8>, String> {
    let (kind, size, target) = match entry {
        Entry::Folder => (b'5', 0, ""),
        Entry::File { content, .. } => (b'0', content.len() as u64, ""),
        Entry::Link { target } => (b'2', 0, target.as_str()),
    };
    if name.len() > LONGEST_NAME || target.len() > LONGEST_NAME {
        return Err(format!("{name}: too long a name for an archive"));
    }
    let mut header = Vec::with_capacity(BLOCK);
    field(&mut header, name.as_bytes(), LONGEST_NAME);
    field(&mut header, format!("{:07o}", entry.mode()).as_bytes(), 8);
    // Root's number, as owner and as group.
    field(&mut header, b"0000000", 8);
    field(&mut header, b"0000000", 8);
    field(&mut header, format!("{size:011o}").as_bytes(), 12);
    field(&mut header, format!("{time_s:011o}").as_bytes(), 12);
    // The sum is over a header that has blanks in its place.
    field(&mut header, b"        ", 8);
    field(&mut header, &[kind], 1);
    field(&mut header, target.as_bytes(), LONGEST_NAME);
    field(&mut header, b"ustar\x0000", 8);
    field(&mut header, b"root", 32);
    field(&mut header, b"root", 32);
    header.resize(BLOCK, 0);
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header.splice(CHECKSUM, format!("{sum:06o}\0 ").into_bytes());
    Ok(header)
}

/// Filled up with zeros.
fn field(header: &mut Vec<u8>, value: &[u8], width: usize) {
    let end = header.len() + width;
    header.extend(value);
    header.resize(end, 0);
}
