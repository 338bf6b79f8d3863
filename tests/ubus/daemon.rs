//! A stand-in for ubusd: a socket in a directory of its own, with a script for each connection.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use mwan3::json::{self, Json};
use mwan3::system::ubus::{Bus, UbusError, blob};
use serde_json::{Value, json};

pub const HELLO: u8 = 0;
pub const STATUS: u8 = 1;
pub const DATA: u8 = 2;
pub const LOOKUP: u8 = 4;
pub const INVOKE: u8 = 5;

const A_STATUS: u8 = 1;
const A_PATH: u8 = 2;
const A_ID: u8 = 3;
const A_METHOD: u8 = 4;
const A_DATA: u8 = 7;

const OBJECT_ID: u32 = 0x6e4a_e9c7;
const EVENT_OBJECT_ID: u32 = 1;

pub struct Daemon {
    pub socket: PathBuf,
    connections: Arc<AtomicUsize>,
}

impl Daemon {
    /// The script gets each connection with its number, counted from 0. It runs until it returns, which closes
    /// the connection, or until the test is over.
    pub fn start(script: impl Fn(usize, Client) + Send + 'static) -> Daemon {
        let socket = fresh_socket();
        let listener = UnixListener::bind(&socket).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                script(counter.fetch_add(1, Ordering::SeqCst), Client { stream: stream.unwrap() });
            }
        });
        Daemon { socket, connections }
    }

    /// Serves one object, `network.interface`, with `echo`, and `dump`, which gives this reply.
    pub fn with_dump(dump: Value) -> Daemon {
        Daemon::start(move |_, client| client.serve(&dump))
    }

    pub fn bus(&self, timeout: Duration) -> Bus {
        Bus::connect_to(&self.socket, timeout).unwrap()
    }

    pub fn call(&self, method: &str) -> Result<Value, UbusError> {
        self.bus(super::PATIENT).call("network.interface", method, &Json::Null).map(|reply| theirs(&reply))
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        forget(&self.socket);
    }
}

pub fn forget(socket: &Path) {
    let _ = std::fs::remove_dir_all(socket.parent().unwrap());
}

pub fn fresh_socket() -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let directory = std::env::temp_dir().join(format!("mwan3-ubus-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    directory.join("ubus.sock")
}

pub struct Client {
    pub stream: UnixStream,
}

pub struct Request {
    pub kind: u8,
    pub sequence: u16,
    pub bytes: Vec<u8>,
}

impl Client {
    pub fn greet(&mut self) {
        self.write(&message(HELLO, 0, &[]));
    }

    /// The script is over where the client has gone.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub fn request(&mut self) -> Option<Request> {
        let mut bytes = vec![0; 12];
        self.stream.read_exact(&mut bytes).ok()?;
        let length = blob::length_in_header(u32::from_be_bytes(bytes[8..12].try_into().unwrap()));
        bytes.resize(8 + length, 0);
        self.stream.read_exact(&mut bytes[12..]).ok()?;
        Some(Request { kind: bytes[1], sequence: u16::from_be_bytes([bytes[2], bytes[3]]), bytes })
    }

    /// What ubusd and netifd do together, refusals included.
    pub fn serve(mut self, dump: &Value) {
        self.greet();
        while let Some(request) = self.request() {
            let (reply, status) = request.answer(dump);
            if let Some(reply) = reply {
                self.write(&message(DATA, request.sequence, &reply));
            }
            self.write(&status_message(request.sequence, status));
        }
    }

    pub fn answer_lookup(&mut self) {
        let request = self.request().unwrap();
        let (reply, status) = request.answer(&Value::Null);
        self.write(&message(DATA, request.sequence, &reply.unwrap()));
        self.write(&status_message(request.sequence, status));
    }
}

impl Request {
    fn answer(&self, dump: &Value) -> (Option<Vec<u8>>, u32) {
        match (self.kind, self.method().as_deref()) {
            (LOOKUP, None) if self.text(A_PATH).as_deref() == Some("network.interface") => {
                (Some(id_attribute()), 0)
            }
            (LOOKUP, None) => (None, 4),
            (INVOKE, Some("dump")) if self.object() == OBJECT_ID => (Some(data(dump)), 0),
            (INVOKE, Some("echo")) if self.object() == OBJECT_ID => (Some(data(&self.arguments())), 0),
            (INVOKE, Some("silent")) if self.object() == OBJECT_ID => (None, 0),
            (INVOKE, Some("send")) if self.object() == EVENT_OBJECT_ID => {
                let arguments = self.arguments();
                (None, if arguments["id"].is_string() && arguments["data"].is_object() { 0 } else { 2 })
            }
            (INVOKE, Some(_)) => (None, 3),
            _ => (None, 1),
        }
    }

    pub fn method(&self) -> Option<String> {
        self.text(A_METHOD)
    }

    pub fn object(&self) -> u32 {
        u32::from_be_bytes(self.payload(A_ID).unwrap().try_into().unwrap())
    }

    pub fn arguments(&self) -> Value {
        theirs(&blob::decode_table(self.payload(A_DATA).unwrap()).unwrap())
    }

    fn text(&self, id: u8) -> Option<String> {
        let payload = self.payload(id)?;
        assert_eq!(payload.last(), Some(&0), "ubusd refuses a text without its NUL");
        Some(blob::c_text(payload))
    }

    fn payload(&self, id: u8) -> Option<&[u8]> {
        let attributes = blob::attributes(&self.bytes[12..]);
        attributes.map(Result::unwrap).find(|found| found.id == id).map(|found| found.payload)
    }
}

pub fn message(kind: u8, sequence: u16, attributes: &[u8]) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let mut bytes = vec![0, kind, high, low, 0x66, 0xbb, 0xe8, 0x45];
    blob::push_attribute(&mut bytes, 0, attributes).unwrap();
    bytes
}

pub fn status_message(sequence: u16, status: u32) -> Vec<u8> {
    let mut attributes = Vec::new();
    blob::push_attribute(&mut attributes, A_STATUS, &status.to_be_bytes()).unwrap();
    attributes.extend(id_attribute());
    message(STATUS, sequence, &attributes)
}

pub fn data(reply: &Value) -> Vec<u8> {
    let mut attributes = id_attribute();
    blob::push_attribute(&mut attributes, A_DATA, &blob::encode_table(&ours(reply)).unwrap()).unwrap();
    attributes
}

fn id_attribute() -> Vec<u8> {
    let mut attributes = Vec::new();
    blob::push_attribute(&mut attributes, A_ID, &OBJECT_ID.to_be_bytes()).unwrap();
    attributes
}

pub fn ours(value: &Value) -> Json {
    json::read(&value.to_string()).unwrap()
}

pub fn theirs(value: &Json) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

pub fn small_dump() -> Value {
    json!({ "interface": [{ "interface": "wan", "up": true, "l3_device": "eth0", "uptime": 12 }] })
}
