//! What `mwan3 check` says of the kernel's settings and of address translation, and what `--fix` does.

use std::fs;

use crate::{each_flow_takes_its_own_line, shell, site};

#[test]
fn a_router_as_it_should_be_has_nothing_to_complain_of() {
    let Some(site) = site() else { return };
    let output = shell(&site, "mwan3 check");
    assert!(output.success(), "{output}");
}

#[test]
fn a_gateway_that_was_never_told_to_be_one_is_named_and_mended() {
    let Some(site) = site() else { return };
    site.lab.router().set(&[("net/ipv4/ip_forward", "0"), ("net/ipv4/conf/all/rp_filter", "1")]).unwrap();
    let told = shell(&site, "mwan3 check");
    assert_eq!(told.code, Some(1), "{told}");
    for line in [
        "net/ipv4/ip_forward is 0, should be 1: nothing of the network behind lan0 is forwarded",
        "interface 'wan': net/ipv4/conf/wan/rp_filter is 1, should be 2: answers that come in here are dropped",
        "interface 'wanb': net/ipv4/conf/wanb/rp_filter is 1, should be 2",
    ] {
        assert!(told.stdout.contains(line), "not told: {line}\n{told}");
    }
    // Nothing was changed by looking.
    assert_eq!(site.lab.router().sh("cat /proc/sys/net/ipv4/ip_forward").trim(), "0");

    let fixed = shell(&site, "mwan3 check --fix");
    assert_eq!(fixed.code, Some(0), "{fixed}");
    assert!(fixed.stderr.contains("net/ipv4/ip_forward was 0, is 1 now"), "{fixed}");
    let kept = site.lab.router().directory().join("sysctl.d/60-mwan3.conf");
    let text = fs::read_to_string(&kept).unwrap();
    for line in ["net/ipv4/ip_forward = 1\n", "net/ipv4/conf/wan/rp_filter = 2\n"] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(shell(&site, "mwan3 check").code, Some(0));
    site.run(&["start"]);
    each_flow_takes_its_own_line(&site);

    // What was kept before stays, and is not written twice.
    site.lab.router().set(&[("net/ipv4/ip_forward", "0")]).unwrap();
    assert_eq!(shell(&site, "mwan3 check --fix").code, Some(0));
    let again = fs::read_to_string(&kept).unwrap();
    assert_eq!(again.matches("ip_forward").count(), 1, "{again}");
    assert!(again.contains("rp_filter = 2"), "{again}");
}

#[test]
fn a_network_that_nobody_translates_is_named_and_one_that_iptables_does_is_not() {
    let Some(site) = site() else { return };
    let router = site.lab.router();
    router.sh("nft flush chain inet fw4 srcnat");
    let told = shell(&site, "mwan3 check");
    assert_eq!(told.code, Some(1), "{told}");
    assert!(told.stdout.contains("nothing translates source addresses: packets from behind lan0"), "{told}");
    for rule in ["masquerade", "snat ip to 10.101.0.2"] {
        router.sh(&format!("nft add rule inet fw4 srcnat oifname wan {rule}"));
        assert_eq!(shell(&site, "mwan3 check").code, Some(0), "{rule}");
        router.sh("nft flush chain inet fw4 srcnat");
    }
    // The addresses of the LAN are public: nobody needs to.
    router.sh("ip addr flush dev lan0; ip addr add 198.18.0.1/24 dev lan0");
    assert_eq!(shell(&site, "mwan3 check").code, Some(0));
    router.sh("ip addr add 192.168.1.1/24 dev lan0");
    if router.try_sh("iptables-nft -t nat -A POSTROUTING -o wan -j MASQUERADE").success() {
        assert_eq!(shell(&site, "mwan3 check").code, Some(0));
    }
}

#[test]
fn a_server_without_a_network_behind_it_needs_neither_forwarding_nor_translation() {
    let Some(site) = site() else { return };
    site.lab.router().set(&[("net/ipv4/ip_forward", "0")]).unwrap();
    site.lab.router().sh("ip link del lan0; nft flush chain inet fw4 srcnat");
    let output = shell(&site, "mwan3 check");
    assert!(output.success(), "{output}");
}
