//! Which Service gets which addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Key, resources};
use k8s_openapi::api::core::v1::{Node, Service, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use machinery::Object;
use serde_json::json;

/// The label of nodes that no load balancer is to use.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The port of kubelets, which a Service would take away from them.
const KUBELET_PORT: i32 = 10_250;

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The Services that are to be balanced.
    pub services: Vec<(Object, Arc<Service>)>,
    /// All nodes.
    pub nodes: Vec<Arc<Node>>,
    /// The endpoints of all Services, with whose they are.
    pub slices: Vec<(Key, Arc<EndpointSlice>)>,
}

/// A port of every node: its protocol and number.
type Port = (String, i32);

/// Decides for all Services: the oldest first, since a port of the nodes is one Service's only.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    let mut taken: BTreeMap<Port, Key> = reserved(view);
    let mut services: Vec<&(Object, Arc<Service>)> = view.services.iter().collect();
    services.sort_by_cached_key(|(object, service)| {
        (service.metadata.creation_timestamp.clone(), Key::of(object))
    });
    let mut ops = Vec::new();
    for (object, service) in services {
        let (key, spec) = (Key::of(object), service.spec.clone().unwrap_or_default());
        let ports: Vec<Port> = ports(&spec);
        let conflict = ports.iter().find_map(|port| taken.get_key_value(port));
        let wanted = match conflict {
            Some(((protocol, number), owner)) => {
                let text = format!("port {number}/{protocol} of the nodes is taken by {owner}");
                plan.because(format!("{key} gets no addresses: {text}"));
                plan.notes.push(Note::warning(&About::object(object), "PortTaken", text));
                Vec::new()
            }
            None => addresses(view, &key, &spec),
        };
        if conflict.is_none() {
            taken.extend(ports.into_iter().map(|port| (port, key.clone())));
        }
        if service_addresses(service) == wanted {
            continue;
        }
        let texts: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        plan.because(format!("{key} gets {}", texts.join(", ")));
        let points: Vec<_> = texts.iter().map(|text| json!({"ip": text, "ipMode": "VIP"})).collect();
        let patch = json!({"status": {"loadBalancer": {"ingress": points}}});
        ops.push(Op::patch_status(resources::SERVICES, &key, &patch).tolerating(&[404]));
    }
    plan.push_together(ops);
    plan
}

/// What the nodes need for themselves: the ports of kubelets and of the API server.
fn reserved(view: &View) -> BTreeMap<Port, Key> {
    let tcp = |number: i32| ("TCP".to_owned(), number);
    let kubelets = view.nodes.iter().filter_map(|node| {
        let endpoint = node.status.as_ref()?.daemon_endpoints.as_ref()?.kubelet_endpoint.as_ref()?;
        Some((tcp(endpoint.port), Key::new("", "the kubelet")))
    });
    let api = Key::new("default", "kubernetes");
    let servers = view.slices.iter().filter(|(key, _)| *key == api);
    let servers = servers.flat_map(|(_, slice)| slice.ports.iter().flatten().filter_map(|port| port.port));
    let servers = servers.map(|number| (tcp(number), Key::new("", "the API server")));
    let usual = (tcp(KUBELET_PORT), Key::new("", "the kubelet"));
    kubelets.chain(servers).chain([usual]).collect()
}

fn ports(spec: &ServiceSpec) -> Vec<Port> {
    let ports = spec.ports.iter().flatten();
    ports.map(|port| (port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), port.port)).collect()
}

/// The addresses a Service has.
fn service_addresses(service: &Service) -> Vec<IpAddr> {
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let points = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    points.iter().filter_map(|point| point.ip.as_deref()?.parse().ok()).collect()
}

/// The addresses a Service should have: those of all nodes that are ready; of those with endpoints, if its traffic must
/// not leave the node it comes to.
fn addresses(view: &View, key: &Key, spec: &ServiceSpec) -> Vec<IpAddr> {
    let is_local = spec.external_traffic_policy.as_deref() == Some("Local");
    let with_endpoints = nodes_with_endpoints(view, key);
    let families = spec.ip_families.clone().unwrap_or_default();
    let serves = |address: &IpAddr| {
        families.iter().any(|family| (family == "IPv6") == address.is_ipv6()) || families.is_empty()
    };
    let mut found = BTreeSet::new();
    for node in &view.nodes {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        if !is_local || with_endpoints.contains(name) {
            found.extend(offered(node).into_iter().filter(serves));
        }
    }
    found.into_iter().collect()
}

fn nodes_with_endpoints(view: &View, key: &Key) -> BTreeSet<String> {
    let slices = view.slices.iter().filter(|(owner, _)| owner == key);
    let endpoints = slices.flat_map(|(_, slice)| slice.endpoints.iter().flatten());
    let ready = endpoints.filter(|endpoint| {
        endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
    });
    ready.filter_map(|endpoint| endpoint.node_name.clone()).collect()
}

/// The addresses that a node offers: those towards the world, if it has such, else those inside; none if it is not ready,
/// on its way out, or excluded.
pub fn offered(node: &Node) -> Vec<IpAddr> {
    let labels = node.metadata.labels.as_ref();
    let is_excluded = labels.is_some_and(|labels| labels.contains_key(EXCLUDED));
    let status = node.status.clone().unwrap_or_default();
    let is_ready = status.conditions.iter().flatten().any(|one| one.type_ == "Ready" && one.status == "True");
    if !is_ready || is_excluded || node.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let of = |kind: &str| -> Vec<IpAddr> {
        let of_kind = status.addresses.iter().flatten().filter(|one| one.type_ == kind);
        of_kind.filter_map(|one| one.address.parse().ok()).collect()
    };
    let outside = of("ExternalIP");
    if outside.is_empty() { of("InternalIP") } else { outside }
}
