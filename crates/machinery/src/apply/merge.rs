//! Merging what a client wants into an object.

use std::collections::HashMap;

use smol_str::SmolStr;

use super::form::{Form, Items, Lookup, Place, items, members};
use crate::Value;
use crate::schema::TypeRef;
use crate::value::Map;

/// The object with what is wanted in it.
pub(super) fn merge(live: &Value, config: &Value, ty: TypeRef<'_>) -> Value {
    merge_values(Some(live), Some(config), Place::of(ty))
}

fn merge_values(live: Option<&Value>, config: Option<&Value>, place: Place<'_>) -> Value {
    let (Some(before), Some(wanted)) = (live, config) else {
        return config.or(live).cloned().unwrap_or_default();
    };
    match place.form(wanted) {
        Form::Members(inner) => {
            let (Some(ours), Some(theirs)) = (members(live), members(config)) else {
                return if members(config).is_some() || members(live).is_none() { wanted } else { before }
                    .clone();
            };
            Value::Object(merge_members(ours, theirs, inner))
        }
        Form::Items(list) => {
            let (ours, theirs) = (items(live), items(config));
            if ours.is_empty() || theirs.is_empty() {
                return if theirs.is_empty() && !ours.is_empty() { before } else { wanted }.clone();
            }
            Value::from(merge_items(ours, theirs, list))
        }
        // A structure that is null where it is wanted is not removed: nothing is wanted of it.
        Form::Leaf if wanted.is_null() && matches!(place.form(before), Form::Members(_) | Form::Items(_)) => {
            before.clone()
        }
        Form::Leaf => wanted.clone(),
    }
}

fn merge_members(ours: &Map, theirs: &Map, place: Place<'_>) -> Map {
    let (in_ours, in_theirs) = (Lookup::new(Some(ours)), Lookup::new(Some(theirs)));
    let mut merged = Vec::with_capacity(ours.len().max(theirs.len()));
    for (name, value) in ours.iter() {
        merged.push((name.clone(), merge_values(Some(value), in_theirs.get(name), place.member(name))));
    }
    for (name, value) in theirs.iter().filter(|(name, _)| in_ours.get(name).is_none()) {
        merged.push((name.clone(), value.clone()));
    }
    Map::from_entries(merged)
}

/// Merges lists item by item. Items that are wanted come in the order they are wanted in; others keep their places between
/// them.
fn merge_items(ours: &[Value], theirs: &[Value], list: Items<'_>) -> Vec<Value> {
    let steps = |items: &[Value]| -> Vec<Option<SmolStr>> {
        items.iter().map(|item| list.element(item).ok()).collect()
    };
    let (our_steps, their_steps) = (steps(ours), steps(theirs));
    // Which of our items a step means; none if several have it.
    let mut by_step: HashMap<&SmolStr, Option<usize>> = HashMap::new();
    for (position, step) in our_steps.iter().enumerate() {
        if let Some(step) = step {
            by_step.entry(step).and_modify(|found| *found = None).or_insert(Some(position));
        }
    }
    let wanted: HashMap<&SmolStr, usize> = their_steps
        .iter()
        .enumerate()
        .filter_map(|(position, step)| Some((step.as_ref()?, position)))
        .collect();
    let mut shared = their_steps.iter().flatten().filter(|step| by_step.contains_key(step)).peekable();
    let mut merged = Vec::with_capacity(ours.len().max(theirs.len()));
    let mut done = vec![false; theirs.len()];
    let (mut left, mut right) = (0, 0);
    while left < ours.len() || right < theirs.len() {
        let step = our_steps.get(left).and_then(Option::as_ref);
        let wanted_at = step.and_then(|step| wanted.get(step).copied());
        let is_next = right < theirs.len() && wanted_at == Some(right);
        if left < ours.len() && !is_next {
            match wanted_at {
                // Ours alone: it stays where it is.
                None => {
                    merged.push(ours[left].clone());
                    left += 1;
                    continue;
                }
                Some(at) if done[at] => {
                    left += 1;
                    continue;
                }
                // Wanted, but another shared item is wanted before it.
                Some(_) if right < theirs.len() && shared.peek().is_some_and(|next| Some(*next) != step) => {
                    left += 1;
                    continue;
                }
                Some(_) => {}
            }
        }
        if right < theirs.len() {
            let step = their_steps[right].as_ref();
            let ours_at = step.and_then(|step| by_step.get(step).copied().flatten());
            merged.push(merge_values(ours_at.map(|at| &ours[at]), Some(&theirs[right]), list.item));
            done[right] = true;
            if step.is_some() && shared.peek().copied() == step {
                shared.next();
            }
            left += usize::from(is_next);
            right += 1;
        } else {
            left += 1;
        }
    }
    merged
}
