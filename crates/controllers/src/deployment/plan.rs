//! One sync of a Deployment, from what is seen to what is done.

use std::collections::BTreeSet;
use std::sync::Arc;

use client::plan::{Note, Op, Plan};
use client::resources;
use env::WallTime;
use k8s_openapi::api::apps::v1::Deployment;
use machinery::Object;
use machinery::selector::LabelSelector;
use smol_str::SmolStr;

use super::model::{DESIRED_REPLICAS, Model, Set};
use super::status::{self, Draft};
use super::{history, recreate, revision, rolling, scaling};
use crate::claim::Owner;

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The Deployment.
    pub object: Object,
    /// The same, typed.
    pub deployment: Arc<Deployment>,
    /// Sets it owns, and sets of its namespace that nobody owns.
    pub sets: Vec<Set>,
    /// The sets that have pods which are not over.
    pub living: BTreeSet<SmolStr>,
    /// The set that has the name the next one would get, whoever owns it; not asked for where none has to be made.
    pub namesake: Option<Object>,
}

/// Decides about one Deployment.
pub fn plan(view: View, now: WallTime) -> Plan {
    let Some(spec) = &view.deployment.spec else { return Plan::nothing() };
    let selector = match client::selector::of(Some(&spec.selector)) {
        Ok(selector) => selector,
        Err(error) => {
            return Plan { reasons: vec![format!("its selector is not valid: {error}")], ..Plan::default() };
        }
    };
    if selector.is_everything() {
        return selects_everything(&view);
    }
    let mut model = claim(&view, &selector, now);
    if view.object.header().deleting {
        status::write(&mut model, false);
        return model.plan;
    }
    status::note_pause(&mut model);
    if spec.paused == Some(true) {
        model.plan.because("it is paused");
        scale_only(&mut model);
    } else if is_scaling(&model) {
        scale_only(&mut model);
    } else if model.is_rolling() {
        rolling::roll(&mut model, &view);
        finish(&mut model);
    } else {
        recreate::recreate(&mut model, &view);
        finish(&mut model);
    }
    model.plan
}

fn selects_everything(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    let about = client::About::object(&view.object);
    let text = "This deployment is selecting all pods. A non-empty selector is required.";
    plan.because(text);
    let generation = view.object.header().generation;
    let mut status = view.deployment.status.clone().unwrap_or_default();
    if status.observed_generation.unwrap_or(0) < generation {
        plan.notes.push(Note::warning(&about, "SelectingAll", text));
        status.observed_generation = Some(generation);
        match Op::update_status(resources::DEPLOYMENTS, &view.object, &status) {
            Ok(op) => plan.status = op,
            Err(status) => plan.retry = Some(status.message),
        }
    }
    plan
}

/// Which sets are its own, and which of them is the newest.
fn claim(view: &View, selector: &LabelSelector, now: WallTime) -> Model {
    let mut plan = Plan::nothing();
    let owner = Owner { resource: resources::DEPLOYMENTS, object: &view.object, selector };
    let seen = view.sets.iter().filter_map(|set| Some((set.clone(), set.object.clone()?))).collect();
    let mut sets: Vec<Set> = owner
        .claim_all(&mut plan, resources::REPLICA_SETS, seen, |(_, object): &(Set, Object)| object)
        .into_iter()
        .map(|(set, _)| set)
        .collect();
    sets.sort_by(|left, right| left.created.cmp(&right.created).then(left.name.cmp(&right.name)));
    let deployment = view.deployment.clone();
    let newest = revision::find_newest(&deployment, &sets);
    let draft = Draft::of(&deployment);
    Model { object: view.object.clone(), deployment, sets, newest, draft, plan, now }
}

/// Whether the Deployment's size changed since its sets were sized.
fn is_scaling(model: &Model) -> bool {
    let wanted = model.wanted();
    model
        .sets
        .iter()
        .filter(|set| set.replicas > 0)
        .any(|set| set.number(DESIRED_REPLICAS).is_some_and(|desired| desired != wanted))
}

/// Shares the size out without rolling on.
fn scale_only(model: &mut Model) {
    revision::number_newest(model);
    scaling::scale(model);
    model.write_sets();
    if model.spec().paused == Some(true) {
        history::forget(model);
    }
    status::write(model, false);
}

fn finish(model: &mut Model) {
    model.write_sets();
    if status::is_complete(model) {
        history::forget(model);
    }
    status::write(model, true);
}
