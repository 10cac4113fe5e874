//! A changed size, shared out among the sets in proportion to theirs.

use std::cmp::Reverse;

use super::model::{DESIRED_REPLICAS, MAX_REPLICAS, Model};

/// Brings the sets to the Deployment's size.
pub fn scale(model: &mut Model) {
    if let Some(index) = active_or_latest(model) {
        let wanted = model.wanted();
        model.scale(index, wanted);
        return;
    }
    if is_saturated(model) {
        for index in model.active_old() {
            model.scale(index, 0);
        }
        return;
    }
    if model.is_rolling() {
        share_out(model);
    }
}

/// The only set with pods or, if none has any, the newest; `None` if several have.
fn active_or_latest(model: &Model) -> Option<usize> {
    let mut active = (0..model.sets.len()).filter(|index| model.sets[*index].replicas > 0);
    match (active.next(), active.next()) {
        (Some(only), None) => Some(only),
        (Some(_), Some(_)) => None,
        (None, _) => model.newest.or_else(|| model.old().last().copied()),
    }
}

/// Whether the newest set already is all that is wanted.
fn is_saturated(model: &Model) -> bool {
    let wanted = model.wanted();
    model.newest().is_some_and(|set| {
        set.replicas == wanted
            && set.number(DESIRED_REPLICAS) == Some(wanted)
            && set.status.available == wanted
    })
}

fn share_out(model: &mut Model) {
    let mut active: Vec<usize> =
        (0..model.sets.len()).filter(|index| model.sets[*index].replicas > 0).collect();
    let wanted = model.wanted();
    let allowed = if wanted > 0 { wanted + model.max_surge() } else { 0 };
    let to_add = allowed - model.total();
    // The largest first; of equals the newer grows and the older shrinks.
    active.sort_by_key(|index| Reverse(model.sets[*index].replicas));
    if to_add > 0 {
        active.sort_by_key(|index| (Reverse(model.sets[*index].replicas), Reverse(*index)));
    }
    let mut added = 0;
    let mut sizes = Vec::new();
    for index in active {
        let share = if to_add == 0 { 0 } else { proportion(model, index, to_add, added) };
        added += share;
        sizes.push((index, model.sets[index].replicas + share));
    }
    if let Some((_, size)) = sizes.first_mut()
        && to_add != 0
    {
        *size = (*size + to_add - added).max(0);
    }
    if to_add < 0 {
        spare_available(model, &mut sizes);
    }
    for (index, size) in sizes {
        model.resize(index, size);
    }
}

/// Fewer pods are wanted in the middle of a rollout: if too few that serve were left, others go in their place, of
/// whatever set. (Upstream looks at proportions only.)
fn spare_available(model: &Model, sizes: &mut [(usize, i32)]) {
    let serving = |(index, size): &(usize, i32)| model.sets[*index].serving().min(*size);
    let least = model.wanted() - model.max_unavailable();
    let mut missing = least - sizes.iter().map(serving).sum::<i32>();
    for giver in 0..sizes.len() {
        for taker in 0..sizes.len() {
            let idle = sizes[giver].1 - serving(&sizes[giver]);
            let lost = model.sets[sizes[taker].0].serving() - sizes[taker].1;
            let moved = missing.min(idle).min(lost).max(0);
            sizes[giver].1 -= moved;
            sizes[taker].1 += moved;
            missing -= moved;
        }
    }
}

/// A set's share of what is to be added or, if that is negative, taken away.
fn proportion(model: &Model, index: usize, to_add: i32, added: i32) -> i32 {
    if model.sets[index].replicas == 0 || to_add == added {
        return 0;
    }
    let (share, allowed) = (fraction(model, index), to_add - added);
    if to_add > 0 { share.min(allowed) } else { share.max(allowed) }
}

fn fraction(model: &Model, index: usize) -> i32 {
    let set = &model.sets[index];
    if model.wanted() == 0 {
        return -set.replicas;
    }
    let before = set.number(MAX_REPLICAS).filter(|number| *number != 0).unwrap_or(model.draft.seen.replicas);
    if before == 0 {
        return 0;
    }
    let limit = model.wanted() + model.max_surge();
    let size = f64::from(set.replicas) * f64::from(limit) / f64::from(before);
    size.round() as i32 - set.replicas
}
