//! From policies, pods and namespaces to what each pod of this node may do: pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::view::{Namespace, Peer, Pod, Policy, Ports, Rule};

/// A direction of traffic, as the pod sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// To the pod.
    In,
    /// From the pod.
    Out,
}

/// The other side of what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// One address.
    Address(IpAddr),
    /// From one address to another.
    Range(IpAddr, IpAddr),
}

/// The ports of what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// All, of all protocols.
    All,
    /// Of one protocol, from one to another.
    Ports(u8, u16, u16),
}

/// Something a pod may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allowed {
    /// Which way.
    pub direction: Direction,
    /// The pod's address.
    pub pod: IpAddr,
    /// The other side.
    pub side: Side,
    /// The ports of the receiving side.
    pub gate: Gate,
}

/// What the pods of this node may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Addresses of pods that may only do what is allowed.
    pub isolated: BTreeSet<(Direction, IpAddr)>,
    /// What they may do. Ranges of one pod and direction do not overlap.
    pub allowed: BTreeSet<Allowed>,
}

/// What is there.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// This node's name.
    pub node: &'a str,
    /// All policies.
    pub policies: &'a [&'a Policy],
    /// All pods with addresses of their own.
    pub pods: &'a [&'a Pod],
    /// All namespaces.
    pub namespaces: &'a [&'a Namespace],
}

/// Works out the rules.
pub fn compile(view: &View<'_>) -> Rules {
    let mut rules = Rules::default();
    for pod in view.pods.iter().filter(|pod| pod.node == view.node) {
        let about = view.policies.iter().filter(|policy| {
            policy.key.namespace == pod.key.namespace && policy.subjects.matches(|key| pod.label(key))
        });
        let about: Vec<&Policy> = about.copied().collect();
        for direction in [Direction::In, Direction::Out] {
            let said = about.iter().filter_map(|policy| {
                let said = if direction == Direction::In { &policy.ingress } else { &policy.egress };
                said.as_ref().map(|rules| (*policy, rules))
            });
            let said: Vec<(&Policy, &Vec<Rule>)> = said.collect();
            if said.is_empty() {
                continue;
            }
            for address in &pod.addresses {
                rules.isolated.insert((direction, *address));
                let mut gathered = Gathered::default();
                // A pod always reaches itself.
                gathered.add(Side::Address(*address), Gate::All);
                for (policy, rule) in
                    said.iter().flat_map(|(policy, rules)| rules.iter().map(|rule| (*policy, rule)))
                {
                    gather(view, (policy, rule), (pod, *address, direction), &mut gathered);
                }
                let entries = gathered.finish();
                rules.allowed.extend(entries.map(|(side, gate)| Allowed {
                    direction,
                    pod: *address,
                    side,
                    gate,
                }));
            }
        }
    }
    rules
}

