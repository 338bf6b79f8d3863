//! The few system calls that std does not offer, each wrapped once in a safe function.
//! Everything here acts on the calling thread's network namespace.

use std::ffi::CString;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub use libc::pollfd as PollFd;

/// Where a captured packet was seen.
pub struct Sighting {
    pub length: usize,
    pub interface_index: u32,
    pub is_outgoing: bool,
}

/// Gives the calling thread a network namespace of its own.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: takes no pointers; changes only the calling thread.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Moves the calling thread into a network namespace. Async-signal-safe, so fit for `pre_exec`.
pub fn enter_network(namespace: BorrowedFd) -> io::Result<()> {
    // SAFETY: takes no pointers; changes only the calling thread.
    checked(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

pub fn effective_user_is_root() -> bool {
    // SAFETY: takes no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Thousands of flows are thousands of sockets: take all that the hard limit allows.
pub fn raise_open_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for both calls, which only read or fill it.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max.min(65_536);
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

pub fn kill(process_id: i32) {
    // SAFETY: takes no pointers.
    unsafe { libc::kill(process_id, libc::SIGKILL) };
}

/// A non-blocking, close-on-exec socket.
pub fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes no pointers; the returned descriptor is new and ours alone.
    unsafe { checked(libc::socket(family, kind | flags, protocol)).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

pub fn family_of(address: IpAddr) -> i32 {
    if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }
}

pub fn set_option(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_option_bytes(fd, level, name, &value.to_ne_bytes())
}

pub fn set_option_bytes(fd: RawFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    // SAFETY: pointer and length describe `value`, which the kernel only reads.
    checked(unsafe {
        libc::setsockopt(fd, level, name, value.as_ptr().cast(), value.len() as libc::socklen_t)
    })
    .map(drop)
}

pub fn bind_to_device(fd: RawFd, device: &str) -> io::Result<()> {
    set_option_bytes(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device.as_bytes())
}

/// A receive buffer beyond the system's limit where permitted, else the largest allowed.
pub fn set_receive_buffer(fd: RawFd, bytes: i32) {
    if set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes).is_err() {
        let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes);
    }
}

pub fn bind(fd: RawFd, address: SocketAddr) -> io::Result<()> {
    let (raw, length) = raw_address(address);
    // SAFETY: `raw` is a valid sockaddr of `length` bytes, only read.
    checked(unsafe { libc::bind(fd, (&raw const raw).cast(), length) }).map(drop)
}

pub fn connect(fd: RawFd, address: SocketAddr) -> io::Result<()> {
    let (raw, length) = raw_address(address);
    // SAFETY: `raw` is a valid sockaddr of `length` bytes, only read.
    checked(unsafe { libc::connect(fd, (&raw const raw).cast(), length) }).map(drop)
}

pub fn listen(fd: RawFd, backlog: i32) -> io::Result<()> {
    // SAFETY: takes no pointers.
    checked(unsafe { libc::listen(fd, backlog) }).map(drop)
}

pub fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length describe `bytes`, only read.
    sized(unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) })
}

pub fn send_to(fd: RawFd, bytes: &[u8], address: SocketAddr) -> io::Result<usize> {
    let (raw, length) = raw_address(address);
    // SAFETY: both pointers describe live values of the given lengths, only read.
    sized(unsafe { libc::sendto(fd, bytes.as_ptr().cast(), bytes.len(), 0, (&raw const raw).cast(), length) })
}

pub fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `buffer.len()` bytes into `buffer`.
    sized(unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) })
}

/// The error that an ICMP message left in the socket's error queue (IP_RECVERR, IPV6_RECVERR).
pub fn queued_error(fd: RawFd) -> Option<io::Error> {
    // Aligned as control messages must be; sock_extended_err and an address fit well.
    let mut control = [0u64; 32];
    // SAFETY: all-zero bytes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = mem::size_of_val(&control) as _;
    // SAFETY: `message` points to `control`, which outlives the call, with its length.
    sized(unsafe { libc::recvmsg(fd, &mut message, libc::MSG_ERRQUEUE) }).ok()?;
    // SAFETY: the kernel filled in `message`; CMSG_FIRSTHDR returns null or a header inside `control`.
    let header = unsafe { libc::CMSG_FIRSTHDR(&message).as_ref() }?;
    let types = [(libc::SOL_IP, libc::IP_RECVERR), (libc::SOL_IPV6, libc::IPV6_RECVERR)];
    if !types.contains(&(header.cmsg_level, header.cmsg_type)) {
        return None;
    }
    // SAFETY: a message of these types begins with a sock_extended_err, whose first field is the error.
    let number = unsafe { libc::CMSG_DATA(header).cast::<u32>().read_unaligned() };
    Some(io::Error::from_raw_os_error(number as i32))
}

