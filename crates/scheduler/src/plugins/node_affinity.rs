//! Pods choose nodes by their labels.

use std::sync::Arc;

use super::{Rejection, stretched};
use crate::decide::cycle::Cycle;
use crate::node::Node;
use crate::pod::Pod;

/// Its name.
pub const NAME: &str = "NodeAffinity";

/// Whether a node is one the pod chooses.
pub fn matches(pod: &Pod, node: &Node) -> bool {
    let facts = &pod.facts;
    let has_labels = facts.node_selector.iter().all(|(key, value)| node.label(key) == Some(value));
    let terms = facts.affinity.as_ref().and_then(|affinity| affinity.nodes.as_ref());
    has_labels && terms.is_none_or(|terms| terms.iter().any(|term| term.matches(node.entry.object.header())))
}

pub(super) fn filter(cycle: &Cycle<'_>, node: &Node) -> Option<Rejection> {
    let fits = matches(cycle.pod, node);
    (!fits).then(|| Rejection::final_for(NAME, "node(s) didn't match Pod's node affinity/selector"))
}

pub(super) fn score(cycle: &Cycle<'_>, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
    let wishes = &cycle.pod.facts.affinity.as_ref()?.preferred_nodes;
    if wishes.is_empty() {
        return None;
    }
    let liked = |node: &&Arc<Node>| {
        let header = node.entry.object.header();
        wishes.iter().filter(|wish| wish.wish.matches(header)).map(|wish| wish.weight).sum()
    };
    Some(stretched(nodes.iter().map(liked).collect()))
}
