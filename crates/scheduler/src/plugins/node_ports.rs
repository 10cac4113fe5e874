//! Two pods cannot have the same port of a node.

use super::Rejection;
use crate::decide::cycle::Cycle;
use crate::node::Node;

/// Its name.
pub const NAME: &str = "NodePorts";

pub(super) fn filter(cycle: &Cycle<'_>, node: &Node) -> Option<Rejection> {
    let wanted = &cycle.pod.facts.ports;
    if wanted.is_empty() {
        return None;
    }
    let taken = node.pods.iter().flat_map(|pod| &pod.facts.ports);
    let conflicts = taken.into_iter().any(|port| wanted.iter().any(|ours| ours.conflicts(port)));
    conflicts
        .then(|| Rejection::resolvable(NAME, "node(s) didn't have free ports for the requested pod ports"))
}
