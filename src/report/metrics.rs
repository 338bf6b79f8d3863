//! `mwan3 metrics`: the state in Prometheus' text format. The first metrics bear the names that people know from
//! prometheus-node-exporter-lua-mwan3; all about an uplink carries the label `interface`.

use crate::address::Family;
use crate::json::Json;

use super::rules::counter;
use super::{Snapshot, interfaces_json, members_json};

/// Members of ubus' status, which tells times by seconds that begin anew: so they are no counters.
const STATUS: [(&str, &str, &str); 10] = [
    ("age", "mwan3_interface_age", "Seconds since the last round of probes."),
    ("online", "mwan3_interface_online", "Seconds online, 0 otherwise."),
    ("offline", "mwan3_interface_offline", "Seconds offline, 0 otherwise."),
    ("uptime", "mwan3_interface_uptime", "Seconds since the interface came up."),
    ("score", "mwan3_interface_score", "Score of the tracker."),
    ("lost", "mwan3_interface_lost", "Probes lost since the last answered round."),
    ("turn", "mwan3_interface_turn", "Rounds of probes since the last change."),
    ("enabled", "mwan3_interface_enabled", "1 if the interface is enabled."),
    ("running", "mwan3_interface_running", "1 if the interface is tracked now."),
    ("up", "mwan3_interface_up", "1 if the interface is up."),
];
const STATES: [&str; 7] =
    ["offline", "online", "disconnecting", "connecting", "disabled", "notracking", "unknown"];

/// `gauges`: the tracker's answer to the request of that name, null without one.
pub fn metrics_text(snapshot: &Snapshot, gauges: &Json, problems: &[(&str, usize)]) -> String {
    let mut page = Page::default();
    page.service(snapshot, gauges, problems);
    page.status(snapshot);
    page.tracking(snapshot, gauges);
    page.policies(snapshot);
    page.rules(snapshot);
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
    metric: &'static str,
}

impl Page {
    fn begin(&mut self, metric: &'static str, kind: &str, help: &str) {
        self.text.push_str(&format!("# HELP {metric} {help}\n# TYPE {metric} {kind}\n"));
        self.metric = metric;
    }

