//! Rules against a second opinion: an evaluator that asks the policies themselves, packet by packet.

use client::Key;
use machinery::selector::LabelSelector;

use super::*;
use crate::view::protocol::{TCP, UDP};

/// A sequence of numbers that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

fn namespaces() -> Vec<Namespace> {
    ["x", "y", "z"]
        .iter()
        .map(|name| Namespace { name: (*name).into(), labels: vec![("ns".into(), (*name).into())] })
        .collect()
}

/// Nine pods in three namespaces, some of them on this node.
fn pods() -> Vec<Pod> {
    let mut pods = Vec::new();
    for (n, namespace) in ["x", "y", "z"].iter().enumerate() {
        for (p, name) in ["a", "b", "c"].iter().enumerate() {
            pods.push(Pod {
                key: Key::new(namespace, name),
                uid: format!("{namespace}{name}").into(),
                node: if p == 2 { "there" } else { "here" }.into(),
                addresses: vec![IpAddr::from([10, 1, n as u8, p as u8 + 1])],
                labels: vec![("pod".into(), (*name).into())],
                // What is called so is not the same in every pod.
                ports: vec![("web".into(), TCP, 80 + p as u16)],
            });
        }
    }
    pods
}

fn selector(numbers: &mut Numbers, key: &str, values: &[&str]) -> LabelSelector {
    let value = numbers.one(values);
    let text = match numbers.below(4) {
        0 => String::new(),
        1 => format!("{key}={value}"),
        2 => format!("{key}!={value}"),
        _ => format!("{key} in ({value},{})", values[0]),
    };
    LabelSelector::parse(&text).unwrap()
}

fn rule(numbers: &mut Numbers) -> Rule {
    let block = |text: &str| text.parse::<IpNet>().unwrap();
    let peers = (0..numbers.below(3)).map(|_| match numbers.below(3) {
        0 => {
            let cidr =
                *numbers.one(&["10.1.0.0/16", "10.1.1.0/24", "0.0.0.0/0", "192.0.2.0/24", "10.1.0.2/31"]);
            let except = ["10.1.1.0/24", "10.1.0.1/32", "10.1.2.2/32", "192.0.2.0/25"];
            let except = except[..numbers.below(5) as usize].iter().map(|text| block(text)).collect();
            Peer::Block(block(cidr), except)
        }
        kind => {
            let namespaces = (kind == 1).then(|| selector(numbers, "ns", &["x", "y", "z"]));
            Peer::Pods(namespaces, selector(numbers, "pod", &["a", "b", "c"]))
        }
    });
    let peers: Vec<Peer> = peers.collect();
    let ports = (0..numbers.below(3)).map(|_| {
        let protocol = *numbers.one(&[TCP, UDP]);
        match numbers.below(4) {
            0 => Ports::Named(protocol, "web".into()),
            1 => Ports::Range(protocol, 80, 81),
            2 => Ports::Range(protocol, 0, u16::MAX),
            _ => Ports::Range(protocol, 81, 81),
        }
    });
    let ports: Vec<Ports> = ports.collect();
    Rule { peers: (!peers.is_empty()).then_some(peers), ports: (!ports.is_empty()).then_some(ports) }
}

fn policy(numbers: &mut Numbers, number: u64) -> Policy {
    let rules = |numbers: &mut Numbers| {
        (numbers.below(3) > 0).then(|| (0..numbers.below(3)).map(|_| rule(numbers)).collect())
    };
    Policy {
        key: Key::new(numbers.one::<&str>(&["x", "y", "z"]), &format!("p{number}")),
        subjects: selector(numbers, "pod", &["a", "b", "c"]),
        ingress: rules(numbers),
        egress: rules(numbers),
    }
}

/// Somebody a packet is from or to.
#[derive(Clone, Copy)]
struct Party<'a> {
    address: IpAddr,
    pod: Option<&'a Pod>,
}

/// Whether the policies themselves let a packet through in one direction, as the specification words it.
fn evaluate(
    policies: &[Policy],
    namespaces: &[Namespace],
    (subject, other): (Party<'_>, Party<'_>),
    (direction, protocol, port): (Direction, u8, u16),
) -> bool {
    let Some(pod) = subject.pod else { return true };
    if subject.address == other.address {
        return true;
    }
    let receiver = if direction == Direction::In { subject.pod } else { other.pod };
    let mut isolated = false;
    for policy in policies {
        if policy.key.namespace != pod.key.namespace || !policy.subjects.matches(|key| pod.label(key)) {
            continue;
        }
        let said = if direction == Direction::In { &policy.ingress } else { &policy.egress };
        let Some(rules) = said else { continue };
        isolated = true;
        for rule in rules {
            let home = &policy.key.namespace;
            let fits = match &rule.peers {
                None => port_fits(rule, receiver, (protocol, port)),
                Some(peers) => peers.iter().any(|peer| {
                    peer_fits(peer, home, other, namespaces) && port_fits(rule, receiver, (protocol, port))
                }),
            };
            if fits {
                return true;
            }
        }
    }
    !isolated
}

fn port_fits(rule: &Rule, receiver: Option<&Pod>, (protocol, port): (u8, u16)) -> bool {
    rule.ports.as_ref().is_none_or(|ports| {
        ports.iter().any(|one| match one {
            Ports::Range(of, first, last) => *of == protocol && (*first..=*last).contains(&port),
            Ports::Named(of, name) => {
                *of == protocol
                    && receiver.is_some_and(|pod| pod.ports.contains(&(name.clone(), protocol, port)))
            }
        })
    })
}

