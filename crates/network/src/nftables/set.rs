//! Named sets and maps, and their elements.

use std::net::IpAddr;

use super::expression::Verdict;
use crate::netlink::message::{Attributes, Message};

/// One part of a key or of a map's data. Its type is for those who list the rules; its length is what counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// A transport protocol's number.
    Protocol,
    /// A port.
    Port,
    /// A number.
    Number,
    /// The name of a link.
    LinkName,
}

impl Field {
    /// The address type of a family.
    pub const fn address(v6: bool) -> Field {
        if v6 { Field::Ipv6 } else { Field::Ipv4 }
    }

    /// Its length in bytes.
    pub const fn length(self) -> usize {
        match self {
            Field::Ipv4 | Field::Number => 4,
            Field::Ipv6 | Field::LinkName => 16,
            Field::Protocol => 1,
            Field::Port => 2,
        }
    }

    /// Its number among the types of the `nft` tool.
    const fn tool_type(self) -> u32 {
        match self {
            Field::Ipv4 => 7,
            Field::Ipv6 => 8,
            Field::Protocol => 12,
            Field::Port => 13,
            Field::Number => 19,
            Field::LinkName => 41,
        }
    }
}

/// How long a concatenation of fields is: each but a single one is padded to four bytes.
pub fn length(fields: &[Field]) -> usize {
    match fields {
        [single] => single.length(),
        fields => fields.iter().map(|field| field.length().next_multiple_of(4)).sum(),
    }
}

/// What a map leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'a> {
    /// Nothing: it is a set.
    None,
    /// Values.
    Fields(&'a [Field]),
    /// What happens to the packet.
    Verdict,
}

/// A set or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its keys are made of.
    pub key: &'a [Field],
    /// What it maps to.
    pub data: Data<'a>,
    /// Whether keys are ranges.
    pub ranges: bool,
    /// Whether rules add elements; then the number of them at most. They may have a time limit.
    pub dynamic: Option<u32>,
}

impl<'a> Set<'a> {
    /// A set.
    pub const fn new(name: &'a str, key: &'a [Field]) -> Set<'a> {
        Set { name, key, data: Data::None, ranges: false, dynamic: None }
    }

    /// A map to values.
    pub const fn map(name: &'a str, key: &'a [Field], data: &'a [Field]) -> Set<'a> {
        Set { data: Data::Fields(data), ..Set::new(name, key) }
    }

    /// A map to verdicts.
    pub const fn verdicts(name: &'a str, key: &'a [Field]) -> Set<'a> {
        Set { data: Data::Verdict, ..Set::new(name, key) }
    }

    /// The same, with ranges as keys.
    pub const fn with_ranges(self) -> Set<'a> {
        Set { ranges: true, ..self }
    }

    /// The same, filled by rules with at most `size` elements.
    pub const fn filled_by_rules(self, size: u32) -> Set<'a> {
        Set { dynamic: Some(size), ..self }
    }

    /// Appends its description to the message that makes it.
    pub(super) fn describe(&self, message: &mut Message) {
        const CONCATENATED_RANGES: u32 = 0x80 | 0x4;
        let mut flags = 0;
        if self.ranges {
            flags |= if self.key.len() > 1 { CONCATENATED_RANGES } else { 0x4 };
        }
        flags |= if self.data == Data::None { 0 } else { 0x8 };
        flags |= if self.dynamic.is_some() { 0x10 | 0x20 } else { 0 };
        message.text(2, self.name).big(3, flags);
        message.big(4, tool_type(self.key)).big(5, length(self.key) as u32);
        match self.data {
            Data::None => {}
            Data::Fields(fields) => {
                message.big(6, tool_type(fields)).big(7, length(fields) as u32);
            }
            Data::Verdict => {
                message.big(6, 0xffff_ff00).big(7, 0);
            }
        }
        let concatenated = self.ranges && self.key.len() > 1;
        if self.dynamic.is_some() || concatenated {
            message.nest(9, |description| {
                if let Some(size) = self.dynamic {
                    description.big(1, size);
                }
                if concatenated {
                    description.nest(2, |fields| {
                        for field in self.key {
                            fields.nest(1, |one| {
                                one.big(1, field.length() as u32);
                            });
                        }
                    });
                }
            });
        }
    }
}

fn tool_type(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |all, field| (all << 6) | field.tool_type())
}

/// A key, or a value, as the kernel has it: the fields one after the other, each padded to four bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    bytes: Vec<u8>,
}

