//! How many pods are made or removed, and in which batches.

use std::collections::BTreeMap;
use std::time::Duration;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Key, Resource, resources};
use env::WallTime;
use machinery::Object;
use machinery::selector::LabelSelector;
use smol_str::SmolStr;

use super::status::{self, SetStatus};
use super::victims;
use crate::claim::Owner;
use crate::pod::{Phase, Pod};
use crate::template::{NewPod, Template};

/// Pods made or removed in one go; the rest follows when the cache has seen these.
const BURST: usize = 500;

/// What a ReplicaSet, or a ReplicationController, asks for.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Which of the two.
    pub resource: Resource,
    /// How many pods.
    pub replicas: i32,
    /// How long a pod must be ready to count as available.
    pub min_ready_secs: i32,
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// How new ones look.
    pub template: Template,
    /// What it last said.
    pub status: SetStatus,
}

impl Desired {
    pub(super) fn min_ready(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.min_ready_secs).unwrap_or(0))
    }
}

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The set.
    pub object: Object,
    /// What it asks for.
    pub desired: Desired,
    /// Pods it owns, and pods of its namespace that nobody owns.
    pub pods: Vec<Pod>,
    /// How many related pods run on each node.
    pub neighbours: BTreeMap<SmolStr, usize>,
}

/// Decides about one set.
pub fn plan(view: &View, now: WallTime) -> Plan {
    let mut plan = Plan::nothing();
    let desired = &view.desired;
    let owner = Owner { resource: desired.resource, object: &view.object, selector: &desired.selector };
    // What is over neither counts nor is taken in.
    let candidates = view.pods.iter().filter(|pod| !is_over(pod)).cloned().collect();
    let pods = owner.claim_all(&mut plan, resources::PODS, candidates, |pod: &Pod| &pod.object);
    let (active, terminating): (Vec<Pod>, Vec<Pod>) = pods.into_iter().partition(|pod| pod.facts.is_active());
    let wanted = usize::try_from(desired.replicas).unwrap_or(0);
    let makes = active.len() < wanted && !view.object.header().deleting;
    if makes {
        make(&mut plan, &owner, &desired.template, wanted - active.len());
    } else if active.len() > wanted && !view.object.header().deleting {
        remove(&mut plan, view, &active, now);
    }
    let counted = status::Counted { active: &active, terminating: terminating.len() };
    status::add(&mut plan, view, &counted, now);
    if makes {
        // The new pods bring this set back here at once, and then the status tells of them too: one write instead of
        // two. If they cannot be made, `after_failure` tells.
        plan.status = None;
    }
    plan
}

fn is_over(pod: &Pod) -> bool {
    matches!(pod.facts.phase, Phase::Succeeded | Phase::Failed)
}

/// Makes pods in batches of 1, 2, 4, …: if none can be made, only one failure is had.
fn make(plan: &mut Plan, owner: &Owner<'_>, template: &Template, missing: usize) {
    let count = missing.min(BURST);
    plan.because(format!("{missing} pods are missing; makes {count}"));
    let about = About::object(owner.object);
    let pod = NewPod::of(template, owner);
    let op = Op::create(resources::PODS, &owner.object.header().namespace, &pod)
        .on_success(Note::normal(&about, "SuccessfulCreate", "Created pod: {name}"))
        .on_failure(Note::warning(&about, "FailedCreate", "Error creating: {error}"));
    let (mut left, mut batch) = (count, 1);
    while left > 0 {
        let size = batch.min(left);
        plan.push_together(vec![op.clone(); size]);
        left -= size;
        batch *= 2;
    }
}

fn remove(plan: &mut Plan, view: &View, active: &[Pod], now: WallTime) {
    let surplus = active.len() - usize::try_from(view.desired.replicas).unwrap_or(0);
    let count = surplus.min(BURST);
    plan.because(format!("there are {surplus} pods too many; removes {count}"));
    let about = About::object(&view.object);
    let ops = victims::choose(active, count, &view.neighbours, now).into_iter().map(|pod| {
        let key = Key::of(&pod.object);
        let gone = format!("Deleted pod: {}", key.name);
        Op::delete(resources::PODS, &key, &pod.object.header().uid)
            .on_success(Note::normal(&about, "SuccessfulDelete", gone))
            .on_failure(Note::warning(&about, "FailedDelete", "Error deleting: {error}"))
    });
    plan.push_together(ops.collect());
}
