//! A drill: a link that works is taken as one that does not, on purpose, while its probes go on. Whatever
//! the host says of the interface meanwhile ends it.

use crate::health::HotplugAction::{Connected, Disconnected};
use crate::health::link::Link;
use crate::health::link::switching::FirstConnect;

impl Link {
    pub fn is_drilled(&self) -> bool {
        self.drilled
    }

    pub(super) fn begin_drill(&mut self) {
        let before = self.status();
        if !before.usable() {
            return;
        }
        self.drilled = true;
        self.stamp_offline();
        self.push_transition(before, "drill: taken out on purpose");
        if self.is_tracked() { self.tell(&[Disconnected], FirstConnect::No) } else { self.write_files() }
    }

    /// Back to what the probes have found meanwhile.
    pub(super) fn end_drill(&mut self) {
        let before = self.status();
        if !std::mem::take(&mut self.drilled) {
            return;
        }
        if !self.usable() {
            return self.write_files();
        }
        self.stamp_online();
        self.push_transition(before, "drill: it is over");
        if self.is_tracked() { self.tell(&[Connected], FirstConnect::No) } else { self.write_files() }
    }
}
