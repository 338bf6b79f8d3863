//! The system calls probes need that neither std nor socket2 wraps; all of this folder's unsafe code.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use socket2::{SockAddr, Socket};

use crate::address::Family;
use crate::probe_packet::arp::LinkAddress;
use crate::probe_packet::icmp::{self, Notice};

const ETHERNET: u16 = 1;
const ETHERTYPE_ARP: u16 = 0x0806;
/// <linux/icmp.h> and <linux/icmpv6.h>: both filters have option number 1.
const ICMP_FILTER: libc::c_int = 1;
/// Room for one extended error with its sender, and more.
const CONTROL_BYTES: usize = 256;

pub(in crate::system) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill_randomly(&mut bytes)?;
    Ok(bytes)
}

/// Never blocks, not even before the kernel has gathered enough entropy at boot.
pub(super) fn fill_randomly(bytes: &mut [u8]) -> io::Result<()> {
    // SAFETY: the pointer and length are those of a live, writable slice.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_INSECURE) };
    match usize::try_from(got) {
        Ok(got) if got == bytes.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

pub(super) fn device_index(device: &str) -> io::Result<u32> {
    let name = CString::new(device).map_err(io::Error::other)?;
    // SAFETY: the pointer is to a terminated string that lives during the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Lets a raw socket receive these ICMP types only.
pub(super) fn pass_icmp_types(socket: &Socket, family: Family, types: &[u8]) -> io::Result<()> {
    // A set bit blocks that type, native 32-bit words in both families; IPv4 knows the first word only.
    let mut blocked = [u32::MAX; 8];
    for kind in types {
        if let Some(word) = blocked.get_mut(usize::from(kind >> 5)) {
            *word &= !(1 << (kind & 31));
        }
    }
    match family {
        Family::Ipv4 => set_option(socket, libc::SOL_RAW, ICMP_FILTER, &blocked[0]),
        Family::Ipv6 => set_option(socket, libc::IPPROTO_ICMPV6, ICMP_FILTER, &blocked),
    }
}

/// ICMP errors for what this socket sent are then queued with their sender, for `take_notice`.
pub(super) fn queue_icmp_errors(socket: &Socket, family: Family) -> io::Result<()> {
    let on: libc::c_int = 1;
    match family {
        Family::Ipv4 => set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, &on),
        Family::Ipv6 => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, &on),
    }
}

fn set_option<T: Copy>(socket: &Socket, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer and length describe one plain value that lives during the call.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn receive_from(socket: &Socket, buffer: &mut [u8]) -> io::Result<(usize, SockAddr)> {
    let space = std::ptr::from_mut(buffer) as *mut [MaybeUninit<u8>];
    // SAFETY: same memory, same length; recv_from promises never to write uninitialised bytes into it.
    socket.recv_from(unsafe { &mut *space })
}

/// The oldest ICMP error in the socket's error queue.
pub(super) fn take_notice(socket: &Socket) -> Option<(Notice, IpAddr)> {
    // u64s, as control messages want to be aligned.
    let mut control = [0u64; CONTROL_BYTES / 8];
    // SAFETY: all zeroes is a valid msghdr: no name, no data, no control.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES as _;
    // SAFETY: the header points at `control`, which is CONTROL_BYTES long and outlives the call.
    let got =
        unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT) };
    if got < 0 {
        return None;
    }
    // SAFETY: the kernel has filled in the header and control messages that CMSG_FIRSTHDR walks.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&message) };
    // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header inside `control`.
    while let Some(header) = unsafe { next.as_ref() } {
        let is_error = matches!(
            (header.cmsg_level, header.cmsg_type),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        );
        // SAFETY: pointer arithmetic inside the control message.
        let (data, head) = unsafe { (libc::CMSG_DATA(header), libc::CMSG_LEN(0)) };
        let whole: usize = header.cmsg_len as _;
        let length = whole.saturating_sub(head as usize);
        if is_error && length <= CONTROL_BYTES {
            // SAFETY: the kernel wrote `length` bytes of data after the header, within `control`.
            return icmp::parse_extended_error(unsafe { std::slice::from_raw_parts(data, length) });
        }
        // SAFETY: as for CMSG_FIRSTHDR; `header` lies in that same buffer.
        next = unsafe { libc::CMSG_NXTHDR(&message, header) };
    }
    None
}

/// Where an ARP broadcast leaves by; bound to, it makes a packet socket receive ARP of that device only.
pub(super) fn arp_broadcast(device_index: u32) -> io::Result<SockAddr> {
    let index = libc::c_int::try_from(device_index).map_err(io::Error::other)?;
    let fill = |storage: *mut socket2::SockAddrStorage, length: *mut libc::socklen_t| {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: ETHERTYPE_ARP.to_be(),
            sll_ifindex: index,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
        };
        // SAFETY: the storage is zeroed, aligned and large enough for any socket address, and ours to write.
        unsafe {
            storage.cast::<libc::sockaddr_ll>().write(address);
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        }
        Ok(())
    };
    // SAFETY: `fill` writes a valid address and its length.
    unsafe { SockAddr::try_init(fill) }.map(|((), address)| address)
}

/// The hardware address of the device a packet socket is bound to; None unless it is Ethernet.
pub(super) fn link_address(socket: &Socket) -> io::Result<Option<LinkAddress>> {
    let name = socket.local_addr()?;
    if i32::from(name.family()) != libc::AF_PACKET
        || (name.len() as usize) < size_of::<libc::sockaddr_ll>() - 2
    {
        return Ok(None);
    }
    // SAFETY: the storage is larger than a sockaddr_ll and aligned for it, zeroed beyond what the kernel
    // wrote (for Ethernet, the address without its last two bytes of padding).
    let address = unsafe { &*name.as_ptr().cast::<libc::sockaddr_ll>() };
    let is_ethernet = address.sll_hatype == ETHERNET && address.sll_halen == 6;
    Ok(is_ethernet.then(|| address.sll_addr.first_chunk().copied()).flatten())
}
