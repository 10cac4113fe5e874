//! What speaks for and against a node, one file per subject, one line per plugin.

pub mod balanced_allocation;
pub mod image_locality;
pub mod interpod_affinity;
pub mod node_affinity;
pub mod node_name;
pub mod node_ports;
pub mod node_unschedulable;
pub mod resources_fit;
pub mod scheduling_gates;
pub mod taint_toleration;
pub mod topology_spread;

use std::borrow::Cow;
use std::sync::Arc;

use crate::decide::cycle::Cycle;
use crate::node::Node;

/// The best score of a plugin.
pub const BEST: i64 = 100;

/// In place of a plugin's name: there was no node at all.
pub const ANY_NODE: &str = "";

/// Why a node will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Who says so.
    pub plugin: &'static str,
    /// In upstream's words.
    pub reasons: Vec<Cow<'static, str>>,
    /// Whether it might do if pods went away.
    pub is_resolvable: bool,
}

impl Rejection {
    /// That no pod's going away would change.
    pub fn final_for(plugin: &'static str, reason: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { plugin, reasons: vec![reason.into()], is_resolvable: false }
    }

    /// That some pod's going away may change.
    pub fn resolvable(plugin: &'static str, reason: impl Into<Cow<'static, str>>) -> Rejection {
        Rejection { plugin, reasons: vec![reason.into()], is_resolvable: true }
    }
}

type Filter = fn(&Cycle<'_>, &Node) -> Option<Rejection>;

/// In order: the first that is against a node is heard.
const FILTERS: [Filter; 8] = [
    node_unschedulable::filter,
    node_name::filter,
    taint_toleration::filter,
    node_affinity::filter,
    node_ports::filter,
    resources_fit::filter,
    topology_spread::filter,
    interpod_affinity::filter,
];

/// The scores of all nodes, each between 0 and [`BEST`]; `None` if the plugin has nothing to say about the pod.
type Score = fn(&Cycle<'_>, &[&Arc<Node>]) -> Option<Vec<i64>>;

/// With their weights.
const SCORES: [(i64, Score); 7] = [
    (3, taint_toleration::score),
    (2, node_affinity::score),
    (1, resources_fit::score),
    (2, topology_spread::score),
    (2, interpod_affinity::score),
    (1, balanced_allocation::score),
    (1, image_locality::score),
];

/// What speaks against a node.
pub fn filter(cycle: &Cycle<'_>, node: &Node) -> Option<Rejection> {
    FILTERS.iter().find_map(|filter| filter(cycle, node))
}

/// What speaks for each of some nodes, together.
pub fn score(cycle: &Cycle<'_>, nodes: &[&Arc<Node>]) -> Vec<i64> {
    let mut totals = vec![0; nodes.len()];
    for (weight, score) in SCORES {
        if let Some(scores) = score(cycle, nodes) {
            totals.iter_mut().zip(scores).for_each(|(total, score)| *total += weight * score);
        }
    }
    totals
}

/// Stretches scores so that the highest becomes [`BEST`].
pub fn stretched(mut scores: Vec<i64>) -> Vec<i64> {
    let highest = scores.iter().copied().max().unwrap_or(0);
    if highest > 0 {
        scores.iter_mut().for_each(|score| *score = *score * BEST / highest);
    }
    scores
}

/// The same where less is better.
pub fn stretched_down(scores: Vec<i64>) -> Vec<i64> {
    stretched(scores).into_iter().map(|score| BEST - score).collect()
}
