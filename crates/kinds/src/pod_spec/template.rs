//! The rules of templates of pods.

use machinery::selector::LabelSelector;

use super::Within;
use crate::metadata::{check_annotations, check_labels};
use crate::place::Place;

/// What is wrong with a template.
pub fn check(template: Place<'_>) {
    let metadata = template.get("metadata");
    // Labels are told where the server's own type has them.
    check_labels(template.with(metadata.get("labels").value()).at("labels"));
    check_annotations(template.with(metadata.get("annotations").value()).at("annotations"));
    super::check(template.get("spec"), Within::Template, "");
    let ephemeral = template.get("spec");
    let ephemeral = ephemeral.get("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden("ephemeral containers not allowed in pod template");
    }
}

/// A template of pods that a controller finds again by `selector`: the labels must be those it looks for.
pub fn check_selected(template: Place<'_>, selector: &LabelSelector) {
    let labels = template.value().at(&["metadata", "labels"]);
    if !selector.is_everything() && !selector.matches_map(labels) {
        unselected(template);
    }
}

/// The selector does not choose the template's pods.
pub fn unselected(template: Place<'_>) {
    let metadata = template.get("metadata");
    metadata.get("labels").invalid("`selector` does not match template `labels`");
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
