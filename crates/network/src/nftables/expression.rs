//! What rules are made of: load something of a packet into registers, look it up or compare it, act.

use crate::netlink::message::{Attributes, Message};

/// One of sixteen registers of four bytes. Longer values take the following ones as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(pub u8);

impl Register {
    /// The register `count` further on.
    pub const fn plus(self, count: u8) -> Register {
        Register(self.0 + count)
    }

    const fn number(self) -> u32 {
        8 + self.0 as u32
    }
}

/// What happens to a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It passes this hook's chain.
    Accept,
    /// It is dropped.
    Drop,
    /// It goes through a chain and comes back.
    Jump(String),
    /// It goes through a chain and does not come back.
    Goto(String),
    /// It goes back to where it came from.
    Return,
}

impl Verdict {
    /// From the attributes the kernel lists it with.
    pub(super) fn read(attributes: &Attributes<'_>) -> Option<Verdict> {
        Some(match attributes.big(1)? as i32 {
            1 => Verdict::Accept,
            0 => Verdict::Drop,
            -3 => Verdict::Jump(attributes.text(2)?),
            -4 => Verdict::Goto(attributes.text(2)?),
            -5 => Verdict::Return,
            _ => return None,
        })
    }

    /// Appends itself as the content of a data attribute.
    pub(super) fn write(&self, data: &mut Message) {
        let (code, chain): (i32, Option<&str>) = match self {
            Verdict::Accept => (1, None),
            Verdict::Drop => (0, None),
            Verdict::Jump(chain) => (-3, Some(chain)),
            Verdict::Goto(chain) => (-4, Some(chain)),
            Verdict::Return => (-5, None),
        };
        data.nest(2, |verdict| {
            verdict.attribute(1, &code.to_be_bytes());
            if let Some(chain) = chain {
                verdict.text(2, chain);
            }
        });
    }
}

/// Parts of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The source address (IPv4).
    Source4,
    /// The destination address (IPv4).
    Destination4,
    /// The source address (IPv6).
    Source6,
    /// The destination address (IPv6).
    Destination6,
    /// The source port.
    SourcePort,
    /// The destination port.
    DestinationPort,
}

impl Payload {
    /// The source address of a family.
    pub const fn source(v6: bool) -> Payload {
        if v6 { Payload::Source6 } else { Payload::Source4 }
    }

    /// The destination address of a family.
    pub const fn destination(v6: bool) -> Payload {
        if v6 { Payload::Destination6 } else { Payload::Destination4 }
    }

    /// Header, offset, length.
    const fn place(self) -> (u32, u32, u32) {
        match self {
            Payload::Source4 => (1, 12, 4),
            Payload::Destination4 => (1, 16, 4),
            Payload::Source6 => (1, 8, 16),
            Payload::Destination6 => (1, 24, 16),
            Payload::SourcePort => (2, 0, 2),
            Payload::DestinationPort => (2, 2, 2),
        }
    }
}

/// What the kernel knows beside a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    /// Its mark.
    Mark,
    /// The name of the link it came in by.
    InName,
    /// The name of the link it goes out by.
    OutName,
    /// The address family: 2 is IPv4, 10 is IPv6.
    Family,
    /// The transport protocol.
    Protocol,
}

impl Meta {
    const fn number(self) -> u32 {
        match self {
            Meta::Mark => 3,
            Meta::InName => 6,
            Meta::OutName => 7,
            Meta::Family => 15,
            Meta::Protocol => 16,
        }
    }
}

/// What connection tracking knows about a packet's flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conntrack {
    /// Whether it is new, known, related (see [`state`]).
    State,
    /// What was done to it (see [`status`]).
    Status,
    /// The address its first packet was sent to (IPv4).
    OriginalDestination4,
    /// The address its first packet was sent to (IPv6).
    OriginalDestination6,
    /// The port its first packet was sent to.
    OriginalPort,
}

/// Bits of [`Conntrack::State`].
pub mod state {
    /// It makes no sense.
    pub const INVALID: u32 = 1;
    /// Packets went both ways.
    pub const ESTABLISHED: u32 = 2;
    /// It belongs to another flow.
    pub const RELATED: u32 = 4;
    /// It is the first packet.
    pub const NEW: u32 = 8;
}