    fn tell(&mut self, labels: &[(&str, &str)], value: &str) {
        self.text.push_str(self.metric);
        for (position, (name, value)) in labels.iter().enumerate() {
            let mark = if position == 0 { '{' } else { ',' };
            self.text.push_str(&format!("{mark}{name}=\"{}\"", escaped(value)));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.text.push_str(&format!("{end} {value}\n"));
    }

    fn count(&mut self, labels: &[(&str, &str)], value: u64) {
        self.tell(labels, &value.to_string());
    }

    fn service(&mut self, snapshot: &Snapshot, gauges: &Json, problems: &[(&str, usize)]) {
        self.begin("mwan3_build_info", "gauge", "The version of mwan3.");
        self.tell(&[("version", env!("CARGO_PKG_VERSION"))], "1");
        self.begin("mwan3_running", "gauge", "1 if the kernel holds our rules.");
        self.count(&[], u64::from(snapshot.ruleset.exists));
        self.begin("mwan3_tracker_up", "gauge", "1 if the tracker answers.");
        self.count(&[], u64::from(!gauges.is_null()));
        self.begin("mwan3_config_problems", "gauge", "Problems in the configuration file.");
        for (severity, count) in problems {
            self.count(&[("severity", severity)], *count as u64);
        }
        let mut of_tracker = |metric, kind, member: &str, help| {
            if let Some(number) = gauges.number(member) {
                self.begin(metric, kind, help);
                self.count(&[], number);
            }
        };
        of_tracker("mwan3_tracker_uptime_seconds", "gauge", "uptime", "Seconds since the tracker started.");
        of_tracker(
            "mwan3_reconciles_total",
            "counter",
            "reconciles",
            "Looks at the whole state of the kernel.",
        );
        of_tracker("mwan3_repairs_total", "counter", "repairs", "Repairs of what somebody else changed.");
    }

    fn status(&mut self, snapshot: &Snapshot) {
        let Json::Object(interfaces) = interfaces_json(snapshot, None) else { return };
        for (member, metric, help) in STATUS {
            self.begin(metric, "gauge", help);
            for (name, status) in interfaces.members() {
                match status.get(member) {
                    Some(Json::Bool(flag)) => self.count(&[("interface", name)], u64::from(*flag)),
                    Some(value) => self.count(&[("interface", name)], value.as_u64().unwrap_or(0)),
                    None => {}
                }
            }
        }
        self.begin("mwan3_interface_status", "gauge", "1 for the state that the interface is in.");
        for (name, status) in interfaces.members() {
            for state in STATES {
                self.count(
                    &[("interface", name), ("status", state)],
                    u64::from(state == status.text("status")),
                );
            }
        }
    }

    fn tracking(&mut self, snapshot: &Snapshot, gauges: &Json) {
        let mut each = |metric, kind, member: &str, help, shown: fn(u64) -> String| {
            self.begin(metric, kind, help);
            for interface in &snapshot.config.interfaces {
                let found = gauges.get("interfaces").and_then(|all| all.get(&interface.name));
                if let Some(number) = found.and_then(|gauge| gauge.number(member)) {
                    self.tell(&[("interface", &interface.name)], &shown(number));
                }
            }
        };
        let whole = |number: u64| number.to_string();
        let (interface, gauge, counter) = ("mwan3_interface_state_seconds", "gauge", "counter");
        each(interface, gauge, "since", "Seconds since the state changed.", whole);
        let round_trip = "mwan3_interface_round_trip_seconds";
        each(round_trip, gauge, "rtt_us", "Mean round trip of the recent probes.", |us| {
            fraction(us, 1_000_000)
        });
        let loss = "mwan3_interface_loss_ratio";
        each(loss, gauge, "loss", "Share of the recent probes that were lost.", |loss| fraction(loss, 1_000));
        each("mwan3_interface_transitions_total", counter, "transitions", "Changes of the state.", whole);
        each("mwan3_interface_probes_total", counter, "probes", "Probes sent.", whole);
    }

    fn policies(&mut self, snapshot: &Snapshot) {
        let help = "Share of the new connections of the policy that a member gets now.";
        self.begin("mwan3_policy_share_ratio", "gauge", help);
        for policy in members_json(snapshot, None).as_array().unwrap_or_default() {
            let members = policy.items("members");
            for (position, member) in members.iter().enumerate() {
                // Two samples with the same labels would make the whole page invalid.
                let is_same = |other: &Json| other.text("member") == member.text("member");
                if members.iter().take(position).any(is_same) {
                    continue;
                }
                let labels = [
                    ("policy", policy.text("name")),
                    ("family", policy.text("family")),
                    ("member", member.text("member")),
                    ("interface", member.text("interface")),
                ];
                self.tell(&labels, &fraction(member.number("actual").unwrap_or(0), 1_000));
            }
        }
    }

    /// Rules that the kernel does not hold are left out.
    fn rules(&mut self, snapshot: &Snapshot) {
        let mut each = |metric, help, pick: fn((u64, u64)) -> u64| {
            self.begin(metric, "counter", help);
            for rule in &snapshot.config.rules {
                for family in Family::BOTH {
                    if let Some(counted) = counter(snapshot, rule, family) {
                        self.count(&[("rule", &*rule.name), ("family", family.name())], pick(counted));
                    }
                }
            }
        };
        each("mwan3_rule_packets_total", "First packets of connections that met the rule.", |counted| {
            counted.0
        });
        each("mwan3_rule_bytes_total", "Bytes of these packets.", |counted| counted.1);
    }
}

/// 11400 of 1000000 as 0.011400.
fn fraction(number: u64, of: u64) -> String {
    let digits = of.checked_ilog10().unwrap_or(0) as usize;
    let (whole, rest) = (number.checked_div(of).unwrap_or(0), number.checked_rem(of).unwrap_or(0));
    format!("{whole}.{rest:0digits$}")
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
