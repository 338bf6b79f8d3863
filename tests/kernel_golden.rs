//! Every golden case in a real kernel: what nft reads from the text and what we send as messages is one
//! table, and what was put there reads back as what was planned.

mod cases;

use std::collections::BTreeSet;

use cases::{Case, all_cases};
use lab::Namespace;
use mwan3::network::change::{Leftovers, Observed, RoutingChange, RoutingChanges, Wanted, diff};
use mwan3::network::{Device, IpRule, Network, OUR_PROTOCOL, Route, RouteKey, TABLE_LOCAL};
use mwan3::nft;
use mwan3::plan::{Plan, TABLE, plan};
use mwan3::system::{nftables, route};

const FEWEST_CASES: usize = 60;
/// RTPROT_KERNEL: routes that follow from an address.
const FROM_THE_KERNEL: u8 = 2;

#[test]
fn text_and_messages_of_every_case_make_the_same_table() {
    in_every_case(|case, plan| {
        let table = plan.ruleset.as_ref().expect("a plan to run has a table");
        let by_text = namespace();
        by_text.nft(&table.to_string()).map_err(|error| error.to_string())?;
        let by_messages = namespace();
        by_messages.run(|| {
            let nothing = nftables::observe(TABLE).expect("observed");
            nftables::apply(TABLE, &nft::diff(&nothing, Some(table))).map_err(|error| error.to_string())
        })?;
        let texts = [&by_text, &by_messages].map(table_text);
        assert!(texts[0].lines().count() > 20, "{}: {}", case.name, texts[0]);
        same(&texts[0], &texts[1])
    });
}

#[test]
fn the_changes_that_a_start_shows_are_commands_that_make_the_table() {
    in_every_case(|_, plan| {
        let table = plan.ruleset.as_ref().expect("a plan to run has a table");
        let [by_text, by_commands] = [(); 2].map(|()| namespace());
        by_text.nft(&table.to_string()).map_err(|error| error.to_string())?;
        let nothing = nft::Observed::default();
        let changes = nft::diff(&nothing, Some(table));
        let commands: String = changes.iter().map(|change| format!("{change}\n")).collect();
        by_commands.nft(&commands).map_err(|error| error.to_string())?;
        same(&table_text(&by_text), &table_text(&by_commands))
    });
}

#[test]
fn the_table_of_every_case_reads_back_as_planned_and_goes_without_a_trace() {
    in_every_case(|_, plan| {
        let namespace = namespace();
        namespace.run(|| {
            let observe = || nftables::observe(TABLE).expect("observed");
            let load = |wanted: Option<&nft::Table>| {
                let observed = observe();
                let changes = nft::diff(&observed, wanted);
                nftables::apply(TABLE, &changes).map_err(|error| error.to_string())?;
                Ok::<usize, String>(changes.len())
            };
            load(plan.ruleset.as_ref())?;
            let observed = observe();
            let left: Vec<String> =
                nft::diff(&observed, plan.ruleset.as_ref()).iter().map(ToString::to_string).collect();
            if !left.is_empty() {
                return Err(format!("would be changed again: {left:#?}"));
            }
            let removed = load(None)?;
            match (removed, observe().exists) {
                (1, false) => Ok(()),
                other => Err(format!("removed in so many steps, still there: {other:?}")),
            }
        })?;
        same("", &namespace.sh("nft list ruleset"))
    });
}

#[test]
fn rules_and_routes_of_every_case_read_back_as_planned_and_go_without_a_trace() {
    in_every_case(|case, plan| {
        let router = namespace();
        build(&router, &case.network)?;
        let listings = ["ip -4 rule", "ip -6 rule", "ip route show table all", "ip -6 route show table all"];
        let text = || listings.map(|line| router.sh(line)).concat();
        // The kernel goes on making its own routes while links come up.
        let is_of_others = |line: &&str| !line.contains("proto kernel");
        let listing =
            || text().lines().filter(is_of_others).map(|line| format!("{line}\n")).collect::<String>();
        let before = listing();

        router.run(|| {
            let changes = routing_changes(plan);
            if !changes.conflicts.is_empty() {
                return Err(format!("conflicts: {:?}", changes.conflicts));
            }
            apply([changes.before, changes.after].concat())
        })?;
        let held = router.run(|| route::observe().expect("observed"));
        let rules = held.rules.iter().filter(|rule| rule.protocol == OUR_PROTOCOL).map(IpRule::canonical);
        same_sets(plan.rules.iter().map(IpRule::canonical), rules)?;
        let routes = held.routes.iter().filter(|route| route.protocol == OUR_PROTOCOL).map(Route::canonical);
        let planned = plan.routes.iter().map(|route| Route { protocol: OUR_PROTOCOL, ..route.canonical() });
        same_sets(planned, routes)?;
        let again = router.run(|| routing_changes(plan));
        if !again.is_empty() {
            return Err(format!("would be changed again: {again:#?}"));
        }

        router.run(|| {
            let changes = routing_changes(&Plan::default());
            apply([changes.before, changes.after].concat())
        })?;
        same(&before, &listing())
    });
}

