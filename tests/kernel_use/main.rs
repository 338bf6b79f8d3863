//! `mwan3 use` in a real kernel: by which uplink the packets of bound programs leave, and that nothing
//! else about the programs or their neighbours changes. Needs nft, iproute2, util-linux, python3, curl,
//! ping and busybox-static, and root of the machine; as root of a user namespace only the refusal is tested.

#![allow(clippy::unwrap_used)]

mod world;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use mwan3::system::bpf::{Assembly, Hook, Program, Register};
use world::{
    By, FIRST_ADDRESS, INTERNET, INTERNET_6, LAN_HOST, SECOND_ADDRESS, World, text, told, use_program,
};

const FETCH: &str =
    "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=20).read().decode())";
/// Like the resolver of musl: bound to nothing, never connected.
const SEND_AND_RECEIVE: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 0)); s.settimeout(20)
s.sendto(b'?', (sys.argv[1], 8000)); print(s.recv(100).decode())";
const CONNECT: &str = "
import errno, socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM); s.settimeout(20)
print(errno.errorcode.get(s.connect_ex((sys.argv[1], 8000)), 'connected'))";

#[test]
fn a_dynamic_program_and_its_children_use_the_uplink() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    for by in [By::Mark, By::Device] {
        let url = web(INTERNET);
        // The shell stays, its child forks once more.
        let command = ["sh", "-c", "sh -c 'python3 -c \"$0\" \"$1\"; true' \"$0\" \"$1\"; true", FETCH, &url];
        assert_eq!(told(world.bound("wan1", by, &command)), FIRST_ADDRESS);
    }
    assert!(world.arrived("first") > 0);
    assert_eq!((world.arrived("second"), world.sent("second")), (0, 0));
    assert_eq!(world.sent("marked"), world.sent("first"));
}

#[test]
fn a_static_program_uses_the_uplink() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let libraries = Command::new("ldd").arg("/bin/busybox").output().unwrap();
    assert!(text(&libraries).is_empty(), "apt-get install busybox-static: {}", text(&libraries));
    let url = web(INTERNET);
    for by in [By::Mark, By::Device] {
        assert_eq!(told(world.bound("wan1", by, &["busybox", "wget", "-q", "-O", "-", &url])), FIRST_ADDRESS);
        told(world.bound("wan1", by, &["busybox", "ping", "-c", "1", "-W", "20", INTERNET]));
    }
    assert_eq!((world.arrived("second"), world.sent("second")), (0, 0));
}

#[test]
fn usual_tools_use_the_uplink_and_fall_back_to_its_family() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let both = format!("internet:8000:[{INTERNET_6}],{INTERNET}");
    for by in [By::Mark, By::Device] {
        told(world.bound("wan1", by, &["ping", "-c", "1", "-W", "20", INTERNET]));
        let curl = ["curl", "-s", "-m", "20", "--resolve", &both, "http://internet:8000/"];
        assert_eq!(told(world.bound("wan1", by, &curl)), FIRST_ADDRESS);
        assert_eq!(told(world.bound("wan6", by, &curl)), "fd01::2");
        told(world.bound("wan6", by, &["ping", "-6", "-c", "1", "-W", "20", INTERNET_6]));
    }
    assert_eq!((world.arrived("second"), world.sent("second")), (0, 0));
}

#[test]
fn this_host_and_the_lan_stay_within_reach_by_mark() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let bound = |command: &[&str]| told(world.bound("wan1", By::Mark, command));
    for address in ["127.0.0.1", "192.168.77.1", SECOND_ADDRESS] {
        assert_eq!(bound(&["python3", "-c", SEND_AND_RECEIVE, address]), address);
        assert_eq!(bound(&["python3", "-c", FETCH, &web(address)]), address);
    }
    assert_eq!(bound(&["python3", "-c", FETCH, &web("[::1]")]), "::1");
    assert_eq!(bound(&["python3", "-c", SEND_AND_RECEIVE, LAN_HOST]), "192.168.77.1");
    assert_eq!(bound(&["python3", "-c", FETCH, &web(LAN_HOST)]), "192.168.77.1");
    assert_eq!(bound(&["python3", "-c", SEND_AND_RECEIVE, INTERNET]), FIRST_ADDRESS);
    assert_eq!(world.arrived("second"), 0);
    assert!(world.arrived("lan") > 0);
}

