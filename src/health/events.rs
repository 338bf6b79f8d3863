//! A bounded list of what happened to the interfaces, numbered so that a reader can ask for what is new.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Counts from 1 over the life of the ring, without gaps.
    pub number: u64,
    pub at: Duration,
    pub interface: String,
    /// One word, such as `disconnected` or `restored`.
    pub event: String,
    pub reason: String,
}

#[derive(Clone, Debug)]
pub struct EventRing {
    events: Vec<RecordedEvent>,
    capacity: usize,
    last_number: u64,
}

impl EventRing {
    pub fn new(capacity: usize) -> EventRing {
        EventRing { events: Vec::new(), capacity: capacity.max(1), last_number: 0 }
    }

    /// The number given to the event.
    pub fn record(&mut self, at: Duration, interface: &str, event: &str, reason: &str) -> u64 {
        if self.events.len() >= self.capacity {
            self.events.remove(0);
        }
        self.last_number += 1;
        self.events.push(RecordedEvent {
            number: self.last_number,
            at,
            interface: interface.to_owned(),
            event: event.to_owned(),
            reason: reason.to_owned(),
        });
        self.last_number
    }

    pub fn last_number(&self) -> u64 {
        self.last_number
    }

    /// Oldest first. A first number above `number + 1` means that some were forgotten in between.
    pub fn after(&self, number: u64) -> impl Iterator<Item = &RecordedEvent> {
        self.events.iter().filter(move |event| event.number > number)
    }
}
