//! Metrics: the page as Prometheus reads it, and the tracker's door that serves it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod tracking;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Lab, wait_until};
use mwan3::json::{self, Json};
use mwan3::report::{Snapshot, metrics_text};
use mwan3::scrape::{Request, judge};
use mwan3::{config, uci};
use serde_json::{Value, json};
use tracking::{FAST, SOON, Site, config as configuration};

const LISTEN: &str = "127.0.0.1:9101";

/// Two uplinks, the router's metrics at this address; None is no such option.
fn text_of(listen: Option<&str>) -> String {
    let option = listen.map_or(String::new(), |listen| format!("    option metrics_listen '{listen}'\n"));
    configuration(&["wan", "wanb"], &[FAST, FAST])
        .replace("    option mmx_mask '0x3F00'\n", &format!("    option mmx_mask '0x3F00'\n{option}"))
}

fn site(listen: Option<&str>) -> Option<Site> {
    if !lab::is_available() {
        return None;
    }
    let site = Site::prepare_with(Lab::builder().uplinks(2).ipv6(false));
    site.lab.router().write_config(&text_of(listen));
    site.run(&["start"]);
    Some(site)
}

/// All that comes back until the tracker closes. An error is its text.
fn exchange(site: &Site, address: &str, request: &[u8]) -> Result<String, String> {
    let talk = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(request)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    site.lab.router().run(talk).map_err(|error| error.to_string())
}

#[track_caller]
fn scrape(site: &Site, address: &str) -> String {
    let answer = exchange(site, address, b"GET /metrics HTTP/1.1\r\nHost: router\r\n\r\n").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
    body.to_owned()
}

/// What Prometheus demands of a page: each metric once, with help and type before its samples, which differ in
/// their labels and have numbers. Gives the samples.
#[track_caller]
fn parsed(page: &str) -> Vec<(String, f64)> {
    let (mut current, mut seen, mut samples) = (String::new(), BTreeSet::new(), Vec::new());
    let mut labels_seen = BTreeSet::new();
    assert!(page.ends_with('\n'), "the last line must end");
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (metric, help) = rest.split_once(' ').unwrap();
            assert!(seen.insert(metric.to_owned()) && !help.is_empty(), "{line}");
            current = metric.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (metric, kind) = rest.split_once(' ').unwrap();
            assert_eq!(metric, current, "help and type stand together");
            assert!(["gauge", "counter"].contains(&kind), "{line}");
            assert_eq!(metric.ends_with("_total"), kind == "counter", "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let metric = sample.split('{').next().unwrap();
            assert_eq!(metric, current, "{line}");
            assert!(
                metric.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{line}"
            );
            assert!(labels_seen.insert(sample.to_owned()), "twice: {line}");
            check_labels(sample.strip_prefix(metric).unwrap());
            let number = value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            assert!(number.is_finite() && number >= 0.0, "{line}");
            samples.push((sample.to_owned(), number));
        }
    }
    samples
}

#[track_caller]
fn check_labels(labels: &str) {
    let mut rest = match labels.strip_prefix('{') {
        None => return assert_eq!(labels, ""),
        Some(rest) => rest,
    };
    loop {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{labels}"));
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()), "{labels}");
        let mut is_escaped = false;
        let end = value.char_indices().find(|(_, character)| {
            let ends = *character == '"' && !is_escaped;
            is_escaped = *character == '\\' && !is_escaped;
            ends
        });
        let after = &value[end.unwrap_or_else(|| panic!("{labels}")).0 + 1..];
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return assert_eq!(after, "}", "{labels}"),
        }
    }
}

/// Prometheus' own judge, where it is installed.
fn judged_by_promtool(page: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("promtool is not installed: only our own reader has judged");
        return;
    };
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn value(samples: &[(String, f64)], wanted: &str) -> Option<f64> {
    samples.iter().find(|(sample, _)| sample == wanted).map(|(_, value)| *value)
}

