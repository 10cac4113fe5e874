//! What slices of a Service should say.

use std::net::IpAddr;

use client::resources;
use k8s_openapi::api::core::v1::{ObjectReference, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::plan::View;
use crate::pod::Pod;

/// Endpoints with the same ports and the same family of addresses.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    /// The ports.
    pub ports: Vec<EndpointPort>,
    /// The endpoints, by pod.
    pub endpoints: Vec<Endpoint>,
}

/// The families of addresses a Service has.
pub fn families(service: &Service) -> Vec<&'static str> {
    let families = service.spec.iter().flat_map(|spec| spec.ip_families.iter().flatten());
    let families: Vec<_> = families.map(|family| if family == "IPv6" { "IPv6" } else { "IPv4" }).collect();
    if families.is_empty() { vec!["IPv4"] } else { families }
}

/// The address of a pod in a family.
fn address<'a>(pod: &'a Pod, family: &str) -> Option<&'a str> {
    pod.facts.ips.iter().map(|ip| ip.as_str()).find(|ip| match ip.parse() {
        Ok(IpAddr::V4(_)) => family == "IPv4",
        Ok(IpAddr::V6(_)) => family == "IPv6",
        Err(_) => false,
    })
}

/// The number a Service's port has on a pod; `None` if the pod has no port of that name.
pub fn target(port: &ServicePort, pod: &Pod) -> Option<i32> {
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let ports = pod.facts.ports.iter();
            let mut found = ports.filter(|port| port.name == *name && port.protocol == protocol);
            found.next().map(|port| port.number)
        }
    }
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(target(port, pod)?),
                protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

/// The name by which others find a pod within its Service, if it has one there.
pub fn hostname(view_name: &str, pod: &Pod) -> Option<String> {
    let facts = &pod.facts;
    (!facts.hostname.is_empty() && facts.subdomain == view_name).then(|| facts.hostname.to_string())
}

fn endpoint(view: &View, pod: &Pod, address: &str) -> Endpoint {
    let header = pod.object.header();
    let spec = view.service.spec.as_ref();
    let publishes_all = spec.and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false);
    let (serving, terminating) = (pod.facts.is_ready, pod.facts.deletion.is_some());
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(publishes_all || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(&view.object.header().name, pod),
        node_name: (!pod.facts.node.is_empty()).then(|| pod.facts.node.to_string()),
        target_ref: Some(ObjectReference {
            kind: Some(resources::PODS.kind.to_owned()),
            namespace: Some(header.namespace.to_string()),
            name: Some(header.name.to_string()),
            uid: Some(header.uid.to_string()),
            ..ObjectReference::default()
        }),
        zone: view.zones.get(&pod.facts.node).map(ToString::to_string),
        ..Endpoint::default()
    }
}

/// What slices should say, group by group.
pub fn groups(view: &View) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for family in families(&view.service) {
        for pod in view.pods.iter().filter(|pod| !pod.facts.phase.is_terminal()) {
            let Some(address) = address(pod, family) else { continue };
            let ports = ports(&view.service, pod);
            let endpoint = endpoint(view, pod, address);
            match groups.iter_mut().find(|group| group.family == family && group.ports == ports) {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(Group { family, ports, endpoints: vec![endpoint] }),
            }
        }
    }
    // A Service without endpoints says so by an empty slice.
    for family in families(&view.service) {
        if !groups.iter().any(|group| group.family == family) {
            groups.push(Group { family, ports: Vec::new(), endpoints: Vec::new() });
        }
    }
    groups
}
