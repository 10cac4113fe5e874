//! The rules of one namespace: applying batches, and reading back tables and elements.

use std::collections::BTreeSet;

use super::batch::{Batch, GET_CHAIN, GET_ELEMENTS, GET_TABLE, NEW_CHAIN, NEW_ELEMENTS, NEW_TABLE, start};
use super::set::Element;
use crate::netlink::message::{Attributes, Message, Reply, flags};
use crate::netlink::socket::outcome;
use crate::netlink::{Error, Namespace, Protocol, Result, Socket};

/// The length of `struct nfgenmsg`.
const FAMILY_HEADER: usize = 4;
/// How often something is listed that changes meanwhile: any table of the namespace counts, also those of others.
const LISTINGS: u32 = 100;

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
        let request = || start(GET_TABLE, flags::DUMP);
        let mut found = self.list("listing tables of packet rules", request, |reply| {
            let (_, attributes) = reply.split(FAMILY_HEADER).filter(|_| reply.kind == NEW_TABLE)?;
            Some(attributes.text(1).into_iter().collect())
        })?;
        found.sort();
        Ok(found)
    }

    /// The names of a table's chains.
    pub fn chains(&mut self, table: &str) -> Result<BTreeSet<String>> {
        let request = || start(GET_CHAIN, flags::DUMP);
        let found = self.list(&format!("listing the chains of {table}"), request, |reply| {
            let (_, attributes) = reply.split(FAMILY_HEADER).filter(|_| reply.kind == NEW_CHAIN)?;
            let is_ours = attributes.text(1).is_some_and(|one| one == table);
            Some(attributes.text(3).filter(|_| is_ours).into_iter().collect())
        })?;
        Ok(found.into_iter().collect())
    }

    /// The elements of a set.
    pub fn elements(&mut self, table: &str, set: &str) -> Result<BTreeSet<Element>> {
        let request = || {
            let mut request = start(GET_ELEMENTS, flags::DUMP);
            request.text(1, table).text(2, set);
            request
        };
        let found = self.list(&format!("listing the elements of {set}"), request, |reply| {
            let (_, attributes) = reply.split(FAMILY_HEADER).filter(|_| reply.kind == NEW_ELEMENTS)?;
            let elements = attributes.inside(3);
            Some(elements.filter_map(|(_, element)| Element::read(&Attributes::new(element))).collect())
        })?;
        Ok(found.into_iter().collect())
    }

    /// All that `read` finds in the answers to a request; asked again if it changed while it was listed.
    fn list<T>(
        &mut self,
        what: &str,
        request: impl Fn() -> Message,
        read: impl Fn(&Reply<'_>) -> Option<Vec<T>>,
    ) -> Result<Vec<T>> {
        for _ in 0..LISTINGS {
            let (mut found, mut interrupted) = (Vec::new(), false);
            self.socket.query(what, request(), |reply| {
                interrupted |= reply.flags & flags::DUMP_INTERRUPTED != 0;
                found.extend(read(&reply).into_iter().flatten());
            })?;
            if !interrupted {
                return Ok(found);
            }
        }
        Err(Error::Malformed(format!("{what}: it changes faster than it can be listed")))
    }
}
