//! From the text of one option to its value. An error is the reason, as the end of a sentence about the text.

use std::net::{IpAddr, SocketAddr};

use crate::address::{AddressMatch, Family, PortRange, Prefix, address_bits};
use crate::mark::MarkMask;

use super::options::LOG_LEVELS;
use super::{DailyWindow, IpsetMatch, Protocol, SessionFate};

const LONGEST_DRAIN_MS: u32 = 24 * 3_600_000;
const MINUTES_OF_A_DAY: u32 = 24 * 60;

pub(super) type Parsed<T> = Result<T, String>;

pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text {
        "1" | "on" | "true" | "yes" | "enabled" => Ok(true),
        "0" | "off" | "false" | "no" | "disabled" => Ok(false),
        _ => Err("neither yes nor no".to_owned()),
    }
}

pub(super) fn number(text: &str, min: u32, max: u32) -> Parsed<u32> {
    let out_of_range = || format!("not between {min} and {max}");
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let is_negative = text.strip_prefix('-').is_some_and(|rest| number(rest, 0, u32::MAX).is_ok());
        return Err(if is_negative { out_of_range() } else { "not a number".to_owned() });
    }
    text.parse().ok().filter(|number| (min..=max).contains(number)).ok_or_else(out_of_range)
}

/// `10`, `0.5`, `.5`, `10s`, `200ms`; what is finer than a millisecond is cut off.
pub(super) fn duration_ms(text: &str, min_ms: u32, max_ms: u32) -> Parsed<u32> {
    let (digits, ms_each) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(digits), _) => (digits, 1),
        (None, Some(digits)) => (digits, 1000),
        (None, None) => (text, 1000),
    };
    let ms = decimal_times(digits.trim_end(), ms_each).ok_or("not a duration")?;
    u32::try_from(ms)
        .ok()
        .filter(|ms| (min_ms..=max_ms).contains(ms))
        .ok_or_else(|| format!("not between {} and {}", duration_text(min_ms), duration_text(max_ms)))
}

fn decimal_times(text: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || whole.len() > 12 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let mut value = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? * factor };
    let mut place = factor;
    for digit in fraction.bytes().take(3) {
        place /= 10;
        value += u64::from(digit - b'0') * place;
    }
    Some(value)
}

pub(super) fn duration_text(ms: u32) -> String {
    match (ms / 1000, ms % 1000) {
        (s, 0) if s > 0 && s % 3600 == 0 => format!("{} h", s / 3600),
        (s, 0) => format!("{s} s"),
        _ => format!("{ms} ms"),
    }
}

pub(super) fn choice(text: &str, choices: &'static [&'static str]) -> Parsed<&'static str> {
    match choices.iter().find(|choice| **choice == text) {
        Some(choice) => Ok(choice),
        None => Err(format!("not one of {}", choices.join(", "))),
    }
}

pub(super) fn mask(text: &str) -> Parsed<MarkMask> {
    let bits = hexadecimal_or_decimal(text).ok_or("not a hexadecimal or decimal number of 32 bits")?;
    MarkMask::new(bits).ok_or_else(|| "a mask with fewer than three bits".to_owned())
}

pub(super) fn log_level(text: &str) -> Parsed<u32> {
    let name = match text {
        "panic" => "emerg",
        "err" => "error",
        "warn" => "warning",
        other => other,
    };
    let named = LOG_LEVELS.iter().zip(0..).find(|(level, _)| **level == name).map(|(_, number)| number);
    named
        .or_else(|| text.parse().ok().filter(|number| *number < 8))
        .ok_or_else(|| format!("not one of {} nor a number from 0 to 7", LOG_LEVELS.join(", ")))
}

/// Names of further tables stand in a file of the host that we do not read.
pub(super) fn routing_table(text: &str) -> Parsed<u32> {
    match text {
        "default" => Ok(253),
        "main" => Ok(254),
        "local" => Ok(255),
        _ => hexadecimal_or_decimal(text)
            .filter(|table| *table > 0)
            .ok_or_else(|| "not the number of a routing table".to_owned()),
    }
}

fn hexadecimal_or_decimal(text: &str) -> Option<u32> {
    // `from_str_radix` and `parse` would take a sign.
    let is_plain = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok().filter(|_| is_plain(digits)),
        None => text.parse().ok().filter(|_| is_plain(text)),
    }
}

pub(super) fn host(text: &str) -> Parsed<String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%');
    let fits = !text.is_empty() && text.len() <= 255 && !text.starts_with('-') && text.bytes().all(is_name);
    if fits { Ok(text.to_owned()) } else { Err("neither an address nor a host name".to_owned()) }
}

pub(super) fn ip_address(text: &str) -> Parsed<IpAddr> {
    text.parse().map_err(|_| "not an IP address".to_owned())
}

pub(super) fn address_and_port(text: &str) -> Parsed<SocketAddr> {
    let found: Option<SocketAddr> = text.parse().ok();
    found
        .filter(|address| address.port() != 0)
        .ok_or_else(|| "not an address and a port, as in 127.0.0.1:9101 or [::1]:9101".to_owned())
}

