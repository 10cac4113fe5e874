//! `PodTopologyLabels`: a pod carries the labels that say where its node stands.

use machinery::Value;

use super::{Operation, Plugin, Review, Step, Surroundings};

/// The labels that pods take over from their node.
const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

#[derive(Debug)]
pub(super) struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        review.served.is("", "pods")
            && review.operation == Operation::Create
            && matches!(review.subresource, "" | "binding")
    }

    fn mutate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        // A pod names its node in its spec, a binding as its target.
        let node = match review.subresource {
            "" => review.object.at(&["spec", "nodeName"]),
            _ if review.object.at(&["target", "kind"]).str_or_empty() == "Node" => {
                review.object.at(&["target", "name"])
            }
            _ => return None,
        };
        let node = around.caches.collection("core/nodes")?.get(node.str_or_empty())?;
        for label in LABELS {
            if let Some(place) = node.object().header().label(label) {
                *review.object.at_mut(&["metadata", "labels", label]) = Value::from(place);
            }
        }
        None
    }
}
