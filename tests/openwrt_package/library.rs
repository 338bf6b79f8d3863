//! The library that other people's scripts source, in the shells they are written for.

use super::package::Package;
use super::root::Root;

const CONFIG: &str = "
config globals 'globals'
	option mmx_mask '0x00AA'
config interface 'wan'
	option enabled '1'
	list track_ip '1.1.1.1'
config interface 'wan6'
	option family 'ipv6'
config interface 'wanb'
	option enabled '1'
";

/// What the library says in one shell after the other, which must be the same.
#[track_caller]
fn said(root: &Root, script: &str) -> String {
    root.write(
        "/tmp/script",
        &format!(". /lib/mwan3/common.sh\n. /lib/mwan3/mwan3.sh\nmwan3_init\n{script}\n"),
    );
    let [ash, dash] = ["busybox ash", "dash"].map(|shell| root.sh(&format!("{shell} -u /tmp/script")));
    assert_eq!(ash, dash, "{script}");
    ash
}

#[test]
fn scripts_that_source_the_library_learn_masks_numbers_and_states() {
    let Some(root) = Root::new() else { return };
    root.write("/etc/config/mwan3", CONFIG);
    root.unpack(&Package::new());
    let masks = "echo $MMX_MASK $MWAN3_INTERFACE_MAX $MMX_DEFAULT $MMX_BLACKHOLE $MMX_UNREACHABLE";
    assert_eq!(said(&root, masks), "0x00AA 12 0xaa 0xa2 0xa8\n");
    let marks = "for id in 1 2 3 4 5; do mwan3_id2mask $id; done; id=5; mwan3_id2mask id MMX_MASK";
    assert_eq!(said(&root, marks), "0x2\n0x8\n0xa\n0x20\n0x22\n0x22\n");
    let ids = "for name in wan wan6 wanb lan wa; do mwan3_get_iface_id id $name; echo \"$? $id\"; done";
    assert_eq!(said(&root, ids), "0 1\n0 2\n0 3\n1 \n1 \n");
    let sources = "for name in wan wan6; do mwan3_get_src_ip ip $name; echo $ip; done";
    assert_eq!(said(&root, sources), "192.0.2.7\n2001:db8::7\n");
    let states = "mwan3_get_iface_hotplug_state wan; mwan3_get_track_status wan
        for name in wan wanb; do mwan3_get_mwan3track_status status $name; echo $status; done";
    assert_eq!(said(&root, states), "offline\nunknown\ndown\ndisabled\n");
    root.sh("/etc/init.d/mwan3 start");
    let file = |name: &str| root.read(&format!("/var/run/mwan3track/wan/{name}"));
    root.await_that("wan is tracked", || file("STATUS") == "online\n" && file("STARTED") == "1\n");
    assert_eq!(said(&root, states), "online\nonline\nactive\ndisabled\n");
    assert_eq!(said(&root, masks), "0xaa 12 0xaa 0xa2 0xa8\n");
}
