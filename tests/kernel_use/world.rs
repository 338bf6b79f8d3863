//! A router with two uplinks and a LAN, and everything beyond them, in two network namespaces. Its rules
//! and tables are those that mwan3 makes; main prefers the second uplink.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;

pub const INTERNET: &str = "198.51.100.1";
pub const INTERNET_6: &str = "2001:db8::1";
pub const LAN_HOST: &str = "192.168.77.2";
pub const FIRST_ADDRESS: &str = "10.1.0.2";
pub const SECOND_ADDRESS: &str = "10.2.0.2";

const ROUTER_LINKS: &str = "\
    link set lo up
    link add wan1 type veth peer name far1 netns FAR
    link add wan2 type veth peer name far2 netns FAR
    link add lan type veth peer name farlan netns FAR
    link set wan1 up
    link set wan2 up
    link set lan up
    address add 10.1.0.2/24 dev wan1
    address add 10.2.0.2/24 dev wan2
    address add 192.168.77.1/24 dev lan
    address add fd01::2/64 dev wan1 nodad
    address add fd02::2/64 dev wan2 nodad
";
const ROUTER_ROUTES: &str = "\
    route add default via 10.2.0.1 dev wan2 metric 10
    route add default via 10.1.0.1 dev wan1 metric 20
    route add default via 10.1.0.1 dev wan1 table 1
    route add 192.168.77.0/24 dev lan table 1
    route add default via 10.2.0.1 dev wan2 table 2
    rule add pref 2001 fwmark 0x100/0x3f00 lookup 1
    rule add pref 2002 fwmark 0x200/0x3f00 lookup 2
    rule add pref 3001 fwmark 0x100/0x3f00 unreachable
    rule add pref 3002 fwmark 0x200/0x3f00 unreachable
";
const ROUTER_ROUTES_6: &str = "\
    route add default via fd02::1 dev wan2 metric 10
    route add default via fd01::1 dev wan1 metric 20
    route add default via fd01::1 dev wan1 table 3
    rule add pref 2003 fwmark 0x300/0x3f00 lookup 3
    rule add pref 3003 fwmark 0x300/0x3f00 unreachable
";
const FAR_LINKS: &str = "\
    link set lo up
    link set far1 up
    link set far2 up
    link set farlan up
    address add 198.51.100.1/32 dev lo
    address add 2001:db8::1/128 dev lo nodad
    address add 10.1.0.1/24 dev far1
    address add 10.2.0.1/24 dev far2
    address add 192.168.77.2/24 dev farlan
    address add fd01::1/64 dev far1 nodad
    address add fd02::1/64 dev far2 nodad
";
const ROUTER_COUNTERS: &str = "
    table inet seen {
        counter first { }
        counter second { }
        counter marked { }
        chain out {
            type filter hook postrouting priority 0;
            meta l4proto { tcp, udp, icmp } oifname wan1 counter name first
            meta l4proto { tcp, udp, icmp } oifname wan2 counter name second
            oifname { wan1, wan2 } meta mark & 0x3f00 != 0 counter name marked
            oifname wan1 meta mark 0x100 counter
        }
    }";
const FAR_COUNTERS: &str = "
    table inet seen {
        counter first { }
        counter second { }
        counter lan { }
        chain in {
            type filter hook prerouting priority 0;
            meta l4proto { tcp, udp, icmp } iifname far1 counter name first
            meta l4proto { tcp, udp, icmp } iifname far2 counter name second
            meta l4proto { tcp, udp, icmp } iifname farlan counter name lan
        }
    }";
/// Answers every HTTP request and every datagram with the address it came from.
const TELL_PEER: &str = r#"
import http.server, socket, socketserver, threading
class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        peer = self.client_address[0].removeprefix("::ffff:").encode()
        self.send_response(200); self.send_header("Content-Length", str(len(peer))); self.end_headers()
        self.wfile.write(peer)
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
def datagrams():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::", 8000)); ready.set()
    while True:
        _, peer = s.recvfrom(2000); s.sendto(peer[0].removeprefix("::ffff:").encode(), peer)
ready = threading.Event()
threading.Thread(target=datagrams, daemon=True).start()
server = Server(("::", 8000), Web); ready.wait(); print("ready", flush=True); server.serve_forever()
"#;

