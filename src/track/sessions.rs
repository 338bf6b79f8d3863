//! Running flows after a change: which of them are forgotten now, which later, and what is said of policies that wait.
//! The decisions are `plan::session`'s; flows are told apart by mark (the uplink) and label (the policy).

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::address::Family;
use crate::config::SessionFate;
use crate::plan::{Flow, Forgetting, PolicyStand, Spared, forgotten, stands, uplinks};
use crate::reconcile::Outcome;
use crate::system::conntrack::{self, Connection, MarkFilter};
use crate::system::files::Directories;
use crate::system::netlink::NetlinkError;

use super::Tracker;

const UDP: u8 = 17;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// After the last reconcile.
    stands: Vec<PolicyStand>,
    draining: Vec<Draining>,
}

/// Flows that may go on until then (`drain`).
#[derive(Debug)]
struct Draining {
    policy: String,
    family: Family,
    until: Duration,
    /// Of an uplink that failed: its mark. Else those of a tier that only stood in.
    failed: Option<u32>,
}

impl Sessions {
    /// As an earlier tracker left them.
    pub fn adopted(directories: &Directories) -> Sessions {
        let text = directories.read_draining();
        Sessions { stands: Vec::new(), draining: text.lines().filter_map(Draining::parse).collect() }
    }

    pub fn deadline(&self) -> Option<Duration> {
        self.draining.iter().map(|one| one.until).min()
    }

    fn stand(&self, policy: &str, family: Family) -> Option<&PolicyStand> {
        self.stands.iter().find(|stand| stand.policy == policy && stand.family == family)
    }
}

impl Tracker {
    /// The kernel has just been changed: flows follow.
    pub(super) fn see_policies(&mut self, outcome: &Outcome, now: Duration) {
        let uplinks = uplinks(&self.config, &outcome.host.network, &outcome.health);
        let after = stands(&self.config, &uplinks, &outcome.health);
        // One that is over and still stands only waits for something to use.
        for until in after.iter().filter_map(|stand| stand.held_until).filter(|until| *until > now) {
            self.next_look = self.next_look.min(until);
        }
        let before = std::mem::replace(&mut self.sessions.stands, after);
        self.tell_holds(&before, now);
        for forgetting in forgotten(&before, &self.sessions.stands) {
            self.forget_or_drain(forgetting, now);
        }
    }

    /// Connections of an uplink that just died would go on into the void, unless their policy says otherwise.
    pub(super) fn forget_failed(
        &mut self,
        mark: u32,
        family: Family,
        now: Duration,
    ) -> Result<(), NetlinkError> {
        let filter = self.marked(mark);
        let differs =
            |stand: &&PolicyStand| stand.family == family && stand.fate_on_fail() != SessionFate::Drop;
        let different: Vec<PolicyStand> = self.sessions.stands.iter().filter(differs).cloned().collect();
        if different.is_empty() {
            return conntrack::flush_marked(filter);
        }
        let mask = self.config.globals.mask.bits();
        conntrack::forget(Some(filter), &mut |connection| {
            let flow = flow(connection, mask);
            match different.iter().find(|stand| stand.owns(&flow)).map(PolicyStand::fate_on_fail) {
                None | Some(SessionFate::Drop) => true,
                Some(SessionFate::DropUdp) => flow.is_udp,
                Some(SessionFate::Keep | SessionFate::Drain { .. }) => false,
            }
        })?;
        for stand in different {
            if let fate @ SessionFate::Drain { .. } = stand.fate_on_fail() {
                let forgetting = stand.forgetting(fate, Spared::AllBut(mark));
                forgetting.into_iter().for_each(|forgetting| self.forget_or_drain(forgetting, now));
            }
        }
        Ok(())
    }

    /// No answer can reach these any more, whatever policies say.
    pub(super) fn forget_gone_address(&self, mark: u32, address: IpAddr) {
        let forgotten =
            conntrack::forget(Some(self.marked(mark)), &mut |one| one.reply.destination == address);
        tell(forgotten.map(|count| (count, format!("of the address {address}, which is gone"))));
    }

    pub(super) fn end_draining(&mut self, now: Duration) {
        let (due, draining): (Vec<Draining>, Vec<Draining>) =
            std::mem::take(&mut self.sessions.draining).into_iter().partition(|one| one.until <= now);
        self.sessions.draining = draining;
        if due.is_empty() {
            return;
        }
        for drained in due {
            if let Some(forgetting) = self.drained(&drained) {
                self.forget(&forgetting);
            }
        }
        self.write_draining();
    }

