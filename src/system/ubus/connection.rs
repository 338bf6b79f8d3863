//! One connection to ubusd: its framing, and requests that wait for their reply until a deadline. After any
//! failure but a refusal the stream may stand in the middle of a message: the connection is then of no use.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::json::{Json, Object};

use super::Failure;
use super::blob::{self, BlobError};

const HEADER_LENGTH: usize = 8;
const ATTRIBUTE_HEADER_LENGTH: usize = 4;

mod message {
    pub const HELLO: u8 = 0;
    pub const STATUS: u8 = 1;
    pub const DATA: u8 = 2;
    pub const LOOKUP: u8 = 4;
    pub const INVOKE: u8 = 5;
}

mod attribute {
    pub const STATUS: u8 = 1;
    pub const OBJECT_PATH: u8 = 2;
    pub const OBJECT_ID: u8 = 3;
    pub const METHOD: u8 = 4;
    pub const DATA: u8 = 7;
}

pub struct Connection {
    socket: UnixStream,
    deadline: Instant,
    sequence: u16,
}

struct Message {
    kind: u8,
    sequence: u16,
    body: Vec<u8>,
}

impl Connection {
    pub fn open(path: &Path, deadline: Instant) -> Result<Connection, Failure> {
        let socket = connect(path, Some(time_left(deadline)?)).map_err(Failure::of_connect)?;
        let mut connection = Connection { socket, deadline, sequence: 0 };
        match connection.receive()?.kind {
            message::HELLO => Ok(connection),
            _ => Err(BlobError::Malformed("the daemon does not greet").into()),
        }
    }

