//! Ties a socket to one uplink (device, mark, source address) and words what the kernel says to that.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use crate::address::Family;

/// The kernel cuts longer names silently, and would bind to another device.
const LONGEST_DEVICE_NAME: usize = 15;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    pub device: String,
    pub mark: u32,
    /// Also decides the family. 0.0.0.0 or :: leaves the choice to the kernel.
    pub source: IpAddr,
}

impl Uplink {
    pub(super) fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// A socket of the uplink's family that neither blocks nor survives an exec.
    pub(super) fn open(&self, kind: Type, protocol: Option<Protocol>) -> Result<Socket, String> {
        let family = self.family();
        let domain = match family {
            Family::Ipv4 => Domain::IPV4,
            Family::Ipv6 => Domain::IPV6,
        };
        let open = || {
            let socket = Socket::new(domain, kind, protocol)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        open().map_err(|error| not_sent(format_args!("cannot open an {family} socket"), error))
    }

    /// Done again before each echo on a kept socket: it costs little, follows a device that came back under
    /// another number, and is the only way to learn that an IPv6 source address is gone.
    pub(super) fn tie(&self, socket: &Socket) -> Result<(), String> {
        self.check_device_name()?;
        let Uplink { device, mark, source } = self;
        socket
            .bind_device(Some(device.as_bytes()))
            .map_err(|error| not_sent(format_args!("cannot use device {device}"), error))?;
        socket
            .set_mark(*mark)
            .map_err(|error| not_sent(format_args!("cannot set mark {mark:#x} on {device}"), error))?;
        socket
            .bind(&SocketAddr::new(*source, 0).into())
            .map_err(|error| not_sent(format_args!("cannot bind to {source} on {device}"), error))
    }

    pub(super) fn check_device_name(&self) -> Result<(), String> {
        let device = &self.device;
        if (1..=LONGEST_DEVICE_NAME).contains(&device.len()) && !device.contains('\0') {
            Ok(())
        } else {
            Err(format!("cannot use device '{device}': no device can have this name"))
        }
    }

    pub(super) fn check_family(&self, target: IpAddr) -> Result<(), String> {
        if Family::of(target) == self.family() {
            return Ok(());
        }
        Err(format!("cannot reach {target} from {}: not the same family", self.source))
    }
}

#[cold]
#[inline(never)]
pub(super) fn not_sent(doing: std::fmt::Arguments<'_>, error: io::Error) -> String {
    format!("{doing}: {}", explain(&error))
}

/// What an error number means in a probe's life; otherwise what the system calls it.
pub(super) fn explain(error: &io::Error) -> String {
    let words = match error.raw_os_error() {
        Some(libc::EADDRNOTAVAIL) => "address is gone",
        Some(libc::ENODEV | libc::ENXIO) => "device is gone",
        Some(libc::ENETDOWN) => "device is down",
        Some(libc::ENETUNREACH) => "no route",
        Some(libc::EHOSTUNREACH) => "host unreachable",
        Some(libc::ECONNREFUSED) => "refused",
        Some(libc::ECONNRESET | libc::EPIPE) => "connection reset",
        Some(libc::ETIMEDOUT) => "timed out",
        Some(libc::EMSGSIZE) => "packet too big",
        Some(libc::ENOBUFS) => "device's queue is full",
        Some(libc::EPERM | libc::EACCES) => "not permitted (privileges, or a firewall on this host)",
        Some(libc::EAFNOSUPPORT) => "this kernel does not have it",
        Some(libc::EMFILE | libc::ENFILE) => "too many open files",
        _ => return error.to_string(),
    };
    words.to_owned()
}
