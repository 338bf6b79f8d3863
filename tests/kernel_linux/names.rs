//! Name resolution while one provider is dead: the set-up of docs/guide/dns.md with a real dnsmasq.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lab::wait_until;

use crate::site;
use crate::tracking::{SOON, Site};

/// Each provider's name server answers its own customers only: what is asked by another line is lost.
const FIRST_SERVER: &str = "1.1.1.1";
const SECOND_SERVER: &str = "8.8.8.8";

struct Dnsmasq(Child);

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `None` where it is not installed and nobody insists.
fn dnsmasq(site: &Site, options: &str) -> Option<Dnsmasq> {
    let program =
        ["/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"].into_iter().find(|path| std::fs::exists(path).unwrap());
    let Some(program) = program else {
        let is_required = std::env::var("MWAN3_KERNEL_TESTS").is_ok_and(|value| value == "required");
        assert!(!is_required, "dnsmasq is not installed (dnsmasq-base)");
        eprintln!("skipped: dnsmasq is not installed");
        return None;
    };
    let file = site.lab.router().directory().join("dnsmasq.conf");
    let text = format!(
        "no-resolv\nno-hosts\ncache-size=0\nbind-interfaces\nlisten-address=192.168.1.1\npid-file=\n{options}"
    );
    std::fs::write(&file, text).unwrap();
    let mut command: Command = site.lab.router().command(program);
    // Which also keeps it from changing its user, for there may be no other one here.
    command.arg("--no-daemon").arg(format!("--conf-file={}", file.display()));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let dnsmasq = Dnsmasq(child);
    assert!(wait_until(SOON, || resolves(site, Duration::from_millis(500))), "dnsmasq does not answer");
    Some(dnsmasq)
}

/// One question of a client, asked once.
fn resolves(site: &Site, patience: Duration) -> bool {
    let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";
    site.lab.client().run(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        socket.connect("192.168.1.1:53").unwrap();
        let mut answer = [0; 512];
        let sent = socket.send(question).is_ok();
        // An answer without an address is none.
        sent && matches!(socket.recv(&mut answer), Ok(length) if length > 12 && answer[3] & 15 == 0 && answer[7] > 0)
    })
}

/// The rules of the guide: each server by its own provider's line, and by no other.
fn each_server_by_its_line(site: &Site) {
    let text = std::fs::read_to_string(site.lab.router().config_dir().join("mwan3")).unwrap();
    let rules = format!(
        "config policy 'only_wan'\n\tlist use_member 'm_wan'\n\
         config policy 'only_wanb'\n\tlist use_member 'm_wanb'\n\
         config rule 'dns_of_wan'\n\toption dest_ip '{FIRST_SERVER}'\n\toption dest_port '53'\n\
         \toption proto 'udp'\n\toption use_policy 'only_wan'\n\
         config rule 'dns_of_wanb'\n\toption dest_ip '{SECOND_SERVER}'\n\toption dest_port '53'\n\
         \toption proto 'udp'\n\toption use_policy 'only_wanb'\n"
    );
    let at = text.find("config rule 'healthy'").unwrap();
    site.lab.router().write_config(&format!("{}{rules}{}", &text[..at], &text[at..]));
    for (number, foreign) in [(1, SECOND_SERVER), (2, FIRST_SERVER)] {
        site.lab.isp(number).namespace().sh(&format!(
            "nft insert rule inet isp forward iifname subscriber ip daddr {foreign} udp dport 53 drop"
        ));
    }
}

fn survives_either_provider(options: &str) {
    let Some(site) = site() else { return };
    each_server_by_its_line(&site);
    site.run(&["start"]);
    site.await_status("wan", "online");
    site.await_status("wanb", "online");
    let Some(_dnsmasq) = dnsmasq(&site, options) else { return };
    for number in [1, 2] {
        site.lab.isp(number).blackhole();
        let died = Instant::now();
        // Stub resolvers ask again after five seconds; nobody shall have to.
        assert!(wait_until(SOON, || resolves(&site, Duration::from_millis(900))), "ISP {number} is dead");
        let took = died.elapsed();
        crate::tracking::tell(&format!("first name after the death of ISP {number}"), took);
        assert!(took < Duration::from_secs(5), "{took:?}");
        for _ in 0..10 {
            assert!(resolves(&site, Duration::from_secs(5)), "ISP {number} is dead");
        }
        let device = site.lab.isp(number).device();
        site.await_status(device, "offline");
        assert!(resolves(&site, Duration::from_secs(5)), "{device} is offline");
        site.lab.isp(number).restore();
        site.await_status(device, "online");
    }
}

#[test]
fn the_house_resolves_names_while_one_provider_is_dead() {
    survives_either_provider(&format!("all-servers\nserver={FIRST_SERVER}\nserver={SECOND_SERVER}\n"));
}

#[test]
fn servers_bound_to_their_device_resolve_names_while_one_provider_is_dead() {
    survives_either_provider(&format!(
        "all-servers\nserver={FIRST_SERVER}@wan\nserver={SECOND_SERVER}@wanb\n"
    ));
}
