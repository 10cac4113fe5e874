//! What the network has to know of Services, their endpoints and nodes: small projections, made once per revision.

use std::net::IpAddr;

use client::Key;
use client::cache::Facts;
use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use machinery::{Object, Status};
use smol_str::SmolStr;

/// The transport protocols a Service can have.
pub mod protocol {
    /// TCP
    pub const TCP: u8 = 6;
    /// UDP
    pub const UDP: u8 = 17;
    /// SCTP
    pub const SCTP: u8 = 132;

    /// The number of a protocol's name; TCP if none is given.
    pub fn number(name: Option<&str>) -> Option<u8> {
        match name {
            None | Some("" | "TCP") => Some(TCP),
            Some("UDP") => Some(UDP),
            Some("SCTP") => Some(SCTP),
            Some(_) => None,
        }
    }
}

/// A Service's port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Its name; empty if it is the only one.
    pub name: SmolStr,
    /// The transport protocol's number.
    pub protocol: u8,
    /// The port on the Service's addresses.
    pub port: u16,
    /// The port on every node.
    pub node_port: Option<u16>,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its namespace and name.
    pub key: Key,
    /// Its addresses in the cluster; none if it is headless or a name for another.
    pub cluster_ips: Vec<IpAddr>,
    /// Whether its name leads to its endpoints themselves.
    pub headless: bool,
    /// The name it is another name for.
    pub external_name: Option<String>,
    /// Addresses outside that lead to it.
    pub external_ips: Vec<IpAddr>,
    /// Its load balancer's addresses, where packets for them come here unchanged.
    pub balancer_ips: Vec<IpAddr>,
    /// Who may use the load balancer; empty means everybody.
    pub source_ranges: Vec<IpNet>,
    /// Whether traffic from outside stays on the node it came to.
    pub external_local: bool,
    /// Whether traffic from a node stays on it.
    pub internal_local: bool,
    /// For how many seconds a client keeps its endpoint.
    pub affinity: Option<u32>,
    /// Whether endpoints that are not ready have names.
    pub publish_not_ready: bool,
    /// Where load balancers ask whether this node has endpoints.
    pub health_check_port: Option<u16>,
    /// Whether another proxy was asked to serve it.
    pub foreign: bool,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// The label that gives a Service to another proxy.
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// The label that says whose endpoints a slice holds.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The label with a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";
/// How long a client keeps its endpoint if the Service does not say: three hours.
const DEFAULT_AFFINITY_SECS: u32 = 10_800;

impl Facts for Service {
    fn of(object: &Object) -> Result<Service, Status> {
        let service = object.view::<core::Service>()?;
        let mut facts = Service {
            key: Key::of(object),
            foreign: object.header().label(PROXY_NAME).is_some(),
            ..Service::default()
        };
        if let Some(spec) = &service.spec {
            facts.read_spec(spec);
        }
        let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
        let here = |entry: &&core::LoadBalancerIngress| entry.ip_mode.as_deref() != Some("Proxy");
        let is_balancer =
            service.spec.as_ref().is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer"));
        if is_balancer {
            facts.balancer_ips =
                ingress.iter().filter(here).filter_map(|entry| entry.ip.as_deref()?.parse().ok()).collect();
        }
        Ok(facts)
    }
}

impl Service {
    fn read_spec(&mut self, spec: &core::ServiceSpec) {
        let local = |policy: &Option<String>| policy.as_deref() == Some("Local");
        if spec.type_.as_deref() == Some("ExternalName") {
            self.external_name = spec.external_name.clone();
            return;
        }
        let first = spec.cluster_ip.as_deref().unwrap_or_default();
        self.headless = first == "None";
        let all = spec.cluster_ips.as_deref().unwrap_or_default();
        let texts = if all.is_empty() { vec![first] } else { all.iter().map(String::as_str).collect() };
        self.cluster_ips = texts.into_iter().filter_map(|text| text.parse().ok()).collect();
        self.external_ips = addresses(spec.external_ips.as_deref());
        let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
        self.source_ranges = ranges.iter().filter_map(|range| range.trim().parse().ok()).collect();
        self.external_local = local(&spec.external_traffic_policy);
        self.internal_local = local(&spec.internal_traffic_policy);
        self.publish_not_ready = spec.publish_not_ready_addresses == Some(true);
        self.health_check_port = spec.health_check_node_port.and_then(port_number);
        if spec.session_affinity.as_deref() == Some("ClientIP") {
            let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
            let secs =
                config.and_then(|config| config.timeout_seconds).and_then(|secs| u32::try_from(secs).ok());
            self.affinity = Some(secs.unwrap_or(DEFAULT_AFFINITY_SECS).max(1));
        }
        let ports = spec.ports.as_deref().unwrap_or_default();
        self.ports = ports.iter().filter_map(read_port).collect();
    }
}

