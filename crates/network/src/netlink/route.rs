//! Routes. Those we make carry a protocol number of our own, so that we find them again.

use std::net::IpAddr;

use ipnet::IpNet;

use super::link::{Links, Scope, family};
use super::message::{Message, Reply, flags};
use super::socket::dump;
use super::{Result, or_gone};

const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;

const DESTINATION: u16 = 1;
const OUT_LINK: u16 = 4;
const GATEWAY: u16 = 5;
const PREFERRED_SOURCE: u16 = 7;

const MAIN_TABLE: u8 = 254;
const UNICAST: u8 = 1;
const ON_LINK: u32 = 4;
/// The length of `struct rtmsg`.
const ROUTE_HEADER: usize = 12;

/// Who made a route, as the kernel's tools show it (`proto 73`). Above the numbers that are taken.
pub const OUR_PROTOCOL: u8 = 73;

/// A route of the main table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Where to.
    pub destination: IpNet,
    /// Through which link.
    pub link: u32,
    /// By which next hop, taken to be on the link; `None` if the destination is on the link itself.
    pub gateway: Option<IpAddr>,
    /// The address this machine speaks from when it uses the route.
    pub source: Option<IpAddr>,
}

impl Links {
    /// Makes a route, in place of another one to the same destination.
    pub fn set_route(&mut self, route: &Route) -> Result<()> {
        let request = route_message(NEW_ROUTE, flags::CREATE | flags::REPLACE, route);
        self.socket.request(&format!("adding the route to {}", route.destination), request)
    }

    /// Removes a route. One that is already gone is no error.
    pub fn remove_route(&mut self, route: &Route) -> Result<()> {
        let request = route_message(DELETE_ROUTE, 0, route);
        or_gone(self.socket.request(&format!("removing the route to {}", route.destination), request))
    }

    /// The routes of the main table that we made.
    pub fn our_routes(&mut self) -> Result<Vec<Route>> {
        let mut request = dump(GET_ROUTE);
        request.put(&[0; ROUTE_HEADER]);
        let mut found = Vec::new();
        self.socket.query("listing routes", request, |reply| found.extend(read_route(reply)))?;
        found.sort();
        Ok(found)
    }
}

fn route_message(kind: u16, more: u16, route: &Route) -> Message {
    let mut request = Message::new(kind, flags::REQUEST | flags::ACK | more);
    let (scope, route_flags) = match route.gateway {
        Some(_) => (Scope::Global, ON_LINK),
        None => (Scope::Link, 0),
    };
    // IPv6 knows no scopes.
    let scope = if route.destination.addr().is_ipv6() { Scope::Global } else { scope };
    let mut header = [0; ROUTE_HEADER];
    header[0] = family(route.destination.addr());
    header[1] = route.destination.prefix_len();
    header[4..8].copy_from_slice(&[MAIN_TABLE, OUR_PROTOCOL, scope.number(), UNICAST]);
    header[8..12].copy_from_slice(&route_flags.to_ne_bytes());
    request.put(&header);
    if route.destination.prefix_len() > 0 {
        request.address(DESTINATION, route.destination.network());
    }
    request.number(OUT_LINK, route.link);
    if let Some(gateway) = route.gateway {
        request.address(GATEWAY, gateway);
    }
    if let Some(source) = route.source {
        request.address(PREFERRED_SOURCE, source);
    }
    request
}

fn read_route(reply: Reply<'_>) -> Option<Route> {
    let (header, attributes) = reply.split(ROUTE_HEADER).filter(|_| reply.kind == NEW_ROUTE)?;
    if header[4] != MAIN_TABLE || header[5] != OUR_PROTOCOL {
        return None;
    }
    let everywhere =
        if i32::from(header[0]) == libc::AF_INET { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    let destination = attributes.address(DESTINATION).unwrap_or(everywhere);
    Some(Route {
        destination: IpNet::new(destination, header[1]).ok()?,
        link: attributes.number(OUT_LINK)?,
        gateway: attributes.address(GATEWAY),
        source: attributes.address(PREFERRED_SOURCE),
    })
}