    /// False where the daemon has gone, or has sent what nobody waits for any more.
    pub fn is_quiet(&mut self) -> bool {
        let answer = self.socket.set_nonblocking(true).and_then(|()| self.socket.read(&mut [0]));
        let is_blocking_again = self.socket.set_nonblocking(false).is_ok();
        is_blocking_again && answer.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    pub fn look_up(&mut self, object: &str) -> Result<u32, Failure> {
        let mut attributes = Vec::new();
        blob::push_text(&mut attributes, attribute::OBJECT_PATH, object)?;
        let reply = self.request(message::LOOKUP, 0, &attributes)?;
        let id = reply.and_then(|body| number_in(&body, attribute::OBJECT_ID));
        id.ok_or(BlobError::Malformed("an object without an id").into())
    }

    /// Methods that answer nothing give the empty table.
    pub fn invoke(&mut self, object_id: u32, method: &str, arguments: &Json) -> Result<Json, Failure> {
        let attributes = invocation(object_id, method, arguments)?;
        let body = self.request(message::INVOKE, object_id, &attributes)?.unwrap_or_default();
        match payload_in(&body, attribute::DATA) {
            Some(data) => Ok(blob::decode_table(data)?),
            None => Ok(Json::Object(Object::new())),
        }
    }

    /// Gives the body of the first DATA message once the closing STATUS says success.
    fn request(&mut self, kind: u8, peer: u32, attributes: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        self.sequence = self.sequence.wrapping_add(1);
        self.send(&encode(kind, self.sequence, peer, attributes)?)?;
        let mut data = None;
        loop {
            let message = self.receive()?;
            if message.sequence != self.sequence {
                continue;
            }
            match message.kind {
                message::DATA if data.is_none() => data = Some(message.body),
                message::STATUS => {
                    return match number_in(&message.body, attribute::STATUS) {
                        Some(0) => Ok(data),
                        Some(status) => Err(Failure::Refused(status)),
                        None => Err(BlobError::Malformed("a status without a number").into()),
                    };
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        while !bytes.is_empty() {
            self.socket.set_write_timeout(Some(time_left(self.deadline)?)).map_err(Failure::of_stream)?;
            match self.socket.write(bytes) {
                Ok(0) => return Err(Failure::Closed),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::of_stream(error)),
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<Message, Failure> {
        let mut header = [0; HEADER_LENGTH];
        self.fill(&mut header)?;
        let [version, kind, sequence_high, sequence_low, ..] = header;
        if version != 0 {
            return Err(BlobError::Malformed("an unknown protocol version").into());
        }
        let mut attribute_header = [0; ATTRIBUTE_HEADER_LENGTH];
        self.fill(&mut attribute_header)?;
        let length = blob::length_in_header(u32::from_be_bytes(attribute_header));
        if length > blob::LONGEST_MESSAGE {
            return Err(BlobError::TooLong.into());
        }
        let length = length
            .checked_sub(ATTRIBUTE_HEADER_LENGTH)
            .ok_or(BlobError::Malformed("a message has a wrong length"))?;
        let mut body = vec![0; length];
        self.fill(&mut body)?;
        Ok(Message { kind, sequence: u16::from_be_bytes([sequence_high, sequence_low]), body })
    }

    fn fill(&mut self, mut room: &mut [u8]) -> Result<(), Failure> {
        while !room.is_empty() {
            self.socket.set_read_timeout(Some(time_left(self.deadline)?)).map_err(Failure::of_stream)?;
            match self.socket.read(room) {
                Ok(0) => return Err(Failure::Closed),
                Ok(count) => room = room.get_mut(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::of_stream(error)),
            }
        }
        Ok(())
    }
}

fn encode(kind: u8, sequence: u16, peer: u32, attributes: &[u8]) -> Result<Vec<u8>, BlobError> {
    let mut bytes = vec![0, kind];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&peer.to_be_bytes());
    blob::push_attribute(&mut bytes, 0, attributes)?;
    Ok(bytes)
}

fn invocation(object_id: u32, method: &str, arguments: &Json) -> Result<Vec<u8>, BlobError> {
    let mut attributes = Vec::new();
    blob::push_attribute(&mut attributes, attribute::OBJECT_ID, &object_id.to_be_bytes())?;
    blob::push_text(&mut attributes, attribute::METHOD, method)?;
    blob::push_attribute(&mut attributes, attribute::DATA, &blob::encode_table(arguments)?)?;
    Ok(attributes)
}

/// The whole message of a call whose reply nobody waits for.
pub fn encode_invocation(object_id: u32, method: &str, arguments: &Json) -> Result<Vec<u8>, BlobError> {
    encode(message::INVOKE, 1, object_id, &invocation(object_id, method, arguments)?)
}

fn payload_in(body: &[u8], id: u8) -> Option<&[u8]> {
    blob::attributes(body).map_while(Result::ok).find(|found| found.id == id).map(|found| found.payload)
}

fn number_in(body: &[u8], id: u8) -> Option<u32> {
    payload_in(body, id)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

fn time_left(deadline: Instant) -> Result<Duration, Failure> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(Failure::TimedOut) } else { Ok(left) }
}

/// std's connect has no timeout, and it blocks for good once a hung daemon's queue of connections is full.
/// Without a timeout neither this nor the socket ever waits.
pub fn connect(path: &Path, timeout: Option<Duration>) -> io::Result<UnixStream> {
    let address = socket_address(path)?;
    let waiting = if timeout.is_none() { libc::SOCK_NONBLOCK } else { 0 };
    // SAFETY: plain numbers in, a new descriptor or -1 out.
    let descriptor =
        unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | waiting, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
    let socket = UnixStream::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
    // It bounds connect too.
    socket.set_write_timeout(timeout)?;
    loop {
        // SAFETY: the pointer and the length describe `address`, which outlives the call.
        let outcome = unsafe {
            libc::connect(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_un>() as libc::socklen_t,
            )
        };
        if outcome == 0 {
            return Ok(socket);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn socket_address(path: &Path) -> io::Result<libc::sockaddr_un> {
    let mut address =
        libc::sockaddr_un { sun_family: libc::AF_UNIX as libc::sa_family_t, sun_path: [0; 108] };
    let path = path.as_os_str().as_bytes();
    // One byte less than there is room for: the rest stays the closing NUL.
    if path.len() >= address.sun_path.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path of the socket is too long"));
    }
    for (room, byte) in address.sun_path.iter_mut().zip(path) {
        *room = *byte as libc::c_char;
    }
    Ok(address)
}