#[test]
fn the_other_family_is_refused_at_once_except_to_this_host() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let connect = |interface: &str, by: By, address: &str| {
        let answer = told(world.bound(interface, by, &["python3", "-c", CONNECT, address]));
        // EPERM is what Linux before 5.18 can say.
        if answer == "EPERM" { "ENETUNREACH".to_owned() } else { answer }
    };
    for by in [By::Mark, By::Device] {
        assert_eq!(connect("wan1", by, INTERNET), "connected");
        assert_eq!(connect("wan1", by, INTERNET_6), "ENETUNREACH");
        assert_eq!(connect("wan1", by, &format!("::ffff:{INTERNET}")), "connected");
        assert_eq!(connect("wan6", by, INTERNET_6), "connected");
        assert_eq!(connect("wan6", by, INTERNET), "ENETUNREACH");
        assert_eq!(connect("wan6", by, &format!("::ffff:{INTERNET}")), "ENETUNREACH");
    }
    assert_eq!(connect("wan1", By::Mark, "::1"), "connected");
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "::1"] {
        assert_eq!(connect("wan6", By::Mark, address), "connected", "{address}");
    }
    // Almost this host.
    assert_eq!(connect("wan1", By::Mark, "::2"), "ENETUNREACH");
    // What is sent without a connection meets the guard at the device.
    let send = "import socket\ns = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n\
                try: s.sendto(b'?', ('2001:db8::1', 8000)); print('sent')\n\
                except PermissionError: print('refused')";
    assert_eq!(told(world.bound("wan1", By::Mark, &["python3", "-c", send])), "refused");
    assert_eq!(world.arrived("second"), 0);
}

#[test]
fn nothing_leaves_by_another_uplink_when_the_rules_go_away() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let steps = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(20)
s.sendto(b'?', ('198.51.100.1', 8000)); print(s.recv(100).decode(), flush=True); input()
try: s.sendto(b'?', ('198.51.100.1', 8000)); print('sent')
except PermissionError: print('refused')";
    let mut command = world.bound("wan1", By::Mark, &["python3", "-c", steps]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), FIRST_ADDRESS);
    world.ip("rule del pref 2001\nrule del pref 3001\n");
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "refused");
    assert!(child.wait().unwrap().success());
    assert_eq!((world.arrived("second"), world.arrived("first")), (0, 1));
    // So it would have gone: what is not bound does.
    assert_eq!(told(world.router(&["python3", "-c", SEND_AND_RECEIVE, INTERNET])), SECOND_ADDRESS);
}

#[test]
fn arguments_environment_and_exit_status_are_the_command_s_own() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let show = "for a in \"$@\"; do echo \"[$a]\"; done; echo $MWAN3_USE; exit 7";
    let output =
        world.bound("wan1", By::Mark, &["sh", "-c", show, "sh", "a  b", "", "*", "ä\nö"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "[a  b]\n[]\n[*]\n[ä\nö]\nwan1\n");
    assert_eq!(output.status.code(), Some(7));
    let status = |command: &str| world.bound("wan1", By::Mark, &[command]).status().unwrap().code();
    assert_eq!(status("no-such-command"), Some(127));
    assert_eq!(status("/etc/passwd"), Some(126));
    assert_eq!(status("true"), Some(0));
}

#[test]
fn the_command_has_the_process_id_of_the_caller_and_gets_its_signals() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let mut command = world.bound("wan1", By::Mark, &["sh", "-c", "echo $$; exec sleep 600"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), child.id().to_string());
    assert!(Command::new("kill").args(["-TERM", line.trim()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().signal(), Some(15));
}

#[test]
fn a_use_within_a_use_goes_by_its_own_uplink_from_a_group_beside() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let url = web(INTERNET);
    let inner = world.binding("wan2", By::Mark);
    let mut nested: Vec<&str> = inner.iter().map(String::as_str).collect();
    let show = "tail -n 1 /proc/self/cgroup; python3 -c \"$0\" \"$1\"";
    nested.extend(["sh", "-c", show, FETCH, &url]);
    let output = told(world.bound("wan1", By::Mark, &nested));
    let (group, peer) = output.split_once('\n').unwrap();
    assert!(group.ends_with(".wan2") && group.matches("mwan3-use.").count() == 1, "{group}");
    assert_eq!(peer, SECOND_ADDRESS);
    assert_eq!(world.arrived("first"), 0);
}

#[test]
fn a_container_within_a_use_may_use_another_uplink() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let inner = world.binding("wan2", By::Mark);
    // A cgroup namespace, in which the mount of the host is of no use.
    let mut contained = vec!["unshare", "--cgroup"];
    contained.extend(inner.iter().map(String::as_str));
    let url = web(INTERNET);
    contained.extend(["python3", "-c", FETCH, &url]);
    assert_eq!(told(world.bound("wan1", By::Mark, &contained)), SECOND_ADDRESS);
    assert_eq!(world.arrived("first"), 0);
}

#[test]
fn programs_beside_a_bound_one_are_not_touched() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let mut bound = Running::start(&world, "wan1");
    assert_eq!(told(world.router(&["python3", "-c", FETCH, &web(INTERNET)])), SECOND_ADDRESS);
    assert_eq!(told(world.router(&["python3", "-c", CONNECT, INTERNET_6])), "connected");
    assert_eq!((world.arrived("first"), world.sent("marked")), (0, 0));
    bound.end();
}

