//! The score: the one number from which the status follows. It falls from `up + down` by lost rounds, drops to 0 when it
//! reaches `up`, rises from 0 by answered rounds, and jumps to the top when it reaches `up`.

use crate::config::Tracking;
use crate::health::Status;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    value: u32,
    up: u32,
    down: u32,
}

impl Score {
    pub fn offline(tracking: &Tracking) -> Score {
        Score { value: 0, up: tracking.up.max(1), down: tracking.down.max(1) }
    }

    pub fn online(tracking: &Tracking) -> Score {
        let mut score = Score::offline(tracking);
        score.value = score.full();
        score
    }

    /// What status files tell, brought into the range that the status allows.
    pub fn adopted(tracking: &Tracking, status: Status, value: u32) -> Score {
        let mut score = Score::offline(tracking);
        score.value = match status {
            Status::Disabled | Status::Offline => 0,
            Status::Connecting => value.clamp(0, score.up - 1),
            Status::Disconnecting => value.clamp(score.up.saturating_add(1), score.full()),
            Status::Online => score.full(),
        };
        score
    }

    pub fn value(self) -> u32 {
        self.value
    }

    pub fn full(self) -> u32 {
        self.up.saturating_add(self.down)
    }

    pub fn status(self) -> Status {
        match self.value {
            0 => Status::Offline,
            value if value < self.up => Status::Connecting,
            value if value < self.full() => Status::Disconnecting,
            _ => Status::Online,
        }
    }

    pub fn is_usable(self) -> bool {
        self.value > self.up
    }

    pub fn win_round(&mut self) {
        self.value = self.value.saturating_add(1);
        if self.value >= self.up {
            self.value = self.full();
        }
    }

    pub fn lose_round(&mut self) {
        self.value = self.value.saturating_sub(1);
        if self.value <= self.up {
            self.value = 0;
        }
    }

    /// Keeps how far a failure or a recovery has come when `up` or `down` change.
    pub fn rescaled(self, tracking: &Tracking) -> Score {
        let mut score = Score::offline(tracking);
        score.value = if self.is_usable() {
            score.full() - (self.full() - self.value).min(score.down - 1)
        } else {
            self.value.min(score.up - 1)
        };
        score
    }
}
