//! Real listeners in one thread: echo (TCP, UDP), HTTP, a TLS refusal, DNS.
//! An echo begins with a line that tells by which ISP the flow came: `wan 203.0.113.1 40001`.
//! So does any other service's answer to a flow of ours, known by its token.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use crate::namespace::Namespace;
use crate::packet;
use crate::process::Background;
use crate::sys;

/// What a name resolves to at the laboratory's DNS responder.
pub const DNS_A: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
pub const DNS_AAAA: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xee, 0, 0, 0, 0, 1);
/// A fatal handshake_failure alert: proof of life without a TLS library.
const TLS_ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 40];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// TCP and UDP: the peer's line, then everything back.
    Echo,
    /// TCP: 200 with the peer's line as its body.
    Http,
    /// TCP: answers any bytes with a TLS alert.
    Tls,
    /// TCP and UDP: A and AAAA for any name.
    Dns,
}

/// Peers' addresses and what to call them; others are called by their address.
pub type Labels = BTreeMap<IpAddr, String>;

/// Listens until the result is dropped.
pub fn listen(
    namespace: &Namespace,
    services: Vec<(SocketAddr, Service)>,
    labels: Labels,
) -> io::Result<Background> {
    let mut server = Server { labels, datagrams: Vec::new(), listeners: Vec::new(), connections: Vec::new() };
    namespace.run(|| server.open(&services))?;
    Background::start(namespace, move |stop| server.serve(&stop))
}

struct Server {
    labels: Labels,
    datagrams: Vec<(UdpSocket, Service)>,
    listeners: Vec<(TcpListener, Service)>,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    service: Service,
    peer: String,
    received: Vec<u8>,
    to_send: Vec<u8>,
    is_last_answer: bool,
}

impl Server {
    fn open(&mut self, services: &[(SocketAddr, Service)]) -> io::Result<()> {
        for (address, service) in services {
            if matches!(service, Service::Echo | Service::Dns) {
                let socket = UdpSocket::bind(address)?;
                socket.set_nonblocking(true)?;
                sys::set_receive_buffer(socket.as_raw_fd(), 4 << 20);
                self.datagrams.push((socket, *service));
            }
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            // std's backlog of 128 loses the first packets of a burst of connections.
            sys::listen(listener.as_raw_fd(), 4096)?;
            self.listeners.push((listener, *service));
        }
        Ok(())
    }

    fn serve(&mut self, stop: &UnixStream) {
        loop {
            let mut wait = self.interests(stop);
            if sys::poll(&mut wait, None).is_err() || wait[0].revents != 0 {
                return;
            }
            let (fixed, connections) = wait[1..].split_at(self.datagrams.len() + self.listeners.len());
            let (datagrams, listeners) = fixed.split_at(self.datagrams.len());
            let mut woken = connections.iter().map(|one| one.revents != 0);
            self.connections.retain_mut(|connection| !woken.next().unwrap_or(false) || connection.progress());
            for (index, one) in datagrams.iter().enumerate().filter(|(_, one)| one.revents != 0) {
                debug_assert_eq!(one.fd, self.datagrams[index].0.as_raw_fd());
                self.answer_datagrams(index);
            }
            for (index, _) in listeners.iter().enumerate().filter(|(_, one)| one.revents != 0) {
                self.accept(index);
            }
        }
    }

    fn interests(&self, stop: &UnixStream) -> Vec<sys::PollFd> {
        let mut wait = vec![sys::poll_for(stop.as_raw_fd(), libc::POLLIN)];
        wait.extend(self.datagrams.iter().map(|(one, _)| sys::poll_for(one.as_raw_fd(), libc::POLLIN)));
        wait.extend(self.listeners.iter().map(|(one, _)| sys::poll_for(one.as_raw_fd(), libc::POLLIN)));
        wait.extend(self.connections.iter().map(|connection| {
            let events = if connection.to_send.is_empty() { libc::POLLIN } else { libc::POLLOUT };
            sys::poll_for(connection.stream.as_raw_fd(), events)
        }));
        wait
    }

