//! Permanent neighbours and forwarding entries: nobody has to ask who has an address.

use std::net::IpAddr;

use super::link::{Links, Mac, family};
use super::message::{Message, Reply, flags, read_u16, read_u32};
use super::socket::dump;
use super::{Result, or_gone};

const NEW_NEIGHBOUR: u16 = 28;
const DELETE_NEIGHBOUR: u16 = 29;
const GET_NEIGHBOUR: u16 = 30;

const DESTINATION: u16 = 1;
const MAC: u16 = 2;

const PERMANENT: u16 = 0x80;
/// The entry is the VXLAN link's own, not a bridge's.
const SELF: u8 = 0x02;
const BRIDGE_FAMILY: u8 = libc::AF_BRIDGE as u8;
/// The length of `struct ndmsg`.
const NEIGHBOUR_HEADER: usize = 12;

/// An address and who has it: a neighbour of a link, or (asked of a VXLAN's forwarding table) the node behind a
/// tunnel's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// The link's number.
    pub link: u32,
    /// The neighbour's address, or that of the node that frames for `mac` are sent to.
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: Mac,
}

impl Links {
    /// Writes down who has an address, for good.
    pub fn set_neighbour(&mut self, neighbour: &Neighbour) -> Result<()> {
        let request = neighbour_message(NEW_NEIGHBOUR, neighbour, Table::Neighbours);
        self.socket.request(&format!("adding the neighbour {}", neighbour.address), request)
    }

    /// Forgets who has an address. What is already forgotten is no error.
    pub fn remove_neighbour(&mut self, neighbour: &Neighbour) -> Result<()> {
        let request = neighbour_message(DELETE_NEIGHBOUR, neighbour, Table::Neighbours);
        or_gone(self.socket.request(&format!("removing the neighbour {}", neighbour.address), request))
    }

    /// Writes down behind which node a tunnel's end is.
    pub fn set_forwarding(&mut self, entry: &Neighbour) -> Result<()> {
        let request = neighbour_message(NEW_NEIGHBOUR, entry, Table::Forwarding);
        self.socket.request(&format!("adding the tunnel to {}", entry.address), request)
    }

    /// Forgets behind which node a tunnel's end is. What is already forgotten is no error.
    pub fn remove_forwarding(&mut self, entry: &Neighbour) -> Result<()> {
        let request = neighbour_message(DELETE_NEIGHBOUR, entry, Table::Forwarding);
        or_gone(self.socket.request(&format!("removing the tunnel to {}", entry.address), request))
    }

    /// The permanent neighbours of a link.
    pub fn neighbours(&mut self, link: u32) -> Result<Vec<Neighbour>> {
        self.entries(link, 0)
    }

    /// The permanent forwarding entries of a VXLAN link.
    pub fn forwarding(&mut self, link: u32) -> Result<Vec<Neighbour>> {
        self.entries(link, BRIDGE_FAMILY)
    }

    fn entries(&mut self, link: u32, family: u8) -> Result<Vec<Neighbour>> {
        let mut request = dump(GET_NEIGHBOUR);
        let mut header = [0; NEIGHBOUR_HEADER];
        header[0] = family;
        request.put(&header);
        let mut found = Vec::new();
        self.socket.query("listing neighbours", request, |reply| {
            found.extend(read_neighbour(reply).filter(|neighbour| neighbour.link == link));
        })?;
        found.sort();
        Ok(found)
    }
}

#[derive(Clone, Copy)]
enum Table {
    Neighbours,
    Forwarding,
}

fn neighbour_message(kind: u16, neighbour: &Neighbour, table: Table) -> Message {
    let more = if kind == NEW_NEIGHBOUR { flags::CREATE | flags::REPLACE } else { 0 };
    let mut request = Message::new(kind, flags::REQUEST | flags::ACK | more);
    let mut header = [0; NEIGHBOUR_HEADER];
    header[4..8].copy_from_slice(&neighbour.link.to_ne_bytes());
    header[8..10].copy_from_slice(&PERMANENT.to_ne_bytes());
    match table {
        Table::Neighbours => header[0] = family(neighbour.address),
        Table::Forwarding => (header[0], header[10]) = (BRIDGE_FAMILY, SELF),
    }
    request.put(&header).address(DESTINATION, neighbour.address).attribute(MAC, &neighbour.mac);
    request
}

fn read_neighbour(reply: Reply<'_>) -> Option<Neighbour> {
    let (header, attributes) = reply.split(NEIGHBOUR_HEADER).filter(|_| reply.kind == NEW_NEIGHBOUR)?;
    if read_u16(header, 8)? & PERMANENT == 0 {
        return None;
    }
    Some(Neighbour {
        link: read_u32(header, 4)?,
        address: attributes.address(DESTINATION)?,
        mac: attributes.find(MAC)?.try_into().ok()?,
    })
}
