//! The proxy's table: its few fixed chains, one chain per way of choosing, and the elements of each frontend.
//!
//! Every Service is elements of named maps and nothing else: `address . protocol . port` leads to the chain that picks
//! a number, and `address . protocol . port . number` to the endpoint. A change touches the elements it is about.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::ruleset::{Balance, Frontend, Keep, List, Masquerade, Pick, Target};
use crate::netlink::message::address_of;
use crate::nftables::expression::{
    Compare, Conntrack, Expression, Meta, Payload, Register, Reject, Side, Verdict, address_is_local,
    family_is, is_translated, state, state_is,
};
use crate::nftables::set::{Element, Field, Key, Set};
use crate::nftables::{BaseChain, Batch, ChainKind, Hook, priority};

/// The bit of a packet's mark that says: replace my source address. It is cleared where that is done, so that a tunnel
/// does not see it on its outer packet.
pub const MASQUERADE_MARK: u32 = 0x4000;
/// How many clients' choices are remembered: enough for a busy node, at about 200 bytes each.
const REMEMBERED: u32 = 1 << 18;

const FAMILIES: [bool; 2] = [false, true];
const REFUSE: &str = "refuse";
const MASQUERADE: &str = "masquerade-later";

/// The sets of the table. Each exists once per address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetName {
    /// address . protocol . port → chain
    Services,
    /// protocol . port → chain
    NodePorts,
    /// address . protocol . port . number → endpoint
    Endpoints,
    /// address . protocol . port → refuse or drop
    Unserved,
    /// protocol . port → refuse or drop
    UnservedNodePorts,
    /// address . protocol . port of load balancers that not everybody may use
    Guarded,
    /// address . protocol . port . client: who may use them
    Admitted,
    /// address . protocol . port → chain, where clients keep their endpoint
    Keepers,
    /// protocol . port → chain, where clients keep their endpoint
    KeepersNodePorts,
    /// client . address . protocol . port → endpoint
    Choices,
    /// Addresses of Services in the cluster.
    Addresses,
    /// The blocks Services get addresses from.
    ServiceBlocks,
    /// The blocks pods get addresses from.
    PodBlocks,
}

impl SetName {
    /// Its name in the kernel.
    pub const fn name(self, v6: bool) -> &'static str {
        match (self, v6) {
            (SetName::Services, false) => "services4",
            (SetName::Services, true) => "services6",
            (SetName::NodePorts, false) => "node-ports4",
            (SetName::NodePorts, true) => "node-ports6",
            (SetName::Endpoints, false) => "endpoints4",
            (SetName::Endpoints, true) => "endpoints6",
            (SetName::Unserved, false) => "unserved4",
            (SetName::Unserved, true) => "unserved6",
            (SetName::UnservedNodePorts, false) => "unserved-node-ports4",
            (SetName::UnservedNodePorts, true) => "unserved-node-ports6",
            (SetName::Guarded, false) => "guarded4",
            (SetName::Guarded, true) => "guarded6",
            (SetName::Admitted, false) => "admitted4",
            (SetName::Admitted, true) => "admitted6",
            (SetName::Keepers, false) => "keepers4",
            (SetName::Keepers, true) => "keepers6",
            (SetName::KeepersNodePorts, false) => "keepers-node-ports4",
            (SetName::KeepersNodePorts, true) => "keepers-node-ports6",
            (SetName::Choices, false) => "choices4",
            (SetName::Choices, true) => "choices6",
            (SetName::Addresses, false) => "addresses4",
            (SetName::Addresses, true) => "addresses6",
            (SetName::ServiceBlocks, false) => "service-blocks4",
            (SetName::ServiceBlocks, true) => "service-blocks6",
            (SetName::PodBlocks, false) => "pod-blocks4",
            (SetName::PodBlocks, true) => "pod-blocks6",
        }
    }
}

/// The sets that hold what Services want, and nothing else.
pub fn followed() -> impl Iterator<Item = (SetName, bool)> {
    use SetName::{
        Addresses, Admitted, Endpoints, Guarded, Keepers, KeepersNodePorts, NodePorts, Services, Unserved,
        UnservedNodePorts,
    };
    let sets = [
        Services,
        NodePorts,
        Endpoints,
        Unserved,
        UnservedNodePorts,
        Guarded,
        Admitted,
        Keepers,
        KeepersNodePorts,
        Addresses,
    ];
    sets.into_iter().flat_map(|set| FAMILIES.map(|v6| (set, v6)))
}

