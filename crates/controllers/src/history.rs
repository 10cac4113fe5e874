//! ControllerRevisions: the templates a set had, numbered and kept, so that one can go back to them and so that each pod
//! can say which it was made of.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use client::cache::{BY_OWNER, ORPHANS};
use client::plan::{Op, Plan};
use client::{Cache, Entry, Key, resources};
use env::WallTime;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use machinery::{Object, Status};
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::claim::Owner;
use crate::hash;

/// The label of a pod that names its revision.
pub const REVISION_HASH: &str = "controller-revision-hash";
/// The longest beginning of a revision's name: its hash must still fit in.
const LONGEST_PREFIX: usize = 223;

/// One template a set had.
#[derive(Clone, Debug)]
pub struct Revision {
    /// As it was seen; `None` for one the plan is about to make.
    pub object: Option<Object>,
    /// Its name.
    pub name: SmolStr,
    /// Its place in the history: the highest is the newest.
    pub number: i64,
    /// When it was made.
    pub created: WallTime,
    /// The patch that brings the template back.
    pub data: Value,
}

impl Revision {
    /// From an object.
    pub fn read(object: &Object) -> Result<Revision, Status> {
        let typed = object.view::<ControllerRevision>()?;
        let created = typed.metadata.creation_timestamp.as_ref();
        Ok(Revision {
            object: Some(object.clone()),
            name: object.header().name.clone(),
            number: typed.revision,
            created: created.map_or(WallTime(0), |at| client::time::wall(at.0)),
            data: typed.data.as_ref().map_or(Value::Null, |data| data.0.clone()),
        })
    }

    /// The value of one of its labels; nothing if it is about to be made.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.object.as_ref()?.header().label(key)
    }

    /// The template it brings back.
    pub fn template(&self) -> Result<PodTemplateSpec, String> {
        serde_json::from_value(self.data["spec"]["template"].clone())
            .map_err(|error| format!("revision {} holds no template: {error}", self.name))
    }
}

/// The revisions an owner has, and those of its namespace that nobody owns.
pub fn of_owner(cache: &Cache, owner: &Entry) -> Result<Vec<Revision>, Status> {
    let header = owner.object.header();
    let mut entries = cache.by_index(BY_OWNER, &header.uid);
    entries.extend(cache.by_index(ORPHANS, &header.namespace));
    entries.iter().map(|entry| Revision::read(&entry.object)).collect()
}

/// Takes in revisions nobody owns, and lets go of those that are not selected any more.
pub fn claim(plan: &mut Plan, owner: &Owner<'_>, revisions: &[Revision]) -> Vec<Revision> {
    let seen = revisions.iter().filter_map(|revision| Some((revision.clone(), revision.object.clone()?)));
    let resource = resources::CONTROLLER_REVISIONS;
    let ours = owner.claim_all(plan, resource, seen.collect(), |(_, object): &(Revision, Object)| object);
    ours.into_iter().map(|(revision, _)| revision).collect()
}

/// The patch that brings back the template an object has now.
pub fn data_of(object: &Object) -> Result<Value, Status> {
    let mut template = client::plan::tree(object)?["spec"]["template"].take();
    if let Value::Object(template) = &mut template {
        template.insert("$patch".to_owned(), json!("replace"));
    }
    Ok(json!({ "spec": { "template": template } }))
}

/// What the next revision is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextName {
    /// The name.
    pub name: String,
    /// The part of it that tells contents apart.
    pub hash: String,
    /// How often other contents had the name already.
    pub collisions: i32,
}

/// The first name for `data` that nobody has.
pub fn next_name(owner: &str, data: &Value, collisions: i32, is_taken: impl Fn(&str) -> bool) -> NextName {
    let prefix: String = owner.chars().take(LONGEST_PREFIX).collect();
    let mut collisions = collisions;
    loop {
        let hash = hash::name_of(data, Some(collisions));
        let name = format!("{prefix}-{hash}");
        if !is_taken(&name) {
            return NextName { name, hash, collisions };
        }
        collisions += 1;
    }
}

