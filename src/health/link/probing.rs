//! The rounds of a link: when they begin, what an answer, a failure or a deadline means for them, and the pause that
//! follows.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::TrackMethod;
use crate::health::history::Reply;
use crate::health::link::Link;
use crate::health::round::{Bar, Quorum, Round};
use crate::health::{Action, Level, Sequence, Status, TargetState, timing, words};

impl Link {
    /// The deadline is over: ask again, give up waiting, or begin the next round.
    pub(super) fn advance(&mut self) {
        let is_over = |round: &Round| round.ends() <= self.now;
        if self.round.as_ref().is_some_and(is_over) {
            self.expire_round();
        } else {
            self.ask_targets();
        }
        if self.next_round.is_some_and(|at| at <= self.now) {
            self.start_round();
        }
    }

    /// What is in flight says nothing about what comes next (another source address, other targets): begin anew.
    pub(super) fn restart_round(&mut self) {
        self.abandon_round();
        self.start_round();
    }

    pub(super) fn start_round(&mut self) {
        self.next_round = None;
        self.skip_open_targets();
        if self.is_disabled() || !self.is_tracked() {
            return;
        }
        let tracking = self.tracking();
        let tries = match self.status() {
            Status::Disconnecting => tracking.confirm_count.max(tracking.count),
            _ => tracking.count,
        };
        self.round = Some(Round::new(tracking, self.timeout(), tries, self.now));
        self.ask_targets();
        self.end_round_if_decided();
    }

    /// The round before was decided without them, and they have still not answered.
    fn skip_open_targets(&mut self) {
        let Some(round) = self.round.take() else { return };
        for (asked, target) in round.targets.iter().zip(&mut self.targets) {
            if asked.is_open() {
                target.state = Some(TargetState::Skipped);
            }
        }
    }

    pub(super) fn abandon_round(&mut self) {
        self.next_round = None;
        let Some(round) = self.round.take() else { return };
        for (asked, target) in round.targets.iter().zip(&mut self.targets) {
            for sequence in &asked.sequences {
                target.history.abandoned(*sequence);
            }
        }
    }

    pub(super) fn probe_answered(&mut self, target: usize, sequence: Sequence, round_trip: Duration) {
        let Some(known) = self.targets.get_mut(target) else { return };
        let before = known.history.answered(sequence, round_trip);
        if before != Some(Reply::Waiting) {
            return;
        }
        let bar = bar(&self.interface, self.score.is_usable());
        let Some(round) = &mut self.round else { return };
        if round.answered(target, sequence, round_trip, bar) {
            self.note_verdict(target);
            self.end_round_if_decided();
        }
    }

    pub(super) fn probe_failed(&mut self, target: usize, sequence: Sequence, reason: String) {
        let Some(known) = self.targets.get_mut(target) else { return };
        if !known.history.failed(sequence) {
            return;
        }
        let bar = bar(&self.interface, self.score.is_usable());
        let Some(round) = &mut self.round else { return };
        if round.failed(target, sequence, reason, bar) {
            self.note_verdict(target);
            self.end_round_if_decided();
        }
    }

    /// Everything in flight through that gateway is lost. Between rounds this counts as one lost round, but only the
    /// first: those that confirm it are due soon anyway.
    pub(super) fn gateway_unreachable(&mut self, gateway: IpAddr) {
        if self.is_disabled() || !self.is_tracked() || self.tracking().method == TrackMethod::Arp {
            return;
        }
        let in_flight = self.round.as_ref().is_some_and(|round| !round.decided);
        if !in_flight {
            if self.status() != Status::Online {
                return;
            }
            self.restart_round();
        }
        let reason = format!("the gateway {gateway} does not answer");
        let bar = bar(&self.interface, self.score.is_usable());
        let Some(round) = &mut self.round else { return };
        let mut judged = Vec::new();
        for (index, target) in self.targets.iter_mut().enumerate() {
            let in_flight = round.last_asked(index).filter(|sequence| target.history.failed(*sequence));
            let Some(sequence) = in_flight else { continue };
            if round.failed(index, sequence, reason.clone(), bar) {
                judged.push(index);
            }
        }
        for index in judged {
            self.note_verdict(index);
        }
        self.end_round_if_decided();
    }

