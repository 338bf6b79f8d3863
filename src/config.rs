//! The typed configuration: what /etc/config/mwan3 says, with every default filled in and every name
//! resolved. Built once, never changed. Mistakes in the file cost their own section and become `Problem`s.

mod check;
mod fields;
pub mod options;
mod problem;
mod read;
mod value;

pub use check::{Advice, advice, check, settings_to_read};
pub use problem::{Problem, SectionName, Severity, exit_code, problem_counts};
pub use read::read;

use crate::address::{AddressMatch, Family, PortRange};
use crate::mark::{InterfaceId, MarkMask};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub globals: Globals,
    /// Those that could be read, in file order; a section that was skipped keeps its id to itself.
    pub interfaces: Vec<Interface>,
    pub policies: Vec<Policy>,
    pub rules: Vec<Rule>,
    pub alerts: Vec<Alert>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Globals {
    pub mask: MarkMask,
    pub logging: bool,
    /// Syslog severity, 0 (emerg) to 7 (debug).
    pub log_level: u32,
    pub lookup_tables: Vec<u32>,
    /// Keep `from` on the default routes copied to the uplinks' tables.
    pub source_routing: bool,
    /// Table main gets a default route by a live uplink while its own one leads out of a dead one.
    pub manage_default: bool,
    /// Where the tracker serves metrics.
    pub metrics_listen: Option<std::net::SocketAddr>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Interface {
    pub name: String,
    /// The position of the section, counted from 1 over all interface sections.
    pub id: InterfaceId,
    pub enabled: bool,
    pub family: Family,
    /// Plain Linux: the device this uplink uses.
    pub device: Option<String>,
    /// Plain Linux: the gateway, where no route in main tells it.
    pub gateway: Option<std::net::IpAddr>,
    pub tracking: Tracking,
    pub failback: Failback,
    pub flush_conntrack: Vec<FlushOn>,
    /// Every connection of the router, not only this interface's.
    pub flushes_all: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tracking {
    /// Addresses or host names; none means the interface is taken as good while it is up.
    pub targets: Vec<String>,
    pub method: TrackMethod,
    /// For methods with ports; each has its usual one.
    pub port: Option<u16>,
    pub dns_name: String,
    pub initially_online: bool,
    pub reliability: u32,
    pub count: u32,
    pub size: u32,
    pub max_ttl: u32,
    pub timeout_ms: u32,
    pub interval_ms: u32,
    pub failure_interval_ms: u32,
    pub keep_failure_interval: bool,
    pub recovery_interval_ms: u32,
    /// The pause before each round that confirms a failure while the interface is still online.
    pub confirm_interval_ms: u32,
    /// How often a confirming round asks each target, until it answers.
    pub confirm_count: u32,
    pub down: u32,
    pub up: u32,
    pub quality: Option<Quality>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackMethod {
    Ping,
    Arp,
    /// TCP connect to a port.
    Tcp,
    Udp,
    Http,
    Https,
    Dns,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quality {
    pub failure_latency_ms: u32,
    pub failure_loss_percent: u32,
    pub recovery_latency_ms: u32,
    pub recovery_loss_percent: u32,
}

/// When policies with another way use an interface again that had failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failback {
    /// Without a lost round. Doubled with each further failure.
    pub delay_ms: u32,
    pub longest_delay_ms: u32,
    pub window: Option<DailyWindow>,
}

/// In minutes of the local day; the end is not part of it, and may be on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyWindow {
    pub from_min: u32,
    pub to_min: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushOn {
    Ifup,
    Ifdown,
    Connected,
    Disconnected,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub name: String,
    /// Members whose interface exists in `Config::interfaces`, in list order.
    pub members: Vec<Member>,
    pub last_resort: LastResort,
    pub sessions: SessionPolicy,
}

/// What becomes of the policy's running flows when uplinks change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPolicy {
    /// Flows over an uplink that failed.
    pub on_fail: SessionFate,
    /// Flows over what stood in for a better tier that is back.
    pub on_recover: SessionFate,
    /// Between leaving one tier and opening another; meanwhile the last resort applies. 0 is none.
    pub hold_ms: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionFate {
    Keep,
    Drop,
    DropUdp,
    /// They stay for so long, and are dropped then if they still go elsewhere than new ones.
    Drain {
        for_ms: u32,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub name: String,
    pub interface: String,
    /// The tier: lower wins.
    pub metric: u32,
    pub weight: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastResort {
    Unreachable,
    Blackhole,
    Default,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub name: String,
    /// The families this rule is made for, after its addresses have been looked at.
    pub families: Vec<Family>,
    pub protocol: Protocol,
    /// Any of them matches; none means no test. Both families may be mixed.
    pub sources: Vec<AddressMatch>,
    pub destinations: Vec<AddressMatch>,
    pub source_ports: Vec<PortRange>,
    pub destination_ports: Vec<PortRange>,
    /// A logical interface whose device the packet comes in by.
    pub source_interface: Option<String>,
    pub ipset: Option<IpsetMatch>,
    /// Lifetime of a sticky entry, where the rule is sticky.
    pub sticky_s: Option<u32>,
    pub log: bool,
    pub target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Any,
    /// ICMP in IPv4, ICMPv6 in IPv6.
    Icmp,
    Number(u8),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpsetMatch {
    pub name: String,
    pub negated: bool,
}

/// Whom to tell of uplinks that are lost or back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    pub name: String,
    pub method: AlertMethod,
    /// Addresses, or one path, as the method needs them; never empty.
    pub to: Vec<String>,
    /// Empty: all of them.
    pub interfaces: Vec<String>,
    pub tells_connected: bool,
    pub tells_disconnected: bool,
    pub interval_ms: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlertMethod {
    /// By the server, or else by the installed sendmail.
    Mail {
        from: Option<String>,
        server: Option<String>,
    },
    Webhook,
    Scripts,
    StatusFile,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The name of a policy in `Config::policies`.
    Policy(String),
    Default,
    Unreachable,
    Blackhole,
}

impl Default for Globals {
    fn default() -> Self {
        Globals {
            mask: MarkMask::default(),
            logging: false,
            log_level: 5,
            lookup_tables: Vec::new(),
            source_routing: false,
            manage_default: false,
            metrics_listen: None,
        }
    }
}

/// The shell package's defaults, so that an old configuration means what it meant.
impl Default for Tracking {
    fn default() -> Self {
        Tracking {
            targets: Vec::new(),
            method: TrackMethod::Ping,
            port: None,
            dns_name: "www.google.com".to_owned(),
            initially_online: true,
            reliability: 1,
            count: 1,
            size: 56,
            max_ttl: 60,
            timeout_ms: 4_000,
            interval_ms: 10_000,
            failure_interval_ms: 10_000,
            keep_failure_interval: false,
            recovery_interval_ms: 10_000,
            confirm_interval_ms: 10_000,
            confirm_count: 1,
            down: 5,
            up: 5,
            quality: None,
        }
    }
}

impl Default for SessionPolicy {
    fn default() -> Self {
        SessionPolicy { on_fail: SessionFate::Drop, on_recover: SessionFate::Keep, hold_ms: 0 }
    }
}

impl Failback {
    /// Whether an interface that comes back is ever made to wait.
    pub fn is_set(self) -> bool {
        self.delay_ms > 0 || self.window.is_some()
    }
}

impl DailyWindow {
    pub fn contains(self, minute: u32) -> bool {
        if self.from_min <= self.to_min {
            (self.from_min..self.to_min).contains(&minute)
        } else {
            minute >= self.from_min || minute < self.to_min
        }
    }
}

impl Default for Quality {
    fn default() -> Self {
        Quality {
            failure_latency_ms: 1_000,
            failure_loss_percent: 40,
            recovery_latency_ms: 500,
            recovery_loss_percent: 10,
        }
    }
}

/// A protocol by name or number, as rules take it.
pub fn protocol(text: &str) -> Result<Protocol, String> {
    value::protocol(text)
}

impl Config {
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.policies.iter().find(|policy| policy.name == name)
    }
}
