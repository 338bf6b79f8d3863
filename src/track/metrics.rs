//! Metrics served by the tracker itself, where the configuration says so.

use std::os::fd::RawFd;
use std::time::Duration;

use crate::report::{Snapshot, Track, metrics_text};
use crate::scrape::Door;
use crate::system::clock::since_boot;
use crate::system::host;
use crate::system::logger as log;

use super::{Tracker, Watch};

/// Reading the counters of a thousand rules takes milliseconds: who asks without end gets the same again.
const KEPT_FOR: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Metrics {
    pub door: Option<Door>,
    /// As told last, and when.
    told: Option<(Duration, String)>,
    /// An address that cannot be had is complained of once.
    has_complained: bool,
}

impl Tracker {
    /// As configured now. An address that is not there yet is tried again at each look at the host.
    pub(super) fn open_door(&mut self) {
        let wanted = self.config.globals.metrics_listen;
        if self.metrics.door.as_ref().map(Door::address) == wanted {
            return;
        }
        self.metrics.door = None;
        let Some(address) = wanted else { return };
        match Door::open(address) {
            Ok(door) => {
                log::info!("metrics are served at http://{address}/metrics");
                self.metrics = Metrics { door: Some(door), ..Metrics::default() };
            }
            Err(error) if !self.metrics.has_complained => {
                log::error!("cannot serve metrics at {address}: {error}");
                self.metrics.has_complained = true;
            }
            Err(_) => {}
        }
    }

    pub(super) fn is_scrape(&self, fd: RawFd) -> bool {
        self.metrics.door.as_ref().is_some_and(|door| door.is_ours(fd))
    }

    pub(super) fn hear_scraper(&mut self, fd: RawFd, now: Duration) {
        // Aside, so that the page can be made of all the rest.
        let Some(mut door) = self.metrics.door.take() else { return };
        let mut told = self.metrics.told.take().filter(|(at, _)| now.saturating_sub(*at) < KEPT_FOR);
        door.handle_ready(fd, now, || match &told {
            Some((_, text)) => text.clone(),
            None => {
                let text = self.metrics_page();
                told = Some((now, text.clone()));
                text
            }
        });
        (self.metrics.door, self.metrics.told) = (Some(door), told);
    }

    fn metrics_page(&mut self) -> String {
        let mut snapshot = Snapshot {
            health: self.directories.health(&self.config),
            ruleset: host::observe_ruleset().unwrap_or_default(),
            uptime_s: since_boot().as_secs(),
            ..Snapshot::default()
        };
        for (name, watch) in &self.watches {
            snapshot.tracks.insert(name.clone(), track(watch));
        }
        let gauges = self.gauges();
        // Lent for the time of the page: they are large.
        snapshot.network = std::mem::take(&mut self.network);
        snapshot.config = std::mem::take(&mut self.config);
        let text = metrics_text(&snapshot, &gauges, &self.problems);
        (self.network, self.config) = (snapshot.network, snapshot.config);
        text
    }
}

/// What its status files say, without reading them.
fn track(watch: &Watch) -> Track {
    let found = watch.link.snapshot();
    let seconds = |time: Option<Duration>| time.map_or(0, |time| time.as_secs());
    Track {
        is_alive: true,
        started: Some(u64::from(found.status != crate::health::Status::Disabled)),
        status: Some(found.status.name().to_owned()),
        online_since_s: seconds(found.online_since),
        offline_since_s: seconds(found.offline_since),
        score: found.score.into(),
        lost: found.lost.into(),
        turn: found.turn.into(),
        time_s: seconds(found.time),
        ..Track::default()
    }
}
