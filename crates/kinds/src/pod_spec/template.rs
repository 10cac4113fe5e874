//! The rules of templates of pods.

use machinery::Value;
use machinery::selector::LabelSelector;

use super::Within;
use crate::metadata::{check_annotations, check_labels};
use crate::place::Place;

/// What is wrong with a template.
pub fn check(template: Place<'_>) {
    let metadata = template.get("metadata");
    check_labels(metadata.get("labels"));
    check_annotations(metadata.get("annotations"));
    super::check(template.get("spec"), Within::Template, "");
    let ephemeral = template.get("spec");
    let ephemeral = ephemeral.get("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden("ephemeral containers not allowed in pod template");
    }
}

/// A template of pods that a controller finds again by `selector`: the labels must be those it looks for.
pub fn check_selected(template: Place<'_>, selector: &Value) {
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    if let Ok(selector) = LabelSelector::from_document(selector)
        && !selector.matches_map(labels.value())
    {
        if labels.is_empty() {
            labels.invalid_as(&Value::Null, "`selector` does not match template `labels`");
        } else {
            labels.invalid("`selector` does not match template `labels`");
        }
    }
}

/// A template whose pods run until they are replaced: no other restart policy, no deadline.
pub fn check_long_running(template: Place<'_>, whose: &str) {
    let spec = template.get("spec");
    let policy = spec.get("restartPolicy");
    if policy.text() != "Always" {
        policy.unsupported(&["Always"]);
    }
    let deadline = spec.get("activeDeadlineSeconds");
    if deadline.is_set() {
        deadline.forbidden(format!("activeDeadlineSeconds in {whose} is not Supported"));
    }
}
