//! The idea of the whole program: `plan(config, network, health)` is what the kernel should hold. Pure and
//! total: any configuration gives a plan, and the empty configuration nearly an empty one.

mod default_route;
mod dispatch;
pub mod explain;
mod health;
mod hold;
mod known;
mod name;
mod own_traffic;
mod policy;
mod routing;
mod rule_test;
mod rules;
mod ruleset;
mod session;
mod uplink;

use std::fmt;

use crate::config::Config;
use crate::network::{IpRule, Network, Route};
use crate::nft;
use crate::sorted::sort_by;

pub use dispatch::{Packet, compile, naive_match};
pub use explain::{Explanation, Question, Situation, explain};
pub use health::Health;
pub use hold::{LeftTier, TierInUse, tiers};
pub use known::{connected, custom};
pub use name::{counter_chain, from_chain, object_name, policy_chain};
pub use policy::{Choice, Share, choose, lost_without, percentages};
pub use rule_test::{RuleTest, protocol_name};
pub use rules::{LeftOut, RuleMatch, SetTest, protocol_number};
pub use ruleset::TABLE;
pub use session::{Flow, Forgetting, PolicyStand, Spared, forgotten, session_label, stands};
pub use uplink::{Uplink, Verdict, uplinks};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// `None` only in the empty plan, which is what `stop` asks for.
    pub ruleset: Option<nft::Table>,
    pub rules: Vec<IpRule>,
    pub routes: Vec<Route>,
    /// What could not be planned as configured just now, in words.
    pub notes: Vec<String>,
    /// Policies that wait before they use another tier (`hold`): the last resort applies to them.
    pub held: Vec<TierInUse>,
}

pub fn plan(config: &Config, network: &Network, health: &Health) -> Plan {
    let uplinks = uplinks(config, network, health);
    let mut notes = Vec::new();
    let mut routes = routing::routes(config, network, &uplinks);
    if config.globals.manage_default {
        let more = routing::families(network)
            .flat_map(|family| default_route::in_main(family, network, &uplinks, &routes))
            .collect::<Vec<_>>();
        routes.extend(more);
    }
    Plan {
        rules: routing::rules(config, network, &uplinks),
        routes,
        ruleset: Some(ruleset::ruleset(config, network, &uplinks, &mut notes)),
        notes,
        held: health.tiers.iter().filter(|tier| tier.is_held()).cloned().collect(),
    }
}

/// nft's and iproute2's syntax, one after the other.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ruleset) = &self.ruleset {
            write!(f, "{ruleset}")?;
        }
        f.write_str(&self.routing_text())
    }
}

impl Plan {
    /// The ip rules and routes, sorted, in iproute2's words with the family in front.
    pub fn routing_text(&self) -> String {
        let mut text = String::new();
        let mut rules: Vec<&IpRule> = self.rules.iter().collect();
        let mut routes: Vec<&Route> = self.routes.iter().collect();
        sort_by(&mut rules, &Ord::cmp);
        sort_by(&mut routes, &Ord::cmp);
        for rule in rules {
            text.push_str(&format!("rule {} {rule}\n", rule.family));
        }
        for route in routes {
            text.push_str(&format!("route {} {route}\n", route.family));
        }
        text
    }
}
