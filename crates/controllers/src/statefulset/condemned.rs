//! Removing the pods whose ordinals are not wanted any more, the highest first.

use super::model::Model;
use super::storage;
use crate::pod::Pod;

/// Removes pods. `false` if what follows has to wait for that.
pub fn settle(model: &mut Model<'_>) -> bool {
    let condemned = model.condemned.clone();
    let claims: Vec<_> = condemned
        .iter()
        .flat_map(|(ordinal, pod)| storage::keep_policy(model, *ordinal, Some(pod), true))
        .collect();
    model.plan.push_together(claims);
    if model.is_ordered() { in_order(model, &condemned) } else { at_once(model, &condemned) }
}

fn in_order(model: &mut Model<'_>, condemned: &[(i32, Pod)]) -> bool {
    let Some((_, pod)) = condemned.first() else { return true };
    let lowest_unhealthy = condemned.iter().rev().find(|(_, pod)| !model.is_serving(pod));
    let is_lowest_unhealthy = lowest_unhealthy.is_some_and(|(_, lowest)| std::sync::Arc::ptr_eq(lowest, pod));
    let why = match model.unsettled(pod) {
        Some(why) if pod.facts.deletion.is_some() => why,
        // A set that is not well loses no pods but, of those that are not well, the last.
        Some(why) if !is_lowest_unhealthy => why,
        _ => {
            model.plan.push(model.removal(pod));
            format!("{} is one too many; removes it", pod.object.header().name)
        }
    };
    model.plan.because(why);
    false
}

fn at_once(model: &mut Model<'_>, condemned: &[(i32, Pod)]) -> bool {
    let going: Vec<_> = condemned.iter().filter(|(_, pod)| pod.facts.deletion.is_none()).collect();
    if !going.is_empty() {
        model.plan.because(format!("{} pods are too many; removes them", going.len()));
        let ops = going.into_iter().map(|(_, pod)| model.removal(pod)).collect();
        model.plan.push_together(ops);
    }
    true
}
