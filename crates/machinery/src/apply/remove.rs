//! Removing what a client wanted before and wants no more.

use super::compare::field_set;
use super::element;
use super::form::{Form, Place};
use super::set::{Node, Set};
use crate::Value;
use crate::schema::TypeRef;
use crate::value::Map;

/// Removes from a merged document what its applier owned `before`, unless somebody owns it now (`owned` has what all
/// managers own, the applier with its new wishes among them).
pub(super) fn prune(merged: Value, before: &Set, owned: &Set, ty: TypeRef<'_>) -> Value {
    let place = Place::of(ty);
    let before = with_parents(before, place);
    let owned = with_parents(owned, place);
    let everything = with_parents(&field_set(&merged, ty), place);
    // What would be left if all that was owned before went.
    let left = with_parents(&field_set(&remove(merged.clone(), &before, place), ty), place);
    // Of what would go, what nobody owns…
    let mut gone = everything;
    gone.subtract(&left);
    gone.subtract(&owned);
    // …and the applier really owned: what lies below it is somebody else's wish.
    remove(merged, &gone.intersect(&before), place)
}

/// The set, with the fields that lead to its fields added, where they are fields of structures.
fn with_parents(set: &Set, place: Place<'_>) -> Set {
    let mut all = Set::default();
    for (step, node) in set.iter() {
        let name = step.strip_prefix("f:");
        let inner = match name {
            Some(name) => place.member(name),
            None => match place.form(&Value::Null) {
                Form::Items(list) => list.item,
                _ => Place::default(),
            },
        };
        let is_parent = !node.below.is_empty() && name.is_some_and(|name| place.declares(name));
        let below = with_parents(&node.below, inner);
        all.put(|| step.clone(), Node { member: node.member || is_parent, below });
    }
    all
}

/// Removes fields and items. What is empty after that becomes null.
fn remove(value: Value, set: &Set, place: Place<'_>) -> Value {
    if set.is_empty() {
        return value;
    }
    match (place.form(&value), value) {
        (Form::Members(inner), Value::Object(map)) if !map.is_empty() => {
            let mut kept = Vec::with_capacity(map.len());
            for (name, member) in map.into_entries() {
                match set.get(&element::field(&name)) {
                    Some(node) if node.member => {}
                    Some(node) => {
                        let member = remove(member, &node.below, inner.member(&name));
                        kept.push((name, member));
                    }
                    None => kept.push((name, member)),
                }
            }
            if kept.is_empty() { Value::Null } else { Value::Object(Map::from_entries(kept)) }
        }
        (Form::Items(list), Value::Array(items)) if !items.is_empty() => {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                match list.element(&item).ok().and_then(|step| set.get(&step)) {
                    Some(node) if node.member => {}
                    Some(node) => kept.push(remove(item, &node.below, list.item)),
                    None => kept.push(item),
                }
            }
            if kept.is_empty() { Value::Null } else { Value::from(kept) }
        }
        (_, value) => value,
    }
}
