//! What a pod may learn of itself: fields of its own object, and its containers' resources.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, ObjectFieldSelector, ResourceFieldSelector};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use machinery::field::go_quote;

use crate::amounts::{self, Amounts};
use crate::pod::PodView;

/// What fields are read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Myself<'a> {
    /// The pod.
    pub pod: &'a PodView,
    /// Its addresses; none before its sandbox is made.
    pub pod_ips: &'a [IpAddr],
    /// The node's.
    pub host_ips: &'a [IpAddr],
    /// What the node has for pods: the limits of those without limits.
    pub allocatable: &'a Amounts,
}

/// The value of a field of the pod.
pub(crate) fn field(own: &Myself<'_>, selector: &ObjectFieldSelector) -> Result<String, String> {
    let path = selector.field_path.as_str();
    let metadata = &own.pod.pod().metadata;
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => metadata.labels.as_ref(),
            "metadata.annotations" => metadata.annotations.as_ref(),
            _ => return Err(format!("unsupported fieldPath: {path}")),
        };
        return Ok(map.and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let first = |ips: &[IpAddr]| ips.first().map(IpAddr::to_string).unwrap_or_default();
    let all = |ips: &[IpAddr]| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",");
    let pod_ips = if own.pod.host_network() { own.host_ips } else { own.pod_ips };
    let spec = own.pod.spec();
    Ok(match path {
        "metadata.name" => own.pod.name().to_owned(),
        "metadata.namespace" => own.pod.namespace().to_owned(),
        "metadata.uid" => own.pod.uid().to_owned(),
        "metadata.labels" => lines(metadata.labels.iter().flatten()),
        "metadata.annotations" => lines(metadata.annotations.iter().flatten()),
        "spec.nodeName" => spec.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec.service_account_name.clone().unwrap_or_default(),
        "spec.restartPolicy" => own.pod.restart_policy().to_owned(),
        "status.hostIP" => first(own.host_ips),
        "status.hostIPs" => all(own.host_ips),
        "status.podIP" => first(pod_ips),
        "status.podIPs" => all(pod_ips),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// `metadata.labels['key']` as its two parts.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

fn lines<'a>(map: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    map.map(|(key, value)| format!("{key}={}", go_quote(value))).collect::<Vec<_>>().join("\n")
}

/// The value of a resource of one of its containers: `own` unless the selector names another.
pub(crate) fn resource(
    me: &Myself<'_>,
    selector: &ResourceFieldSelector,
    own: Option<&Container>,
) -> Result<String, String> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let spec = me.pod.spec();
    let container = match named {
        Some(name) => {
            let inits = spec.init_containers.iter().flatten();
            let found = spec.containers.iter().chain(inits).find(|container| container.name == name);
            found.ok_or_else(|| format!("container {name} not found"))?
        }
        None => own.ok_or("no container is named")?,
    };
    let (list, name) = selector.resource.split_once('.').ok_or_else(|| unsupported(&selector.resource))?;
    let resources = container.resources.as_ref();
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let divisor = selector.divisor.as_ref();
    let quantity = match list {
        "limits" => limits.and_then(|limits| limits.get(name)).or_else(|| match name {
            // Without limits of its own a container may use what the node has.
            "cpu" | "memory" | "ephemeral-storage" => me.allocatable.get(name),
            _ => None,
        }),
        "requests" => requests.and_then(|requests| requests.get(name)),
        _ => return Err(unsupported(&selector.resource)),
    };
    if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        return Err(unsupported(&selector.resource));
    }
    Ok(quantity.map_or(0, |quantity| divided(quantity, divisor)).to_string())
}

fn unsupported(resource: &str) -> String {
    format!("unsupported container resource : {resource}")
}

/// How often `divisor` (1 if it is not given) goes into `quantity`, rounded up.
fn divided(quantity: &Quantity, divisor: Option<&Quantity>) -> i64 {
    let unit = divisor.map(amounts::millis).filter(|unit| *unit > 0).unwrap_or(1_000);
    let amount = amounts::millis(quantity);
    amount.div_euclid(unit) + i64::from(amount.rem_euclid(unit) != 0)
}
