//! The policies' table: sets of what is allowed, and the few rules that look them up for the first packet of a flow.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::compile::{Allowed, Direction, Gate, Rules, Side};
use crate::nftables::expression::{Expression, Meta, Payload, Register, Verdict, family_is, state, state_is};
use crate::nftables::set::{Element, Field, Key, Set};
use crate::nftables::{BaseChain, Batch, Blueprint, ChainKind, Hook, priority};

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// The sets, each once per direction and family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetName {
    /// pod
    Isolated,
    /// pod . other side
    Peers,
    /// pod . other side . protocol . port
    PeerPorts,
    /// pod . other side . protocol . port, as ranges
    Ranges,
}

/// The name of a set.
pub fn set_name(set: SetName, direction: Direction, v6: bool) -> String {
    let name = match set {
        SetName::Isolated => "isolated",
        SetName::Peers => "peers",
        SetName::PeerPorts => "peer-ports",
        SetName::Ranges => "ranges",
    };
    format!("{name}-{}{}", side(direction), if v6 { 6 } else { 4 })
}

const fn side(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "in",
        Direction::Out => "out",
    }
}

/// The table as it shall be. Names may always be asked for at `own` addresses.
pub fn build(table: &str, rules: &Rules, own: &[IpAddr]) -> Blueprint {
    let mut fixed = Batch::new(table);
    add_sets(&mut fixed, own);
    add_chains(&mut fixed);
    let mut elements = BTreeMap::new();
    for (direction, v6) in
        [Direction::In, Direction::Out].into_iter().flat_map(|one| [(one, false), (one, true)])
    {
        for set in [SetName::Isolated, SetName::Peers, SetName::PeerPorts, SetName::Ranges] {
            elements.insert(set_name(set, direction, v6), BTreeSet::new());
        }
    }
    let allowed = rules.allowed.iter().map(|entry| {
        let (set, element) = element(entry);
        (set_name(set, entry.direction, entry.pod.is_ipv6()), element)
    });
    let isolated = rules.isolated.iter().map(|(direction, pod)| {
        let set = set_name(SetName::Isolated, *direction, pod.is_ipv6());
        (set, Element::member(Key::new().address(*pod)))
    });
    for (set, element) in allowed.chain(isolated) {
        elements.entry(set).or_insert_with(BTreeSet::new).insert(element);
    }
    Blueprint { fixed, chains: Batch::new(table), elements }
}

fn add_sets(batch: &mut Batch, own: &[IpAddr]) {
    for v6 in [false, true] {
        let address = Field::address(v6);
        for direction in [Direction::In, Direction::Out] {
            let name = |set| set_name(set, direction, v6);
            let full = [address, address, Field::Protocol, Field::Port];
            batch.add_set(Set::new(&name(SetName::Isolated), &[address]));
            batch.add_set(Set::new(&name(SetName::Peers), &[address, address]));
            batch.add_set(Set::new(&name(SetName::PeerPorts), &full));
            batch.add_set(Set::new(&name(SetName::Ranges), &full).with_ranges());
        }
        let names = if v6 { "names6" } else { "names4" };
        batch.add_set(Set::new(names, &[address, Field::Protocol, Field::Port]));
        for server in own.iter().filter(|server| server.is_ipv6() == v6) {
            let key =
                |protocol| Element::member(Key::new().address(*server).protocol(protocol).port(DNS_PORT));
            batch.add_elements(names, [key(6), key(17)]);
        }
    }
}

fn add_chains(batch: &mut Batch) {
    for direction in [Direction::In, Direction::Out] {
        batch.add_chain(side(direction));
        for v6 in [false, true] {
            add_rules(batch, direction, v6);
        }
        batch.add_rule(side(direction), "nothing else", &[Expression::Verdict(Verdict::Drop)]);
    }
    for (name, hook) in [("forward", Hook::Forward), ("input", Hook::Input)] {
        batch.add_base_chain(BaseChain { name, kind: ChainKind::Filter, hook, priority: priority::FILTER });
        let known =
            [&state_is(state::ESTABLISHED | state::RELATED)[..], &[Expression::Verdict(Verdict::Accept)]];
        batch.add_rule(name, "", &known.concat());
        for v6 in [false, true] {
            if hook == Hook::Input {
                batch.add_rule(name, "names", &names_rule(v6));
            }
            batch.add_rule(name, "", &isolated(Direction::Out, v6));
            // What comes to the node itself comes to no pod; what the node itself sends (probes) always passes.
            if hook == Hook::Forward {
                batch.add_rule(name, "", &isolated(Direction::In, v6));
            }
        }
    }
}

