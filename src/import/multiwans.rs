//! cleberb/multiwans' config.yaml as ours: links, ping targets, filters, local networks, mail, status file, scripts.

use std::fmt::Write as _;

use crate::sorted::sort_by;

use super::yaml::{self, Entry};
use super::{Imported, Remark};

/// What multiwans assumes where nothing is written.
const RUN_INTERVAL: &str = "20";
const PING_TIMEOUT: &str = "3";
const STATUS_FILE: &str = "/tmp/.multiwans.status";

const NO_NEED: &[(&str, &str)] = &[
    ("company.", "messages name the host instead"),
    (
        "alerts.",
        "each change is told once, so there is nothing to repeat; see option interval of config alert",
    ),
    ("dns.", "names of targets are asked for through each uplink itself"),
];

/// Sections that are always made.
const OWN_NAMES: [&str; 6] = ["failover", "localnets", "everything", "status_file", "scripts", "mail"];

/// `folder` is that of the file: its scripts stand beside it.
pub fn multiwans(text: &str, folder: &str) -> Imported {
    let (entries, troubles) = yaml::read(text);
    let names = OWN_NAMES.iter().map(|name| (*name).to_owned()).collect();
    let mut import = Import { left: entries, out: String::new(), remarks: Vec::new(), names };
    for (line, reason) in troubles {
        import.remark(line, true, format!("not read: {reason}"));
    }
    let links = import.links();
    import.policies(&links);
    import.rules(&links);
    import.alerts(folder);
    import.report_the_rest();
    sort_by(&mut import.remarks, &|one, other| one.line.cmp(&other.line));
    Imported { text: import.out, remarks: import.remarks }
}

struct Link {
    /// Of the section here.
    name: String,
    order: Option<u32>,
    filters: Vec<Vec<Entry>>,
    /// The policy of what its filters choose.
    first: String,
}

struct Import {
    /// What has not been looked at yet.
    left: Vec<Entry>,
    out: String,
    remarks: Vec<Remark>,
    /// Of sections; UCI has one of a name, whatever its type.
    names: Vec<String>,
}

impl Import {
    fn links(&mut self) -> Vec<Link> {
        let interval = self.value("daemon.runInterval").unwrap_or_else(|| RUN_INTERVAL.to_owned());
        let timeout = self.value("ping.timeout").unwrap_or_else(|| PING_TIMEOUT.to_owned());
        let count = self.value("ping.count").unwrap_or_else(|| "1".to_owned());
        let targets = self.list("ping.targets");
        let mut links: Vec<Link> = Vec::new();
        for mut link in self.children("WANS") {
            let line = link.first().map_or(0, |entry| entry.line);
            let Some(device) = take(&mut link, "iface") else {
                self.remark(line, true, "a link without iface; skipped".to_owned());
                continue;
            };
            let name = self.unused(&device);
            if name != device {
                let text = format!(
                    "{device} is called {name} here, also in the folder of scripts and in the status file"
                );
                self.remark(line, false, text);
            }
            self.section("interface", &name);
            if let Some(note) = take(&mut link, "description") {
                self.comment(&note);
            }
            let is_enabled = take(&mut link, "enabled").is_none_or(|value| is_true(&value));
            self.option("enabled", if is_enabled { "1" } else { "0" });
            self.option("device", &device);
            if let Some(gateway) = take(&mut link, "gateway") {
                self.option("gateway", &gateway);
            }
            let own = take_list(&mut link, "ping");
            for target in if own.is_empty() { &targets } else { &own } {
                self.item("track_ip", target);
            }
            self.option("interval", &interval);
            self.option("timeout", &timeout);
            self.option("count", &count);
            // One lost pass is confirmed at once by another, instead of being believed.
            self.option("down", "2");
            self.option("confirm_interval", "1");
            self.option("up", "1");
            let order = take(&mut link, "orderFailover").and_then(|value| value.parse().ok());
            let filters = take_children(&mut link, "filters");
            self.explain_rest_of_link(&link);
            let first =
                if filters.is_empty() { String::new() } else { self.unused(&format!("{name}_first")) };
            links.push(Link { name, order, filters, first });
        }
        links
    }

