//! Health: decides from probes and from what the kernel says whether an interface can carry traffic. Pure:
//! events and the time go in by `Link::handle`, `Action`s come out of `Link::poll_action`, and
//! `Link::deadline` says when to call again. Time counts from any fixed start; with the uptime as that start the
//! status files have the numbers that scripts expect.

mod damping;
mod events;
mod history;
mod link;
mod round;
mod score;
mod snapshot;
mod timing;
mod words;

use std::net::IpAddr;
use std::time::Duration;

pub use damping::{Damped, Damping};
pub use events::{EventRing, RecordedEvent};
pub use history::{CAPACITY, History, Measured, ProbeRecord, Reply};
pub use link::Link;
pub use score::Score;
pub use snapshot::{Adopted, Snapshot, TargetReport};
pub use timing::{
    Detection, after, detection_time, milliseconds, probe_bytes_per_hour, recovery_time, times, whole_ms,
    whole_us,
};

use crate::config::Interface;

/// Numbers a probe on the wire; unique among the probes of an interface that can still be answered.
pub type Sequence = u16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The interface is down or switched off; nothing is probed.
    Disabled,
    Offline,
    Connecting,
    Online,
    Disconnecting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    Up,
    Down,
    /// The round was decided without it.
    Skipped,
}

/// What the host says an interface stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub device: String,
    /// None lets the kernel choose.
    pub source: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFault {
    Carrier,
    Device,
    Address,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The service starts; what is there now, if the interface is up.
    Start(Option<Attachment>),
    /// The tracker starts again beside a service that never stopped.
    Adopt(Adopted, Option<Attachment>),
    InterfaceUp(Attachment),
    InterfaceDown,
    /// Another device or source address of an interface that stays up.
    AddressChanged(Attachment),
    LinkDown(LinkFault),
    LinkBack,
    /// The kernel gave up on the gateway's link-layer address.
    GatewayUnreachable(IpAddr),
    ProbeAnswered {
        target: usize,
        sequence: Sequence,
        round_trip: Duration,
    },
    /// Hard evidence: an ICMP error, a send error, a refused connection. The reason in words.
    ProbeFailed {
        target: usize,
        sequence: Sequence,
        reason: String,
    },
    ConfigChanged(Box<Interface>),
    /// `mwan3 ifdown` and `mwan3 ifup`.
    ForcedDown,
    ForcedUp,
    /// `mwan3 drill`.
    DrillBegins,
    DrillEnds,
    Deadline,
}

/// In the order in which they are to be carried out: a transition reconciles the kernel before files and
/// scripts hear of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask the target with this index in `Tracking::targets`.
    Probe {
        target: usize,
        sequence: Sequence,
    },
    Transition(Transition),
    Log(Level, String),
    WriteFiles(Box<Snapshot>),
    Announce(Announcement),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The same as `to` where an interface that was online came up once more.
    pub from: Status,
    pub to: Status,
    pub reason: String,
}

/// A hotplug event to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    pub action: HotplugAction,
    pub device: String,
    /// The `connected` of an interface that just came up; scripts that switch policies ignore it.
    pub first_connect: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotplugAction {
    Connecting,
    Connected,
    Disconnecting,
    Disconnected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Notice,
    Info,
}

impl Status {
    const ALL: [Status; 5] =
        [Status::Disabled, Status::Offline, Status::Connecting, Status::Online, Status::Disconnecting];

    /// As the STATUS file has it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Disabled => "disabled",
            Status::Offline => "offline",
            Status::Connecting => "connecting",
            Status::Online => "online",
            Status::Disconnecting => "disconnecting",
        }
    }

    pub fn from_name(name: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether policies may send traffic there.
    pub fn usable(self) -> bool {
        matches!(self, Status::Online | Status::Disconnecting)
    }
}

impl TargetState {
    /// As the TRACK_<target> file has it.
    pub fn name(self) -> &'static str {
        match self {
            TargetState::Up => "up",
            TargetState::Down => "down",
            TargetState::Skipped => "skipped",
        }
    }
}

impl HotplugAction {
    pub fn name(self) -> &'static str {
        match self {
            HotplugAction::Connecting => "connecting",
            HotplugAction::Connected => "connected",
            HotplugAction::Disconnecting => "disconnecting",
            HotplugAction::Disconnected => "disconnected",
        }
    }
}

impl Transition {
    /// One word for event lists; unlike the hotplug actions it also names the two ways back.
    pub fn name(&self) -> &'static str {
        match (self.from, self.to) {
            (_, Status::Disabled) => "disabled",
            (Status::Disconnecting, Status::Online) => "restored",
            (Status::Connecting, Status::Offline) => "fell-back",
            (_, Status::Online) => "connected",
            (_, Status::Offline) => "disconnected",
            (_, Status::Connecting) => "connecting",
            (_, Status::Disconnecting) => "disconnecting",
        }
    }
}