#[test]
fn a_page_is_what_prometheus_reads_and_tells_what_the_exporter_told() {
    let Some(site) = site(None) else { return };
    site.await_status("wan", "online");
    let flow = site.lab.client().udp("198.51.100.7", 4000).per_second(50).start();
    let is_counted = || {
        let samples = parsed(&site.run(&["metrics"]));
        value(&samples, "mwan3_rule_packets_total{rule=\"rest\",family=\"ipv4\"}")
            .is_some_and(|packets| packets > 0.0)
            && value(&samples, "mwan3_interface_round_trip_seconds{interface=\"wan\"}").is_some()
    };
    assert!(wait_until(SOON, is_counted), "{}", site.run(&["metrics"]));
    drop(flow);
    site.lab.isp(2).blackhole();
    site.await_status("wanb", "offline");
    let page = site.run(&["metrics"]);
    judged_by_promtool(&page);
    let samples = parsed(&page);
    let of = |wanted: &str| value(&samples, wanted).unwrap_or_else(|| panic!("no {wanted} in\n{page}"));
    for name in ["age", "online", "offline", "uptime", "lost", "turn", "score", "enabled", "running", "up"] {
        for interface in ["wan", "wanb"] {
            of(&format!("mwan3_interface_{name}{{interface=\"{interface}\"}}"));
        }
    }
    for state in ["offline", "online", "disconnecting", "connecting", "disabled", "notracking", "unknown"] {
        let is_in = |interface: &str| {
            of(&format!("mwan3_interface_status{{interface=\"{interface}\",status=\"{state}\"}}"))
        };
        assert_eq!(is_in("wan"), f64::from(u8::from(state == "online")), "{state}");
        assert_eq!(is_in("wanb"), f64::from(u8::from(state == "offline")), "{state}");
    }
    assert_eq!(of("mwan3_running"), 1.0);
    assert_eq!(of("mwan3_tracker_up"), 1.0);
    assert_eq!(of("mwan3_config_problems{severity=\"error\"}"), 0.0);
    assert_eq!(of("mwan3_interface_loss_ratio{interface=\"wan\"}"), 0.0);
    assert!(of("mwan3_interface_loss_ratio{interface=\"wanb\"}") > 0.0);
    assert!(of("mwan3_interface_round_trip_seconds{interface=\"wan\"}") < 1.0);
    assert!(of("mwan3_interface_transitions_total{interface=\"wanb\"}") >= 3.0);
    assert!(of("mwan3_interface_probes_total{interface=\"wan\"}") >= 2.0);
    let share = |member: &str, interface: &str| {
        of(&format!(
            "mwan3_policy_share_ratio{{policy=\"failover\",family=\"ipv4\",member=\"{member}\",interface=\"{interface}\"}}"
        ))
    };
    assert_eq!((share("m_wan", "wan"), share("m_wanb", "wanb")), (1.0, 0.0));
}

#[test]
fn without_tracker_or_service_the_page_is_whole_all_the_same() {
    let Some(site) = site(None) else { return };
    site.ask("quit");
    assert!(wait_until(SOON, || !site.socket().exists()));
    for (words, running) in [(None, 1.0), (Some("stop"), 0.0)] {
        words.into_iter().for_each(|word| drop(site.run(&[word])));
        let page = site.run(&["metrics"]);
        judged_by_promtool(&page);
        let samples = parsed(&page);
        assert_eq!(value(&samples, "mwan3_running"), Some(running));
        assert_eq!(value(&samples, "mwan3_tracker_up"), Some(0.0));
        assert_eq!(value(&samples, "mwan3_interface_up{interface=\"wan\"}"), Some(1.0));
    }
}