fn peer_fits(peer: &Peer, home: &str, other: Party<'_>, namespaces: &[Namespace]) -> bool {
    match peer {
        Peer::Block(block, except) => {
            block.contains(&other.address) && !except.iter().any(|hole| hole.contains(&other.address))
        }
        Peer::Pods(wanted, pods) => other.pod.is_some_and(|other| {
            let its_own = namespaces.iter().find(|one| one.name == other.key.namespace).unwrap();
            let namespace_fits = match wanted {
                None => other.key.namespace == home,
                Some(wanted) => wanted.matches(|key| its_own.label(key)),
            };
            namespace_fits && pods.matches(|key| other.label(key))
        }),
    }
}

/// Whether the rules let a packet through, as the kernel looks them up.
fn passes(
    rules: &Rules,
    direction: Direction,
    pod: IpAddr,
    other: IpAddr,
    (protocol, port): (u8, u16),
) -> bool {
    if !rules.isolated.contains(&(direction, pod)) {
        return true;
    }
    rules.allowed.iter().any(|entry| {
        let side = match entry.side {
            Side::Address(address) => address == other,
            Side::Range(first, last) => (first..=last).contains(&other),
        };
        let gate = match entry.gate {
            Gate::All => true,
            Gate::Ports(of, first, last) => of == protocol && (first..=last).contains(&port),
        };
        entry.direction == direction && entry.pod == pod && side && gate
    })
}

#[test]
fn rules_say_what_the_policies_say() {
    let (namespaces, pods) = (namespaces(), pods());
    let outside =
        [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 200]), IpAddr::from([10, 1, 1, 99])];
    let parties: Vec<Party<'_>> = pods
        .iter()
        .map(|pod| Party { address: pod.addresses[0], pod: Some(pod) })
        .chain(outside.into_iter().map(|address| Party { address, pod: None }))
        .collect();
    let mut numbers = Numbers(20);
    let (mut through, mut stopped) = (0, 0);
    for round in 0..600 {
        let policies: Vec<Policy> = (0..1 + round % 4).map(|number| policy(&mut numbers, number)).collect();
        let rules = compile(&View {
            node: "here",
            policies: &policies.iter().collect::<Vec<_>>(),
            pods: &pods.iter().collect::<Vec<_>>(),
            namespaces: &namespaces.iter().collect::<Vec<_>>(),
        });
        for subject in parties.iter().filter(|party| party.pod.is_some_and(|pod| pod.node == "here")) {
            for other in &parties {
                for direction in [Direction::In, Direction::Out] {
                    for (protocol, port) in [(TCP, 80), (TCP, 81), (TCP, 82), (UDP, 81), (TCP, 9)] {
                        let packet = (direction, protocol, port);
                        let expected = evaluate(&policies, &namespaces, (*subject, *other), packet);
                        let found =
                            passes(&rules, direction, subject.address, other.address, (protocol, port));
                        assert_eq!(
                            found, expected,
                            "{} {} {packet:?}: {policies:#?}",
                            subject.address, other.address
                        );
                        if found { through += 1 } else { stopped += 1 }
                    }
                }
            }
        }
    }
    assert!(
        through > 10_000 && stopped > 10_000,
        "the cases say something: {through} through, {stopped} stopped"
    );
}

#[test]
fn ranges_of_one_pod_never_overlap() {
    let (namespaces, pods) = (namespaces(), pods());
    let mut numbers = Numbers(7);
    for _ in 0..300 {
        let policies: Vec<Policy> = (0..3).map(|number| policy(&mut numbers, number)).collect();
        let rules = compile(&View {
            node: "here",
            policies: &policies.iter().collect::<Vec<_>>(),
            pods: &pods.iter().collect::<Vec<_>>(),
            namespaces: &namespaces.iter().collect::<Vec<_>>(),
        });
        let ranges: Vec<&Allowed> =
            rules.allowed.iter().filter(|entry| matches!(entry.side, Side::Range(..))).collect();
        for (place, one) in ranges.iter().enumerate() {
            for other in &ranges[place + 1..] {
                let (Side::Range(a, b), Side::Range(c, d)) = (one.side, other.side) else { unreachable!() };
                let same = one.direction == other.direction && one.pod == other.pod;
                let gates = match (one.gate, other.gate) {
                    (Gate::Ports(p, from, to), Gate::Ports(q, first, last)) => {
                        p == q && from <= last && first <= to
                    }
                    _ => true,
                };
                assert!(!(same && gates && a <= d && c <= b), "{one:?} {other:?}");
            }
        }
    }
}

#[test]
fn blocks_without_their_exceptions() {
    let text = |block: &str, except: &[&str]| {
        let except: Vec<IpNet> = except.iter().map(|text| text.parse().unwrap()).collect();
        let ranges = without(block.parse().unwrap(), &except);
        ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(text("10.0.0.0/30", &[]), "10.0.0.0-10.0.0.3");
    assert_eq!(text("10.0.0.0/30", &["10.0.0.1/32"]), "10.0.0.0-10.0.0.0 10.0.0.2-10.0.0.3");
    assert_eq!(text("10.0.0.0/30", &["10.0.0.0/31", "10.0.0.1/32"]), "10.0.0.2-10.0.0.3");
    assert_eq!(text("10.0.0.0/30", &["10.0.0.0/8"]), "");
    assert_eq!(text("0.0.0.0/0", &["255.255.255.255/32"]), "0.0.0.0-255.255.255.254");
}
