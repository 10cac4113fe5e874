//! Pods want to be spread evenly over places: nodes, zones, or whatever a label names.

use std::collections::BTreeMap;
use std::sync::Arc;

use machinery::selector::LabelSelector;
use smol_str::SmolStr;

use super::{BEST, Rejection, node_affinity, taint_toleration};
use crate::decide::cycle::Cycle;
use crate::node::Node;
use crate::pod::{Pod, Spread};
use crate::snapshot::Snapshot;

/// Its name.
pub const NAME: &str = "PodTopologySpread";

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// What was counted for a decision.
pub struct State {
    hard: Vec<Counted>,
    soft: Vec<Spread>,
    /// Whether nodes that lack a label of a soft constraint are out of the question for it.
    needs_all_labels: bool,
}

/// A hard constraint and how many pods are where.
struct Counted {
    spread: Spread,
    by_place: BTreeMap<SmolStr, i64>,
    least: i64,
    /// Whether the pod is one of those that are counted.
    counts_itself: i64,
}

impl State {
    /// Counts for a decision about `pod`.
    pub fn count(pod: &Pod, snapshot: &Snapshot) -> State {
        let spread = &pod.facts.spread;
        let (hard, soft): (Vec<Spread>, Vec<Spread>) =
            spread.iter().cloned().partition(|spread| spread.is_hard);
        let soft = if spread.is_empty() { defaults(pod, snapshot) } else { soft };
        let keys: Vec<SmolStr> = hard.iter().map(|spread| spread.topology_key.clone()).collect();
        let hard = hard.into_iter().map(|spread| Counted::count(spread, &keys, pod, snapshot)).collect();
        State { hard, soft, needs_all_labels: !spread.is_empty() }
    }
}

/// How pods that do not say are spread: with those of their Services and owners, over nodes and zones.
fn defaults(pod: &Pod, snapshot: &Snapshot) -> Vec<Spread> {
    let header = pod.object.header();
    let mut requirements = Vec::new();
    for (_, selector) in snapshot.selectors(&header.namespace, "Service") {
        if client::selector::selects(selector, header) {
            requirements.extend_from_slice(selector.requirements());
        }
    }
    for kind in ["ReplicaSet", "ReplicationController", "StatefulSet"] {
        let owner = header.controller().filter(|owner| owner.kind == kind);
        if let Some(selector) =
            owner.and_then(|owner| snapshot.selector(&header.namespace, kind, &owner.name))
        {
            requirements.extend_from_slice(selector.requirements());
        }
    }
    if requirements.is_empty() {
        return Vec::new();
    }
    let selector = LabelSelector::from_requirements(requirements);
    let spread = |topology_key: &'static str, max_skew| Spread {
        max_skew,
        topology_key: SmolStr::new_static(topology_key),
        is_hard: false,
        selector: selector.clone(),
        min_domains: 1,
        honor_affinity: true,
        honor_taints: false,
    };
    vec![spread(HOSTNAME, 3), spread(ZONE, 5)]
}

/// How many pods of a node a constraint counts.
fn matching(node: &Node, spread: &Spread, namespace: &str) -> i64 {
    let counts = |pod: &&Pod| {
        let header = pod.object.header();
        header.namespace == namespace
            && !header.deleting
            && client::selector::selects(&spread.selector, header)
    };
    node.pods.iter().filter(counts).count() as i64
}

fn is_counted(node: &Node, spread: &Spread, pod: &Pod) -> bool {
    (!spread.honor_affinity || node_affinity::matches(pod, node))
        && (!spread.honor_taints || taint_toleration::bears_all(pod, node))
}

impl Counted {
    fn count(spread: Spread, keys: &[SmolStr], pod: &Pod, snapshot: &Snapshot) -> Counted {
        let header = pod.object.header();
        let mut by_place: BTreeMap<SmolStr, i64> = BTreeMap::new();
        for node in snapshot.nodes() {
            let has_all = keys.iter().all(|key| node.label(key).is_some());
            let Some(place) = node.label(&spread.topology_key).filter(|_| has_all) else { continue };
            if is_counted(node, &spread, pod) {
                *by_place.entry(SmolStr::new(place)).or_default() +=
                    matching(node, &spread, &header.namespace);
            }
        }
        let has_enough = by_place.len() as i64 >= spread.min_domains;
        let least = if has_enough { by_place.values().copied().min().unwrap_or(0) } else { 0 };
        let counts_itself = i64::from(client::selector::selects(&spread.selector, header));
        Counted { spread, by_place, least, counts_itself }
    }
}

pub(super) fn filter(cycle: &Cycle<'_>, node: &Node) -> Option<Rejection> {
    let uneven = "node(s) didn't match pod topology spread constraints";
    for counted in &cycle.spread.hard {
        let Some(place) = node.label(&counted.spread.topology_key) else {
            return Some(Rejection::final_for(NAME, format!("{uneven} (missing required label)")));
        };
        let here = counted.by_place.get(place).copied().unwrap_or(0);
        if here + counted.counts_itself - counted.least > counted.spread.max_skew {
            return Some(Rejection::resolvable(NAME, uneven));
        }
    }
    None
}

pub(super) fn score(cycle: &Cycle<'_>, nodes: &[&Arc<Node>]) -> Option<Vec<i64>> {
    let state = &cycle.spread;
    if state.soft.is_empty() {
        return None;
    }
    let has_all = |node: &Node| state.soft.iter().all(|spread| node.label(&spread.topology_key).is_some());
    let mut sums: Vec<Option<f64>> =
        nodes.iter().map(|node| (!state.needs_all_labels || has_all(node)).then_some(0.0)).collect();
    for spread in &state.soft {
        add(cycle, spread, nodes, &mut sums);
    }
    let rounded: Vec<Option<i64>> = sums.into_iter().map(|sum| sum.map(|sum| sum.round() as i64)).collect();
    let highest = rounded.iter().flatten().copied().max().unwrap_or(0);
    let lowest = rounded.iter().flatten().copied().min().unwrap_or(0);
    let score = |sum: Option<i64>| match sum {
        None => 0,
        Some(_) if highest == 0 => BEST,
        Some(sum) => BEST * (highest + lowest - sum) / highest,
    };
    Some(rounded.into_iter().map(score).collect())
}

/// Adds what a constraint says against each node.
fn add(cycle: &Cycle<'_>, spread: &Spread, nodes: &[&Arc<Node>], sums: &mut [Option<f64>]) {
    let namespace = &cycle.pod.object.header().namespace;
    let is_by_node = spread.topology_key == HOSTNAME;
    let mut by_place: BTreeMap<&str, i64> = BTreeMap::new();
    for (node, sum) in nodes.iter().zip(sums.iter()) {
        if let Some(place) = node.label(&spread.topology_key).filter(|_| sum.is_some()) {
            by_place.insert(place, 0);
        }
    }
    if by_place.is_empty() {
        return;
    }
    if !is_by_node {
        for node in cycle.snapshot.nodes() {
            let Some(place) = node.label(&spread.topology_key) else { continue };
            if let Some(count) = by_place.get_mut(place).filter(|_| is_counted(node, spread, cycle.pod)) {
                *count += matching(node, spread, namespace);
            }
        }
    }
    let weight = (by_place.len() as f64 + 2.0).ln();
    for (node, sum) in nodes.iter().zip(sums) {
        let (Some(place), Some(sum)) = (node.label(&spread.topology_key), sum) else { continue };
        let count = if is_by_node { matching(node, spread, namespace) } else { by_place[place] };
        *sum += count as f64 * weight + (spread.max_skew - 1) as f64;
    }
}
