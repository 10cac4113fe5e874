//! The pod network's packet rules: ports of the node that lead to pods, and whose source is translated.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cri::{PortMapping, Protocol};
use ipnet::IpNet;

use super::state::Record;
use crate::nftables::expression::{Compare, Expression, Meta, Payload, Register, Side, Verdict};
use crate::nftables::expression::{address_is_local, family_is};
use crate::nftables::set::{Element, Field, Key, Set};
use crate::nftables::{BaseChain, Batch, Blueprint, ChainKind, Hook, priority};

const FAMILIES: [bool; 2] = [false, true];

/// Names of the sets of a family.
struct Names {
    cluster: String,
    pods: String,
    ports: String,
    ports_at: String,
}

fn names(v6: bool) -> Names {
    let digit = if v6 { '6' } else { '4' };
    Names {
        cluster: format!("cluster{digit}"),
        pods: format!("pods{digit}"),
        ports: format!("ports{digit}"),
        ports_at: format!("ports-at{digit}"),
    }
}

/// The table as it shall be.
pub fn build<'a>(
    table: &str,
    cluster: &[IpNet],
    sandboxes: impl IntoIterator<Item = &'a Record>,
) -> Blueprint {
    let mut followed: BTreeMap<String, BTreeSet<Element>> = FAMILIES
        .into_iter()
        .map(names)
        .flat_map(|names| [names.pods, names.ports, names.ports_at])
        .map(|set| (set, BTreeSet::new()))
        .collect();
    for (set, element) in sandboxes.into_iter().flat_map(elements) {
        followed.entry(set).or_default().insert(element);
    }
    Blueprint { fixed: fixed(table, cluster), chains: Batch::new(table), elements: followed }
}

fn fixed(table: &str, cluster: &[IpNet]) -> Batch {
    let mut batch = Batch::new(table);
    for v6 in FAMILIES {
        let address = Field::address(v6);
        let names = names(v6);
        let (target, port) = ([address, Field::Port], [Field::Protocol, Field::Port]);
        batch.add_set(Set::new(&names.cluster, &[address]).with_ranges());
        batch.add_set(Set::new(&names.pods, &[address, address]));
        batch.add_set(Set::map(&names.ports, &port, &target));
        batch.add_set(Set::map(&names.ports_at, &[address, Field::Protocol, Field::Port], &target));
    }
    let base = [
        ("guard", ChainKind::Filter, Hook::Prerouting, priority::RAW),
        ("incoming", ChainKind::Nat, Hook::Prerouting, priority::DESTINATION),
        ("own", ChainKind::Nat, Hook::Output, priority::DESTINATION),
        ("outgoing", ChainKind::Nat, Hook::Postrouting, priority::SOURCE),
    ];
    for (name, kind, hook, priority) in base {
        batch.add_base_chain(BaseChain { name, kind, hook, priority });
    }
    batch.add_rule("guard", "nobody outside speaks to the loopback", &guard());
    for v6 in FAMILIES {
        let names = names(v6);
        for chain in ["incoming", "own"] {
            batch.add_rule(chain, "ports of one address", &port_at(v6, &names));
            batch.add_rule(chain, "ports of all addresses", &port(v6, &names));
        }
        batch.add_rule("outgoing", "a pod that reaches itself", &hairpin(v6, &names));
        batch.add_rule("outgoing", "a pod that leaves the cluster", &leaving(v6, &names));
    }
    batch.add_rule("outgoing", "from the loopback to a pod", &from_loopback());
    for v6 in FAMILIES {
        let blocks = cluster.iter().filter(|block| block.addr().is_ipv6() == v6);
        batch.add_elements(&names(v6).cluster, blocks.flat_map(|block| Element::block(*block)));
    }
    batch
}

/// Adds a sandbox.
pub fn add(batch: &mut Batch, record: &Record) {
    for (set, element) in elements(record) {
        batch.add_elements(&set, [element]);
    }
}

/// Removes a sandbox.
pub fn remove(batch: &mut Batch, record: &Record) {
    for (set, element) in elements(record) {
        batch.remove_elements(&set, [element]);
    }
}

/// The transport protocol's number.
pub fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

