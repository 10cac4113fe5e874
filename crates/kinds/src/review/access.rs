//! SubjectAccessReview and its relatives: may somebody do something?

use machinery::Value;
use machinery::field::Errors;

use crate::Kind;
use crate::place::{Place, inspect};
use crate::policy::{NameRule, Policy};

/// May somebody?
pub struct SubjectAccessReview;
/// May I?
pub struct SelfSubjectAccessReview;
/// May somebody, in this namespace?
pub struct LocalSubjectAccessReview;
/// What may I?
pub struct SelfSubjectRulesReview;

const EXACTLY_ONE: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";

fn check_attributes(spec: Place<'_>) {
    let (resource, other) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
    if resource.is_set() && other.is_set() {
        other.invalid("cannot be specified in combination with resourceAttributes");
    }
    if !resource.is_set() && !other.is_set() {
        resource.invalid_as(&Value::Null, EXACTLY_ONE);
    }
    for member in ["fieldSelector", "labelSelector"] {
        let selector = resource.get(member);
        if !selector.is_set() {
            continue;
        }
        let (raw, requirements) = (selector.get("rawSelector"), selector.get("requirements"));
        match (raw.text().is_empty(), requirements.is_empty()) {
            (true, true) => requirements.required(&format!(
                "when {} is specified, requirements or rawSelector is required",
                selector.path()
            )),
            (false, false) => raw.invalid("may not specified at the same time as requirements"),
            _ => {}
        }
        for requirement in requirements.items() {
            check_requirement(requirement);
        }
    }
}

fn check_requirement(requirement: Place<'_>) {
    let (key, operator, values) =
        (requirement.get("key"), requirement.get("operator"), requirement.get("values"));
    if key.text().is_empty() {
        key.required("must be specified");
    }
    match operator.text() {
        "In" | "NotIn" if values.is_empty() => {
            values.required("must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            values.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => operator.invalid_as(other, "not a valid selector operator"),
    }
}

fn check_subject(spec: Place<'_>) {
    if spec.get("user").text().is_empty() && spec.get("groups").is_empty() {
        spec.get("user").invalid_as("", "at least one of user or group must be specified");
    }
}

fn check_no_metadata(object: Place<'_>) {
    let metadata = object.get("metadata");
    let written = metadata
        .value()
        .members()
        .filter(|(name, value)| {
            !value.is_empty()
                && !matches!(
                    name.as_str(),
                    "managedFields" | "namespace" | "creationTimestamp" | "uid" | "name"
                )
        })
        .count();
    if written > 0 {
        metadata.invalid("must be empty");
    }
}

impl Kind for SubjectAccessReview {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::PathSegment)
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        inspect(object, errors, |root| {
            let spec = root.get("spec");
            check_attributes(spec);
            check_subject(spec);
            check_no_metadata(root);
        });
    }
}

impl Kind for SelfSubjectAccessReview {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::PathSegment)
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        inspect(object, errors, |root| {
            check_attributes(root.get("spec"));
            check_no_metadata(root);
        });
    }
}

impl Kind for LocalSubjectAccessReview {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::PathSegment)
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        inspect(object, errors, |root| {
            let spec = root.get("spec");
            check_attributes(spec);
            check_subject(spec);
            check_no_metadata(root);
            let namespace = object.at(&["metadata", "namespace"]);
            let attributes = spec.get("resourceAttributes");
            let asked = attributes.get("namespace");
            if attributes.is_set() && asked.text() != namespace.str_or_empty() {
                asked.invalid_as(asked.text(), "must match metadata.namespace");
            }
            if spec.get("nonResourceAttributes").is_set() {
                spec.get("nonResourceAttributes").invalid("disallowed on this kind of request");
            }
        });
    }
}

impl Kind for SelfSubjectRulesReview {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::PathSegment)
    }

    fn validate_create(&self, _object: &Value, _errors: &mut Errors) {}
}
