//! Netlink messages: building them with nested attributes, and reading them without trusting them.

use std::net::IpAddr;

use super::{Error, Result};

/// The length of a message's header.
pub const HEADER: usize = 16;

/// Flags of a request.
pub mod flags {
    /// It is a request.
    pub const REQUEST: u16 = 0x1;
    /// More messages of the same answer follow.
    pub const MULTI: u16 = 0x2;
    /// Say whether it worked.
    pub const ACK: u16 = 0x4;
    /// In a part of a dump: what is listed changed meanwhile.
    pub const DUMP_INTERRUPTED: u16 = 0x10;
    /// All objects of the kind.
    pub const DUMP: u16 = 0x300;
    /// Replace what is there.
    pub const REPLACE: u16 = 0x100;
    /// Fail if it is there.
    pub const EXCLUSIVE: u16 = 0x200;
    /// Make it if it is not there.
    pub const CREATE: u16 = 0x400;
    /// At the end of the list.
    pub const APPEND: u16 = 0x800;
    /// In an acknowledgement: the request is not repeated in it.
    pub const CAPPED: u16 = 0x100;
    /// In an acknowledgement: attributes with the kernel's own words follow.
    pub const ACK_ATTRIBUTES: u16 = 0x200;
}

/// Kinds of control messages.
pub mod control {
    /// An error, or with number zero an acknowledgement.
    pub const ERROR: u16 = 2;
    /// The end of a dump.
    pub const DONE: u16 = 3;
}

/// The bit that marks an attribute which holds others.
const NESTED: u16 = 0x8000;
/// The bits of an attribute's kind.
const KIND_BITS: u16 = 0x3fff;

/// A message being built. Its length and sequence number are filled in when it is sent.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Message {
    /// A message without a body.
    pub fn new(kind: u16, flags: u16) -> Message {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        Message { bytes, too_long: false }
    }

    /// Appends a fixed part, padded to four bytes.
    pub fn put(&mut self, part: &[u8]) -> &mut Message {
        self.bytes.extend_from_slice(part);
        self.pad();
        self
    }

    /// Appends an attribute.
    pub fn attribute(&mut self, kind: u16, payload: &[u8]) -> &mut Message {
        match u16::try_from(payload.len() + 4) {
            Ok(length) => {
                self.bytes.extend_from_slice(&length.to_ne_bytes());
                self.bytes.extend_from_slice(&kind.to_ne_bytes());
                self.bytes.extend_from_slice(payload);
                self.pad();
            }
            Err(_) => self.too_long = true,
        }
        self
    }

    /// Appends a text that ends with a zero byte.
    pub fn text(&mut self, kind: u16, text: &str) -> &mut Message {
        let mut payload = Vec::with_capacity(text.len() + 1);
        payload.extend_from_slice(text.as_bytes());
        payload.push(0);
        self.attribute(kind, &payload)
    }

    /// Appends a byte.
    pub fn byte(&mut self, kind: u16, value: u8) -> &mut Message {
        self.attribute(kind, &[value])
    }

    /// Appends a number in the machine's byte order.
    pub fn number(&mut self, kind: u16, value: u32) -> &mut Message {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// Appends a number in the network's byte order.
    pub fn big(&mut self, kind: u16, value: u32) -> &mut Message {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Appends a long number in the network's byte order.
    pub fn big_long(&mut self, kind: u16, value: u64) -> &mut Message {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// Appends an address.
    pub fn address(&mut self, kind: u16, address: IpAddr) -> &mut Message {
        match address {
            IpAddr::V4(address) => self.attribute(kind, &address.octets()),
            IpAddr::V6(address) => self.attribute(kind, &address.octets()),
        }
    }

    /// Appends an attribute that holds what `fill` appends.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) -> &mut Message {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.too_long = true,
        }
        self
    }

    /// Its length so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is only a header.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() <= HEADER
    }

    /// The kind it was made with.
    pub fn kind(&self) -> u16 {
        u16::from_ne_bytes([self.bytes[4], self.bytes[5]])
    }

    /// The bytes so far, of which length and sequence number are not filled in.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes to send, with length and sequence number filled in.
    pub fn finish(mut self, sequence: u32) -> Result<Vec<u8>> {
        let length = u32::try_from(self.bytes.len()).ok().filter(|_| !self.too_long);
        let Some(length) = length else {
            return Err(Error::Malformed("a netlink message does not fit: an attribute is too long".into()));
        };
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        Ok(self.bytes)
    }

    fn pad(&mut self) {
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
    }
}

/// A message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Its kind.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// The request it answers.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Reply<'a> {
    /// The fixed part of `length` bytes and the attributes after it; nothing if the message is shorter.
    pub fn split(&self, length: usize) -> Option<(&'a [u8], Attributes<'a>)> {
        let fixed = self.payload.get(..length)?;
        let rest = self.payload.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((fixed, Attributes::new(rest)))
    }

    /// The error number and the kernel's words, if this is an error or acknowledgement.
    pub fn error(&self) -> Option<(i32, String)> {
        if self.kind != control::ERROR {
            return None;
        }
        let number = i32::from_ne_bytes(self.payload.get(..4)?.try_into().ok()?);
        Some((number, self.words().unwrap_or_default()))
    }

    fn words(&self) -> Option<String> {
        if self.flags & flags::ACK_ATTRIBUTES == 0 {
            return None;
        }
        let original = u32::from_ne_bytes(self.payload.get(4..8)?.try_into().ok()?) as usize;
        let request = if self.flags & flags::CAPPED != 0 { HEADER } else { original.next_multiple_of(4) };
        let attributes = Attributes::new(self.payload.get(4 + request..)?);
        Some(text_of(attributes.find(1)?))
    }
}

