//! The recent probes of one target. Nothing here ever times out: loss is judged at the moment of asking, so
//! a late reply heals the record, and a duplicate changes nothing.

use std::time::Duration;

use crate::health::{Sequence, whole_ms, whole_us};

/// 64 records of 16 bytes: 1 KB a target, so that 60 uplinks with 4 targets fit in 64 MB routers.
pub const CAPACITY: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    records: Vec<ProbeRecord>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeRecord {
    sent_ms: u64,
    /// The round trip in microseconds, or one of the codes below.
    reply_code: u32,
    pub sequence: Sequence,
}

const WAITING: u32 = u32::MAX;
const FAILED: u32 = u32::MAX - 1;
const ABANDONED: u32 = u32::MAX - 2;
/// 71 minutes.
const LONGEST_ROUND_TRIP_US: u32 = u32::MAX - 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Waiting,
    Answered {
        round_trip_us: u32,
    },
    /// Hard evidence against it.
    Failed,
    /// Nobody waits for it any more; says nothing about the link.
    Abandoned,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    pub answered: u32,
    pub lost: u32,
    pub loss_permille: u32,
    pub mean_us: u32,
    /// The standard deviation.
    pub jitter_us: u32,
    sorted_us: Vec<u32>,
}

impl ProbeRecord {
    #[inline(never)]
    pub fn sent(self) -> Duration {
        Duration::from_millis(self.sent_ms)
    }

    pub fn reply(self) -> Reply {
        match self.reply_code {
            WAITING => Reply::Waiting,
            FAILED => Reply::Failed,
            ABANDONED => Reply::Abandoned,
            round_trip_us => Reply::Answered { round_trip_us },
        }
    }
}

impl History {
    pub fn records(&self) -> impl Iterator<Item = ProbeRecord> + '_ {
        self.records.iter().copied()
    }

    pub fn sent(&mut self, sequence: Sequence, now: Duration) {
        if self.records.len() >= CAPACITY {
            self.records.remove(0);
        }
        self.records.push(ProbeRecord { sent_ms: whole_ms(now), reply_code: WAITING, sequence });
    }

    /// What was known of the probe before; None for a duplicate or a number never sent.
    pub fn answered(&mut self, sequence: Sequence, round_trip: Duration) -> Option<Reply> {
        let record = self.find(sequence)?;
        let before = record.reply();
        if matches!(before, Reply::Answered { .. }) {
            return None;
        }
        let round_trip_us = u32::try_from(whole_us(round_trip)).unwrap_or(u32::MAX);
        record.reply_code = round_trip_us.min(LONGEST_ROUND_TRIP_US);
        Some(before)
    }

    /// Whether the probe was still waited for.
    pub fn failed(&mut self, sequence: Sequence) -> bool {
        self.stop_waiting(sequence, FAILED)
    }

    pub fn abandoned(&mut self, sequence: Sequence) -> bool {
        self.stop_waiting(sequence, ABANDONED)
    }

    pub fn measure(&self, now: Duration, timeout: Duration) -> Measured {
        let mut measured = Measured::default();
        let (now_ms, timeout_ms) = (whole_ms(now), whole_ms(timeout));
        for record in &self.records {
            match record.reply() {
                Reply::Answered { round_trip_us } => {
                    let place = measured.sorted_us.partition_point(|other| *other <= round_trip_us);
                    measured.sorted_us.insert(place, round_trip_us);
                }
                Reply::Failed => measured.lost += 1,
                Reply::Waiting if now_ms.saturating_sub(record.sent_ms) >= timeout_ms => measured.lost += 1,
                Reply::Waiting | Reply::Abandoned => {}
            }
        }
        measured.finish()
    }

    fn find(&mut self, sequence: Sequence) -> Option<&mut ProbeRecord> {
        self.records.iter_mut().rev().find(|record| record.sequence == sequence)
    }

    fn stop_waiting(&mut self, sequence: Sequence, reply_code: u32) -> bool {
        match self.find(sequence) {
            Some(record) if record.reply_code == WAITING => {
                record.reply_code = reply_code;
                true
            }
            _ => false,
        }
    }
}

impl Measured {
    /// The round trip that `percent` of the answered probes did not exceed.
    pub fn percentile_us(&self, percent: u32) -> Option<u32> {
        let last = self.sorted_us.len().checked_sub(1)?;
        let rank = (self.sorted_us.len() * percent.min(100) as usize).div_ceil(100);
        self.sorted_us.get(rank.saturating_sub(1).min(last)).copied()
    }

    fn finish(mut self) -> Measured {
        self.answered = self.sorted_us.len() as u32;
        let judged = self.answered + self.lost;
        self.loss_permille = (self.lost * 1000).checked_div(judged).unwrap_or(0);
        if self.answered > 0 {
            let count = u64::from(self.answered);
            let mean = self.sorted_us.iter().map(|us| u64::from(*us)).sum::<u64>() / count;
            // Each square fills 64 bits: they are divided before they are added up, and so are the remainders.
            let (mut variance, mut remainders) = (0, 0);
            for us in &self.sorted_us {
                let square = u64::from(*us).abs_diff(mean).pow(2);
                variance += square / count;
                remainders += square % count;
            }
            self.mean_us = mean as u32;
            self.jitter_us = square_root(variance + remainders / count);
        }
        self
    }
}

/// Rounded down, bit by bit.
fn square_root(number: u64) -> u32 {
    let mut root: u32 = 0;
    for bit in (0..u32::BITS).rev() {
        let larger = root | 1 << bit;
        if u64::from(larger).pow(2) <= number {
            root = larger;
        }
    }
    root
}
