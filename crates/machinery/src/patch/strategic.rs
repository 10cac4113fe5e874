//! Strategic merge patches: merge patches that know the kind. Lists are merged item by item where the schema says so,
//! and directives (`$patch`, `$retainKeys`, `$setElementOrder/…`, `$deleteFromPrimitiveList/…`) say what a plain
//! document cannot.

mod order;

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::merge::INDEXED;
use super::{go_format, read_object};
use crate::json::Report;
use crate::schema::{FieldRef, Shape, TypeRef};
use crate::value::{Map, Name};
use crate::{Reason, Status, Value};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";

/// Applies a strategic merge patch to a document of this type. Duplicates in the patch are told to `report`. Answers the
/// patched document and the patch, which [`super::settle`] wants to show.
pub fn strategic(
    document: Value,
    patch: &[u8],
    ty: TypeRef<'_>,
    report: &mut Report,
) -> Result<(Value, Value), Status> {
    let patch = read_object(patch, report)?;
    let patched = strategic_values(document, patch.clone(), ty)?;
    Ok((patched, patch))
}

/// Applies a strategic merge patch that was read already.
pub fn strategic_values(document: Value, patch: Value, ty: TypeRef<'_>) -> Result<Value, Status> {
    let document = if let Value::Object(map) = document { map } else { Map::new() };
    let Value::Object(patch) = patch else { return Ok(Value::Object(document)) };
    merge_maps(document, patch, Some(ty)).map(Value::Object)
}

/// How a member is merged, as the schema says.
#[derive(Clone, Copy)]
struct Strategy<'t> {
    /// The type of the member's value, where it is known.
    ty: Option<TypeRef<'t>>,
    /// Lists are merged.
    merge: bool,
    /// Structures are replaced.
    replace: bool,
    /// What tells items apart; empty for scalars.
    key: &'t str,
}

impl<'t> Strategy<'t> {
    fn of(ty: Option<TypeRef<'t>>, name: &str) -> Strategy<'t> {
        let unknown = |ty| Strategy { ty, merge: false, replace: false, key: "" };
        let Some(ty) = ty else { return unknown(None) };
        match ty.field(name).map(FieldRef::get) {
            Some(field) => Strategy {
                ty: Some(ty.types().get(field.type_id)),
                merge: field.patch.merge,
                replace: field.patch.replace,
                key: &field.patch.key,
            },
            None => unknown(if matches!(ty.shape(), Shape::Map(_)) { ty.item() } else { None }),
        }
    }

    fn item(self) -> Option<TypeRef<'t>> {
        self.ty.and_then(TypeRef::item)
    }
}

fn merge_maps(mut document: Map, mut patch: Map, ty: Option<TypeRef<'_>>) -> Result<Map, Status> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Map::new()),
            _ => {
                patch.insert(DIRECTIVE, directive.clone());
                Err(bad_directive(&directive, patch))
            }
        };
    }
    retain_keys(&mut document, &mut patch)?;
    let ordered: Vec<Name> = patch.keys().filter(|name| name.starts_with(SET_ORDER)).cloned().collect();
    for directive in ordered {
        order::set_element_order(&mut document, &mut patch, &directive, ty)?;
    }
    if patch.len() > INDEXED {
        let mut members: BTreeMap<Name, Value> = document.into_entries().into_iter().collect();
        for (name, change) in patch.into_entries() {
            let (name, removal) = member_name(name)?;
            let before = members.remove(name.as_str());
            if let Some(merged) = merge_member(before, change, Strategy::of(ty, &name), removal)? {
                members.insert(name, merged);
            }
        }
        return Ok(Map::from_entries(members));
    }
    for (name, change) in patch.into_entries() {
        let (name, removal) = member_name(name)?;
        let before = document.get_mut(&name).map(std::mem::take);
        match merge_member(before, change, Strategy::of(ty, &name), removal)? {
            Some(merged) => document.insert(name, merged),
            None => document.remove(&name),
        };
    }
    Ok(document)
}

/// The member that a member of a patch is about, and whether it lists what is to be removed from it.
fn member_name(name: Name) -> Result<(Name, bool), Status> {
    if name.starts_with(DELETE_FROM) {
        Ok((list_name(&name, DELETE_FROM)?.into(), true))
    } else {
        Ok((name, false))
    }
}

/// What becomes of a member; `None` if it goes.
fn merge_member(
    before: Option<Value>,
    change: Value,
    strategy: Strategy<'_>,
    removal: bool,
) -> Result<Option<Value>, Status> {
    if change.is_null() {
        return Ok(None);
    }
    Ok(match (before, change) {
        (Some(Value::Object(before)), Value::Object(change)) if !strategy.replace => {
            Some(Value::Object(merge_maps(before, change, strategy.ty)?))
        }
        (Some(Value::Object(_)), change @ Value::Object(_)) => Some(change),
        (Some(Value::Array(before)), Value::Array(change)) => {
            Some(Value::from(merge_lists(before.into_vec(), change.into_vec(), strategy, removal)?))
        }
        // There is nothing to take away from.
        (before, _) if removal => before,
        (_, mut change) => {
            discard_nulls(&mut change);
            without_directives(change)
        }
    })
}