    /// None where things have changed so that these flows are where they belong.
    fn drained(&self, drained: &Draining) -> Option<Forgetting> {
        let stand = self.sessions.stand(&drained.policy, drained.family)?;
        let spared = match drained.failed {
            Some(mark) => {
                let works = |mark| self.watches.values().any(|one| one.mark == mark && one.link.usable());
                if works(mark) {
                    return None;
                }
                Spared::AllBut(mark)
            }
            None => {
                stand.tier?;
                Spared::Only(stand.marks.clone())
            }
        };
        stand.forgetting(SessionFate::Drop, spared)
    }

    fn forget_or_drain(&mut self, forgetting: Forgetting, now: Duration) {
        if forgetting.after.is_zero() {
            return self.forget(&forgetting);
        }
        let failed = match forgetting.spared {
            Spared::AllBut(mark) => Some(mark),
            Spared::Only(_) => None,
        };
        let (policy, family) = (forgetting.policy, forgetting.family);
        self.sessions
            .draining
            .retain(|one| one.policy != policy || one.family != family || one.failed != failed);
        let until = now.saturating_add(forgetting.after);
        self.sessions.draining.push(Draining { policy, family, until, failed });
        self.write_draining();
    }

    fn forget(&self, forgetting: &Forgetting) {
        let mask = self.config.globals.mask.bits();
        let filter = match forgetting.spared {
            Spared::AllBut(mark) => Some(self.marked(mark)),
            Spared::Only(_) => None,
        };
        let forgotten = conntrack::forget(filter, &mut |one| forgetting.concerns(&flow(one, mask)));
        tell(forgotten.map(|count| (count, format!("of policy {}", forgetting.policy))));
    }

    fn tell_holds(&mut self, before: &[PolicyStand], now: Duration) {
        let mut told = Vec::new();
        for stand in &self.sessions.stands {
            let was = before.iter().find(|one| one.policy == stand.policy && one.family == stand.family);
            let name = format!("policy {} ({})", stand.policy, stand.family);
            match (was.and_then(|was| was.held_until), stand.held_until) {
                (None, Some(until)) => {
                    let half = Duration::from_millis(500);
                    let seconds = until.saturating_sub(now).saturating_add(half).as_secs();
                    told.push(("hold", format!("{name} left its tier: no other one for {seconds} s")));
                }
                (Some(_), None) => told.push(match stand.tier {
                    Some(tier) => ("hold-over", format!("{name} uses metric {tier}")),
                    None => ("hold-over", format!("{name} has nothing to use")),
                }),
                _ => {}
            }
        }
        for (event, reason) in told {
            log::info!("{reason}");
            self.events.record(now, "", event, &reason);
        }
    }

    fn write_draining(&self) {
        let mut text = String::new();
        for one in &self.sessions.draining {
            let failed = one.failed.map_or_else(|| "-".to_owned(), |mark| mark.to_string());
            let _ = writeln!(text, "{} {} {} {failed}", one.policy, one.family, one.until.as_millis() as u64);
        }
        if let Err(error) = self.directories.write_draining(&text) {
            log::error!("cannot write down which connections may go on: {error}");
        }
    }

    fn marked(&self, mark: u32) -> MarkFilter {
        MarkFilter { value: mark, mask: self.config.globals.mask.bits() }
    }
}

impl Draining {
    fn parse(line: &str) -> Option<Draining> {
        let [policy, family, until_ms, failed] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        Some(Draining {
            policy: policy.to_owned(),
            family: Family::BOTH.into_iter().find(|known| known.to_string() == family)?,
            until: Duration::from_millis(until_ms.parse().ok()?),
            failed: failed.parse().ok(),
        })
    }
}

fn flow(connection: &Connection, mask: u32) -> Flow {
    Flow {
        family: Family::of(connection.original.source),
        mark: connection.mark & mask,
        label: connection.label,
        is_udp: connection.original.protocol == UDP,
    }
}

/// A kernel that cannot tell its connections has been complained of elsewhere.
fn tell(forgotten: Result<(usize, String), NetlinkError>) {
    match forgotten {
        Ok((0, _)) => {}
        Ok((count, whose)) => log::debug!("forgot {count} connections {whose}"),
        Err(error) if conntrack::is_absent(&error) => {}
        Err(error) => log::warn!("cannot forget connections: {error}"),
    }
}
