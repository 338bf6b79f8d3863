//! What sets of somebody else's table hold, for copies of them: rules cannot look into another table.

use crate::address::{Family, Prefix, Span, merge_spans, span_prefixes};
use crate::sorted::SortedMap;

use super::super::netlink::{self, NetlinkError, Socket};
use super::decode::{self, DecodedSet};
use super::{ATTEMPTS, Questions};

type Contents = SortedMap<String, Vec<Prefix>>;

/// The addresses in those of the named sets that exist and hold addresses, timeouts left aside. Sets of
/// anything else, maps and concatenations are passed over.
pub fn address_sets(table: &str, names: &[&str]) -> Result<Contents, NetlinkError> {
    if names.is_empty() {
        return Ok(Contents::new());
    }
    let mut socket = Socket::open(netlink::NETFILTER)?;
    let mut attempt = 1;
    loop {
        let mut questions = Questions { socket: &mut socket, generations: Vec::new() };
        match questions.contents(table, names) {
            Ok(contents) if questions.are_of_one_generation() || attempt == ATTEMPTS => return Ok(contents),
            Ok(_) => {}
            // A set changed or went away between two questions.
            Err(error) if error.errno == libc::ENOENT && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
        attempt += 1;
    }
}

fn family_of(set: &DecodedSet) -> Option<Family> {
    match set.key? {
        ("ipv4_addr", _) => Some(Family::Ipv4),
        ("ipv6_addr", _) => Some(Family::Ipv6),
        _ => None,
    }
}

impl Questions<'_> {
    fn contents(&mut self, table: &str, names: &[&str]) -> Result<Contents, NetlinkError> {
        let mut contents = Contents::new();
        let sets = match self.sets(table) {
            // There is no such table.
            Err(error) if error.errno == libc::ENOENT => return Ok(contents),
            sets => sets?,
        };
        for found in sets {
            if let Some(family) = family_of(&found).filter(|_| names.contains(&found.name.as_str())) {
                let mut prefixes = Vec::new();
                for span in self.addresses(table, &found, family)? {
                    prefixes.extend(span_prefixes(family, span));
                }
                contents.insert(found.name, prefixes);
            }
        }
        Ok(contents)
    }

    fn addresses(
        &mut self,
        table: &str,
        set: &DecodedSet,
        family: Family,
    ) -> Result<Vec<Span>, NetlinkError> {
        let width = usize::from(family.bits() / 8);
        let edges = self.edges(table, &set.name, width)?;
        if set.is_interval {
            return Ok(merge_spans(decode::spans(edges, width)));
        }
        let mut spans = Vec::new();
        for edge in edges {
            spans.push(Span::one(edge.value));
        }
        Ok(merge_spans(spans))
    }
}
