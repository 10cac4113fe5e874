//! The set of the newest template: found, or made, and numbered.

use std::collections::BTreeMap;

use client::plan::{Note, Op};
use client::resources;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::{Value, json};

use super::model::{
    DESIRED_REPLICAS, MAX_REPLICAS, Model, REVISION, REVISION_HISTORY, Set, SetStatus, TEMPLATE_HASH,
};
use super::plan::View;
use super::{rolling, status};
use crate::claim::{Claim, Owner};
use crate::hash;

/// Annotations a set does not inherit.
const OWN_ANNOTATIONS: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "deprecated.deployment.rollback.to",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
];
/// The longest list of former numbers: annotations have a size limit.
const LONGEST_HISTORY: usize = 2_000;

/// The name the next set gets.
pub fn next_name(view: &View) -> String {
    format!("{}-{}", view.object.header().name, template_hash(&view.deployment))
}

fn template_hash(deployment: &Deployment) -> String {
    let template = deployment.spec.as_ref().map(|spec| &spec.template);
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    hash::name_of(&template, collisions)
}

/// The position of the oldest set that has the Deployment's template.
pub fn find_newest<'a>(deployment: &Deployment, sets: impl IntoIterator<Item = &'a Set>) -> Option<usize> {
    let wanted = &deployment.spec.as_ref()?.template;
    let metadata = without_hash(wanted);
    let is_same = |set: &Set| set.template.spec == wanted.spec && without_hash(&set.template) == metadata;
    sets.into_iter().position(is_same)
}

/// A template's metadata, but for what tells the templates of sets from that of their Deployment.
fn without_hash(template: &PodTemplateSpec) -> ObjectMeta {
    let mut metadata = template.metadata.clone().unwrap_or_default();
    if let Some(labels) = &mut metadata.labels {
        labels.remove(TEMPLATE_HASH);
    }
    metadata.labels = metadata.labels.filter(|labels| !labels.is_empty());
    metadata.annotations = metadata.annotations.filter(|annotations| !annotations.is_empty());
    metadata.creation_timestamp = None;
    metadata
}

/// Whether a set that is its own, or is about to be, has its template, so that none has to be made.
pub fn is_made(view: &View) -> bool {
    let Some(spec) = &view.deployment.spec else { return true };
    let Ok(selector) = client::selector::of(Some(&spec.selector)) else { return true };
    let owner = Owner { resource: resources::DEPLOYMENTS, object: &view.object, selector: &selector };
    let is_own = |set: &&Set| {
        let claim = set.object.as_ref().map(|object| owner.claim(object, true));
        matches!(claim, Some(Claim::Keep | Claim::Adopt))
    };
    find_newest(&view.deployment, view.sets.iter().filter(is_own)).is_some()
}

/// The number the newest set must at least have.
fn next_revision(model: &Model) -> i64 {
    model.old().into_iter().map(|index| model.sets[index].revision()).max().unwrap_or(0) + 1
}

/// Brings the newest set's number and inherited annotations up to date, if there is one.
pub fn number_newest(model: &mut Model) {
    let Some(index) = model.newest else { return };
    let revision = next_revision(model);
    let inherited = inherited(&model.deployment);
    let min_ready = model.spec().min_ready_seconds.unwrap_or(0);
    let set = &mut model.sets[index];
    set.annotations.extend(inherited);
    renumber(&mut set.annotations, revision);
    set.min_ready_secs = min_ready;
    let set = &model.sets[index];
    model.draft.revision = set.annotations.get(REVISION).cloned();
    if status::has_deadline(model) && model.draft.condition("Progressing").is_none() {
        let was_made = model.draft.conditions.is_empty() && set.is_owned_by(&model.object);
        let (reason, verb) =
            if was_made { ("NewReplicaSetCreated", "Created") } else { ("FoundNewReplicaSet", "Found") };
        let text = format!("{verb} new replica set \"{}\"", set.name);
        model.draft.set("Progressing", "True", (reason, &text), model.now);
    }
}

fn inherited(deployment: &Deployment) -> BTreeMap<String, String> {
    let annotations = deployment.metadata.annotations.clone().unwrap_or_default();
    annotations.into_iter().filter(|(name, _)| !OWN_ANNOTATIONS.contains(&name.as_str())).collect()
}

