//! The usual update: somebody changes values of fields that they manage already (a lease is renewed, a status changes).
//! Nothing but a time is new then, which can be seen without making sets of all that is managed.

use super::managers::order;
use super::{Set, Write, changes_of, unmanaged};
use crate::Value;

/// The `managedFields` after such an update; `None` if this is none, or if it cannot be told so easily.
pub(super) fn track(live: &Value, new: &Value, write: Write<'_>) -> Option<Value> {
    let before = live.at(&["metadata", "managedFields"]);
    let sent = new.at(&["metadata", "managedFields"]);
    let counts = !write.subresource.is_empty() || sent.is_empty() || sent == before;
    let entries = before.items();
    if entries.is_empty() || !counts || !entries.iter().all(is_plain) {
        return None;
    }
    let changes = changes_of(live, new, write);
    if !changes.added.is_empty() || !changes.removed.is_empty() {
        return None;
    }
    let mut modified = changes.modified;
    let in_this_version = |entry: &&Value| entry.get("apiVersion").as_str() == Some(write.api_version);
    let own = entries.iter().position(|entry| is_own(entry, write))?;
    for (position, other) in entries.iter().enumerate() {
        if position != own && in_this_version(&other) && touches(other.get("fieldsV1"), &modified) {
            return None;
        }
    }
    modified.subtract(&unmanaged());
    if !covers(entries[own].get("fieldsV1"), &modified) {
        return None;
    }
    let mut fields = entries.to_vec();
    if !modified.is_empty() {
        fields[own].set("time", write.time);
    }
    if !fields.is_sorted_by(|a, b| order(a) <= order(b)) {
        fields.sort_by(|a, b| order(a).cmp(&order(b)));
    }
    Some(Value::Array(fields))
}

/// Whether the entry is of a form that is always written as it was read.
fn is_plain(entry: &Value) -> bool {
    matches!(entry.get("operation").as_str(), Some("Apply" | "Update"))
        && entry.get("fieldsType").as_str() == Some("FieldsV1")
        && entry.get("time").as_str().is_some()
        && entry.get("fieldsV1").as_object().is_some_and(|fields| !fields.is_empty())
}

fn is_own(entry: &Value, write: Write<'_>) -> bool {
    entry.get("operation").as_str() == Some("Update")
        && entry.get("manager").str_or_empty() == write.manager
        && entry.get("apiVersion").str_or_empty() == write.api_version
        && entry.get("subresource").str_or_empty() == write.subresource
}

/// Whether the field at a step is in the set that a `fieldsV1` describes.
fn is_member(below: &Value) -> bool {
    below.as_object().is_some_and(|below| below.is_empty() || below.contains_key("."))
}

/// Whether a `fieldsV1` has all of a set.
fn covers(fields: &Value, set: &Set) -> bool {
    set.iter().all(|(step, node)| {
        let below = fields.get(step);
        (!node.member || is_member(below)) && (node.below.is_empty() || covers(below, &node.below))
    })
}

/// Whether a `fieldsV1` has any of a set.
fn touches(fields: &Value, set: &Set) -> bool {
    set.iter().any(|(step, node)| {
        let below = fields.get(step);
        !below.is_null() && (node.member && is_member(below) || touches(below, &node.below))
    })
}
