//! Connection tracking: finding and forgetting flows whose translation is out of date.
//!
//! A UDP flow never ends by itself while its client keeps sending, so it would follow a removed endpoint for ever.

use std::net::{IpAddr, SocketAddr};

use super::message::{Attributes, Message, Reply, flags};
use super::{Namespace, Protocol, Result, Socket, or_gone};

const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;

const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const ID: u16 = 12;
const TUPLE_ADDRESSES: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
/// The length of `struct nfgenmsg`.
const FAMILY_HEADER: usize = 4;

/// A translated flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Its transport protocol's number.
    pub protocol: u8,
    /// Who began it.
    pub client: SocketAddr,
    /// Whom the client speaks to.
    pub service: SocketAddr,
    /// Who answers: the sender of the replies.
    pub backend: SocketAddr,
    /// What the kernel noted about it: whether it was answered, whether it is translated.
    pub status: u32,
    original: Vec<u8>,
    id: Vec<u8>,
}

/// The flows of one namespace.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// Those of the namespace.
    pub fn of(namespace: &Namespace) -> Result<Conntrack> {
        Ok(Conntrack { socket: Socket::open_in(namespace, Protocol::Netfilter)? })
    }

    /// All flows of an address family (an address of it says which) that `wanted` picks.
    pub fn find(&mut self, family: IpAddr, wanted: impl Fn(&Flow) -> bool) -> Result<Vec<Flow>> {
        let mut request = Message::new(GET, flags::REQUEST | flags::DUMP);
        request.put(&[super::link::family(family), 0, 0, 0]);
        let mut found = Vec::new();
        self.socket.query("listing tracked connections", request, |reply| {
            found.extend(read_flow(reply).filter(|flow| wanted(flow)));
        })?;
        Ok(found)
    }

    /// Forgets a flow. One that is already gone is no error.
    pub fn forget(&mut self, flow: &Flow) -> Result<()> {
        let mut request = Message::new(DELETE, flags::REQUEST | flags::ACK);
        request.put(&[super::link::family(flow.client.ip()), 0, 0, 0]);
        request.attribute(ORIGINAL | 0x8000, &flow.original).attribute(ID, &flow.id);
        or_gone(self.socket.request("forgetting a tracked connection", request))
    }

    /// Forgets all flows of an address family that `wanted` picks. Answers how many.
    pub fn forget_all(&mut self, family: IpAddr, wanted: impl Fn(&Flow) -> bool) -> Result<usize> {
        let found = self.find(family, wanted)?;
        found.iter().try_for_each(|flow| self.forget(flow))?;
        Ok(found.len())
    }
}

fn read_flow(reply: Reply<'_>) -> Option<Flow> {
    let (_, attributes) = reply.split(FAMILY_HEADER)?;
    let original = attributes.find(ORIGINAL)?;
    let (protocol, client, service) = read_tuple(Attributes::new(original))?;
    let (_, backend, _) = read_tuple(attributes.inside(REPLY))?;
    Some(Flow {
        protocol,
        client,
        service,
        backend,
        status: attributes.big(STATUS).unwrap_or_default(),
        original: original.to_vec(),
        id: attributes.find(ID)?.to_vec(),
    })
}

fn read_tuple(tuple: Attributes<'_>) -> Option<(u8, SocketAddr, SocketAddr)> {
    let addresses = tuple.inside(TUPLE_ADDRESSES);
    let protocol = tuple.inside(TUPLE_PROTOCOL);
    let source = addresses.address(1).or_else(|| addresses.address(3))?;
    let destination = addresses.address(2).or_else(|| addresses.address(4))?;
    let number = *protocol.find(PROTOCOL_NUMBER)?.first()?;
    // Protocols without ports (ICMP) have flows too; they are nobody's Service.
    let source_port = protocol.big_short(SOURCE_PORT).unwrap_or_default();
    let destination_port = protocol.big_short(DESTINATION_PORT).unwrap_or_default();
    Some((number, SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port)))
}