/// Merges two lists, or replaces the one by the other where they are not to be merged.
fn merge_lists(
    before: Vec<Value>,
    change: Vec<Value>,
    strategy: Strategy<'_>,
    removal: bool,
) -> Result<Vec<Value>, Status> {
    if !strategy.merge && !removal {
        return Ok(change);
    }
    if before.is_empty() && change.is_empty() {
        return Ok(before);
    }
    if !are_objects(&before, &change)? {
        if removal {
            return Ok(before.into_iter().filter(|item| !change.contains(item)).collect());
        }
        let mut merged: Vec<Value> = Vec::with_capacity(before.len() + change.len());
        for item in before.iter().chain(&change) {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return order::arrange(merged, &change, &before, "");
    }
    if strategy.key.is_empty() {
        let name = strategy.item().map(TypeRef::go_type).unwrap_or_default();
        return Err(failure(format!("cannot merge lists without merge key for {name}")));
    }
    let (before, change) = special_items(before, change, strategy.key)?;
    let mut merged = before.clone();
    for item in &change {
        let key = key_of(item, strategy.key)?;
        match merged.iter_mut().find(|candidate| candidate.get(strategy.key) == key) {
            Some(slot) => {
                let patched = strategic_item(std::mem::take(slot), item.clone(), strategy.item())?;
                *slot = patched;
            }
            None => merged.push(item.clone()),
        }
    }
    order::arrange(merged, &change, &before, strategy.key)
}

fn strategic_item(before: Value, change: Value, ty: Option<TypeRef<'_>>) -> Result<Value, Status> {
    match (before, change) {
        (Value::Object(before), Value::Object(change)) => Ok(Value::Object(merge_maps(before, change, ty)?)),
        (_, change) => Ok(change),
    }
}

/// Follows the directives among the items of a patch's list. Answers what is left of both lists.
fn special_items(
    mut before: Vec<Value>,
    change: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>), Status> {
    let mut plain = Vec::with_capacity(change.len());
    let mut replace = false;
    for item in change {
        let directive = item.get(DIRECTIVE).clone();
        match directive.as_str() {
            None if directive.is_null() => plain.push(item),
            Some("delete") => {
                let value = key_of(&item, key)?;
                before.retain(|candidate| candidate.get(key) != value);
            }
            Some("replace") => replace = true,
            Some("merge") => {
                return Err(failure("merging lists cannot yet be specified in the patch".to_owned()));
            }
            _ => {
                let map = item.as_object().cloned().unwrap_or_default();
                return Err(bad_directive(&directive, map));
            }
        }
    }
    Ok(if replace { (plain, Vec::new()) } else { (before, plain) })
}

/// Removes what `$retainKeys` does not name.
fn retain_keys(document: &mut Map, patch: &mut Map) -> Result<(), Status> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let bad = || Status::bad_request("invalid patch format of retainKeys");
    let Value::Array(names) = directive else { return Err(bad()) };
    let is_kept = |name: &str| names.iter().any(|kept| kept.as_str() == Some(name));
    let stray = patch.iter().any(|(name, value)| {
        !value.is_null() && !name.starts_with(DELETE_FROM) && !name.starts_with(SET_ORDER) && !is_kept(name)
    });
    if stray {
        return Err(bad());
    }
    document.retain(|name, _| is_kept(name));
    Ok(())
}

/// The list that a directive such as `$setElementOrder/containers` is about.
fn list_name(directive: &str, prefix: &str) -> Result<SmolStr, Status> {
    match directive.split_once('/') {
        Some((before, name)) if before == prefix => Ok(SmolStr::new(name)),
        _ if prefix == DELETE_FROM => Err(Status::bad_request("invalid patch format of primitive list")),
        _ => Err(Status::bad_request("invalid patch format of setElementOrder list")),
    }
}

/// Whether the items of both lists are objects. They must be all of one type, and no lists.
fn are_objects(a: &[Value], b: &[Value]) -> Result<bool, Status> {
    let mut items = a.iter().chain(b);
    let Some(first) = items.next() else {
        return Err(failure("no elements in any of the given slices".to_owned()));
    };
    if matches!(first, Value::Array(_)) {
        let message = "lists of lists are not supported";
        return Err(Status::new(422, Reason::Invalid, message));
    }
    if items.any(|item| std::mem::discriminant(item) != std::mem::discriminant(first)) {
        let lists = [a, b].map(|list| go_format(&Value::from(list.to_vec()))).join(" ");
        return Err(failure(format!("list element types are not identical: [{lists}]")));
    }
    Ok(matches!(first, Value::Object(_)))
}

fn key_of<'v>(item: &'v Value, key: &str) -> Result<&'v Value, Status> {
    match item.as_object().and_then(|map| map.get(key)) {
        Some(value) => Ok(value),
        None => {
            let item = go_format(item);
            Err(failure(format!("map: {item} does not contain declared merge key: {key}")))
        }
    }
}

/// What a patch adds where nothing was: without nulls.
fn discard_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|_, member| {
            discard_nulls(member);
            !member.is_null()
        }),
        Value::Array(items) => items.iter_mut().for_each(discard_nulls),
        _ => {}
    }
}

/// What a patch adds where nothing was: without what carries a directive. `None` if that is all of it.
fn without_directives(mut value: Value) -> Option<Value> {
    match &mut value {
        Value::Object(map) => {
            if map.contains_key(DIRECTIVE) {
                return None;
            }
            map.retain(|_, member| match without_directives(std::mem::take(member)) {
                Some(kept) => {
                    *member = kept;
                    true
                }
                None => false,
            });
        }
        Value::Array(items) => {
            *items = std::mem::take(items).into_iter().filter_map(without_directives).collect();
        }
        _ => {}
    }
    Some(value)
}

fn bad_directive(directive: &Value, patch: Map) -> Status {
    let patch = go_format(&Value::Object(patch));
    failure(format!("unknown patch type: {} in map: {patch}", go_format(directive)))
}

/// 500 with nothing but a message: upstream does not know these for the client's fault.
fn failure(message: String) -> Status {
    Status::new(500, Reason::Unknown, message)
}
