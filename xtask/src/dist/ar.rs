//! The ar format of Debian's packages: a few files one after the other, all of root and of one time.

const MAGIC: &[u8] = b"!<arch>\n";
const LONGEST_NAME: usize = 16;

pub fn write(members: &[(&str, &[u8])], time_s: u64) -> Result<Vec<u8>, String> {
    let mut archive = MAGIC.to_vec();
    for (name, content) in members {
        if name.len() > LONGEST_NAME || name.contains(['/', ' ']) {
            return Err(format!("'{name}' cannot be a member's name"));
        }
        let size = content.len();
        archive.extend(format!("{name:<16}{time_s:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, "100644").bytes());
        archive.extend(*content);
        if size % 2 == 1 {
            archive.push(b'\n');
        }
    }
    Ok(archive)
}
