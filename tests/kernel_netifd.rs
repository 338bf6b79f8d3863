//! What becomes of the uplinks while netifd, who knows them, does not answer.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[allow(dead_code, unused_imports)]
#[path = "ubus/daemon.rs"]
mod daemon;

use std::time::Duration;

use daemon::Daemon;
use lab::{Lab, Output, Router};
use serde_json::json;

const PATIENT: Duration = Duration::from_secs(20);

/// Its device is known to netifd only.
const CONFIG: &str = "
config interface 'line'
	option enabled '1'
config member 'line_m1'
	option interface 'line'
config policy 'line_only'
	list use_member 'line_m1'
config rule 'rest'
	option use_policy 'line_only'
";

fn mwan3(router: &Router, verb: &str, daemon: &Daemon) -> Output {
    Output::of(router.mwan3_command().arg(verb).env("MWAN3_UBUS_SOCKET", &daemon.socket), "")
}

fn held(router: &Router) -> String {
    router.sh("ip rule; ip route show table 1; nft list table inet mwan3")
}

#[test]
fn a_netifd_that_does_not_answer_takes_no_uplink_down_and_hinders_no_stop() {
    if !lab::is_available() {
        return;
    }
    let lab = Lab::builder().uplinks(1).mwan3(env!("CARGO_BIN_EXE_mwan3")).build().expect("a laboratory");
    let router: &Router = lab.router();
    router.write_config(CONFIG);
    let netifd = Daemon::with_dump(json!({ "interface": [
        { "interface": "line", "up": true, "l3_device": "wan", "uptime": 5 }
    ] }));
    let output = mwan3(router, "start", &netifd);
    assert!(output.success() && output.stderr.is_empty(), "{output}");
    let before = held(router);
    assert!(before.contains("iif wan lookup 1"), "{before}");

    let hung = Daemon::start(|_, client| std::mem::forget(client));
    let closing = Daemon::start(|_, mut client| client.greet());
    for broken in [&hung, &closing] {
        let output = mwan3(router, "reload", broken);
        assert_eq!(output.code, Some(1), "{output}");
        assert!(output.stderr.contains("cannot learn the state of the interfaces"), "{output}");
        assert_eq!(held(router), before);
    }
    assert_eq!(mwan3(router, "stop", &hung).code, Some(0));
    assert!(!router.sh("ip rule; nft list tables").contains("mwan3"));
    assert!(!router.sh("ip rule").contains("lookup 1 "));
}