fn read_port(port: &core::ServicePort) -> Option<Port> {
    Some(Port {
        name: SmolStr::new(port.name.as_deref().unwrap_or_default()),
        protocol: protocol::number(port.protocol.as_deref())?,
        port: port_number(port.port)?,
        node_port: port.node_port.and_then(port_number),
    })
}

fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|number| *number != 0)
}

fn addresses(texts: Option<&[String]>) -> Vec<IpAddr> {
    texts.unwrap_or_default().iter().filter_map(|text| text.parse().ok()).collect()
}

/// An endpoint: where a Service's traffic can go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: Option<IpAddr>,
    /// Whether it should get traffic.
    pub ready: bool,
    /// Whether it still answers, be it on its way out.
    pub serving: bool,
    /// Whether it is on its way out.
    pub terminating: bool,
    /// The node it is on.
    pub node: SmolStr,
    /// Its name below the Service's.
    pub hostname: SmolStr,
    /// The zones that should use it; empty means no advice.
    pub zones: Vec<SmolStr>,
    /// The nodes that should use it; empty means no advice.
    pub nodes: Vec<SmolStr>,
}

/// A slice of a Service's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// The Service; an empty name if it belongs to none.
    pub service: Key,
    /// The ports its endpoints have: name, protocol, number.
    pub ports: Vec<Port>,
    /// Its endpoints.
    pub endpoints: Vec<Endpoint>,
}

impl Facts for Slice {
    fn of(object: &Object) -> Result<Slice, Status> {
        let slice = object.view::<discovery::EndpointSlice>()?;
        let header = object.header();
        let service = Key::new(&header.namespace, header.label(SERVICE_NAME).unwrap_or_default());
        if slice.address_type == "FQDN" {
            return Ok(Slice { service, ..Slice::default() });
        }
        let ports = slice.ports.as_deref().unwrap_or_default();
        let ports = ports.iter().filter_map(|port| {
            Some(Port {
                name: SmolStr::new(port.name.as_deref().unwrap_or_default()),
                protocol: protocol::number(port.protocol.as_deref())?,
                port: port.port.and_then(port_number)?,
                node_port: None,
            })
        });
        let endpoints = slice.endpoints.as_deref().unwrap_or_default();
        Ok(Slice {
            service,
            ports: ports.collect(),
            endpoints: endpoints.iter().map(read_endpoint).collect(),
        })
    }
}

fn read_endpoint(endpoint: &discovery::Endpoint) -> Endpoint {
    let text = |text: &Option<String>| SmolStr::new(text.as_deref().unwrap_or_default());
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let hints = endpoint.hints.clone().unwrap_or_default();
    let ready = conditions.ready != Some(false);
    Endpoint {
        address: endpoint.addresses.first().and_then(|address| address.parse().ok()),
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating == Some(true),
        node: text(&endpoint.node_name),
        hostname: text(&endpoint.hostname),
        zones: hints.for_zones.unwrap_or_default().iter().map(|zone| SmolStr::new(&zone.name)).collect(),
        nodes: hints.for_nodes.unwrap_or_default().iter().map(|node| SmolStr::new(&node.name)).collect(),
    }
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: SmolStr,
    /// The zone it stands in; empty if none is known.
    pub zone: SmolStr,
    /// The blocks of its pods' addresses.
    pub pod_blocks: Vec<IpNet>,
    /// The addresses other nodes reach it by.
    pub addresses: Vec<IpAddr>,
}

impl Facts for Node {
    fn of(object: &Object) -> Result<Node, Status> {
        let node = object.view::<core::Node>()?;
        let spec = node.spec.clone().unwrap_or_default();
        let all = spec.pod_cidrs.unwrap_or_default();
        let texts = if all.is_empty() { spec.pod_cidr.into_iter().collect() } else { all };
        let status = node.status.clone().unwrap_or_default();
        let internal = |address: &&core::NodeAddress| address.type_ == "InternalIP";
        let addresses = status.addresses.unwrap_or_default();
        Ok(Node {
            name: object.header().name.clone(),
            zone: SmolStr::new(object.header().label(ZONE).unwrap_or_default()),
            pod_blocks: texts.iter().filter_map(|text| text.parse().ok()).collect(),
            addresses: addresses.iter().filter(internal).filter_map(|one| one.address.parse().ok()).collect(),
        })
    }
}
