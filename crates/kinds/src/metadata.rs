//! The rules of `metadata`, which are the same for every kind but for how its objects are named.

use machinery::Value;
use machinery::field::go_quote;
use machinery::names;
use machinery::time::Timestamp;

use crate::place::Place;
use crate::policy::Policy;

/// Annotations may not take more than this in all.
const ANNOTATIONS_MAX: usize = 256 * 1024;
/// The name of a field manager may not be longer.
const MANAGER_MAX: usize = 128;

/// What is wrong with the metadata of a new object.
pub fn check(metadata: Place<'_>, policy: &Policy) {
    let prefix = metadata.get("generateName");
    if !prefix.is_empty() {
        prefix.faults(policy.name.faults(prefix.text(), true));
    }
    let name = metadata.get("name");
    if name.text().is_empty() {
        name.required("name or generateName is required");
    } else {
        name.faults(policy.name.faults(name.text(), false));
    }
    let namespace = metadata.get("namespace");
    match (policy.namespaced, namespace.text().is_empty()) {
        (true, true) => namespace.required(""),
        (true, false) => namespace.faults(names::dns1123_label(namespace.text())),
        (false, false) => namespace.forbidden("not allowed on this type"),
        (false, true) => {}
    }
    metadata.get("generation").not_negative();
    check_labels(metadata.get("labels"));
    check_annotations(metadata.get("annotations"));
    check_owner_references(metadata.get("ownerReferences"));
    check_finalizers(metadata.get("finalizers"), policy);
    check_managed_fields(metadata.get("managedFields"));
}

/// What is wrong with the metadata of an update: the part that every update is checked for before its kind's rules.
pub fn check_common_update(metadata: Place<'_>, old: &Value, policy: &Policy) {
    let path_segment = Policy { name: crate::NameRule::PathSegment, known_finalizers: false, ..*policy };
    check(metadata, &path_segment);
    check_changes(metadata, old);
}

/// What is wrong with the metadata of an update, as its kind's rules see it.
pub fn check_update(metadata: Place<'_>, old: &Value, policy: &Policy) {
    check_changes(metadata, old);
    if policy.known_finalizers {
        check_known_finalizers(metadata.get("finalizers"));
    }
}

fn check_changes(metadata: Place<'_>, old: &Value) {
    if !old.get("deletionTimestamp").is_null() {
        check_no_new_finalizers(metadata.get("finalizers"), old.get("finalizers"));
    }
    let generation = metadata.get("generation");
    if generation.int() < old.get("generation").as_int().unwrap_or(0) {
        generation.invalid_number("must not be decremented");
    }
    for field in ["name", "namespace", "uid"] {
        let place = metadata.get(field);
        if place.text() != old.get(field).str_or_empty() {
            place.invalid_as(place.text(), "field is immutable");
        }
    }
    for field in ["creationTimestamp", "deletionTimestamp"] {
        let place = metadata.get(field);
        let differs = Timestamp::parse(place.text()) != Timestamp::parse(old.get(field).str_or_empty());
        if differs {
            place.invalid("field is immutable");
        }
    }
    metadata.get("deletionGracePeriodSeconds").immutable(old.get("deletionGracePeriodSeconds"));
    check_labels(metadata.get("labels"));
    check_annotations(metadata.get("annotations"));
    check_owner_references(metadata.get("ownerReferences"));
    check_managed_fields(metadata.get("managedFields"));
}

/// What is wrong with the metadata of a template, which has labels and annotations only.
pub fn check_template(metadata: Place<'_>) {
    const OTHERS: [&str; 13] = [
        "name",
        "generateName",
        "namespace",
        "selfLink",
        "uID",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "ownerReferences",
        "finalizers",
        "managedFields",
    ];
    check_annotations(metadata.get("annotations"));
    check_labels(metadata.get("labels"));
    for other in OTHERS {
        // What is wrong is told by Go's name with a small letter before.
        let member = if other == "uID" { "uid" } else { other };
        if !metadata.value().get(member).is_empty() {
            metadata.at(other).forbidden("cannot be set");
        }
    }
}

/// What is wrong with labels.
pub fn check_labels(labels: Place<'_>) {
    for (key, label) in labels.entries() {
        check_label_name(labels, key);
        for fault in names::label_value(label.text()) {
            labels.invalid_as(label.text(), fault);
        }
    }
}

