//! One step of bringing the kernel's routing where we want it, in the words of iproute2, and the list of
//! steps that a diff comes to.

mod diff;
mod place;

use std::fmt;

pub use diff::{Leftovers, Observed, Wanted, diff};

use super::route::RouteCommand;
use super::rule::RuleCommand;
use super::{IpRule, Route};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoutingChange {
    AddRoute(Route),
    /// In one step, so that no packet finds neither the old nor the new one.
    ReplaceRoute(Route),
    /// Behind those that have the same key.
    AppendRoute(Route),
    DeleteRoute(Route),
    AddRule(IpRule),
    DeleteRule(IpRule),
}

impl fmt::Display for RoutingChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoutingChange::AddRoute(route) => RouteCommand { verb: "add", route }.fmt(f),
            RoutingChange::ReplaceRoute(route) => RouteCommand { verb: "replace", route }.fmt(f),
            RoutingChange::AppendRoute(route) => RouteCommand { verb: "append", route }.fmt(f),
            RoutingChange::DeleteRoute(route) => RouteCommand { verb: "del", route }.fmt(f),
            RoutingChange::AddRule(rule) => RuleCommand { verb: "add", rule }.fmt(f),
            RoutingChange::DeleteRule(rule) => RuleCommand { verb: "del", rule }.fmt(f),
        }
    }
}

/// In two parts, so that marks can be changed in between and never point at a table that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingChanges {
    /// Routes, then the rules that lead to them.
    pub before: Vec<RoutingChange>,
    /// Rules, then the routes they led to.
    pub after: Vec<RoutingChange>,
    /// What we left alone and therefore could not have.
    pub conflicts: Vec<Conflict>,
}

impl RoutingChanges {
    /// Nothing to do; there may be conflicts all the same.
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

/// Somebody else's route stands where one of ours should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    pub wanted: Route,
    pub foreign: Route,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not added: {}; somebody else's route is in its place: {}", self.wanted, self.foreign)
    }
}
