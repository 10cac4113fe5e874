//! Who a pod of a StatefulSet is, and what it looks like.

use client::plan::Op;
use client::{Key, resources};
use serde_json::{Value, json};

use super::model::Model;
use super::storage;
use crate::history::REVISION_HASH;
use crate::pod::Pod;
use crate::template;

/// The label that holds a pod's name, so that a Service can select it alone.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// The label that holds a pod's ordinal.
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The name of the pod of an ordinal.
pub fn pod_name(set: &str, ordinal: i32) -> String {
    format!("{set}-{ordinal}")
}

/// The ordinal of a pod of a set; `None` if it has no name the set gives.
pub fn ordinal(set: &str, pod: &str) -> Option<i32> {
    let digits = pod.strip_prefix(set)?.strip_prefix('-')?;
    let ordinal: i32 = digits.parse().ok()?;
    // `+1` and `01` are numbers too, but no set gives such names.
    (ordinal >= 0 && ordinal.to_string() == digits).then_some(ordinal)
}

/// The revision a pod was made of.
pub fn revision_of(pod: &Pod) -> &str {
    pod.object.header().label(REVISION_HASH).unwrap_or_default()
}

/// The pod of an ordinal, at the revision it is to have.
pub fn new_pod(model: &Model<'_>, ordinal: i32) -> Value {
    let (revision, pod_template) = model.revision_for(ordinal);
    let set = &model.owner.object.header().name;
    let name = pod_name(set, ordinal);
    let mut pod = template::pod(pod_template, &model.owner);
    let labels = &mut pod["metadata"]["labels"];
    if !labels.is_object() {
        *labels = json!({});
    }
    labels[REVISION_HASH] = json!(revision.name.as_str());
    labels[POD_NAME] = json!(name);
    labels[POD_INDEX] = json!(ordinal.to_string());
    pod["metadata"]["name"] = json!(name);
    pod["spec"]["hostname"] = json!(name);
    pod["spec"]["subdomain"] = json!(model.spec.service_name.as_deref().unwrap_or_default());
    let own = storage::volumes(model, ordinal);
    if !own.is_empty() {
        let is_own = |volume: &Value| own.iter().any(|claim| claim["name"] == volume["name"]);
        let others = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let volumes: Vec<Value> =
            own.iter().cloned().chain(others.into_iter().filter(|volume| !is_own(volume))).collect();
        pod["spec"]["volumes"] = json!(volumes);
    }
    pod
}

/// The write that gives a pod the labels and claims it should have; `None` if it has them.
pub fn repair(model: &Model<'_>, ordinal: i32, pod: &Pod) -> Option<Op> {
    let header = pod.object.header();
    let has_labels = header.label(POD_NAME) == Some(header.name.as_str());
    let has_claims = storage::has_claims(model, ordinal, pod);
    if has_labels && has_claims {
        return None;
    }
    let mut patch = json!({ "metadata": { "uid": header.uid.as_str() } });
    if !has_labels {
        let labels = json!({ POD_NAME: header.name.as_str(), POD_INDEX: ordinal.to_string() });
        patch["metadata"]["labels"] = labels;
    }
    if !has_claims {
        patch["spec"]["volumes"] = json!(storage::volumes(model, ordinal));
    }
    let op = Op::strategic_patch(resources::PODS, &Key::of(&pod.object), &patch);
    Some(model.told(op, "update", &header.name))
}
