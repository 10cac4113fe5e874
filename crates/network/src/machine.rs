//! Nodes that live in namespaces of one machine: the cable between each of them and the machine, and their way out.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::names;
use crate::netlink::{Links, Namespace, Result};
use crate::nftables::expression::{Expression, Payload, Register, family_is};
use crate::nftables::set::{Element, Field, Set};
use crate::nftables::{BaseChain, Batch, Blueprint, ChainKind, Hook, Nft, priority};
use crate::podnet::wire::{self, Cable};

/// The largest packet between the machine and its nodes: that of Ethernet, so that tunnels have room.
const MTU: u32 = 1500;
/// The part of the network that the rules for the way out are.
pub const PART: &str = "nodes";

/// A node in a namespace of this machine.
#[derive(Clone, Debug)]
pub struct Guest<'a> {
    /// Its instance, which is not the machine's own.
    pub instance: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its namespace.
    pub namespace: &'a Namespace,
    /// Its addresses.
    pub addresses: &'a [IpAddr],
    /// The machine's addresses: it speaks to the node from the one of the same family.
    pub machine_addresses: &'a [IpAddr],
}

/// Lays the cable between the machine and a node, or completes one that is there.
pub fn attach(machine: &Namespace, guest: &Guest<'_>) -> Result<()> {
    let link = cable_of(guest.instance);
    let cable = Cable {
        link: &link,
        inside: wire::INSIDE,
        alias: &format!("ironclad {}: the node {}", guest.instance, guest.name),
        addresses: guest.addresses,
        node_addresses: guest.machine_addresses,
        mtu: MTU,
    };
    wire::connect(machine, &mut Links::of(machine)?, guest.namespace, &cable)
}

/// Lays the cable again where it lost its route: the kernel forgets that of a link which was taken down, also when it is
/// put up again. A link that is down stays so, whoever took it down. Answers whether there was something to mend.
pub fn mend(machine: &Namespace, guest: &Guest<'_>) -> Result<bool> {
    let mut links = Links::of(machine)?;
    if let Some(link) = links.by_name(&cable_of(guest.instance))? {
        let routes = links.our_routes()?;
        let has_route = |address: &IpAddr| {
            routes.iter().any(|route| route.link == link.index && route.destination == IpNet::from(*address))
        };
        if !link.running || guest.addresses.iter().all(has_route) {
            return Ok(false);
        }
    }
    attach(machine, guest)?;
    Ok(true)
}

/// Takes the cable to a node away.
pub fn detach(machine: &Namespace, instance: &str) -> Result<()> {
    Links::of(machine)?.remove(&cable_of(instance))
}

/// The machine's end of a node's cable. It is called as the node's own links are, which are elsewhere: the machine
/// takes it for none of its pods'.
fn cable_of(instance: &str) -> String {
    names::link(instance, "machine")
}

/// Lets the nodes of the machine, whose addresses nobody outside knows, speak to the world as the machine.
pub fn let_out(machine: &Namespace, instance: &str, nodes: &[IpNet], inside: &[IpNet]) -> Result<()> {
    let table = names::table(instance, PART);
    let make = |table: &str| Blueprint::unchanging(rules(table, nodes, inside));
    Nft::of(machine)?.establish(&table, make).map(|_| ())
}

fn rules(table: &str, nodes: &[IpNet], inside: &[IpNet]) -> Batch {
    let mut batch = Batch::new(table);
    let (name, kind, hook) = ("outgoing", ChainKind::Nat, Hook::Postrouting);
    batch.add_base_chain(BaseChain { name, kind, hook, priority: priority::SOURCE });
    for v6 in [false, true] {
        let (nodes_set, inside_set) = if v6 { ("nodes6", "inside6") } else { ("nodes4", "inside4") };
        let all = [nodes, inside].concat();
        for (set, blocks) in [(nodes_set, nodes), (inside_set, &all[..])] {
            batch.add_set(Set::new(set, &[Field::address(v6)]).with_ranges());
            let blocks: Vec<IpNet> =
                blocks.iter().filter(|block| block.addr().is_ipv6() == v6).copied().collect();
            // Overlapping ranges would be refused by the kernel.
            batch.add_elements(set, IpNet::aggregate(&blocks).into_iter().flat_map(Element::block));
        }
        let mut rule = family_is(v6).to_vec();
        rule.extend([
            Expression::Load(Payload::source(v6), Register(0)),
            Expression::InSet(nodes_set.into(), Register(0)),
            Expression::Load(Payload::destination(v6), Register(0)),
            Expression::NotInSet(inside_set.into(), Register(0)),
            Expression::Masquerade,
        ]);
        batch.add_rule(name, "a node that leaves the machine", &rule);
    }
    batch
}