/// Bits of [`Conntrack::Status`].
pub mod status {
    /// Its source was translated.
    pub const SOURCE_NAT: u32 = 1 << 4;
    /// Its destination was translated.
    pub const DESTINATION_NAT: u32 = 1 << 5;
}

/// How to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Is,
    /// Not equal.
    IsNot,
}

/// Which address of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where from.
    Source,
    /// Where to.
    Destination,
}

/// How a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// As if nobody listened on the port.
    PortUnreachable,
    /// TCP: the connection is reset.
    Reset,
    /// As forbidden.
    Prohibited,
}

/// The kind of route an address has, as `fib` answers it: an address of this machine.
pub const LOCAL_ADDRESS: u32 = 2;

/// A step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads a part of the packet; the rule ends if the packet has no such part.
    Load(Payload, Register),
    /// Loads what the kernel knows beside the packet.
    LoadMeta(Meta, Register),
    /// Writes the packet's mark.
    SetMark(Register),
    /// Loads what connection tracking knows.
    LoadConntrack(Conntrack, Register),
    /// Loads the kind of the route to one of the packet's addresses.
    AddressKind(Side, Register),
    /// Goes on if the register compares so.
    Compare(Register, Compare, Vec<u8>),
    /// Register = (register & mask) ^ xor, on four bytes.
    Bits(Register, u32, u32),
    /// Loads a constant.
    Constant(Register, Vec<u8>),
    /// A random number: one of so many, from this one on.
    Random(u32, u32, Register),
    /// Goes on if the key is in the set.
    InSet(String, Register),
    /// Goes on if the key is not in the set.
    NotInSet(String, Register),
    /// Loads what the map has for the key; the rule ends if it has nothing.
    Map(String, Register, Register),
    /// Does what the map has for the key; goes on if it has nothing.
    VerdictMap(String, Register),
    /// Adds an element (key, value) that lives for some milliseconds, or renews it.
    Remember(String, Register, Register, u64),
    /// Translates the destination to the address (of IPv6 if true) and port in registers.
    TranslateDestination(bool, Register, Register),
    /// Translates the source to an address of the link the packet leaves by.
    Masquerade,
    /// Refuses the packet.
    Reject(Reject),
    /// Decides.
    Verdict(Verdict),
}

impl Expression {
    /// Appends itself to a rule's list.
    pub(super) fn write(&self, list: &mut Message) {
        list.nest(1, |expression| {
            expression.text(1, self.name());
            expression.nest(2, |data| self.write_data(data));
        });
    }