/// The messages in what was received. Ends at the first that is malformed.
pub fn replies(mut bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    std::iter::from_fn(move || {
        let header = bytes.get(..HEADER)?;
        let length = read_u32(header, 0)? as usize;
        let payload = bytes.get(HEADER..length)?;
        let reply = Reply {
            kind: read_u16(header, 4)?,
            flags: read_u16(header, 6)?,
            sequence: read_u32(header, 8)?,
            payload,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(reply)
    })
}

/// Attributes that arrived: an iterator over their kinds and payloads. Ends at the first that is malformed.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Over these bytes.
    pub fn new(bytes: &'a [u8]) -> Attributes<'a> {
        Attributes { bytes }
    }

    /// The payload of the first attribute of a kind.
    pub fn find(&self, kind: u16) -> Option<&'a [u8]> {
        self.clone().find_map(|(found, payload)| (found == kind).then_some(payload))
    }

    /// The attributes inside one.
    pub fn inside(&self, kind: u16) -> Attributes<'a> {
        Attributes::new(self.find(kind).unwrap_or_default())
    }

    /// A text.
    pub fn text(&self, kind: u16) -> Option<String> {
        self.find(kind).map(text_of)
    }

    /// A number in the machine's byte order.
    pub fn number(&self, kind: u16) -> Option<u32> {
        read_u32(self.find(kind)?, 0)
    }

    /// A number in the network's byte order.
    pub fn big(&self, kind: u16) -> Option<u32> {
        self.number(kind).map(u32::from_be)
    }

    /// A short number in the network's byte order.
    pub fn big_short(&self, kind: u16) -> Option<u16> {
        read_u16(self.find(kind)?, 0).map(u16::from_be)
    }

    /// An address, by its length.
    pub fn address(&self, kind: u16) -> Option<IpAddr> {
        address_of(self.find(kind)?)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(read_u16(self.bytes, 0)?);
        let kind = read_u16(self.bytes, 2)? & KIND_BITS;
        let payload = self.bytes.get(4..length)?;
        self.bytes = self.bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    }
}

/// The address in four or sixteen bytes.
pub fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(octets));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// A number at a place in the machine's byte order.
pub fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// A short number at a place in the machine's byte order.
pub fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn text_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_can_be_read() {
        let mut message = Message::new(77, flags::REQUEST);
        message.put(&[1, 2, 3, 4]).text(3, "eth0").nest(18, |inner| {
            inner.text(1, "veth").nest(2, |data| {
                data.number(5, 1450).big(6, 7);
            });
        });
        let bytes = message.finish(9).unwrap();
        let all: Vec<_> = replies(&bytes).collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].kind, all[0].sequence), (77, 9));
        let (fixed, attributes) = all[0].split(4).unwrap();
        assert_eq!(fixed, [1, 2, 3, 4]);
        assert_eq!(attributes.text(3).as_deref(), Some("eth0"));
        let data = attributes.inside(18).inside(2);
        assert_eq!((data.number(5), data.big(6)), (Some(1450), Some(7)));
        assert_eq!(attributes.inside(99).next(), None);
    }

    #[test]
    fn a_nest_that_does_not_fit_is_refused_and_not_cut() {
        let mut message = Message::new(1, 0);
        message.nest(1, |inner| {
            for _ in 0..3 {
                inner.attribute(2, &[0; 30_000]);
            }
        });
        assert!(message.finish(1).is_err());
        let mut message = Message::new(1, 0);
        message.attribute(2, &[0; 70_000]);
        assert!(message.finish(1).is_err());
    }

    #[test]
    fn hostile_bytes_are_read_without_harm() {
        // A splitmix sequence: the same bytes in every run.
        let mut state = 7u64;
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (word ^ (word >> 27)) as u8
        };
        for length in 0..2_000usize {
            let mut bytes: Vec<u8> = (0..length % 97).map(|_| next()).collect();
            if bytes.len() > 3 && length % 3 == 0 {
                bytes[1..4].fill(0);
            }
            for reply in replies(&bytes) {
                let _ = reply.error();
                if let Some((_, attributes)) = reply.split(12) {
                    assert!(attributes.count() <= bytes.len());
                }
            }
            assert!(Attributes::new(&bytes).count() <= bytes.len());
        }
    }

    #[test]
    fn zero_lengths_end_the_iteration() {
        assert_eq!(Attributes::new(&[0, 0, 0, 0, 0, 0]).count(), 0);
        assert_eq!(replies(&[0; 64]).count(), 0);
    }

    #[test]
    fn the_kernels_words_are_found() {
        let mut error = Message::new(control::ERROR, flags::CAPPED | flags::ACK_ATTRIBUTES);
        error.put(&(-22i32).to_ne_bytes()).put(&[0; 16]).text(1, "no such thing");
        let bytes = error.finish(3).unwrap();
        let reply = replies(&bytes).next().unwrap();
        assert_eq!(reply.error(), Some((-22, "no such thing".to_owned())));
    }
}
