//! From where a packet is looked at to where it is received: policies on both sides, and the way between.

use std::net::{IpAddr, SocketAddr};

use super::policy::{Passage, Verdict};
use super::world::{Source, World};
use super::{Fate, Step, protocol_name};
use crate::policy::compile::Direction;
use crate::policy::view::Pod;
use crate::view::Node;

/// A packet on its last stretch.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// Who sends.
    pub source: &'a Source<'a>,
    /// The node that sends it on.
    pub entry: &'a Node,
    /// Where to.
    pub to: SocketAddr,
    /// The transport protocol's number.
    pub protocol: u8,
    /// Whether the sender's address is replaced by the node's.
    pub masked: bool,
}

impl Way<'_> {
    /// The steps, and how it ends.
    pub fn follow(&self, world: &World) -> (Vec<Step>, Fate) {
        let mut steps = Vec::new();
        let fate = self.walk(world, &mut steps);
        (steps, fate)
    }

    fn walk(&self, world: &World, steps: &mut Vec<Step>) -> Fate {
        let mut say = |topic, text: String| steps.push(Step { topic, text });
        if let Some(pod) = self.source.pod
            && let Some(address) = self.source.addresses.iter().find(|one| one.is_ipv6() == self.to.is_ipv6())
        {
            let (text, passes) = self.policy(world, (pod, *address, Direction::Out), self.to.ip());
            say("egress", text);
            if !passes {
                return Fate::Lost;
            }
        }
        let Some(pod) = world.pod_at(self.to.ip()) else {
            let (text, fate) = self.where_no_pod_is(world);
            say("route", text);
            return fate;
        };
        let (text, fate) = self.route(world, &pod.node);
        say("route", text);
        if fate != Fate::Arrives {
            return fate;
        }
        let seen = self.seen(world, pod);
        let own_node =
            self.source.pod.is_none() && self.source.node.is_some_and(|host| host.facts.name == pod.node);
        let (text, passes) = match seen {
            _ if own_node => ("a node always reaches its own pods".to_owned(), true),
            Some(seen) => self.policy(world, (pod, self.to.ip(), Direction::In), seen),
            None => ("the sender has no address of this family".to_owned(), false),
        };
        say("ingress", text);
        if !passes {
            return Fate::Lost;
        }
        let port = format!("{}/{}", self.to.port(), protocol_name(self.protocol));
        say("pod", format!("{} gets it on port {port}, if it listens there", pod.key));
        Fate::Arrives
    }

    /// The sender as the receiving pod's node sees it.
    fn seen(&self, world: &World, pod: &Pod) -> Option<IpAddr> {
        let v6 = self.to.is_ipv6();
        let of = |addresses: &[IpAddr]| addresses.iter().find(|one| one.is_ipv6() == v6).copied();
        // Addresses are replaced as a packet goes out of a node, after that node's policies.
        if self.masked && pod.node != self.entry.name {
            return of(&world.node(&self.entry.name)?.facts.addresses);
        }
        of(&self.source.addresses)
    }

    fn policy(
        &self,
        world: &World,
        (pod, address, direction): (&Pod, IpAddr, Direction),
        other: IpAddr,
    ) -> (String, bool) {
        let (protocol, port) = (self.protocol, self.to.port());
        let passage = Passage { pod, address, direction, other, protocol, port };
        let side = if direction == Direction::In { "ingress" } else { "egress" };
        match passage.verdict(world) {
            _ if other == address => ("a pod always reaches itself".to_owned(), true),
            Verdict::Free => (format!("no policy is about the {side} of pod {}", pod.key), true),
            Verdict::Allowed(policy) => (format!("NetworkPolicy {policy} lets it pass"), true),
            Verdict::Denied(policies) => {
                let names = policies.join(", ");
                (
                    format!("NetworkPolicy {names} isolates pod {}, and nothing lets {other} pass", pod.key),
                    false,
                )
            }
        }
    }

    fn route(&self, world: &World, node: &str) -> (String, Fate) {
        if node == self.entry.name {
            return (format!("stays on node {node}"), Fate::Arrives);
        }
        let from = if self.entry.name.is_empty() { "outside" } else { self.entry.name.as_str() };
        match world.node(node) {
            Some(host) if host.ready => {
                (format!("from {from} to node {node} at {}", addresses(&host.facts)), Fate::Arrives)
            }
            Some(_) => (format!("node {node} is not ready: it may not be reached"), Fate::Lost),
            None => (format!("there is no node {node}"), Fate::Lost),
        }
    }

    fn where_no_pod_is(&self, world: &World) -> (String, Fate) {
        let to = self.to.ip();
        if let Some(host) = world.node_at(to) {
            let text = format!("{to} is node {} itself: whether it listens, only it knows", host.facts.name);
            return (text, Fate::Arrives);
        }
        if let Some(host) = world.node_of_block(to) {
            return (
                format!("{to} is an address for pods of node {}, and no pod has it", host.facts.name),
                Fate::Lost,
            );
        }
        let seen = if self.source.pod.is_some() { " under the node's own address" } else { "" };
        let from = if self.entry.name.is_empty() {
            String::new()
        } else {
            format!(" from node {}", self.entry.name)
        };
        (format!("{to} is outside the cluster: it leaves{from}{seen}"), Fate::Leaves)
    }
}

fn addresses(node: &Node) -> String {
    node.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