/// What is wrong with the key of a label.
pub fn check_label_name(place: Place<'_>, key: &str) {
    for fault in names::qualified_name(key) {
        place.invalid_as(key, fault);
    }
}

/// What is wrong with annotations.
pub fn check_annotations(annotations: Place<'_>) {
    let mut size = 0;
    for (key, annotation) in annotations.entries() {
        size += key.len() + annotation.text().len();
        let lower_case = key.bytes().any(|byte| byte.is_ascii_uppercase()).then(|| key.to_lowercase());
        for fault in names::qualified_name(lower_case.as_deref().unwrap_or(key)) {
            annotations.invalid_as(key, fault);
        }
    }
    if size > ANNOTATIONS_MAX {
        annotations.too_long(ANNOTATIONS_MAX);
    }
}

fn check_owner_references(references: Place<'_>) {
    let mut first_controller: Option<String> = None;
    for reference in references.value().items() {
        let place = references.with(reference);
        let api_version = reference.get("apiVersion").str_or_empty();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let must_be_set = |field: &str, detail: &str| {
            let place = place.get(field);
            if place.text().is_empty() {
                place.invalid_as("", detail);
            }
        };
        if version.is_empty() {
            place.get("apiVersion").invalid_as(api_version, "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            must_be_set(field, "must not be empty");
        }
        let kind = reference.get("kind").str_or_empty();
        if (group, version, kind) == ("", "v1", "Event") {
            place.invalid(format!("{group}/{version}, Kind={kind} is disallowed from being an owner"));
        }
        if reference.get("controller").is_true() {
            let this = format!("{kind}/{}", reference.get("name").str_or_empty());
            match &first_controller {
                None => first_controller = Some(this),
                Some(first) => references.invalid(format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and \
                     {this}"
                )),
            }
        }
    }
}

fn check_finalizers(finalizers: Place<'_>, policy: &Policy) {
    let (mut orphan, mut foreground) = (false, false);
    for finalizer in finalizers.value().items() {
        let name = finalizer.str_or_empty();
        for fault in names::qualified_name(name) {
            finalizers.invalid_as(name, fault);
        }
        orphan |= name == "orphan";
        foreground |= name == "foregroundDeletion";
    }
    if orphan && foreground {
        finalizers.invalid("finalizer orphan and foregroundDeletion cannot be both set");
    }
    if policy.known_finalizers {
        check_known_finalizers(finalizers);
    }
}

fn check_known_finalizers(finalizers: Place<'_>) {
    for finalizer in finalizers.items() {
        let name = finalizer.text();
        if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
            finalizer.invalid("name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

fn check_no_new_finalizers(finalizers: Place<'_>, old: &Value) {
    let known = |name: &str| old.items().iter().any(|known| known.str_or_empty() == name);
    let mut extra: Vec<&str> =
        finalizers.value().items().iter().map(Value::str_or_empty).filter(|name| !known(name)).collect();
    if extra.is_empty() {
        return;
    }
    extra.sort_unstable();
    extra.dedup();
    let listed: Vec<String> = extra.into_iter().map(go_quote).collect();
    finalizers.forbidden(format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        listed.join(", ")
    ));
}

fn check_managed_fields(managed_fields: Place<'_>) {
    for entry in managed_fields.items() {
        let operation = entry.get("operation");
        if !matches!(operation.text(), "Apply" | "Update") {
            operation.invalid_as(operation.text(), "must be `Apply` or `Update`");
        }
        let fields_type = entry.get("fieldsType");
        if !matches!(fields_type.text(), "" | "FieldsV1") {
            fields_type.invalid("must be `FieldsV1`");
        }
        let manager = entry.get("manager");
        if manager.text().len() > MANAGER_MAX {
            manager.too_long(MANAGER_MAX);
        }
        if let Some(position) = manager.text().chars().position(char::is_control) {
            manager
                .invalid(format!("invalid field manager: contains a non-printable character at {position}"));
        }
        let subresource = entry.get("subresource");
        if subresource.text().len() > 256 {
            subresource.too_long(256);
        }
    }
}

#[cfg(test)]
mod tests;
