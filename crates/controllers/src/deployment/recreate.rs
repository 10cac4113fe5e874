//! Replacing pods all at once: the old ones go, and when they are gone the new ones come.

use super::model::{Model, Set};
use super::plan::View;
use super::revision;

/// Goes one step on.
pub fn recreate(model: &mut Model, view: &View) {
    revision::number_newest(model);
    let mut is_shrinking = false;
    for index in model.active_old() {
        is_shrinking |= model.scale(index, 0);
    }
    if is_shrinking {
        return;
    }
    if has_old_pods(model, view) {
        model.plan.because("waits until all old pods are gone");
        return;
    }
    if model.newest.is_none() && !revision::ensure_newest(model, view) {
        return;
    }
    if let Some(index) = model.newest {
        let wanted = model.wanted();
        model.scale(index, wanted);
    }
}

fn has_old_pods(model: &Model, view: &View) -> bool {
    let has_pods = |set: &Set| set.status.replicas > 0 || view.living.contains(&set.uid);
    model.old().into_iter().any(|index| has_pods(&model.sets[index]))
}
