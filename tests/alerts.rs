//! What alerts say, when they leave, and how their sections are read.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mwan3::alert::{Change, Light, Message, News, Outbox, mail_date, status_lines};
use mwan3::config::{Alert, AlertMethod, Config};
use mwan3::uci;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn one_change_is_told_in_the_subject() {
    let lost = Message::about("gate", &[news("wan", Change::Disconnected)], 0);
    assert_eq!(lost.subject, "gate: wan is offline");
    assert_eq!(lost.text, "2026-11-21 16:30:05 UTC wan (eth1) is offline: 2 of 2 targets did not answer\n");
    let back = Message::about("gate", &[news("wan", Change::Connected(Some(Duration::from_secs(200))))], 0);
    assert_eq!(back.subject, "gate: wan is online again after 3 min 20 s");
    let json: serde_json::Value = serde_json::from_str(&back.json.to_string()).unwrap();
    assert_eq!(json["events"][0]["outage_s"], 200);
    assert_eq!(json["events"][0]["event"], "connected");
    assert_eq!(json["events"][0]["time"], 1_795_278_605);
}

#[test]
fn several_changes_are_one_message_in_their_order() {
    let both = [news("wan", Change::Disconnected), news("lte", Change::Connected(None))];
    let message = Message::about("gate", &both, 3);
    assert_eq!(message.subject, "gate: 2 changes, last: lte is online");
    let lines: Vec<&str> = message.text.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("wan") && lines[1].contains("lte") && lines[2].starts_with("3 earlier"));
}

#[test]
fn outages_are_told_in_units_that_fit() {
    let told = |s: u64| {
        let change = Change::Connected(Some(Duration::from_secs(s)));
        Message::about("gate", &[news("wan", change)], 0).subject.split("after ").nth(1).unwrap().to_owned()
    };
    assert_eq!(told(0), "0 s");
    assert_eq!(told(59), "59 s");
    assert_eq!(told(60), "1 min 0 s");
    assert_eq!(told(7_500), "2 h 5 min");
    assert_eq!(told(273_600), "3 d 4 h");
}

#[test]
fn mail_has_the_date_of_a_calendar() {
    assert_eq!(mail_date(0), "Thu, 01 Jan 1970 00:00:00 +0000");
    assert_eq!(mail_date(951_782_399), "Mon, 28 Feb 2000 23:59:59 +0000");
    assert_eq!(mail_date(951_782_400), "Tue, 29 Feb 2000 00:00:00 +0000");
    assert_eq!(mail_date(1_795_278_605), "Sat, 21 Nov 2026 16:30:05 +0000");
    // Beyond 32 bits of seconds, and the year without a leap day.
    assert_eq!(mail_date(4_107_542_400), "Mon, 01 Mar 2100 00:00:00 +0000");
}

#[test]
fn the_first_news_leaves_at_once_and_the_rest_is_gathered() {
    let mut outbox = Outbox::default();
    assert!(outbox.take_due(at(0)).is_none());
    outbox.put(news("wan", Change::Disconnected));
    assert_eq!(outbox.take_due(at(0)).unwrap().0.len(), 1);
    outbox.put(news("wan", Change::Connected(None)));
    assert!(outbox.take_due(at(1)).is_none(), "the first is on its way");
    assert_eq!(outbox.deadline(), None, "its courier has a deadline of its own");
    outbox.delivered(at(2), MINUTE);
    outbox.put(news("lte", Change::Disconnected));
    assert!(outbox.take_due(at(61)).is_none());
    assert_eq!(outbox.deadline(), Some(at(62)));
    assert_eq!(names(&outbox.take_due(at(62)).unwrap().0), ["wan", "lte"]);
    outbox.delivered(at(63), MINUTE);
    assert!(outbox.is_empty());
}

#[test]
fn what_cannot_be_delivered_is_kept_and_leaves_when_an_uplink_is_back() {
    let mut outbox = Outbox::default();
    outbox.put(news("wan", Change::Disconnected));
    let mut pauses = Vec::new();
    let mut now = at(0);
    for _ in 0..8 {
        assert_eq!(outbox.take_due(now).unwrap().0.len(), 1, "at {now:?}");
        let pause = outbox.failed(now);
        assert!(outbox.take_due(now + pause - Duration::from_millis(1)).is_none());
        pauses.push(pause.as_secs());
        now += pause;
    }
    assert_eq!(pauses, [15, 30, 60, 120, 240, 480, 600, 600]);
    outbox.take_due(now).unwrap();
    outbox.failed(now);
    outbox.put(news("wan", Change::Connected(None)));
    outbox.try_again_soon(now);
    assert!(outbox.take_due(now).is_none(), "its routes need a moment");
    assert_eq!(outbox.take_due(now + Duration::from_secs(1)).unwrap().0.len(), 2);
}

#[test]
fn an_uplink_that_is_back_does_not_shorten_the_interval() {
    let mut outbox = Outbox::default();
    outbox.put(news("wan", Change::Disconnected));
    outbox.take_due(at(0)).unwrap();
    outbox.delivered(at(0), MINUTE);
    outbox.put(news("wan", Change::Connected(None)));
    outbox.try_again_soon(at(1));
    assert!(outbox.take_due(at(59)).is_none());
}

