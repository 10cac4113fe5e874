//! From a Service and its endpoints to where each of its frontends leads: pure, Service by Service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::ruleset::{Balance, Frontend, Masquerade, Target};
use crate::view::{Endpoint, Node, Port, Service, Slice};

/// Where each frontend of a Service leads.
pub type Frontends = BTreeMap<Frontend, Target>;

/// Works out a Service's frontends as this node has to serve them. `own_addresses` (the cluster's DNS address, say)
/// belong to the node itself and are left alone.
pub fn compile(service: &Service, slices: &[&Slice], node: &Node, own_addresses: &[IpAddr]) -> Frontends {
    let mut frontends = Frontends::new();
    if service.foreign || service.headless || service.external_name.is_some() {
        return frontends;
    }
    for port in &service.ports {
        for v6 in [false, true] {
            let endpoints = endpoints_of(slices, port, v6);
            if !serves(service, v6) {
                continue;
            }
            let traffic = Traffic { service, endpoints: &endpoints, node };
            let mut add = |address: Option<IpAddr>, number: u16, target: Target| {
                let is_own = address.is_some_and(|address| own_addresses.contains(&address));
                if !is_own && address.is_none_or(|address| address.is_ipv6() == v6) {
                    frontends.insert(Frontend { address, v6, protocol: port.protocol, port: number }, target);
                }
            };
            for address in &service.external_ips {
                add(Some(*address), port.port, traffic.external());
            }
            for address in &service.balancer_ips {
                add(Some(*address), port.port, traffic.balancer(v6));
            }
            for address in &service.cluster_ips {
                add(Some(*address), port.port, traffic.internal());
            }
            if let Some(number) = port.node_port {
                add(None, number, traffic.external());
            }
        }
    }
    frontends
}

/// How many ready endpoints of a Service this node has: what its health check for load balancers answers.
pub fn local_endpoints(slices: &[&Slice], node: &Node) -> usize {
    let endpoints = slices.iter().flat_map(|slice| &slice.endpoints);
    let here = endpoints.filter(|endpoint| endpoint.ready && endpoint.node == node.name);
    here.filter_map(|endpoint| endpoint.address).collect::<BTreeSet<_>>().len()
}

/// Whether the Service has addresses of the family.
fn serves(service: &Service, v6: bool) -> bool {
    service.cluster_ips.iter().any(|address| address.is_ipv6() == v6)
}

/// An endpoint for one port.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    address: SocketAddr,
    endpoint: &'a Endpoint,
}

/// The endpoints for a port, each address once: of those that stand in several slices, the readiest counts.
fn endpoints_of<'a>(slices: &[&'a Slice], port: &Port, v6: bool) -> Vec<Candidate<'a>> {
    let mut found: BTreeMap<SocketAddr, &'a Endpoint> = BTreeMap::new();
    for slice in slices {
        let same = |candidate: &&Port| candidate.name == port.name && candidate.protocol == port.protocol;
        for slice_port in slice.ports.iter().filter(same) {
            for endpoint in &slice.endpoints {
                let Some(address) = endpoint.address.filter(|address| address.is_ipv6() == v6) else {
                    continue;
                };
                let place = found.entry(SocketAddr::new(address, slice_port.port)).or_insert(endpoint);
                let rank = |endpoint: &Endpoint| (endpoint.ready, endpoint.serving, !endpoint.terminating);
                if rank(endpoint) > rank(place) {
                    *place = endpoint;
                }
            }
        }
    }
    found.into_iter().map(|(address, endpoint)| Candidate { address, endpoint }).collect()
}

/// One port's traffic in one family.
struct Traffic<'a> {
    service: &'a Service,
    endpoints: &'a [Candidate<'a>],
    node: &'a Node,
}

impl Traffic<'_> {
    /// For the Service's address in the cluster.
    fn internal(&self) -> Target {
        let backends = if self.service.internal_local { self.local() } else { self.anywhere() };
        if backends.is_empty() {
            // With the policy `Local`, endpoints elsewhere mean that somebody else serves it: nothing is answered.
            let elsewhere = self.service.internal_local && !self.anywhere().is_empty();
            return if elsewhere { Target::Drop } else { Target::Reject };
        }
        Target::Balance(Balance {
            backends,
            local: None,
            masquerade: Masquerade::Outsiders,
            affinity: self.service.affinity,
            sources: None,
        })
    }

    /// For addresses outside the cluster, and node ports.
    fn external(&self) -> Target {
        let backends = self.anywhere();
        let local = self.service.external_local.then(|| self.local());
        if backends.is_empty() {
            // Endpoints of this node may be on their way out while there are ready ones nowhere: then they are in both.
            return Target::Reject;
        }
        Target::Balance(Balance {
            backends,
            local,
            masquerade: Masquerade::Always,
            affinity: self.service.affinity,
            sources: None,
        })
    }

    /// For a load balancer's addresses.
    fn balancer(&self, v6: bool) -> Target {
        let mut target = self.external();
        if let Target::Balance(balance) = &mut target
            && !self.service.source_ranges.is_empty()
        {
            let ranges = self.service.source_ranges.iter();
            balance.sources = Some(ranges.filter(|range| range.addr().is_ipv6() == v6).copied().collect());
        }
        target
    }

    fn anywhere(&self) -> Vec<SocketAddr> {
        let ready: Vec<Candidate<'_>> =
            self.endpoints.iter().filter(|one| one.endpoint.ready).copied().collect();
        if ready.is_empty() {
            return self.leaving(|_| true);
        }
        self.near(&ready).into_iter().map(|one| one.address).collect()
    }

    fn local(&self) -> Vec<SocketAddr> {
        let here = |one: &Candidate<'_>| one.endpoint.node == self.node.name;
        let ready = self.endpoints.iter().filter(|one| one.endpoint.ready && here(one));
        let ready: Vec<SocketAddr> = ready.map(|one| one.address).collect();
        if ready.is_empty() { self.leaving(here) } else { ready }
    }

    /// Endpoints on their way out that still answer: better than nothing when none is ready.
    fn leaving(&self, wanted: impl Fn(&Candidate<'_>) -> bool) -> Vec<SocketAddr> {
        let serving = |one: &&Candidate<'_>| one.endpoint.serving && one.endpoint.terminating;
        self.endpoints.iter().filter(serving).filter(|one| wanted(one)).map(|one| one.address).collect()
    }

    /// Those that the endpoints' own advice gives this node, if every endpoint has advice and some is for this node.
    fn near<'a>(&self, ready: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
        let by_node = advised(ready, |endpoint| &endpoint.nodes, &self.node.name);
        let near = by_node.or_else(|| {
            let zone = &self.node.zone;
            if zone.is_empty() { None } else { advised(ready, |endpoint| &endpoint.zones, zone) }
        });
        near.unwrap_or_else(|| ready.to_vec())
    }
}

fn advised<'a>(
    ready: &[Candidate<'a>],
    advice: impl Fn(&Endpoint) -> &Vec<smol_str::SmolStr>,
    here: &smol_str::SmolStr,
) -> Option<Vec<Candidate<'a>>> {
    if ready.iter().any(|one| advice(one.endpoint).is_empty()) {
        return None;
    }
    let near: Vec<Candidate<'a>> =
        ready.iter().filter(|one| advice(one.endpoint).contains(here)).copied().collect();
    if near.is_empty() { None } else { Some(near) }
}

#[cfg(test)]
mod tests;
