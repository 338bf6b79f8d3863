//! What an error on a connected socket proves: an ICMP error with its sender, a refusal, or a break.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::Socket;

use super::Failure;
use super::socket::take_notice;
use super::uplink::explain;
use crate::probe_packet::icmp::Notice;

pub(super) enum Evidence {
    /// The target itself has nothing on that port: it was reached. A router's "port unreachable" is none.
    Refusal,
    Failure(Failure),
}

/// What the kernel has against this socket, if anything; clears it.
pub(super) fn take(socket: &Socket, target: SocketAddr) -> Option<Evidence> {
    let notice = take_notice(socket);
    let error = socket.take_error().unwrap_or_else(Some);
    match (notice, error) {
        (Some((notice, sender)), _) => Some(weigh_notice(socket, notice, sender, target)),
        (None, Some(error)) => Some(weigh_error(&error, target)),
        (None, None) => None,
    }
}

fn weigh_notice(socket: &Socket, notice: Notice, sender: IpAddr, target: SocketAddr) -> Evidence {
    if notice.is_port_unreachable() && sender == target.ip() {
        return Evidence::Refusal;
    }
    let own = socket.local_addr().ok().and_then(|address| address.as_socket()).map(|address| address.ip());
    let sender = Some(sender).filter(|sender| own != Some(*sender));
    Evidence::Failure(Failure::Rejected { notice, sender })
}

/// An error without an ICMP notice comes from the target (a TCP reset) or from this host.
pub(super) fn weigh_error(error: &io::Error, target: SocketAddr) -> Evidence {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return Evidence::Refusal;
    }
    Evidence::Failure(Failure::Unusable(format!("no answer from {target}: {}", explain(error))))
}

pub(super) fn refused(target: SocketAddr) -> Failure {
    Failure::Unusable(format!("{} refuses port {}", target.ip(), target.port()))
}