    fn answer_datagrams(&self, index: usize) {
        let (socket, service) = &self.datagrams[index];
        let mut buffer = [0; 65_536];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let request = &buffer[..length];
            let answer = match service {
                Service::Dns if !packet::begins_with_token(request) => {
                    dns_answer(request).unwrap_or_default()
                }
                _ => [self.introduce(peer).as_bytes(), request].concat(),
            };
            // An answer that cannot be sent is a lost one.
            let _ = socket.send_to(&answer, peer);
        }
    }

    fn accept(&mut self, index: usize) {
        let (listener, service) = &self.listeners[index];
        while let Ok((stream, peer)) = listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let peer = self.introduce(peer);
            let greeting = if *service == Service::Echo { peer.clone().into_bytes() } else { Vec::new() };
            let mut connection = Connection {
                stream,
                service: *service,
                peer,
                received: Vec::new(),
                to_send: greeting,
                is_last_answer: false,
            };
            if connection.flush() {
                self.connections.push(connection);
            }
        }
    }

    fn introduce(&self, peer: SocketAddr) -> String {
        let address = peer.ip().to_canonical();
        let label = self.labels.get(&address).cloned().unwrap_or_else(|| address.to_string());
        format!("{label} {address} {}\n", peer.port())
    }
}

impl Connection {
    /// Reads and answers; false when the connection is over.
    fn progress(&mut self) -> bool {
        if !self.to_send.is_empty() {
            return self.flush();
        }
        let mut buffer = [0; 16_384];
        match self.stream.read(&mut buffer) {
            Ok(0) => return false,
            Ok(length) => self.received.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            Err(_) => return false,
        }
        self.answer();
        self.flush()
    }

    fn answer(&mut self) {
        match self.service {
            Service::Echo => self.to_send.append(&mut self.received),
            _ if packet::begins_with_token(&self.received) => {
                self.to_send.extend_from_slice(self.peer.as_bytes());
                self.is_last_answer = true;
            }
            Service::Tls => {
                self.to_send.extend_from_slice(&TLS_ALERT);
                self.is_last_answer = true;
            }
            Service::Http if self.received.windows(4).any(|end| end == b"\r\n\r\n") => {
                let body = &self.peer;
                let length = body.len();
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                self.to_send.extend_from_slice(head.as_bytes());
                self.to_send.extend_from_slice(body.as_bytes());
                self.is_last_answer = true;
            }
            Service::Http => {}
            Service::Dns => self.answer_dns(),
        }
    }

    /// DNS over TCP puts two bytes of length before each message.
    fn answer_dns(&mut self) {
        let Some((length, rest)) = self.received.split_first_chunk::<2>() else { return };
        let Some(request) = rest.get(..usize::from(u16::from_be_bytes(*length))) else { return };
        let answer = dns_answer(request).unwrap_or_default();
        self.to_send.extend_from_slice(&(answer.len() as u16).to_be_bytes());
        self.to_send.extend_from_slice(&answer);
        self.is_last_answer = true;
    }

    fn flush(&mut self) -> bool {
        while !self.to_send.is_empty() {
            match self.stream.write(&self.to_send) {
                Ok(0) => return false,
                Ok(length) => drop(self.to_send.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        !self.is_last_answer
    }
}

/// The answer to a query with one question; `None` for what is not a query.
fn dns_answer(request: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let mut end = HEADER;
    loop {
        let label = usize::from(*request.get(end)?);
        end += 1 + label;
        if label == 0 {
            break;
        }
    }
    let question = request.get(HEADER..end + 4)?;
    let address = match question.get(question.len() - 4..)? {
        [0, 1, 0, 1] => DNS_A.octets().to_vec(),
        [0, 28, 0, 1] => DNS_AAAA.octets().to_vec(),
        _ => Vec::new(),
    };
    let mut answer = request.get(..2)?.to_vec();
    // A response, recursion desired and available, one question, no or one answer.
    answer.extend_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(!address.is_empty()), 0, 0, 0, 0]);
    answer.extend_from_slice(question);
    if !address.is_empty() {
        answer.extend_from_slice(&[0xc0, 0x0c]);
        answer.extend_from_slice(question.get(question.len() - 4..)?);
        answer.extend_from_slice(&[0, 0, 0, 60, 0, address.len() as u8]);
        answer.extend_from_slice(&address);
    }
    Some(answer)
}
