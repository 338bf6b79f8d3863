//! One tracked interface: its state machine and what it stands on now. Its probes on the wire are in
//! `watch/probes.rs`.

mod probes;

use std::net::IpAddr;
use std::time::Duration;

use crate::address::Family;
use crate::config::{Interface, Tracking};
use crate::health::{Attachment, Damped, Damping, Event, Link, LinkFault, Status};
use crate::network::Network;
use crate::plan::Verdict;
use crate::sorted::SortedMap;
use crate::system::files::system_name_servers;
use crate::system::probe::Prober;

pub(super) use probes::Finding;
use probes::Probes;

/// netifd's word of an interface coming up reaches us by two ways; the second within this is the same.
const SAME_COMING_UP: Duration = Duration::from_secs(10);

pub(super) struct Watch {
    pub link: Link,
    pub mark: u32,
    seen: Option<Seen>,
    /// Whether the interface's own table has a way to anywhere.
    has_default_route: bool,
    probes: Probes,
    name_servers: Vec<IpAddr>,
    came_up_at: Option<Duration>,
    /// When it last came into another state while we looked.
    pub switched_at: Option<Duration>,
    pub transitions: u64,
    pub probes_sent: u64,
    /// The status files as they were last written, by name.
    written: SortedMap<String, String>,
    pub damping: Damping,
}

/// What the host last said of the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    attachment: Attachment,
    /// A device that comes back under its name has another.
    device_index: Option<u32>,
    fault: Option<LinkFault>,
}

impl Watch {
    pub fn new(interface: &Interface, mark: u32, damped: Damped, now: Duration) -> Watch {
        Watch {
            link: Link::new(interface.clone()),
            mark,
            seen: None,
            has_default_route: true,
            probes: Probes::default(),
            name_servers: Vec::new(),
            came_up_at: None,
            switched_at: None,
            transitions: 0,
            probes_sent: 0,
            written: SortedMap::new(),
            damping: Damping::new(interface.failback, damped, now),
        }
    }

    fn interface(&self) -> &Interface {
        self.link.interface()
    }

    /// Whether a status file has to be written: most rounds change few of them.
    pub fn is_news(&mut self, file: &str, content: &str) -> bool {
        if self.written.get(file).is_some_and(|written| written == content) {
            return false;
        }
        self.written.insert(file.to_owned(), content.to_owned());
        true
    }

    /// Somebody else may have removed them: from time to time all are written anew.
    pub fn forget_written(&mut self) {
        self.written.clear();
    }

    fn tracking(&self) -> &Tracking {
        &self.link.interface().tracking
    }

    /// The first look at the host: what the machine starts from, and what is wrong with it.
    pub fn first_look(&mut self, network: &Network) -> (Option<Attachment>, Option<LinkFault>) {
        self.seen = self.look(network);
        self.name_servers = name_servers(self.interface(), network);
        let seen = self.seen.as_ref();
        (seen.map(|seen| seen.attachment.clone()), seen.and_then(|seen| seen.fault))
    }

    /// What has changed on the host since the last look, as events.
    pub fn look_again(&mut self, network: &Network) -> Vec<Event> {
        self.name_servers = name_servers(self.interface(), network);
        let now = self.look(network);
        let before = std::mem::replace(&mut self.seen, now.clone());
        let mut events = Vec::new();
        match (before, now) {
            (None, None) => {}
            (Some(_), None) => events.push(Event::InterfaceDown),
            (None, Some(now)) => {
                events.push(Event::InterfaceUp(now.attachment));
                events.extend(now.fault.map(Event::LinkDown));
            }
            (Some(before), Some(now)) => {
                if before.attachment != now.attachment {
                    events.push(Event::AddressChanged(now.attachment));
                } else if is_replaced(before.device_index, now.device_index) {
                    events.push(Event::InterfaceUp(now.attachment));
                }
                match (before.fault, now.fault) {
                    (before, Some(fault)) if before != Some(fault) => events.push(Event::LinkDown(fault)),
                    (Some(_), None) => events.push(Event::LinkBack),
                    _ => {}
                }
            }
        }
        events
    }

