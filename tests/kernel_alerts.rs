//! Alerts as they arrive: at a mail server, a web server, scripts and a status file, when the line really fails.

#![allow(clippy::unwrap_used)]

mod tracking;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lab::{Background, wait_until};
use tracking::{FAST, SOON, Site, config};

const MAIL: &str = "127.0.0.1:2525";
const WEB: &str = "127.0.0.1:8080";

#[test]
fn an_alert_reaches_a_mail_server_and_a_web_server_once_per_change() {
    if !lab::is_available() {
        return;
    }
    let site = site(
        "config alert 'mail'\n option method 'mail'\n option smtp '127.0.0.1:2525'\n option from 'gate@lan'\n \
         list to 'boss@lan'\n list to 'it@lan'\n option interval '0'\n\
         config alert 'web'\n option method 'webhook'\n option to 'http://127.0.0.1:8080/hook?key=1'\n \
         option interface 'wan'\n option interval '0'\n",
    );
    let (mails, _mail) = sink(&site, MAIL, Manner::Mail);
    let (posts, _web) = sink(&site, WEB, Manner::Web);
    start_and_lose_wan(&site);
    await_count(&mails, 1);
    await_count(&posts, 1);
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
    await_count(&mails, 2);
    await_count(&posts, 2);
    let mails = mails.lock().unwrap().clone();
    assert!(mails[0].contains("MAIL FROM:<gate@lan>"), "{}", mails[0]);
    assert!(mails[0].contains("RCPT TO:<boss@lan>") && mails[0].contains("RCPT TO:<it@lan>"), "{}", mails[0]);
    assert!(mails[0].contains("Subject: ") && mails[0].contains(": wan is offline"), "{}", mails[0]);
    assert!(mails[0].contains("targets did not answer"), "the cause: {}", mails[0]);
    assert!(mails[1].contains("wan is online again after "), "the outage: {}", mails[1]);
    let posts = posts.lock().unwrap().clone();
    assert!(posts[0].starts_with("POST /hook?key=1 HTTP/1.1"), "{}", posts[0]);
    let body = |post: &str| -> serde_json::Value {
        serde_json::from_str(post.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    };
    assert_eq!(body(&posts[0])["events"][0]["event"], "disconnected");
    assert_eq!(body(&posts[0])["events"][0]["interface"], "wan");
    assert_eq!(body(&posts[1])["events"][0]["event"], "connected");
    assert!(body(&posts[1])["events"][0]["outage_s"].is_u64());
    // Nothing more follows: once per change.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!((mails.len(), posts.len()), (2, 2));
}

#[test]
fn a_dead_mail_server_delays_no_switch_and_gets_the_news_when_it_is_back() {
    if !lab::is_available() {
        return;
    }
    let site = site(
        "config alert 'mail'\n option method 'mail'\n option smtp '127.0.0.1:2525'\n list to 'boss@lan'\n \
         option interval '0'\n",
    );
    let (silent, hangs) = sink(&site, MAIL, Manner::Silent);
    start_and_lose_wan(&site);
    await_count(&silent, 1);
    // The courier waits for a word; the tracker goes on switching meanwhile.
    let probes = site.stat("probes");
    assert!(wait_until(SOON, || site.stat("probes") > probes + 10));
    drop(hangs);
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
    let (mails, _mail) = sink(&site, MAIL, Manner::Mail);
    assert!(
        wait_until(Duration::from_secs(60), || !mails.lock().unwrap().is_empty()),
        "kept until somebody takes it"
    );
    let mail = mails.lock().unwrap()[0].clone();
    assert!(mail.contains("wan (wan) is offline") && mail.contains("wan (wan) is online again"), "{mail}");
}

#[test]
fn scripts_run_in_the_order_of_their_names_and_know_the_reason() {
    if !lab::is_available() {
        return;
    }
    let site = site("");
    let folder = site.lab.router().directory().join("alerts");
    let told = site.lab.router().directory().join("told");
    fs::create_dir_all(folder.join("wan")).unwrap();
    let line = |name: &str| {
        format!(
            "#!/bin/sh\necho {name} $ACTION $INTERFACE $DEVICE \"$REASON\" ${{OUTAGE:+outage}} >> {}\n",
            told.display()
        )
    };
    fs::create_dir_all(folder.join("wan/up")).unwrap();
    for name in ["20-b", "10-a", "wan/down", "wan/up/1", "wan/up/2"] {
        script(&folder.join(name), &line(name));
    }
    fs::write(folder.join("README"), "not a script").unwrap();
    add_alert(
        &site,
        &format!("config alert 's'\n option method 'scripts'\n option to '{}'\n", folder.display()),
    );
    start_and_lose_wan(&site);
    site.lab.isp(1).restore();
    site.await_status("wan", "online");
    let lines = || fs::read_to_string(&told).unwrap_or_default();
    assert!(wait_until(SOON, || lines().lines().count() >= 7), "{}", lines());
    let text = lines();
    let firsts: Vec<&str> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(firsts, ["10-a", "20-b", "wan/down", "10-a", "20-b", "wan/up/1", "wan/up/2"], "{text}");
    assert!(text.lines().next().unwrap().starts_with("10-a disconnected wan wan "), "{text}");
    assert!(text.contains("did not answer") && text.lines().last().unwrap().ends_with("outage"), "{text}");
}

#[test]
fn a_status_file_follows_the_uplinks() {
    if !lab::is_available() {
        return;
    }
    let site = site("");
    let path = site.lab.router().directory().join("zabbix/status");
    add_alert(
        &site,
        &format!("config alert 'z'\n option method 'status_file'\n option to '{}'\n", path.display()),
    );
    let content = || fs::read_to_string(&path).unwrap_or_default();
    site.run(&["start"]);
    assert!(wait_until(SOON, || content() == "wan:ON\nwanb:ON\n"), "{}", content());
    site.lab.isp(1).carrier(false);
    assert!(wait_until(SOON, || content() == "wan:OFF\nwanb:ON\n"), "{}", content());
    site.lab.isp(1).carrier(true);
    assert!(wait_until(SOON, || content() == "wan:ON\nwanb:ON\n"), "{}", content());
    let configured = fs::read_to_string(site.lab.router().config_dir().join("mwan3")).unwrap();
    add_alert(&site, "");
    site.run(&["reload"]);
    assert_eq!(content(), "wan:UNKNOWN\nwanb:UNKNOWN\n", "nobody keeps it any more");
    site.lab.router().write_config(&configured);
    site.run(&["reload"]);
    assert_eq!(content(), "wan:ON\nwanb:ON\n");
    site.run(&["stop"]);
    assert_eq!(content(), "wan:UNKNOWN\nwanb:UNKNOWN\n", "nobody looks any more");
}

#[test]
fn a_test_tells_whether_alerts_arrive() {
    if !lab::is_available() {
        return;
    }
    let site = site(
        "config alert 'mail'\n option method 'mail'\n option smtp '127.0.0.1:2525'\n list to 'boss@lan'\n\
         config alert 'web'\n option method 'webhook'\n option to 'http://127.0.0.1:8080'\n",
    );
    let (mails, _mail) = sink(&site, MAIL, Manner::Mail);
    let output = site.try_run(&["notify", "test"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("mail: delivered (boss@lan)"), "{text}");
    assert!(text.contains("web: http://127.0.0.1:8080: Connection refused"), "{text}");
    await_count(&mails, 1);
    assert!(mails.lock().unwrap()[0].contains("nothing has happened"));
    assert!(site.try_run(&["notify", "test", "mail"]).status.success());
    assert_eq!(site.try_run(&["notify", "test", "nobody"]).status.code(), Some(1));
    assert_eq!(site.try_run(&["notify"]).status.code(), Some(2));
}

#[test]
fn an_alert_that_is_removed_while_it_is_on_its_way_leaves_no_process_behind() {
    if !lab::is_available() {
        return;
    }
    let (site, _, told) = site_with_scripts("sleep 1");
    site.run(&["start"]);
    site.await_status("wan", "online");
    site.lab.isp(1).blackhole();
    assert!(wait_until(SOON, || told.exists()), "{}", site.ask("events 0"));
    add_alert(&site, "");
    site.run(&["reload"]);
    assert!(wait_until(SOON, || children(site.pid()).is_empty()), "{:?}", children(site.pid()));
}

#[test]
fn an_outage_counts_from_its_first_cause() {
    if !lab::is_available() {
        return;
    }
    let (site, lines, _) = site_with_scripts("");
    start_and_lose_wan(&site);
    let begun = std::time::Instant::now();
    assert!(wait_until(SOON, || begun.elapsed() >= Duration::from_secs(3)));
    site.run(&["ifdown", "wan"]);
    site.run(&["ifup", "wan"]);
    assert!(wait_until(SOON, || lines().len() >= 2), "{:?}", lines());
    let outage = lines()[1].strip_prefix("connected ").and_then(|outage| outage.parse::<u64>().ok());
    assert!(outage >= Some(3), "{:?}", lines());
}

#[test]
fn a_restart_tells_nobody_that_a_dead_uplink_works() {
    if !lab::is_available() {
        return;
    }
    let (site, lines, _) = site_with_scripts("");
    start_and_lose_wan(&site);
    assert!(wait_until(SOON, || lines().len() == 1), "{:?}", lines());
    site.run(&["restart"]);
    assert!(wait_until(SOON, || lines().len() >= 2), "{:?}", lines());
    assert_eq!(lines(), ["disconnected", "disconnected"]);
}

#[test]
fn a_script_of_an_alert_ends_with_the_tracker() {
    if !lab::is_available() {
        return;
    }
    let (site, lines, _) = site_with_scripts("echo $$ >> ${0%/*}/../told\nexec sleep 60");
    site.run(&["start"]);
    site.await_status("wan", "online");
    site.lab.isp(1).carrier(false);
    assert!(wait_until(SOON, || lines().len() == 2), "{:?}", lines());
    let process = Path::new("/proc").join(&lines()[1]);
    assert!(process.exists());
    site.run(&["stop"]);
    assert!(wait_until(SOON, || !process.exists()), "it goes on without anybody who knows of it");
}

/// Until the probes have found it out.
#[track_caller]
fn start_and_lose_wan(site: &Site) {
    site.run(&["start"]);
    site.await_status("wan", "online");
    site.lab.isp(1).blackhole();
    site.await_status("wan", "offline");
}

fn site(alerts: &str) -> Site {
    let site = Site::prepare_with(lab::Lab::builder().uplinks(2).ipv6(false));
    add_alert(&site, alerts);
    site
}

/// With one script, what it has written (action and outage of wan), and where.
fn site_with_scripts(command: &str) -> (Site, impl Fn() -> Vec<String>, PathBuf) {
    let site = site("");
    let directory = site.lab.router().directory();
    let (folder, told) = (directory.join("alerts"), directory.join("told"));
    fs::create_dir_all(&folder).unwrap();
    let text = format!("#!/bin/sh\necho $ACTION $OUTAGE >> {}\n{command}\n", told.display());
    script(&folder.join("tell"), &text);
    let to = folder.display();
    add_alert(
        &site,
        &format!("config alert 's'\n option method 'scripts'\n option to '{to}'\n option interface 'wan'\n"),
    );
    let path = told.clone();
    let lines = move || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        text.lines().map(|line| line.trim().to_owned()).collect()
    };
    (site, lines, told)
}

/// Also those that have ended and that nobody has waited for.
fn children(pid: u32) -> Vec<String> {
    let stat =
        |entry: std::io::Result<fs::DirEntry>| fs::read_to_string(entry.ok()?.path().join("stat")).ok();
    let stats = fs::read_dir("/proc").unwrap().filter_map(stat);
    let parent = pid.to_string();
    stats
        .filter(|stat| stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&parent))
        .collect()
}

