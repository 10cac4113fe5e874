//! Nodes repel pods that do not bear their taints.

use std::sync::Arc;

use super::{Rejection, stretched_down};
use crate::decide::cycle::Cycle;
use crate::node::Node;
use crate::pod::{Pod, Taint};

/// Its name.
pub const NAME: &str = "TaintToleration";

/// Whether a pod bears a taint.
pub fn bears(pod: &Pod, taint: &Taint) -> bool {
    pod.facts.tolerations.iter().any(|toleration| toleration.bears(taint))
}

/// Whether a pod bears all taints that would keep it off a node.
pub fn bears_all(pod: &Pod, node: &Node) -> bool {
    node.entry.facts.taints.iter().all(|taint| taint.effect == "PreferNoSchedule" || bears(pod, taint))
}

pub(super) fn filter(cycle: &Cycle<'_>, node: &Node) -> Option<Rejection> {
    let fits = bears_all(cycle.pod, node);
    (!fits).then(|| Rejection::final_for(NAME, "node(s) had untolerated taint(s)"))
}

pub(super) fn score(cycle: &Cycle<'_>, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
    // Only tolerations that could be meant for it count.
    let tolerations: Vec<_> = cycle
        .pod
        .facts
        .tolerations
        .iter()
        .filter(|toleration| toleration.effect.is_empty() || toleration.effect == "PreferNoSchedule")
        .collect();
    let unborne = |node: &&Arc<Node>| {
        let taints = node.entry.facts.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
        let unborne = taints.filter(|taint| !tolerations.iter().any(|toleration| toleration.bears(taint)));
        i64::try_from(unborne.count()).unwrap_or(i64::MAX)
    };
    Some(stretched_down(nodes.iter().map(unborne).collect()))
}
