//! The cluster as a trace looks at it: all of it at one moment.

use std::net::IpAddr;

use client::Key;
use client::cache::Facts;
use ipnet::IpNet;
use machinery::{Object, Status};

use super::Unclear;
use crate::policy::view::{Namespace, Pod, Policy};
use crate::view::{Node, Service, Slice};

/// The cluster.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// All Services.
    pub services: Vec<Service>,
    /// Their endpoints.
    pub slices: Vec<Slice>,
    /// All pods.
    pub pods: Vec<Pod>,
    /// All policies.
    pub policies: Vec<Policy>,
    /// All namespaces.
    pub namespaces: Vec<Namespace>,
    /// All nodes.
    pub nodes: Vec<Host>,
    /// The blocks of Services' addresses.
    pub service_blocks: Vec<IpNet>,
    /// The addresses at which every node answers names.
    pub dns: Vec<IpAddr>,
    /// The cluster's domain.
    pub domain: String,
}

/// A node, and whether it is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The node.
    pub facts: Node,
    /// Whether it says that it is ready.
    pub ready: bool,
}

impl Facts for Host {
    fn of(object: &Object) -> Result<Host, Status> {
        let document = object.to_value()?;
        let conditions = document.get("status").get("conditions").items();
        let ready = conditions.iter().any(|condition| {
            condition.get("type").str_or_empty() == "Ready"
                && condition.get("status").str_or_empty() == "True"
        });
        Ok(Host { facts: Node::of(object)?, ready })
    }
}

/// Who sends.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// The pod, if it is one with an address of its own.
    pub pod: Option<&'a Pod>,
    /// The node it is on, or is.
    pub node: Option<&'a Host>,
    /// The namespace whose names are found first.
    pub namespace: Option<&'a str>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

impl Source<'_> {
    /// Who it is.
    pub fn text(&self) -> String {
        let addresses = self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match (self.pod, self.node) {
            (Some(pod), _) => format!("pod {} at {addresses} on node {}", pod.key, pod.node),
            (None, Some(node)) => {
                format!("node {} (or a pod on its network) at {addresses}", node.facts.name)
            }
            (None, None) => format!("{addresses}, outside the cluster"),
        }
    }

    /// Whether it has an address of a family.
    pub fn speaks(&self, v6: bool) -> bool {
        self.addresses.iter().any(|address| address.is_ipv6() == v6)
    }
}

impl World {
    /// Who is meant: a pod by name, or whoever has an address.
    pub fn source(&self, text: &str, namespace: &str) -> Result<Source<'_>, Unclear> {
        if let Ok(address) = text.parse::<IpAddr>() {
            let outside =
                Source { pod: None, node: self.node_at(address), namespace: None, addresses: vec![address] };
            return Ok(self.pod_at(address).map_or(outside, |pod| self.source_pod(pod)));
        }
        let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
        let key = Key::new(namespace, name);
        let pod = self.pods.iter().find(|pod| pod.key == key);
        let pod = pod.ok_or_else(|| Unclear::NoSource(key.to_string()))?;
        Ok(self.source_pod(pod))
    }

    fn source_pod<'a>(&'a self, pod: &'a Pod) -> Source<'a> {
        let node = self.node(&pod.node);
        let on_node = || node.map(|host| host.facts.addresses.clone()).unwrap_or_default();
        let is_own = !pod.addresses.is_empty();
        Source {
            pod: is_own.then_some(pod),
            node,
            namespace: Some(&pod.key.namespace),
            addresses: if is_own { pod.addresses.clone() } else { on_node() },
        }
    }

    /// The pod that has an address.
    pub fn pod_at(&self, address: IpAddr) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.addresses.contains(&address))
    }

    /// The node with a name.
    pub fn node(&self, name: &str) -> Option<&Host> {
        self.nodes.iter().find(|host| host.facts.name == name)
    }

    /// The node that has an address.
    pub fn node_at(&self, address: IpAddr) -> Option<&Host> {
        self.nodes.iter().find(|host| host.facts.addresses.contains(&address))
    }

    /// The node whose pods have addresses like this one.
    pub fn node_of_block(&self, address: IpAddr) -> Option<&Host> {
        self.nodes.iter().find(|host| host.facts.pod_blocks.iter().any(|block| block.contains(&address)))
    }

    /// All Services, by name.
    pub fn services_by_name(&self) -> impl Iterator<Item = &Service> {
        let mut all: Vec<&Service> = self.services.iter().collect();
        all.sort_by(|one, other| one.key.cmp(&other.key));
        all.into_iter()
    }

    /// The Service that has an address in the cluster.
    pub fn service_at(&self, address: IpAddr) -> Option<&Service> {
        self.services.iter().find(|service| service.cluster_ips.contains(&address))
    }

    /// The slices of a Service's endpoints.
    pub fn slices_of(&self, service: &Service) -> Vec<&Slice> {
        self.slices.iter().filter(|slice| slice.service == service.key).collect()
    }
}
