//! Links: virtual Ethernet pairs, VXLAN, and the addresses on them.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;

use ipnet::IpNet;

use super::message::{Attributes, Message, Reply, flags, read_u32};
use super::socket::dump;
use super::{Namespace, Protocol, Result, Socket, or_gone};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;

const LINK_ADDRESS: u16 = 1;
const LINK_NAME: u16 = 3;
const LINK_MTU: u16 = 4;
const LINK_INFO: u16 = 18;
const LINK_INFO_KIND: u16 = 1;
const LINK_INFO_DATA: u16 = 2;
const LINK_ALIAS: u16 = 20;
const LINK_NAMESPACE_FD: u16 = 28;
const VETH_PEER: u16 = 1;
const VXLAN_ID: u16 = 1;
const VXLAN_LOCAL: u16 = 4;
const VXLAN_LEARNING: u16 = 7;
const VXLAN_PORT: u16 = 15;
const ADDRESS_ADDRESS: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ADDRESS_FLAGS: u16 = 8;
const ADDRESS_LIFETIMES: u16 = 6;
/// IPv6 knows no scope of a machine. An address that is preferred for no time and valid for ever (a `struct
/// ifa_cacheinfo`) is not chosen as a source towards others either.
const DEPRECATED: [u8; 16] = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
/// No duplicate address detection: the address is usable at once.
const ADDRESS_NO_DAD: u32 = 0x02;

const UP: u32 = 0x1;
const RUNNING: u32 = 0x40;
/// The length of `struct ifinfomsg`.
const LINK_HEADER: usize = 16;
/// The length of `struct ifaddrmsg`.
const ADDRESS_HEADER: usize = 8;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Where an address is valid, as the kernel counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// On its link.
    Link,
    /// On this machine; never chosen as a source towards others.
    Host,
}

impl Scope {
    /// The kernel's number.
    pub const fn number(self) -> u8 {
        match self {
            Scope::Global => 0,
            Scope::Link => 253,
            Scope::Host => 254,
        }
    }
}

/// A link as the kernel describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `veth`, `vxlan`…; empty for real hardware and the loopback.
    pub kind: String,
    /// What we wrote beside its name.
    pub alias: String,
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its largest packet.
    pub mtu: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it carries packets: the kernel gets a virtual link ready a moment after its other end is switched on.
    pub running: bool,
    /// The VXLAN network it carries.
    pub vni: Option<u32>,
    /// The address VXLAN packets are sent from.
    pub vxlan_local: Option<IpAddr>,
}

/// A pair of virtual links: one end here, the other in another namespace.
#[derive(Clone, Debug)]
pub struct Pair<'a> {
    /// The name of the end that stays.
    pub name: &'a str,
    /// Its Ethernet address.
    pub mac: Mac,
    /// The name of the other end.
    pub peer_name: &'a str,
    /// Its Ethernet address.
    pub peer_mac: Mac,
    /// Where the other end goes.
    pub peer_namespace: &'a Namespace,
    /// Both ends' largest packet.
    pub mtu: u32,
}

/// A VXLAN link with static neighbours.
#[derive(Clone, Debug)]
pub struct Vxlan<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its Ethernet address.
    pub mac: Mac,
    /// The network it carries.
    pub vni: u32,
    /// The UDP port on every node.
    pub port: u16,
    /// The address packets are sent from.
    pub local: Ipv4Addr,
    /// Its largest packet.
    pub mtu: u32,
}

/// The links, addresses, routes and neighbours of one namespace.
#[derive(Debug)]
pub struct Links {
    pub(super) socket: Socket,
}

impl Links {
    /// Those of the namespace.
    pub fn of(namespace: &Namespace) -> Result<Links> {
        Ok(Links { socket: Socket::open_in(namespace, Protocol::Route)? })
    }

