//! Two network namespaces, a wire between them, and a poll loop for a prober in the near one.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::process::Command;
use std::time::{Duration, Instant};

use mwan3::address::Family;
use mwan3::system::probe::{Interest, Method, Outcome, Probe, ProbeId, ProbeResult, Prober, Uplink};
use socket2::{Domain, Protocol, Socket, Type};

/// Far longer than anything takes; only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const DEVICE: &str = "wan";
pub const MARK: u32 = 0x3f00;

/// The near end's address, the far end's, and one more that the far host has.
pub fn near(family: Family) -> IpAddr {
    pick(family, "192.0.2.2", "2001:db8::2")
}

pub fn far(family: Family) -> IpAddr {
    pick(family, "192.0.2.1", "2001:db8::1")
}

pub fn beyond(family: Family) -> IpAddr {
    pick(family, "203.0.113.9", "2001:db8:1::9")
}

/// The far host routes this to nowhere, without a word.
pub fn swallowed(family: Family) -> IpAddr {
    pick(family, "198.51.100.7", "2001:db8:dead::7")
}

/// The far host says that there is no such network.
pub fn unreachable(family: Family) -> IpAddr {
    pick(family, "198.18.0.7", "2001:db8:bad::7")
}

fn pick(family: Family, ipv4: &str, ipv6: &str) -> IpAddr {
    let text = if family == Family::Ipv4 { ipv4 } else { ipv6 };
    text.parse().expect("an address")
}

pub fn uplink(family: Family) -> Uplink {
    Uplink { device: DEVICE.into(), mark: MARK, source: near(family) }
}

