//! Old sets are kept so that one can go back to them, but not for ever.

use client::plan::Op;
use client::{Key, resources};

use super::model::Model;

/// Removes the oldest sets without pods beyond the limit.
pub fn forget(model: &mut Model) {
    let Some(limit) = model.spec().revision_history_limit.filter(|limit| *limit != i32::MAX) else { return };
    let mut old: Vec<usize> = model.old().into_iter().filter(|index| !model.sets[*index].deleting).collect();
    let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    old.sort_by_key(|index| model.sets[*index].revision());
    for index in old.into_iter().take(surplus) {
        let set = &model.sets[index];
        let is_empty = set.replicas == 0 && set.status.replicas == 0;
        if !is_empty || set.generation > set.status.observed_generation {
            continue;
        }
        let key = Key::new(&model.object.header().namespace, &set.name);
        let op = Op::delete(resources::REPLICA_SETS, &key, &set.uid);
        model.plan.because(format!("replica set {} is beyond the history limit of {limit}", set.name));
        model.plan.push(op);
    }
}
