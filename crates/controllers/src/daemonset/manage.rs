//! What is to be on each node: one pod where one is wanted, none where none is, and while a pod is being replaced
//! perhaps two.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::plan::Note;
use env::WallTime;
use smol_str::SmolStr;

use super::place::Fit;
use super::plan::Model;
use crate::history::REVISION_HASH;
use crate::pod::{Phase, Pod};

/// The node a pod is on or tied to; empty if there is none.
pub fn node_of(pod: &Pod) -> &SmolStr {
    if pod.facts.node.is_empty() { &pod.facts.only_node } else { &pod.facts.node }
}

/// Pods by node.
pub fn by_node(pods: &[Pod]) -> BTreeMap<SmolStr, Vec<Pod>> {
    let mut nodes: BTreeMap<SmolStr, Vec<Pod>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !node_of(pod).is_empty()) {
        nodes.entry(node_of(pod).clone()).or_default().push(pod.clone());
    }
    nodes.values_mut().for_each(|pods| pods.sort_by(seniority));
    nodes
}

/// Those on their node first, then the oldest.
fn seniority(left: &Pod, right: &Pod) -> Ordering {
    let key = |pod: &Pod| (pod.facts.node.is_empty(), pod.facts.created);
    key(left).cmp(&key(right)).then_with(|| left.object.header().name.cmp(&right.object.header().name))
}

/// What is to be made and removed.
#[derive(Debug, Default)]
pub struct Changes {
    /// The nodes that get a pod.
    pub nodes: Vec<SmolStr>,
    /// The pods that go.
    pub pods: Vec<Pod>,
}

/// What is to be made and removed on all nodes.
pub fn changes(model: &mut Model<'_>) -> Changes {
    let mut changes = Changes::default();
    let nodes: Vec<(SmolStr, Fit)> = model.fits.iter().map(|(node, fit)| (node.clone(), *fit)).collect();
    for (node, fit) in &nodes {
        on_node(model, node, *fit, &mut changes);
    }
    // Nobody else removes a pod that waits for a node that does not exist.
    let known: BTreeSet<&SmolStr> = nodes.iter().map(|(node, _)| node).collect();
    let lost = model.pods.iter().filter(|(node, _)| !known.contains(node)).flat_map(|(_, pods)| pods);
    changes
        .pods
        .extend(lost.filter(|pod| pod.facts.node.is_empty() && pod.facts.deletion.is_none()).cloned());
    changes
}

fn on_node(model: &mut Model<'_>, node: &SmolStr, fit: Fit, changes: &mut Changes) {
    let pods = model.pods.get(node).cloned().unwrap_or_default();
    if pods.is_empty() {
        if fit == Fit::Wanted {
            changes.nodes.push(node.clone());
        }
        return;
    }
    let staying = pods.into_iter().filter(|pod| pod.facts.deletion.is_none());
    if fit == Fit::Unwanted {
        changes.pods.extend(staying);
        return;
    }
    let mut running = Vec::new();
    for pod in staying {
        match pod.facts.phase {
            Phase::Failed | Phase::Succeeded => ended(model, node, pod, changes),
            _ => running.push(pod),
        }
    }
    if model.max_surge_allows() {
        surging(model, (node, fit), running, changes);
    } else {
        changes.pods.extend(running.into_iter().skip(1));
    }
}

/// A pod that has ended makes room for another: at once if it went well, later and later if it failed.
fn ended(model: &mut Model<'_>, node: &SmolStr, pod: Pod, changes: &mut Changes) {
    let header = pod.object.header();
    let name = format!("{}/{}", header.namespace, header.name);
    if pod.facts.phase == Phase::Succeeded {
        let text = format!("Found succeeded daemon pod {name} on node {node}, will try to delete it");
        model.plan.notes.push(Note::normal(&model.about(), "SucceededDaemonPod", text));
        changes.pods.push(pod);
        return;
    }
    let wait = model.not_before.get(&header.uid).map_or(Duration::ZERO, |at| until(*at, model.now));
    if wait.is_zero() {
        let text = format!("Found failed daemon pod {name} on node {node}, will try to kill it");
        model.plan.notes.push(Note::warning(&model.about(), "FailedDaemonPod", text));
        changes.pods.push(pod);
    } else {
        model.plan.because(format!("{name} failed again; waits before it is replaced"));
        model.plan.requeue(wait);
    }
}

fn until(at: WallTime, now: WallTime) -> Duration {
    if at > now { at.since(now) } else { Duration::ZERO }
}

/// Of those that run, the oldest of the newest template stays, and the oldest of others beside it while that one serves
/// and the new one does not yet.
fn surging(model: &Model<'_>, (node, fit): (&SmolStr, Fit), running: Vec<Pod>, changes: &mut Changes) {
    if running.is_empty() && fit == Fit::Wanted {
        changes.nodes.push(node.clone());
    }
    if running.len() <= 1 {
        return;
    }
    let (mut newest, mut older): (Option<Pod>, Option<Pod>) = (None, None);
    for pod in running {
        let is_newest = pod.object.header().label(REVISION_HASH) == Some(&model.hash);
        let place = if is_newest { &mut newest } else { &mut older };
        if place.is_none() {
            *place = Some(pod);
        } else {
            changes.pods.push(pod);
        }
    }
    if let (Some(newest), Some(older)) = (newest, older)
        && (!older.facts.is_ready || model.is_available(&newest))
    {
        changes.pods.push(older);
    }
}
