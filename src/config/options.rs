//! The one table of every option: its section, type, default, range and meaning. The reader, `mwan3 check`,
//! `mwan3 schema`, docs/reference/options.md and the web pages all stand on it, so a new option starts here.

mod manual;
mod markdown;
mod schema;

pub use manual::manual;
pub use markdown::markdown;
pub use schema::schema;

use DefaultValue::{None as NoDefault, Required, SameAs, Value};
use SectionKind::{Alert, Globals, Interface, Member, Policy, Rule};
use ValueType::{Bool, Choice, Duration, Number, PolicyOr, Reference};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SectionKind {
    Globals,
    Interface,
    Member,
    Policy,
    Rule,
    Alert,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptionSpec {
    pub section: SectionKind,
    pub name: &'static str,
    pub value: ValueType,
    /// `list` in the file; a single `option` is taken too.
    pub list: bool,
    pub default: DefaultValue,
    /// LuCI's mwan3 pages show and write it.
    pub luci: bool,
    pub help: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    Bool,
    Number {
        min: u32,
        max: u32,
        unit: &'static str,
    },
    /// Seconds, with a fraction or the unit `ms` or `s` if wanted.
    Duration {
        min_ms: u32,
        max_ms: u32,
    },
    Choice {
        choices: &'static [&'static str],
    },
    Mask,
    RoutingTable,
    /// An IP address or host name.
    Host,
    IpAddress,
    /// Where something listens: `127.0.0.1:9101`, `[::1]:9101`.
    AddressAndPort,
    /// Addresses with prefix lengths or masks, separated by commas.
    Addresses,
    /// Ports and ranges (`1024-2048` or `1024:2048`), separated by commas.
    Ports,
    Protocol,
    Device,
    /// A logical interface of the host.
    Network,
    Ipset,
    /// What becomes of running flows.
    SessionFate,
    /// `HH:MM-HH:MM`, local time.
    DailyWindow,
    /// The name of a section.
    Reference {
        to: SectionKind,
    },
    /// Addresses, paths or the like; what is taken depends on other options.
    Text,
    /// The name of a policy, or one of these.
    PolicyOr {
        choices: &'static [&'static str],
    },
}