    pub fn note_coming_up(&mut self, now: Duration) {
        self.came_up_at = Some(now);
    }

    /// netifd says "up" without the interface having been seen down: a reconnect, unless this is the word
    /// for what the kernel has told before.
    pub fn came_up_again(&mut self, now: Duration) -> Option<Event> {
        let is_known = self.came_up_at.is_some_and(|at| now.saturating_sub(at) < SAME_COMING_UP);
        let event = Event::InterfaceUp(self.seen.as_ref().filter(|_| !is_known)?.attachment.clone());
        self.note_coming_up(now);
        Some(event)
    }

    /// The address its flows leave with.
    pub fn source(&self) -> Option<IpAddr> {
        self.seen.as_ref().and_then(|seen| seen.attachment.source)
    }

    fn look(&self, network: &Network) -> Option<Seen> {
        let interface = self.interface();
        let (_, found) = network.true_interface(&interface.name, interface.family)?;
        let device = found.device.clone().filter(|_| found.up)?;
        let (fault, device_index) = match network.device(&device) {
            None => (Some(LinkFault::Device), None),
            Some(found) if !found.up || !found.carrier => (Some(LinkFault::Carrier), Some(found.index)),
            Some(found) => (None, Some(found.index)),
        };
        let source = network.source_address(&interface.name, interface.family);
        Some(Seen { attachment: Attachment { device, source }, device_index, fault })
    }

    /// Its device is there, and yet it is disabled: by `mwan3 ifdown`.
    pub fn is_forced_down(&self) -> bool {
        let has_device = self.link.attachment().is_some_and(|found| !found.device.is_empty());
        has_device && self.link.status() == Status::Disabled
    }

    pub fn set_default_route(&mut self, exists: bool) {
        self.has_default_route = exists;
    }

    /// Whether this gateway's silence tells about the interface.
    pub fn has_gateway(&self, network: &Network, device_index: u32, gateway: IpAddr) -> bool {
        let Some(seen) = self.seen.as_ref().filter(|seen| seen.device_index == Some(device_index)) else {
            return false;
        };
        for route in network.routes.iter().filter(|route| route.is_default()) {
            for hop in &route.hops {
                if hop.gateway == Some(gateway) && hop.device.as_deref() == Some(&seen.attachment.device) {
                    return true;
                }
            }
        }
        false
    }

    pub fn verdict(&self) -> Verdict {
        if self.link.usable() { Verdict::Online } else { Verdict::Offline }
    }

    /// Names go by their place among the targets.
    pub fn forget_names(&mut self) {
        self.probes = Probes::default();
    }

    /// Sockets are bound to what the interface stood on: a change starts over.
    pub fn close(&mut self, prober: &mut Prober) {
        self.probes.forget_open();
        prober.close_interface(self.interface().id);
    }
}

fn is_replaced(before: Option<u32>, now: Option<u32>) -> bool {
    matches!((before, now), (Some(before), Some(now)) if before != now)
}

/// The interface's own, else the host's, else targets that are addresses: who tracks 1.1.1.1 may ask it, too.
fn name_servers(interface: &Interface, network: &Network) -> Vec<IpAddr> {
    if interface.tracking.targets.iter().all(|target| target.parse::<IpAddr>().is_ok()) {
        return Vec::new();
    }
    let mut servers = Vec::new();
    let mut take = |candidates: &[IpAddr]| {
        for server in candidates {
            if Family::of(*server) == interface.family {
                servers.push(*server);
            }
        }
        servers.is_empty()
    };
    let own = network.true_interface(&interface.name, interface.family);
    if own.is_none_or(|(_, found)| take(&found.name_servers)) && take(&system_name_servers()) {
        for target in &interface.tracking.targets {
            if let Ok(address) = target.parse() {
                take(&[address]);
            }
        }
    }
    servers
}
