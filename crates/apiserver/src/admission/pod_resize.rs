//! `PodResizeValidator` and `NodeDeclaredFeatureValidator`: what is asked of a bound pod's node must be in its power.

use std::sync::Arc;

use kinds::pod_spec::resources::amount;
use machinery::field::go_quote;
use machinery::quantity::Quantity;
use machinery::status::{Cause, GroupName};
use machinery::{Object, Status, Value};

use kinds::pod_spec::amounts;

use super::{Operation, Plugin, Review, Step, Surroundings};
use crate::cache::Entry;

/// A pod's new size must fit its node.
#[derive(Debug)]
pub(super) struct PodResizeValidator;

/// A change of a pod must be one that its node can carry out.
#[derive(Debug)]
pub(super) struct NodeDeclaredFeatureValidator;

fn forbidden(review: &Review<'_>, why: &str) -> Status {
    Status::forbidden(GroupName { group: "", name: "pods" }, review.name, why)
}

/// Whether the spec of a bound pod changed: only then its generation does.
fn changes_bound_pod(review: &Review<'_>) -> bool {
    let generation = |pod: &Value| pod.at(&["metadata", "generation"]).as_int();
    let bound = !review.object.at(&["spec", "nodeName"]).str_or_empty().is_empty();
    bound && generation(&review.object) != generation(review.old)
}

fn node_of(review: &Review<'_>, around: Surroundings<'_>) -> Result<Arc<Entry>, Status> {
    let name = review.object.at(&["spec", "nodeName"]).str_or_empty();
    let node = around.caches.collection("core/nodes").and_then(|nodes| nodes.get(name));
    node.ok_or_else(|| forbidden(review, &format!("node {} not found", go_quote(name))))
}

fn refusal<'a>(outcome: Result<(), Status>) -> Option<Step<'a>> {
    let refused = outcome.err()?;
    Some(Box::pin(std::future::ready(Err(refused))))
}

impl Plugin for PodResizeValidator {
    fn name(&self) -> &'static str {
        "PodResizeValidator"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is("", "pods")
            && review.subresource == "resize"
            && review.operation == Operation::Update
    }

    fn validate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        if !changes_bound_pod(review) {
            return None;
        }
        refusal(fits(review, around))
    }
}

fn fits(review: &Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
    let node = node_of(review, around)?;
    let refuse = |why: &str, reason: &str| {
        let cause = Cause { reason: reason.to_owned(), message: String::new(), field: String::new() };
        forbidden(review, why).caused_by(cause)
    };
    let allocatable = node.object().to_value()?.at(&["status", "allocatable"]).clone();
    let missing = too_large(review.object.get("spec"), &allocatable);
    if !missing.is_empty() {
        let why = format!("Node didn't have enough allocatable resources: {}", missing.join("; "));
        return Err(refuse(&why, "NodeCapacity"));
    }
    not_linux(node.object()).map_or(Ok(()), |why| Err(refuse(&why, "UnsupportedPlatform")))
}

/// What the pod asks for and its node never has.
fn too_large(spec: &Value, allocatable: &Value) -> Vec<String> {
    let mut requests = amounts::requests(spec);
    for (name, more) in amounts::list(spec.get("overhead")) {
        let sum = requests.get(&name).copied().unwrap_or(Quantity::ZERO).plus(more);
        requests.insert(name, sum);
    }
    let measured = |name: &str, amount: Quantity| {
        if name == "cpu" { amount.milli_value() } else { amount.value() }
    };
    ["cpu", "memory"]
        .into_iter()
        .filter_map(|name| {
            let wanted = measured(name, requests.get(name).copied().unwrap_or(Quantity::ZERO));
            let there = measured(name, amount(allocatable.get(name)));
            (wanted > there).then(|| format!("{name}, requested: {wanted}, allocatable: {there}"))
        })
        .collect()
}

fn not_linux(node: &Object) -> Option<String> {
    let system = node.header().label("kubernetes.io/os").unwrap_or_default();
    let name = go_quote(&node.header().name);
    (system != "linux")
        .then(|| format!("pod resize is only supported on linux nodes, node {name} is {}", go_quote(system)))
}