/// Adds what the table is without any Service.
pub fn build(batch: &mut Batch, service_blocks: &[IpNet], pod_blocks: &[IpNet]) {
    for v6 in FAMILIES {
        add_sets(batch, v6);
        for (set, blocks) in [(SetName::ServiceBlocks, service_blocks), (SetName::PodBlocks, pod_blocks)] {
            let blocks = blocks.iter().filter(|block| block.addr().is_ipv6() == v6);
            batch.add_elements(set.name(v6), blocks.flat_map(|block| Element::block(*block)));
        }
    }
    batch.add_chain(REFUSE);
    // A reset is heard at once also by a process of this node that is still busy connecting; an ICMP error is not.
    let tcp = [
        Expression::LoadMeta(Meta::Protocol, Register(0)),
        Expression::Compare(Register(0), Compare::Is, vec![6]),
    ];
    batch.add_rule(REFUSE, "nobody is there", &[&tcp[..], &[Expression::Reject(Reject::Reset)]].concat());
    batch.add_rule(REFUSE, "nobody is there", &[Expression::Reject(Reject::PortUnreachable)]);
    batch.add_chain(MASQUERADE);
    batch.add_rule(MASQUERADE, "", &mark());
    for chain in ["admit", "translate", "leftover"] {
        batch.add_chain(chain);
    }
    let before = priority::DESTINATION - 10;
    let after = priority::DESTINATION + 10;
    for (way, hook) in [("incoming", Hook::Prerouting), ("own", Hook::Output)] {
        let chains = [
            ("admit", ChainKind::Filter, before),
            ("translate", ChainKind::Nat, priority::DESTINATION),
            ("leftover", ChainKind::Filter, after),
        ];
        for (what, kind, priority) in chains {
            let name = format!("{way}-{what}");
            batch.add_base_chain(BaseChain { name: &name, kind, hook, priority });
            let mut rule = if kind == ChainKind::Filter { state_is(state::NEW).to_vec() } else { Vec::new() };
            rule.push(Expression::Verdict(Verdict::Jump(what.to_owned())));
            batch.add_rule(&name, "", &rule);
        }
    }
    for v6 in FAMILIES {
        add_rules(batch, v6);
    }
    let (name, hook) = ("outgoing", Hook::Postrouting);
    batch.add_base_chain(BaseChain { name, kind: ChainKind::Nat, hook, priority: priority::SOURCE });
    batch.add_rule(name, "sources to replace", &masquerade());
}

fn add_sets(batch: &mut Batch, v6: bool) {
    use Field::{Number, Port, Protocol};
    let address = Field::address(v6);
    let frontend = [address, Protocol, Port];
    let endpoint = [address, Port];
    batch.add_set(Set::verdicts(SetName::Services.name(v6), &frontend));
    batch.add_set(Set::verdicts(SetName::NodePorts.name(v6), &[Protocol, Port]));
    batch.add_set(Set::map(SetName::Endpoints.name(v6), &[address, Protocol, Port, Number], &endpoint));
    batch.add_set(Set::verdicts(SetName::Unserved.name(v6), &frontend));
    batch.add_set(Set::verdicts(SetName::UnservedNodePorts.name(v6), &[Protocol, Port]));
    batch.add_set(Set::new(SetName::Guarded.name(v6), &frontend));
    let admitted = [address, Protocol, Port, address];
    batch.add_set(Set::new(SetName::Admitted.name(v6), &admitted).with_ranges());
    batch.add_set(Set::verdicts(SetName::Keepers.name(v6), &frontend));
    batch.add_set(Set::verdicts(SetName::KeepersNodePorts.name(v6), &[Protocol, Port]));
    let choice = [address, address, Protocol, Port];
    batch.add_set(Set::map(SetName::Choices.name(v6), &choice, &endpoint).filled_by_rules(REMEMBERED));
    batch.add_set(Set::new(SetName::Addresses.name(v6), &[address]));
    batch.add_set(Set::new(SetName::ServiceBlocks.name(v6), &[address]).with_ranges());
    batch.add_set(Set::new(SetName::PodBlocks.name(v6), &[address]).with_ranges());
}