#[test]
fn empty_groups_go_and_those_in_use_stay() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let mut running = Running::start(&world, "wan1");
    let mut ended = Running::start(&world, "a/../b \u{e4}.c");
    ended.end();
    let (kept, left) = (running.group.clone(), ended.group.clone());
    assert!(left.starts_with(kept.rsplit_once('.').unwrap().0), "{left} is not beside {kept}");
    remove_leftovers();
    assert!(fs::exists(&kept).unwrap() && !fs::exists(&left).unwrap());
    assert_eq!(
        fs::read_to_string(format!("{kept}/cgroup.procs")).unwrap().trim(),
        running.process.id().to_string()
    );
    running.end();
    remove_leftovers();
    assert!(!fs::exists(&kept).unwrap());
}

#[test]
fn names_longer_than_the_kernel_s_limit_have_groups_of_their_own() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let long = "\u{e4}".repeat(150);
    let first = Running::start(&world, &format!("{long}1"));
    let second = Running::start(&world, &format!("{long}2"));
    assert_ne!(first.group, second.group);
}

#[test]
fn a_program_that_the_kernel_refuses_is_explained_by_its_verifier() {
    if !may_bind() {
        return;
    }
    let mut writes_what_it_may_not = Assembly::default();
    writes_what_it_may_not.set(Register::R2, 1);
    writes_what_it_may_not.store_field(4, Register::R2);
    writes_what_it_may_not.exit_with(1);
    let error = Program::load(Hook::SocketCreate, &writes_what_it_may_not.finish().unwrap()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("SocketCreate") && text.contains("invalid bpf_context access"), "{text}");
    assert!(!text.contains('\n') && !text.contains("root outside"), "{text}");
}

#[test]
fn the_next_use_removes_the_groups_of_ended_commands() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let mut first = Running::start(&world, "wan1");
    first.end();
    told(world.bound("wan2", By::Mark, &["true"]));
    assert!(!fs::exists(&first.group).unwrap());
}

#[test]
fn a_host_without_a_mounted_cgroup_tree_needs_none() {
    if !may_bind() {
        return;
    }
    let world = World::new();
    let unmount =
        "umount $(findmnt -n -r -t cgroup2 -o TARGET) && ! grep -q cgroup2 /proc/mounts && exec \"$@\"";
    let without_mount = ["unshare", "--mount", "sh", "-c", unmount, "sh"];
    let binding = world.binding("wan1", By::Mark);
    let binding: Vec<&str> = binding.iter().map(String::as_str).collect();
    let show = "tail -n 1 /proc/self/cgroup; python3 -c \"$0\" \"$1\"";
    let command: [&str; 5] = ["sh", "-c", show, FETCH, &web(INTERNET)];
    let output = told(world.router(&[&without_mount, binding.as_slice(), &command].concat()));
    let (group, peer) = output.split_once('\n').unwrap();
    assert_eq!(peer, FIRST_ADDRESS);
    let group = directory_of_group(group.strip_prefix("0::").unwrap());
    told(world.router(&[without_mount.as_slice(), &[use_program(), "--remove-leftovers"]].concat()));
    assert!(!fs::exists(&group).unwrap());
}

#[test]
fn root_of_a_user_namespace_is_told_what_it_takes() {
    let output = Command::new("unshare").args(["-Ur", use_program()]).args(ANY_BINDING).output().unwrap();
    assert_refused(&output);
}

const ANY_BINDING: [&str; 6] = ["refused", "ipv4", "1", "0x100", "mark", "true"];

/// BPF takes root of the machine, which no user namespace can give: there, the error is what is tested.
fn may_bind() -> bool {
    let is_whole_machine =
        fs::read_to_string("/proc/self/uid_map").unwrap().split_whitespace().eq(["0", "0", "4294967295"]);
    if !is_whole_machine {
        assert_refused(&Command::new(use_program()).args(ANY_BINDING).output().unwrap());
    }
    is_whole_machine
}

fn assert_refused(output: &std::process::Output) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{complaint}");
    for part in ["load the BPF program", "Operation not permitted", "root outside of any container"] {
        assert!(complaint.contains(part), "{complaint}");
    }
    assert!(!text(output).contains("panicked"));
}

fn web(address: &str) -> String {
    format!("http://{address}:8000/")
}

fn directory_of_group(path: &str) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mount = mounts.lines().find(|line| line.split(' ').nth(2) == Some("cgroup2")).unwrap();
    format!("{}{path}", mount.split(' ').nth(1).unwrap())
}

fn remove_leftovers() {
    let mut command = Command::new(use_program());
    command.arg("--remove-leftovers");
    told(command);
}

/// A bound command that goes on until it is ended.
struct Running {
    process: Child,
    group: String,
}

impl Running {
    fn start(world: &World, interface: &str) -> Running {
        let mut command = world.bound(interface, By::Mark, &["sh", "-c", "echo started; exec sleep 600"]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "started\n");
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", process.id())).unwrap();
        let path = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
        Running { process, group: directory_of_group(path) }
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