/// Adds what one rule of a policy allows a pod at one of its addresses.
fn gather(
    view: &View<'_>,
    (policy, rule): (&Policy, &Rule),
    (pod, address, direction): (&Pod, IpAddr, Direction),
    gathered: &mut Gathered,
) {
    let v6 = address.is_ipv6();
    let named = rule.ports.iter().flatten().any(|ports| matches!(ports, Ports::Named(..)));
    let Some(peers) = &rule.peers else {
        for gate in gates(rule, (direction == Direction::In).then_some(pod)) {
            gathered.add(everybody(v6), gate);
        }
        // Whom everybody is includes pods, and each may call another port so.
        if named && direction == Direction::Out {
            for peer in view.pods {
                add_pod(peer, rule, |to| to.is_ipv6() == v6, gathered);
            }
        }
        return;
    };
    for peer in peers {
        match peer {
            Peer::Block(block, except) if block.addr().is_ipv6() == v6 => {
                for (first, last) in without(*block, except) {
                    for gate in gates(rule, (direction == Direction::In).then_some(pod)) {
                        gathered.add(Side::Range(first, last), gate);
                    }
                }
                // Pods in the block may call their ports so.
                let within = |to: &IpAddr| block.contains(to) && !except.iter().any(|hole| hole.contains(to));
                for peer in view.pods.iter().filter(|_| named && direction == Direction::Out) {
                    add_pod(peer, rule, within, gathered);
                }
            }
            Peer::Block(..) => {}
            Peer::Pods(namespaces, pods) => {
                for other in view.pods.iter().filter(|other| pods.matches(|key| other.label(key))) {
                    let fits = match namespaces {
                        None => other.key.namespace == policy.key.namespace,
                        Some(wanted) => {
                            let namespace =
                                view.namespaces.iter().find(|one| one.name == other.key.namespace);
                            namespace.is_some_and(|namespace| wanted.matches(|key| namespace.label(key)))
                        }
                    };
                    if !fits {
                        continue;
                    }
                    match direction {
                        Direction::Out => add_pod(other, rule, |to| to.is_ipv6() == v6, gathered),
                        Direction::In => {
                            for from in other.addresses.iter().filter(|one| one.is_ipv6() == v6) {
                                for gate in gates(rule, Some(pod)) {
                                    gathered.add(Side::Address(*from), gate);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Allows traffic to those addresses of another pod that count; so do its names of ports.
fn add_pod(other: &Pod, rule: &Rule, counts: impl Fn(&IpAddr) -> bool, gathered: &mut Gathered) {
    for to in other.addresses.iter().filter(|to| counts(to)) {
        for gate in gates(rule, Some(other)) {
            gathered.add(Side::Address(*to), gate);
        }
    }
}

/// The ports of a rule, named ones as the receiving pod has them; without a pod, names mean nothing.
fn gates(rule: &Rule, receiver: Option<&Pod>) -> Vec<Gate> {
    let Some(ports) = &rule.ports else { return vec![Gate::All] };
    let mut gates = Vec::new();
    for one in ports {
        match one {
            Ports::Range(protocol, first, last) => gates.push(Gate::Ports(*protocol, *first, *last)),
            Ports::Named(protocol, name) => {
                let named = receiver.into_iter().flat_map(|pod| &pod.ports);
                let named = named.filter(|(known, of, _)| known == name && of == protocol);
                gates.extend(named.map(|(.., number)| Gate::Ports(*protocol, *number, *number)));
            }
        }
    }
    gates
}

fn everybody(v6: bool) -> Side {
    if v6 {
        Side::Range(IpAddr::from([0; 16]), IpAddr::from([0xff; 16]))
    } else {
        Side::Range(IpAddr::from([0; 4]), IpAddr::from([0xff; 4]))
    }
}

/// The ranges of a block's addresses that are in no exception.
fn without(block: IpNet, except: &[IpNet]) -> Vec<(IpAddr, IpAddr)> {
    let mut holes: Vec<(u128, u128)> =
        except.iter().map(|hole| (number(hole.network()), number(hole.broadcast()))).collect();
    holes.sort_unstable();
    let v6 = block.addr().is_ipv6();
    let (mut next, last) = (number(block.network()), number(block.broadcast()));
    let mut ranges = Vec::new();
    for (from, to) in holes {
        if from > last || to < next {
            continue;
        }
        if from > next {
            ranges.push((address(next, v6), address(from - 1, v6)));
        }
        match to.checked_add(1) {
            Some(after) if after <= last => next = after,
            _ => return ranges,
        }
    }
    ranges.push((address(next, v6), address(last, v6)));
    ranges
}

/// What one pod may do in one direction, as it is gathered: single addresses, and ranges that may overlap.
#[derive(Default)]
struct Gathered {
    addresses: BTreeSet<(IpAddr, Gate)>,
    ranges: Vec<(u128, u128, Gate)>,
    v6: bool,
}

impl Gathered {
    fn add(&mut self, side: Side, gate: Gate) {
        match side {
            Side::Address(address) => {
                self.addresses.insert((address, gate));
            }
            Side::Range(first, last) => {
                self.v6 = first.is_ipv6();
                self.ranges.push((number(first), number(last), gate));
            }
        }
    }

    /// The entries, ranges cut so that none overlaps another, which the kernel's sets want. Ports of single addresses
    /// are single too: a span of ports makes a range of one address.
    fn finish(mut self) -> impl Iterator<Item = (Side, Gate)> {
        let mut singles = BTreeSet::new();
        for (address, gate) in std::mem::take(&mut self.addresses) {
            match gate {
                Gate::Ports(_, first, last) if first != last => self.add(Side::Range(address, address), gate),
                gate => {
                    singles.insert((Side::Address(address), gate));
                }
            }
        }
        let v6 = self.v6;
        let cut = cut(&self.ranges);
        let ranges = cut.into_iter().flat_map(move |(first, last, gates)| {
            let side = Side::Range(address(first, v6), address(last, v6));
            gates.into_iter().map(move |gate| (side, gate))
        });
        singles.into_iter().chain(ranges)
    }
}

/// Cuts ranges at each other's ends, and joins neighbours that allow the same.
fn cut(ranges: &[(u128, u128, Gate)]) -> Vec<(u128, u128, Vec<Gate>)> {
    let mut edges: BTreeSet<u128> = BTreeSet::new();
    for (first, last, _) in ranges {
        edges.insert(*first);
        // The end of all addresses has nothing after it.
        edges.extend(last.checked_add(1));
    }
    let edges: Vec<u128> = edges.into_iter().collect();
    let mut pieces: Vec<(u128, u128, Vec<Gate>)> = Vec::new();
    for (place, from) in edges.iter().enumerate() {
        let to = edges.get(place + 1).map_or(u128::MAX, |next| next - 1);
        let over = ranges.iter().filter(|(first, last, _)| first <= from && *last >= *from);
        let longest = over.clone().map(|(_, last, _)| *last).max();
        let (Some(longest), gates) = (longest, join(over.map(|(.., gate)| *gate))) else { continue };
        let to = to.min(longest);
        match pieces.last_mut() {
            Some((_, end, same)) if end.checked_add(1) == Some(*from) && *same == gates => *end = to,
            _ => pieces.push((*from, to, gates)),
        }
    }
    pieces
}

/// Joins ports that overlap or touch.
fn join(gates: impl Iterator<Item = Gate>) -> Vec<Gate> {
    let mut by_protocol: BTreeMap<u8, Vec<(u16, u16)>> = BTreeMap::new();
    for gate in gates {
        match gate {
            Gate::All => return vec![Gate::All],
            Gate::Ports(protocol, first, last) => {
                by_protocol.entry(protocol).or_default().push((first, last))
            }
        }
    }
    let mut joined = Vec::new();
    for (protocol, mut spans) in by_protocol {
        spans.sort_unstable();
        let mut open: Option<(u16, u16)> = None;
        for (first, last) in spans {
            open = match open {
                Some((from, to)) if first <= to.saturating_add(1) => Some((from, to.max(last))),
                Some((from, to)) => {
                    joined.push(Gate::Ports(protocol, from, to));
                    Some((first, last))
                }
                None => Some((first, last)),
            };
        }
        joined.extend(open.map(|(from, to)| Gate::Ports(protocol, from, to)));
    }
    joined
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn address(number: u128, v6: bool) -> IpAddr {
    if v6 { IpAddr::V6(number.into()) } else { IpAddr::V4((number as u32).into()) }
}

#[cfg(test)]
mod tests;
