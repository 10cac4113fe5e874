//! Nodes whose processor and memory would be used more evenly with the pod than without are better.

use std::sync::Arc;

use super::BEST;
use crate::decide::cycle::Cycle;
use crate::node::Node;
use crate::resources::Amounts;

/// The score of a node that the pod leaves as even as it was.
const UNCHANGED: i64 = BEST * 3 / 4;

pub(super) fn score(cycle: &Cycle<'_>, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
    let wanted = &cycle.pod.facts.requests;
    // A pod that asks for nothing changes nothing, and would crowd the most even node.
    if wanted.cpu == 0 && wanted.memory == 0 {
        return None;
    }
    let score = |node: &&Arc<Node>| {
        let has = &node.entry.facts.allocatable;
        let mut with = node.requested.clone();
        with.add(wanted);
        UNCHANGED + (evenness(&with, has) - evenness(&node.requested, has)) / 2
    };
    Some(nodes.iter().map(score).collect())
}

/// 100 if both are used to the same share, 50 if one is full and the other empty.
fn evenness(used: &Amounts, has: &Amounts) -> i64 {
    if has.cpu == 0 || has.memory == 0 {
        return BEST;
    }
    let share = |used: i64, has: i64| (used as f64 / has as f64).min(1.0);
    let deviation = (share(used.cpu, has.cpu) - share(used.memory, has.memory)).abs() / 2.0;
    ((1.0 - deviation) * BEST as f64) as i64
}
