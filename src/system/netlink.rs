//! The netlink socket: requests with one answer, dumps, pipelines of many requests, and batches. Blocking,
//! with a deadline on every answer. What the bytes mean is the business of `route` and `nftables`.

mod error;
mod message;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use error::error_in;
pub use error::{NetlinkError, Refusal};
pub use message::{Attribute, Attributes, Message, Messages, Payload, append};

pub const ROUTE: i32 = libc::NETLINK_ROUTE;
pub const NETFILTER: i32 = libc::NETLINK_NETFILTER;

pub mod flag {
    pub const REQUEST: u16 = 0x1;
    pub const ACK: u16 = 0x4;
    pub const DUMP_INTERRUPTED: u16 = 0x10;
    pub const DUMP: u16 = 0x300;
    pub const REPLACE: u16 = 0x100;
    pub const EXCLUSIVE: u16 = 0x200;
    pub const CREATE: u16 = 0x400;
    pub const APPEND: u16 = 0x800;
    /// On an error answer: extended acknowledgement attributes follow.
    pub const ACK_TLVS: u16 = 0x200;
}

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Not in every libc: since Linux 4.20.
const NETLINK_GET_STRICT_CHK: i32 = 12;
/// The kernel answers at once; only a wedged machine takes this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The kernel fills no more into one datagram of a dump.
const USUAL_DATAGRAM: usize = 1 << 15;
const RECEIVE_BUFFER: i32 = 1 << 20;
/// Interrupted dumps are asked for again; a table that never holds still is reported.
const DUMP_ATTEMPTS: u32 = 8;
/// Requests in flight at once: their answers must fit the receive buffer (one costs about 1 KiB of it).
const PIPELINE: usize = 64;

/// One message of a dump or a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub kind: u16,
    pub flags: u16,
    pub payload: Vec<u8>,
}

impl From<&Message<'_>> for Answer {
    fn from(message: &Message<'_>) -> Answer {
        Answer { kind: message.kind, flags: message.flags, payload: message.payload.to_vec() }
    }
}

