//! One sync of a DaemonSet, from what is seen to what is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Key, resources};
use env::WallTime;
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use machinery::Object;
use serde_json::Value;
use smol_str::SmolStr;

use super::manage::{self, Changes};
use super::place::{self, Fit, Rules};
use super::revision::{self, Chosen};
use super::{rolling, status};
use crate::claim::Owner;
use crate::history::{self, NextName, REVISION_HASH, Revision};
use crate::node::Node;
use crate::pod::Pod;
use crate::scaled::{Rounding, scaled};
use crate::template;

/// Pods made or removed in one go; the rest follows when the cache has seen these.
const BURST: usize = 250;
/// How often the template changed, where it was counted before there were revisions.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
/// The label of pods that holds it.
const TEMPLATE_GENERATION_LABEL: &str = "pod-template-generation";

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The set.
    pub object: Object,
    /// The same, typed.
    pub set: Arc<DaemonSet>,
    /// Pods it owns, and pods of its namespace that nobody owns.
    pub pods: Vec<Pod>,
    /// Revisions it owns, and revisions of its namespace that nobody owns.
    pub revisions: Vec<Revision>,
    /// What brings back the template it has now.
    pub data: Value,
    /// What a revision of that would be called.
    pub next: NextName,
    /// All nodes.
    pub nodes: Vec<Node>,
    /// When failed pods may be removed, by identity.
    pub not_before: BTreeMap<SmolStr, WallTime>,
}

/// What a plan works on.
pub struct Model<'a> {
    /// The set.
    pub owner: Owner<'a>,
    /// `spec`
    pub spec: &'a DaemonSetSpec,
    /// What each node is to the set.
    pub fits: BTreeMap<SmolStr, Fit>,
    /// Its pods by node, the eldest first.
    pub pods: BTreeMap<SmolStr, Vec<Pod>>,
    /// What pods of the newest template are labelled with.
    pub hash: String,
    /// How often the template changed, if that was counted.
    pub generation: Option<String>,
    /// When failed pods may be removed, by identity.
    pub not_before: &'a BTreeMap<SmolStr, WallTime>,
    /// The decision so far.
    pub plan: Plan,
    /// When it is made.
    pub now: WallTime,
}

impl Model<'_> {
    /// What events are about.
    pub fn about(&self) -> About {
        About::object(self.owner.object)
    }

    /// How long a pod must be ready to count as available.
    pub fn min_ready(&self) -> Duration {
        let secs = self.spec.min_ready_seconds.unwrap_or(0);
        Duration::from_secs(u64::try_from(secs).unwrap_or(0))
    }

    /// Whether a pod has been ready for long enough.
    pub fn is_available(&self, pod: &Pod) -> bool {
        pod.facts.is_available(self.min_ready(), self.now)
    }

    /// Whether a pod is of the newest template.
    pub fn is_newest(&self, pod: &Pod) -> bool {
        let header = pod.object.header();
        let counted = self.generation.as_deref();
        header.label(REVISION_HASH) == Some(&self.hash)
            || (counted.is_some() && header.label(TEMPLATE_GENERATION_LABEL) == counted)
    }

    /// How many nodes are to have a pod.
    pub fn desired(&self) -> i32 {
        let wanted = self.fits.values().filter(|fit| **fit == Fit::Wanted).count();
        i32::try_from(wanted).unwrap_or(i32::MAX)
    }

    /// Whether pods of older templates are replaced without being asked.
    pub fn is_rolling(&self) -> bool {
        let strategy = self.spec.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        strategy.unwrap_or("RollingUpdate") == "RollingUpdate"
    }

    fn surge_of(&self, nodes: i32) -> i32 {
        let strategy = self.spec.update_strategy.as_ref().filter(|_| self.is_rolling());
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let surge = rolling.and_then(|rolling| rolling.max_surge.as_ref());
        surge.and_then(|surge| scaled(surge, nodes, Rounding::Up)).unwrap_or(0)
    }

    /// Whether there may be two pods on a node while one is replaced.
    pub fn max_surge_allows(&self) -> bool {
        self.surge_of(1) > 0
    }

    /// On how many nodes there may be two pods.
    pub fn max_surge(&self) -> i32 {
        self.surge_of(self.desired())
    }

    /// On how many nodes there may be none that serves.
    pub fn max_unavailable(&self) -> i32 {
        let strategy = self.spec.update_strategy.as_ref().filter(|_| self.is_rolling());
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let given =
            rolling.and_then(|rolling| rolling.max_unavailable.clone()).unwrap_or(IntOrString::Int(1));
        let number = scaled(&given, self.desired(), Rounding::Up).unwrap_or(0);
        if number == 0 && self.max_surge() == 0 { 1 } else { number }
    }
}

