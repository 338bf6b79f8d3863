//! Alerts: what people and monitoring are told of, once per confirmed change of an uplink. Decides what is told
//! when, and in which words; `system::deliver` carries it out.

mod message;
mod outbox;

use std::time::Duration;

pub use message::{Message, mail_date};
pub use outbox::Outbox;

/// A change of one uplink that policies act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    pub interface: String,
    pub device: String,
    pub change: Change,
    /// In words.
    pub reason: String,
    /// Seconds since 1970, UTC.
    pub at_unix_s: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Disconnected,
    /// With the length of the outage, where its beginning was seen.
    Connected(Option<Duration>),
}

impl Change {
    /// As in hotplug events.
    pub fn name(self) -> &'static str {
        match self {
            Change::Disconnected => "disconnected",
            Change::Connected(_) => "connected",
        }
    }
}

/// What the simple status file says of an uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Light {
    On,
    Off,
    /// Nothing has been decided yet.
    Unknown,
}

/// `wan:ON`, one line for each uplink.
pub fn status_lines<'a>(uplinks: impl Iterator<Item = (&'a str, Light)>) -> String {
    let mut text = String::new();
    for (name, light) in uplinks {
        let word = match light {
            Light::On => "ON",
            Light::Off => "OFF",
            Light::Unknown => "UNKNOWN",
        };
        text.push_str(name);
        text.push(':');
        text.push_str(word);
        text.push('\n');
    }
    text
}
