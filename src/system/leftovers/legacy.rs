//! Chains of iptables before nftables, found in the listing that the kernel gives by getsockopt.

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};

use super::TABLE;
use crate::system::paths::{exists, text_of};

/// IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES; the numbers are the same for IPv6.
const GET_INFO: libc::c_int = 64;
const GET_ENTRIES: libc::c_int = 65;
/// No table is as long; a length beyond is not to be believed.
const LONGEST: u32 = 64 << 20;

const FAMILIES: [(&str, &str, Domain, libc::c_int); 2] = [
    ("iptables", "/proc/net/ip_tables_names", Domain::IPV4, libc::IPPROTO_IP),
    ("ip6tables", "/proc/net/ip6_tables_names", Domain::IPV6, libc::IPPROTO_IPV6),
];

const NAME_SIZE: usize = 32;
/// struct ipt_getinfo: the name, hooks and underflows, the number of entries, and how many bytes they take.
const INFO_SIZE: usize = NAME_SIZE + 11 * 4 + 4 + 4;

/// struct ipt_get_entries: the name and the size; the entries begin where 64-bit counters may.
const HEADER_SIZE: usize = (NAME_SIZE + 4).next_multiple_of(align_of::<u64>());

/// One for each family that still has chains of this prefix.
pub fn commands(prefix: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (program, names, domain, level) in FAMILIES {
        // Asking for a table that is not there would load it.
        let tables = text_of(Path::new(names));
        if tables.lines().any(|table| table == TABLE)
            && entries(domain, level).is_ok_and(|listing| mentions(&listing, prefix))
        {
            let is_renamed = exists(Path::new(&format!("/usr/sbin/{program}-legacy-save")));
            let program = if is_renamed { format!("{program}-legacy") } else { program.to_owned() };
            commands
                .push(format!("{program}-save -t {TABLE} | grep -v {prefix} | {program}-restore -T {TABLE}"));
        }
    }
    commands
}

fn mentions(listing: &[u8], prefix: &str) -> bool {
    listing.windows(prefix.len()).any(|window| window == prefix.as_bytes())
}

/// The table as the kernel holds it. Chains stand in it by name.
fn entries(domain: Domain, level: libc::c_int) -> io::Result<Vec<u8>> {
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    let mut info = vec![0; INFO_SIZE];
    write(&mut info, 0, TABLE.as_bytes());
    ask(&socket, level, GET_INFO, &mut info)?;
    let size = info.last_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
    if size > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut listing = vec![0; HEADER_SIZE + size as usize];
    write(&mut listing, 0, TABLE.as_bytes());
    write(&mut listing, NAME_SIZE, &size.to_ne_bytes());
    ask(&socket, level, GET_ENTRIES, &mut listing)?;
    Ok(listing)
}

fn write(bytes: &mut [u8], start: usize, value: &[u8]) {
    bytes.iter_mut().skip(start).zip(value).for_each(|(place, byte)| *place = *byte);
}

fn ask(socket: &Socket, level: libc::c_int, option: libc::c_int, answer: &mut [u8]) -> io::Result<()> {
    let mut length = answer.len() as libc::socklen_t;
    // SAFETY: the kernel reads and writes at most `length` bytes of a live, writable slice.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, answer.as_mut_ptr().cast(), &raw mut length)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
