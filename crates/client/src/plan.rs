//! What a controller decided: writes in order, the status that follows, and why.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use machinery::{Object, Status, json};
use serde::Serialize;

use crate::Key;
use crate::recorder::{About, EventKind};
use crate::transport::{Call, Delete, Resource, Write};

/// An event to be recorded. In the message of an [`Op`]'s note, `{name}` stands for the name of the object the write
/// answered with, and `{error}` for what went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it is about.
    pub about: About,
    /// Whether it is a warning.
    pub kind: EventKind,
    /// One word for machines.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl Note {
    /// Something that is as it should be.
    pub fn normal(about: &About, reason: &'static str, message: impl Into<String>) -> Note {
        Note { about: about.clone(), kind: EventKind::Normal, reason, message: message.into() }
    }

    /// Something somebody should look at.
    pub fn warning(about: &About, reason: &'static str, message: impl Into<String>) -> Note {
        Note { about: about.clone(), kind: EventKind::Warning, reason, message: message.into() }
    }
}

/// One write.
#[derive(Clone, Debug)]
pub struct Op {
    /// What it writes.
    pub resource: Resource,
    /// Which object.
    pub call: Call,
    /// How.
    pub write: Write,
    /// Codes of failures that are as good as success: 404 for a deletion, say.
    pub tolerated: &'static [u16],
    /// What is recorded when it succeeded.
    pub success: Option<Note>,
    /// What is recorded when it failed.
    pub failure: Option<Note>,
}

fn text(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .expect("typed kinds and JSON trees have text keys only, so they serialise")
}

impl Op {
    fn new(resource: Resource, call: Call, write: Write) -> Op {
        Op { resource, call, write, tolerated: &[], success: None, failure: None }
    }

    /// Makes an object.
    pub fn create(resource: Resource, namespace: &str, body: &impl Serialize) -> Op {
        Op::new(resource, Call::all(namespace), Write::Create(text(body)))
    }

    /// Changes what a merge patch names.
    pub fn patch(resource: Resource, key: &Key, patch: &impl Serialize) -> Op {
        Op::new(resource, Call::object(&key.namespace, &key.name), Write::MergePatch(text(patch)))
    }

    /// Changes what a strategic merge patch names.
    pub fn strategic_patch(resource: Resource, key: &Key, patch: &impl Serialize) -> Op {
        Op::new(resource, Call::object(&key.namespace, &key.name), Write::StrategicPatch(text(patch)))
    }

    /// Changes what a merge patch names, through the status subresource.
    pub fn patch_status(resource: Resource, key: &Key, patch: &impl Serialize) -> Op {
        let call = Call::object(&key.namespace, &key.name).subresource("status");
        Op::new(resource, call, Write::MergePatch(text(patch)))
    }

    /// Replaces a subresource, or posts to it.
    pub fn through(resource: Resource, key: &Key, subresource: &'static str, write: Write) -> Op {
        Op::new(resource, Call::object(&key.namespace, &key.name).subresource(subresource), write)
    }

    /// Applies an object on the server's side, with force.
    pub fn apply(resource: Resource, key: &Key, body: &impl Serialize) -> Op {
        Op::new(resource, Call::object(&key.namespace, &key.name), Write::Apply(text(body)))
    }

    /// Removes an object, if it still is `uid`; that it is gone already is fine.
    pub fn delete(resource: Resource, key: &Key, uid: &str) -> Op {
        let how = Delete { uid: uid.to_owned(), ..Delete::default() };
        Op::delete_with(resource, key, how)
    }

    /// Removes an object in a certain way; that it is gone already is fine.
    pub fn delete_with(resource: Resource, key: &Key, how: Delete) -> Op {
        let call = Call::object(&key.namespace, &key.name);
        Op::new(resource, call, Write::Delete(how)).tolerating(&[404])
    }

    /// The same, where some failures are as good as success.
    pub fn tolerating(mut self, codes: &'static [u16]) -> Op {
        self.tolerated = codes;
        self
    }

    /// The same, with an event when it succeeded.
    pub fn on_success(mut self, note: Note) -> Op {
        self.success = Some(note);
        self
    }

    /// The same, with an event when it failed.
    pub fn on_failure(mut self, note: Note) -> Op {
        self.failure = Some(note);
        self
    }