    /// All of them, by number.
    pub fn list(&mut self) -> Result<Vec<Link>> {
        let mut request = dump(GET_LINK);
        request.put(&[0; LINK_HEADER]);
        let mut found = Vec::new();
        self.socket.query("listing links", request, |reply| found.extend(read_link(reply)))?;
        found.sort_by_key(|link| link.index);
        Ok(found)
    }

    /// The one with a name.
    pub fn by_name(&mut self, name: &str) -> Result<Option<Link>> {
        let mut request = Message::new(GET_LINK, flags::REQUEST | flags::ACK);
        request.put(&[0; LINK_HEADER]).text(LINK_NAME, name);
        let mut found = None;
        let result = self.socket.query(&format!("looking for the link {name}"), request, |reply| {
            found = read_link(reply);
        });
        or_gone(result)?;
        Ok(found)
    }

    /// Makes a pair of virtual links.
    pub fn add_pair(&mut self, pair: &Pair<'_>) -> Result<()> {
        let mut request = create_link(pair.name, pair.mac, pair.mtu);
        request.nest(LINK_INFO, |info| {
            info.text(LINK_INFO_KIND, "veth").nest(LINK_INFO_DATA, |data| {
                data.nest(VETH_PEER, |peer| {
                    peer.put(&[0; LINK_HEADER])
                        .text(LINK_NAME, pair.peer_name)
                        .attribute(LINK_ADDRESS, &pair.peer_mac)
                        .number(LINK_MTU, pair.mtu)
                        .attribute(LINK_NAMESPACE_FD, &pair.peer_namespace.fd().as_raw_fd().to_ne_bytes());
                });
            });
        });
        self.socket.request(&format!("making the link {}", pair.name), request)
    }

    /// Makes a VXLAN link.
    pub fn add_vxlan(&mut self, vxlan: &Vxlan<'_>) -> Result<()> {
        let mut request = create_link(vxlan.name, vxlan.mac, vxlan.mtu);
        request.nest(LINK_INFO, |info| {
            info.text(LINK_INFO_KIND, "vxlan").nest(LINK_INFO_DATA, |data| {
                data.number(VXLAN_ID, vxlan.vni)
                    .address(VXLAN_LOCAL, vxlan.local.into())
                    .byte(VXLAN_LEARNING, 0)
                    .attribute(VXLAN_PORT, &vxlan.port.to_be_bytes());
            });
        });
        self.socket.request(&format!("making the VXLAN link {}", vxlan.name), request)
    }

    /// Switches a link on.
    pub fn set_up(&mut self, index: u32) -> Result<()> {
        self.socket.request("switching a link on", change_link(index, UP))
    }

    /// Writes something beside a link's name, for people who list links (the kernel ignores it when a link is made).
    pub fn set_alias(&mut self, index: u32, alias: &str) -> Result<()> {
        let mut request = Message::new(NEW_LINK, flags::REQUEST | flags::ACK);
        let mut header = [0; LINK_HEADER];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        request.put(&header).text(LINK_ALIAS, alias);
        self.socket.request("describing a link", request)
    }

    /// Switches a link off.
    pub fn set_down(&mut self, index: u32) -> Result<()> {
        self.socket.request("switching a link off", change_link(index, 0))
    }

