//! The addresses of all devices as `ip address show` prints them: for support, hence everything that people
//! are used to see there.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

use crate::address::Family;
use crate::network::scope_name;
use crate::system::netlink::{self, Attributes, NetlinkError, Payload, Socket};

use super::addresses::{self, GET_ADDRESS, NEW_ADDRESS, parse};
use super::links::{self, GET_LINK, NEW_LINK};

mod link_attribute {
    pub const NAME: u16 = 3;
    pub const MTU: u16 = 4;
    pub const LINK: u16 = 5;
    pub const QUEUE_KIND: u16 = 6;
    pub const MASTER: u16 = 10;
    pub const QUEUE_LENGTH: u16 = 13;
    pub const STATE: u16 = 16;
    pub const GROUP: u16 = 27;
    pub const LINK_NAMESPACE: u16 = 37;
}

mod address_attribute {
    pub const ADDRESS: u16 = 1;
    pub const LOCAL: u16 = 2;
    pub const LABEL: u16 = 3;
    pub const BROADCAST: u16 = 4;
    pub const LIFETIMES: u16 = 6;
    pub const FLAGS: u16 = 8;
    pub const METRIC: u16 = 9;
}

/// What `ip -4 address show` or its IPv6 sister would print.
pub fn address_listing(family: Family) -> Result<String, NetlinkError> {
    let mut socket = Socket::open(netlink::ROUTE)?;
    let all = dump_links(&mut socket, 0)?;
    // Asked in the name of IPv6, the kernel tells less of a link; iproute2 prints what it is told.
    let mut links = dump_links(&mut socket, family.number())?;
    let mut header = [0; addresses::HEADER];
    header[0] = family.number();
    for answer in socket.dump(GET_ADDRESS, &Payload::new(&header))? {
        if let (NEW_ADDRESS, Some((index, address))) = (answer.kind, ListedAddress::decode(&answer.payload))
            && let Some(link) = links.iter_mut().find(|link| link.index == index)
        {
            link.addresses.push(address);
        }
    }
    let mut text = String::new();
    for link in links.iter().filter(|link| !link.addresses.is_empty()) {
        text.push_str(&Among { link, all: &all }.to_string());
    }
    Ok(text)
}

