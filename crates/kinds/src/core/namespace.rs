//! Namespace.

use machinery::{Value, names};

use crate::place::Place;
use crate::policy::{NameRule, Policy, SecondLook, keep, keep_all_but};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Namespace;

/// The label that every namespace carries with its name.
pub const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Kind for Namespace {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Label).status().second_look(SecondLook::All)
    }

    fn default(&self, object: &mut Value) {
        let name = object.at(&["metadata", "name"]).str_or_empty().to_owned();
        if !name.is_empty() {
            *object.at_mut(&["metadata", "labels", NAME_LABEL]) = Value::from(name);
            if let Some(map) = object.at_mut(&["metadata", "labels"]).as_object_mut() {
                map.sort_by_key(str::to_owned);
            }
        }
        crate::pod_spec::defaults::or_text(object.entry("status"), "phase", "Active");
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::from([("phase", Value::from("Active"))]));
        let finalizers = object.entry("spec").entry("finalizers");
        if !finalizers.items().iter().any(|finalizer| finalizer.str_or_empty() == "kubernetes") {
            finalizers.make_array().push(Value::from("kubernetes"));
        }
        crate::pod_spec::defaults::or_text(object.entry("status"), "phase", "Active");
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let finalizers = spec.get("finalizers");
        check_finalizers(finalizers.value().items().iter().map(|name| (finalizers, name.str_or_empty())));
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        match door {
            Door::Sub("finalize") => keep(object, old, "status"),
            Door::Sub(_) => keep_all_but(object, old, &["status"]),
            Door::Main => {
                keep(object, old, "status");
                keep(object, old, "spec");
            }
        }
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        match door {
            Door::Sub("status") => {
                let status = object.get("status");
                let deleting = object.get("metadata").get("deletionTimestamp").is_set();
                // The path is told with the name of the server's own field.
                let phase = status.with(status.value().get("phase"));
                let phase = phase.at("Phase");
                if deleting && phase.text() != "Terminating" {
                    phase.invalid("may only be 'Terminating' if `deletionTimestamp` is not empty");
                } else if !deleting && phase.text() != "Active" {
                    phase.invalid("may only be 'Active' if `deletionTimestamp` is empty");
                }
            }
            Door::Sub(_) => {
                let spec = object.get("spec");
                let finalizers = spec.get("finalizers");
                check_finalizers(finalizers.items().map(|place| (place, place.text())));
            }
            Door::Main => {}
        }
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("status.phase", object.at(&["status", "phase"]).str_or_empty().to_owned())]
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        &["status.phase"]
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::NAMESPACE
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        vec![table::name(object), table::text(object.at(&["status", "phase"])), table::age(object, now_secs)]
    }
}

fn check_finalizers<'a>(finalizers: impl Iterator<Item = (Place<'a>, &'a str)>) {
    for (place, name) in finalizers {
        for fault in names::qualified_name(name) {
            place.invalid_as(name, fault);
        }
        if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
            place.invalid_as(name, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}