/// As it would be written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    None,
    Value(&'static str),
    /// The value of another option of the section.
    SameAs(&'static str),
    /// The section means nothing without it.
    Required,
}

/// In the order of syslog's severities.
pub const LOG_LEVELS: &[&str] = &["emerg", "alert", "crit", "error", "warning", "notice", "info", "debug"];

pub const SPECIAL_TARGETS: &[&str] = &["default", "unreachable", "blackhole"];

pub const TRACK_METHODS: &[&str] = &[
    "ping",
    "arping",
    "httping",
    "nping-tcp",
    "nping-udp",
    "nping-icmp",
    "nping-arp",
    "nslookup",
    "tcp",
    "udp",
    "http",
    "https",
    "dns",
];

pub const ALERT_METHODS: &[&str] = &["mail", "webhook", "scripts", "status_file"];

const HOUR_MS: u32 = 3_600_000;

#[rustfmt::skip]
pub const TABLE: &[OptionSpec] = &[
    spec(Globals, "mmx_mask", ValueType::Mask, Value("0x3F00"),
        "Bits of the firewall mark and connection mark that mwan3 uses, at least three; they need not be adjacent. Six bits have room for 60 interfaces."),
    spec(Globals, "logging", Bool, Value("0"), "Allow rules to log. Each rule also needs its own `logging`."),
    spec(Globals, "loglevel", Choice { choices: LOG_LEVELS }, Value("notice"), "Kernel log level of what rules log."),
    spec(Globals, "rt_table_lookup", ValueType::RoutingTable, NoDefault,
        "More routing tables (besides main) whose networks are reached directly, never through a policy, and whose routes the tables of the interfaces get.").list(),
    spec(Globals, "source_routing", Bool, Value("0"),
        "Keep the source (`from`) of IPv6 default routes in the tables of the interfaces. Without it an interface also carries packets from addresses of other uplinks.").not_in_luci(),
    spec(Globals, "manage_default", Bool, Value("0"),
        "Keep table main's default route on a live uplink: while the best one leads out of an uplink that is offline or down, one of ours with metric 1 stands before it.").not_in_luci(),
    spec(Globals, "metrics_listen", ValueType::AddressAndPort, NoDefault,
        "Serve metrics for Prometheus by HTTP on this address and port, such as `127.0.0.1:9101` or `[::1]:9101`. Whoever reaches it can read them.").not_in_luci(),

    spec(Interface, "enabled", Bool, Value("0"), "Use this interface. A disabled one keeps its number, so that marks and tables of the others stay."),
    spec(Interface, "family", Choice { choices: &["ipv4", "ipv6"] }, Value("ipv4"),
        "Address family of the section. An uplink with both needs two sections."),
    spec(Interface, "initial_state", Choice { choices: &["online", "offline"] }, Value("online"),
        "What the interface counts as from its ifup until tracking has decided."),
    spec(Interface, "track_ip", ValueType::Host, NoDefault,
        "Addresses or host names to probe. Without any the interface counts as online while it is up.").list(),
    spec(Interface, "track_method", Choice { choices: TRACK_METHODS }, Value("ping"),
        "How to probe. All methods are built in; the names of former helper programs keep working."),
    spec(Interface, "track_port", Number { min: 1, max: 65535, unit: "" }, NoDefault,
        "Port to probe by TCP, UDP, HTTP, HTTPS or DNS. Without it 80, 33434, 80, 443 and 53.").not_in_luci(),
    spec(Interface, "nslookup_name", ValueType::Host, Value("www.google.com"),
        "Name that DNS probes ask for. Any answer counts.").not_in_luci(),
    spec(Interface, "httping_ssl", Bool, Value("0"), "With `httping`: probe by HTTPS."),
    spec(Interface, "reliability", Number { min: 1, max: 1000, unit: "" }, Value("1"),
        "How many targets must answer for a round to count as good."),
    spec(Interface, "count", Number { min: 1, max: 100, unit: "" }, Value("1"), "Packets per probe."),
    spec(Interface, "size", Number { min: 0, max: 65507, unit: "bytes" }, Value("56"), "Payload of a ping."),
    spec(Interface, "max_ttl", Number { min: 1, max: 255, unit: "" }, Value("60"), "Time to live (hop limit) of a ping."),
    spec(Interface, "timeout", Duration { min_ms: 10, max_ms: HOUR_MS }, Value("4"), "How long to wait for an answer."),
    spec(Interface, "interval", Duration { min_ms: 10, max_ms: 24 * HOUR_MS }, Value("10"), "Time between rounds of probes."),
    spec(Interface, "failure_interval", Duration { min_ms: 10, max_ms: 24 * HOUR_MS }, SameAs("interval"),
        "Time between rounds while the interface is failing."),
    spec(Interface, "keep_failure_interval", Bool, Value("0"), "Keep to `failure_interval` while the interface is offline."),
    spec(Interface, "recovery_interval", Duration { min_ms: 10, max_ms: 24 * HOUR_MS }, SameAs("interval"),
        "Time between rounds while the interface is recovering."),
    spec(Interface, "confirm_interval", Duration { min_ms: 10, max_ms: 24 * HOUR_MS }, SameAs("failure_interval"),
        "Time between the rounds that confirm a failure while the interface is still online.").not_in_luci(),
    spec(Interface, "confirm_count", Number { min: 1, max: 20, unit: "" }, SameAs("count"),
        "How often a confirming round asks each target, until it answers.").not_in_luci(),
    spec(Interface, "down", Number { min: 1, max: 1000, unit: "rounds" }, Value("5"), "Failed rounds until the interface is offline."),
    spec(Interface, "up", Number { min: 1, max: 1000, unit: "rounds" }, Value("5"), "Good rounds until the interface is online again."),
    spec(Interface, "check_quality", Bool, Value("0"), "Judge probes by latency and loss instead of by any answer."),
    spec(Interface, "failure_latency", Number { min: 1, max: 600_000, unit: "ms" }, Value("1000"),
        "While online: this average latency or more fails the probe."),
    spec(Interface, "failure_loss", Number { min: 1, max: 100, unit: "%" }, Value("40"),
        "While online: this loss or more fails the probe."),
    spec(Interface, "recovery_latency", Number { min: 1, max: 600_000, unit: "ms" }, Value("500"),
        "While offline: this average latency or less is good enough."),
    spec(Interface, "recovery_loss", Number { min: 0, max: 100, unit: "%" }, Value("10"),
        "While offline: this loss or less is good enough."),
    spec(Interface, "flush_conntrack", Choice { choices: &["ifup", "ifdown", "connected", "disconnected"] }, NoDefault,
        "Events on which connections are forgotten, so that they start anew. Those of an interface that went offline or down always are, unless their policy says otherwise (`on_fail`).").list(),
    spec(Interface, "flush_scope", Choice { choices: &["interface", "all"] }, Value("interface"),
        "What `flush_conntrack` flushes: the connections of this interface, or all.").not_in_luci(),
    spec(Interface, "failback_delay", Duration { min_ms: 0, max_ms: 24 * HOUR_MS }, Value("0"),
        "After a failure: how long the interface must work without a lost round before policies that have another way prefer it again. Leaving a dead one is never delayed.").not_in_luci(),
    spec(Interface, "failback_delay_max", Duration { min_ms: 0, max_ms: 24 * HOUR_MS }, SameAs("failback_delay"),
        "Each further failure doubles `failback_delay` up to this; each such time of stable work takes one back.").not_in_luci(),
    spec(Interface, "failback_window", ValueType::DailyWindow, NoDefault,
        "After a failure: time of day (local) in which policies that have another way prefer the interface again, such as `02:00-04:30`.").not_in_luci(),
    spec(Interface, "device", ValueType::Device, NoDefault,
        "Network device of the uplink, on hosts without netifd. Without it the network configuration or the name of the section tells.").not_in_luci(),
    spec(Interface, "gateway", ValueType::IpAddress, NoDefault,
        "Next hop of the uplink, on hosts without netifd, where no default route of table main tells it.").not_in_luci(),

    spec(Member, "interface", Reference { to: Interface }, Required, "The interface this member stands for."),
    spec(Member, "metric", Number { min: 0, max: u32::MAX, unit: "" }, Value("1"),
        "Tier: of the members that are online, those of the lowest metric share the traffic."),
    spec(Member, "weight", Number { min: 1, max: 1_000_000, unit: "" }, Value("1"), "Share of new connections among members of one metric."),

    spec(Policy, "use_member", Reference { to: Member }, NoDefault, "The members. IPv4 and IPv6 may be mixed; each family is decided on its own.").list(),
    spec(Policy, "last_resort", Choice { choices: &["unreachable", "blackhole", "default"] }, Value("unreachable"),
        "What happens when no member of the family is online: refuse, drop, or use table main."),
    spec(Policy, "on_fail", ValueType::SessionFate, Value("drop"),
        "What becomes of this policy's running connections over an interface that went offline. Those whose source address is gone are always dropped.").not_in_luci(),
    spec(Policy, "on_recover", ValueType::SessionFate, Value("keep"),
        "What becomes of this policy's running connections over members of a worse metric when a better one is back.").not_in_luci(),
    spec(Policy, "hold", Duration { min_ms: 0, max_ms: 24 * HOUR_MS }, Value("0"),
        "How long no other metric is used after one was left, unless the one that was left comes back. Meanwhile the last resort applies, and connections are dropped at once.").not_in_luci(),

    spec(Rule, "family", Choice { choices: &["any", "ipv4", "ipv6"] }, Value("any"), "Address family the rule is made for."),
    spec(Rule, "proto", ValueType::Protocol, Value("all"), "Protocol by name or number. `icmp` is ICMPv6 in IPv6."),
    spec(Rule, "src_ip", ValueType::Addresses, NoDefault,
        "Source addresses or networks. A mask may have holes: `0.0.0.1/0.0.0.1` is every odd address.").list(),
    spec(Rule, "src_port", ValueType::Ports, NoDefault, "Source ports; needs a protocol with ports.").list(),
    spec(Rule, "src_iface", ValueType::Network, NoDefault,
        "Logical interface the packet comes in by. Traffic of the router itself never matches.").not_in_luci(),
    spec(Rule, "dest_ip", ValueType::Addresses, NoDefault, "Destination addresses or networks.").list(),
    spec(Rule, "dest_port", ValueType::Ports, NoDefault, "Destination ports; needs a protocol with ports.").list(),
    spec(Rule, "ipset", ValueType::Ipset, NoDefault,
        "Set that must hold the destination address; with a leading `!`, must not hold it."),
    spec(Rule, "sticky", Bool, Value("0"), "Keep a source on the interface it got, as long as that is online and in use."),
    spec(Rule, "timeout", Number { min: 1, max: 2_147_483, unit: "s" }, Value("600"), "How long a sticky source is remembered after its last connection."),
    spec(Rule, "logging", Bool, Value("0"), "Log the first packet of each connection; needs `logging` in globals."),
    spec(Rule, "use_policy", PolicyOr { choices: SPECIAL_TARGETS }, Required,
        "The policy that decides, or `default` (table main), `unreachable` (refuse), `blackhole` (drop)."),

    spec(Alert, "enabled", Bool, Value("1"), "Send this alert.").not_in_luci(),
    spec(Alert, "method", Choice { choices: ALERT_METHODS }, Required,
        "How to tell: mail; a POST of JSON to a web address; executable files of a folder; a file with a line `name:ON`, `OFF` or `UNKNOWN` for each interface.").not_in_luci(),
    spec(Alert, "to", ValueType::Text, Required,
        "Mail addresses, `http://` or `https://` addresses (the latter by curl, uclient-fetch or wget), the folder, or the file.").list().not_in_luci(),
    spec(Alert, "from", ValueType::Text, NoDefault, "Mail: the sender's address. Without it `mwan3@` and the host's name.").not_in_luci(),
    spec(Alert, "smtp", ValueType::Text, NoDefault,
        "Mail: address or name of a mail server on the local network, with `:port` if not 25; spoken to without encryption or login. Without it the installed `sendmail` sends.").not_in_luci(),
    spec(Alert, "interface", Reference { to: Interface }, NoDefault, "Tell of these interfaces only.").list().not_in_luci(),
    spec(Alert, "event", Choice { choices: &["connected", "disconnected"] }, NoDefault, "Tell of these changes only.").list().not_in_luci(),
    spec(Alert, "interval", Duration { min_ms: 0, max_ms: 24 * HOUR_MS }, Value("60"),
        "Mail and web: at most one message in this time; what happens meanwhile is told together.").not_in_luci(),
];

/// Options of earlier versions and of the shell package's own making: taken without a word, to no effect.
const REMOVED: &[(SectionKind, &str)] = &[
    (Globals, "local_source"),
    (Globals, "rtmon_interval"),
    (Globals, "enabled"),
    (Globals, "online_metric"),
    (Globals, "iface_max"),
    (Interface, "online_metric"),
];

const fn spec(
    section: SectionKind,
    name: &'static str,
    value: ValueType,
    default: DefaultValue,
    help: &'static str,
) -> OptionSpec {
    OptionSpec { section, name, value, list: false, default, luci: true, help }
}

impl OptionSpec {
    const fn list(self) -> OptionSpec {
        OptionSpec { list: true, ..self }
    }

    const fn not_in_luci(self) -> OptionSpec {
        OptionSpec { luci: false, ..self }
    }
}

impl SectionKind {
    pub const ALL: [SectionKind; 6] = [Globals, Interface, Member, Policy, Rule, Alert];

    pub fn name(self) -> &'static str {
        match self {
            Globals => "globals",
            Interface => "interface",
            Member => "member",
            Policy => "policy",
            Rule => "rule",
            Alert => "alert",
        }
    }

    pub fn from_name(name: &str) -> Option<SectionKind> {
        SectionKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

pub fn find(section: SectionKind, name: &str) -> Option<&'static OptionSpec> {
    of_section(section).find(|spec| spec.name == name)
}

pub fn of_section(section: SectionKind) -> impl Iterator<Item = &'static OptionSpec> {
    TABLE.iter().filter(move |spec| spec.section == section)
}

pub fn was_removed(section: SectionKind, name: &str) -> bool {
    REMOVED.contains(&(section, name))
}

/// The known option that someone who wrote `name` probably meant.
pub fn closest(section: SectionKind, name: &str) -> Option<&'static str> {
    closest_of(name, &mut of_section(section).map(|spec| spec.name))
}

/// The candidate that `word` probably meant: at most two slips of the pen away, fewer in short words.
pub fn closest_of<'a>(word: &str, candidates: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let tolerated = if word.len() <= 4 { 1 } else { 2 };
    let (mut closest, mut least) = (None, tolerated + 1);
    for candidate in candidates {
        if candidate.len().abs_diff(word.len()) <= tolerated {
            let distance = distance(word, candidate);
            if distance < least {
                (closest, least) = (Some(candidate), distance);
            }
        }
    }
    closest
}

/// How many letters must be added, dropped, changed or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, a) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, b) in to.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX - 1);
            let changed = at(&last, column) + usize::from(a != b);
            let mut best = changed.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let is_swap =
                row > 0 && column > 0 && from.get(row - 1) == Some(b) && to.get(column - 1) == Some(a);
            if is_swap {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(0)
}