fn add_rules(batch: &mut Batch, v6: bool) {
    let of = |set: SetName| set.name(v6).to_owned();
    let register = Register(0);
    let rule = |parts: &[&[Expression]]| [&family_is(v6)[..], &parts.concat()].concat();
    let frontend = load_frontend(v6, register, NodePort::No);
    let source = [Expression::Load(Payload::source(v6), client_after(v6))];
    let node_port = load_node_port();
    let to_us = address_is_local(Side::Destination, Compare::Is);

    let admitted = [Expression::InSet(of(SetName::Guarded), register)];
    let not_admitted =
        [Expression::NotInSet(of(SetName::Admitted), register), Expression::Verdict(Verdict::Drop)];
    let guard = rule(&[&frontend, &admitted, &source, &not_admitted]);
    batch.add_rule("admit", "load balancers not everybody may use", &guard);
    let unserved = [Expression::VerdictMap(of(SetName::Unserved), register)];
    batch.add_rule("admit", "Services without endpoints", &rule(&[&frontend, &unserved]));
    let unserved = [Expression::VerdictMap(of(SetName::UnservedNodePorts), register)];
    batch.add_rule("admit", "node ports without endpoints", &rule(&[&to_us, &node_port, &unserved]));

    let services = [Expression::VerdictMap(of(SetName::Services), register)];
    batch.add_rule("translate", "Services", &rule(&[&frontend, &services]));
    let node_ports = [Expression::VerdictMap(of(SetName::NodePorts), register)];
    batch.add_rule("translate", "node ports", &rule(&[&to_us, &node_port, &node_ports]));

    let translated = is_translated();
    let original = load_original(v6, register);
    let keepers = [Expression::VerdictMap(of(SetName::Keepers), register)];
    batch.add_rule(
        "leftover",
        "clients that keep their endpoint",
        &rule(&[&translated, &original, &keepers]),
    );
    let original_port = [
        Expression::LoadMeta(Meta::Protocol, register),
        Expression::LoadConntrack(Conntrack::OriginalPort, register.plus(1)),
    ];
    let keepers = [Expression::VerdictMap(of(SetName::KeepersNodePorts), register)];
    let remember = rule(&[&translated, &original_port, &keepers]);
    batch.add_rule("leftover", "the same, for node ports", &remember);

    let destination = [Expression::Load(Payload::destination(v6), register)];
    let block = [Expression::InSet(of(SetName::ServiceBlocks), register)];
    let accept = [Expression::Verdict(Verdict::Accept)];
    batch.add_rule("leftover", "Services of this node itself", &rule(&[&to_us, &accept]));
    let known = [
        Expression::InSet(of(SetName::Addresses), register),
        Expression::Verdict(Verdict::Goto(REFUSE.to_owned())),
    ];
    batch.add_rule("leftover", "ports no Service has", &rule(&[&destination, &block, &known]));
    let drop = [Expression::Verdict(Verdict::Drop)];
    batch.add_rule("leftover", "addresses no Service has", &rule(&[&destination, &block, &drop]));
}

/// Whether a frontend has an address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NodePort {
    Yes,
    No,
}

/// How many registers an address takes.
const fn width(v6: bool) -> u8 {
    if v6 { 4 } else { 1 }
}

/// The register after a frontend that begins in the first one.
const fn client_after(v6: bool) -> Register {
    Register(width(v6) + 2)
}

/// Loads address (zero for node ports), protocol and port, from this register on.
fn load_frontend(v6: bool, at: Register, node_port: NodePort) -> [Expression; 3] {
    let after = at.plus(width(v6));
    let address = match node_port {
        NodePort::Yes => Expression::Constant(at, vec![0; usize::from(width(v6)) * 4]),
        NodePort::No => Expression::Load(Payload::destination(v6), at),
    };
    [
        address,
        Expression::LoadMeta(Meta::Protocol, after),
        Expression::Load(Payload::DestinationPort, after.plus(1)),
    ]
}

fn load_node_port() -> [Expression; 2] {
    [
        Expression::LoadMeta(Meta::Protocol, Register(0)),
        Expression::Load(Payload::DestinationPort, Register(1)),
    ]
}

fn mark() -> [Expression; 3] {
    let register = Register(0);
    [
        Expression::LoadMeta(Meta::Mark, register),
        Expression::Bits(register, !MASQUERADE_MARK, MASQUERADE_MARK),
        Expression::SetMark(register),
    ]
}