/// Gives a set a higher number and remembers the one it had.
fn renumber(annotations: &mut BTreeMap<String, String>, revision: i64) {
    let old = annotations.get(REVISION).cloned();
    let number = old.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0);
    if number >= revision {
        return;
    }
    annotations.insert(REVISION.to_owned(), revision.to_string());
    let Some(old) = old else { return };
    let history = annotations.get(REVISION_HISTORY).cloned().unwrap_or_default();
    let mut numbers: Vec<&str> = history.split(',').filter(|number| !number.is_empty()).collect();
    numbers.push(&old);
    let mut text = numbers.join(",");
    while text.len() > LONGEST_HISTORY && numbers.len() > 1 {
        numbers.remove(0);
        text = numbers.join(",");
    }
    annotations.insert(REVISION_HISTORY.to_owned(), text);
}

/// Finds or makes the newest set. `false` if that must be tried again, under another name.
pub fn ensure_newest(model: &mut Model, view: &View) -> bool {
    if model.newest.is_some() {
        number_newest(model);
        return true;
    }
    let hash = template_hash(&model.deployment);
    let name = next_name(view);
    if view.namesake.is_some() {
        // Its template is another one, or it would have been found: the name is taken.
        let collisions = model.draft.collisions.unwrap_or(0) + 1;
        model.draft.collisions = Some(collisions);
        model.plan.because(format!("the name {name} is taken by a replica set of another template"));
        status::write(model, false);
        return false;
    }
    make(model, &hash, &name);
    true
}

fn make(model: &mut Model, hash: &str, name: &str) {
    let revision = next_revision(model);
    let template = labelled(model.spec().template.clone(), hash).into();
    let mut annotations = inherited(&model.deployment);
    renumber(&mut annotations, revision);
    let limit = model.wanted() + model.max_surge();
    annotations.insert(DESIRED_REPLICAS.to_owned(), model.wanted().to_string());
    annotations.insert(MAX_REPLICAS.to_owned(), limit.to_string());
    model.sets.push(Set {
        object: None,
        name: name.into(),
        uid: Default::default(),
        replicas: 0,
        annotations,
        template,
        min_ready_secs: model.spec().min_ready_seconds.unwrap_or(0),
        created: model.now,
        deleting: false,
        generation: 0,
        status: SetStatus { terminating: Some(0), ..SetStatus::default() },
        seen: Default::default(),
    });
    let index = model.sets.len() - 1;
    model.newest = Some(index);
    let size = rolling::size_of_newest(model);
    model.sets[index].replicas = size;
    let op = Op::create(resources::REPLICA_SETS, &model.object.header().namespace, &body(model, index, hash));
    push_creation(model, op, name, size);
    model.draft.revision = Some(revision.to_string());
    if status::has_deadline(model) {
        let text = format!("Created new replica set \"{name}\"");
        model.draft.set("Progressing", "True", ("NewReplicaSetCreated", &text), model.now);
    }
}

fn push_creation(model: &mut Model, op: Op, name: &str, size: i32) {
    let about = model.about();
    let failed = format!("Failed to create new replica set \"{name}\": {{error}}");
    let mut op = op.on_failure(Note::warning(&about, "ReplicaSetCreateError", failed));
    if size > 0 {
        let text = format!("Scaled up replica set {name} from 0 to {size}");
        op = op.on_success(Note::normal(&about, "ScalingReplicaSet", text));
    }
    model.plan.because(format!("no replica set has its template; makes {name} with {size} pods"));
    model.plan.push(op);
    status::prepare_failure(model, name);
}

fn labelled(mut template: PodTemplateSpec, hash: &str) -> PodTemplateSpec {
    let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
    labels.insert(TEMPLATE_HASH.to_owned(), hash.to_owned());
    template
}

/// A ReplicaSet to be made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewSet<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Value,
    spec: NewSpec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewSpec<'a> {
    replicas: i32,
    min_ready_seconds: i32,
    selector: Value,
    template: &'a PodTemplateSpec,
}

fn body<'a>(model: &'a Model, index: usize, hash: &str) -> NewSet<'a> {
    let set = &model.sets[index];
    let mut selector = json!(model.spec().selector);
    selector["matchLabels"][TEMPLATE_HASH] = json!(hash);
    let everything = machinery::selector::LabelSelector::everything();
    let owner = Owner { resource: resources::DEPLOYMENTS, object: &model.object, selector: &everything };
    let metadata = json!({
        "name": set.name.as_str(),
        "namespace": model.object.header().namespace.as_str(),
        "labels": set.template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref()),
        "annotations": set.annotations,
        "ownerReferences": [owner.reference()],
    });
    let spec = NewSpec {
        replicas: set.replicas,
        min_ready_seconds: set.min_ready_secs,
        selector,
        template: &set.template,
    };
    NewSet { kind: "ReplicaSet", api_version: "apps/v1", metadata, spec }
}
