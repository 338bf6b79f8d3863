//! A client of ubusd, OpenWrt's message bus: calls of methods, each within one overall timeout, and events. A
//! lost connection costs the call it was lost in; the next one connects anew.

pub mod blob;
mod connection;
mod herald;
mod real;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::json::Json;

use super::failure::{self, failure};

use blob::BlobError;
use connection::Connection;

pub use herald::Herald;

/// ubusd keeps its socket in the second place before OpenWrt 21.02.
const SOCKETS: [&str; 2] = ["/var/run/ubus/ubus.sock", "/var/run/ubus.sock"];
const SOCKET_VARIABLE: &str = "MWAN3_UBUS_SOCKET";
const TIMEOUT: Duration = Duration::from_secs(2);
/// ubusd's own object that spreads events.
const EVENT_OBJECT: u32 = 1;

pub struct Bus {
    socket: PathBuf,
    timeout: Duration,
    connection: Option<Connection>,
}

impl Bus {
    /// The host's ubusd, or the one whose socket `MWAN3_UBUS_SOCKET` names.
    pub fn connect() -> Result<Bus, UbusError> {
        Bus::connect_to(&socket_path(), TIMEOUT)
    }

    /// The timeout holds for each call as a whole.
    pub fn connect_to(socket: &Path, timeout: Duration) -> Result<Bus, UbusError> {
        let mut bus = Bus { socket: socket.to_owned(), timeout, connection: None };
        let asked = || format!("ubus at {}", socket.display());
        bus.talk(|_| Ok(())).map_err(|failure| UbusError { asked: asked(), failure })?;
        Ok(bus)
    }

    /// The arguments are a table, or null for none. Of several replies the first one counts.
    pub fn call(&mut self, object: &str, method: &str, arguments: &Json) -> Result<Json, UbusError> {
        self.talk(|connection| {
            let id = connection.look_up(object)?;
            connection.invoke(id, method, arguments)
        })
        .map_err(|failure| UbusError { asked: format!("ubus call {object} {method}"), failure })
    }

    fn talk<T>(
        &mut self,
        conversation: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + self.timeout;
        let kept = self.connection.take().and_then(|mut kept| kept.is_quiet().then_some(kept));
        let mut connection = match kept {
            Some(kept) => kept,
            None => Connection::open(&self.socket, deadline)?,
        };
        connection.set_deadline(deadline);
        let outcome = conversation(&mut connection);
        if matches!(outcome, Ok(_) | Err(Failure::Refused(_))) {
            self.connection = Some(connection);
        }
        outcome
    }
}

fn socket_path() -> PathBuf {
    let named = super::process::variable(SOCKET_VARIABLE).map(PathBuf::from);
    named.unwrap_or_else(|| {
        let found = SOCKETS.iter().find(|path| super::paths::exists(Path::new(path)));
        PathBuf::from(found.unwrap_or(&SOCKETS[0]))
    })
}

/// What was asked of the bus, and why there is no answer.
#[derive(Debug)]
pub struct UbusError {
    asked: String,
    failure: Failure,
}

#[derive(Debug)]
pub enum Failure {
    /// The daemon or the called process says no, with a number of its list.
    Refused(u32),
    TimedOut,
    /// The daemon went away.
    Closed,
    Message(BlobError),
    Unreachable(io::Error),
    Socket(io::Error),
}

impl UbusError {
    /// A reply that is well formed but says nothing of what was asked.
    pub(super) fn meaningless(asked: &str, what: &'static str) -> UbusError {
        UbusError { asked: asked.to_owned(), failure: Failure::Message(BlobError::Malformed(what)) }
    }

    /// No ubus on this host: it is not OpenWrt, or it has not booted that far.
    pub fn is_absent(&self) -> bool {
        matches!(&self.failure, Failure::Unreachable(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// No ubus, or nobody of that name on it: a host of another kind, or one that is still starting.
    pub fn is_nobody_there(&self) -> bool {
        self.is_absent() || matches!(&self.failure, Failure::Refused(status::NOT_FOUND))
    }

    /// The same call may well succeed a moment later.
    pub fn is_retryable(&self) -> bool {
        match &self.failure {
            Failure::TimedOut | Failure::Closed => true,
            Failure::Refused(status) => [status::NOT_FOUND, status::TIMEOUT].contains(status),
            Failure::Unreachable(error) => {
                [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused].contains(&error.kind())
            }
            Failure::Message(_) | Failure::Socket(_) => false,
        }
    }

    pub fn failure(&self) -> &Failure {
        &self.failure
    }
}

impl fmt::Display for UbusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.failure)
    }
}

impl From<UbusError> for failure::Failure {
    fn from(error: UbusError) -> failure::Failure {
        failure!("{error}")
    }
}

impl Failure {
    fn of_connect(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::TimedOut,
            _ => Failure::Unreachable(error),
        }
    }

    fn of_stream(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Failure::TimedOut,
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Failure::Closed,
            _ => Failure::Socket(error),
        }
    }
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Failure {
        Failure::Message(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(number) => match status::TEXTS.get(*number as usize) {
                Some(text) => f.write_str(text),
                None => write!(f, "Unknown error {number}"),
            },
            Failure::TimedOut => f.write_str("no answer in time"),
            Failure::Closed => f.write_str("the daemon closed the connection"),
            Failure::Message(error) => error.fmt(f),
            Failure::Unreachable(error) => write!(f, "the daemon cannot be reached: {error}"),
            Failure::Socket(error) => error.fmt(f),
        }
    }
}

mod status {
    pub const NOT_FOUND: u32 = 4;
    pub const TIMEOUT: u32 = 7;

    /// As the ubus command says them, by number.
    pub const TEXTS: [&str; 14] = [
        "Success",
        "Invalid command",
        "Invalid argument",
        "Method not found",
        "Not found",
        "No response",
        "Permission denied",
        "Request timed out",
        "Operation not supported",
        "Unknown error",
        "Connection failed",
        "Out of memory",
        "Parsing message data failed",
        "System error",
    ];
}
