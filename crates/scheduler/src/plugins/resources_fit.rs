//! A node must have what a pod asks for; those with more to spare are better.

use std::borrow::Cow;
use std::sync::Arc;

use super::{BEST, Rejection};
use crate::decide::cycle::Cycle;
use crate::node::Node;

/// Its name.
pub const NAME: &str = "NodeResourcesFit";

pub(super) fn filter(cycle: &Cycle<'_>, node: &Node) -> Option<Rejection> {
    let (facts, wanted) = (&node.entry.facts, &cycle.pod.facts.requests);
    let mut reasons: Vec<Cow<'static, str>> = Vec::new();
    // What a node without any pod could not give, no pod's going away gives.
    let mut is_resolvable = true;
    if node.pods.len() as i64 + 1 > facts.pods {
        reasons.push("Too many pods".into());
        is_resolvable &= facts.pods >= 1;
    }
    let (has, used) = (&facts.allocatable, &node.requested);
    let main = [
        ("Insufficient cpu", wanted.cpu, has.cpu, used.cpu),
        ("Insufficient memory", wanted.memory, has.memory, used.memory),
        ("Insufficient ephemeral-storage", wanted.ephemeral, has.ephemeral, used.ephemeral),
    ];
    for (reason, wanted, has, used) in main {
        if wanted > 0 && wanted > has - used {
            reasons.push(reason.into());
            is_resolvable &= wanted <= has;
        }
    }
    for (name, wanted) in wanted.other.iter().filter(|(_, wanted)| **wanted > 0) {
        let has = has.other.get(name).copied().unwrap_or(0);
        if *wanted > has - used.other.get(name).copied().unwrap_or(0) {
            reasons.push(format!("Insufficient {name}").into());
            is_resolvable &= *wanted <= has;
        }
    }
    (!reasons.is_empty()).then_some(Rejection { plugin: NAME, reasons, is_resolvable })
}

/// The share of a node that would be left.
pub(super) fn score(cycle: &Cycle<'_>, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
    let wanted = cycle.pod.facts.scored;
    let left = |has: i64, used: i64| if used > has { 0 } else { (has - used) * BEST / has };
    let score = |node: &&Arc<Node>| {
        let has = &node.entry.facts.allocatable;
        let shares = [(has.cpu, node.scored.0 + wanted.0), (has.memory, node.scored.1 + wanted.1)];
        let shares = shares.into_iter().filter(|(has, _)| *has > 0);
        let (sum, count) =
            shares.fold((0, 0), |(sum, count), (has, used)| (sum + left(has, used), count + 1));
        if count == 0 { 0 } else { sum / count }
    };
    Some(nodes.iter().map(score).collect())
}
