//! The usual create: all that a new object has beyond what an empty one of its kind has belongs to whoever made it. It is
//! written down in one walk, without making sets of it.

use super::form::{Form, Items, Place};
use super::managers::{Entry, Operation};
use super::{UNMANAGED, Write, element};
use crate::Value;
use crate::value::{Map, Name};

/// A step and what is below it, as `fieldsV1` has them.
type Steps = Vec<(Name, Value)>;

/// The `managedFields` of a new object; `None` if they cannot be told so easily.
pub(super) fn track(empty: &Value, new: &Value, write: Write<'_>) -> Option<Value> {
    let has_managers = |document: &Value| !document.at(&["metadata", "managedFields"]).is_null();
    if has_managers(empty) || has_managers(new) || write.ignored.iter().any(|path| path.contains('.')) {
        return None;
    }
    let Form::Members(place) = Place::of(write.ty).form(new) else { return None };
    let mut steps = Steps::new();
    for (name, value) in new.members() {
        if write.ignored.contains(&name.as_str()) || matches!(name.as_str(), "apiVersion" | "kind") {
            continue;
        }
        let before = empty.as_object().and_then(|empty| empty.get(name));
        let below = if name == "metadata" {
            metadata(before, value, place.member(name))?
        } else {
            beyond(before, value, place.member(name))?
        };
        steps.extend(below.map(|below| (element::field(name).into(), below)));
    }
    if steps.is_empty() {
        return Some(Value::Null);
    }
    let mut entry = Entry::new(write, Operation::Update);
    entry.time = Some(write.time.into());
    Some(Value::from(vec![entry.with_fields(Value::Object(sorted(steps)))]))
}

/// The fields of metadata that somebody can manage.
fn metadata(empty: Option<&Value>, new: &Value, place: Place<'_>) -> Option<Option<Value>> {
    let Form::Members(place) = place.form(new) else { return None };
    let mut steps = Steps::new();
    for (name, value) in new.members() {
        if UNMANAGED.iter().any(|path| matches!(path, ["metadata", unmanaged] if name == unmanaged)) {
            continue;
        }
        let before = empty.and_then(Value::as_object).and_then(|empty| empty.get(name));
        let below = beyond(before, value, place.member(name))?;
        steps.extend(below.map(|below| (element::field(name).into(), below)));
    }
    Some(something(sorted(steps)))
}

fn something(steps: Map) -> Option<Value> {
    (!steps.is_empty()).then_some(Value::Object(steps))
}

/// What a value has beyond one that stood in its place; `Some(None)` if that is nothing, `None` if it is not to be told so
/// easily.
fn beyond(before: Option<&Value>, after: &Value, place: Place<'_>) -> Option<Option<Value>> {
    let Some(before) = before else { return Some(Some(all(after, place))) };
    if before == after {
        return Some(None);
    }
    let form = |value: &Value| if value.is_null() { Form::Leaf } else { place.form(value) };
    let steps = match (form(before), form(after)) {
        (Form::Members(_), Form::Members(inner)) => {
            let mut steps = Steps::new();
            for (name, value) in after.members() {
                let before = before.as_object().and_then(|before| before.get(name));
                let below = beyond(before, value, inner.member(name))?;
                steps.extend(below.map(|below| (element::field(name).into(), below)));
            }
            sorted(steps)
        }
        (Form::Leaf, Form::Members(inner)) if before.is_null() && !after.is_empty() => {
            members(after, inner, false)
        }
        (Form::Leaf, Form::Items(list)) if before.is_null() && !after.is_empty() => items(after, list, false),
        (Form::Leaf, Form::Leaf) => return Some(Some(Value::object())),
        (Form::Leaf, _) if before.is_null() => return Some(Some(Value::object())),
        _ => return None,
    };
    Some(something(steps))
}

/// All that a value has which stands where nothing stood: itself, and what is below it.
fn all(value: &Value, place: Place<'_>) -> Value {
    if value.is_null() || value.is_empty() {
        return Value::object();
    }
    Value::Object(match place.form(value) {
        Form::Leaf => Map::new(),
        Form::Members(inner) => members(value, inner, true),
        Form::Items(list) => items(value, list, true),
    })
}

/// Begins with the field itself, if it is one of those that are new.
fn begun(capacity: usize, with_self: bool) -> Steps {
    let mut steps = Steps::with_capacity(capacity + usize::from(with_self));
    if with_self {
        steps.push((Name::from("."), Value::object()));
    }
    steps
}

fn members(value: &Value, inner: Place<'_>, with_self: bool) -> Map {
    let mut steps = begun(value.as_object().map_or(0, Map::len), with_self);
    let mut expected = 0;
    for (name, member) in value.members() {
        let place = inner.next_member(name, &mut expected);
        steps.push((element::field(name).into(), all(member, place)));
    }
    ended(steps, with_self)
}

fn items(value: &Value, list: Items<'_>, with_self: bool) -> Map {
    let mut steps = begun(value.items().len(), with_self);
    for item in value.items() {
        let Ok(step) = list.element(item) else { continue };
        steps.push((step.into(), all(item, list.item)));
    }
    let mut steps = sorted(steps).into_entries();
    steps.dedup_by(|later, first| {
        let is_same = later.0 == first.0;
        if is_same {
            // Duplicates cannot be told apart, so they are one thing together.
            first.1 = Value::object();
        }
        is_same
    });
    ended(steps, with_self)
}

/// A field with nothing below it says so by having nothing below it.
fn ended(mut steps: Steps, with_self: bool) -> Map {
    if with_self && steps.len() == 1 {
        steps.clear();
    }
    sorted(steps)
}

/// Steps of one field are all of a kind, so they are ordered by their text; `.` comes before all of them.
fn sorted(mut steps: Steps) -> Map {
    if !steps.is_sorted_by(|(a, _), (b, _)| a <= b) {
        steps.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    }
    Map::from_entries(steps)
}
