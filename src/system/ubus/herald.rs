//! Events for the bus from a process that must never wait: each is one write that the socket takes at once, or
//! it is lost. Replies are thrown away unread.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::json::{Json, Object};

use super::connection::{connect, encode_invocation};
use super::{EVENT_OBJECT, socket_path};

#[derive(Debug, Default)]
pub struct Herald {
    connection: Option<UnixStream>,
}

impl Herald {
    /// To everyone who listens for events of this name, by the host's ubusd. Whether it will get there, as far
    /// as can be known; false where there is no bus. The data is a table.
    pub fn send(&mut self, event: &str, data: &Json) -> bool {
        self.send_by(&socket_path(), event, data)
    }

    pub fn send_by(&mut self, socket: &Path, event: &str, data: &Json) -> bool {
        let mut arguments = Object::new();
        arguments.put("data", data.clone());
        arguments.text("id", event);
        let Ok(message) = encode_invocation(EVENT_OBJECT, "send", &arguments.into()) else { return false };
        let kept = self.connection.take().filter(is_alive);
        let Some(mut stream) = kept.or_else(|| connect(socket, None).ok()) else { return false };
        // Half a message would take the next one with it: such a connection is given up.
        let is_taken = stream.write(&message).is_ok_and(|length| length == message.len());
        self.connection = Some(stream).filter(|_| is_taken);
        is_taken
    }
}

/// Reads what has come; the daemon has gone where the stream is over.
fn is_alive(stream: &UnixStream) -> bool {
    let (mut stream, mut bytes) = (stream, [0; 512]);
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