    const fn name(&self) -> &'static str {
        match self {
            Expression::Load(..) => "payload",
            Expression::LoadMeta(..) | Expression::SetMark(..) => "meta",
            Expression::LoadConntrack(..) => "ct",
            Expression::AddressKind(..) => "fib",
            Expression::Compare(..) => "cmp",
            Expression::Bits(..) => "bitwise",
            Expression::Constant(..) | Expression::Verdict(..) => "immediate",
            Expression::Random(..) => "numgen",
            Expression::InSet(..)
            | Expression::NotInSet(..)
            | Expression::Map(..)
            | Expression::VerdictMap(..) => "lookup",
            Expression::Remember(..) => "dynset",
            Expression::TranslateDestination(..) => "nat",
            Expression::Masquerade => "masq",
            Expression::Reject(..) => "reject",
        }
    }

    fn write_data(&self, data: &mut Message) {
        match self {
            Expression::Load(part, to) => {
                let (base, offset, length) = part.place();
                data.big(1, to.number()).big(2, base).big(3, offset).big(4, length);
            }
            Expression::LoadMeta(key, to) => {
                data.big(1, to.number()).big(2, key.number());
            }
            Expression::SetMark(from) => {
                data.big(2, Meta::Mark.number()).big(3, from.number());
            }
            Expression::LoadConntrack(key, to) => {
                let (number, of_original) = match key {
                    Conntrack::State => (0, false),
                    Conntrack::Status => (2, false),
                    Conntrack::OriginalPort => (12, true),
                    Conntrack::OriginalDestination4 => (20, true),
                    Conntrack::OriginalDestination6 => (22, true),
                };
                data.big(1, to.number()).big(2, number);
                if of_original {
                    data.byte(3, 0);
                }
            }
            Expression::AddressKind(side, to) => {
                let flags = if *side == Side::Source { 1 } else { 2 };
                data.big(1, to.number()).big(2, 3).big(3, flags);
            }
            Expression::Compare(register, how, value) => {
                let how = if *how == Compare::Is { 0 } else { 1 };
                data.big(1, register.number()).big(2, how).nest(3, |nested| {
                    nested.attribute(1, value);
                });
            }
            Expression::Bits(register, mask, xor) => {
                data.big(1, register.number()).big(2, register.number()).big(3, 4);
                for (kind, bits) in [(4, mask), (5, xor)] {
                    data.nest(kind, |nested| {
                        nested.number(1, *bits);
                    });
                }
            }
            Expression::Constant(to, value) => {
                data.big(1, to.number()).nest(2, |nested| {
                    nested.attribute(1, value);
                });
            }
            Expression::Random(count, first, to) => {
                data.big(1, to.number()).big(2, *count).big(3, 1).big(4, *first);
            }
            Expression::Verdict(verdict) => {
                data.big(1, 0).nest(2, |nested| verdict.write(nested));
            }
            other => other.write_action(data),
        }
    }

    fn write_action(&self, data: &mut Message) {
        match self {
            Expression::InSet(set, key) => {
                data.text(1, set).big(2, key.number());
            }
            Expression::NotInSet(set, key) => {
                data.text(1, set).big(2, key.number()).big(5, 1);
            }
            Expression::Map(set, key, to) => {
                data.text(1, set).big(2, key.number()).big(3, to.number());
            }
            Expression::VerdictMap(set, key) => {
                data.text(1, set).big(2, key.number()).big(3, 0);
            }
            Expression::Remember(set, key, value, milliseconds) => {
                data.text(1, set).big(3, 1).big(4, key.number()).big(5, value.number());
                data.big_long(6, *milliseconds);
            }
            Expression::TranslateDestination(v6, address, port) => {
                let family = if *v6 { libc::AF_INET6 } else { libc::AF_INET } as u32;
                data.big(1, 1).big(2, family).big(3, address.number()).big(5, port.number());
            }
            Expression::Masquerade => {
                // Source ports are drawn at random: two clients of one node then never meet on one.
                data.big(1, 0x10);
            }
            Expression::Reject(how) => match how {
                Reject::PortUnreachable => {
                    data.big(1, 2).byte(2, 1);
                }
                Reject::Reset => {
                    data.big(1, 1);
                }
                Reject::Prohibited => {
                    data.big(1, 2).byte(2, 3);
                }
            },
            _ => unreachable!("write_data handles the rest"),
        }
    }
}

/// Goes on for packets of one address family.
pub fn family_is(v6: bool) -> [Expression; 2] {
    let number = if v6 { libc::AF_INET6 } else { libc::AF_INET } as u8;
    let register = Register(0);
    [Expression::LoadMeta(Meta::Family, register), Expression::Compare(register, Compare::Is, vec![number])]
}

/// Goes on for packets whose flow is in one of the states.
pub fn state_is(states: u32) -> [Expression; 3] {
    let register = Register(0);
    [
        Expression::LoadConntrack(Conntrack::State, register),
        Expression::Bits(register, states, 0),
        Expression::Compare(register, Compare::IsNot, vec![0; 4]),
    ]
}

/// Goes on for packets whose destination was translated.
pub fn is_translated() -> [Expression; 3] {
    let register = Register(0);
    [
        Expression::LoadConntrack(Conntrack::Status, register),
        Expression::Bits(register, status::DESTINATION_NAT, 0),
        Expression::Compare(register, Compare::IsNot, vec![0; 4]),
    ]
}

/// Goes on if one of the packet's addresses is (or is not) this machine's.
pub fn address_is_local(side: Side, how: Compare) -> [Expression; 2] {
    let register = Register(0);
    [
        Expression::AddressKind(side, register),
        Expression::Compare(register, how, LOCAL_ADDRESS.to_ne_bytes().to_vec()),
    ]
}
