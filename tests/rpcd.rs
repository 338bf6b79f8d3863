//! The ubus object `mwan3` as rpcd runs it: `mwan3 rpcd call METHOD` with arguments by stdin, against a service that
//! runs, one without a tracker, and none. docs/reference/ubus.md is what it must keep.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[allow(dead_code, unused_imports)]
#[path = "ubus/daemon.rs"]
mod daemon;
mod tracking;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use daemon::{DATA, Daemon, data, message, status_message};
use lab::{Lab, wait_until};
use serde_json::{Value, json};
use tracking::{FAST, SOON, Site};

/// For the stand-in daemon.
const PATIENT: Duration = Duration::from_secs(20);

/// Two uplinks with targets, one without, one switched off.
const CONFIG: &str = "
config interface 'wan'
	option enabled '1'
	FAST
config interface 'wanb'
	option enabled '1'
	FAST
config interface 'wanc'
	option enabled '1'
config interface 'spare'
	list track_ip '192.0.2.1'
config member 'wan_m1_w3'
	option interface 'wan'
	option weight '3'
config member 'wanb_m1_w2'
	option interface 'wanb'
	option weight '2'
config member 'wanc_m2'
	option interface 'wanc'
	option metric '2'
config policy 'balanced'
	list use_member 'wan_m1_w3'
	list use_member 'wanb_m1_w2'
	list use_member 'wanc_m2'
config policy 'wanb_only'
	list use_member 'wanb_m1_w2'
	option last_resort 'blackhole'
config policy 'nobody'
	option last_resort 'default'
config rule 'dns'
	option family 'ipv4'
	option proto 'udp'
	option dest_port '53'
	option sticky '1'
	option timeout '300'
	option use_policy 'wanb_only'
config rule 'rest'
	option use_policy 'balanced'
";

fn site() -> Option<Site> {
    if !lab::is_available() {
        return None;
    }
    let site = Site::prepare_with(Lab::builder().uplinks(3).ipv6(false));
    site.lab.router().write_config(&CONFIG.replace("FAST", FAST));
    Some(site)
}

fn started() -> Option<Site> {
    let site = site()?;
    site.run(&["start"]);
    Some(site)
}

fn call_with(mut command: Command, method: &str, arguments: &str) -> Output {
    command.args(["rpcd", "call", method]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have answered before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(arguments.as_bytes());
    child.wait_with_output().unwrap()
}

fn text_of(site: &Site, method: &str, arguments: &Value) -> String {
    let output = call_with(site.command(), method, &arguments.to_string());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{method} {arguments}: {text}");
    text
}

#[track_caller]
fn call(site: &Site, method: &str, arguments: &Value) -> Value {
    let text = text_of(site, method, arguments);
    let reply: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{method}: {error}: {text}"));
    assert!(reply.is_object(), "{method}: {text}");
    assert_integers_only(&reply, method);
    reply
}

fn assert_integers_only(value: &Value, place: &str) {
    match value {
        Value::Number(number) => assert!(number.is_i64() || number.is_u64(), "{place}: {number}"),
        Value::Array(items) => items.iter().for_each(|item| assert_integers_only(item, place)),
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| assert_integers_only(value, &format!("{place}.{name}")));
        }
        _ => {}
    }
}

/// Numbers that depend on the moment become N, unless they are 0 for a reason.
fn masked(text: &str) -> String {
    let mut text = text.trim_end().to_owned();
    for (name, keeps_zero) in [
        ("age", false),
        ("online", true),
        ("offline", true),
        ("uptime", false),
        ("turn", false),
        ("lost", false),
    ] {
        let mut done = String::new();
        let mut rest = text.as_str();
        let wanted = format!("\"{name}\":");
        while let Some((before, after)) = rest.split_once(&wanted) {
            let number: String = after.chars().take_while(char::is_ascii_digit).collect();
            let shown =
                if number.is_empty() || (keeps_zero && number == "0") { number.as_str() } else { "N" };
            done += &format!("{before}{wanted}{shown}");
            rest = &after[number.len()..];
        }
        text = done + rest;
    }
    text
}

