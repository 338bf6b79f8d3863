//! Delay without a queueing discipline (few kernels have netem): packets from the subscriber are
//! routed into a veth pair, whose far end a thread reads, keeps for a while and writes back.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::isp::{SUBSCRIBER, expect};
use crate::namespace::Namespace;
use crate::process::Background;
use crate::sys;

/// The ISP's end of the pair; fixed so that frames can be addressed to it.
const HOLD_ADDRESS: [u8; 6] = [2, 0, 0, 0, 0, 1];
// PACKET_VNET_HDR keeps checksum and segmentation offload with the frame; without it a packet whose
// checksum the "hardware" was to fill in would come back broken.
const PACKET_VNET_HDR: i32 = 15;
const OFFLOAD_HEADER: usize = 10;
const LONGEST_FRAME: usize = 66_000;

#[derive(Debug)]
pub(crate) struct Relay {
    delay_us: Arc<AtomicU32>,
    _thread: Background,
}

impl Relay {
    pub(crate) fn connect(isp: &Namespace, delay: Duration) -> io::Result<Relay> {
        let beyond = Namespace::new("relay")?;
        // Else the kernel would announce itself on the pair.
        beyond.set(&[("net/ipv6/conf/default/disable_ipv6", "1")])?;
        isp.batch(&format!(
            "link add hold address 02:00:00:00:00:01 type veth peer name held netns {}
             link set hold up arp off",
            beyond.path()
        ))?;
        beyond.batch("link set held up arp off")?;
        for namespace in [isp, &beyond] {
            namespace.await_links()?;
        }
        let socket = beyond.run(|| -> io::Result<OwnedFd> {
            let socket = sys::packet_socket(libc::SOCK_RAW, sys::interface_index("held")?)?;
            sys::set_option(socket.as_raw_fd(), libc::SOL_PACKET, PACKET_VNET_HDR, 1)?;
            sys::set_receive_buffer(socket.as_raw_fd(), 8 << 20);
            Ok(socket)
        })?;
        let delay_us = Arc::new(AtomicU32::new(0));
        let shared = Arc::clone(&delay_us);
        let thread = Background::start(&beyond, move |stop| hold_back(&socket, &shared, &stop))?;
        let relay = Relay { delay_us, _thread: thread };
        relay.set_delay(delay);
        isp.batch("route add 0.0.0.0/0 dev hold table 100\nroute add ::/0 dev hold table 100")?;
        for family in ["-4", "-6"] {
            isp.sh(&format!("ip {family} rule add pref 10 iif {SUBSCRIBER} lookup 100"));
        }
        Ok(relay)
    }

    pub(crate) fn set_delay(&self, delay: Duration) {
        self.delay_us.store(u32::try_from(delay.as_micros()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    #[track_caller]
    pub(crate) fn disconnect(self, isp: &Namespace) {
        for family in ["-4", "-6"] {
            isp.sh(&format!("ip {family} rule del pref 10"));
        }
        expect(isp.batch("link del hold"));
    }
}

fn hold_back(socket: &OwnedFd, delay_us: &AtomicU32, stop: &UnixStream) {
    let socket = socket.as_raw_fd();
    let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; LONGEST_FRAME];
    loop {
        let now = Instant::now();
        while waiting.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, frame)) = waiting.pop_front() {
                // A full queue over there is a lost packet, as on any line.
                let _ = sys::send(socket, &frame);
            }
        }
        let timeout = waiting.front().map(|(due, _)| due.saturating_duration_since(now));
        let mut wait = [sys::poll_for(socket, libc::POLLIN), sys::poll_for(stop.as_raw_fd(), libc::POLLIN)];
        if sys::poll(&mut wait, timeout).is_err() || wait[1].revents != 0 {
            return;
        }
        while let Ok(packet) = sys::receive_packet(socket, &mut buffer) {
            if packet.is_outgoing || packet.length < OFFLOAD_HEADER + 14 {
                continue;
            }
            let mut frame = buffer[..packet.length].to_vec();
            frame[OFFLOAD_HEADER..OFFLOAD_HEADER + 6].copy_from_slice(&HOLD_ADDRESS);
            let delay = Duration::from_micros(u64::from(delay_us.load(Ordering::Relaxed)));
            waiting.push_back((Instant::now() + delay, frame));
        }
    }
}
