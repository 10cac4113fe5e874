//! One sync of a StatefulSet, from what is seen to what is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use client::plan::Plan;
use client::resources;
use env::WallTime;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use machinery::Object;
use serde_json::Value;
use smol_str::SmolStr;

use super::model::{self, Model};
use super::{condemned, identity, replicas, rolling, status};
use crate::claim::Owner;
use crate::history::{self, Draft, History, NextName, Revision, Step};
use crate::pod::Pod;

/// The label of a revision that holds its hash.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The set.
    pub object: Object,
    /// The same, typed.
    pub set: Arc<StatefulSet>,
    /// Pods it owns, and pods of its namespace that nobody owns.
    pub pods: Vec<Pod>,
    /// Revisions it owns, and revisions of its namespace that nobody owns.
    pub revisions: Vec<Revision>,
    /// What brings back the template it has now.
    pub data: Value,
    /// What a revision of that would be called.
    pub next: NextName,
    /// The claims there are of its pods, by name.
    pub claims: BTreeMap<SmolStr, Object>,
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
    let owner = Owner { resource: resources::STATEFUL_SETS, object: &view.object, selector: &selector };
    let (pods, revisions) = claim(&mut plan, &owner, view);
    let before = view.set.status.clone().unwrap_or_default();
    let mut all = History::of(revisions);
    let chosen = choose(&mut plan, &owner, view, &mut all, &before);
    let (current, newest) = match chosen {
        Ok(Some(chosen)) => chosen,
        Ok(None) => return plan,
        Err(why) => {
            plan.because(why.clone());
            plan.retry = Some(why);
            return plan;
        }
    };
    let names = [current.0.name.clone(), newest.0.name.clone()];
    let is_new = newest.0.object.is_none();
    let mut model = Model {
        owner,
        spec,
        claims: &view.claims,
        pods: BTreeMap::new(),
        condemned: Vec::new(),
        current,
        newest,
        plan,
        now,
    };
    sort_out(&mut model, spec, pods);
    let removed = if view.object.header().deleting { 0 } else { act(&mut model) };
    let collisions = if is_new { view.next.collisions } else { before.collision_count.unwrap_or(0) };
    forget(&mut model, &all, &names);
    status::write(&mut model, &before, collisions, removed);
    model.plan
}

/// Makes, removes and replaces pods. Answers with how many of the current revision it replaces.
fn act(model: &mut Model<'_>) -> i32 {
    if replicas::settle(model) && condemned::settle(model) { rolling::roll(model) } else { 0 }
}

fn claim(plan: &mut Plan, owner: &Owner<'_>, view: &View) -> (Vec<Pod>, Vec<Revision>) {
    let set = &view.object.header().name;
    let is_member = |pod: &Pod| identity::ordinal(set, &pod.object.header().name).is_some();
    let pods = view.pods.clone();
    let pods = owner.claim_those(plan, resources::PODS, pods, |pod: &Pod| (&pod.object, is_member(pod)));
    let revisions = history::claim(plan, owner, &view.revisions);
    (pods, revisions)
}

type WithTemplate = (Revision, k8s_openapi::api::core::v1::PodTemplateSpec);

/// The current and the newest revision; none if the set is deleted before it had any.
fn choose(
    plan: &mut Plan,
    owner: &Owner<'_>,
    view: &View,
    all: &mut History,
    before: &StatefulSetStatus,
) -> Result<Option<(WithTemplate, WithTemplate)>, String> {
    let step = all.step(&view.data);
    let named = |name: &Option<String>| name.as_ref().and_then(|name| all.find(name));
    let current = named(&before.current_revision).map(|index| all.revisions[index].clone());
    let newest = if view.object.header().deleting {
        let Some(index) = named(&before.update_revision) else { return Ok(None) };
        all.revisions[index].clone()
    } else {
        match step {
            Step::Keep(index) => all.revisions[index].clone(),
            Step::Renumber(index, number) => {
                history::renumber(plan, &mut all.revisions[index], number);
                all.revisions[index].clone()
            }
            Step::Make(number) => {
                let draft = Draft { next: &view.next, number, data: &view.data, hash_label: HASH_LABEL };
                history::make(plan, owner, &draft).map_err(|status| status.message)?
            }
        }
    };
    let current = current.unwrap_or_else(|| newest.clone());
    let (old, new) = (current.template()?, newest.template()?);
    Ok(Some(((current, old), (newest, new))))
}

/// Which pods are wanted, and which are too many.
fn sort_out(model: &mut Model<'_>, spec: &StatefulSetSpec, pods: Vec<Pod>) {
    let set = &model.owner.object.header().name;
    for pod in pods {
        let Some(ordinal) = identity::ordinal(set, &pod.object.header().name) else { continue };
        if model::is_wanted(spec, ordinal) {
            model.pods.insert(ordinal, pod);
        } else {
            model.condemned.push((ordinal, pod));
        }
    }
    model.condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
}

/// Removes revisions nobody needs.
fn forget(model: &mut Model<'_>, all: &History, names: &[SmolStr; 2]) {
    let limit = model.spec.revision_history_limit.unwrap_or(10);
    let Ok(limit) = usize::try_from(limit) else { return };
    let pods: Vec<Pod> =
        model.pods.values().chain(model.condemned.iter().map(|(_, pod)| pod)).cloned().collect();
    let mut live: BTreeSet<&str> = pods.iter().map(identity::revision_of).collect();
    live.extend(names.iter().map(SmolStr::as_str));
    history::forget(&mut model.plan, &all.revisions, &live, limit);
}
