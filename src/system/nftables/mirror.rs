//! What sets of somebody else's table hold, for copies of them: rules cannot look into another table.

use crate::address::{Family, Prefix, Span, merge_spans, span_prefixes};
use crate::sorted::{SortedMap, SortedSet};

use super::super::netlink::{self, NetlinkError, Socket};
use super::decode::{self, DecodedSet};
use super::numbers::{message, set};
use super::{ATTEMPTS, Questions, request_in};

type Contents = SortedMap<String, Vec<Prefix>>;

/// The addresses in those of the named sets that exist and hold addresses, timeouts left aside. Sets of
/// anything else, maps and concatenations are passed over.
pub fn address_sets(table: &str, names: &SortedSet<&str>) -> Result<Contents, NetlinkError> {
    if names.is_empty() {
        return Ok(Contents::new());
    }
    let mut socket = Socket::open(netlink::NETFILTER)?;
    for _ in 1..ATTEMPTS {
        match read_once(&mut socket, table, names) {
            Ok((contents, true)) => return Ok(contents),
            // A set changed or went away between two questions.
            Ok(_) | Err(NetlinkError { errno: libc::ENOENT, .. }) => {}
            Err(error) => return Err(error),
        }
    }
    read_once(&mut socket, table, names).map(|(contents, _)| contents)
}

/// The contents, and whether all of them were seen at one time.
fn read_once(
    socket: &mut Socket,
    table: &str,
    names: &SortedSet<&str>,
) -> Result<(Contents, bool), NetlinkError> {
    let mut questions = Questions { socket, generations: Vec::new() };
    let answers = match questions.ask(message::GET_SET, &request_in(set::TABLE, table)) {
        // There is no such table.
        Err(NetlinkError { errno: libc::ENOENT, .. }) => Vec::new(),
        answers => answers?,
    };
    let mut contents = Contents::new();
    for found in answers.iter().filter_map(|answer| decode::set(&answer.payload, table)) {
        if let Some(family) = family_of(&found).filter(|_| names.contains(found.name.as_str())) {
            let spans = questions.addresses(table, &found, family)?;
            let prefixes = spans.into_iter().flat_map(|span| span_prefixes(family, span)).collect();
            contents.insert(found.name, prefixes);
        }
    }
    Ok((contents, questions.are_of_one_generation()))
}

fn family_of(set: &DecodedSet) -> Option<Family> {
    match set.key? {
        ("ipv4_addr", _) => Some(Family::Ipv4),
        ("ipv6_addr", _) => Some(Family::Ipv6),
        _ => None,
    }
}

impl Questions<'_> {
    fn addresses(
        &mut self,
        table: &str,
        set: &DecodedSet,
        family: Family,
    ) -> Result<Vec<Span>, NetlinkError> {
        let width = usize::from(family.bits() / 8);
        let edges = self.edges(table, &set.name, width)?;
        Ok(if set.is_interval {
            merge_spans(decode::spans(edges, width))
        } else {
            merge_spans(edges.iter().map(|edge| Span::one(edge.value)).collect())
        })
    }
}