/// What has to be done so that the newest revision has the template of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: it is this one.
    Keep(usize),
    /// An older one has it and becomes the newest again, with this number.
    Renumber(usize, i64),
    /// None has it: one must be made, with this number.
    Make(i64),
}

/// All revisions of a set, the newest last.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The revisions.
    pub revisions: Vec<Revision>,
}

impl History {
    /// In order: by number, then age, then name.
    pub fn of(mut revisions: Vec<Revision>) -> History {
        revisions.sort_by(|left, right| {
            (left.number, left.created, &left.name).cmp(&(right.number, right.created, &right.name))
        });
        History { revisions }
    }

    /// The positions of those that bring back what `data` does.
    pub fn equal(&self, data: &Value) -> Vec<usize> {
        (0..self.revisions.len()).filter(|index| self.revisions[*index].data == *data).collect()
    }

    /// How the newest comes to bring back what `data` does.
    pub fn step(&self, data: &Value) -> Step {
        let newest = self.revisions.last();
        match self.equal(data).last() {
            None => Step::Make(newest.map_or(0, |newest| newest.number) + 1),
            Some(index) if newest.is_some_and(|newest| newest.data == *data) => Step::Keep(*index),
            Some(index) => Step::Renumber(*index, newest.map_or(0, |newest| newest.number) + 1),
        }
    }

    /// The position of the one of a name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.revisions.iter().position(|revision| revision.name == name)
    }
}

/// Gives a revision another number.
pub fn renumber(plan: &mut Plan, revision: &mut Revision, number: i64) {
    revision.number = number;
    plan.because(format!("goes back to the template of revision {}", revision.name));
    if let Some(object) = &revision.object {
        let patch = json!({
            "metadata": { "resourceVersion": object.header().revision.to_string() },
            "revision": number,
        });
        plan.push(Op::patch(resources::CONTROLLER_REVISIONS, &Key::of(object), &patch));
    }
}

/// What a new revision is made of.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Its name.
    pub next: &'a NextName,
    /// Its number.
    pub number: i64,
    /// What it brings back.
    pub data: &'a Value,
    /// The label that holds its hash.
    pub hash_label: &'a str,
}

/// Makes a revision.
pub fn make(plan: &mut Plan, owner: &Owner<'_>, draft: &Draft<'_>) -> Result<Revision, Status> {
    let document = client::plan::tree(owner.object)?;
    let mut labels = document["spec"]["template"]["metadata"]["labels"].clone();
    if !labels.is_object() {
        labels = json!({});
    }
    labels[draft.hash_label] = json!(draft.next.hash);
    let mut body = json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": draft.next.name,
            "namespace": owner.object.header().namespace.as_str(),
            "labels": labels,
            "ownerReferences": [owner.reference()],
        },
        "data": draft.data,
        "revision": draft.number,
    });
    let annotations = &document["metadata"]["annotations"];
    if annotations.is_object() {
        body["metadata"]["annotations"] = annotations.clone();
    }
    plan.because(format!("its template is new; keeps it as revision {}", draft.next.name));
    plan.push(Op::create(resources::CONTROLLER_REVISIONS, &owner.object.header().namespace, &body));
    Ok(Revision {
        object: None,
        name: draft.next.name.as_str().into(),
        number: draft.number,
        created: WallTime(0),
        data: draft.data.clone(),
    })
}

/// Removes the oldest revisions that are not `live`, all but `kept` of them.
pub fn forget<'a>(
    plan: &mut Plan,
    revisions: impl IntoIterator<Item = &'a Revision>,
    live: &BTreeSet<&str>,
    kept: usize,
) {
    let dead: Vec<&Object> = revisions
        .into_iter()
        .filter(|revision| !live.contains(revision.name.as_str()))
        .filter_map(|revision| revision.object.as_ref())
        .filter(|object| !object.header().deleting)
        .collect();
    let surplus = dead.len().saturating_sub(kept);
    for object in dead.into_iter().take(surplus) {
        let header = object.header();
        plan.because(format!("revision {} is beyond the history limit", header.name));
        plan.push(Op::delete(resources::CONTROLLER_REVISIONS, &Key::of(object), &header.uid));
    }
}