/// What Linux takes as the name of a device.
pub(super) fn device(text: &str) -> Parsed<String> {
    let fits = (1..16).contains(&text.len())
        && !matches!(text, "." | "..")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':'));
    if fits { Ok(text.to_owned()) } else { Err("not the name of a network device".to_owned()) }
}

/// `address`, `address/length` or `address/mask`; the mask may have holes.
pub(super) fn address(text: &str) -> Parsed<AddressMatch> {
    let reason = || "not an address or network".to_owned();
    if let Ok(prefix) = text.parse::<Prefix>() {
        return Ok(AddressMatch::from(prefix));
    }
    let (value, mask) = text.split_once('/').ok_or_else(reason)?;
    let value: IpAddr = value.parse().map_err(|_| reason())?;
    let mask: IpAddr = mask.parse().map_err(|_| reason())?;
    let family = Family::of(value);
    if Family::of(mask) != family {
        return Err(reason());
    }
    Ok(AddressMatch::new(family, address_bits(value), address_bits(mask)))
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    number(text, 1, 65535).and_then(|port| u16::try_from(port).map_err(|_| "not a port".to_owned()))
}

pub(super) fn port_range(text: &str) -> Parsed<PortRange> {
    let (low, high) = text.split_once(['-', ':']).unwrap_or((text, text));
    let port = |text: &str| number(text, 0, 65535).ok().and_then(|port| u16::try_from(port).ok());
    match (port(low), port(high)) {
        (Some(low), Some(high)) if low <= high => Ok(PortRange { low, high }),
        (Some(_), Some(_)) => Err("a range that ends before it begins".to_owned()),
        _ => Err("not a port or range of ports".to_owned()),
    }
}

const PROTOCOLS: [(&str, u8); 25] = [
    ("igmp", 2),
    ("ipip", 4),
    ("ipencap", 4),
    ("tcp", 6),
    ("egp", 8),
    ("udp", 17),
    ("dccp", 33),
    ("ipv6", 41),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ipv6-crypt", 50),
    ("ah", 51),
    ("ipv6-auth", 51),
    ("icmpv6", 58),
    ("ipv6-icmp", 58),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
    ("mh", 135),
    ("udplite", 136),
];

const ICMP: u8 = 1;

/// 0 is "any", as it was to iptables.
pub(super) fn protocol(text: &str) -> Parsed<Protocol> {
    let name = text.to_ascii_lowercase();
    if name == "all" || name == "any" {
        return Ok(Protocol::Any);
    }
    let number = match PROTOCOLS.iter().find(|(known, _)| *known == name) {
        Some((_, number)) => Some(*number),
        None if name == "icmp" => Some(ICMP),
        None => number(text, 0, 255).ok().and_then(|number| u8::try_from(number).ok()),
    };
    match number {
        Some(0) => Ok(Protocol::Any),
        Some(ICMP) => Ok(Protocol::Icmp),
        Some(number) => Ok(Protocol::Number(number)),
        None => Err("not the name or number of one protocol".to_owned()),
    }
}

pub(super) fn has_ports(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Number(6 | 17 | 33 | 132 | 136))
}

pub(super) fn session_fate(text: &str) -> Parsed<SessionFate> {
    match text.split_once([' ', '\t']) {
        Some(("drain", time)) => {
            let for_ms = duration_ms(time.trim(), 1, LONGEST_DRAIN_MS);
            for_ms.map(|for_ms| SessionFate::Drain { for_ms }).map_err(|reason| format!("time: {reason}"))
        }
        _ => match text {
            "keep" => Ok(SessionFate::Keep),
            "drop" => Ok(SessionFate::Drop),
            "drop_udp" => Ok(SessionFate::DropUdp),
            "drain" => Err("drain needs a time, such as 'drain 60'".to_owned()),
            _ => Err("not one of keep, drop, drop_udp, or drain and a time".to_owned()),
        },
    }
}

pub(super) fn session_fate_text(fate: SessionFate) -> String {
    match fate {
        SessionFate::Keep => "keep".to_owned(),
        SessionFate::Drop => "drop".to_owned(),
        SessionFate::DropUdp => "drop_udp".to_owned(),
        SessionFate::Drain { for_ms } => format!("drain {}", duration_text(for_ms)),
    }
}

pub(super) fn daily_window(text: &str) -> Parsed<DailyWindow> {
    let minute = |text: &str| {
        let (hours, minutes) = text.trim().split_once(':')?;
        let hours = number(hours, 0, 24).ok()?;
        let minute = hours * 60 + number(minutes, 0, 59).ok()?;
        (minute <= MINUTES_OF_A_DAY).then_some(minute)
    };
    let window = text
        .split_once('-')
        .and_then(|(from, to)| Some(DailyWindow { from_min: minute(from)?, to_min: minute(to)? }));
    match window {
        None => Err("not a time of day like 02:00-04:30".to_owned()),
        Some(window) if window.from_min == window.to_min => Err("begins when it ends".to_owned()),
        Some(window) => Ok(window),
    }
}

pub(super) fn ipset(text: &str) -> Parsed<IpsetMatch> {
    let (name, negated) = match text.strip_prefix('!') {
        Some(rest) => (rest.trim_start(), true),
        None => (text, false),
    };
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("not the name of a set".to_owned());
    }
    Ok(IpsetMatch { name: name.to_owned(), negated })
}