impl Key {
    /// Nothing yet.
    pub fn new() -> Key {
        Key { bytes: Vec::with_capacity(24) }
    }

    /// From bytes that already have the kernel's form.
    pub fn from_bytes(bytes: &[u8]) -> Key {
        Key { bytes: bytes.to_vec() }
    }

    /// Followed by an address.
    pub fn address(mut self, address: IpAddr) -> Key {
        match address {
            IpAddr::V4(address) => self.bytes.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => self.bytes.extend_from_slice(&address.octets()),
        }
        self
    }

    /// Followed by a protocol's number.
    pub fn protocol(mut self, number: u8) -> Key {
        self.bytes.extend_from_slice(&[number, 0, 0, 0]);
        self
    }

    /// Followed by a port.
    pub fn port(mut self, port: u16) -> Key {
        let bytes = port.to_be_bytes();
        self.bytes.extend_from_slice(&[bytes[0], bytes[1], 0, 0]);
        self
    }

    /// Followed by a number.
    pub fn number(mut self, number: u32) -> Key {
        self.bytes.extend_from_slice(&number.to_ne_bytes());
        self
    }

    /// Followed by the name of a link.
    pub fn link_name(mut self, name: &str) -> Key {
        let mut bytes = [0; 16];
        let length = name.len().min(15);
        bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
        self.bytes.extend_from_slice(&bytes);
        self
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What an element's key leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// It is in a set.
    #[default]
    None,
    /// A value.
    Data(Key),
    /// What happens to the packet.
    Verdict(Verdict),
}

/// An element of a set or map.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// Its key, or where its range begins.
    pub key: Key,
    /// Where its range ends (the last key in it), in sets of concatenated ranges.
    pub end: Option<Key>,
    /// In sets of ranges of one field: no key of the element, but the first one after a range.
    pub closes_range: bool,
    /// What it leads to.
    pub value: Value,
}

impl Element {
    /// A member of a set.
    pub fn member(key: Key) -> Element {
        Element { key, ..Element::default() }
    }

    /// A key and its value.
    pub fn pair(key: Key, value: Key) -> Element {
        Element { key, value: Value::Data(value), ..Element::default() }
    }

    /// A key and what happens to packets that have it.
    pub fn verdict(key: Key, verdict: Verdict) -> Element {
        Element { key, value: Value::Verdict(verdict), ..Element::default() }
    }

    /// A member that is a range of concatenated fields.
    pub fn range(first: Key, last: Key) -> Element {
        Element { key: first, end: Some(last), ..Element::default() }
    }

    /// The elements that make the members of a block of addresses, for a set of ranges of one field.
    pub fn block(block: ipnet::IpNet) -> Vec<Element> {
        let mut both = vec![Element::member(Key::new().address(block.network()))];
        if let Some(after) = address_after(block.broadcast()) {
            let key = Key::new().address(after);
            both.push(Element { key, closes_range: true, ..Element::default() });
        }
        both
    }

    /// From the attributes the kernel lists it with.
    pub(super) fn read(attributes: &Attributes<'_>) -> Option<Element> {
        let bytes = |kind| attributes.inside(kind).find(1).map(Key::from_bytes);
        let value = match (bytes(2), attributes.inside(2).find(2)) {
            (Some(data), _) => Value::Data(data),
            (None, Some(verdict)) => Value::Verdict(Verdict::read(&Attributes::new(verdict))?),
            (None, None) => Value::None,
        };
        let closes_range = attributes.big(3).is_some_and(|flags| flags & 1 != 0);
        Some(Element { key: bytes(1)?, end: bytes(10), closes_range, value })
    }

    pub(super) fn write(&self, list: &mut Message) {
        list.nest(1, |element| {
            element.nest(1, |key| {
                key.attribute(1, &self.key.bytes);
            });
            if let Some(end) = &self.end {
                element.nest(10, |key| {
                    key.attribute(1, &end.bytes);
                });
            }
            match &self.value {
                Value::None => {}
                Value::Data(data) => {
                    element.nest(2, |value| {
                        value.attribute(1, &data.bytes);
                    });
                }
                Value::Verdict(verdict) => {
                    element.nest(2, |value| verdict.write(value));
                }
            }
            if self.closes_range {
                element.big(3, 1);
            }
        });
    }
}

fn address_after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => u32::from(address).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(address) => u128::from(address).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}
