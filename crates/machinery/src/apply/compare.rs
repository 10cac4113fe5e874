//! What differs between two documents, and which fields a document has.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::element;
use super::form::{Form, Items, Lookup, Place, items, members};
use super::set::{Node, Set};
use crate::Value;
use crate::schema::TypeRef;

/// What differs between two documents.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Changes {
    /// Fields that only the second has.
    pub added: Set,
    /// Fields whose values differ.
    pub modified: Set,
    /// Fields that only the first has.
    pub removed: Set,
}

impl Changes {
    /// Whether nothing differs.
    pub(super) fn is_none(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }
}

/// Compares two documents of a type.
pub(super) fn compare(before: &Value, after: &Value, ty: TypeRef<'_>) -> Changes {
    let difference = compare_values(Some(before), Some(after), Place::of(ty));
    Changes {
        added: difference.added.below,
        modified: difference.modified.below,
        removed: difference.removed.below,
    }
}

/// What differs at and below a field.
#[derive(Default)]
struct Difference {
    added: Node,
    modified: Node,
    removed: Node,
}

impl Difference {
    /// Of a value that is one thing.
    fn of_leaf(before: Option<&Value>, after: Option<&Value>) -> Difference {
        let mut difference = Difference::default();
        match (before, after) {
            (None, _) => difference.added.member = true,
            (_, None) => difference.removed.member = true,
            (Some(before), Some(after)) => difference.modified.member = before != after,
        }
        difference
    }

    /// Takes in what differs at and below a member or item.
    fn put(&mut self, step: impl Fn() -> SmolStr, below: Difference) {
        self.added.below.put(&step, below.added);
        self.modified.below.put(&step, below.modified);
        self.removed.below.put(&step, below.removed);
    }
}

fn compare_values(before: Option<&Value>, after: Option<&Value>, place: Place<'_>) -> Difference {
    let form = |value: Option<&Value>| value.map_or(Form::Leaf, |value| place.form(value));
    let mut difference =
        match (form(before.filter(|value| !value.is_null())), form(after.filter(|value| !value.is_null()))) {
            (Form::Members(inner), Form::Members(_)) => compare_members(before, after, inner),
            (Form::Items(inner), _) | (_, Form::Items(inner)) => compare_items(before, after, inner),
            // Unset and null take the form of the other side; anything else was replaced by something of another form.
            (Form::Members(inner), Form::Leaf) if after.is_none_or(Value::is_null) => {
                compare_members(before, after, inner)
            }
            (Form::Leaf, Form::Members(inner)) if before.is_none_or(Value::is_null) => {
                compare_members(before, after, inner)
            }
            (Form::Leaf, Form::Leaf) => return Difference::of_leaf(before, after),
            _ => {
                let (gone, come) = (compare_values(before, None, place), compare_values(None, after, place));
                return Difference { added: come.added, modified: Node::default(), removed: gone.removed };
            }
        };
    let is_leaf = difference.added.member || difference.modified.member || difference.removed.member;
    if !is_leaf && before.is_none() {
        difference.added.member = true;
    } else if !is_leaf && after.is_none() {
        difference.removed.member = true;
    }
    difference
}

fn compare_members(before: Option<&Value>, after: Option<&Value>, place: Place<'_>) -> Difference {
    let (ours, theirs) = (members(before), members(after));
    if ours.is_none() && theirs.is_none() {
        return Difference::of_leaf(before, after);
    }
    let mut difference = Difference::default();
    let mut visit = |name: &str, before: Option<&Value>, after: Option<&Value>| {
        let below = compare_values(before, after, place.member(name));
        difference.put(|| element::field(name), below);
    };
    let (in_ours, in_theirs) = (Lookup::new(ours), Lookup::new(theirs));
    let mut common = 0;
    for (name, value) in ours.into_iter().flat_map(|map| map.iter()) {
        let other = in_theirs.get(name);
        common += usize::from(other.is_some());
        if other != Some(value) {
            visit(name, Some(value), other);
        }
    }
    if theirs.is_some_and(|map| map.len() > common) {
        for (name, value) in theirs.into_iter().flat_map(|map| map.iter()) {
            if in_ours.get(name).is_none() {
                visit(name, None, Some(value));
            }
        }
    }
    difference
}

fn compare_items(before: Option<&Value>, after: Option<&Value>, list: Items<'_>) -> Difference {
    let (ours, theirs) = (items(before), items(after));
    if ours.is_empty() && theirs.is_empty() {
        return Difference::of_leaf(before, after);
    }
    let mut difference = Difference::default();
    if before == after {
        return difference;
    }
    let mut by_step: BTreeMap<SmolStr, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in ours {
        if let Ok(step) = list.element(item) {
            by_step.entry(step).or_default().0.push(item);
        }
    }
    for item in theirs {
        if let Ok(step) = list.element(item) {
            by_step.entry(step).or_default().1.push(item);
        }
    }
    for (step, (ours, theirs)) in by_step {
        let below = match (ours.as_slice(), theirs.as_slice()) {
            ([] | [_], [] | [_]) => compare_values(ours.first().copied(), theirs.first().copied(), list.item),
            // Duplicates cannot be told apart, so they are one thing together.
            _ if ours == theirs => Difference::default(),
            _ => {
                let mut together = Difference::default();
                match (ours.is_empty(), theirs.is_empty()) {
                    (true, _) => together.added.member = true,
                    (_, true) => together.removed.member = true,
                    _ => together.modified.member = true,
                }
                together
            }
        };
        difference.put(|| step.clone(), below);
    }
    difference
}

/// The fields that a document has, as an applier owns them.
pub(super) fn field_set(document: &Value, ty: TypeRef<'_>) -> Set {
    fields_below(document, Place::of(ty)).below
}

fn fields_below(value: &Value, place: Place<'_>) -> Node {
    let mut node = Node::default();
    match place.form(value) {
        Form::Leaf => node.member = true,
        Form::Members(inner) => {
            for (name, member) in value.members() {
                let mut below = fields_below(member, inner.member(name));
                let is_empty = member.as_object().is_some_and(crate::Map::is_empty);
                if member.is_null() || is_empty || !inner.declares(name) {
                    below.member = true;
                }
                node.below.put(|| element::field(name), below);
            }
        }
        Form::Items(list) => {
            for item in value.items() {
                let Ok(step) = list.element(item) else { continue };
                let mut below = fields_below(item, list.item);
                below.member = true;
                node.below.put(|| step, below);
            }
        }
    }
    node
}