/// Adds the changes from one set of rules to another.
pub fn update(batch: &mut Batch, old: &Rules, new: &Rules) {
    for entry in old.allowed.difference(&new.allowed) {
        let (set, element) = element(entry);
        batch.remove_elements(&set_name(set, entry.direction, entry.pod.is_ipv6()), [element]);
    }
    // Allowed first, isolated then: no packet is dropped in between that both old and new rules let through.
    for entry in new.allowed.difference(&old.allowed) {
        let (set, element) = element(entry);
        batch.add_elements(&set_name(set, entry.direction, entry.pod.is_ipv6()), [element]);
    }
    let isolated = |pod: &IpAddr| [Element::member(Key::new().address(*pod))];
    for (direction, pod) in old.isolated.difference(&new.isolated) {
        batch.remove_elements(&set_name(SetName::Isolated, *direction, pod.is_ipv6()), isolated(pod));
    }
    for (direction, pod) in new.isolated.difference(&old.isolated) {
        batch.add_elements(&set_name(SetName::Isolated, *direction, pod.is_ipv6()), isolated(pod));
    }
}

fn element(entry: &Allowed) -> (SetName, Element) {
    let key = |side: IpAddr| Key::new().address(entry.pod).address(side);
    let (low, high) = match entry.gate {
        Gate::All => ((0, 0), (u8::MAX, u16::MAX)),
        Gate::Ports(protocol, first, last) => ((protocol, first), (protocol, last)),
    };
    match (entry.side, entry.gate) {
        (Side::Address(side), Gate::All) => (SetName::Peers, Element::member(key(side))),
        (Side::Address(side), Gate::Ports(protocol, port, last)) if port == last => {
            (SetName::PeerPorts, Element::member(key(side).protocol(protocol).port(port)))
        }
        (Side::Address(side), _) => (SetName::Ranges, range(key(side), key(side), low, high)),
        (Side::Range(first, last), _) => (SetName::Ranges, range(key(first), key(last), low, high)),
    }
}

fn range(first: Key, last: Key, low: (u8, u16), high: (u8, u16)) -> Element {
    Element::range(first.protocol(low.0).port(low.1), last.protocol(high.0).port(high.1))
}

const fn width(v6: bool) -> u8 {
    if v6 { 4 } else { 1 }
}

fn isolated(direction: Direction, v6: bool) -> Vec<Expression> {
    let pod = match direction {
        Direction::In => Payload::destination(v6),
        Direction::Out => Payload::source(v6),
    };
    let mut rule = family_is(v6).to_vec();
    rule.extend([
        Expression::Load(pod, Register(0)),
        Expression::InSet(set_name(SetName::Isolated, direction, v6), Register(0)),
        Expression::Verdict(Verdict::Jump(side(direction).to_owned())),
    ]);
    rule
}

fn names_rule(v6: bool) -> Vec<Expression> {
    let after = Register(width(v6));
    let mut rule = family_is(v6).to_vec();
    rule.extend([
        Expression::Load(Payload::destination(v6), Register(0)),
        Expression::LoadMeta(Meta::Protocol, after),
        Expression::Load(Payload::DestinationPort, after.plus(1)),
        Expression::InSet(if v6 { "names6" } else { "names4" }.to_owned(), Register(0)),
        Expression::Verdict(Verdict::Accept),
    ]);
    rule
}

fn add_rules(batch: &mut Batch, direction: Direction, v6: bool) {
    let (pod, other) = match direction {
        Direction::In => (Payload::destination(v6), Payload::source(v6)),
        Direction::Out => (Payload::source(v6), Payload::destination(v6)),
    };
    let after = Register(width(v6) * 2);
    let both = [Expression::Load(pod, Register(0)), Expression::Load(other, Register(width(v6)))];
    let gate = [
        Expression::LoadMeta(Meta::Protocol, after),
        Expression::Load(Payload::DestinationPort, after.plus(1)),
    ];
    let sets = [
        (SetName::Peers, "peers on all ports", &gate[..0]),
        (SetName::PeerPorts, "peers on some ports", &gate[..]),
        (SetName::Ranges, "blocks and spans of ports", &gate[..]),
    ];
    for (set, comment, gate) in sets {
        let found = [
            Expression::InSet(set_name(set, direction, v6), Register(0)),
            Expression::Verdict(Verdict::Return),
        ];
        let rule = [&family_is(v6)[..], &both, gate, &found].concat();
        batch.add_rule(side(direction), comment, &rule);
    }
}
