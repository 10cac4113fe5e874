//! What policies say to a packet, and which of them says it.

use std::net::IpAddr;

use crate::policy::compile::{Allowed, Direction, Gate, Side, View, compile};
use crate::policy::view::{Pod, Policy};

use super::world::World;

/// One end of a packet's way, as its policies see it.
#[derive(Clone, Copy, Debug)]
pub struct Passage<'a> {
    /// The pod whose policies are asked.
    pub pod: &'a Pod,
    /// Which of its addresses.
    pub address: IpAddr,
    /// Which way the packet goes.
    pub direction: Direction,
    /// The other side.
    pub other: IpAddr,
    /// The transport protocol's number.
    pub protocol: u8,
    /// The port of the receiving side.
    pub port: u16,
}

/// What they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No policy is about it.
    Free,
    /// This one lets it through.
    Allowed(String),
    /// These are about it, and none lets it through.
    Denied(Vec<String>),
}

impl Passage<'_> {
    /// Asks them: each policy by itself, since what any of them allows is allowed.
    pub fn verdict(&self, world: &World) -> Verdict {
        let mut about = Vec::new();
        for policy in &world.policies {
            let (isolates, allows) = self.ask(world, policy);
            if allows {
                return Verdict::Allowed(policy.key.to_string());
            }
            if isolates {
                about.push(policy.key.to_string());
            }
        }
        about.sort();
        if about.is_empty() { Verdict::Free } else { Verdict::Denied(about) }
    }

    /// Whether a policy is about it, and whether it lets it through.
    fn ask(&self, world: &World, policy: &Policy) -> (bool, bool) {
        let pods: Vec<&Pod> = world.pods.iter().filter(|pod| !pod.addresses.is_empty()).collect();
        let namespaces: Vec<_> = world.namespaces.iter().collect();
        let view = View { node: &self.pod.node, policies: &[policy], pods: &pods, namespaces: &namespaces };
        let rules = compile(&view);
        let isolates = rules.isolated.contains(&(self.direction, self.address));
        (isolates, isolates && rules.allowed.iter().any(|entry| self.fits(entry)))
    }

    fn fits(&self, entry: &Allowed) -> bool {
        let side = match entry.side {
            Side::Address(address) => address == self.other,
            Side::Range(first, last) => {
                first.is_ipv6() == self.other.is_ipv6() && first <= self.other && self.other <= last
            }
        };
        let gate = match entry.gate {
            Gate::All => true,
            Gate::Ports(protocol, first, last) => {
                protocol == self.protocol && (first..=last).contains(&self.port)
            }
        };
        entry.direction == self.direction && entry.pod == self.address && side && gate
    }
}
