//! The usual update: somebody changes values of fields that they manage already (a lease is renewed), or sets fields that
//! nobody manages yet (a status comes to be). No other manager loses anything then, which can be seen without making sets
//! of all that is managed.

use super::managers::{Entry, Operation, order};
use super::{MAX_UPDATERS, Set, Write, changes_of, unmanaged};
use crate::Value;

/// The `managedFields` after such an update; `None` if this is none, or if it cannot be told so easily.
pub(super) fn track(live: &Value, new: &Value, write: Write<'_>) -> Option<Value> {
    let before = live.at(&["metadata", "managedFields"]);
    let sent = new.at(&["metadata", "managedFields"]);
    let counts = !write.subresource.is_empty() || sent.is_empty() || sent == before;
    let entries = before.items();
    if entries.is_empty() || entries.len() >= MAX_UPDATERS || !counts || !entries.iter().all(is_plain) {
        return None;
    }
    let changes = changes_of(live, new, write);
    let own = entries.iter().position(|entry| is_own(entry, write));
    for (position, entry) in entries.iter().enumerate() {
        if entry.get("apiVersion").as_str() != Some(write.api_version) {
            continue;
        }
        let fields = entry.get("fieldsV1");
        let is_taken = || touches(fields, &changes.modified) || touches(fields, &changes.added);
        if touches(fields, &changes.removed) || (Some(position) != own && is_taken()) {
            return None;
        }
    }
    let mut set = changes.added;
    set.unite(&changes.modified);
    set.subtract(&unmanaged());
    let mut fields = entries.to_vec();
    if !set.is_empty() {
        match own {
            Some(own) => come_to_manage(&mut fields[own], &set, write)?,
            None => fields.push(newcomer(set, write)),
        }
    }
    if !fields.is_sorted_by(|a, b| order(a) <= order(b)) {
        fields.sort_by(|a, b| order(a).cmp(&order(b)));
    }
    Some(Value::from(fields))
}

/// The entry of who manages nothing so far.
fn newcomer(set: Set, write: Write<'_>) -> Value {
    let mut entry = Entry::new(write, Operation::Update);
    entry.time = Some(write.time.into());
    entry.with_fields(set.to_value())
}

/// Notes in an entry that its manager set these fields now.
fn come_to_manage(entry: &mut Value, set: &Set, write: Write<'_>) -> Option<()> {
    if !covers(entry.get("fieldsV1"), set) {
        let mut all = Set::from_value(entry.get("fieldsV1"))?;
        all.unite(set);
        entry.set("fieldsV1", all.to_value());
    }
    entry.set("time", write.time);
    Some(())
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
