//! What an alert says: a line for the subject, text for people, JSON for programs.

use std::time::Duration;

use crate::json::{Json, Object};

use super::{Change, News};

/// One message of one alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub subject: String,
    pub text: String,
    pub json: Json,
}

impl Message {
    pub fn about(host: &str, news: &[News], dropped: u32) -> Message {
        let subject = match news {
            [one] => format!("{host}: {} {}", one.interface, headline(one.change)),
            several => {
                let newest =
                    several.last().map(|one| format!(", last: {} {}", one.interface, headline(one.change)));
                format!("{host}: {} changes{}", several.len(), newest.unwrap_or_default())
            }
        };
        let mut text = String::new();
        for one in news {
            text.push_str(&line(one));
        }
        if dropped > 0 {
            text.push_str(&format!("{dropped} earlier changes are not listed.\n"));
        }
        let mut events = Vec::new();
        for one in news {
            events.push(event(one));
        }
        let mut object = Object::new();
        object.number("dropped", dropped.into());
        object.put("events", Json::Array(events));
        object.text("host", host);
        object.text("text", &subject);
        Message { subject, text, json: Json::Object(object) }
    }

    /// What `mwan3 notify test` sends.
    pub fn test(host: &str, at_unix_s: u64) -> Message {
        let subject = format!("{host}: test of mwan3 alerts");
        let text = format!("{} This is a test; nothing has happened.\n", date_and_time(at_unix_s));
        let mut object = Object::new();
        object.number("dropped", 0);
        object.put("events", Json::Array(Vec::new()));
        object.text("host", host);
        object.flag("test", true);
        object.text("text", &subject);
        Message { subject, text, json: Json::Object(object) }
    }
}

fn headline(change: Change) -> String {
    match change {
        Change::Disconnected => "is offline".to_owned(),
        Change::Connected(None) => "is online".to_owned(),
        Change::Connected(Some(outage)) => format!("is online again after {}", length(outage)),
    }
}

fn line(news: &News) -> String {
    let News { interface, device, reason, .. } = news;
    let place = if device.is_empty() { String::new() } else { format!(" ({device})") };
    let time = date_and_time(news.at_unix_s);
    format!("{time} {interface}{place} {}: {reason}\n", headline(news.change))
}

fn event(news: &News) -> Json {
    let mut object = Object::new();
    object.text("device", &news.device);
    object.text("event", news.change.name());
    object.text("interface", &news.interface);
    if let Change::Connected(Some(outage)) = news.change {
        object.number("outage_s", outage.as_secs());
    }
    object.text("reason", &news.reason);
    object.number("time", news.at_unix_s);
    Json::Object(object)
}

/// `42 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
fn length(time: Duration) -> String {
    let s = time.as_secs();
    let (larger, smaller) = match s {
        0..60 => return format!("{s} s"),
        60..3600 => ((s / 60, "min"), (s % 60, "s")),
        3600..86_400 => ((s / 3600, "h"), (s % 3600 / 60, "min")),
        _ => ((s / 86_400, "d"), (s % 86_400 / 3600, "h")),
    };
    format!("{} {} {} {}", larger.0, larger.1, smaller.0, smaller.1)
}

/// `2026-11-21 16:30:05 UTC`.
fn date_and_time(unix_s: u64) -> String {
    let (year, month, day) = civil(unix_s / 86_400);
    let s = (unix_s % 86_400) as u32;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", s / 3600, s / 60 % 60, s % 60)
}

/// `Sat, 21 Nov 2026 16:30:05 +0000`, as mail has it.
pub fn mail_date(unix_s: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = unix_s / 86_400;
    let (year, month, day) = civil(days);
    let name = |names: &[&'static str], number: u32| names.get(number as usize).copied().unwrap_or_default();
    let s = (unix_s % 86_400) as u32;
    format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} +0000",
        name(&DAYS, (days % 7) as u32),
        name(&MONTHS, month - 1),
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

/// Year, month (from 1) and day of a day counted from 1 January 1970. Years are counted from March, so that the
/// leap day is the last of its year.
fn civil(days: u64) -> (u32, u32, u32) {
    const DAYS_IN_400_YEARS: u32 = 146_097;
    /// From 1 March of the year 0 to 1 January 1970.
    const BEFORE_1970: u32 = 719_468;
    let days = u32::try_from(days).unwrap_or(u32::MAX).saturating_add(BEFORE_1970);
    let era = days / DAYS_IN_400_YEARS;
    let day_of_era = days % DAYS_IN_400_YEARS;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / (DAYS_IN_400_YEARS - 1)) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
    (era * 400 + year_of_era + u32::from(month <= 2), month, day)
}
