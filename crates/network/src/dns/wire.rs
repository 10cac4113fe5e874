//! DNS messages: reading what clients (and attackers) send, and writing answers, without an allocation per query.

use std::net::IpAddr;

/// The length of a message's header.
pub const HEADER: usize = 12;
/// What a client takes over UDP if it does not say otherwise.
pub const PLAIN_LIMIT: usize = 512;
/// The largest answer we send over UDP: it fits into every network's packets.
pub const UDP_LIMIT: usize = 1232;
/// The largest message over TCP.
pub const TCP_LIMIT: usize = 65_535;
/// The longest name, with its length bytes and its end.
const NAME_LIMIT: usize = 255;
/// The length of the record that answers EDNS.
const EDNS_RECORD: usize = 11;
/// A name that stands where the question's name is: right after the header.
const QUESTION_POINTER: u16 = 0xc000 | HEADER as u16;

/// Types of records.
pub mod kind {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A server of a zone.
    pub const NS: u16 = 2;
    /// Another name.
    pub const CNAME: u16 = 5;
    /// A zone's own facts.
    pub const SOA: u16 = 6;
    /// The name of an address.
    pub const PTR: u16 = 12;
    /// Text.
    pub const TXT: u16 = 16;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// Host and port of a service.
    pub const SRV: u16 = 33;
    /// What the client can do beyond plain DNS.
    pub const OPT: u16 = 41;
    /// All there is.
    pub const ANY: u16 = 255;
}

/// The class of everything on the Internet.
pub const INTERNET: u16 = 1;

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Well.
    NoError = 0,
    /// The query is malformed.
    FormErr = 1,
    /// We cannot say now.
    ServFail = 2,
    /// There is no such name.
    NxDomain = 3,
    /// We do not do that.
    NotImp = 4,
    /// We do not want to.
    Refused = 5,
}

/// A name, in lower case, as labels.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    bytes: [u8; NAME_LIMIT],
    length: u8,
    labels: u8,
}

impl Name {
    /// From a dotted text; `None` if it is no name.
    pub fn parse(text: &str) -> Option<Name> {
        let mut name = Name { bytes: [0; NAME_LIMIT], length: 0, labels: 0 };
        for label in text.trim_end_matches('.').split('.').filter(|_| !text.trim_end_matches('.').is_empty())
        {
            if !name.push(label.as_bytes()) {
                return None;
            }
        }
        Some(name)
    }

    /// Reads the name at a place, following pointers backwards only. Answers the name and where the message goes on.
    pub fn read(message: &[u8], mut at: usize) -> Option<(Name, usize)> {
        let mut name = Name { bytes: [0; NAME_LIMIT], length: 0, labels: 0 };
        let mut after = None;
        loop {
            let length = *message.get(at)?;
            match length {
                0 => return Some((name, after.unwrap_or(at + 1))),
                1..=63 => {
                    let label = message.get(at + 1..at + 1 + usize::from(length))?;
                    if !name.push(label) {
                        return None;
                    }
                    at += 1 + usize::from(length);
                }
                192.. => {
                    let target = usize::from(u16::from_be_bytes([length & 0x3f, *message.get(at + 1)?]));
                    after.get_or_insert(at + 2);
                    // Pointers that only ever lead back end.
                    if target >= at {
                        return None;
                    }
                    at = target;
                }
                64..=191 => return None,
            }
        }
    }

    fn push(&mut self, label: &[u8]) -> bool {
        let start = usize::from(self.length);
        let end = start + 1 + label.len();
        // One byte is left for the end.
        if label.is_empty() || label.len() > 63 || end > NAME_LIMIT - 1 {
            return false;
        }
        self.bytes[start] = label.len() as u8;
        for (to, from) in self.bytes[start + 1..end].iter_mut().zip(label) {
            *to = from.to_ascii_lowercase();
        }
        (self.length, self.labels) = (end as u8, self.labels + 1);
        true
    }

    /// Its labels, the leftmost first.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.bytes[..usize::from(self.length)];
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            Some(label)
        })
    }

    /// How many labels it has.
    pub fn count(&self) -> usize {
        usize::from(self.labels)
    }

    /// How many labels are left if it is below (or equal to) the other name.
    pub fn below(&self, zone: &Name) -> Option<usize> {
        let depth = self.count().checked_sub(zone.count())?;
        self.labels().skip(depth).eq(zone.labels()).then_some(depth)
    }

    /// Its bytes, as in a message but without the end.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Name {}

