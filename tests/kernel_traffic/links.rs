//! Link-local and multicast traffic: a router that sends it through policies loses its neighbours.

use lab::{Host, Lab};

use crate::gateway::{Config, laboratory};

fn link_local(host: &Host, device: &str) -> String {
    let text = host.sh(&format!("ip -6 -o address show dev {device} scope link"));
    let address = text.split_whitespace().skip_while(|word| *word != "inet6").nth(1);
    let (address, _) = address.and_then(|word| word.split_once('/')).expect("a link-local address");
    address.to_owned()
}

#[test]
fn link_local_traffic_stays_on_its_link() {
    let Some(lab) = laboratory(Lab::builder()) else { return };
    // Whoever met a policy here would be lost.
    Config::new(&["wan", "wanb"])
        .policy_or("nobody", &[], "blackhole")
        .rule("all", "use_policy=nobody")
        .start(&lab);
    let (client, router) = (lab.client(), lab.router());
    // Known neighbours say nothing about discovery.
    router.sh("ip neigh flush all");
    client.sh("ip neigh flush all");
    let of_client = link_local(client, "eth0");
    let ways = [
        (router, of_client.as_str(), "lan0", "lan0"),
        (router, "fe80::1", "wan", "wan"),
        (router, "fe80::1", "wanb", "wanb"),
        (router, "ff02::1", "lan0", "lan0"),
    ];
    for (host, destination, device, expected) in ways {
        let report = host.ping(destination).device(device).count(3).run();
        let seen = report.by_isp();
        assert!(seen.keys().all(|by| by == expected) && !seen.is_empty(), "{destination}: {report}");
    }
    let of_router = link_local(router, "lan0");
    let report = client.ping(&of_router).device("eth0").count(3).run();
    assert!(report.all_by("lan0"), "{report}");
}
