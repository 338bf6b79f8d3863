//! `mwan3 internal`: what the kernel holds, for support. Each section is a title, a line, and its content.

use crate::address::Family;
use crate::json::{Json, Object};
use crate::network::{Route, TABLE_MAIN, listing};
use crate::plan;

use super::Snapshot;

const LINE: &str = "-------------------------------------------------";
const NOTHING: &str = "No data found\n";
/// Numbered tables shown, as the shell package has it.
const TABLES: std::ops::RangeInclusive<u32> = 1..=250;

/// `version`: the distribution's release. `addresses`: the listing of the family's addresses.
pub fn internal_text(snapshot: &Snapshot, family: Family, version: &str, addresses: &str) -> String {
    let flag = match family {
        Family::Ipv4 => "-4",
        Family::Ipv6 => "-6",
    };
    let mut text = String::new();
    push_section(&mut text, "Software-Version", &format!("{version}\n"));
    push_section(&mut text, &format!("Output of \"ip {flag} a show\""), addresses);
    push_section(&mut text, &format!("Output of \"ip {flag} route show\""), &main_routes(snapshot, family));
    push_section(&mut text, &format!("Output of \"ip {flag} rule show\""), &rules(snapshot, family));
    let title = format!("Output of \"ip {flag} route list table 1-250\"");
    push_section(&mut text, &title, &numbered_tables(snapshot, family));
    push_section(&mut text, "Output of \"nft list table inet mwan3\"", &ruleset(snapshot));
    text
}

#[inline(never)]
fn push_section(text: &mut String, title: &str, content: &str) {
    let content = if content.is_empty() { NOTHING } else { content };
    text.push_str(&format!("{title}\n{LINE}\n{content}\n"));
}

pub fn internal_json(snapshot: &Snapshot) -> Json {
    let (mut routes, mut rules) = (Vec::new(), Vec::new());
    for route in &snapshot.routes {
        routes.push(route.json());
    }
    for rule in &snapshot.rules {
        rules.push(rule.json());
    }
    let mut object = Object::new();
    object.put("network", snapshot.network.json());
    object.put("routes", Json::Array(routes));
    object.put("rules", Json::Array(rules));
    let mut held = Json::Object(object);
    held.sort_all();
    held
}

fn main_routes(snapshot: &Snapshot, family: Family) -> String {
    let mut routes: Vec<&Route> = Vec::new();
    routes.extend(
        snapshot.network.routes.iter().filter(|route| route.family == family && route.table == TABLE_MAIN),
    );
    listing(routes)
}

fn rules(snapshot: &Snapshot, family: Family) -> String {
    let mut text = String::new();
    for rule in &snapshot.rules {
        if rule.family == family {
            text.push_str(&format!("{rule}\n"));
        }
    }
    text
}

fn numbered_tables(snapshot: &Snapshot, family: Family) -> String {
    let mut text = String::new();
    for table in TABLES {
        let mut routes: Vec<&Route> = Vec::new();
        for known in [&snapshot.routes, &snapshot.network.routes] {
            routes.extend(known.iter().filter(|route| route.family == family && route.table == table));
        }
        if !routes.is_empty() {
            text.push_str(&format!("Routing table {table}:\n{}\n", listing(routes)));
        }
    }
    // Sections end with one blank line already.
    text.truncate(text.trim_end_matches('\n').len() + usize::from(!text.is_empty()));
    text
}

/// The table we keep there, with the counters of the kernel. What somebody else changed is said.
fn ruleset(snapshot: &Snapshot) -> String {
    if !snapshot.ruleset.exists {
        return String::new();
    }
    let wanted = plan::plan(&snapshot.config, &snapshot.network, &snapshot.health).ruleset;
    let mut text = wanted.as_ref().map(ToString::to_string).unwrap_or_default();
    for (name, chain) in &snapshot.ruleset.chains {
        if let Some((packets, bytes)) = chain.rules.iter().find_map(|rule| rule.counter) {
            text.push_str(&format!("counter {name} packets {packets} bytes {bytes}\n"));
        }
    }
    let changes = crate::nft::diff(&snapshot.ruleset, wanted.as_ref());
    if !changes.is_empty() {
        text.push_str(&format!("# the kernel's table differs from this one in {} places\n", changes.len()));
    }
    text
}