#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    pub fn open(protocol: i32) -> Result<Socket, NetlinkError> {
        // SAFETY: socket() takes no pointers; the result is checked before it becomes an owner.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
        if fd < 0 {
            return Err(io::Error::last_os_error().into());
        }
        // SAFETY: fd was just made by socket() and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let socket = Socket { fd, sequence: 0, buffer: vec![0; USUAL_DATAGRAM] };
        // All three only improve answers; old kernels refuse them and we do without.
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK] {
            let _ = socket.set_option(libc::SOL_NETLINK, option, 1);
        }
        // The forced variant wants CAP_NET_ADMIN in the first user namespace; the plain one is capped.
        if socket.set_option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER).is_err() {
            let _ = socket.set_option(libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER);
        }
        socket.set_receive_timeout(ANSWER_TIMEOUT)?;
        socket.bind()?;
        Ok(socket)
    }

    /// Without an address of its own a socket is passed over when notifications go out.
    fn bind(&self) -> io::Result<()> {
        // SAFETY: an all-zero sockaddr_nl is a valid value of that plain C struct.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        // SAFETY: the pointer and length are those of a live sockaddr_nl; the kernel chooses the number.
        let failed = unsafe { libc::bind(self.raw_fd(), (&raw const address).cast(), length) } < 0;
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// A nonblocking socket that hears notifications of these groups.
    pub fn subscribe(protocol: i32, groups: &[u32]) -> Result<Socket, NetlinkError> {
        let socket = Socket::open(protocol)?;
        for group in groups {
            socket.set_option(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, *group as i32)?;
        }
        // SAFETY: fcntl on our own descriptor with integer arguments.
        let failed = unsafe { libc::fcntl(socket.raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } < 0;
        if failed { Err(io::Error::last_os_error().into()) } else { Ok(socket) }
    }

    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Sends one request and waits for its acknowledgement.
    pub fn request(&mut self, kind: u16, flags: u16, payload: &Payload) -> Result<(), NetlinkError> {
        let mut refusal = Ok(());
        self.pipeline(&[(kind, flags, payload)], &mut |_, error| refusal = Err(error))?;
        refusal
    }

    /// Sends many requests, tells each refusal by position, and fails only if the socket itself does.
    pub fn pipeline(
        &mut self,
        requests: &[(u16, u16, &Payload)],
        refused: &mut dyn FnMut(usize, NetlinkError),
    ) -> Result<(), NetlinkError> {
        let mut done = 0;
        for chunk in requests.chunks(PIPELINE) {
            let first = self.sequence.wrapping_add(1);
            let mut bytes = Vec::new();
            for (kind, flags, payload) in chunk {
                let sequence = self.next_sequence();
                let flags = flags | flag::REQUEST | flag::ACK;
                message::append(&mut bytes, *kind, flags, sequence, payload.bytes());
            }
            self.send(&bytes)?;
            let mut open = chunk.len();
            while open > 0 {
                self.receive(&mut |answer| {
                    let position = answer.sequence.wrapping_sub(first) as usize;
                    if answer.kind != NLMSG_ERROR || position >= chunk.len() {
                        return;
                    }
                    open = open.saturating_sub(1);
                    if let Some(error) = error_in(answer) {
                        refused(done + position, error);
                    }
                })?;
            }
            done += chunk.len();
        }
        Ok(())
    }

    /// All messages of a dump, asked for again when the kernel says that it changed under way.
    pub fn dump(&mut self, kind: u16, payload: &Payload) -> Result<Vec<Answer>, NetlinkError> {
        let mut answers = Vec::new();
        self.dump_each(kind, payload, &mut |message| match message {
            None => answers.clear(),
            Some(message) => answers.push(message.into()),
        })?;
        Ok(answers)
    }

    /// Likewise, each message as it comes. `None` is told first, and again where all begins anew.
    pub fn dump_each(
        &mut self,
        kind: u16,
        payload: &Payload,
        each: &mut dyn FnMut(Option<&Message<'_>>),
    ) -> Result<(), NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            each(None);
            if self.stream(kind, payload, &mut |message| each(Some(message)))? {
                return Ok(());
            }
        }
        Err(NetlinkError::new(libc::EAGAIN, Some("the table keeps changing".to_owned())))
    }

    /// A dump without keeping it. False if the kernel changed it under way or dropped a part.
    pub fn stream(
        &mut self,
        kind: u16,
        payload: &Payload,
        each: &mut dyn FnMut(&Message<'_>),
    ) -> Result<bool, NetlinkError> {
        let sequence = self.next_sequence();
        let mut bytes = Vec::new();
        message::append(&mut bytes, kind, flag::REQUEST | flag::DUMP, sequence, payload.bytes());
        self.send(&bytes)?;
        let (mut interrupted, mut is_over, mut failure) = (false, false, None);
        while !is_over {
            let received = self.receive(&mut |answer| {
                if answer.sequence != sequence || is_over {
                    return;
                }
                interrupted |= answer.flags & flag::DUMP_INTERRUPTED != 0;
                match answer.kind {
                    NLMSG_NOOP => {}
                    // A dump may end with an error in its closing message, too.
                    NLMSG_ERROR | NLMSG_DONE => {
                        is_over = true;
                        failure = error_in(answer);
                    }
                    _ => each(answer),
                }
            });
            match received {
                // Answers were dropped: what we have is incomplete, the rest is still to come.
                Err(error) if error.errno == libc::ENOBUFS => interrupted = true,
                other => other?,
            }
        }
        failure.map_or(Ok(!interrupted), Err)
    }

    /// Sends a batch, ready-made, as the single datagram the kernel wants, and collects every refusal until
    /// the acknowledgement of `last`, the one message that asked for it, or of `first`, which a failed
    /// commit is blamed on.
    pub fn batch(&mut self, bytes: &[u8], first: u32, last: u32) -> Result<Vec<NetlinkError>, NetlinkError> {
        // What comes back is short, and memory is scarce beside a large batch.
        self.buffer = Vec::new();
        self.reserve_send_buffer(bytes.len())?;
        self.send(bytes)?;
        let mut refusals: Vec<NetlinkError> = Vec::new();
        let mut finished = false;
        while !finished {
            let received = self.receive(&mut |answer| {
                if answer.kind != NLMSG_ERROR {
                    return;
                }
                let error = error_in(answer);
                finished |= answer.sequence == last || (answer.sequence == first && error.is_some());
                refusals.extend(error);
            });
            match received {
                // So many refusals that some were lost: the batch has failed and the first ones are here.
                Err(error) if error.errno == libc::ENOBUFS && !refusals.is_empty() => finished = true,
                other => other?,
            }
        }
        Ok(refusals)
    }

    /// The notifications that have arrived, without waiting. `ENOBUFS` means that some were lost: resync.
    pub fn notifications(&mut self) -> Result<Vec<Answer>, NetlinkError> {
        let mut heard = Vec::new();
        loop {
            match self.receive(&mut |answer| heard.push(answer.into())) {
                Ok(()) => {}
                Err(error) if error.errno == libc::EAGAIN => return Ok(heard),
                Err(error) => return Err(error),
            }
        }
    }

    pub fn next_sequence(&mut self) -> u32 {
        // Zero is what notifications carry.
        self.sequence = self.sequence.checked_add(1).unwrap_or(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> Result<(), NetlinkError> {
        retry_interrupted(&mut || {
            // SAFETY: the pointer and length are those of a live slice.
            unsafe { libc::send(self.raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) }
        })?;
        Ok(())
    }

    /// One datagram, cut into messages. Only the kernel is listened to.
    fn receive(&mut self, each: &mut dyn FnMut(&Message<'_>)) -> Result<(), NetlinkError> {
        let wanted = self.peek_length()?;
        if wanted > self.buffer.len() {
            self.buffer.resize(wanted, 0);
        }
        // SAFETY: an all-zero sockaddr_nl is a valid value of that plain C struct.
        let mut sender: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        let mut sender_length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
        let length = retry_interrupted(&mut || {
            // SAFETY: buffer and sender are live, writable and of the lengths given.
            unsafe {
                libc::recvfrom(
                    self.fd.as_raw_fd(),
                    self.buffer.as_mut_ptr().cast(),
                    self.buffer.len(),
                    0,
                    (&raw mut sender).cast(),
                    &raw mut sender_length,
                )
            }
        })?;
        if sender.nl_pid != 0 {
            return Ok(());
        }
        let datagram = self
            .buffer
            .get(..length)
            .ok_or_else(|| NetlinkError::new(libc::EPROTO, Some("impossible length".to_owned())))?;
        for message in Messages::new(datagram) {
            each(&message);
        }
        Ok(())
    }

    fn peek_length(&self) -> Result<usize, NetlinkError> {
        let flags = libc::MSG_PEEK | libc::MSG_TRUNC;
        // SAFETY: a null buffer of length zero is allowed; MSG_TRUNC makes recv return the true length.
        retry_interrupted(&mut || unsafe { libc::recv(self.raw_fd(), std::ptr::null_mut(), 0, flags) })
    }

    /// The kernel takes a batch in one piece or not at all, and counts it twice over.
    fn reserve_send_buffer(&self, length: usize) -> Result<(), NetlinkError> {
        let wanted = i32::try_from(length.saturating_add(1 << 16)).unwrap_or(i32::MAX);
        if self.set_option(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, wanted).is_err() {
            self.set_option(libc::SOL_SOCKET, libc::SO_SNDBUF, wanted)?;
        }
        Ok(())
    }

    fn set_receive_timeout(&self, timeout: Duration) -> io::Result<()> {
        // SAFETY: an all-zero timeval is a valid value; its fields are set below.
        let mut time: libc::timeval = unsafe { std::mem::zeroed() };
        time.tv_sec = timeout.as_secs() as _;
        self.set_raw_option(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &time)
    }

    fn set_option(&self, level: i32, option: i32, value: i32) -> io::Result<()> {
        self.set_raw_option(level, option, &value)
    }

    fn set_raw_option<T>(&self, level: i32, option: i32, value: &T) -> io::Result<()> {
        // SAFETY: the pointer and size are those of a live value of a plain C type.
        let result = unsafe {
            libc::setsockopt(
                self.raw_fd(),
                level,
                option,
                std::ptr::from_ref(value).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn retry_interrupted(call: &mut dyn FnMut() -> libc::ssize_t) -> Result<usize, NetlinkError> {
    loop {
        match usize::try_from(call()) {
            Ok(length) => return Ok(length),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error.into());
                }
            }
        }
    }
}
