//! What people and programs are shown, from values that were read before. The texts are the shell
//! package's to the byte where scripts and LuCI read them (golden files); `--json` says more.

mod connected;
mod explain;
mod interfaces;
mod internal;
mod metrics;
mod policies;
mod promises;
mod rules;
mod top;
mod uplinks;

use crate::address::Family;
use crate::config::Config;
use crate::json::{Json, Object};
use crate::network::{IpRule, Network, Route};
use crate::nft;
use crate::plan::Health;
use crate::sorted::SortedMap;

pub use connected::{connected_json, connected_text};
pub use explain::{Flow, explain_json, explain_text, flow_text, flows_json, verdict};
pub use interfaces::{interface_states, interfaces_json, interfaces_text};
pub use internal::{internal_json, internal_text};
pub use metrics::metrics_text;
pub use policies::{last_resort_name, members_json, policies_json, policies_text};
pub use promises::{promises_text, seconds};
pub use rules::{rules_json, rules_page_json, rules_text};
pub use top::{Picture, Row, Screen, age, sparkline, top_lines};
pub use uplinks::{Traffic, uplinks_json};

/// Everything a report may tell, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub config: Config,
    pub network: Network,
    pub health: Health,
    pub tracks: SortedMap<String, Track>,
    pub ruleset: nft::Observed,
    pub rules: Vec<IpRule>,
    /// Routes that carry our protocol number.
    pub routes: Vec<Route>,
    pub uptime_s: u64,
}

/// The status files of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Track {
    /// A tracker that is alive wrote these files.
    pub is_alive: bool,
    pub started: Option<u64>,
    pub status: Option<String>,
    /// `online` or `offline`: what policies go by.
    pub policy_state: Option<String>,
    pub online_since_s: u64,
    pub offline_since_s: u64,
    pub score: u64,
    pub lost: u64,
    pub turn: u64,
    pub time_s: u64,
    pub targets: SortedMap<String, TrackedTarget>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrackedTarget {
    pub status: Option<String>,
    pub latency_ms: u64,
    pub loss_percent: u64,
}

fn families(snapshot: &Snapshot) -> &'static [Family] {
    if snapshot.network.has_ipv6 { &Family::BOTH } else { &[Family::Ipv4] }
}

/// `mwan3 status`: all four texts.
pub fn status_text(snapshot: &Snapshot) -> String {
    [
        interfaces_text(snapshot),
        policies_text(snapshot),
        connected_text(snapshot),
        rules_text(snapshot, false),
    ]
    .concat()
}

pub fn status_json(snapshot: &Snapshot) -> Json {
    let mut object = Object::new();
    object.put("interfaces", interfaces_json(snapshot, None));
    object.put("connected", connected_json(snapshot));
    object.put("policies", policies_json(snapshot));
    object.put("rules", rules_json(snapshot));
    Json::Object(object)
}