fn elements(record: &Record) -> Vec<(String, Element)> {
    let mut all = Vec::new();
    for address in &record.addresses {
        let names = names(address.is_ipv6());
        all.push((names.pods.clone(), Element::member(Key::new().address(*address).address(*address))));
        for mapping in record.ports.iter().filter(|mapping| applies(mapping, *address)) {
            let target = Key::new().address(*address).port(mapping.container_port);
            let protocol = protocol_number(mapping.protocol);
            let (set, key) = match specific(mapping) {
                Some(host) => (&names.ports_at, Key::new().address(host)),
                None => (&names.ports, Key::new()),
            };
            all.push((set.clone(), Element::pair(key.protocol(protocol).port(mapping.host_port), target)));
        }
    }
    all
}

/// The node's address a port is bound to, if not all.
fn specific(mapping: &PortMapping) -> Option<IpAddr> {
    mapping.host_ip.filter(|address| {
        *address != IpAddr::V4(Ipv4Addr::UNSPECIFIED) && *address != IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    })
}

/// Whether a port leads to this address: it has one, and the families agree.
fn applies(mapping: &PortMapping, address: IpAddr) -> bool {
    mapping.host_port != 0 && specific(mapping).is_none_or(|host| host.is_ipv6() == address.is_ipv6())
}

fn guard() -> Vec<Expression> {
    let mut rule = family_is(false).to_vec();
    rule.extend(loopback(Payload::Destination4, Compare::Is));
    let mut name = b"lo\0".to_vec();
    name.resize(16, 0);
    rule.extend([
        Expression::LoadMeta(Meta::InName, Register(0)),
        Expression::Compare(Register(0), Compare::IsNot, name),
        Expression::Verdict(Verdict::Drop),
    ]);
    rule
}

/// Goes on for addresses in (or not in) 127.0.0.0/8.
fn loopback(part: Payload, how: Compare) -> [Expression; 3] {
    [
        Expression::Load(part, Register(0)),
        Expression::Bits(Register(0), u32::from_ne_bytes([255, 0, 0, 0]), 0),
        Expression::Compare(Register(0), how, vec![127, 0, 0, 0]),
    ]
}

fn port(v6: bool, names: &Names) -> Vec<Expression> {
    let mut rule = family_is(v6).to_vec();
    rule.extend([
        Expression::LoadMeta(Meta::Protocol, Register(0)),
        Expression::Load(Payload::DestinationPort, Register(1)),
        Expression::Map(names.ports.clone(), Register(0), Register(8)),
    ]);
    rule.extend(address_is_local(Side::Destination, Compare::Is));
    rule.push(translate(v6));
    rule
}

fn port_at(v6: bool, names: &Names) -> Vec<Expression> {
    let mut rule = family_is(v6).to_vec();
    let after = if v6 { Register(4) } else { Register(1) };
    rule.extend([
        Expression::Load(Payload::destination(v6), Register(0)),
        Expression::LoadMeta(Meta::Protocol, after),
        Expression::Load(Payload::DestinationPort, after.plus(1)),
        Expression::Map(names.ports_at.clone(), Register(0), Register(8)),
        translate(v6),
    ]);
    rule
}

/// To the address and port that a map put into the eighth register and the following.
fn translate(v6: bool) -> Expression {
    let port = if v6 { Register(12) } else { Register(9) };
    Expression::TranslateDestination(v6, Register(8), port)
}

fn hairpin(v6: bool, names: &Names) -> Vec<Expression> {
    let second = if v6 { Register(4) } else { Register(1) };
    let mut rule = family_is(v6).to_vec();
    rule.extend([
        Expression::Load(Payload::source(v6), Register(0)),
        Expression::Load(Payload::destination(v6), second),
        Expression::InSet(names.pods.clone(), Register(0)),
        Expression::Masquerade,
    ]);
    rule
}

/// Pods speak to each other as themselves, and to the rest of the world as their node.
fn leaving(v6: bool, names: &Names) -> Vec<Expression> {
    let mut rule = family_is(v6).to_vec();
    rule.extend([
        Expression::Load(Payload::source(v6), Register(0)),
        Expression::InSet(names.cluster.clone(), Register(0)),
        Expression::Load(Payload::destination(v6), Register(0)),
        Expression::NotInSet(names.cluster.clone(), Register(0)),
        Expression::Masquerade,
    ]);
    rule
}

fn from_loopback() -> Vec<Expression> {
    let mut rule = family_is(false).to_vec();
    rule.extend(loopback(Payload::Source4, Compare::Is));
    rule.extend(loopback(Payload::Destination4, Compare::IsNot));
    rule.push(Expression::Masquerade);
    rule
}