/// Decides about one set.
pub fn plan(view: &View, now: WallTime) -> Plan {
    let mut plan = Plan::nothing();
    let Some(spec) = &view.set.spec else { return plan };
    let selector = match client::selector::of(Some(&spec.selector)) {
        Ok(selector) => selector,
        Err(error) => {
            plan.because(format!("its selector is not valid: {error}"));
            return plan;
        }
    };
    if selector.is_everything() {
        let text = "This daemon set is selecting all pods. A non-empty selector is required.";
        plan.because(text);
        plan.notes.push(Note::warning(&About::object(&view.object), "SelectingAll", text));
        return plan;
    }
    // Its revisions may be gone already, so nothing could be said about its pods.
    if view.object.header().deleting {
        return plan;
    }
    let owner = Owner { resource: resources::DAEMON_SETS, object: &view.object, selector: &selector };
    let pods = owner.claim_all(&mut plan, resources::PODS, view.pods.clone(), |pod: &Pod| &pod.object);
    let revisions = history::claim(&mut plan, &owner, &view.revisions);
    let chosen = match revision::choose(&mut plan, &owner, view, revisions, &pods) {
        Ok(chosen) => chosen,
        Err(status) => {
            plan.retry = Some(status.message);
            return plan;
        }
    };
    let mut model = model(view, spec, owner, &chosen, pods);
    model.plan = plan;
    model.now = now;
    act(&mut model);
    forget(&mut model, &chosen);
    let before = view.set.status.clone().unwrap_or_default();
    let collisions = if chosen.is_new { Some(view.next.collisions) } else { before.collision_count };
    let collisions = collisions.filter(|collisions| *collisions > 0 || before.collision_count.is_some());
    status::write(&mut model, &before, collisions);
    model.plan
}

fn model<'a>(
    view: &'a View,
    spec: &'a DaemonSetSpec,
    owner: Owner<'a>,
    chosen: &Chosen,
    pods: Vec<Pod>,
) -> Model<'a> {
    let rules = spec.template.spec.as_ref().map(Rules::of).unwrap_or_default();
    let fits = view.nodes.iter().map(|node| (node.object.header().name.clone(), rules.judge(node)));
    let annotations = view.set.metadata.annotations.as_ref();
    let generation = annotations.and_then(|annotations| annotations.get(TEMPLATE_GENERATION));
    Model {
        owner,
        spec,
        fits: fits.collect(),
        pods: manage::by_node(&pods),
        hash: chosen.hash.clone(),
        generation: generation.filter(|text| text.parse::<i64>().is_ok()).cloned(),
        not_before: &view.not_before,
        plan: Plan::nothing(),
        now: WallTime(0),
    }
}

fn act(model: &mut Model<'_>) {
    let changes = manage::changes(model);
    // An update goes on only when everything is where it should be.
    let is_settled = changes.nodes.is_empty() && changes.pods.is_empty();
    carry_out(model, changes, "is not as it should be");
    if is_settled && model.is_rolling() {
        let changes = rolling::changes(model);
        carry_out(model, changes, "is of an older template");
    }
}

/// Adds the writes: pods are made in batches of 1, 2, 4, …, so that if none can be made, only one failure is had.
fn carry_out(model: &mut Model<'_>, changes: Changes, why: &str) {
    let about = model.about();
    if !changes.nodes.is_empty() {
        model.plan.because(format!("{} nodes need a pod; makes them", changes.nodes.len()));
    }
    let mut ops: Vec<Op> = changes
        .nodes
        .iter()
        .take(BURST)
        .map(|node| {
            Op::create(resources::PODS, &model.owner.object.header().namespace, &new_pod(model, node))
                .on_success(Note::normal(&about, "SuccessfulCreate", "Created pod: {name}"))
                .on_failure(Note::warning(&about, "FailedCreate", "Error creating: {error}"))
        })
        .collect();
    let mut batch = 1;
    while !ops.is_empty() {
        let rest = ops.split_off(batch.min(ops.len()));
        model.plan.push_together(ops);
        ops = rest;
        batch *= 2;
    }
    let mut removals = Vec::new();
    for pod in changes.pods.iter().take(BURST) {
        let key = Key::of(&pod.object);
        model.plan.because(format!("{} on {} {why}; removes it", key.name, manage::node_of(pod)));
        let gone = format!("Deleted pod: {}", key.name);
        let op = Op::delete(resources::PODS, &key, &pod.object.header().uid)
            .on_success(Note::normal(&about, "SuccessfulDelete", gone))
            .on_failure(Note::warning(&about, "FailedDelete", "Error deleting: {error}"));
        removals.push(op);
    }
    model.plan.push_together(removals);
}

fn new_pod(model: &Model<'_>, node: &str) -> Value {
    let mut own = model.spec.template.clone();
    let labels = own.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(REVISION_HASH.to_owned(), model.hash.clone());
    if let Some(generation) = &model.generation {
        labels.insert(TEMPLATE_GENERATION_LABEL.to_owned(), generation.clone());
    }
    let spec = own.spec.get_or_insert_default();
    place::add_tolerations(spec);
    place::tie(spec, node);
    template::pod(&own, &model.owner)
}

/// Removes revisions nobody needs.
fn forget(model: &mut Model<'_>, chosen: &Chosen) {
    let limit = model.spec.revision_history_limit.unwrap_or(10);
    let Ok(limit) = usize::try_from(limit) else { return };
    let hashes: BTreeSet<&str> =
        model.pods.values().flatten().filter_map(|pod| pod.object.header().label(REVISION_HASH)).collect();
    let live: BTreeSet<&str> = chosen
        .old
        .iter()
        .filter(|revision| hashes.contains(revision::hash_of(revision)))
        .map(|revision| revision.name.as_str())
        .collect();
    let kept = limit.saturating_sub(live.len());
    history::forget(&mut model.plan, &chosen.old, &live, kept);
}
