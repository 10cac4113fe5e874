//! Nodes that were cordoned take no new pods.

use super::Rejection;
use crate::decide::cycle::Cycle;
use crate::node::Node;
use crate::pod::Taint;

/// Its name.
pub const NAME: &str = "NodeUnschedulable";

pub(super) fn filter(cycle: &Cycle<'_>, node: &Node) -> Option<Rejection> {
    if !node.entry.facts.unschedulable {
        return None;
    }
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        ..Taint::default()
    };
    let bears = cycle.pod.facts.tolerations.iter().any(|toleration| toleration.bears(&taint));
    (!bears).then(|| Rejection::final_for(NAME, "node(s) were unschedulable"))
}