fn dump_links(socket: &mut Socket, family: u8) -> Result<Vec<ListedLink>, NetlinkError> {
    let mut header = [0; links::HEADER];
    header[0] = family;
    let mut links = Vec::new();
    for answer in socket.dump(GET_LINK, &Payload::new(&header))? {
        if answer.kind == NEW_LINK {
            links.extend(ListedLink::decode(&answer.payload));
        }
    }
    Ok(links)
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedLink {
    pub index: u32,
    pub flags: u32,
    pub name: String,
    pub mtu: Option<u32>,
    /// The index of the device below or of the other end, perhaps in another namespace.
    pub link: Option<u32>,
    pub link_namespace: Option<i32>,
    pub queue_kind: Option<String>,
    pub master: Option<u32>,
    pub state: Option<u8>,
    pub group: Option<u32>,
    pub queue_length: Option<u32>,
    pub addresses: Vec<ListedAddress>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedAddress {
    pub local: IpAddr,
    pub peer: Option<IpAddr>,
    pub length: u8,
    pub metric: u32,
    pub broadcast: Option<IpAddr>,
    pub scope: u8,
    pub flags: u32,
    pub label: Option<String>,
    /// Valid and preferred, in seconds; all ones is for ever.
    pub lifetimes_s: Option<(u32, u32)>,
}

impl ListedLink {
    pub fn decode(payload: &[u8]) -> Option<ListedLink> {
        let [_, _, _, _, i0, i1, i2, i3, f0, f1, f2, f3, ..] = *payload.first_chunk::<{ links::HEADER }>()?;
        let mut link = ListedLink {
            index: u32::from_ne_bytes([i0, i1, i2, i3]),
            flags: u32::from_ne_bytes([f0, f1, f2, f3]),
            ..ListedLink::default()
        };
        for attribute in Attributes::new(payload.get(links::HEADER..)?) {
            match attribute.kind {
                link_attribute::NAME => link.name = attribute.text(),
                link_attribute::MTU => link.mtu = attribute.u32(),
                link_attribute::LINK => link.link = attribute.u32(),
                link_attribute::LINK_NAMESPACE => {
                    link.link_namespace = attribute.u32().map(|number| number as i32);
                }
                link_attribute::QUEUE_KIND => link.queue_kind = Some(attribute.text()),
                link_attribute::MASTER => link.master = attribute.u32(),
                link_attribute::STATE => link.state = attribute.u8(),
                link_attribute::GROUP => link.group = attribute.u32(),
                link_attribute::QUEUE_LENGTH => link.queue_length = attribute.u32(),
                _ => {}
            }
        }
        Some(link)
    }
}

impl ListedAddress {
    /// With the index of its link.
    pub fn decode(payload: &[u8]) -> Option<(u32, ListedAddress)> {
        let [family, length, flags, scope, index @ ..] = *payload.first_chunk::<{ addresses::HEADER }>()?;
        let family = addresses::family_of(family)?;
        let (mut local, mut address, mut broadcast) = (None, None, None);
        let (mut flags, mut label, mut lifetimes_s, mut metric) = (u32::from(flags), None, None, 0);
        for attribute in Attributes::new(payload.get(addresses::HEADER..)?) {
            match attribute.kind {
                address_attribute::ADDRESS => address = parse(family, attribute.value),
                address_attribute::LOCAL => local = parse(family, attribute.value),
                address_attribute::LABEL => label = Some(attribute.text()),
                address_attribute::BROADCAST => broadcast = parse(family, attribute.value),
                address_attribute::FLAGS => flags = attribute.u32()?,
                address_attribute::METRIC => metric = attribute.u32()?,
                address_attribute::LIFETIMES => {
                    let [p0, p1, p2, p3, v0, v1, v2, v3] = *attribute.value.first_chunk()?;
                    let preferred_s = u32::from_ne_bytes([p0, p1, p2, p3]);
                    lifetimes_s = Some((u32::from_ne_bytes([v0, v1, v2, v3]), preferred_s));
                }
                _ => {}
            }
        }
        let shown = local.or(address)?;
        let peer = address.filter(|address| *address != shown);
        let listed =
            ListedAddress { local: shown, peer, length, metric, broadcast, scope, flags, label, lifetimes_s };
        Some((u32::from_ne_bytes(index), listed))
    }
}

/// Some of what is said of a link is about others.
struct Among<'a> {
    link: &'a ListedLink,
    all: &'a [ListedLink],
}

impl Among<'_> {
    fn other(&self, index: u32) -> Option<&ListedLink> {
        self.all.iter().find(|link| link.index == index)
    }

    /// iproute2's word for an index without a name.
    fn name(&self, index: u32) -> String {
        self.other(index).map_or_else(|| format!("if{index}"), |link| link.name.clone())
    }
}

impl Display for Among<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let link = self.link;
        write!(f, "{}: {}", link.index, link.name)?;
        let mut is_below_down = false;
        match (link.link, link.link_namespace) {
            (None, _) => {}
            (Some(0), _) => f.write_str("@NONE")?,
            // The number is one of the other namespace.
            (Some(below), Some(_)) => write!(f, "@if{below}")?,
            (Some(below), None) => {
                write!(f, "@{}", self.name(below))?;
                is_below_down = self.other(below).is_some_and(|link| link.flags & UP == 0);
            }
        }
        write!(f, ": <{}{}>", flag_names(link.flags), if is_below_down { ",M-DOWN" } else { "" })?;
        if let Some(mtu) = link.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(kind) = &link.queue_kind {
            write!(f, " qdisc {kind}")?;
        }
        if let Some(master) = link.master {
            write!(f, " master {}", self.name(master))?;
        }
        if let Some(state) = link.state {
            write!(f, " state {}", STATES.get(usize::from(state)).copied().unwrap_or("UNKNOWN"))?;
        }
        match link.group {
            None => {}
            Some(0) => f.write_str(" group default")?,
            Some(number) => write!(f, " group {number}")?,
        }
        // This iproute2 asks for separately where it was not told.
        let queue_length = link.queue_length.or_else(|| self.other(link.index)?.queue_length);
        if let Some(length) = queue_length.filter(|length| *length > 0) {
            write!(f, " qlen {length}")?;
        }
        match link.link_namespace {
            None => {}
            Some(number) if number < 0 => f.write_str(" link-netnsid unknown")?,
            Some(number) => write!(f, " link-netnsid {number}")?,
        }
        f.write_str("\n")?;
        link.addresses.iter().try_for_each(|address| address.fmt(f))
    }
}

