//! The managers of an object's fields: `metadata.managedFields` as something that can be worked with.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::compare::Changes;
use super::set::Set;
use super::{Conflict, Write};
use crate::Value;
use crate::field::go_quote;
use crate::time::Timestamp;

/// How a manager came to manage its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// A manager and its fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub manager: SmolStr,
    pub operation: Operation,
    pub api_version: SmolStr,
    pub subresource: SmolStr,
    pub time: Option<SmolStr>,
    pub fields: Set,
}

impl Entry {
    /// The manager of a write, with no fields yet.
    pub(super) fn new(write: Write<'_>, operation: Operation) -> Entry {
        Entry {
            manager: write.manager.into(),
            operation,
            api_version: write.api_version.into(),
            subresource: write.subresource.into(),
            time: None,
            fields: Set::default(),
        }
    }

    fn from_value(value: &Value) -> Option<Entry> {
        let text = |name: &str| SmolStr::new(value.get(name).str_or_empty());
        let operation = match value.get("operation").str_or_empty() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        if !matches!(value.get("fieldsType").str_or_empty(), "FieldsV1" | "") {
            return None;
        }
        let fields = match value.get("fieldsV1") {
            Value::Null => Set::default(),
            fields => Set::from_value(fields)?,
        };
        Some(Entry {
            manager: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time: value.get("time").as_str().map(SmolStr::new),
            fields,
        })
    }

    fn into_value(self) -> Value {
        let fields = self.fields.to_value();
        self.with_fields(fields)
    }

    /// The entry as it is written, with these fields.
    pub(super) fn with_fields(self, fields: Value) -> Value {
        let mut value = Value::object();
        let operation = if self.operation == Operation::Apply { "Apply" } else { "Update" };
        if !self.manager.is_empty() {
            value.set("manager", self.manager);
        }
        value.set("operation", operation);
        value.set("apiVersion", self.api_version);
        if let Some(time) = self.time {
            value.set("time", time);
        }
        value.set("fieldsType", "FieldsV1");
        value.set("fieldsV1", fields);
        if !self.subresource.is_empty() {
            value.set("subresource", self.subresource);
        }
        value
    }

    fn is_same_manager(&self, other: &Entry) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.api_version == other.api_version
            && self.subresource == other.subresource
    }

    fn seconds(&self) -> i64 {
        self.time.as_deref().and_then(Timestamp::parse).map_or(0, |time| time.secs)
    }

    /// The manager as conflicts name it.
    fn shown(&self) -> String {
        let mut text = go_quote(&self.manager);
        if !self.subresource.is_empty() {
            text.push_str(&format!(" with subresource {}", go_quote(&self.subresource)));
        }
        if self.operation == Operation::Update {
            text.push_str(&format!(" using {}", self.api_version));
        }
        text
    }
}

/// All managers of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers {
    entries: Vec<Entry>,
}

impl Managers {
    /// Those that an object names. What cannot be read counts as none.
    pub(super) fn of_object(object: &Value) -> Managers {
        Managers::read(object).unwrap_or_default()
    }

    /// Those that count for an update: the new object's, if it names any, so that clients can correct them; else those
    /// of the old one, so that clients which do not know them lose nothing. A subresource cannot change them.
    pub(super) fn of_update(live: &Value, new: &Value, is_subresource: bool) -> Managers {
        if is_subresource {
            return Managers::of_object(live);
        }
        if let [only] = new.at(&["metadata", "managedFields"]).items()
            && is_zero(only)
        {
            return Managers::default();
        }
        match Managers::read(new) {
            Some(managers) if !managers.is_empty() => managers,
            _ => Managers::of_object(live),
        }
    }