fn masquerade() -> Vec<Expression> {
    let register = Register(0);
    vec![
        Expression::LoadMeta(Meta::Mark, register),
        Expression::Bits(register, MASQUERADE_MARK, 0),
        Expression::Compare(register, Compare::IsNot, vec![0; 4]),
        Expression::LoadMeta(Meta::Mark, register),
        Expression::Bits(register, !MASQUERADE_MARK, 0),
        Expression::SetMark(register),
        Expression::Masquerade,
    ]
}

/// Adds the chain of a way of choosing. The chains it leads to must be there.
pub fn add_pick(batch: &mut Batch, pick: &Pick) {
    let chain = pick.chain();
    batch.add_chain(&chain);
    if let Some(parts) = pick.parts() {
        let to = |pick: Pick| Expression::Verdict(Verdict::Goto(pick.chain()));
        let is_pod = [
            Expression::Load(Payload::source(pick.v6), Register(0)),
            Expression::InSet(SetName::PodBlocks.name(pick.v6).to_owned(), Register(0)),
        ];
        batch.add_rule(&chain, "pods", &[&is_pod[..], &[to(parts.pods)]].concat());
        let is_us = address_is_local(Side::Source, Compare::Is);
        batch.add_rule(&chain, "this node", &[&is_us[..], &[to(parts.node)]].concat());
        let others = parts.outsiders.map_or(Expression::Verdict(Verdict::Drop), to);
        batch.add_rule(&chain, "others", &[others]);
        return;
    }
    let jump = Expression::Verdict(Verdict::Jump(MASQUERADE.to_owned()));
    match pick.masquerade {
        Masquerade::Never => {}
        Masquerade::Always => batch.add_rule(&chain, "", &[jump]),
        Masquerade::Outsiders => {
            let rule = [
                Expression::Load(Payload::source(pick.v6), Register(0)),
                Expression::NotInSet(SetName::PodBlocks.name(pick.v6).to_owned(), Register(0)),
                jump,
            ];
            batch.add_rule(&chain, "not a pod", &rule);
        }
    }
    add_choice(batch, pick, &chain);
}

/// The rules that choose. Registers hold, one after the other: client, address, protocol, port, and then the number
/// that is replaced by the endpoint; so each key is a stretch of them.
fn add_choice(batch: &mut Batch, pick: &Pick, chain: &str) {
    let v6 = pick.v6;
    let (client, frontend) = (Register(0), Register(width(v6)));
    let endpoint = frontend.plus(width(v6) + 2);
    let node_port = if pick.node_port { NodePort::Yes } else { NodePort::No };
    let load = load_frontend(v6, frontend, node_port);
    // The family is known here, but those who list the rules see it only if it is said.
    let family = family_is(v6);
    let load_client = [Expression::Load(Payload::source(v6), client)];
    let number = |count| [Expression::Random(count, pick.list.base(), endpoint)];
    let find = [Expression::Map(SetName::Endpoints.name(v6).to_owned(), frontend, endpoint)];
    let translate = [Expression::TranslateDestination(v6, endpoint, endpoint.plus(width(v6)))];
    if pick.keeps {
        // Chosen before, on the address it was sent to: node ports have several.
        let load = load_frontend(v6, frontend, NodePort::No);
        let again = [Expression::Map(SetName::Choices.name(v6).to_owned(), client, endpoint)];
        let rule = [&family[..], &load_client, &load, &again, &translate].concat();
        batch.add_rule(chain, "the endpoint it had before", &rule);
    }
    let rule = [&family[..], &load, &number(pick.count), &find, &translate].concat();
    batch.add_rule(chain, "any endpoint", &rule);
    // A packet that is between two rules while the number of endpoints shrinks finds nothing under its number.
    let rule = [&family[..], &load, &number(1), &find, &translate].concat();
    batch.add_rule(chain, "the first, if that one is just gone", &rule);
}

/// Adds the chain that remembers, once the destination is translated, which endpoint a client got.
pub fn add_keep(batch: &mut Batch, keep: &Keep) {
    let v6 = keep.v6;
    let chain = keep.chain();
    batch.add_chain(&chain);
    let (client, service) = (Register(0), Register(width(v6)));
    let endpoint = service.plus(width(v6) + 2);
    let mut rule = family_is(v6).to_vec();
    rule.push(Expression::Load(Payload::source(v6), client));
    rule.extend(load_original(v6, service));
    rule.extend([
        Expression::Load(Payload::destination(v6), endpoint),
        Expression::Load(Payload::DestinationPort, endpoint.plus(width(v6))),
        Expression::Remember(
            SetName::Choices.name(v6).to_owned(),
            client,
            endpoint,
            u64::from(keep.secs) * 1000,
        ),
    ]);
    batch.add_rule(&chain, "", &rule);
}

