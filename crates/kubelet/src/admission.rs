//! Whether a pod that was bound to this node may run here.

use std::collections::BTreeMap;

use cri::PortMapping;
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration};

use crate::amounts::{self, Amounts};
use crate::launch;
use crate::pod::PodView;
use crate::resources;

/// Why a pod may not run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// `OutOfcpu`, `NodePorts`, …
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Refusal {
    fn new(reason: &str, message: impl Into<String>) -> Refusal {
        Refusal { reason: reason.to_owned(), message: message.into() }
    }
}

/// The node as admission sees it.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// What pods may use.
    pub allocatable: &'a Amounts,
    /// Its taints.
    pub taints: &'a [Taint],
    /// Sysctls allowed beside the safe ones.
    pub sysctls: &'a [String],
}

/// Sysctls that are kept apart by namespaces and cannot harm others.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// Checks a pod against the node and the pods that run there already.
pub(crate) fn admit(pod: &PodView, others: &[PodView], node: &Node<'_>) -> Result<(), Refusal> {
    sysctls(pod, node)?;
    if pod.spec().os.as_ref().is_some_and(|os| os.name != "linux") {
        let message = "Failed to admit pod as the OS field doesn't match node OS";
        return Err(Refusal::new("PodOSNotSupported", message));
    }
    fits(pod, others, node)?;
    if !selected(pod, node) {
        let message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
        return Err(Refusal::new("NodeAffinity", message));
    }
    let taken: Vec<PortMapping> = others.iter().flat_map(ports).collect();
    if ports(pod).iter().any(|port| taken.iter().any(|other| clash(port, other))) {
        let message =
            "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
        return Err(Refusal::new("NodePorts", message));
    }
    let tolerations = pod.spec().tolerations.as_deref().unwrap_or_default();
    let mut expelling = node.taints.iter().filter(|taint| taint.effect == "NoExecute");
    if expelling.any(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint))) {
        let message = "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate";
        return Err(Refusal::new("TaintToleration", message));
    }
    Ok(())
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let given = |text: &Option<String>| text.clone().unwrap_or_default();
    let (effect, key) = (given(&toleration.effect), given(&toleration.key));
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => given(&toleration.value) == given(&taint.value),
        _ => false,
    }
}

fn ports(pod: &PodView) -> Vec<PortMapping> {
    launch::port_mappings(pod)
}

fn clash(one: &PortMapping, other: &PortMapping) -> bool {
    one.host_port == other.host_port
        && one.protocol == other.protocol
        && (one.host_ip == other.host_ip || one.host_ip.is_none() || other.host_ip.is_none())
}

fn fits(pod: &PodView, others: &[PodView], node: &Node<'_>) -> Result<(), Refusal> {
    let out_of = |name: &str, requested: i64, used: i64, capacity: i64| {
        let message = format!(
            "Node didn't have enough resource: {name}, requested: {requested}, used: {used}, capacity: {capacity}"
        );
        Refusal::new(&format!("OutOf{name}"), message)
    };
    let most = amounts::whole_of(Some(node.allocatable), "pods");
    let there = i64::try_from(others.len()).unwrap_or(i64::MAX);
    if there + 1 > most {
        return Err(out_of("pods", 1, there, most));
    }
    // What the node does not count (what others extend the cluster with) is not its business.
    let extended = node.allocatable.keys().map(String::as_str).filter(|name| is_extended(name));
    for name in ["cpu", "memory", "ephemeral-storage"].into_iter().chain(extended) {
        let requested = resources::total(pod, name);
        if requested == 0 {
            continue;
        }
        let used = others.iter().map(|other| resources::total(other, name)).fold(0i64, i64::saturating_add);
        let capacity = amounts::millis_of(Some(node.allocatable), name);
        if requested.saturating_add(used) > capacity {
            // CPU is counted in thousandths, all else in wholes.
            let unit = if name == "cpu" { 1 } else { 1_000 };
            return Err(out_of(name, requested / unit, used / unit, capacity / unit));
        }
    }
    Ok(())
}

/// Whether it is a resource that somebody announced, and not one every node has.
pub(crate) fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.starts_with("kubernetes.io/")
}

fn selected(pod: &PodView, node: &Node<'_>) -> bool {
    let wanted = pod.spec().node_selector.iter().flatten();
    let mut by_label = wanted.map(|(key, value)| node.labels.get(key) == Some(value));
    if !by_label.all(|fits| fits) {
        return false;
    }
    let required = pod
        .spec()
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|required| required.node_selector_terms.iter().any(|term| term_fits(term, node)))
}

fn term_fits(term: &NodeSelectorTerm, node: &Node<'_>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    // A term that says nothing fits nothing.
    !(expressions.is_empty() && fields.is_empty())
        && expressions
            .iter()
            .all(|wanted| fits_value(wanted, node.labels.get(&wanted.key).map(String::as_str)))
        && fields.iter().all(|wanted| wanted.key == "metadata.name" && fits_value(wanted, Some(node.name)))
}

fn fits_value(wanted: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = wanted.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|wanted| wanted == value));
    let compared = |order: std::cmp::Ordering| {
        let number = |text: &str| text.parse::<i64>().ok();
        let given = value.and_then(number).zip(values.first().and_then(|text| number(text)));
        given.is_some_and(|(value, bound)| value.cmp(&bound) == order)
    };
    match wanted.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compared(std::cmp::Ordering::Greater),
        "Lt" => compared(std::cmp::Ordering::Less),
        _ => false,
    }
}

fn sysctls(pod: &PodView, node: &Node<'_>) -> Result<(), Refusal> {
    let context = pod.spec().security_context.as_ref();
    for sysctl in context.into_iter().flat_map(|context| context.sysctls.iter().flatten()) {
        let name = sysctl.name.replace('/', ".");
        let extra = node.sysctls.iter().any(|allowed| match allowed.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => *allowed == name,
        });
        let quoted = machinery::field::go_quote(&name);
        let of_network = name.starts_with("net.");
        let of_ipc =
            ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."].iter().any(|p| name.starts_with(p));
        let refusal = if !extra && !SAFE_SYSCTLS.contains(&name.as_str()) {
            Some(format!("forbidden sysctl: {quoted} not allowlisted"))
        } else if of_network && pod.host_network() {
            Some(format!("forbidden sysctl: {quoted} not allowed with host net enabled"))
        } else if of_ipc && pod.spec().host_ipc == Some(true) {
            Some(format!("forbidden sysctl: {quoted} not allowed with host ipc enabled"))
        } else {
            None
        };
        if let Some(message) = refusal {
            return Err(Refusal::new("SysctlForbidden", message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