#[test]
fn a_page_goes_into_a_file_at_once_or_not_at_all() {
    let Some(site) = site(None) else { return };
    let folder = site.lab.router().directory().join("textfiles");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("mwan3.prom");
    let name = file.display().to_string();
    assert_eq!(site.run(&["metrics", "--output", &name]), "");
    parsed(&std::fs::read_to_string(&file).unwrap());
    // Nothing else is left there for a collector to find.
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    let refused = site.try_run(&["metrics", "--output", "/proc/mwan3.prom"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(site.try_run(&["status", "--output", &name]).status.code(), Some(2));
}

#[test]
fn names_of_any_kind_and_members_named_twice_make_no_page_invalid() {
    let text = "config interface 'wan'\n\toption enabled '1'\nconfig member 'm'\n\toption interface 'wan'\n\
                config policy 'p'\n\tlist use_member 'm'\nconfig rule 'r'\n\toption use_policy 'p'\n";
    let (mut config, problems) = config::read(&uci::parse("mwan3", text.as_bytes()), "mwan3");
    assert_eq!(problems, []);
    let odd = "a\"b\\c\nd } {e=\"f\",";
    config.interfaces[0].name = odd.to_owned();
    config.policies[0].name = odd.to_owned();
    config.policies[0].members[0].interface = odd.to_owned();
    let twice = config.policies[0].members[0].clone();
    config.policies[0].members.push(twice);
    let snapshot = Snapshot { config, ..Snapshot::default() };
    let gauges =
        json!({ "uptime": 5, "interfaces": { odd: { "rtt_us": 1_234_567, "loss": 1000, "since": 1 } } });
    let page = metrics_text(&snapshot, &ours(&gauges), &[("error", 1)]);
    judged_by_promtool(&page);
    let samples = parsed(&page);
    let label = "interface=\"a\\\"b\\\\c\\nd } {e=\\\"f\\\",\"";
    assert_eq!(value(&samples, &format!("mwan3_interface_round_trip_seconds{{{label}}}")), Some(1.234567));
    assert_eq!(value(&samples, &format!("mwan3_interface_loss_ratio{{{label}}}")), Some(1.0));
    // The smallest of numbers keep their places.
    let gauges = json!({ "interfaces": { odd: { "rtt_us": 7, "loss": 3 } } });
    let page = metrics_text(&snapshot, &ours(&gauges), &[]);
    assert!(page.contains(" 0.000007\n") && page.contains(" 0.003\n"), "{page}");
    parsed(&metrics_text(&Snapshot::default(), &Json::Null, &[]));
}

#[test]
fn requests_are_told_from_what_is_none() {
    for (bytes, wanted) in [
        (&b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"[..], Request::Metrics { with_body: true }),
        (b"GET /metrics HTTP/1.0\n\n", Request::Metrics { with_body: true }),
        (b"GET /metrics?name=x HTTP/1.1\r\n\r\n", Request::Metrics { with_body: true }),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", Request::Metrics { with_body: false }),
        (b"GET / HTTP/1.1\r\n\r\n", Request::Refused("404 Not Found")),
        (b"GET /../metrics HTTP/1.1\r\n\r\n", Request::Refused("404 Not Found")),
        (b"POST /metrics HTTP/1.1\r\n\r\n", Request::Refused("405 Method Not Allowed")),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n", Request::Unfinished),
        (b"GET /metr", Request::Unfinished),
        (b"", Request::Unfinished),
        (b"\n", Request::Malformed),
        (b"GET /metrics\r\n\r\n", Request::Malformed),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", Request::Malformed),
        (b"GET /metrics HTTP/2.0\r\n\r\n", Request::Malformed),
        (b"\xff\xfe\x00\n\n", Request::Malformed),
        (b"\x16\x03\x01\x02\x00\x01\n", Request::Malformed),
    ] {
        assert_eq!(judge(bytes), wanted, "{:?}", String::from_utf8_lossy(bytes));
    }
    assert_eq!(judge(&[b'x'; 4096]), Request::Malformed);
    let endless = [&b"GET /metrics HTTP/1.1\r\n"[..], &[b'a'; 4096]].concat();
    assert_eq!(judge(&endless), Request::Malformed);
}

fn ours(gauges: &Value) -> Json {
    json::read(&gauges.to_string()).unwrap()
}

proptest::proptest! {
    #[test]
    fn no_bytes_are_taken_for_a_request_before_they_are_one(
        bytes in proptest::collection::vec(proptest::sample::select(b"GET /metricsHTTP/1.10\r\n\n \xff".to_vec()), 0..200),
    ) {
        let is_request = matches!(judge(&bytes), Request::Metrics { .. });
        assert!(!is_request || bytes.starts_with(b"GET /metrics"), "{bytes:?}");
    }
}

#[test]
fn the_tracker_serves_the_page_where_it_is_told_and_nothing_else() {
    let Some(site) = site(Some(LISTEN)) else { return };
    site.await_status("wan", "online");
    let page = scrape(&site, LISTEN);
    judged_by_promtool(&page);
    let samples = parsed(&page);
    assert_eq!(value(&samples, "mwan3_tracker_up"), Some(1.0));
    assert_eq!(value(&samples, "mwan3_interface_status{interface=\"wan\",status=\"online\"}"), Some(1.0));
    // The same names as the command tells.
    let names =
        |samples: &[(String, f64)]| samples.iter().map(|(sample, _)| sample.clone()).collect::<BTreeSet<_>>();
    assert_eq!(names(&samples), names(&parsed(&site.run(&["metrics"]))));
    let head = exchange(&site, LISTEN, b"HEAD /metrics HTTP/1.1\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let other = exchange(&site, LISTEN, b"GET /etc/passwd HTTP/1.1\r\n\r\n").unwrap();
    assert!(other.starts_with("HTTP/1.1 404 "), "{other}");
    let posted = exchange(&site, LISTEN, b"POST /metrics HTTP/1.1\r\n\r\n").unwrap();
    assert!(posted.starts_with("HTTP/1.1 405 "), "{posted}");
    // Closed without a word; a reset counts as closed.
    assert!(exchange(&site, LISTEN, b"hello\n").is_ok_and(|answer| answer.is_empty()));
    let _ = exchange(&site, LISTEN, &[0xff; 100_000]);
    // No other address of the router, though it is its own host that asks.
    assert!(exchange(&site, "192.168.1.1:9101", b"").is_err());
    scrape(&site, LISTEN);
}

#[test]
fn clients_that_say_nothing_stop_neither_probes_nor_other_clients() {
    let Some(site) = site(Some(LISTEN)) else { return };
    site.await_status("wan", "online");
    let idle: Vec<TcpStream> = site.lab.router().run(|| {
        (0..30)
            .map(|number| {
                let mut stream = TcpStream::connect(LISTEN).unwrap();
                // Some ask half, some a lot, and none reads.
                let some: &[u8] = if number % 2 == 0 { b"" } else { b"GET /metrics HTTP/1.1\r\nHost" };
                stream.write_all(some).unwrap();
                stream
            })
            .collect()
    });
    let before = site.stat("probes");
    assert!(wait_until(SOON, || site.stat("probes") >= before + 4), "nothing is probed any more");
    assert_eq!(site.status("wan"), "online");
    drop(idle);
    scrape(&site, LISTEN);
    // A tracker that turns round and round would have used all of this time.
    let cpu = || {
        let text = std::fs::read_to_string(format!("/proc/{}/schedstat", site.pid())).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    };
    let (spent, begun) = (cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    assert!(cpu() - spent < begun.elapsed() / 2, "{:?}", cpu() - spent);
}

#[test]
fn the_address_changes_with_a_reload_and_a_bad_one_costs_itself_only() {
    let Some(site) = site(Some("127.0.0.1:9101")) else { return };
    scrape(&site, "127.0.0.1:9101");
    let reload = |listen: Option<&str>| {
        site.lab.router().write_config(&text_of(listen));
        site.try_run(&["reload"])
    };
    assert!(reload(Some("[::1]:9102")).status.success());
    scrape(&site, "[::1]:9102");
    assert!(exchange(&site, "127.0.0.1:9101", b"").is_err());
    for bad in ["9101", "127.0.0.1", "router:9101", "127.0.0.1:0", "127.0.0.1:99999", "::1:9101"] {
        let output = reload(Some(bad));
        assert!(output.status.success(), "{bad}: {output:?}");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(complaint.contains("metrics_listen") && complaint.contains(bad), "{bad}: {complaint}");
    }
    assert!(exchange(&site, "[::1]:9102", b"").is_err());
    site.await_status("wan", "online");
    // Taken by somebody else, then free.
    let other = site.lab.router().run(|| std::net::TcpListener::bind("127.0.0.1:9103").unwrap());
    assert!(reload(Some("127.0.0.1:9103")).status.success());
    let before = site.stat("probes");
    assert!(wait_until(SOON, || site.stat("probes") > before));
    drop(other);
    // Any look at the host tries again.
    site.lab.router().sh("ip address add 192.0.2.77/32 dev lan0");
    assert!(wait_until(SOON, || exchange(&site, "127.0.0.1:9103", b"GET /metrics HTTP/1.0\n\n").is_ok()));
    assert!(reload(None).status.success());
    assert!(exchange(&site, "127.0.0.1:9103", b"").is_err());
}
