//! From a query to its answer, out of the cluster's names.

use std::net::IpAddr;

use super::wire::{Answer, Code, INTERNET, Name, Owner, Query, Section, kind, write_name};
use super::zone::{Found, Named, Zone};

/// How long an answer holds, in seconds.
pub const TTL: u32 = 30;
/// How long it holds that there is nothing, in seconds.
pub const NEGATIVE_TTL: u32 = 5;
/// The version of the rules that names follow.
const VERSION: &str = "1.1.0";
/// How many names lead to each other at most.
const CHAIN_LIMIT: usize = 8;

/// What a resolver knows beside the names.
#[derive(Clone, Debug)]
pub struct Domain {
    /// The cluster's domain.
    pub name: Name,
    /// Its server's name.
    server: Name,
    /// Its keeper's address, as a name.
    keeper: Name,
    /// The addresses of the server.
    addresses: Vec<IpAddr>,
}

/// What became of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is written.
    Answered,
    /// The name is not ours: somebody else has to be asked.
    Forward,
    /// The name is another name for this one, which is not ours: somebody else has to be asked for that.
    ForwardFor(Box<Name>),
}

impl Domain {
    /// The domain with a name, served at addresses. `None` if the name is none.
    pub fn new(name: &str, addresses: &[IpAddr]) -> Option<Domain> {
        Some(Domain {
            name: Name::parse(name)?,
            server: Name::parse(&format!("ns.dns.{name}"))?,
            keeper: Name::parse(&format!("hostmaster.{name}"))?,
            addresses: addresses.to_vec(),
        })
    }

    /// Writes the answer to a query, if the names of the cluster have one. `serial` numbers the zone's versions.
    pub fn resolve(
        &self,
        zone: &Zone,
        (message, query): (&[u8], &Query),
        (out, limit): (&mut Vec<u8>, usize),
        serial: u32,
    ) -> Outcome {
        if query.class != INTERNET {
            Answer::begin(out, message, query, limit).finish(Code::Refused, false);
            return Outcome::Answered;
        }
        let writer = Writer { domain: self, zone, serial, seed: usize::from(query.id) };
        if let Some(depth) = query.name.below(&self.name) {
            let mut answer = Answer::begin(out, message, query, limit);
            return match writer.write(&mut answer, query, depth) {
                Ok(code) => {
                    answer.finish(code, true);
                    Outcome::Answered
                }
                Err(other) => Outcome::ForwardFor(other),
            };
        }
        let Some(owner) = reverse(&query.name).and_then(|address| zone.owner(address)) else {
            return Outcome::Forward;
        };
        let mut answer = Answer::begin(out, message, query, limit);
        let dot = if owner.endpoint.is_empty() { "" } else { "." };
        let text = format!("{}{dot}{}.{}.svc.{}", owner.endpoint, owner.service, owner.namespace, self.name);
        match Name::parse(&text) {
            Some(name) if matches!(query.kind, kind::PTR | kind::ANY) => {
                answer
                    .record(Section::Answer, Owner::Question, (kind::PTR, TTL), |out| write_name(out, &name));
            }
            _ => writer.soa(&mut answer, Owner::Name(&self.name)),
        }
        answer.finish(Code::NoError, true);
        Outcome::Answered
    }

    /// Whether a name is ours.
    pub fn has(&self, name: &Name) -> bool {
        name.below(&self.name).is_some()
    }
}

/// The address a name below `in-addr.arpa` or `ip6.arpa` stands for.
fn reverse(name: &Name) -> Option<IpAddr> {
    let labels: Vec<&str> = name.labels().map(std::str::from_utf8).collect::<Result<_, _>>().ok()?;
    match labels.as_slice() {
        [a, b, c, d, "in-addr", "arpa"] => {
            let octet = |label: &&str| label.parse::<u8>().ok();
            Some(IpAddr::from([octet(d)?, octet(c)?, octet(b)?, octet(a)?]))
        }
        [digits @ .., "ip6", "arpa"] if digits.len() == 32 => {
            let mut number = 0u128;
            for digit in digits.iter().rev() {
                number = (number << 4)
                    | u128::from(u8::from_str_radix(digit, 16).ok().filter(|_| digit.len() == 1)?);
            }
            Some(IpAddr::from(number.to_be_bytes()))
        }
        _ => None,
    }
}

