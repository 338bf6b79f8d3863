//! Names of hosts: from the file of hosts, from name servers, in the domains of this host.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mwan3::system::files::name_servers;
use mwan3::system::resolve::{Resolver, socket_addresses};

const A: u8 = 1;
const AAAA: u8 = 28;

/// What a name server does with a question: the name as it is asked for, and the type.
type Manner = fn(&str, u8) -> Reply;

enum Reply {
    Silence,
    Code(u8),
    Address(IpAddr),
    Record(Vec<u8>),
}

fn name_server(manner: Manner) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        let mut message = [0; 512];
        while let Ok((length, visitor)) = socket.recv_from(&mut message) {
            count.fetch_add(1, Ordering::SeqCst);
            let query = &message[..length];
            let (name, kind) = question(query);
            let mut answer = query.to_vec();
            answer[2] |= 0x80;
            match manner(&name, kind) {
                Reply::Silence => continue,
                Reply::Code(code) => answer[3] = code,
                Reply::Record(bytes) => {
                    answer[7] = 1;
                    answer.extend(bytes);
                }
                Reply::Address(address) => {
                    answer[7] = 1;
                    answer.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 9]);
                    match address {
                        IpAddr::V4(address) => answer.extend([&[0, 4][..], &address.octets()].concat()),
                        IpAddr::V6(address) => answer.extend([&[0, 16][..], &address.octets()].concat()),
                    }
                }
            }
            // One with another identifier comes first.
            let mut foreign = answer.clone();
            foreign[0] ^= 0xff;
            socket.send_to(&foreign, visitor).unwrap();
            socket.send_to(&answer, visitor).unwrap();
        }
    });
    (address, asked)
}

fn question(query: &[u8]) -> (String, u8) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    (labels.join("."), query[at + 2])
}

fn resolver(servers: &[SocketAddr]) -> Resolver {
    let hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost # ours\n10.0.0.9\tnas nas.lan\n".to_owned();
    Resolver { hosts, servers: servers.to_vec(), search: vec!["lan".to_owned(), "example".to_owned()] }
}

fn addresses(texts: &[&str]) -> Result<Vec<IpAddr>, String> {
    Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
}

#[test]
fn an_address_with_a_port_needs_nobody() {
    let parsed = |texts: &[&str]| Ok(texts.iter().map(|text| text.parse().unwrap()).collect());
    assert_eq!(socket_addresses("192.0.2.1:25"), parsed(&["192.0.2.1:25"]));
    assert_eq!(socket_addresses("[2001:db8::1]:25"), parsed(&["[2001:db8::1]:25"]));
    assert_eq!(socket_addresses("mail.lan"), Err("invalid socket address".to_owned()));
    assert_eq!(socket_addresses("mail.lan:smtp"), Err("invalid port value".to_owned()));
}

#[test]
fn the_file_of_hosts_comes_first_and_nobody_is_asked() {
    let (server, asked) = name_server(|_, _| Reply::Silence);
    let resolver = resolver(&[server]);
    assert_eq!(resolver.addresses("NAS.lan"), addresses(&["10.0.0.9"]));
    assert_eq!(resolver.addresses("localhost"), addresses(&["::1", "127.0.0.1"]));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_name_server_is_asked_for_both_families() {
    let (server, _) = name_server(|name, kind| match (name, kind) {
        ("mail.example.org", A) => Reply::Address([192, 0, 2, 1].into()),
        ("mail.example.org", AAAA) => Reply::Address("2001:db8::1".parse().unwrap()),
        _ => Reply::Code(3),
    });
    assert_eq!(resolver(&[server]).addresses("mail.example.org"), addresses(&["2001:db8::1", "192.0.2.1"]));
    assert_eq!(resolver(&[server]).addresses("nobody.example.org"), Err("no such name".to_owned()));
}

#[test]
fn a_name_without_a_dot_is_looked_for_in_the_domains_of_this_host_and_then_as_it_is() {
    let (server, _) = name_server(|name, kind| match (name, kind) {
        ("mail.example", A) => Reply::Address([192, 0, 2, 1].into()),
        ("bare", A) => Reply::Address([192, 0, 2, 2].into()),
        ("bare" | "mail.example", _) => Reply::Code(0),
        _ => Reply::Code(3),
    });
    assert_eq!(resolver(&[server]).addresses("mail"), addresses(&["192.0.2.1"]));
    assert_eq!(resolver(&[server]).addresses("bare"), addresses(&["192.0.2.2"]));
}

#[test]
fn another_name_server_helps_where_one_refuses_or_is_not_there() {
    let (refusing, _) = name_server(|_, _| Reply::Code(5));
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (good, _) = name_server(|_, kind| match kind {
        A => Reply::Address([192, 0, 2, 1].into()),
        _ => Reply::Code(0),
    });
    assert_eq!(resolver(&[closed, refusing, good]).addresses("a.org"), addresses(&["192.0.2.1"]));
    assert_eq!(resolver(&[refusing]).addresses("a.org"), Err("no name server answers".to_owned()));
}

#[test]
fn one_family_is_enough_where_the_other_is_never_answered() {
    let (server, _) = name_server(|_, kind| match kind {
        A => Reply::Address([192, 0, 2, 1].into()),
        _ => Reply::Silence,
    });
    assert_eq!(resolver(&[server]).addresses("a.org"), addresses(&["192.0.2.1"]));
}

#[test]
fn one_family_is_enough_where_the_other_is_refused() {
    for refused in [A, AAAA] {
        let (server, _) = name_server(match refused {
            A => |_, kind| match kind {
                A => Reply::Code(2),
                _ => Reply::Address("2001:db8::1".parse().unwrap()),
            },
            _ => |_, kind| match kind {
                A => Reply::Address([192, 0, 2, 1].into()),
                _ => Reply::Code(4),
            },
        });
        let expected = if refused == A { "2001:db8::1" } else { "192.0.2.1" };
        assert_eq!(resolver(&[server]).addresses("a.org"), addresses(&[expected]));
    }
}

#[test]
fn what_follows_the_address_of_a_name_server_is_a_comment() {
    let text = "# nameserver 192.0.2.9\nnameserver 192.0.2.1 # ours\nnameserver\t2001:db8::1\r\nnameserver\n";
    let found: Vec<IpAddr> = name_servers(text).collect();
    assert_eq!(Ok(found), addresses(&["192.0.2.1", "2001:db8::1"]));
}

#[test]
fn an_answer_that_is_cut_off_or_runs_in_circles_is_none() {
    let (crooked, asked) = name_server(|_, kind| match kind {
        // The name of the record points at itself; its data is shorter than it says.
        A => Reply::Record(vec![0xc0, 23, 0, A, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2]),
        _ => Reply::Record(vec![0xc0]),
    });
    let (good, _) = name_server(|_, kind| match kind {
        A => Reply::Address([192, 0, 2, 1].into()),
        _ => Reply::Code(0),
    });
    assert_eq!(resolver(&[crooked, good]).addresses("a.org"), addresses(&["192.0.2.1"]));
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn a_name_that_no_question_can_carry_is_nobodys() {
    let (server, asked) = name_server(|_, _| Reply::Silence);
    assert_eq!(resolver(&[server]).addresses("a..org"), Err("no such name".to_owned()));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}
