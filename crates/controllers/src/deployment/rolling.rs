//! Replacing pods step by step, within the bounds of surge and unavailability.

use super::model::{Model, Set};
use super::plan::View;
use super::revision;

/// Rolls one step on.
pub fn roll(model: &mut Model, view: &View) {
    if !revision::ensure_newest(model, view) {
        return;
    }
    if !size_newest(model) {
        shrink_old(model);
    }
}

/// How many pods the newest set may have now.
pub fn size_of_newest(model: &Model) -> i32 {
    let current = model.newest().map_or(0, |set| set.replicas);
    if !model.is_rolling() {
        return model.wanted();
    }
    let limit = model.wanted() + model.max_surge();
    let total = model.total();
    if total >= limit { current } else { current + (limit - total).min(model.wanted() - current) }
}

/// Sizes the newest set. Answers with whether that changes it.
fn size_newest(model: &mut Model) -> bool {
    let Some(index) = model.newest else { return false };
    let (current, wanted) = (model.sets[index].replicas, model.wanted());
    match current.cmp(&wanted) {
        std::cmp::Ordering::Equal => false,
        std::cmp::Ordering::Greater => model.scale(index, wanted),
        std::cmp::Ordering::Less => {
            let size = size_of_newest(model);
            model.scale(index, size)
        }
    }
}

/// Takes pods from old sets, as many as can be spared.
fn shrink_old(model: &mut Model) {
    let old = model.active_old();
    if old.is_empty() {
        return;
    }
    let least_available = model.wanted() - model.max_unavailable();
    let newest_unavailable = model.newest().map_or(0, |set| set.replicas - set.serving());
    let spare = model.total() - least_available - newest_unavailable;
    if spare <= 0 {
        model.plan.because("waits for new pods to become available before it takes old ones away");
        return;
    }
    remove_unhealthy(model, &old, spare);
    remove_available(model, &old, least_available);
}

/// Old pods that serve nobody go first.
fn remove_unhealthy(model: &mut Model, old: &[usize], at_most: i32) {
    let mut removed = 0;
    for index in old {
        let set = &model.sets[*index];
        let unhealthy = set.replicas - set.serving();
        if removed >= at_most {
            return;
        }
        if set.replicas == 0 || unhealthy <= 0 {
            continue;
        }
        let count = unhealthy.min(at_most - removed);
        model.scale(*index, set.replicas - count);
        removed += count;
    }
}

/// Then those that serve, while enough remain.
fn remove_available(model: &mut Model, old: &[usize], least_available: i32) {
    // A set that was told to have fewer pods, and then more again, may still tell of those it gave up.
    if model.sets.iter().any(|set| set.status.observed_generation < set.generation) {
        model.plan.because("waits until its sets have told what became of their pods");
        return;
    }
    let available: i32 = model.sets.iter().map(Set::serving).sum();
    let spare = available - least_available;
    let mut removed = 0;
    for index in old {
        let replicas = model.sets[*index].replicas;
        if removed >= spare {
            return;
        }
        if replicas == 0 {
            continue;
        }
        let count = replicas.min(spare - removed);
        model.scale(*index, replicas - count);
        removed += count;
    }
}
