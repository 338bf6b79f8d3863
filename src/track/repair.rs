//! Repair without a fight: who undoes our work again and again is answered more and more slowly.

use std::time::Duration;

/// This many repairs within the window are taken for bad luck.
const TOLERATED: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct RepairGuard {
    repairs: Vec<Duration>,
}

impl RepairGuard {
    /// True when it has become a fight.
    pub fn repaired(&mut self, now: Duration) -> bool {
        self.repairs.push(now);
        self.forget(now);
        self.repairs.len() > TOLERATED
    }

    /// How long to wait before the next repair: nothing at first, then doubling from one second.
    pub fn pause(&mut self, now: Duration) -> Duration {
        self.forget(now);
        match self.repairs.len().checked_sub(TOLERATED) {
            None | Some(0) => Duration::ZERO,
            Some(beyond) => {
                let doublings = u32::try_from(beyond - 1).unwrap_or(6).min(6);
                Duration::from_secs(1 << doublings).min(LONGEST_PAUSE)
            }
        }
    }

    fn forget(&mut self, now: Duration) {
        self.repairs.retain(|at| now.saturating_sub(*at) <= WINDOW);
    }
}