/// Runs the test in a thread that has its own network namespace and its own file descriptors.
pub fn on_a_wire(test: impl FnOnce(&Namespace) + Send + 'static) {
    let run = move || {
        enter_new(libc::CLONE_NEWNET | libc::CLONE_FILES);
        let far_end = Namespace::new();
        lay_wire(&far_end);
        test(&far_end);
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

fn enter_new(flags: libc::c_int) {
    // SAFETY: unshare changes only the calling thread's own namespaces and descriptor table.
    let done = unsafe { libc::unshare(flags) };
    assert_eq!(done, 0, "run as root or under `unshare -Urn`: {}", std::io::Error::last_os_error());
}

pub struct Namespace {
    file: File,
}

impl Namespace {
    pub fn new() -> Namespace {
        let made = std::thread::spawn(|| {
            enter_new(libc::CLONE_NEWNET);
            File::open("/proc/thread-self/ns/net").expect("the namespace's file")
        });
        Namespace { file: made.join().expect("a namespace") }
    }

    /// Sockets made in here stay here, whoever uses them later.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                // SAFETY: setns changes only this fresh thread, to a namespace we hold open.
                let done = unsafe { libc::setns(self.file.as_raw_fd(), libc::CLONE_NEWNET) };
                assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
                work()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub fn ip(&self, lines: &str) {
        self.run(|| ip(lines));
    }

    pub fn set(&self, key: &str, value: &str) {
        self.run(|| set(key, value));
    }

    /// Makes the kernel there leave echo requests to us.
    pub fn stop_answering_echoes(&self) {
        self.set("net/ipv4/icmp_echo_ignore_all", "1");
        self.set("net/ipv6/icmp/echo_ignore_all", "1");
    }

    /// A raw ICMP socket there, which sends from `source`.
    pub fn icmp_socket(&self, source: IpAddr) -> Socket {
        let (domain, protocol) = match Family::of(source) {
            Family::Ipv4 => (Domain::IPV4, Protocol::ICMPV4),
            Family::Ipv6 => (Domain::IPV6, Protocol::ICMPV6),
        };
        self.run(|| {
            let socket = Socket::new(domain, Type::RAW, Some(protocol)).expect("a raw socket");
            socket.bind(&SocketAddr::new(source, 0).into()).expect("bind");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            socket
        })
    }
}

/// One `ip` command per line.
pub fn ip(lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let output = Command::new("ip").args(line.split_whitespace()).output().expect("the ip command");
        assert!(output.status.success(), "ip {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn set(key: &str, value: &str) {
    std::fs::write(format!("/proc/sys/{key}"), value).unwrap_or_else(|error| panic!("{key}: {error}"));
}

pub fn lay_wire(far_end: &Namespace) {
    far_end.set("net/ipv4/ip_forward", "1");
    far_end.set("net/ipv6/conf/all/forwarding", "1");
    // Routers send few ICMP errors to one host in a second, but tests ask for more.
    far_end.set("net/ipv4/icmp_ratelimit", "0");
    far_end.set("net/ipv6/icmp/ratelimit", "0");
    // As on the Internet, and unlike Linux, an interface answers ARP for its own addresses only.
    far_end.set("net/ipv4/conf/all/arp_ignore", "1");
    let namespace = format!("/proc/self/fd/{}", far_end.file.as_raw_fd());
    // The child inherits the descriptor under the same number, but for its close-on-exec flag.
    // SAFETY: changes a flag of a descriptor we own.
    unsafe { libc::fcntl(far_end.file.as_raw_fd(), libc::F_SETFD, 0) };
    ip(&format!("link add {DEVICE} type veth peer name far netns {namespace}"));
    far_end.ip("link set lo up
         addr add 192.0.2.1/24 dev far
         addr add 2001:db8::1/64 dev far nodad
         addr add 203.0.113.9/32 dev lo
         addr add 2001:db8:1::9/128 dev lo
         link set far up
         route add blackhole 198.51.100.0/24
         route add unreachable 198.18.0.0/24
         -6 route add blackhole 2001:db8:dead::/48
         -6 route add unreachable 2001:db8:bad::/48");
    ip(&format!(
        "link set lo up
         addr add 192.0.2.2/24 dev {DEVICE}
         addr add 2001:db8::2/64 dev {DEVICE} nodad
         link set {DEVICE} up
         route add default via 192.0.2.1 dev {DEVICE}
         -6 route add default via 2001:db8::1 dev {DEVICE}"
    ));
    for family in Family::BOTH {
        wait_until_it_carries(near(family));
    }
}

/// A fresh wire drops packets until the kernel has noticed that both its ends are up, and a fresh IPv6
/// address until its route is made.
pub fn wait_until_it_carries(source: IpAddr) {
    let family = Family::of(source);
    let closed_port = SocketAddr::new(far(family), 9);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let domain = if family == Family::Ipv4 { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM, None).expect("a socket");
        socket.bind_device(Some(DEVICE.as_bytes())).expect("the device");
        socket.bind(&SocketAddr::new(source, 0).into()).expect("the source");
        let connected = socket.connect_timeout(&closed_port.into(), Duration::from_millis(100));
        match connected.map_err(|error| error.kind()) {
            Err(ErrorKind::ConnectionRefused) => return,
            other => assert!(Instant::now() < deadline, "the wire does not carry {source}: {other:?}"),
        }
    }
}

pub struct Driver {
    pub prober: Prober,
    started_at: Instant,
    next_sequence: u16,
}

impl Driver {
    pub fn new() -> Driver {
        Driver { prober: Prober::new().expect("a prober"), started_at: Instant::now(), next_sequence: 0 }
    }

    pub fn now(&self) -> Duration {
        self.started_at.elapsed()
    }

    pub fn start(&mut self, uplink: &Uplink, method: Method) -> ProbeId {
        self.start_for(1, uplink, method)
    }

    pub fn start_for(&mut self, interface: u16, uplink: &Uplink, method: Method) -> ProbeId {
        let id = ProbeId { interface, target: 0, sequence: self.next_sequence };
        self.next_sequence += 1;
        let now = self.now();
        self.prober.start(Probe { id, uplink: uplink.clone(), method }, now);
        id
    }

    /// Starts the probe and waits for its outcome.
    pub fn probe(&mut self, uplink: &Uplink, method: Method) -> ProbeResult {
        let id = self.start(uplink, method);
        let outcome = self.outcome();
        assert_eq!(outcome.id, id);
        outcome.result
    }

    pub fn outcome(&mut self) -> Outcome {
        self.wait_for("an outcome", |driver| driver.prober.next_outcome())
    }

    /// Serves the sockets until the condition holds.
    pub fn wait_for<T>(&mut self, what: &str, mut check: impl FnMut(&mut Driver) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = check(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "waited in vain for {what}; {:?}", self.prober.strays());
            for fd in self.ready(Duration::from_millis(100)) {
                let now = self.now();
                self.prober.handle_ready(fd, now);
            }
        }
    }

    /// What a poll loop would be woken for.
    pub fn ready(&self, timeout: Duration) -> BTreeSet<RawFd> {
        let watch = |(fd, interest)| libc::pollfd {
            fd,
            events: if interest == Interest::Write { libc::POLLOUT } else { libc::POLLIN },
            revents: 0,
        };
        let mut fds: Vec<libc::pollfd> = self.prober.interests().map(watch).collect();
        let timeout_ms = timeout.as_millis() as libc::c_int;
        // SAFETY: the pointer and length are those of a vector that lives during the call.
        let count = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout_ms) };
        assert!(count >= 0, "{}", std::io::Error::last_os_error());
        fds.iter().filter(|fd| fd.revents != 0).map(|fd| fd.fd).collect()
    }
}

pub fn echo(target: IpAddr) -> Method {
    Method::Echo { target, payload: 56, hop_limit: 60 }
}

pub fn words(result: ProbeResult) -> String {
    match result {
        ProbeResult::Failed(failure) => failure.to_string(),
        other => panic!("not a failure: {other:?}"),
    }
}

pub fn assert_answered(result: ProbeResult) {
    assert!(matches!(result, ProbeResult::Answered { .. }), "{result:?}");
}
