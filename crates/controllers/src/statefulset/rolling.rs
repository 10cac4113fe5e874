//! Replacing pods of older revisions, the highest ordinal first, while enough others serve.

use super::identity::revision_of;
use super::model::Model;
use crate::scaled::{Rounding, scaled};

/// How many pods may be unavailable: at least one, or nothing would ever move.
fn max_unavailable(model: &Model<'_>) -> i32 {
    let strategy = model.spec.update_strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let given = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
    given.and_then(|given| scaled(given, model.wanted(), Rounding::Down)).unwrap_or(1).max(1)
}

/// Rolls one step on. Answers with how many pods of the current revision it removes.
pub fn roll(model: &mut Model<'_>) -> i32 {
    if !model.is_rolling() {
        return 0;
    }
    let serving = model.pods.values().filter(|pod| model.is_serving(pod)).count();
    let unavailable = i64::from(model.wanted()) - i64::try_from(serving).unwrap_or(i64::MAX);
    let mut spare = i64::from(max_unavailable(model)) - unavailable;
    let mut removed = Vec::new();
    let mut waits = false;
    for (ordinal, pod) in model.pods.iter().rev() {
        let is_old = revision_of(pod) != model.newest.0.name;
        if model.is_kept_back(*ordinal) {
            break;
        }
        if !is_old || pod.facts.deletion.is_some() {
            continue;
        }
        // One that serves nobody can be replaced whenever its turn comes, or a broken template could not be left.
        if !model.is_serving(pod) {
            removed.push(pod.clone());
        } else if spare > 0 {
            spare -= 1;
            removed.push(pod.clone());
        } else {
            waits = true;
        }
    }
    if waits && removed.is_empty() {
        model.plan.because("waits for new pods to become available before it replaces others");
    }
    let of_current = removed.iter().filter(|pod| revision_of(pod) == model.current.0.name).count();
    for pod in &removed {
        let name = &pod.object.header().name;
        model.plan.because(format!("{name} is of an older revision; replaces it"));
    }
    let ops = removed.iter().map(|pod| model.removal(pod)).collect();
    model.plan.push_together(ops);
    i32::try_from(of_current).unwrap_or(i32::MAX)
}
