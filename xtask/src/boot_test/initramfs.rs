//! The cpio format (newc) that kernels unpack their first root from. Everything belongs to root.

use crate::dist::tree::{Entry, Tree};

const END: &str = "TRAILER!!!";

pub fn write(tree: &Tree) -> Vec<u8> {
    let mut archive = Vec::new();
    for (number, (path, entry)) in tree.entries().enumerate() {
        let (kind, content): (u32, &[u8]) = match entry {
            Entry::Folder => (0o040_000, b""),
            Entry::File { content, .. } => (0o100_000, content),
            Entry::Link { target } => (0o120_000, target.as_bytes()),
        };
        append(&mut archive, number + 1, kind | entry.mode(), path, content);
    }
    append(&mut archive, 0, 0, END, b"");
    archive
}

fn append(archive: &mut Vec<u8>, number: usize, mode: u32, name: &str, content: &[u8]) {
    archive.extend(format!("070701{number:08x}{mode:08x}").bytes());
    // Owner, group; one link; no time.
    archive.extend(format!("{:08x}{:08x}{:08x}{:08x}", 0, 0, 1, 0).bytes());
    archive.extend(format!("{:08x}", content.len()).bytes());
    // Of no device, and none itself.
    archive.extend([b'0'; 4 * 8]);
    archive.extend(format!("{:08x}{:08x}{name}\0", name.len() + 1, 0).bytes());
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(4), 0);
}