#[test]
fn a_flapping_line_keeps_the_newest_and_counts_the_rest() {
    let mut outbox = Outbox::default();
    outbox.put(news("first", Change::Disconnected));
    outbox.take_due(at(0)).unwrap();
    for number in 0..100 {
        outbox.put(news(&format!("n{number}"), Change::Disconnected));
    }
    outbox.failed(at(0));
    let (kept, dropped) = outbox.take_due(at(15)).unwrap();
    assert_eq!((kept.len(), dropped), (64, 37));
    let names = names(&kept);
    assert_eq!((names[0], names[1], names[63]), ("first", "n37", "n99"));
}

#[test]
fn the_status_file_has_a_line_for_each() {
    let lines = status_lines([("wan", Light::On), ("lte", Light::Off), ("sat", Light::Unknown)].into_iter());
    assert_eq!(lines, "wan:ON\nlte:OFF\nsat:UNKNOWN\n");
}

#[test]
fn a_mail_alert_is_read() {
    let (config, problems) = read(
        "config interface wan\nconfig alert boss\n option method mail\n list to boss@example.org\n \
         list to it@example.org\n option smtp 192.168.1.2\n option from gate@example.org\n \
         list interface wan\n list event disconnected\n option interval 300",
    );
    assert_eq!(problems, [""; 0]);
    let wanted = Alert {
        name: "boss".to_owned(),
        method: AlertMethod::Mail {
            from: Some("gate@example.org".to_owned()),
            server: Some("192.168.1.2:25".to_owned()),
        },
        to: vec!["boss@example.org".to_owned(), "it@example.org".to_owned()],
        interfaces: vec!["wan".to_owned()],
        tells_connected: false,
        tells_disconnected: true,
        interval_ms: 300_000,
    };
    assert_eq!(config.alerts, [wanted]);
}

#[test]
fn servers_are_hosts_with_or_without_a_port() {
    let server = |text: &str| {
        let config = format!("config alert a\n option method mail\n option to a@b\n option smtp '{text}'");
        match read(&config).0.alerts.remove(0).method {
            AlertMethod::Mail { server, .. } => server,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(server("mail.lan:2525").as_deref(), Some("mail.lan:2525"));
    assert_eq!(server("fd00::2").as_deref(), Some("[fd00::2]:25"));
    assert_eq!(server("[fd00::2]:26").as_deref(), Some("[fd00::2]:26"));
    for bad in ["mail lan", "mail:0", "mail:99999", ":25", "mail\r\nQUIT"] {
        assert_eq!(server(bad), None, "{bad:?}");
    }
}

#[test]
fn a_bad_alert_costs_itself_only() {
    for (options, complaint) in [
        ("option to a@b", "names no method; the alert is skipped"),
        ("option method pigeon\n option to a@b", "not one of mail, webhook, scripts, status_file"),
        ("option method mail", "has nobody to tell (option to); the alert is skipped"),
        ("option method mail\n option to nobody", "not a mail address"),
        ("option method mail\n option to 'a@b>\r\nDATA'", "not a mail address"),
        ("option method webhook\n option to ftp://x/", "not an http:// or https:// address"),
        ("option method scripts\n option to etc/alerts", "not an absolute path"),
        ("option method status_file\n option to ''", "has nobody to tell"),
    ] {
        let text = format!(
            "config alert bad\n {options}\nconfig alert good\n option method scripts\n option to /etc/alerts"
        );
        let (config, problems) = read(&text);
        assert_eq!(config.alerts.len(), 1, "{options}: {problems:?}");
        assert_eq!(config.alerts[0].name, "good");
        assert!(problems.iter().any(|problem| problem.contains(complaint)), "{options}: {problems:?}");
        assert!(problems.iter().all(|problem| problem.contains("'bad'")), "{problems:?}");
    }
}

#[test]
fn an_alert_for_an_unknown_interface_stays_silent_instead_of_telling_all() {
    let (config, problems) = read(
        "config interface wan\nconfig alert a\n option method mail\n option to a@b\n option interface wann",
    );
    assert_eq!(config.alerts[0].interfaces, ["wann"]);
    assert!(problems[0].contains("did you mean wan?"), "{problems:?}");
}

fn news(interface: &str, change: Change) -> News {
    News {
        interface: interface.to_owned(),
        device: "eth1".to_owned(),
        change,
        reason: "2 of 2 targets did not answer".to_owned(),
        at_unix_s: 1_795_278_605,
    }
}

fn names(news: &[News]) -> Vec<&str> {
    news.iter().map(|one| one.interface.as_str()).collect()
}

fn at(s: u64) -> Duration {
    Duration::from_secs(s)
}

fn read(text: &str) -> (Config, Vec<String>) {
    let package = uci::parse("mwan3", text.as_bytes());
    let (config, problems) = mwan3::config::read(&package, "mwan3");
    (config, problems.iter().map(ToString::to_string).collect())
}
