//! Whether anybody on this host translates source addresses, for a hint to those who forgot.

use std::path::Path;

use super::super::netlink::{self, Attribute, NetlinkError, Payload, Socket};
use super::super::paths::text_of;
use super::numbers::expression::{self, nat};
use super::numbers::{message, rule};

/// Every family.
const ANY: u8 = 0;
const HEADER: usize = 4;
/// xt's targets, as iptables on top of nf_tables writes them: name, revision, data.
const TARGET_NAME: u16 = 1;

/// A rule anywhere is enough: whether it is the right one nobody can tell. `None` where iptables-legacy
/// may do it, which we do not read. Rules in `ours` do not count.
pub fn is_anybody_translating(ours: &str) -> Result<Option<bool>, NetlinkError> {
    let legacy = text_of(Path::new("/proc/net/ip_tables_names"));
    if legacy.lines().any(|table| table == "nat") {
        return Ok(None);
    }
    let mut socket = Socket::open(netlink::NETFILTER)?;
    let answers = socket.dump(message::GET_RULE, &Payload::new(&[ANY, 0, 0, 0]))?;
    Ok(Some(answers.iter().any(|answer| translates(&answer.payload, ours).unwrap_or(false))))
}

fn translates(payload: &[u8], ours: &str) -> Option<bool> {
    let is_ours = Attribute::within(payload, HEADER, rule::TABLE)?.text() == ours;
    let expressions = Attribute::within(payload, HEADER, rule::EXPRESSIONS)?;
    Some(!is_ours && expressions.nested().any(|expression| is_source_nat(&expression).unwrap_or(false)))
}

fn is_source_nat(expression: &Attribute<'_>) -> Option<bool> {
    let in_data = |wanted: u16| expression.inner(expression::DATA)?.inner(wanted);
    Some(match expression.inner(expression::NAME)?.text().as_str() {
        "masq" => true,
        "nat" => in_data(nat::KIND)?.be32()? == nat::SOURCE,
        "target" => {
            matches!(in_data(TARGET_NAME)?.text().as_str(), "MASQUERADE" | "SNAT" | "NETMAP")
        }
        _ => false,
    })
}