impl std::fmt::Display for Name {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for label in self.labels() {
            write!(out, "{}.", label.escape_ascii())?;
        }
        Ok(())
    }
}

/// What a client can do beyond plain DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest answer it takes over UDP.
    pub limit: u16,
    /// The version it speaks; only zero exists.
    pub version: u8,
    /// Its flags, to be repeated.
    pub flags: u16,
}

/// A query.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Its number.
    pub id: u16,
    /// Its flags.
    pub flags: u16,
    /// The name asked for.
    pub name: Name,
    /// The type of records asked for.
    pub kind: u16,
    /// The class of records asked for.
    pub class: u16,
    /// Where the question ends in the message.
    pub end: usize,
    /// What the client can do.
    pub edns: Option<Edns>,
}

/// Why there is no answer but an error, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It is not even a query: nothing is answered, least of all to an answer.
    Ignore,
    /// It is answered with this error.
    Answer(Code),
}

impl Query {
    /// Reads a query.
    pub fn read(message: &[u8]) -> Result<Query, Bad> {
        let short = |at: usize| message.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
        let (Some(id), Some(flags), true) = (short(0), short(2), message.len() >= HEADER) else {
            return Err(Bad::Ignore);
        };
        if flags & 0x8000 != 0 {
            return Err(Bad::Ignore);
        }
        if flags & 0x7800 != 0 {
            return Err(Bad::Answer(Code::NotImp));
        }
        let malformed = Bad::Answer(Code::FormErr);
        if short(4) != Some(1) {
            return Err(malformed);
        }
        let (name, at) = Name::read(message, HEADER).ok_or(malformed)?;
        let (Some(kind), Some(class)) = (short(at), short(at + 2)) else { return Err(malformed) };
        let mut query = Query { id, flags, name, kind, class, end: at + 4, edns: None };
        let records =
            [6, 8, 10].into_iter().map(|at| usize::from(short(at).unwrap_or_default())).sum::<usize>();
        let mut at = query.end;
        // Clients send one such record; whoever sends more than a few means no good.
        for _ in 0..records.min(8) {
            let record = Record::read(message, at).ok_or(malformed)?;
            if record.kind == kind::OPT {
                let [_, version, high, low] = record.ttl.to_be_bytes();
                let flags = u16::from_be_bytes([high, low]);
                query.edns = Some(Edns { limit: record.class, version, flags });
            }
            at = record.end;
        }
        Ok(query)
    }

    /// How large the answer over UDP may be.
    pub fn udp_limit(&self) -> usize {
        let wanted = self.edns.map_or(PLAIN_LIMIT, |edns| usize::from(edns.limit));
        wanted.clamp(PLAIN_LIMIT, UDP_LIMIT)
    }
}

/// A record in a message.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Whose it is.
    pub name: Name,
    /// Its type.
    pub kind: u16,
    /// Its class.
    pub class: u16,
    /// How long it holds, in seconds.
    pub ttl: u32,
    /// Where its data begin.
    pub data: usize,
    /// Where it ends.
    pub end: usize,
}

impl Record {
    /// Reads the record at a place.
    pub fn read(message: &[u8], at: usize) -> Option<Record> {
        let (name, at) = Name::read(message, at)?;
        let fixed: &[u8; 10] = message.get(at..at + 10)?.try_into().ok()?;
        let data = at + 10;
        let end = data + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        if end > message.len() {
            return None;
        }
        Some(Record {
            name,
            kind: u16::from_be_bytes([fixed[0], fixed[1]]),
            class: u16::from_be_bytes([fixed[2], fixed[3]]),
            ttl: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            data,
            end,
        })
    }
}

/// The answer records of a response.
pub fn answers(message: &[u8]) -> impl Iterator<Item = Record> + '_ {
    let short = |at: usize| message.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
    let mut at = (short(4) == 1).then(|| Name::read(message, HEADER)).flatten().map(|(_, at)| at + 4);
    let mut left = short(6);
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let record = Record::read(message, at?)?;
        at = Some(record.end);
        Some(record)
    })
}

/// The parts of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What was asked for.
    Answer,
    /// Whose word it is.
    Authority,
    /// What will be asked for next.
    Additional,
}

/// Whose record it is.
#[derive(Clone, Copy, Debug)]
pub enum Owner<'a> {
    /// The name asked for.
    Question,
    /// The name at this place in the message.
    At(u16),
    /// Another name.
    Name(&'a Name),
}