/// A socket that sees every packet of one device, or of all with index 0.
/// `kind` is SOCK_RAW (with Ethernet header) or SOCK_DGRAM (from the IP header on).
pub fn packet_socket(kind: i32, interface_index: u32) -> io::Result<OwnedFd> {
    let every_protocol = (libc::ETH_P_ALL as u16).to_be();
    let fd = socket(libc::AF_PACKET, kind, i32::from(every_protocol))?;
    // SAFETY: all-zero bytes are a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = every_protocol;
    address.sll_ifindex = interface_index as i32;
    let length = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `address` is a valid sockaddr_ll of `length` bytes, only read.
    checked(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(fd)
}

pub fn receive_packet(fd: RawFd, buffer: &mut [u8]) -> io::Result<Sighting> {
    // SAFETY: all-zero bytes are a valid sockaddr_ll.
    let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
    let mut from_length = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the kernel writes at most the given lengths into `buffer` and `from`.
    let length = sized(unsafe {
        let from = (&raw mut from).cast();
        libc::recvfrom(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0, from, &mut from_length)
    })?;
    let is_outgoing = from.sll_pkttype == libc::PACKET_OUTGOING;
    Ok(Sighting { length, interface_index: from.sll_ifindex as u32, is_outgoing })
}

pub fn interface_index(name: &str) -> io::Result<u32> {
    let name = CString::new(name)?;
    // SAFETY: `name` is a NUL-terminated string, only read.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

pub fn interface_name(index: u32) -> Option<String> {
    let mut name = [0u8; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the IF_NAMESIZE bytes that the call may write.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr().cast()) };
    if found.is_null() {
        return None;
    }
    let end = name.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&name[..end]).into_owned())
}

/// Whether every device that is up also has its link.
pub fn links_are_ready() -> io::Result<bool> {
    let mut list: *mut libc::ifaddrs = std::ptr::null_mut();
    // SAFETY: `list` is a valid place for the pointer that the call stores.
    checked(unsafe { libc::getifaddrs(&mut list) })?;
    let (mut entry, mut ready) = (list, true);
    // SAFETY: each entry is null or a valid member of the list until it is freed.
    while let Some(one) = unsafe { entry.as_ref() } {
        let running = one.ifa_flags & libc::IFF_RUNNING as u32 != 0;
        ready &= running || one.ifa_flags & libc::IFF_UP as u32 == 0;
        entry = one.ifa_next;
    }
    // SAFETY: the list came from getifaddrs and is freed once.
    unsafe { libc::freeifaddrs(list) };
    Ok(ready)
}

/// Waits for any of the descriptors; `None` waits for ever. An interrupted wait reports nothing.
pub fn poll(descriptors: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
    // Rounded up, or a wait of 0.4 ms would spin.
    let timeout_ms = timeout.map_or(-1, |time| time.as_micros().div_ceil(1000).min(60_000) as i32);
    // SAFETY: pointer and length describe `descriptors`, whose `revents` the kernel fills.
    let ready =
        unsafe { libc::poll(descriptors.as_mut_ptr(), descriptors.len() as libc::nfds_t, timeout_ms) };
    match checked(ready) {
        Ok(ready) => Ok(ready as usize),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        Err(error) => Err(error),
    }
}

pub fn poll_for(fd: RawFd, events: i16) -> PollFd {
    PollFd { fd, events, revents: 0 }
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn sized(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn raw_address(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all-zero bytes are a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
    let length = match address {
        SocketAddr::V4(address) => {
            let raw = raw_v4(address);
            // SAFETY: sockaddr_storage is large enough and aligned for every sockaddr type.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(raw) };
            mem::size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            let raw = raw_v6(address);
            // SAFETY: sockaddr_storage is large enough and aligned for every sockaddr type.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(raw) };
            mem::size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

fn raw_v4(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn raw_v6(address: SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as u16,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
        sin6_scope_id: address.scope_id(),
    }
}

pub fn unspecified_like(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
