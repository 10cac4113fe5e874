//! Whole objects within custom resources: they say what they are, and their metadata are right.

use machinery::Value;
use machinery::structural::{Additional, Structural};

use crate::metadata;
use crate::place::Place;
use crate::policy::{NameRule, Policy};

/// Checks every whole object below the root.
pub(super) fn check(place: Place<'_>, schema: &Structural) {
    match place.value() {
        Value::Object(_) => {
            for (name, member) in place.value().members() {
                let below = |of_member: &Structural| {
                    let place = place.get(name);
                    check_here(place, of_member, member);
                };
                match (schema.property(name), &schema.additional) {
                    (Some(property), _) => below(property),
                    (None, Additional::Each(each)) => {
                        check_here(place.with(member).at_key(name), each, member)
                    }
                    _ => {}
                }
            }
        }
        Value::Array(_) => {
            let Some(of_item) = schema.items.as_deref() else { return };
            for item in place.items() {
                check_here(item, of_item, item.value());
            }
        }
        _ => {}
    }
}

fn check_here(place: Place<'_>, schema: &Structural, value: &Value) {
    if schema.embedded && value.as_object().is_some() {
        check_object(place);
    }
    check(place, schema);
}

fn check_object(object: Place<'_>) {
    for name in ["apiVersion", "kind"] {
        let place = object.get(name);
        if place.text().is_empty() {
            place.required("");
        }
    }
    let version = object.get("apiVersion");
    if version.text().matches('/').count() > 1 {
        version.invalid(format!("unexpected GroupVersion string: {}", version.text()));
    }
    let metadata = object.get("metadata");
    if metadata.value().as_object().is_some() {
        let named = Policy { name: NameRule::PathSegment, known_finalizers: false, ..policy_of(metadata) };
        // Nobody asks a part of another object for a name.
        let mut filled = metadata.value().clone();
        if filled.get("name").str_or_empty().is_empty() {
            filled.set("name", "fakename");
        }
        metadata::check(metadata.with(&filled), &named);
    }
}

fn policy_of(metadata: Place<'_>) -> Policy {
    if metadata.get("namespace").text().is_empty() {
        Policy::cluster(NameRule::PathSegment)
    } else {
        Policy::namespaced(NameRule::PathSegment)
    }
}