fn add_alert(site: &Site, alerts: &str) {
    site.lab.router().write_config(&format!("{}{alerts}", config(&["wan", "wanb"], &[FAST, FAST])));
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn await_count(heard: &Mutex<Vec<String>>, count: usize) {
    assert!(wait_until(SOON, || heard.lock().unwrap().len() >= count), "{:?}", heard.lock().unwrap());
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// SMTP, strictly in its order.
    Mail,
    Web,
    /// Takes the connection and says nothing.
    Silent,
}

/// A server on the router; what each visitor said.
fn sink(site: &Site, address: &str, manner: Manner) -> (Arc<Mutex<Vec<String>>>, Background) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let address = address.to_owned();
    let (told, (ready, is_ready)) = (Arc::clone(&heard), std::sync::mpsc::channel());
    let namespace = site.lab.router().namespace().clone();
    let background = Background::start(&namespace, move |stop: UnixStream| {
        let listener = TcpListener::bind(&address).unwrap();
        listener.set_nonblocking(true).unwrap();
        stop.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        ready.send(()).unwrap();
        let mut silent = Vec::new();
        // A closed stream reads as an end, an open one as a time-out.
        while !matches!((&stop).read(&mut [0]), Ok(0)) {
            let Ok((visitor, _)) = listener.accept() else { continue };
            visitor.set_nonblocking(false).unwrap();
            visitor.set_read_timeout(Some(SOON)).unwrap();
            let text = match manner {
                Manner::Mail => mail(&visitor),
                Manner::Web => web(&visitor),
                Manner::Silent => {
                    silent.push(visitor);
                    "silence".to_owned()
                }
            };
            told.lock().unwrap().push(text);
        }
    });
    is_ready.recv().unwrap();
    (heard, background.unwrap())
}

