//! The laboratory's address plan: who has which address, computed from an uplink's number.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Uplinks are numbered from 1; beyond this the plan has no addresses.
pub const MAX_UPLINKS: usize = 150;
/// No listener answers here: TCP is reset, UDP gets "port unreachable".
pub const CLOSED_PORT: u16 = 1;
/// The well-known addresses that tracking configurations name, all answered by the internet.
pub const WELL_KNOWN: [&str; 9] = [
    "1.0.0.1",
    "1.1.1.1",
    "8.8.8.8",
    "208.67.220.220",
    "208.67.222.222",
    "2606:4700:4700::1001",
    "2606:4700:4700::1111",
    "2620:0:ccc::2",
    "2620:0:ccd::2",
];
/// Where the internet's listeners really sit; every other address of it leads here.
pub const SERVICE_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 100);
pub const SERVICE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xee, 0, 0, 0, 0, 0x100);
/// The far end of the tunnel, as seen from outside.
pub const TUNNEL_END: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 9);

/// The device name of an uplink unless asked otherwise: wan, wanb, … wanz, wan27 …
pub fn default_device(number: usize) -> String {
    match number {
        1 => "wan".to_owned(),
        2..=26 => format!("wan{}", char::from(b'a' + number as u8 - 1)),
        _ => format!("wan{number}"),
    }
}

/// The router's address on uplink `number`.
pub fn wan_v4(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 100 + number as u8, 0, 2)
}

pub fn wan_v6(number: usize) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, written(number), 0, 0, 0, 0, 2)
}

/// The ISP's address on uplink `number`, the router's next hop.
pub fn gateway_v4(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 100 + number as u8, 0, 1)
}

pub fn gateway_v6(number: usize) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, written(number), 0, 0, 0, 0, 1)
}

/// The address under which the internet sees the customers of ISP `number`.
pub fn outside_v4(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, number as u8)
}

pub fn outside_v6(number: usize) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, written(number))
}

/// Address `index` (from 0) of client `number` (from 1) in the LAN `lan` (from 1).
pub fn client_v4(lan: usize, number: usize, index: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, lan as u8, (20 * number - 10 + index) as u8)
}

pub fn client_v6(lan: usize, number: usize, index: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, written(lan), 0, 0, 0, 0, 0, written(20 * number - 10 + index))
}

/// Every address that the internet answers on.
pub fn internet() -> impl Iterator<Item = IpAddr> {
    let documentation = (1..=10).flat_map(|last| {
        [
            IpAddr::V4(Ipv4Addr::new(198, 51, 100, last as u8)),
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xee, 0, 0, 0, 0, written(last))),
        ]
    });
    let services = [IpAddr::V4(SERVICE_V4), IpAddr::V6(SERVICE_V6)];
    WELL_KNOWN.iter().filter_map(|text| text.parse().ok()).chain(documentation).chain(services)
}

/// The number whose hexadecimal form reads like this decimal one: uplink 12 is 2001:db8:12::.
pub(crate) fn written(number: usize) -> u16 {
    u16::from_str_radix(&number.to_string(), 16).unwrap_or(u16::MAX)
}