fn await_state(site: &Site, interface: &str, status: &str, score: u64) {
    let found = || call(site, "status", &json!({ "section": "interfaces" }))["interfaces"][interface].clone();
    let came = wait_until(SOON, || {
        let found = found();
        // All files are written, and a second ago, so that "for how long" is not 0.
        found["status"] == status
            && found["score"] == score
            && (found["online"].as_u64() > Some(0)) == (status == "online")
            && (found["offline"].as_u64() > Some(0)) == (status == "offline")
    });
    assert!(came, "{interface}: {}", found());
}

#[test]
fn status_is_what_the_shell_package_answers_in_every_state() {
    let Some(site) = site() else { return };
    let interfaces = |text: &str| masked(text);
    let idle = r#"{"interfaces":{"wan":{"age":N,"online":0,"offline":0,"uptime":N,"score":0,"lost":N,"turn":N,"status":"unknown","enabled":true,"running":false,"tracking":"down","up":true,"track_ip":[{"ip":"1.1.1.1","status":"unknown","latency":0,"packetloss":0},{"ip":"8.8.8.8","status":"unknown","latency":0,"packetloss":0}]}}}"#;
    assert_eq!(
        interfaces(&text_of(&site, "status", &json!({ "section": "interfaces", "interface": "wan" }))),
        idle
    );
    let stopped = call(&site, "status", &json!({}));
    assert_eq!(stopped["connected"], json!({ "ipv4": [], "ipv6": [] }));
    assert_eq!(stopped["policies"], json!({ "ipv4": {}, "ipv6": {} }));

    site.run(&["start"]);
    await_state(&site, "wan", "online", 4);
    site.lab.isp(2).blackhole();
    await_state(&site, "wanb", "offline", 0);
    let tracked = |name: &str, rest: &str| {
        format!(
            r#""{name}":{{"age":N,{rest},"enabled":true,"running":true,"tracking":"active","up":true,"track_ip":[{{"ip":"1.1.1.1","status":"STATE","latency":0,"packetloss":0}},{{"ip":"8.8.8.8","status":"STATE","latency":0,"packetloss":0}}]}}"#
        )
    };
    let online =
        tracked("wan", r#""online":N,"offline":0,"uptime":N,"score":4,"lost":N,"turn":N,"status":"online""#);
    let offline = tracked(
        "wanb",
        r#""online":0,"offline":N,"uptime":N,"score":0,"lost":N,"turn":N,"status":"offline""#,
    );
    let untracked = r#""wanc":{"age":N,"online":N,"offline":0,"uptime":N,"score":10,"lost":N,"turn":N,"status":"online","enabled":true,"running":false,"tracking":"disabled","up":true,"track_ip":[]}"#;
    let spare = r#""spare":{"age":N,"online":0,"offline":0,"uptime":N,"score":0,"lost":N,"turn":N,"status":"unknown","enabled":false,"running":false,"tracking":"down","up":false,"track_ip":[{"ip":"192.0.2.1","status":"unknown","latency":0,"packetloss":0}]}"#;
    let expected = format!(
        "{{\"interfaces\":{{{},{},{untracked},{spare}}}}}",
        online.replace("STATE", "up"),
        offline.replace("STATE", "down")
    );
    let found = interfaces(&text_of(&site, "status", &json!({ "section": "interfaces" })));
    assert_eq!(found.replace("\"skipped\"", "\"up\""), expected);

    // A policy down to its last resort is empty, one that never has members is left out.
    let policies = text_of(&site, "status", &json!({ "section": "policies" }));
    assert_eq!(
        policies.trim_end(),
        r#"{"policies":{"ipv4":{"balanced":[{"interface":"wan","percent":100}],"wanb_only":[]},"ipv6":{}}}"#
    );
    site.lab.isp(2).restore();
    await_state(&site, "wanb", "online", 4);
    let policies = call(&site, "status", &json!({ "section": "policies" }));
    // The last listed member first.
    assert_eq!(
        policies["policies"]["ipv4"]["balanced"],
        json!([{ "interface": "wanb", "percent": 40 }, { "interface": "wan", "percent": 60 }])
    );
    site.run(&["ifdown", "wanb"]);
    let down = call(&site, "status", &json!({ "interface": "wanb" }));
    let wanb = &down["interfaces"]["wanb"];
    assert_eq!(
        (&wanb["status"], &wanb["tracking"], &wanb["running"]),
        (&json!("disabled"), &json!("paused"), &json!(false))
    );
    assert_eq!(down["interfaces"].as_object().unwrap().len(), 1);
    assert!(!down["connected"]["ipv4"].as_array().unwrap().is_empty());
    assert_eq!(
        call(&site, "status", &json!({ "interface": "nosuch", "section": "interfaces" })),
        json!({ "interfaces": {} })
    );
}

#[test]
fn what_the_stock_pages_ask_is_answered() {
    let Some(site) = started() else { return };
    await_state(&site, "wan", "online", 4);
    // uhttpd adds the session to every call.
    let session = json!({ "section": "interfaces", "ubus_rpc_session": "00000000000000000000000000000000" });
    let cards = call(&site, "status", &session);
    assert_eq!(cards["interfaces"].as_object().unwrap().len(), 4);
    for (_, card) in cards["interfaces"].as_object().unwrap() {
        for number in ["age", "online", "offline", "uptime", "score", "lost", "turn"] {
            assert!(card[number].is_u64(), "{number}: {card}");
        }
        for flag in ["enabled", "running", "up"] {
            assert!(card[flag].is_boolean(), "{flag}: {card}");
        }
    }
    // Before pages gave a section, and how the oldest exporter asks.
    assert!(call(&site, "status", &json!({ "ubus_rpc_session": "0" }))["interfaces"]["wan"].is_object());
    // What their ACL lets them execute, word for word.
    for line in ["status", "internal ipv4", "internal ipv6", "ifdown wan", "ifup wan"] {
        let output = site.try_run(&line.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{line}: {output:?}");
    }
    // What their helper greps for: the number of the interface is its place in the file.
    let router = site.lab.router();
    let rules = router.sh("ip rule");
    assert!(rules.contains("1001:") && rules.contains("2001:"), "{rules}");
    assert!(!router.sh("ip route list table 1").is_empty());
}

#[test]
fn the_list_of_methods_is_what_rpcd_reads_and_every_method_in_it_answers() {
    let Some(site) = started() else { return };
    let list: Value = serde_json::from_str(&site.run(&["rpcd", "list"])).unwrap();
    let methods = list.as_object().unwrap();
    assert_eq!(list["status"], json!({ "section": "", "interface": "" }));
    for (method, arguments) in methods {
        let needed = match method.as_str() {
            "test" => json!({ "interface": "wan" }),
            "explain" => json!({ "dest": "198.51.100.7" }),
            "test_result" => json!({ "id": 1 }),
            _ => json!({}),
        };
        call(&site, method, &needed);
        // null is what a page has for "not given", and what we do not know is not our business.
        let mut odd = needed.clone();
        odd["ubus_rpc_session"] = json!("00000000000000000000000000000000");
        odd["from_the_future"] = json!([1, { "x": 2.5 }]);
        for name in arguments.as_object().unwrap().keys().filter(|name| needed.get(name).is_none()) {
            odd[name] = Value::Null;
        }
        call(&site, method, &odd);
    }
    let documented = include_str!("../docs/reference/ubus.md");
    for method in methods.keys().filter(|method| *method != "test_result") {
        assert!(documented.contains(&format!("\n## {method}")), "{method} is not documented");
    }
}

#[test]
fn what_cannot_be_meant_is_an_invalid_argument() {
    let Some(site) = site() else { return };
    for (method, arguments) in [
        ("status", r#"{"section": 5}"#),
        ("status", r#"{"interface": ["wan"]}"#),
        ("status", "[]"),
        ("status", "5"),
        ("status", r#"{"section": "#),
        ("status", "}{"),
        ("status", "\u{0}\u{1}"),
        ("uplinks", r#"{"brief": "yes"}"#),
        ("history", r#"{"limit": -1}"#),
        ("history", r#"{"since_seq": 1.5}"#),
        ("events", r#"{"limit": "20"}"#),
        ("rules", r#"{"offset": {}}"#),
        ("test", "{}"),
        ("explain", "{}"),
        ("explain", r#"{"dest": 5}"#),
        ("test_result", r#"{"id": "x"}"#),
        ("nosuch", "{}"),
        ("quit", "{}"),
    ] {
        let output = call_with(site.command(), method, arguments);
        assert_eq!(output.status.code(), Some(2), "{method} {arguments}: {output:?}");
        // rpcd makes "invalid argument" of every reply that is no object.
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(reply.is_string(), "{method} {arguments}: {reply}");
    }
    let huge = format!(r#"{{"section": "{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(call_with(site.command(), "status", &huge).status.code(), Some(2));
    let deep = "[".repeat(50_000);
    assert_eq!(call_with(site.command(), "status", &deep).status.code(), Some(2));
    assert_eq!(site.try_run(&["rpcd"]).status.code(), Some(2));
}

#[test]
fn arguments_are_read_to_their_end_and_no_further() {
    let Some(site) = site() else { return };
    // Nothing at all counts as no arguments.
    assert!(call_with(site.command(), "service", "").status.success());
    // rpcd may keep the pipe open, and bring the object in pieces.
    let mut command = site.command();
    let mut child = command
        .args(["rpcd", "call", "status"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for piece in ["{\"section\":", " \"connected\"", "}"] {
        stdin.write_all(piece.as_bytes()).unwrap();
        stdin.flush().unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    assert!(wait_until(SOON, || child.try_wait().unwrap().is_some()), "it waits for more");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"{\"connected\":{\"ipv4\":[],\"ipv6\":[]}}\n");
    drop(stdin);
}

#[test]
fn uplinks_policies_and_rules_tell_what_is_in_force() {
    let Some(site) = started() else { return };
    await_state(&site, "wan", "online", 4);
    let reply = call(&site, "uplinks", &json!({}));
    assert_eq!((&reply["tracker"], &reply["running"]), (&json!(true), &json!(true)));
    let uplinks = reply["uplinks"].as_array().unwrap();
    let names: Vec<_> = uplinks.iter().map(|uplink| uplink["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["wan", "wanb", "wanc", "spare"]);
    let wan = &uplinks[0];
    assert_eq!((&wan["status"], &wan["targets"]), (&json!("online"), &json!(2)));
    // One answer decides a round; the other may not have been waited for.
    assert!((1..=2).contains(&wan["up"].as_u64().unwrap()), "{wan}");
    assert_eq!((&wan["id"], &wan["mark"], &wan["device"]), (&json!(1), &json!(0x100), &json!("wan")));
    assert_eq!((&wan["loss"], &wan["down"]), (&json!(0), &json!(0)));
    assert!(wan["rtt"].as_u64().unwrap() < 10_000, "{wan}");
    assert!(wan["tx_bytes"].as_u64().unwrap() > 0, "{wan}");
    let router = site.lab.router();
    for (member, command) in [
        ("address", "ip -4 -o address show dev wan | sed 's,.*inet ,,; s,/.*,,'"),
        ("gateway", "ip route show default dev wan | sed 's,.*via ,,; s, .*,,'"),
    ] {
        assert_eq!(wan[member].as_str().unwrap(), router.sh(command).trim(), "{member}");
    }
    let (untracked, spare) = (&uplinks[2], &uplinks[3]);
    assert_eq!((&untracked["status"], untracked.get("loss")), (&json!("online"), None));
    assert_eq!((&spare["enabled"], spare.get("device")), (&json!(false), None));
    let brief = call(&site, "uplinks", &json!({ "brief": true, "interface": "wan" }));
    let members: Vec<_> = brief["uplinks"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["down", "loss", "name", "rtt", "since", "status", "targets", "tracking", "up"]);

    site.lab.isp(1).blackhole();
    await_state(&site, "wan", "offline", 0);
    let policies = call(&site, "policies", &json!({ "policy": "balanced" }));
    let told: Vec<_> = policies["policies"][0]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["interface"].as_str().unwrap(),
                one["target"].as_u64(),
                one["actual"].as_u64(),
                one["role"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("wan", Some(600), Some(0), "down"),
            ("wanb", Some(400), Some(1000), "active"),
            ("wanc", Some(0), Some(0), "standby")
        ]
    );
    assert_eq!(policies["policies"].as_array().unwrap().len(), 1);
    assert!(policies.get("connections").is_none());
    assert_eq!(call(&site, "policies", &json!({}))["policies"].as_array().unwrap().len(), 2);

    let flow = site.lab.client().udp("198.51.100.7", 4000).per_second(50).start();
    assert!(wait_until(SOON, || {
        let rules = call(&site, "rules", &json!({}));
        rules["rules"][1]["ipv4"]["packets"].as_u64().unwrap() > 0
    }));
    let counted = call(&site, "policies", &json!({ "connections": true }));
    assert!(counted["connections"]["wanb"].as_u64().unwrap() > 0, "{counted}");
    assert_eq!(counted["connections"].get("spare"), None);
    drop(flow);
    let rules = call(&site, "rules", &json!({ "limit": 1 }));
    assert_eq!(rules["total"], 2);
    assert_eq!(
        rules["rules"],
        json!([{ "name": "dns", "families": ["ipv4"], "proto": "udp", "dest_port": ["53"], "sticky": true,
            "timeout": 300, "use_policy": "wanb_only", "ipv4": { "packets": 0, "bytes": 0 } }])
    );
    let brief = call(&site, "rules", &json!({ "offset": 1, "brief": true }));
    assert_eq!(brief["rules"].as_array().unwrap().len(), 1);
    assert!(brief["rules"][0]["packets"].as_u64().unwrap() > 0, "{brief}");
}

#[test]
fn history_and_events_tell_only_what_is_new() {
    let Some(site) = started() else { return };
    let count = |reply: &Value| reply["interfaces"]["wan"]["rtt"].as_array().map_or(0, Vec::len);
    assert!(wait_until(SOON, || count(&call(&site, "history", &json!({}))) >= 4));
    let first = call(&site, "history", &json!({ "interface": "wan" }));
    assert_eq!(first["interfaces"].as_object().unwrap().len(), 1);
    let target = &first["interfaces"]["wan"]["targets"][0];
    assert_eq!(target["target"], "1.1.1.1");
    assert!(target["answered"].as_u64().unwrap() >= 4 && target["lost"] == 0, "{target}");
    let all = |reply: &Value| reply["interfaces"]["wan"]["rtt"].as_array().unwrap().clone();
    assert!(all(&first).iter().all(Value::is_u64), "{first}");

    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
    // Piece by piece it is the same as at once, and nothing comes twice.
    let (mut collected, mut seq) = (all(&first), first["seq"].clone());
    let mut last = Value::Null;
    let came = wait_until(SOON, || {
        let more = call(&site, "history", &json!({ "interface": "wan", "since_seq": seq }));
        assert!(more["seq"].as_u64() >= seq.as_u64(), "{more}");
        collected.extend(all(&more));
        seq = more["seq"].clone();
        last = call(&site, "history", &json!({ "interface": "wan" }));
        collected.iter().filter(|one| one.is_null()).count() >= 2 && last["seq"] == seq
    });
    assert!(came, "{collected:?}");
    let whole = all(&last);
    assert_eq!(collected[collected.len().saturating_sub(whole.len())..], whole[..]);
    assert_eq!(all(&call(&site, "history", &json!({ "interface": "wan", "limit": 3 }))).len(), 3);
    // Of another boot.
    let anew = call(&site, "history", &json!({ "interface": "wan", "since_seq": u64::MAX / 2 }));
    assert!(all(&anew).len() >= whole.len(), "{anew}");
    for name in ["nosuch", "wan\nquit", "wan quit", ""] {
        let output = call_with(site.command(), "history", &json!({ "interface": name }).to_string());
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(reply.get("error").is_some(), !name.is_empty(), "{name:?}: {reply}");
    }
    site.stat("pid");

    let events = call(&site, "events", &json!({}));
    let (list, last) = (events["events"].as_array().unwrap(), events["seq"].as_u64().unwrap());
    let words: Vec<_> =
        list.iter().filter(|one| one["interface"] == "wan").map(|one| one["event"].clone()).collect();
    for word in ["connected", "disconnected"] {
        assert!(words.contains(&json!(word)), "{words:?}");
    }
    assert!(list.iter().all(|one| one["ago"].is_u64() && one["reason"].is_string()), "{events}");
    assert_eq!(list.last().unwrap()["seq"], last);
    let newest = call(&site, "events", &json!({ "limit": 1 }));
    assert_eq!(newest["events"].as_array().unwrap().len(), 1);
    assert_eq!(newest["events"][0]["seq"], last);
    assert_eq!(call(&site, "events", &json!({ "since_seq": last }))["events"], json!([]));
    assert_eq!(
        call(&site, "events", &json!({ "since_seq": last + 99 }))["events"].as_array().unwrap().len(),
        list.len()
    );
}

#[test]
fn a_test_gives_its_number_at_once_and_its_result_later() {
    let Some(site) = started() else { return };
    site.await_status("wanb", "online");
    site.lab.isp(2).blackhole();
    let id = call(&site, "test", &json!({ "interface": "wanb" }))["id"].clone();
    let again = call(&site, "test", &json!({ "interface": "wanb" }))["id"].clone();
    let unfinished = call(&site, "test_result", &json!({ "id": id }));
    assert_eq!(unfinished["id"], id);
    // Impatience starts no second one.
    assert!(unfinished["done"] == true || again == id, "{again}: {unfinished}");
    let mut result = Value::Null;
    assert!(wait_until(SOON, || {
        result = call(&site, "test_result", &json!({ "id": id }));
        result["done"] == true
    }));
    assert_eq!((&result["id"], &result["interface"], &result["good"]), (&id, &json!("wanb"), &json!(false)));
    assert_eq!(result["targets"].as_array().unwrap().len(), 2);
    assert_eq!(result["targets"][0]["answered"], false);
    let good = call(&site, "test", &json!({ "interface": "wan" }))["id"].clone();
    assert_ne!(good, id);
    assert!(wait_until(SOON, || {
        result = call(&site, "test_result", &json!({ "id": good }));
        result["done"] == true
    }));
    assert_eq!(result["good"], true);
    assert!(result["targets"][0]["rtt"].is_u64(), "{result}");
    // The first one is still there.
    assert_eq!(call(&site, "test_result", &json!({ "id": id }))["good"], false);
    for (method, arguments) in [
        ("test_result", json!({ "id": 999 })),
        ("test", json!({ "interface": "spare" })),
        ("test", json!({ "interface": "wanc" })),
    ] {
        let output = call_with(site.command(), method, &arguments.to_string());
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(
            reply["error"].is_string() && output.status.code() == Some(1),
            "{method} {arguments}: {reply}"
        );
    }
}

#[test]
fn without_a_tracker_the_kernel_is_still_told_and_one_that_hangs_is_not_waited_for() {
    let Some(site) = site() else { return };
    site.run(&["start", "--no-track"]);
    let told = || {
        let uplinks = call(&site, "uplinks", &json!({}));
        assert_eq!((&uplinks["tracker"], &uplinks["running"]), (&json!(false), &json!(true)));
        assert_eq!(uplinks["uplinks"][0]["device"], "wan");
        assert!(uplinks["uplinks"][0].get("rtt").is_none());
        assert_eq!(call(&site, "service", &json!({}))["tracker"], false);
        assert_eq!(
            call(&site, "history", &json!({})),
            json!({ "tracker": false, "seq": 0, "interfaces": {} })
        );
        assert_eq!(call(&site, "events", &json!({})), json!({ "tracker": false, "seq": 0, "events": [] }));
        assert_eq!(call(&site, "policies", &json!({}))["policies"][0]["members"][0]["actual"], 600);
        assert_eq!(call(&site, "check", &json!({}))["differs"], 0);
        let refused = call_with(site.command(), "test", r#"{"interface": "wan"}"#);
        assert_eq!(refused.status.code(), Some(1));
    };
    told();
    let mut tracker = site.command().arg("track").spawn().unwrap();
    assert!(wait_until(SOON, || call(&site, "service", &json!({}))["tracker"] == true));
    site.signal("STOP");
    told();
    let _ = Command::new("kill").args(["-CONT", &tracker.id().to_string()]).status();
    site.ask("quit");
    tracker.wait().unwrap();
}

#[test]
fn explain_answers_what_a_page_asks() {
    let Some(site) = started() else { return };
    site.await_status("wanb", "online");
    let asked = json!({ "dest": "198.51.100.7", "src": "192.168.1.2%lan0", "proto": "udp", "port": 53 });
    let reply = call(&site, "explain", &asked);
    assert_eq!(
        (&reply["rule"], &reply["policy"], &reply["verdict"]),
        (&json!("dns"), &json!("wanb_only"), &json!("uplink"))
    );
    assert_eq!(reply["ways"][0]["interface"], "wanb");
    let typed = json!({ "dest": "198.51.100.7", "src": "192.168.1.2%lan0", "proto": "udp", "port": "53" });
    assert_eq!(call(&site, "explain", &typed), reply);
    for mistaken in [json!({ "dest": "example.org" }), json!({ "dest": "1.1.1.1", "port": -1 })] {
        let output = call_with(site.command(), "explain", &mistaken.to_string());
        let reply: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(reply["error"].is_string(), "{mistaken}: {reply}");
    }
}

#[test]
fn check_tells_problems_and_where_the_kernel_differs() {
    let Some(site) = started() else { return };
    let router = site.lab.router();
    router.write_config(&format!("{}\nconfig rule 'odd'\n\toption proto 'tcp'\n\toption dest_port 'x'\n\toption use_policy 'balanced'\n", CONFIG.replace("FAST", FAST)));
    let reply = call(&site, "check", &json!({}));
    assert!(reply["errors"].as_u64().unwrap() >= 1, "{reply}");
    let worst = &reply["problems"][0];
    assert_eq!((&worst["severity"], &worst["section"]["name"]), (&json!("error"), &json!("odd")));
    assert!(worst["line"].is_u64() && worst["text"].is_string(), "{worst}");
    assert_eq!(call(&site, "service", &json!({}))["errors"], reply["errors"]);
    site.run(&["stop"]);
    assert_eq!(call(&site, "check", &json!({}))["differs"], 0);
    site.run(&["start", "--no-track"]);
    router.sh("nft flush chain inet mwan3 policy_balanced_ipv4; ip rule del pref 1001");
    assert!(call(&site, "check", &json!({}))["differs"].as_u64().unwrap() >= 2);
}

/// ubusd with netifd behind it, silent while `hangs`. Each event that is sent goes to the channel.
fn bus(heard: mpsc::Sender<Value>, hangs: &Arc<AtomicBool>) -> Daemon {
    let hangs = hangs.clone();
    let device = |name: &str| json!({ "interface": name, "up": true, "l3_device": name, "uptime": 100 });
    let dump = json!({ "interface": [device("wan"), device("wanb"), device("wanc")] });
    Daemon::start(move |_, mut client| {
        let (heard, dump, hangs) = (heard.clone(), dump.clone(), hangs.clone());
        thread::spawn(move || {
            client.greet();
            while let Some(request) = client.request() {
                while hangs.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(10));
                }
                match (request.kind, request.method().as_deref()) {
                    (daemon::LOOKUP, _) => {
                        client.write(&message(DATA, request.sequence, &data(&Value::Null)))
                    }
                    (_, Some("dump")) => client.write(&message(DATA, request.sequence, &data(&dump))),
                    (_, Some("send")) => drop(heard.send(request.arguments())),
                    _ => {}
                }
                client.write(&status_message(request.sequence, 0));
            }
        });
    })
}

#[test]
fn events_are_sent_on_the_bus_as_they_happen() {
    let Some(site) = site() else { return };
    let (sender, heard) = mpsc::channel();
    let daemon = bus(sender, &Arc::default());
    let run = |words: &[&str]| {
        let status = site.command().args(words).env("MWAN3_UBUS_SOCKET", &daemon.socket).status();
        assert!(status.unwrap().success(), "{words:?}");
    };
    let await_event = |event: &str, interface: &str| {
        let until = Instant::now() + SOON;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(found) = heard.recv_timeout(left) else { panic!("no {event} of {interface}") };
            if found["id"] == event && found["data"]["interface"] == interface {
                return found["data"].clone();
            }
        }
    };
    run(&["start"]);
    await_event("mwan3.ifup", "wanb");
    let connected = await_event("mwan3.connected", "wanb");
    assert_eq!((&connected["device"], &connected["status"]), (&json!("wanb"), &json!("online")));
    site.lab.isp(2).blackhole();
    await_event("mwan3.disconnecting", "wanb");
    let lost = await_event("mwan3.disconnected", "wanb");
    assert_eq!(lost["status"], "offline");
    assert!(!lost["reason"].as_str().unwrap().is_empty(), "{lost}");
    site.lab.isp(2).restore();
    await_event("mwan3.connecting", "wanb");
    await_event("mwan3.connected", "wanb");
    run(&["ifdown", "wan"]);
    await_event("mwan3.ifdown", "wan");
}

#[test]
fn a_bus_that_hangs_keeps_nobody_from_leaving_a_dead_uplink() {
    let Some(site) = site() else { return };
    let (sender, _heard) = mpsc::channel();
    let hangs = Arc::new(AtomicBool::new(false));
    let daemon = bus(sender, &hangs);
    let started = site.command().arg("start").env("MWAN3_UBUS_SOCKET", &daemon.socket).status();
    assert!(started.unwrap().success());
    site.await_status("wanb", "online");
    let carries = |uplink: &str| {
        let chain = site.lab.router().sh("nft list chain inet mwan3 policy_balanced_ipv4");
        chain.contains(&format!("uplink_{uplink}"))
    };
    assert!(carries("wan") && carries("wanb"));
    hangs.store(true, Ordering::SeqCst);
    site.lab.isp(2).blackhole();
    assert!(wait_until(SOON, || !carries("wanb")), "{:?}", site.events("wanb"));
    assert!(carries("wan"));
    hangs.store(false, Ordering::SeqCst);
    site.lab.isp(2).restore();
    assert!(wait_until(SOON, || carries("wanb")), "{:?}", site.events("wanb"));
}
