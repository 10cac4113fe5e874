//! A pod that names its node goes there or nowhere.

use super::Rejection;
use crate::decide::cycle::Cycle;
use crate::node::Node;

/// Its name.
pub const NAME: &str = "NodeName";

pub(super) fn filter(cycle: &Cycle<'_>, node: &Node) -> Option<Rejection> {
    let wanted = &cycle.pod.facts.node;
    let fits = wanted.is_empty() || wanted == node.name();
    (!fits).then(|| Rejection::final_for(NAME, "node(s) didn't match the requested node name"))
}