struct Writer<'a> {
    domain: &'a Domain,
    zone: &'a Zone,
    serial: u32,
    seed: usize,
}

impl Writer<'_> {
    /// Writes what is at the name asked for; `Err` with the name somebody else has to be asked for.
    fn write(&self, answer: &mut Answer<'_>, query: &Query, depth: usize) -> Result<Code, Box<Name>> {
        let mut buffer = [""; 128];
        let Some(labels) = texts(&query.name, depth, &mut buffer) else {
            self.soa(answer, Owner::Name(&self.domain.name));
            return Ok(Code::NxDomain);
        };
        if let [] | ["dns"] | ["ns", "dns"] = labels {
            self.apex(answer, query.kind, labels.len());
            return Ok(Code::NoError);
        }
        let mut found = self.zone.find(labels);
        let mut written = false;
        // Another name: what is there is written as well, as far as it is ours.
        let mut owner: Option<Name> = None;
        for _ in 0..CHAIN_LIMIT {
            let Found::Service(Named { entry, .. }) = &found else { break };
            let Some(external) = entry.external else { break };
            let at = owner.as_ref().map_or(Owner::Question, Owner::Name);
            answer.record(Section::Answer, at, (kind::CNAME, TTL), |out| write_name(out, &external));
            written = true;
            if query.kind == kind::CNAME {
                return Ok(Code::NoError);
            }
            let mut buffer = [""; 128];
            let depth = external.below(&self.domain.name).ok_or_else(|| Box::new(external))?;
            found =
                texts(&external, depth, &mut buffer).map_or(Found::Nothing, |labels| self.zone.find(labels));
            owner = Some(external);
        }
        let at = owner.as_ref().map_or(Owner::Question, Owner::Name);
        written |= self.write_found(answer, &found, query.kind, at);
        if !written {
            self.soa(answer, Owner::Name(&self.domain.name));
        }
        let missing = found == Found::Nothing;
        Ok(if missing { Code::NxDomain } else { Code::NoError })
    }

    fn write_found(&self, answer: &mut Answer<'_>, found: &Found<'_>, wanted: u16, at: Owner<'_>) -> bool {
        match found {
            Found::Nothing | Found::Empty => false,
            Found::Version => {
                if !matches!(wanted, kind::TXT | kind::ANY) {
                    return false;
                }
                answer.record(Section::Answer, at, (kind::TXT, TTL), |out| {
                    out.push(VERSION.len() as u8);
                    out.extend_from_slice(VERSION.as_bytes());
                });
                true
            }
            Found::Pod(address) => write_addresses(answer, wanted, at, [*address].into_iter()),
            Found::Service(named) if wanted == kind::SRV => self.services(answer, named, at),
            Found::Service(Named { entry, .. }) if entry.headless => {
                let addresses = rotated(&entry.endpoints, self.seed).map(|one| one.address);
                write_addresses(answer, wanted, at, addresses)
            }
            Found::Service(Named { entry, .. }) => {
                write_addresses(answer, wanted, at, entry.addresses.iter().copied())
            }
            Found::Endpoint(entry, name) => {
                let named = entry.endpoints.iter().filter(|one| one.name == *name);
                write_addresses(answer, wanted, at, named.map(|one| one.address))
            }
            Found::Port(named) => matches!(wanted, kind::SRV | kind::ANY) && self.services(answer, named, at),
        }
    }

    /// Writes hosts and ports of a Service: of one port by name, or all.
    fn services(&self, answer: &mut Answer<'_>, named: &Named<'_>, at: Owner<'_>) -> bool {
        let Named { service, namespace, entry, port: wanted } = named;
        let base = format!("{service}.{namespace}.svc.{}", self.domain.name);
        let fits = |name: &str, number: u8| {
            wanted.as_ref().is_none_or(|wanted| wanted.0 == name && wanted.1 == number)
        };
        let mut hosts: Vec<(Name, u16, Vec<IpAddr>)> = Vec::new();
        if entry.headless {
            for endpoint in rotated(&entry.endpoints, self.seed) {
                let Some(name) = Name::parse(&format!("{}.{base}", endpoint.name)) else { continue };
                let ports = endpoint.ports.iter().filter(|port| fits(&port.name, port.protocol));
                hosts.extend(ports.map(|port| (name, port.port, vec![endpoint.address])));
            }
        } else if let Some(name) = Name::parse(&base) {
            let ports = entry.ports.iter().filter(|port| fits(&port.name, port.protocol));
            hosts.extend(ports.map(|port| (name, port.port, entry.addresses.clone())));
        }
        let weight = u16::try_from(100 / hosts.len().max(1)).unwrap_or(1).max(1);
        let mut targets: Vec<(Name, u16, Vec<IpAddr>)> = Vec::new();
        for (name, port, addresses) in hosts {
            let data = answer.record(Section::Answer, at, (kind::SRV, TTL), |out| {
                out.extend_from_slice(&[0; 2]);
                out.extend_from_slice(&weight.to_be_bytes());
                out.extend_from_slice(&port.to_be_bytes());
                write_name(out, &name);
            });
            if let Some(data) = data
                && !targets.iter().any(|(known, ..)| *known == name)
            {
                targets.push((name, data + 6, addresses));
            }
        }
        for (_, place, addresses) in &targets {
            for address in addresses {
                // A pointer reaches the first 16 KiB of a message.
                if *place < 0x4000 {
                    answer.address(Section::Additional, Owner::At(*place), TTL, *address);
                }
            }
        }
        !targets.is_empty()
    }

    /// Writes what is at the domain itself (no label more), at `dns` and at the server's own name.
    fn apex(&self, answer: &mut Answer<'_>, wanted: u16, labels: usize) {
        let written = match (labels, wanted) {
            (0, kind::SOA) => {
                self.soa_in(answer, Section::Answer, Owner::Question);
                true
            }
            (0, kind::NS) => {
                answer.record(Section::Answer, Owner::Question, (kind::NS, TTL), |out| {
                    write_name(out, &self.domain.server);
                });
                for address in &self.domain.addresses {
                    answer.address(Section::Additional, Owner::Name(&self.domain.server), TTL, *address);
                }
                true
            }
            (2, _) => write_addresses(answer, wanted, Owner::Question, self.domain.addresses.iter().copied()),
            _ => false,
        };
        if !written {
            self.soa(answer, Owner::Name(&self.domain.name));
        }
    }

    fn soa(&self, answer: &mut Answer<'_>, owner: Owner<'_>) {
        self.soa_in(answer, Section::Authority, owner);
    }

    fn soa_in(&self, answer: &mut Answer<'_>, section: Section, owner: Owner<'_>) {
        answer.record(section, owner, (kind::SOA, NEGATIVE_TTL), |out| {
            write_name(out, &self.domain.server);
            write_name(out, &self.domain.keeper);
            for number in [self.serial, 7_200, 1_800, 86_400, NEGATIVE_TTL] {
                out.extend_from_slice(&number.to_be_bytes());
            }
        });
    }
}

