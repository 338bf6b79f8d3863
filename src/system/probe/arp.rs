//! One packet socket per interface for its ARP probes, on Ethernet devices.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::filter::arp_reply_filter;
use super::outcome::{Desk, count};
use super::uplink::{explain, not_sent};
use super::{Failure, MOST_PER_WAKEUP, ProbeId, ProbeResult, Uplink, socket};
use crate::mark::InterfaceId;
use crate::probe_packet::arp::{self, LinkAddress};

/// What a packet socket is made for; once any of it changes, a new one is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    device: String,
    device_index: u32,
    mark: u32,
    source: Ipv4Addr,
}

impl Binding {
    /// Packet sockets would send from any address: whether it is still ours is tried on a UDP socket.
    pub(super) fn observe(uplink: &Uplink) -> Result<Binding, String> {
        let device = uplink.device.clone();
        let IpAddr::V4(source) = uplink.source else {
            return Err("ARP is for IPv4 only".to_owned());
        };
        uplink.tie(&uplink.open(Type::DGRAM, None)?)?;
        let device_index = socket::device_index(&device)
            .map_err(|error| not_sent(format_args!("cannot use device {device}"), error))?;
        Ok(Binding { device, device_index, mark: uplink.mark, source })
    }
}

pub(super) struct ArpSocket {
    pub(super) interface: InterfaceId,
    pub(super) binding: Binding,
    socket: Socket,
    broadcast: SockAddr,
    own_link: LinkAddress,
    waiting: Vec<Waiting>,
}

struct Waiting {
    id: ProbeId,
    target: Ipv4Addr,
    at: Duration,
}

impl ArpSocket {
    pub(super) fn open(interface: InterfaceId, binding: Binding) -> Result<ArpSocket, String> {
        let open = || {
            let broadcast = socket::arp_broadcast(binding.device_index)?;
            // Protocol 0 receives nothing until bind() names ARP, when the filter is in place already.
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
            socket.set_nonblocking(true)?;
            socket.attach_filter(&arp_reply_filter(binding.source))?;
            socket.set_mark(binding.mark)?;
            socket.bind(&broadcast)?;
            let own_link = socket::link_address(&socket)?;
            Ok((socket, broadcast, own_link))
        };
        let device = &binding.device;
        let (socket, broadcast, own_link) = open()
            .map_err(|error: io::Error| not_sent(format_args!("cannot speak ARP on {device}"), error))?;
        let Some(own_link) = own_link else {
            return Err(format!("cannot speak ARP on {device}: it is not Ethernet"));
        };
        Ok(ArpSocket { interface, binding, socket, broadcast, own_link, waiting: Vec::new() })
    }

    pub(super) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    pub(super) fn send(&mut self, id: ProbeId, target: Ipv4Addr, now: Duration) -> Result<(), String> {
        let message = arp::request(self.own_link, self.binding.source, target);
        self.socket.send_to(&message, &self.broadcast).map_err(|error| {
            not_sent(format_args!("cannot ask who has {target} on {}", self.binding.device), error)
        })?;
        self.waiting.push(Waiting { id, target, at: now });
        Ok(())
    }

    pub(super) fn cancel_if(&mut self, is_over: &dyn Fn(ProbeId, Duration) -> bool) {
        while let Some(over) = self.waiting.iter().position(|waiting| is_over(waiting.id, waiting.at)) {
            self.waiting.remove(over);
        }
    }

    /// An error means that the device went away; all who wait have been told.
    pub(super) fn receive(&mut self, desk: &mut Desk, now: Duration) -> Result<(), ()> {
        let mut message = [0; 64];
        for _ in 0..MOST_PER_WAKEUP {
            match (&self.socket).read(&mut message) {
                Ok(length) => match arp::parse_reply(message.get(..length).unwrap_or_default()) {
                    Some(reply) => self.judge(desk, now, reply),
                    None => count(&mut desk.strays.malformed),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => {
                    self.fail_all(desk, &error);
                    return Err(());
                }
            }
        }
        Ok(())
    }

    fn judge(&mut self, desk: &mut Desk, now: Duration, reply: arp::Reply) {
        if reply.receiver != self.binding.source || reply.receiver_link != self.own_link {
            return count(&mut desk.strays.spoofed);
        }
        let mut is_for_us = false;
        while let Some(position) = self.waiting.iter().position(|waiting| waiting.target == reply.sender) {
            let Waiting { id, at, .. } = self.waiting.remove(position);
            desk.report(id, ProbeResult::Answered { round_trip: now.saturating_sub(at) });
            is_for_us = true;
        }
        if !is_for_us {
            count(&mut desk.strays.foreign);
        }
    }

    fn fail_all(&mut self, desk: &mut Desk, error: &io::Error) {
        for waiting in self.waiting.drain(..) {
            let words = format!("no ARP reply on {}: {}", self.binding.device, explain(error));
            desk.report(waiting.id, ProbeResult::Failed(Failure::Unusable(words)));
        }
    }
}
