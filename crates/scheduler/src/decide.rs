//! Which node a pod goes to, or why none: a pure function of the pod and the cluster.

pub mod cycle;
pub mod preempt;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use env::Entropy;
use smol_str::SmolStr;

use crate::node::Node;
use crate::plugins::{self, Rejection};
use crate::pod::Pod;
use crate::snapshot::Snapshot;
use cycle::Cycle;

/// What was decided about a pod.
#[derive(Clone, Debug)]
pub enum Decision {
    /// It goes to a node.
    Bind {
        /// Which.
        node: SmolStr,
        /// How many nodes were looked at.
        looked_at: usize,
        /// How many of them would have done.
        feasible: usize,
    },
    /// It cannot go anywhere now.
    Wait {
        /// Why, in upstream's words.
        message: String,
        /// Which plugins were against it: when what they look at changes, it is worth another try.
        plugins: BTreeSet<&'static str>,
        /// Room that could be made for it.
        preemption: Option<preempt::Preemption>,
        /// The node it is promised, or still is; empty if none.
        nominated: SmolStr,
    },
}

/// Fewer nodes than this are all looked at.
const LEAST_FEASIBLE: usize = 100;

/// How many nodes that would do are enough: half of them, fewer of many, for the best of many is hardly better.
fn enough(nodes: usize) -> usize {
    if nodes <= LEAST_FEASIBLE {
        return nodes;
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(LEAST_FEASIBLE)
}

/// Decides about a pod.
pub fn decide(pod: &Pod, snapshot: &Snapshot, entropy: &Entropy) -> Decision {
    if snapshot.nodes().is_empty() {
        let message = "no nodes available to schedule pods".to_owned();
        return Decision::Wait {
            message,
            plugins: BTreeSet::from([plugins::ANY_NODE]),
            preemption: None,
            nominated: SmolStr::default(),
        };
    }
    let cycle = Cycle::new(pod, snapshot);
    let (feasible, rejected) = search(&cycle);
    let looked_at = feasible.len() + rejected.len();
    if feasible.is_empty() {
        return refuse(&cycle, &rejected);
    }
    let node = best(&cycle, &feasible, entropy).name().clone();
    Decision::Bind { node, looked_at, feasible: feasible.len() }
}

type Rejected = BTreeMap<SmolStr, Rejection>;

/// The nodes that would do, until there are enough, and why others would not.
fn search<'a>(cycle: &Cycle<'a>) -> (Vec<&'a Arc<Node>>, Rejected) {
    let nodes = cycle.snapshot.nodes();
    let (mut feasible, mut rejected) = (Vec::new(), Rejected::new());
    // A promised node is taken if it does.
    let promised = cycle.snapshot.node(&cycle.pod.facts.nominated);
    if let Some(node) = promised.filter(|node| fits(cycle, node).is_none()) {
        return (vec![node], rejected);
    }
    let wanted = enough(nodes.len());
    for offset in 0..nodes.len() {
        let node = &nodes[(cycle.snapshot.next_start + offset) % nodes.len()];
        match fits(cycle, node) {
            None => feasible.push(node),
            Some(rejection) => {
                rejected.insert(node.name().clone(), rejection);
            }
        }
        if feasible.len() >= wanted {
            break;
        }
    }
    (feasible, rejected)
}

/// Why a pod cannot go to a node; with those in mind that were promised it, and without, for they may not come.
pub fn fits(cycle: &Cycle<'_>, node: &Arc<Node>) -> Option<Rejection> {
    let pod = cycle.pod;
    let uid = &pod.object.header().uid;
    let promised: Vec<&Pod> = cycle
        .snapshot
        .nominated(node.name())
        .iter()
        .filter(|other| other.facts.priority >= pod.facts.priority && other.object.header().uid != *uid)
        .collect();
    if !promised.is_empty() {
        let mut crowded = Node::clone(node);
        promised.into_iter().for_each(|other| crowded.add(other.clone()));
        if let Some(rejection) = plugins::filter(cycle, &crowded) {
            return Some(rejection);
        }
    }
    plugins::filter(cycle, node)
}

/// The node with the highest score; of several, any.
fn best<'a>(cycle: &Cycle<'_>, feasible: &[&'a Arc<Node>], entropy: &Entropy) -> &'a Arc<Node> {
    if let [only] = feasible {
        return only;
    }
    let scores = plugins::score(cycle, feasible);
    let highest = scores.iter().copied().max().unwrap_or(0);
    let winners: Vec<usize> = (0..scores.len()).filter(|index| scores[*index] == highest).collect();
    feasible[winners[entropy.below(winners.len() as u64) as usize]]
}

fn refuse(cycle: &Cycle<'_>, rejected: &Rejected) -> Decision {
    let total = cycle.snapshot.nodes().len();
    let mut message = summary(total, rejected.values());
    let outcome = preempt::preempt(cycle, rejected);
    let plugins = rejected.values().map(|rejection| rejection.plugin).collect();
    let mut nominated = SmolStr::default();
    let preemption = match outcome {
        preempt::Outcome::Possible(preemption) => {
            nominated = preemption.node.clone();
            Some(preemption)
        }
        preempt::Outcome::Impossible { why, keeps_promise } => {
            message.push_str(&format!(" no new claims to deallocate, preemption: {why}"));
            if keeps_promise {
                nominated = cycle.pod.facts.nominated.clone();
            }
            None
        }
    };
    Decision::Wait { message, plugins, preemption, nominated }
}

/// `0/3 nodes are available: 1 Insufficient cpu, 2 …`
pub fn summary<'a>(total: usize, rejections: impl Iterator<Item = &'a Rejection>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in rejections.flat_map(|rejection| &rejection.reasons) {
        *counts.entry(reason).or_default() += 1;
    }
    let mut texts: Vec<String> =
        counts.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    texts.sort();
    if texts.is_empty() {
        return format!("0/{total} nodes are available:");
    }
    format!("0/{total} nodes are available: {}.", texts.join(", "))
}