/// Changes that not every node can carry out: what it must declare, and whether an update is such a change.
type Feature = (&'static str, fn(&Value, &Value) -> bool);

const FEATURES: [Feature; 2] = [
    ("GuaranteedQoSPodCPUResize", resizes_guaranteed_cpu),
    ("InPlacePodLevelResourcesVerticalScaling", resizes_whole_pod),
];

fn resizes_guaranteed_cpu(new: &Value, old: &Value) -> bool {
    if old.at(&["status", "qosClass"]).as_str() != Some("Guaranteed") {
        return false;
    }
    let cpu = |container: &Value| amount(container.at(&["resources", "requests", "cpu"]));
    let (new, old) = (new.at(&["spec", "containers"]).items(), old.at(&["spec", "containers"]).items());
    new.iter().zip(old).any(|(new, old)| cpu(new) != cpu(old))
}

fn resizes_whole_pod(new: &Value, old: &Value) -> bool {
    let resources = |pod: &Value| {
        let own = pod.at(&["spec", "resources"]);
        (amounts::list(own.get("requests")), amounts::list(own.get("limits")))
    };
    resources(new) != resources(old)
}

impl Plugin for NodeDeclaredFeatureValidator {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatureValidator"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is("", "pods")
            && matches!(review.subresource, "" | "resize")
            && review.operation == Operation::Update
    }

    fn validate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        if !changes_bound_pod(review) {
            return None;
        }
        refusal(is_declared(review, around))
    }
}

fn is_declared(review: &Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
    let needed = FEATURES.iter().filter(|(_, needs)| needs(&review.object, review.old));
    let needed: Vec<&str> = needed.map(|(name, _)| *name).collect();
    if needed.is_empty() {
        return Ok(());
    }
    let node = node_of(review, around)?;
    let document = node.object().to_value()?;
    let declared = document.at(&["status", "declaredFeatures"]).items();
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|name| !declared.iter().any(|declared| declared.as_str() == Some(name)))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!(
        "pod update requires features {} which are not available on node {}",
        missing.join(", "),
        go_quote(&node.object().header().name)
    );
    Err(forbidden(review, &why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Value {
        machinery::json::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_pod_larger_than_its_node_is_told_by_how_much() {
        let spec = parse(
            r#"{"overhead":{"cpu":"100m"},"containers":[{"resources":{"requests":{"cpu":"2","memory":"1Gi"}}}]}"#,
        );
        let none: [&str; 0] = [];
        assert_eq!(too_large(&spec, &parse(r#"{"cpu":"2100m","memory":"1Gi"}"#)), none);
        assert_eq!(
            too_large(&spec, &parse(r#"{"cpu":"2","memory":"1Mi"}"#)),
            [
                "cpu, requested: 2100, allocatable: 2000",
                "memory, requested: 1073741824, allocatable: 1048576"
            ]
        );
    }

    #[test]
    fn changes_that_a_node_must_know_are_found() {
        let pod = |class: &str, cpu: &str, whole: &str| {
            parse(&format!(
                r#"{{"spec":{{"resources":{{"limits":{{"cpu":"{whole}"}}}},"containers":[{{"resources":{{"requests":
                {{"cpu":"{cpu}"}}}}}}]}},"status":{{"qosClass":"{class}"}}}}"#
            ))
        };
        assert!(resizes_guaranteed_cpu(&pod("Guaranteed", "2", "9"), &pod("Guaranteed", "1", "9")));
        assert!(!resizes_guaranteed_cpu(&pod("Guaranteed", "1", "9"), &pod("Guaranteed", "1000m", "9")));
        assert!(!resizes_guaranteed_cpu(&pod("Burstable", "2", "9"), &pod("Burstable", "1", "9")));
        assert!(resizes_whole_pod(&pod("", "1", "3"), &pod("", "1", "2")));
        assert!(!resizes_whole_pod(&pod("", "2", "2"), &pod("", "1", "2000m")));
    }
}
