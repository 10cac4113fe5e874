//! Making room: which pods of lower priority would have to go, and on which node that hurts least.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;
use std::sync::Arc;

use env::WallTime;
use smol_str::SmolStr;

use super::cycle::Cycle;
use super::summary;
use crate::node::Node;
use crate::plugins::{self, Rejection};
use crate::pod::Pod;

/// Room that can be made.
#[derive(Clone, Debug)]
pub struct Preemption {
    /// On this node.
    pub node: SmolStr,
    /// If these pods go.
    pub victims: Vec<Pod>,
}

/// Whether room can be made.
pub enum Outcome {
    /// So.
    Possible(Preemption),
    /// Not.
    Impossible {
        /// Why, in upstream's words.
        why: String,
        /// Whether it still waits for the room that was made for it before.
        keeps_promise: bool,
    },
}

/// At least so many nodes are tried before the best of them is taken.
const LEAST_CANDIDATES: usize = 100;

struct Candidate {
    node: SmolStr,
    victims: Vec<Pod>,
    violations: usize,
}

/// Looks for room for a pod that no node would do for.
pub fn preempt(cycle: &Cycle<'_>, rejected: &BTreeMap<SmolStr, Rejection>) -> Outcome {
    if let Some(why) = ineligible(cycle, rejected) {
        return Outcome::Impossible { why: why.to_owned(), keeps_promise: true };
    }
    let total = cycle.snapshot.nodes().len();
    let wanted = (total / 10).max(LEAST_CANDIDATES);
    let (mut candidates, mut reasons) = (Vec::new(), Vec::new());
    for node in cycle.snapshot.nodes() {
        if rejected.get(node.name()).is_none_or(|rejection| !rejection.is_resolvable) {
            reasons.push(Rejection::final_for("", "Preemption is not helpful for scheduling"));
            continue;
        }
        match victims(cycle, node) {
            Ok(candidate) => candidates.push(candidate),
            Err(rejection) => reasons.push(rejection),
        }
        if candidates.len() >= wanted {
            break;
        }
    }
    match candidates.into_iter().min_by(hurts_less) {
        Some(best) => Outcome::Possible(Preemption { node: best.node, victims: best.victims }),
        None => Outcome::Impossible { why: summary(total, reasons.iter()), keeps_promise: false },
    }
}

fn ineligible(cycle: &Cycle<'_>, rejected: &BTreeMap<SmolStr, Rejection>) -> Option<&'static str> {
    let facts = &cycle.pod.facts;
    if !facts.may_preempt {
        return Some("not eligible due to preemptionPolicy=Never.");
    }
    let node = cycle.snapshot.node(&facts.nominated)?;
    if rejected.get(node.name()).is_some_and(|rejection| !rejection.is_resolvable) {
        return None;
    }
    let is_going = |pod: &Pod| pod.object.header().deleting && pod.facts.priority < facts.priority;
    node.pods.iter().any(is_going).then_some("not eligible due to a terminating pod on the nominated node.")
}

/// Why the pod cannot go to a node from which some pods were taken.
fn rejection_without(cycle: &Cycle<'_>, node: &Node, gone: &[SmolStr]) -> Option<Rejection> {
    let world = cycle.snapshot.without(node.name(), gone);
    let cycle = Cycle::new(cycle.pod, &world);
    plugins::filter(&cycle, world.node(node.name())?)
}

/// The fewest and least important pods of a node that would have to go.
fn victims(cycle: &Cycle<'_>, node: &Arc<Node>) -> Result<Candidate, Rejection> {
    let mut lower: Vec<Pod> =
        node.pods.iter().filter(|pod| pod.facts.priority < cycle.pod.facts.priority).cloned().collect();
    if lower.is_empty() {
        return Err(Rejection::final_for("", "No preemption victims found for incoming pod"));
    }
    let uid = |pod: &Pod| pod.object.header().uid.clone();
    let mut gone: Vec<SmolStr> = lower.iter().map(uid).collect();
    if let Some(rejection) = rejection_without(cycle, node, &gone) {
        return Err(rejection);
    }
    // The most important are spared first; those whose loss breaks a budget before the others.
    lower.sort_by_key(|pod| (Reverse(pod.facts.priority), pod.facts.started.unwrap_or(WallTime(i64::MAX))));
    let (protected, free) = by_budget(cycle, lower);
    let (mut victims, mut violations) = (Vec::new(), 0);
    for (pod, is_protected) in
        protected.into_iter().map(|pod| (pod, true)).chain(free.into_iter().map(|pod| (pod, false)))
    {
        let without: Vec<SmolStr> = gone.iter().filter(|gone| **gone != uid(&pod)).cloned().collect();
        if rejection_without(cycle, node, &without).is_none() {
            gone = without;
        } else {
            violations += usize::from(is_protected);
            victims.push(pod);
        }
    }
    victims.sort_by_key(|pod| (Reverse(pod.facts.priority), pod.facts.started.unwrap_or(WallTime(i64::MAX))));
    Ok(Candidate { node: node.name().clone(), victims, violations })
}

/// Pods whose loss would break a disruption budget, and the others.
fn by_budget(cycle: &Cycle<'_>, pods: Vec<Pod>) -> (Vec<Pod>, Vec<Pod>) {
    let mut allowed: Vec<i64> = cycle.snapshot.budgets().map(|budget| budget.allowed).collect();
    pods.into_iter().partition(|pod| {
        let header = pod.object.header();
        let mut is_protected = false;
        for (budget, left) in cycle.snapshot.budgets().zip(&mut allowed) {
            if budget.namespace == header.namespace && client::selector::selects(&budget.selector, header) {
                is_protected |= *left <= 0;
                *left -= 1;
            }
        }
        is_protected
    })
}

fn hurts_less(left: &Candidate, right: &Candidate) -> Ordering {
    let highest = |candidate: &Candidate| {
        candidate.victims.iter().map(|pod| pod.facts.priority).max().unwrap_or(i32::MIN)
    };
    // Raised above zero, so that more victims of negative priority are not better than fewer.
    let sum = |candidate: &Candidate| -> i64 {
        candidate.victims.iter().map(|pod| i64::from(pod.facts.priority) + i64::from(i32::MAX) + 1).sum()
    };
    let earliest = |candidate: &Candidate| {
        let highest = highest(candidate);
        let most_important = candidate.victims.iter().filter(|pod| pod.facts.priority == highest);
        most_important.filter_map(|pod| pod.facts.started).min().unwrap_or(WallTime(i64::MAX))
    };
    left.violations
        .cmp(&right.violations)
        .then_with(|| highest(left).cmp(&highest(right)))
        .then_with(|| sum(left).cmp(&sum(right)))
        .then_with(|| left.victims.len().cmp(&right.victims.len()))
        .then_with(|| earliest(right).cmp(&earliest(left)))
        .then_with(|| left.node.cmp(&right.node))
}
