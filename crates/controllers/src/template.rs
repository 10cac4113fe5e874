//! Templates of pods, and pods made of them.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use machinery::names;
use serde::Serialize;
use serde_json::{Value, json};

use crate::claim::Owner;

static EMPTY: LazyLock<PodTemplateSpec> = LazyLock::new(PodTemplateSpec::default);

/// A template that is shared: it is large, and nobody changes it.
#[derive(Clone, Debug)]
pub enum Template {
    /// A set's own.
    Of(Arc<ReplicaSet>),
    /// One that no set has yet, or of something that is no ReplicaSet.
    Alone(Arc<PodTemplateSpec>),
}

impl Deref for Template {
    type Target = PodTemplateSpec;

    fn deref(&self) -> &PodTemplateSpec {
        match self {
            Template::Of(set) => set.spec.as_ref().and_then(|spec| spec.template.as_ref()).unwrap_or(&EMPTY),
            Template::Alone(template) => template,
        }
    }
}

impl From<PodTemplateSpec> for Template {
    fn from(template: PodTemplateSpec) -> Template {
        Template::Alone(Arc::new(template))
    }
}

/// The beginning of the names of an owner's pods: with a dash, unless that would make no valid name.
pub fn name_prefix(owner: &str) -> String {
    let prefix = format!("{owner}-");
    // The dash is followed by letters in the end.
    if names::dns1123_subdomain(&format!("{prefix}x")).is_empty() { prefix } else { owner.to_owned() }
}

/// A pod to be made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewPod<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Value,
    spec: &'a Option<PodSpec>,
}

impl<'a> NewPod<'a> {
    /// A pod of an owner, as its template says.
    pub fn of(template: &'a PodTemplateSpec, owner: &Owner<'_>) -> NewPod<'a> {
        let header = owner.object.header();
        let mut metadata = json!({
            "generateName": name_prefix(&header.name),
            "namespace": header.namespace.as_str(),
            "ownerReferences": [owner.reference()],
        });
        let mut set = |name: &str, value: Value| {
            if !value.is_null() {
                metadata[name] = value;
            }
        };
        if let Some(own) = &template.metadata {
            set("labels", json!(own.labels));
            set("annotations", json!(own.annotations));
            set("finalizers", json!(own.finalizers));
        }
        NewPod { kind: "Pod", api_version: "v1", metadata, spec: &template.spec }
    }
}

/// A pod of an owner, as its template says, to be changed further.
pub fn pod(template: &PodTemplateSpec, owner: &Owner<'_>) -> Value {
    json!(NewPod::of(template, owner))
}
