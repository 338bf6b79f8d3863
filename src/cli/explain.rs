//! `mwan3 explain`: what is asked, in words, becomes a packet; what the kernel's sets hold is asked there.

use std::net::IpAddr;

use serde_json::Value;

use crate::address::Family;
use crate::config::{self, Protocol};
use crate::network::Network;
use crate::plan::explain::usual_device;
use crate::plan::{Explanation, Question, Situation, TABLE, explain, protocol_number};
use crate::report::{Flow, Snapshot, explain_json, explain_text, flow_text, flows_json};
use crate::system::conntrack::{self, Connection};
use crate::system::failure::{Result, failure};
use crate::system::nftables::set_holds;

use super::options::Arguments;
use super::{ExitCode, show};

const USAGE: &str = "Usage: mwan3 explain [--from SOURCE%INTERFACE] DESTINATION [PROTOCOL [PORT]]\n\
                     \u{20}      mwan3 explain --flow SOURCE DESTINATION [PROTOCOL [PORT]]";
/// Of the connections that fit, those that are explained.
const MOST_FLOWS: usize = 32;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What a person or a page asks; all but the destination may be left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// `ADDRESS`, `ADDRESS%INTERFACE` or `%INTERFACE`.
    pub from: Option<&'a str>,
    pub destination: &'a str,
    pub protocol: Option<&'a str>,
    /// For ICMP the type.
    pub port: Option<&'a str>,
    pub source_port: Option<u16>,
    pub mark: Option<&'a str>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    let from = match (arguments.is_flow, &words[..]) {
        (true, [source, ..]) => Some(*source),
        _ => arguments.from.as_deref().and_then(|path| path.to_str()),
    };
    let rest = words.get(usize::from(arguments.is_flow)..).unwrap_or_default();
    let ([destination] | [destination, _] | [destination, _, _]) = rest else {
        complain!("{USAGE}");
        return Ok(2);
    };
    let asked = Asked {
        from,
        destination,
        protocol: rest.get(1).copied(),
        port: rest.get(2).copied(),
        source_port: arguments.source_port,
        mark: arguments.mark.as_deref(),
    };
    let snapshot = show::snapshot()?;
    let question = match question(&asked, &snapshot) {
        Ok(question) => question,
        Err(mistake) => {
            complain!("mwan3: {mistake}");
            return Ok(2);
        }
    };
    if arguments.is_flow {
        return explain_flows(arguments, &snapshot, &question);
    }
    let answer = explain(&situation(&snapshot), &question, &ask_kernel);
    match arguments.is_json {
        true => say!("{}", json(&snapshot, &question, &answer)),
        false => say!("{}", explain_text(&snapshot.config, &question, &answer).trim_end()),
    }
    if !snapshot.ruleset.exists {
        complain!("mwan3: the service is stopped: this is what it would do");
    }
    Ok(show::tell_drift(arguments, &snapshot))
}

/// The same in one call, for ubus: an object with `error` where the question makes no sense.
pub fn answer(asked: &Asked<'_>) -> Result<Value> {
    let snapshot = show::snapshot()?;
    Ok(match question(asked, &snapshot) {
        Ok(question) => {
            let answer = explain(&situation(&snapshot), &question, &ask_kernel);
            json(&snapshot, &question, &answer)
        }
        Err(mistake) => serde_json::json!({ "error": mistake.to_string() }),
    })
}

fn json(snapshot: &Snapshot, question: &Question, answer: &Explanation<'_>) -> Value {
    let mut value = explain_json(&snapshot.config, question, answer);
    if let Some(object) = value.as_object_mut() {
        object.insert("running".to_owned(), snapshot.ruleset.exists.into());
    }
    value
}

fn situation(snapshot: &Snapshot) -> Situation<'_> {
    let Snapshot { config, network, health, rules, .. } = snapshot;
    Situation { config, network, health, other_rules: rules }
}

fn ask_kernel(set: &str, address: IpAddr) -> Option<bool> {
    set_holds(TABLE, set, address)
}