impl Display for ListedAddress {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.local.is_ipv4() { "    inet" } else { "    inet6" })?;
        write!(f, " {}", self.local)?;
        if let Some(peer) = &self.peer {
            write!(f, " peer {peer}")?;
        }
        write!(f, "/{}", self.length)?;
        if self.metric != 0 {
            write!(f, " metric {}", self.metric)?;
        }
        if let Some(broadcast) = &self.broadcast {
            write!(f, " brd {broadcast}")?;
        }
        match scope_name(self.scope) {
            Some(name) => write!(f, " scope {name} ")?,
            None => write!(f, " scope {} ", self.scope)?,
        }
        // The name of the first says otherwise in each family.
        let secondary = if self.local.is_ipv4() { "secondary" } else { "temporary" };
        let is_permanent = self.flags & PERMANENT != 0;
        if self.flags & 0x01 != 0 {
            write!(f, "{secondary} ")?;
        }
        for (bit, name) in ADDRESS_FLAGS {
            if self.flags & bit != 0 {
                write!(f, "{name} ")?;
            }
            // In the place of the bit that it is the absence of.
            if bit == BEFORE_DYNAMIC && !is_permanent {
                f.write_str("dynamic ")?;
            }
        }
        f.write_str(self.label.as_deref().unwrap_or(""))?;
        if let Some((valid_s, preferred_s)) = self.lifetimes_s {
            write!(f, "\n       valid_lft {}", Lifetime(valid_s))?;
            write!(f, " preferred_lft {}", Lifetime(preferred_s))?;
        }
        f.write_str("\n")
    }
}

struct Lifetime(u32);

impl Display for Lifetime {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            u32::MAX => f.write_str("forever"),
            seconds => write!(f, "{seconds}sec"),
        }
    }
}

const PERMANENT: u32 = 0x80;
const BEFORE_DYNAMIC: u32 = 0x40;

/// IFA_F_*, in the order they are printed.
const ADDRESS_FLAGS: [(u32, &str); 10] = [
    (0x02, "nodad"),
    (0x04, "optimistic"),
    (0x08, "dadfailed"),
    (0x10, "home"),
    (0x20, "deprecated"),
    (0x40, "tentative"),
    (0x100, "mngtmpaddr"),
    (0x200, "noprefixroute"),
    (0x400, "autojoin"),
    (0x800, "stable-privacy"),
];

/// IF_OPER_*.
const STATES: [&str; 7] = ["UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP"];

/// IFF_*, in the order they are printed; up but not running is told as NO-CARRIER, before all others.
const LINK_FLAGS: [(u32, &str); 17] = [
    (0x8, "LOOPBACK"),
    (0x2, "BROADCAST"),
    (0x10, "POINTOPOINT"),
    (0x1000, "MULTICAST"),
    (0x80, "NOARP"),
    (0x200, "ALLMULTI"),
    (0x100, "PROMISC"),
    (0x400, "MASTER"),
    (0x800, "SLAVE"),
    (0x4, "DEBUG"),
    (0x8000, "DYNAMIC"),
    (0x2000, "PORTSEL"),
    (0x4000, "AUTOMEDIA"),
    (0x1, "UP"),
    (0x10000, "LOWER_UP"),
    (0x20000, "DORMANT"),
    (0x40000, "ECHO"),
];
const UP: u32 = 0x1;
const RUNNING: u32 = 0x40;

fn flag_names(flags: u32) -> String {
    let mut names = Vec::new();
    if flags & UP != 0 && flags & RUNNING == 0 {
        names.push("NO-CARRIER");
    }
    for (bit, name) in LINK_FLAGS {
        if flags & bit != 0 {
            names.push(name);
        }
    }
    names.join(",")
}
