//! A telephony operator and a phone. The operator forgets a registration three minutes (here: seconds) after its last
//! refresh, and bans the account if another address registers before.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::Lab;

pub const ADDRESS: &str = "198.51.100.5";
pub const PORT: u16 = 5060;
/// Three minutes in a hurry.
const SESSION: Duration = Duration::from_millis(3000);
/// What a careful gateway waits.
pub const HOLD: &str = "3.5";
const REFRESH: Duration = Duration::from_millis(50);

/// What the operator has seen.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub bans: u32,
    pub registrations: u32,
    /// In the order in which they first came into use.
    pub addresses: Vec<IpAddr>,
    last: Option<(IpAddr, Instant)>,
}

pub struct Telephony {
    book: Arc<Mutex<Book>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Telephony {
    /// The operator in the internet, and a phone in the LAN that refreshes its registration all the time.
    pub fn start(lab: &Lab) -> Telephony {
        lab.internet().sh(&format!("nft insert rule inet services prerouting udp dport {PORT} accept"));
        let listening = lab.internet().namespace().run(|| UdpSocket::bind((ADDRESS, PORT))).unwrap();
        let phone = lab.client().namespace().run(|| UdpSocket::bind(("0.0.0.0", PORT))).unwrap();
        for socket in [&listening, &phone] {
            socket.set_read_timeout(Some(REFRESH)).unwrap();
        }
        let (book, stop) = (Arc::new(Mutex::new(Book::default())), Arc::new(AtomicBool::new(false)));
        let operator = {
            let (book, stop) = (Arc::clone(&book), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut buffer = [0; 100];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((_, peer)) = listening.recv_from(&mut buffer) {
                        book.lock().unwrap().register(peer.ip());
                        let _ = listening.send_to(b"200 OK", peer);
                    }
                }
            })
        };
        let dialling = {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // "Unreachable" comes back as an error of the next call: a phone goes on.
                    let _ = phone.send_to(b"REGISTER taxi", (ADDRESS, PORT));
                    std::thread::sleep(REFRESH);
                }
            })
        };
        Telephony { book, stop, threads: vec![operator, dialling] }
    }

    pub fn book(&self) -> Book {
        self.book.lock().unwrap().clone()
    }
}

impl Drop for Telephony {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Book {
    fn register(&mut self, address: IpAddr) {
        self.registrations += 1;
        if let Some((known, at)) = self.last
            && known != address
            && at.elapsed() < SESSION
        {
            self.bans += 1;
        }
        if self.last.is_none_or(|(known, _)| known != address) {
            self.addresses.push(address);
        }
        self.last = Some((address, Instant::now()));
    }
}

/// One long conversation: the same port all the time.
pub struct Call {
    socket: UdpSocket,
}

impl Call {
    pub fn start(lab: &Lab, destination: &str, port: u16) -> Call {
        let socket = lab.client().namespace().run(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        socket.connect((destination, port)).unwrap();
        Call { socket }
    }

    /// The uplink by which the far end hears us; None for silence or a refusal.
    pub fn uplink(&self) -> Option<String> {
        let mut buffer = [0; 200];
        // Late answers of earlier questions are none to this one.
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut buffer).is_ok_and(|length| length > 0) {}
        self.socket.set_nonblocking(false).unwrap();
        self.socket.send(b"speak").ok()?;
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                let text = String::from_utf8_lossy(buffer.get(..length)?).into_owned();
                text.split(' ').next().map(str::to_owned)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(_) => None,
        }
    }
}