/// Loads what the client spoke to before it was translated: address, protocol and port.
fn load_original(v6: bool, at: Register) -> [Expression; 3] {
    let after = at.plus(width(v6));
    let address = if v6 { Conntrack::OriginalDestination6 } else { Conntrack::OriginalDestination4 };
    [
        Expression::LoadConntrack(address, at),
        Expression::LoadMeta(Meta::Protocol, after),
        Expression::LoadConntrack(Conntrack::OriginalPort, after.plus(1)),
    ]
}

/// The elements that make a frontend lead to its target.
pub fn elements(frontend: &Frontend, target: &Target) -> Vec<(SetName, Element)> {
    let (services, unserved) = match frontend.address {
        Some(_) => (SetName::Services, SetName::Unserved),
        None => (SetName::NodePorts, SetName::UnservedNodePorts),
    };
    let entry = match frontend.address {
        Some(_) => key_of(frontend),
        None => Key::new().protocol(frontend.protocol).port(frontend.port),
    };
    match target {
        Target::Reject => vec![(unserved, Element::verdict(entry, Verdict::Goto(REFUSE.to_owned())))],
        Target::Drop => vec![(unserved, Element::verdict(entry, Verdict::Drop))],
        Target::Balance(balance) => {
            let chain = Pick::of(frontend, balance).chain();
            let mut all = Vec::with_capacity(balance.backends.len() + 1);
            if let Some(keep) = Keep::of(frontend, target) {
                let set =
                    if frontend.address.is_some() { SetName::Keepers } else { SetName::KeepersNodePorts };
                all.push((set, Element::verdict(entry.clone(), Verdict::Goto(keep.chain()))));
            }
            all.push((services, Element::verdict(entry, Verdict::Goto(chain))));
            add_endpoints(&mut all, frontend, balance);
            all
        }
    }
}

fn add_endpoints(all: &mut Vec<(SetName, Element)>, frontend: &Frontend, balance: &Balance) {
    let local = balance.local.as_deref().unwrap_or_default();
    for (list, backends) in [(List::All, balance.backends.as_slice()), (List::Local, local)] {
        for (number, backend) in (list.base()..).zip(backends) {
            let key = key_of(frontend).number(number);
            all.push((SetName::Endpoints, Element::pair(key, endpoint_key(backend))));
        }
    }
    if let Some(sources) = &balance.sources {
        all.push((SetName::Guarded, Element::member(key_of(frontend))));
        // Overlapping ranges would be refused by the kernel.
        for range in IpNet::aggregate(sources) {
            let first = key_of(frontend).address(range.network());
            all.push((SetName::Admitted, Element::range(first, key_of(frontend).address(range.broadcast()))));
        }
    }
}

/// An endpoint as maps have it.
pub fn endpoint_key(backend: &SocketAddr) -> Key {
    Key::new().address(backend.ip()).port(backend.port())
}

/// Address, protocol and port; node ports have the address zero.
fn key_of(frontend: &Frontend) -> Key {
    let none = if frontend.v6 { IpAddr::from([0; 16]) } else { IpAddr::from([0; 4]) };
    Key::new().address(frontend.address.unwrap_or(none)).protocol(frontend.protocol).port(frontend.port)
}

/// The frontend a key of one of the sets is about, if they are about frontends.
pub fn frontend_of(set: SetName, key: &Key, v6: bool) -> Option<Frontend> {
    let bytes = key.bytes();
    let width = if v6 { 16 } else { 4 };
    let (address, rest) = match set {
        SetName::Services | SetName::Unserved => {
            (Some(address_of(bytes.get(..width)?)?), bytes.get(width..)?)
        }
        SetName::NodePorts | SetName::UnservedNodePorts => (None, bytes),
        _ => return None,
    };
    let (protocol, port) = (*rest.first()?, rest.get(4..6)?);
    Some(Frontend { address, v6, protocol, port: u16::from_be_bytes(port.try_into().ok()?) })
}