fn mail(mut visitor: &TcpStream) -> String {
    let mut lines = BufReader::new(visitor).lines();
    let mut said = String::new();
    visitor.write_all(b"220-sink\r\n220 ready\r\n").unwrap();
    for wanted in ["HELO", "MAIL FROM:<", "RCPT TO:<", "DATA"] {
        loop {
            let line = lines.next().unwrap().unwrap();
            said += &format!("{line}\n");
            let is_wanted = line.starts_with(wanted);
            visitor.write_all(if line == "DATA" { b"354 go on\r\n" } else { b"250 ok\r\n" }).unwrap();
            if is_wanted {
                break;
            }
            assert!(line.starts_with("RCPT TO:<"), "{line} instead of {wanted}");
        }
    }
    for line in lines.by_ref().map_while(Result::ok).take_while(|line| line != ".") {
        said += &format!("{line}\n");
    }
    visitor.write_all(b"250 taken\r\n").unwrap();
    let _ = lines.next();
    let _ = visitor.write_all(b"221 bye\r\n");
    said
}

fn web(mut visitor: &TcpStream) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = visitor.read(&mut buffer).unwrap();
        said.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&said);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let wanted = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
        if length == 0 || body.len() >= wanted.parse::<usize>().unwrap() {
            let text = text.into_owned();
            visitor.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            return text;
        }
    }
}
