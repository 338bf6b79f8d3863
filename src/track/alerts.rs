//! Alerts while the tracker runs: hands news to the outboxes, and couriers their messages. Nothing here waits.

use std::time::Duration;

use crate::alert::{Change, Light, Message, News, Outbox, status_lines};
use crate::config::{Alert, AlertMethod};
use crate::health::{Transition, milliseconds};
use crate::sorted::SortedMap;
use crate::system::clock::earlier;
use crate::system::deliver::{Courier, host_name, unix_time_s, write_status_file};
use crate::system::logger as log;

use super::{Tracker, Watch};

#[derive(Default)]
pub(super) struct Alerts {
    boxes: SortedMap<String, Box>,
    /// Whether each uplink was usable when it was last told of, and since when it was not.
    told: SortedMap<String, Told>,
    /// The status files as they were last written, by path.
    written: SortedMap<String, String>,
}

#[derive(Clone, Copy)]
struct Told {
    is_usable: bool,
    since: Duration,
}

#[derive(Default)]
struct Box {
    outbox: Outbox,
    courier: Option<Courier>,
}

impl Tracker {
    /// What an uplink is at first is no news.
    pub(super) fn note_beginnings(&mut self, now: Duration) {
        for (name, watch) in &self.watches {
            let told = Told { is_usable: watch.link.status().usable(), since: now };
            self.alerts.told.or_insert(name.clone(), told);
        }
        self.alerts.told.retain(|name, _| self.watches.contains_key(name));
    }

    /// Health begins anew, and so does what is told of it.
    pub(super) fn forget_told(&mut self) {
        self.alerts.told.clear();
    }

    /// After the switch: who was to be told of it hears once.
    pub(super) fn alert(&mut self, name: &str, transition: &Transition, now: Duration) {
        let is_usable = transition.to.usable();
        let before = self.alerts.told.get(name).copied();
        // An outage may have several causes, one after the other; it began with the first.
        let same = before.filter(|before| before.is_usable == is_usable);
        self.alerts.told.insert(name.to_owned(), same.unwrap_or(Told { is_usable, since: now }));
        let Some(before) = before.filter(|_| same.is_none()) else { return };
        let change = match is_usable {
            true => Change::Connected(Some(now.saturating_sub(before.since))),
            false => Change::Disconnected,
        };
        let device = self.watches.get(name).map(|watch| watch.link.device().to_owned()).unwrap_or_default();
        let reason = transition.reason.clone();
        let news = News { interface: name.to_owned(), device, change, reason, at_unix_s: unix_time_s() };
        for alert in self.config.alerts.iter().filter(|alert| is_for(alert, &news)) {
            self.alerts.boxes.or_default(alert.name.clone()).outbox.put(news.clone());
        }
        if is_usable {
            self.alerts.boxes.values_mut().for_each(|one| one.outbox.try_again_soon(now));
        }
    }

    /// Sends what is due and hears what became of what was sent.
    pub(super) fn advance_alerts(&mut self, now: Duration) {
        let configured = &self.config.alerts;
        // The courier of an alert that is no longer configured ends its way, and its end is heard.
        self.alerts.boxes.retain(|name, one| {
            configured.iter().any(|alert| alert.name == *name)
                || one.courier.as_mut().is_some_and(|courier| courier.outcome(now).is_none())
        });
        for alert in &self.config.alerts {
            let Some(one) = self.alerts.boxes.get_mut(&alert.name) else { continue };
            hear_courier(one, alert, now);
            let Some((news, dropped)) = one.outbox.take_due(now) else { continue };
            let message = Message::about(&host_name(), &news, dropped);
            match Courier::send(alert, &message, &news, now) {
                Ok(courier) => one.courier = Some(courier),
                Err(error) => {
                    log::warn!("alert {}: cannot start a courier: {error}", alert.name);
                    one.outbox.failed(now);
                }
            }
        }
    }

    pub(super) fn alerts_deadline(&self) -> Option<Duration> {
        let mut next = None;
        for one in self.alerts.boxes.values() {
            let at = match &one.courier {
                Some(courier) => Some(courier.deadline()),
                None => one.outbox.deadline(),
            };
            if let Some(at) = at {
                next = earlier(next, at);
            }
        }
        next
    }

    pub(super) fn keep_status_files(&mut self) {
        self.write_status_files(light);
    }

    /// Nobody looks any more.
    pub(super) fn leave_status_files(&mut self) {
        self.write_status_files(|_| Light::Unknown);
    }

    fn write_status_files(&mut self, light: fn(&Watch) -> Light) {
        for alert in self.config.alerts.iter().filter(|alert| alert.method == AlertMethod::StatusFile) {
            let wanted = self
                .watches
                .iter()
                .filter(|(name, _)| alert.interfaces.is_empty() || alert.interfaces.contains(name));
            let text = status_lines(wanted.map(|(name, watch)| (name.as_str(), light(watch))));
            for path in &alert.to {
                if self.alerts.written.get(path) == Some(&text) {
                    continue;
                }
                if let Err(error) = write_status_file(path, &text) {
                    log::warn!("alert {}: {error}", alert.name);
                }
                self.alerts.written.insert(path.clone(), text.clone());
            }
        }
    }
}

fn hear_courier(one: &mut Box, alert: &Alert, now: Duration) {
    let Some(was_delivered) = one.courier.as_mut().and_then(|courier| courier.outcome(now)) else { return };
    one.courier = None;
    if was_delivered {
        let interval = match alert.method {
            AlertMethod::Mail { .. } | AlertMethod::Webhook => alert.interval_ms,
            AlertMethod::Scripts | AlertMethod::StatusFile => 0,
        };
        one.outbox.delivered(now, milliseconds(interval));
    } else if alert.method == AlertMethod::Scripts {
        // A script that failed once is not run again: it may have done half of its work.
        one.outbox.delivered(now, Duration::ZERO);
    } else {
        let pause = one.outbox.failed(now);
        log::info!(
            "alert {}: not delivered; the next try in {} s at the latest",
            alert.name,
            pause.as_secs()
        );
    }
}

fn is_for(alert: &Alert, news: &News) -> bool {
    let is_wanted = match news.change {
        Change::Connected(_) => alert.tells_connected,
        Change::Disconnected => alert.tells_disconnected,
    };
    is_wanted
        && alert.method != AlertMethod::StatusFile
        && (alert.interfaces.is_empty() || alert.interfaces.contains(&news.interface))
}

fn light(watch: &Watch) -> Light {
    match (watch.link.status().usable(), watch.link.is_decided()) {
        (true, true) => Light::On,
        (false, _) => Light::Off,
        (true, false) => Light::Unknown,
    }
}