    fn explain_rest_of_link(&mut self, rest: &[Entry]) {
        for entry in rest {
            let (is_lost, text) = match entry.path.as_str() {
                "ip" | "mask" => (false, "the address stays with the system's own network configuration"),
                "mark" => (false, "marks and tables follow from the order of the sections"),
                "note" => (false, "only a note"),
                path if path.starts_with("dns") => {
                    (true, "names of targets are asked for through each uplink itself")
                }
                _ => (true, "has no equivalent"),
            };
            self.remark(entry.line, is_lost, format!("{}: {text}", entry.path));
        }
    }

    /// One policy for everything, in the order of failover; for each link with filters one that begins with it.
    fn policies(&mut self, links: &[Link]) {
        let mut ordered: Vec<(u32, &str)> =
            links.iter().filter_map(|link| Some((link.order?, link.name.as_str()))).collect();
        sort_by(&mut ordered, &Ord::cmp);
        let mut members = Vec::new();
        for (position, (_, name)) in (1..).zip(&ordered) {
            members.push((*name, self.member(name, position)));
        }
        self.section("policy", "failover");
        members.iter().for_each(|(_, member)| self.item("use_member", member));
        for link in links.iter().filter(|link| !link.filters.is_empty()) {
            let own = self.member(&link.name, 0);
            self.section("policy", &link.first);
            self.item("use_member", &own);
            let others = members.iter().filter(|(name, _)| *name != link.name);
            others.for_each(|(_, member)| self.item("use_member", member));
        }
    }

    fn member(&mut self, interface: &str, metric: u32) -> String {
        let name = self.unused(&format!("{interface}_m{metric}"));
        self.section("member", &name);
        self.option("interface", interface);
        self.option("metric", &metric.to_string());
        name
    }

    fn rules(&mut self, links: &[Link]) {
        let local = self.list("localnets");
        if !local.is_empty() {
            self.section("rule", "localnets");
            self.option("family", "ipv4");
            local.iter().for_each(|network| self.item("dest_ip", network));
            self.option("use_policy", "default");
        }
        for link in links {
            for filter in &link.filters {
                let mut filter = filter.clone();
                let title = take(&mut filter, "description").unwrap_or_else(|| "filter".to_owned());
                let name = self.unused(&title);
                self.rule(&name, &link.first, filter);
            }
        }
        self.section("rule", "everything");
        self.option("family", "ipv4");
        self.option("use_policy", "failover");
    }

    fn rule(&mut self, name: &str, policy: &str, mut filter: Vec<Entry>) {
        let line = filter.first().map_or(0, |entry| entry.line);
        if take(&mut filter, "enabled").is_some_and(|value| !is_true(&value)) {
            self.remark(line, true, format!("filter {name} is disabled and left out"));
            return;
        }
        self.section("rule", name);
        self.option("family", "ipv4");
        if let Some(protocol) = take(&mut filter, "protocol") {
            self.option("proto", &protocol);
        }
        for (theirs, ours) in
            [("src", "src_ip"), ("dst", "dest_ip"), ("sports", "src_port"), ("dports", "dest_port")]
        {
            take_list(&mut filter, theirs).iter().for_each(|value| self.item(ours, value));
        }
        self.option("use_policy", policy);
        for entry in filter {
            let (is_lost, text) = match entry.path.as_str() {
                "chainMangle" => {
                    (false, "a rule here is for the router's own traffic and for what it forwards alike")
                }
                "note" => (false, "only a note"),
                _ => (true, "has no equivalent"),
            };
            self.remark(entry.line, is_lost, format!("filter {name}, {}: {text}", entry.path));
        }
    }

    fn alerts(&mut self, folder: &str) {
        let path = self.value("daemon.statusFile").unwrap_or_else(|| STATUS_FILE.to_owned());
        self.section("alert", "status_file");
        self.option("method", "status_file");
        self.option("to", &path);
        self.section("alert", "scripts");
        self.option("method", "scripts");
        self.option("to", &format!("{}/scripts", folder.trim_end_matches('/')));
        self.mail();
    }