/// Writes the addresses of the family asked for. Answers whether there was any.
fn write_addresses(
    answer: &mut Answer<'_>,
    wanted: u16,
    at: Owner<'_>,
    addresses: impl Iterator<Item = IpAddr>,
) -> bool {
    let mut written = false;
    for address in addresses {
        let fits = match address {
            IpAddr::V4(_) => matches!(wanted, kind::A | kind::ANY),
            IpAddr::V6(_) => matches!(wanted, kind::AAAA | kind::ANY),
        };
        if fits {
            answer.address(Section::Answer, at, TTL, address);
            written = true;
        }
    }
    written
}

/// All of them, beginning somewhere else each time, so that clients that take the first spread.
fn rotated<T>(all: &[T], seed: usize) -> impl Iterator<Item = &T> {
    let (before, after) = all.split_at(if all.is_empty() { 0 } else { seed % all.len() });
    after.iter().chain(before)
}

/// The first `depth` labels as texts; `None` if one is no text, and so no name of ours.
fn texts<'a, 'b>(name: &'a Name, depth: usize, buffer: &'b mut [&'a str; 128]) -> Option<&'b [&'a str]> {
    for (place, label) in buffer.iter_mut().zip(name.labels().take(depth)) {
        *place = std::str::from_utf8(label).ok()?;
    }
    buffer.get(..depth)
}

#[cfg(test)]
mod tests;
