//! Pods made of templates.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use machinery::names;
use serde_json::{Value, json};

use crate::claim::Owner;

/// The beginning of the names of an owner's pods: with a dash, unless that would make no valid name.
pub fn name_prefix(owner: &str) -> String {
    let prefix = format!("{owner}-");
    // The dash is followed by letters in the end.
    if names::dns1123_subdomain(&format!("{prefix}x")).is_empty() { prefix } else { owner.to_owned() }
}

/// A pod of an owner, as its template says.
pub fn pod(template: &PodTemplateSpec, owner: &Owner<'_>) -> Value {
    let metadata = template.metadata.clone().unwrap_or_default();
    let header = owner.object.header();
    let mut pod = json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "generateName": name_prefix(&header.name),
            "namespace": header.namespace.as_str(),
            "ownerReferences": [owner.reference()],
        },
        "spec": template.spec,
    });
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            pod["metadata"][name] = value;
        }
    };
    set("labels", json!(metadata.labels));
    set("annotations", json!(metadata.annotations));
    set("finalizers", json!(metadata.finalizers));
    pod
}