/// An answer being written.
#[derive(Debug)]
pub struct Answer<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    counts: [u16; 3],
    truncated: bool,
    edns: Option<Edns>,
}

impl<'a> Answer<'a> {
    /// Begins the answer to a query, the question repeated as it was asked.
    pub fn begin(out: &'a mut Vec<u8>, message: &[u8], query: &Query, limit: usize) -> Answer<'a> {
        out.clear();
        out.extend_from_slice(&message[..query.end.min(message.len())]);
        let reserved = if query.edns.is_some() { EDNS_RECORD } else { 0 };
        Answer { out, limit: limit - reserved, counts: [0; 3], truncated: false, edns: query.edns }
    }

    /// Appends a record whose data `fill` writes. One that does not fit is left out, and an answer without it is marked
    /// as cut short. Answers where its data begin.
    pub fn record(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        (kind, ttl): (u16, u32),
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Option<u16> {
        if self.truncated {
            return None;
        }
        let start = self.out.len();
        match owner {
            Owner::Question => self.out.extend_from_slice(&QUESTION_POINTER.to_be_bytes()),
            Owner::At(place) => self.out.extend_from_slice(&(0xc000 | place).to_be_bytes()),
            Owner::Name(name) => write_name(self.out, name),
        }
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&INTERNET.to_be_bytes());
        self.out.extend_from_slice(&ttl.to_be_bytes());
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0; 2]);
        fill(self.out);
        let length = self.out.len() - length_at - 2;
        self.out[length_at..length_at + 2].copy_from_slice(&(length as u16).to_be_bytes());
        if self.out.len() > self.limit || length > usize::from(u16::MAX) {
            self.out.truncate(start);
            // What is only helpful may be missing; what was asked for may not.
            self.truncated |= section != Section::Additional;
            return None;
        }
        self.counts[section as usize] += 1;
        u16::try_from(length_at + 2).ok()
    }

    /// Appends an address.
    pub fn address(&mut self, section: Section, owner: Owner<'_>, ttl: u32, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                self.record(section, owner, (kind::A, ttl), |out| out.extend_from_slice(&address.octets()));
            }
            IpAddr::V6(address) => {
                self.record(section, owner, (kind::AAAA, ttl), |out| {
                    out.extend_from_slice(&address.octets())
                });
            }
        }
    }

    /// Ends the answer: writes its header and, if the client speaks EDNS, what we can do.
    pub fn finish(self, code: Code, authoritative: bool) {
        let Answer { out, mut counts, truncated, edns, .. } = self;
        // An EDNS version that does not exist is answered as such.
        let bad_version = edns.is_some_and(|edns| edns.version != 0);
        if let Some(edns) = edns {
            out.push(0);
            out.extend_from_slice(&kind::OPT.to_be_bytes());
            out.extend_from_slice(&(UDP_LIMIT as u16).to_be_bytes());
            let flags = (edns.flags & 0x8000).to_be_bytes();
            out.extend_from_slice(&[u8::from(bad_version), 0, flags[0], flags[1], 0, 0]);
            counts[2] += 1;
        }
        write_header(out, if bad_version { Code::NoError } else { code }, authoritative, truncated);
        for (count, at) in counts.into_iter().zip([6, 8, 10]) {
            out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
    }
}

/// Writes an answer that says nothing but how the query ended.
pub fn refuse(out: &mut Vec<u8>, message: &[u8], code: Code) {
    out.clear();
    out.extend_from_slice(&message[..HEADER.min(message.len())]);
    out.resize(HEADER, 0);
    write_header(out, code, false, false);
    // The question may be what is malformed: it is not repeated.
    out[4..12].fill(0);
}

fn write_header(out: &mut [u8], code: Code, authoritative: bool, truncated: bool) {
    // From the query: its operation and whether recursion is desired.
    let asked = u16::from_be_bytes([out[2], out[3]]) & 0x7900;
    let flags = 0x8080
        | asked
        | if authoritative { 0x0400 } else { 0 }
        | if truncated { 0x0200 } else { 0 }
        | code as u16;
    out[2..4].copy_from_slice(&flags.to_be_bytes());
}

/// Appends a name, whole.
pub fn write_name(out: &mut Vec<u8>, name: &Name) {
    out.extend_from_slice(name.bytes());
    out.push(0);
}

#[cfg(test)]
mod tests;
