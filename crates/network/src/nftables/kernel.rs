//! The rules of one namespace: applying batches, and reading back tables and elements.

use super::batch::{Batch, GET_ELEMENTS, GET_TABLE, NEW_ELEMENTS, NEW_TABLE, start};
use super::set::Key;
use crate::netlink::message::{Attributes, flags};
use crate::netlink::socket::outcome;
use crate::netlink::{Error, Namespace, Protocol, Result, Socket};

/// The length of `struct nfgenmsg`.
const FAMILY_HEADER: usize = 4;

/// A connection to the rules of a namespace.
#[derive(Debug)]
pub struct Nft {
    socket: Socket,
}

impl Nft {
    /// To those of the namespace.
    pub fn of(namespace: &Namespace) -> Result<Nft> {
        Ok(Nft { socket: Socket::open_in(namespace, Protocol::Netfilter)? })
    }

    /// Makes all changes of the batch, or none.
    pub fn apply(&mut self, batch: Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let first = self.socket.reserve(batch.count());
        let (packet, subjects) = batch.finish(first)?;
        let mut refused: Option<Error> = None;
        self.socket.batch("changing packet rules", &packet, |reply| {
            let Some((number, detail)) = reply.error() else { return };
            let place = reply.sequence.wrapping_sub(first) as usize;
            let Some(subject) = subjects.get(place) else { return };
            // The first error is the cause; the others follow from it.
            if let Err(error) = outcome(subject, number, detail)
                && refused.is_none()
            {
                refused = Some(error);
            }
        })?;
        refused.map_or(Ok(()), Err)
    }

    /// The names of all tables of our family.
    pub fn tables(&mut self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        self.socket.query("listing tables of packet rules", start(GET_TABLE, flags::DUMP), |reply| {
            if let Some((_, attributes)) = reply.split(FAMILY_HEADER).filter(|_| reply.kind == NEW_TABLE) {
                found.extend(attributes.text(1));
            }
        })?;
        found.sort();
        Ok(found)
    }

    /// The elements of a set: their keys, and their values where they are data.
    pub fn elements(&mut self, table: &str, set: &str) -> Result<Vec<(Key, Option<Key>)>> {
        let mut request = start(GET_ELEMENTS, flags::DUMP);
        request.text(1, table).text(2, set);
        let mut found = Vec::new();
        self.socket.query(&format!("listing the elements of {set}"), request, |reply| {
            let Some((_, attributes)) = reply.split(FAMILY_HEADER).filter(|_| reply.kind == NEW_ELEMENTS)
            else {
                return;
            };
            found.extend(attributes.inside(3).filter_map(|(_, element)| {
                let element = Attributes::new(element);
                let key = Key::from_bytes(element.inside(1).find(1)?);
                Some((key, element.inside(2).find(1).map(Key::from_bytes)))
            }));
        })?;
        found.sort();
        Ok(found)
    }
}