    /// The body, where the write has one.
    pub fn body(&self) -> Option<&Bytes> {
        match &self.write {
            Write::Create(body)
            | Write::Update(body)
            | Write::MergePatch(body)
            | Write::StrategicPatch(body)
            | Write::JsonPatch(body)
            | Write::Apply(body) => Some(body),
            Write::Delete(_) => None,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match &self.write {
            Write::Create(_) => "create",
            Write::Update(_) => "update",
            Write::MergePatch(_) | Write::StrategicPatch(_) | Write::JsonPatch(_) => "patch",
            Write::Apply(_) => "apply",
            Write::Delete(_) => "delete",
        };
        write!(out, "{verb} {}", self.resource.plural)?;
        if !self.call.subresource.is_empty() {
            write!(out, "/{}", self.call.subresource)?;
        }
        let name = if self.call.name.is_empty() { "?" } else { &self.call.name };
        if self.call.namespace.is_empty() {
            write!(out, " {name}")
        } else {
            write!(out, " {}/{name}", self.call.namespace)
        }
    }
}

/// A part of a plan. The next is begun when all of it succeeded.
#[derive(Clone, Debug)]
pub enum Step {
    /// Goes on only if the server itself says that the object is still this one and is not being deleted.
    Confirm {
        /// What it is.
        resource: Resource,
        /// Its name.
        key: Key,
        /// Its identity.
        uid: String,
    },
    /// One write.
    Do(Box<Op>),
    /// Writes that do not depend on each other.
    Together(Vec<Op>),
}

/// The status to write when steps failed.
pub type AfterFailure = Box<dyn FnOnce(&Status) -> Option<Op> + Send>;

/// What a controller decided about one key.
#[derive(Default)]
pub struct Plan {
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// What to write when all steps succeeded.
    pub status: Option<Op>,
    /// What to write instead when one did not.
    pub after_failure: Option<AfterFailure>,
    /// Events that say what was decided, recorded before the steps.
    pub notes: Vec<Note>,
    /// When to look again though nothing happened.
    pub requeue_after: Option<Duration>,
    /// Why, in words a user understands.
    pub reasons: Vec<String>,
    /// What is wrong in a way that another attempt may mend; the key is then tried again, ever later.
    pub retry: Option<String>,
}

impl fmt::Debug for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Plan")
            .field("ops", &self.ops().map(Op::to_string).collect::<Vec<_>>())
            .field("status", &self.status.as_ref().map(Op::to_string))
            .field("notes", &self.notes)
            .field("requeue_after", &self.requeue_after)
            .field("reasons", &self.reasons)
            .finish()
    }
}

impl Plan {
    /// Nothing to do.
    pub fn nothing() -> Plan {
        Plan::default()
    }

    /// Adds a write.
    pub fn push(&mut self, op: Op) {
        self.steps.push(Step::Do(Box::new(op)));
    }

    /// Adds writes that do not depend on each other.
    pub fn push_together(&mut self, ops: Vec<Op>) {
        if !ops.is_empty() {
            self.steps.push(Step::Together(ops));
        }
    }

    /// Adds a condition that the server itself must confirm.
    pub fn confirm(&mut self, resource: Resource, object: &Object) {
        let step = Step::Confirm { resource, key: Key::of(object), uid: object.header().uid.to_string() };
        self.steps.push(step);
    }

    /// Adds a reason.
    pub fn because(&mut self, reason: impl Into<String>) {
        self.reasons.push(reason.into());
    }

    /// Looks again after `delay`, or earlier if that was decided before.
    pub fn requeue(&mut self, delay: Duration) {
        self.requeue_after = Some(self.requeue_after.map_or(delay, |earlier| earlier.min(delay)));
    }

    /// The writes of all steps.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.steps.iter().flat_map(|step| match step {
            Step::Confirm { .. } => &[],
            Step::Do(op) => std::slice::from_ref(&**op),
            Step::Together(ops) => ops.as_slice(),
        })
    }

    /// Whether nothing would be written.
    pub fn is_quiet(&self) -> bool {
        self.ops().next().is_none() && self.status.is_none() && self.notes.is_empty()
    }
}

/// The merge patch that makes `new` of `old`; `None` if they are the same.
pub fn difference(old: &serde_json::Value, new: &serde_json::Value) -> Option<serde_json::Value> {
    use serde_json::{Map, Value};
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut patch = Map::new();
            for name in old.keys().filter(|name| !new.contains_key(*name)) {
                patch.insert(name.clone(), Value::Null);
            }
            for (name, value) in new {
                let change = difference(old.get(name).unwrap_or(&Value::Null), value);
                patch.extend(change.map(|change| (name.clone(), change)));
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (old, new) if old == new => None,
        (_, new) => Some(new.clone()),
    }
}

/// The object as a JSON tree.
pub fn tree(object: &Object) -> Result<serde_json::Value, Status> {
    serde_json::from_slice(object.body()).map_err(|error| unreadable(object, &error))
}