    /// A server that wants a password is left to sendmail.
    fn mail(&mut self) {
        let mut email = self.take_under("email.");
        let Some(to) = take(&mut email, "email.to") else {
            self.left.append(&mut email);
            return;
        };
        self.section("alert", "mail");
        self.option("method", "mail");
        to.split(',').map(str::trim).for_each(|address| self.item("to", address));
        if let Some(from) =
            email.iter().position(|entry| entry.path == "email.from" && entry.value.contains('@'))
        {
            let from = email.remove(from);
            self.option("from", &from.value);
        }
        let wants_login =
            email.iter().any(|entry| matches!(&*entry.path, "email.username" | "email.password"));
        if !wants_login && let Some(host) = take(&mut email, "email.host") {
            let port = take(&mut email, "email.port").unwrap_or_else(|| "25".to_owned());
            self.option("smtp", &format!("{host}:{port}"));
        }
        for entry in email {
            let text = match &*entry.path {
                "email.from" => "not a mail address; mwan3@ and the name of the host is used",
                "email.host" | "email.port" | "email.username" | "email.password" => {
                    "has no equivalent: let the installed sendmail (msmtp or another) log in there"
                }
                _ => "has no equivalent",
            };
            self.remark(entry.line, true, format!("{}: {text}", entry.path));
        }
    }

    fn report_the_rest(&mut self) {
        for entry in std::mem::take(&mut self.left) {
            let known = NO_NEED.iter().find(|(start, _)| entry.path.starts_with(start));
            let text = known.map_or_else(
                || "has no equivalent".to_owned(),
                |(_, why)| format!("has no equivalent: {why}"),
            );
            self.remark(entry.line, true, format!("{}: {text}", entry.path));
        }
    }

    fn remark(&mut self, line: u32, is_lost: bool, text: String) {
        self.remarks.push(Remark { line, is_lost, text });
    }

    fn value(&mut self, path: &str) -> Option<String> {
        take(&mut self.left, path)
    }

    fn list(&mut self, path: &str) -> Vec<String> {
        take_list(&mut self.left, path)
    }

    fn children(&mut self, path: &str) -> Vec<Vec<Entry>> {
        take_children(&mut self.left, path)
    }

    /// From now on it is used.
    fn unused(&mut self, wanted: &str) -> String {
        let name = section_name(wanted);
        let mut free = name.clone();
        let mut number = 2;
        while self.names.contains(&free) {
            free = format!("{name}_{number}");
            number += 1;
        }
        self.names.push(free.clone());
        free
    }

    fn take_under(&mut self, start: &str) -> Vec<Entry> {
        let (taken, left) =
            std::mem::take(&mut self.left).into_iter().partition(|entry| entry.path.starts_with(start));
        self.left = left;
        taken
    }

    fn section(&mut self, kind: &str, name: &str) {
        let gap = if self.out.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.out, "{gap}config {kind} '{name}'");
    }

    fn option(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.out, "\toption {name} {}", quoted(value));
    }

    fn item(&mut self, name: &str, value: &str) {
        let _ = writeln!(self.out, "\tlist {name} {}", quoted(value));
    }

    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.out, "\t# {text}");
    }
}

fn take(entries: &mut Vec<Entry>, path: &str) -> Option<String> {
    let position = entries.iter().position(|entry| entry.path == path)?;
    Some(entries.remove(position).value)
}

/// The values of `path[0]`, `path[1]` and so on, or a single one, cut at commas.
fn take_list(entries: &mut Vec<Entry>, path: &str) -> Vec<String> {
    if let Some(single) = take(entries, path) {
        return single.split(',').map(|value| value.trim().to_owned()).collect();
    }
    take_children(entries, path).into_iter().flatten().map(|entry| entry.value).collect()
}

/// What stands below each item of a list, by its path from there.
fn take_children(entries: &mut Vec<Entry>, path: &str) -> Vec<Vec<Entry>> {
    let start = format!("{path}[");
    let (taken, left): (Vec<Entry>, Vec<Entry>) =
        std::mem::take(entries).into_iter().partition(|entry| entry.path.starts_with(&start));
    *entries = left;
    let mut children: Vec<(String, Vec<Entry>)> = Vec::new();
    for entry in taken {
        let rest = entry.path.get(start.len()..).unwrap_or_default();
        let (number, inner) = rest.split_once(']').unwrap_or((rest, ""));
        let (number, path) = (number.to_owned(), inner.trim_start_matches('.').to_owned());
        if children.last().is_none_or(|(last, _)| *last != number) {
            children.push((number, Vec::new()));
        }
        if let Some((_, entries)) = children.last_mut() {
            entries.push(Entry { path, ..entry });
        }
    }
    children.into_iter().map(|(_, entries)| entries).collect()
}

/// As UCI wants them.
fn section_name(text: &str) -> String {
    text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

fn is_true(value: &str) -> bool {
    matches!(value, "true" | "yes" | "on" | "1")
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}