fn question(asked: &Asked<'_>, snapshot: &Snapshot) -> Result<Question> {
    let destination = address(asked.destination)?;
    let family = Family::of(destination);
    let (source, input_device) = match asked.from {
        Some(from) => whence(from, &snapshot.network)?,
        None => (None, None),
    };
    if source.is_some_and(|source| Family::of(source) != family) {
        return Err(failure!("source and destination are of different families"));
    }
    let protocol = match asked.protocol.map(config::protocol) {
        None | Some(Ok(Protocol::Any)) => None,
        Some(Ok(protocol)) => protocol_number(protocol, family),
        Some(Err(reason)) => return Err(failure!("'{}' is {reason}", asked.protocol.unwrap_or_default())),
    };
    let number = match asked.port {
        None => None,
        Some(port) => Some(port.parse::<u16>().map_err(|_| failure!("'{port}' is no port"))?),
    };
    let echo_request = match protocol {
        Some(ICMP) => Some(8),
        Some(ICMPV6) => Some(128),
        _ => None,
    };
    Ok(Question {
        source,
        destination,
        protocol,
        source_port: asked.source_port,
        destination_port: number.filter(|_| echo_request.is_none()),
        icmp_type: echo_request.map(|usual| number.and_then(|kind| u8::try_from(kind).ok()).unwrap_or(usual)),
        input_device,
        mark: asked.mark.map_or(Ok(0), mark)?,
    })
}

/// Names are refused: one may stand for several addresses, and the answer would depend on which.
fn address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| failure!("'{text}' is no address; look a name up first, as with nslookup"))
}

/// Source address and the device it comes in by; none for the router's own.
fn whence(text: &str, network: &Network) -> Result<(Option<IpAddr>, Option<String>)> {
    let (source, interface) = match text.split_once('%') {
        Some((source, interface)) => (source, Some(interface)),
        None => (text, None),
    };
    let source = if source.is_empty() { None } else { Some(address(source)?) };
    if let Some(interface) = interface {
        let logical = network.interfaces.get(interface).and_then(|found| found.device.clone());
        let device = logical.or_else(|| network.device(interface).map(|found| found.name.clone()));
        return match device {
            Some(device) => Ok((source, Some(device))),
            None => return Err(failure!("'{interface}' is no interface with a device, and no device")),
        };
    }
    match source.and_then(|source| usual_device(network, source)) {
        Some(device) => Ok((source, device)),
        None => {
            Err(failure!("no route leads to {text}: say by which interface it comes in, {text}%INTERFACE"))
        }
    }
}

fn mark(text: &str) -> Result<u32> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| failure!("'{text}' is no mark"))
}

fn explain_flows(arguments: &Arguments, snapshot: &Snapshot, question: &Question) -> Result<ExitCode> {
    let (mut found, mut more) = (Vec::new(), 0);
    let listed = conntrack::for_each(None, |connection| {
        if is_meant(&connection, question) {
            if found.len() < MOST_FLOWS { found.push(connection) } else { more += 1 }
        }
    });
    listed.map_err(|error| failure!("cannot list connections: {error} (is nf_conntrack_netlink loaded?)"))?;
    let situation = situation(snapshot);
    let mut flows = Vec::new();
    for connection in &found {
        let flow = flow(connection, question);
        // As its first packet: nobody had marked it.
        let fresh = Question { mark: 0, ..flow.question.clone() };
        flows.push((flow, explain(&situation, &fresh, &ask_kernel)));
    }
    if arguments.is_json {
        say!("{}", flows_json(&snapshot.config, &flows));
    } else {
        flows
            .iter()
            .for_each(|(flow, today)| say!("{}", flow_text(&snapshot.config, flow, today).trim_end()));
        if more > 0 {
            say!("and {more} more connections like these");
        }
        if flows.is_empty() {
            say!("no such connection");
        }
    }
    Ok(u8::from(flows.is_empty()))
}

fn is_meant(connection: &Connection, question: &Question) -> bool {
    let tuple = &connection.original;
    let is = |wanted: Option<u16>, port: fn(&(u16, u16)) -> u16| {
        wanted.is_none_or(|wanted| tuple.ports.as_ref().map(port) == Some(wanted))
    };
    question.source.is_none_or(|source| source == tuple.source)
        && question.destination == tuple.destination
        && question.protocol.is_none_or(|protocol| protocol == tuple.protocol)
        && is(question.source_port, |ports| ports.0)
        && is(question.destination_port, |ports| ports.1)
}

fn flow(connection: &Connection, asked: &Question) -> Flow {
    let tuple = &connection.original;
    Flow {
        question: Question {
            source: Some(tuple.source),
            protocol: Some(tuple.protocol),
            source_port: tuple.ports.map(|ports| ports.0),
            destination_port: tuple.ports.map(|ports| ports.1),
            mark: connection.mark,
            ..asked.clone()
        },
        is_answered: connection.is_answered(),
        answered_to: connection.reply.destination,
    }
}