impl Op {
    /// Replaces an object by what `change` makes of it; conflicts if it is not the newest any more.
    pub fn update(
        resource: Resource,
        object: &Object,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> Result<Op, Status> {
        let mut document = tree(object)?;
        change(&mut document);
        let header = object.header();
        Ok(Op::new(resource, Call::object(&header.namespace, &header.name), Write::Update(text(&document))))
    }

    /// The same, through the status subresource.
    pub fn update_through_status(
        resource: Resource,
        object: &Object,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> Result<Op, Status> {
        let mut op = Op::update(resource, object, change)?;
        op.call.subresource = "status";
        Ok(op)
    }

    /// Gives an object a status; `None` if it has it already. Conflicts if the object is not the newest any more.
    pub fn update_status(
        resource: Resource,
        object: &Object,
        status: &impl Serialize,
    ) -> Result<Option<Op>, Status> {
        let new = tree_of(status)?;
        if is_same(&member(object, "status")?, &new) {
            return Ok(None);
        }
        let body = json::with_member(object.body(), "status", &text(&new));
        replace_status(resource, object, body).map(Some)
    }

    /// Gives an object a status, and changes its metadata in the same write where the kind allows that.
    pub fn update_status_and_metadata(
        resource: Resource,
        object: &Object,
        status: &impl Serialize,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> Result<Op, Status> {
        let mut metadata = member(object, "metadata")?;
        change(&mut metadata);
        let body = json::with_member(object.body(), "status", &text(&tree_of(status)?))
            .and_then(|body| json::with_member(&body, "metadata", &text(&metadata)));
        replace_status(resource, object, body)
    }
}

/// The write of a status. What is not told anew is passed on as the text it is, however large the object.
fn replace_status(
    resource: Resource,
    object: &Object,
    body: Result<Vec<u8>, json::Error>,
) -> Result<Op, Status> {
    let body = body.map_err(|error| unreadable(object, &error))?;
    let header = object.header();
    let call = Call::object(&header.namespace, &header.name).subresource("status");
    Ok(Op::new(resource, call, Write::Update(body.into())))
}

fn tree_of(status: &impl Serialize) -> Result<serde_json::Value, Status> {
    serde_json::to_value(status)
        .map_err(|error| Status::internal(format!("a status cannot be written: {error}")))
}

/// One member of an object; null if it has none of that name.
fn member(object: &Object, name: &str) -> Result<serde_json::Value, Status> {
    match json::member(object.body(), name).map_err(|error| unreadable(object, &error))? {
        Some(text) => serde_json::from_slice(text).map_err(|error| unreadable(object, &error)),
        None => Ok(serde_json::Value::Null),
    }
}

fn unreadable(object: &Object, error: &dyn fmt::Display) -> Status {
    let header = object.header();
    Status::internal(format!("{} {} cannot be read: {error}", header.kind, header.key()))
}

/// Whether two documents say the same, where what is empty is as good as absent: the server leaves it out.
fn is_same(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            let of = |map: &serde_json::Map<String, Value>, name: &String| {
                map.get(name).cloned().unwrap_or_default()
            };
            names.into_iter().all(|name| is_same(&of(left, name), &of(right, name)))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (left, right) => left == right || (is_empty(left) && is_empty(right)),
    }
}

fn is_empty(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_empty),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_difference_is_the_smallest_merge_patch() {
        let cases = [
            (json!({"a": 1}), json!({"a": 1}), None),
            (json!({"a": 1}), json!({"a": 2}), Some(json!({"a": 2}))),
            (json!({"a": 1, "b": 2}), json!({"b": 2}), Some(json!({"a": null}))),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1, "c": 3}}), Some(json!({"a": {"c": 3}}))),
            (json!({"a": [1, 2]}), json!({"a": [2]}), Some(json!({"a": [2]}))),
            (json!(null), json!({"a": 1}), Some(json!({"a": 1}))),
        ];
        for (old, new, expected) in cases {
            assert_eq!(difference(&old, &new), expected, "{old} to {new}");
        }
    }

    #[test]
    fn what_is_empty_is_as_good_as_absent() {
        assert!(is_same(&json!({"replicas": 0, "conditions": []}), &json!({})));
        assert!(is_same(&json!(null), &json!({"a": {"b": ""}})));
        assert!(!is_same(&json!({"replicas": 1}), &json!({})));
        assert!(!is_same(&json!([{"a": 1}]), &json!([])));
    }

    #[test]
    fn a_status_is_told_in_the_text_of_its_object() {
        let text = br#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"},"spec":{"x":1.50},"status":{"replicas":2}}"#;
        let object = Object::from_json(text).unwrap();
        let resource = crate::resources::DEPLOYMENTS;
        let same = Op::update_status(resource, &object, &json!({ "replicas": 2, "conditions": [] }));
        assert!(same.unwrap().is_none());
        let op = Op::update_status(resource, &object, &json!({ "replicas": 3 })).unwrap().unwrap();
        let expected = String::from_utf8_lossy(text).replace("\"replicas\":2", "\"replicas\":3");
        assert_eq!(String::from_utf8_lossy(op.body().unwrap()), expected);
        assert_eq!(op.to_string(), "update deployments/status shop/web");
        let noted = Op::update_status_and_metadata(resource, &object, &json!({}), |metadata| {
            metadata["annotations"]["a"] = json!("b");
        });
        let body: serde_json::Value = serde_json::from_slice(noted.unwrap().body().unwrap()).unwrap();
        let metadata = json!({ "name": "web", "namespace": "shop", "annotations": { "a": "b" } });
        assert_eq!((&body["metadata"], &body["status"]), (&metadata, &json!({})));
    }

    #[test]
    fn the_earliest_wish_to_look_again_counts() {
        let mut plan = Plan::nothing();
        plan.requeue(Duration::from_secs(5));
        plan.requeue(Duration::from_secs(9));
        plan.requeue(Duration::from_secs(3));
        assert_eq!(plan.requeue_after, Some(Duration::from_secs(3)));
        assert!(plan.is_quiet());
    }
}
