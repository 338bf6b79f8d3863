//! Watches the router's devices and tells by which one each packet of ours left.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::namespace::Namespace;
use crate::packet::{self, Packet};
use crate::sys;

/// What the router did with a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It left by this device.
    Left(String),
    /// It was answered with an ICMP error, or the sending call failed.
    Refused,
    /// Nothing was seen of it.
    Vanished,
}

impl Fate {
    /// The device by which the packet left, if it did.
    pub fn device(&self) -> Option<&str> {
        match self {
            Fate::Left(device) => Some(device),
            _ => None,
        }
    }
}

/// Open from its creation on: packets sent later are seen.
pub(crate) struct Tap {
    namespace: Namespace,
    socket: OwnedFd,
    names: BTreeMap<u32, String>,
    fates: BTreeMap<u64, Fate>,
}

impl Tap {
    pub(crate) fn open(router: &Namespace) -> io::Result<Tap> {
        let socket = router.run(|| sys::packet_socket(libc::SOCK_DGRAM, 0))?;
        sys::set_receive_buffer(socket.as_raw_fd(), 32 << 20);
        Ok(Tap { namespace: router.clone(), socket, names: BTreeMap::new(), fates: BTreeMap::new() })
    }

    /// Takes in what was captured so far.
    pub(crate) fn drain(&mut self) {
        let mut buffer = [0; 2048];
        loop {
            match sys::receive_packet(self.socket.as_raw_fd(), &mut buffer) {
                Ok(seen) if seen.is_outgoing => {
                    self.note(&buffer[..seen.length.min(2048)], seen.interface_index)
                }
                Ok(_) => {}
                // A device that went down says so once, on every packet socket.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(_) => return,
            }
        }
    }

    pub(crate) fn fate(&self, number: u64) -> Option<&Fate> {
        self.fates.get(&number)
    }

    fn note(&mut self, bytes: &[u8], interface_index: u32) {
        let Some(number) = packet::find_token(bytes) else { return };
        let fate = match packet::is_icmp_error(bytes) {
            true => Fate::Refused,
            false => Fate::Left(self.name(interface_index)),
        };
        // The first sight counts: a tunnelled packet leaves a second time, wrapped, and an answer that
        // nobody awaits is itself answered with an error.
        self.fates.entry(number).or_insert(fate);
    }

    fn name(&mut self, index: u32) -> String {
        if let Some(name) = self.names.get(&index) {
            return name.clone();
        }
        let name = self.namespace.run(|| sys::interface_name(index)).unwrap_or_else(|| format!("#{index}"));
        self.names.insert(index, name.clone());
        name
    }
}

/// Sends all packets from the namespace `from` and tells the fate of each, in their order.
pub(crate) fn dispatch(from: &Namespace, router: &Namespace, packets: &[Packet]) -> io::Result<Vec<Fate>> {
    const BURST: usize = 64;
    const QUIET: Duration = Duration::from_millis(250);
    let mut tap = Tap::open(router)?;
    let (ipv4, ipv6) = from.run(|| (raw_socket(libc::AF_INET), raw_socket(libc::AF_INET6)));
    let (ipv4, ipv6) = (ipv4?, ipv6?);
    let first = packet::fresh_numbers();
    for (index, packet) in packets.iter().enumerate() {
        let number = first + index as u64;
        let socket = if packet.source.is_ipv4() { &ipv4 } else { &ipv6 };
        let target = (packet.destination, 0).into();
        let bytes = packet.bytes(number);
        if sys::send_to(socket.as_raw_fd(), &bytes, target).is_err() {
            tap.fates.insert(number, Fate::Refused);
        }
        if index % BURST == BURST - 1 {
            tap.drain();
        }
    }
    let mut last_news = Instant::now();
    let mut known = 0;
    while known < packets.len() && last_news.elapsed() < QUIET {
        let mut wait = [sys::poll_for(tap.socket.as_raw_fd(), libc::POLLIN)];
        sys::poll(&mut wait, Some(Duration::from_millis(20)))?;
        tap.drain();
        if tap.fates.len() > known {
            known = tap.fates.len();
            last_news = Instant::now();
        }
    }
    let fate = |index| tap.fate(first + index as u64).cloned().unwrap_or(Fate::Vanished);
    Ok((0..packets.len()).map(fate).collect())
}

fn raw_socket(family: i32) -> io::Result<OwnedFd> {
    let socket = sys::socket(family, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
    if family == libc::AF_INET6 {
        sys::set_option(socket.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_HDRINCL, 1)?;
    }
    Ok(socket)
}