/// Runs the check on every case and tells all that failed.
fn in_every_case(check: impl Fn(&Case, &Plan) -> Result<(), String>) {
    if !lab::is_available() {
        return;
    }
    let cases = all_cases();
    assert!(cases.len() >= FEWEST_CASES, "only {} cases found", cases.len());
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let plan = plan(&case.config, &case.network, &case.health);
            Some(format!("{}: {}", case.name, check(case, &plan).err()?))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} cases\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn namespace() -> Namespace {
    Namespace::new("case").expect("a namespace")
}

/// As nft lists it, without counts. Elements that the kernel keeps by hash come in any order.
fn table_text(namespace: &Namespace) -> String {
    let listing = namespace.sh("nft -s list table inet mwan3");
    listing.lines().map(|line| with_sorted_elements(line) + "\n").collect()
}

fn with_sorted_elements(line: &str) -> String {
    let Some((start, rest)) = line.split_once(" { ") else { return line.to_owned() };
    let Some((elements, end)) = rest.rsplit_once(" }") else { return line.to_owned() };
    let mut elements: Vec<&str> = elements.split(", ").collect();
    elements.sort_unstable();
    format!("{start} {{ {} }}{end}", elements.join(", "))
}

fn routing_changes(plan: &Plan) -> RoutingChanges {
    let held = route::observe().expect("observed");
    let (own, foreign): (Vec<Route>, Vec<Route>) =
        held.routes.into_iter().partition(|route| route.protocol == OUR_PROTOCOL);
    diff(
        Observed { rules: &held.rules, own_routes: &own, foreign_routes: &foreign },
        Wanted { rules: &plan.rules, routes: &plan.routes },
        Leftovers::Keep,
    )
}

fn apply(changes: Vec<RoutingChange>) -> Result<(), String> {
    let failures: Vec<String> = route::apply(&changes).iter().map(ToString::to_string).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// The case's devices, all as veth, with its addresses, nexthop objects and everybody's routes.
fn build(router: &Namespace, network: &Network) -> Result<(), String> {
    let mut lines = String::new();
    let devices = network.devices.iter().filter(|device| device.name != "lo");
    for (number, device) in devices.enumerate() {
        lines += &device_lines(number, device);
    }
    for route in network.routes.iter() {
        if let (Some(id), [hop]) = (route.nexthop_id, &route.hops[..]) {
            let via = hop.gateway.map(|gateway| format!("via {gateway}")).unwrap_or_default();
            let device = hop.device.as_deref().expect("a nexthop object has a device");
            lines += &format!("nexthop replace id {id} {via} dev {device}\n");
        }
    }
    router.batch(&lines).map_err(|error| error.to_string())?;
    router.run(|| {
        // Most routes of the kernel came with the addresses; one to a peer did not.
        let held = route::observe().expect("observed").routes;
        let held: BTreeSet<RouteKey> = held.iter().map(Route::key).collect();
        let is_missing = |route: &&Route| route.protocol != FROM_THE_KERNEL || !held.contains(&route.key());
        let of_others =
            network.routes.iter().filter(|route| route.table != TABLE_LOCAL).filter(is_missing).cloned();
        // What a gateway is reached by comes before what goes through it.
        let (through, direct): (Vec<Route>, Vec<Route>) =
            of_others.partition(|route| route.hops.iter().any(|hop| hop.gateway.is_some()));
        apply(direct.into_iter().chain(through).map(RoutingChange::AppendRoute).collect())
    })
}

fn device_lines(number: usize, device: &Device) -> String {
    let name = &device.name;
    let mut lines = format!("link add {name} type veth peer name peer{number}\n");
    if device.carrier {
        lines += &format!("link set peer{number} up\n");
    }
    if device.up {
        lines += &format!("link set {name} up\n");
    }
    for one in &device.addresses {
        let nodad = if one.address.is_ipv6() { " nodad" } else { "" };
        lines += &format!("addr add {}/{} dev {name}{nodad}\n", one.address, one.length);
    }
    lines
}

fn same_sets<T: Ord + ToString>(
    planned: impl Iterator<Item = T>,
    held: impl Iterator<Item = T>,
) -> Result<(), String> {
    let planned: BTreeSet<T> = planned.collect();
    let held: BTreeSet<T> = held.collect();
    let text = |set: &BTreeSet<T>| set.iter().map(|one| one.to_string() + "\n").collect::<String>();
    same(&text(&planned), &text(&held))
}

fn same(expected: &str, found: &str) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (expected, found) = (lines(expected), lines(found));
    let gone = expected.iter().filter(|line| !found.contains(line)).map(|line| format!("- {line}\n"));
    let new = found.iter().filter(|line| !expected.contains(line)).map(|line| format!("+ {line}\n"));
    Err(format!("differs\n{}", gone.chain(new).take(20).collect::<String>()))
}