    /// Removes a link by name. One that is already gone is no error.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        let mut request = Message::new(DELETE_LINK, flags::REQUEST | flags::ACK);
        request.put(&[0; LINK_HEADER]).text(LINK_NAME, name);
        or_gone(self.socket.request(&format!("removing the link {name}"), request))
    }

    /// Puts an address on a link, or leaves it there. An IPv6 address is usable at once.
    pub fn add_address(&mut self, index: u32, address: IpNet, scope: Scope) -> Result<()> {
        let mut request =
            Message::new(NEW_ADDRESS, flags::REQUEST | flags::ACK | flags::CREATE | flags::REPLACE);
        request.put(&address_header(index, address, scope));
        request.address(ADDRESS_LOCAL, address.addr()).address(ADDRESS_ADDRESS, address.addr());
        if address.addr().is_ipv6() {
            request.number(ADDRESS_FLAGS, ADDRESS_NO_DAD);
            if scope == Scope::Host {
                request.attribute(ADDRESS_LIFETIMES, &DEPRECATED);
            }
        }
        self.socket.request(&format!("adding the address {address}"), request)
    }

    /// Takes an address from a link. One that is already gone is no error.
    pub fn remove_address(&mut self, index: u32, address: IpNet) -> Result<()> {
        let mut request = Message::new(DELETE_ADDRESS, flags::REQUEST | flags::ACK);
        request.put(&address_header(index, address, Scope::Global));
        request.address(ADDRESS_LOCAL, address.addr()).address(ADDRESS_ADDRESS, address.addr());
        or_gone(self.socket.request(&format!("removing the address {address}"), request))
    }

    /// All addresses, with the numbers of their links.
    pub fn addresses(&mut self) -> Result<Vec<(u32, IpNet)>> {
        let mut request = dump(GET_ADDRESS);
        request.put(&[0; ADDRESS_HEADER]);
        let mut found = Vec::new();
        self.socket.query("listing addresses", request, |reply| found.extend(read_address(reply)))?;
        found.sort();
        Ok(found)
    }
}

/// The kernel's number of an address family.
pub fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

fn create_link(name: &str, mac: Mac, mtu: u32) -> Message {
    let mut request = Message::new(NEW_LINK, flags::REQUEST | flags::ACK | flags::CREATE | flags::EXCLUSIVE);
    request.put(&[0; LINK_HEADER]).text(LINK_NAME, name).attribute(LINK_ADDRESS, &mac).number(LINK_MTU, mtu);
    request
}

fn change_link(index: u32, link_flags: u32) -> Message {
    let mut request = Message::new(NEW_LINK, flags::REQUEST | flags::ACK);
    let mut header = [0; LINK_HEADER];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&link_flags.to_ne_bytes());
    header[12..16].copy_from_slice(&UP.to_ne_bytes());
    request.put(&header);
    request
}

fn address_header(index: u32, address: IpNet, scope: Scope) -> [u8; ADDRESS_HEADER] {
    let number = index.to_ne_bytes();
    let family = family(address.addr());
    [family, address.prefix_len(), 0, scope.number(), number[0], number[1], number[2], number[3]]
}

fn read_link(reply: Reply<'_>) -> Option<Link> {
    let (header, attributes) = reply.split(LINK_HEADER).filter(|_| reply.kind == NEW_LINK)?;
    let info = attributes.inside(LINK_INFO);
    let kind = info.text(LINK_INFO_KIND).unwrap_or_default();
    let data = if kind == "vxlan" { info.inside(LINK_INFO_DATA) } else { Attributes::new(&[]) };
    Some(Link {
        index: read_u32(header, 4)?,
        name: attributes.text(LINK_NAME)?,
        kind,
        alias: attributes.text(LINK_ALIAS).unwrap_or_default(),
        mac: attributes.find(LINK_ADDRESS).and_then(|mac| mac.try_into().ok()).unwrap_or_default(),
        mtu: attributes.number(LINK_MTU).unwrap_or_default(),
        up: read_u32(header, 8)? & UP != 0,
        running: read_u32(header, 8)? & RUNNING != 0,
        vni: data.number(VXLAN_ID),
        vxlan_local: data.address(VXLAN_LOCAL),
    })
}

fn read_address(reply: Reply<'_>) -> Option<(u32, IpNet)> {
    let (header, attributes) = reply.split(ADDRESS_HEADER).filter(|_| reply.kind == NEW_ADDRESS)?;
    let address = attributes.address(ADDRESS_LOCAL).or_else(|| attributes.address(ADDRESS_ADDRESS))?;
    Some((read_u32(header, 4)?, IpNet::new(address, header[1]).ok()?))
}