/// A process that only keeps a namespace or a listener alive.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct World {
    router: Kept,
    far: Kept,
    _listeners: Vec<Kept>,
}

#[derive(Clone, Copy)]
pub enum By {
    Mark,
    Device,
}

impl World {
    pub fn new() -> World {
        let (router, far) = (namespace(), namespace());
        let mut world = World { router, far, _listeners: Vec::new() };
        let (router, far) = (world.router.0.id(), world.far.0.id());
        ip(router, &ROUTER_LINKS.replace("FAR", &far.to_string()));
        ip(far, FAR_LINKS);
        ip(router, ROUTER_ROUTES);
        feed(router, &["ip", "-6", "-batch", "-"], ROUTER_ROUTES_6);
        feed(router, &["nft", "-f", "-"], ROUTER_COUNTERS);
        feed(far, &["nft", "-f", "-"], FAR_COUNTERS);
        world._listeners = [router, far].map(listener).into();
        world
    }

    /// Changes links, rules or routes of the router, as a batch of `ip`.
    pub fn ip(&self, batch: &str) {
        ip(self.router.0.id(), batch);
    }

    /// What runs in the router, not bound to anything.
    pub fn router(&self, command: &[&str]) -> Command {
        inside(self.router.0.id(), command)
    }

    /// `use` for the first uplink, or as `interface` one of "wan2" and "wan6" (the IPv6 of the first).
    pub fn bound(&self, interface: &str, by: By, command: &[&str]) -> Command {
        let binding = self.binding(interface, by);
        let binding: Vec<&str> = binding.iter().map(String::as_str).collect();
        self.router(&[&binding, command].concat())
    }

    /// The command line of `use`, up to the command.
    pub fn binding(&self, interface: &str, by: By) -> Vec<String> {
        let (family, device, mark, other) = match interface {
            "wan2" => ("ipv4", "wan2", "0x200", "wan1"),
            "wan6" => ("ipv6", "wan1", "0x300", "wan2"),
            _ => ("ipv4", "wan1", "0x100", "wan2"),
        };
        let steering = match by {
            By::Mark => format!("mark:{},{}", self.index(other), self.index(device)),
            By::Device => "device".to_owned(),
        };
        let index = self.index(device).to_string();
        [use_program(), interface, family, &index, mark, &steering].map(str::to_owned).into()
    }

    pub fn arrived(&self, counter: &str) -> u64 {
        packets(self.far.0.id(), counter)
    }

    pub fn sent(&self, counter: &str) -> u64 {
        packets(self.router.0.id(), counter)
    }

    fn index(&self, device: &str) -> u32 {
        let output = self.router(&["ip", "-o", "link", "show", "dev", device]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split(':').next().unwrap().parse().unwrap()
    }
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Standard output of a command that must succeed.
pub fn told(mut command: Command) -> String {
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {:?}: {complaint}", output.status);
    text(&output)
}

pub fn use_program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // `cargo test --test kernel_use` alone does not build examples, and an old one would prove nothing.
        let status: ExitStatus = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--example", "use"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success());
        let test = std::env::current_exe().unwrap();
        let example = test.parent().unwrap().parent().unwrap().join("examples/use");
        example.to_str().unwrap().to_owned()
    })
}

fn namespace() -> Kept {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "echo ready; exec sleep 600"]);
    started(command)
}

fn listener(namespace: u32) -> Kept {
    started(inside(namespace, &["python3", "-c", TELL_PEER]))
}

fn started(mut command: Command) -> Kept {
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n", "{command:?}");
    Kept(child)
}

fn inside(namespace: u32, command: &[&str]) -> Command {
    let mut enter = Command::new("nsenter");
    enter.arg(format!("--net=/proc/{namespace}/ns/net")).args(command).stdin(Stdio::null());
    enter
}

fn ip(namespace: u32, batch: &str) {
    feed(namespace, &["ip", "-batch", "-"], batch);
}

fn feed(namespace: u32, command: &[&str], input: &str) {
    let mut command = inside(namespace, command);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}: {complaint}");
}

fn packets(namespace: u32, counter: &str) -> u64 {
    let list = told(inside(namespace, &["nft", "list", "counter", "inet", "seen", counter]));
    let number = list.split("packets ").nth(1).unwrap().split(' ').next().unwrap();
    number.parse().unwrap()
}