    fn read(object: &Value) -> Option<Managers> {
        let mut managers = Managers::default();
        for value in object.at(&["metadata", "managedFields"]).items() {
            let entry = Entry::from_value(value)?;
            let slot = managers.entry(entry.clone());
            *slot = entry;
        }
        Some(managers)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of the same manager.
    pub(super) fn get(&self, same: &Entry) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.is_same_manager(same))
    }

    /// The entry of the same manager, added if it is missing.
    pub(super) fn entry(&mut self, same: Entry) -> &mut Entry {
        let found = self.entries.iter().position(|entry| entry.is_same_manager(&same));
        let position = found.unwrap_or_else(|| {
            self.entries.push(same);
            self.entries.len() - 1
        });
        &mut self.entries[position]
    }

    /// All that anybody manages in this version.
    pub(super) fn all_fields(&self, api_version: &str) -> Set {
        let mut all = Set::default();
        for entry in self.entries.iter().filter(|entry| entry.api_version == api_version) {
            all.unite(&entry.fields);
        }
        all
    }

    /// What others manage of what changes.
    pub(super) fn conflicts(&self, changes: &Changes, api_version: &str, own: &Entry) -> Vec<Conflict> {
        let mut changed = changes.modified.clone();
        changed.unite(&changes.added);
        let mut conflicts: Vec<Conflict> = self
            .entries
            .iter()
            .filter(|entry| entry.api_version == api_version && !entry.is_same_manager(own))
            .map(|entry| Conflict { manager: entry.shown(), fields: entry.fields.intersect(&changed) })
            .filter(|conflict| !conflict.fields.is_empty())
            .collect();
        conflicts.sort_by(|a, b| a.manager.cmp(&b.manager));
        conflicts
    }

    /// Takes from all (but one) what somebody else changes now, and from everybody what is gone.
    pub(super) fn take_over(&mut self, changes: &Changes, api_version: &str, own: Option<&Entry>) {
        for entry in &mut self.entries {
            if entry.api_version != api_version || own.is_some_and(|own| entry.is_same_manager(own)) {
                continue;
            }
            entry.fields.subtract(&changes.modified);
            entry.fields.subtract(&changes.added);
            entry.fields.subtract(&changes.removed);
        }
        self.entries
            .retain(|entry| !entry.fields.is_empty() || own.is_some_and(|own| entry.is_same_manager(own)));
    }

    /// Forgets managers that manage nothing.
    pub(super) fn drop_empty(&mut self) {
        self.entries.retain(|entry| !entry.fields.is_empty());
    }

    /// Folds the oldest updaters into one for each version, until there are no more than `max`.
    pub(super) fn cap(&mut self, max: usize, into: &str) {
        let mut updaters: Vec<Entry> = Vec::new();
        let mut others: Vec<Entry> = Vec::new();
        for entry in std::mem::take(&mut self.entries) {
            if entry.operation == Operation::Update { updaters.push(entry) } else { others.push(entry) }
        }
        if updaters.len() <= max {
            updaters.append(&mut others);
            self.entries = updaters;
            return;
        }
        updaters.sort_by(|a, b| (a.seconds(), &a.manager).cmp(&(b.seconds(), &b.manager)));
        let mut count = updaters.len();
        // The first of each version waits until there is a second to fold it with.
        let mut waiting: BTreeMap<SmolStr, usize> = BTreeMap::new();
        let mut kept: Vec<Option<Entry>> = Vec::new();
        for entry in updaters {
            if count <= max {
                kept.push(Some(entry));
                continue;
            }
            let Some(position) = waiting.get(&entry.api_version).copied() else {
                waiting.insert(entry.api_version.clone(), kept.len());
                kept.push(Some(entry));
                continue;
            };
            if let Some(bucket) = &mut kept[position] {
                bucket.manager = into.into();
                bucket.subresource = SmolStr::default();
                bucket.fields.unite(&entry.fields);
                bucket.time = entry.time;
                count -= 1;
            }
        }
        others.extend(kept.into_iter().flatten());
        self.entries = others;
    }

    /// The managers as `managedFields`, in upstream's order; `Null` if there are none.
    pub(super) fn into_value(mut self) -> Value {
        if self.entries.is_empty() {
            return Value::Null;
        }
        self.entries.sort_by(|a, b| {
            let key = |entry: &Entry| {
                let names = [entry.manager.clone(), entry.api_version.clone(), entry.subresource.clone()];
                (entry.operation, entry.seconds(), names)
            };
            key(a).cmp(&key(b))
        });
        Value::Array(self.entries.into_iter().map(Entry::into_value).collect())
    }
}

/// Where an entry of `managedFields` stands among others.
pub(super) fn order(entry: &Value) -> (Operation, i64, [&str; 3]) {
    let text = |name: &str| entry.get(name).str_or_empty();
    let operation = if text("operation") == "Apply" { Operation::Apply } else { Operation::Update };
    let seconds = Timestamp::parse(text("time")).map_or(0, |time| time.secs);
    (operation, seconds, [text("manager"), text("apiVersion"), text("subresource")])
}

/// Whether an entry says nothing at all: the client's way to remove all.
fn is_zero(entry: &Value) -> bool {
    entry.members().all(|(_, member)| member.is_empty())
}

/// Takes over the times of `old` if nothing else differs, so that a write which changes nothing is seen to.
pub fn keep_times(old: &Value, new: &mut Value) {
    let (ours, theirs) = (old.items(), new.items());
    let same = ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(old, new)| is_same_but_for_time(old, new));
    if !old.is_null() && same {
        *new = old.clone();
    }
}

fn is_same_but_for_time(old: &Value, new: &Value) -> bool {
    let without_time = |entry: &Value| entry.members().filter(|(name, _)| *name != "time").count();
    without_time(old) == without_time(new)
        && old.members().filter(|(name, _)| *name != "time").all(|(name, value)| new.get(name) == value)
}