    fn ask_targets(&mut self) {
        let bar = bar(&self.interface, self.score.is_usable());
        let Some(round) = &mut self.round else { return };
        for index in round.begin_try(self.now, bar) {
            let Some(target) = self.targets.get_mut(index) else { continue };
            let sequence = self.next_sequence;
            self.next_sequence = sequence.wrapping_add(1);
            target.history.sent(sequence, self.now);
            round.asked(index, sequence);
            self.actions.push(Action::Probe { target: index, sequence });
        }
    }

    fn expire_round(&mut self) {
        let bar = bar(&self.interface, self.score.is_usable());
        let Some(round) = &mut self.round else { return };
        for target in round.expire(bar) {
            self.note_verdict(target);
        }
        self.end_round_if_decided();
    }

    /// Files show a target's last verdict, also one that came too late to matter for the round.
    fn note_verdict(&mut self, index: usize) {
        let Some(round) = &self.round else { return };
        let Some(verdict) = round.targets.get(index).and_then(|asked| asked.verdict.clone()) else { return };
        let Some(target) = self.targets.get_mut(index) else { return };
        let tracking = &self.interface.tracking;
        let state = Some(if verdict.good { TargetState::Up } else { TargetState::Down });
        self.files_are_stale |= target.state != state;
        target.state = state;
        if tracking.quality.is_some() {
            target.latency_ms = Some(verdict.latency_ms);
            target.loss_percent = Some(verdict.loss_percent);
        }
        if round.decided {
            return;
        }
        if !verdict.good {
            self.lost = self.lost.saturating_add(1);
        }
        if verdict.good != self.score.is_usable() {
            let place = words::place(&self.interface.name, &self.last_device);
            let name = self.targets.get(index).map_or("", |target| &target.name);
            let score = self.score.value();
            let line = words::check_line(&self.interface.tracking, name, &place, &verdict, score);
            self.log(Level::Info, line);
        }
    }

    fn end_round_if_decided(&mut self) {
        let timeout = self.timeout();
        let Some(round) = &mut self.round else { return };
        if !round.decided {
            let quorum = round.quorum();
            if quorum == Quorum::Open {
                return;
            }
            round.decided = true;
            let reason = match quorum {
                Quorum::Reached => words::won_round(round),
                _ => words::lost_round(round, &self.interface.tracking, timeout),
            };
            self.round_ended(quorum == Quorum::Reached, &reason);
            if self.round.as_ref().is_some_and(Round::is_settled) {
                self.round = None;
            }
        } else if round.is_settled() {
            self.round = None;
            if self.files_are_stale {
                self.write_files();
            }
        }
    }

    fn round_ended(&mut self, won: bool, reason: &str) {
        let before = self.status();
        let was_winning = self.streak_is_won;
        self.streak = if was_winning == won { self.streak.saturating_add(1) } else { 1 };
        self.streak_is_won = won;
        if won {
            self.fault = None;
            self.log_lost_probes();
            self.lost = 0;
            self.score.win_round();
        } else {
            self.score.lose_round();
        }
        self.turn = self.turn.saturating_add(1);
        self.last_round = Some(self.now);
        self.next_round = Some(timing::after(self.now, self.pause_after(before, won)));
        let reason = words::in_a_row(reason, self.streak);
        self.switch_after_round(before, &reason);
    }

    fn pause_after(&self, before: Status, won: bool) -> Duration {
        let tracking = self.tracking();
        match (won, before.usable(), self.score.is_usable()) {
            (true, true, _) => timing::pause(tracking.interval_ms),
            (true, false, _) => timing::pause(tracking.recovery_interval_ms),
            (false, true, true) => timing::confirm_pause(tracking),
            (false, true, false) => timing::pause(tracking.failure_interval_ms),
            (false, false, _) => timing::offline_pause(tracking),
        }
    }

    fn log_lost_probes(&mut self) {
        if self.lost > 0 && self.score.value() < self.score.full() {
            let pings = self.lost.saturating_mul(self.tracking().count.max(1));
            let place = words::place(&self.interface.name, &self.last_device);
            let score = self.score.value();
            self.log(Level::Info, format!("Lost {pings} ping(s) on {place}. Current score: {score}"));
        }
    }
}

fn bar(interface: &crate::config::Interface, usable: bool) -> Bar<'_> {
    match &interface.tracking.quality {
        None => Bar::AnyAnswer,
        Some(quality) if usable => Bar::NotFailing(quality),
        Some(quality) => Bar::Recovered(quality),
    }
}
