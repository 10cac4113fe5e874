//! RFC 7386 merge patches.

use std::collections::BTreeMap;

use super::read_object;
use crate::json::Report;
use crate::value::{Map, Name};
use crate::{Status, Value};

/// From this many members on, a map is searched by an index instead of one by one.
pub(super) const INDEXED: usize = 64;

/// Applies a merge patch. Duplicates in the patch are told to `report`.
pub fn merge(document: Value, patch: &[u8], report: &mut Report) -> Result<Value, Status> {
    let patch = read_object(patch, report)?;
    if patch.is_null() {
        return Err(Status::bad_request("Invalid JSON Patch"));
    }
    Ok(merge_values(document, patch))
}

/// Applies a merge patch that was read already. Members of what it touches are sorted.
pub fn merge_values(document: Value, patch: Value) -> Value {
    match (document, patch) {
        (Value::Object(document), Value::Object(patch)) => Value::Object(merge_maps(document, patch)),
        (_, patch) => without_nulls(patch),
    }
}

fn merge_maps(mut document: Map, patch: Map) -> Map {
    if patch.len() > INDEXED {
        let mut members: BTreeMap<Name, Value> = document.into_entries().into_iter().collect();
        for (name, change) in patch.into_entries() {
            if change.is_null() {
                members.remove(name.as_str());
            } else {
                let before = members.remove(name.as_str()).unwrap_or_default();
                members.insert(name, merge_values(before, change));
            }
        }
        return Map::from_entries(members);
    }
    for (name, change) in patch.into_entries() {
        if change.is_null() {
            document.remove(&name);
        } else {
            let before = document.get_mut(&name).map(std::mem::take).unwrap_or_default();
            document.insert(name, merge_values(before, change));
        }
    }
    document.sort();
    document
}

/// What a patch adds where nothing was, without the nulls that would remove something.
fn without_nulls(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => map.retain(|_, member| {
            *member = without_nulls(std::mem::take(member));
            !member.is_null()
        }),
        Value::Array(items) => {
            for item in items {
                *item = without_nulls(std::mem::take(item));
            }
        }
        _ => {}
    }
    value
}
