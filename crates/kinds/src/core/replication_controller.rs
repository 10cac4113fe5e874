//! ReplicationController.

use machinery::Value;
use machinery::selector::LabelSelector;

use crate::apps::replica_set::check_status;
use crate::place::Place;
use crate::pod_spec::defaults::{self, or};
use crate::pod_spec::template;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct ReplicationController;

impl Kind for ReplicationController {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation().status()
    }

    fn default(&self, object: &mut Value) {
        let labels = object.at(&["spec", "template", "metadata", "labels"]).clone();
        if !labels.is_empty() {
            if object.at(&["spec", "selector"]).is_empty() {
                object.entry("spec").set("selector", labels.clone());
            }
            if object.at(&["metadata", "labels"]).is_empty() {
                object.entry("metadata").set("labels", labels);
            }
        }
        let spec = object.entry("spec");
        or(spec, "replicas", 1i64);
        if !spec.get("template").is_null() {
            defaults::template(spec.entry("template"));
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::from([("replicas", Value::from(0i64))]));
        object.entry("metadata").set("generation", 1i64);
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object.get("spec"));
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_status(object.get("status"));
        }
        check_spec(object.get("spec"));
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("status.replicas", object.at(&["status", "replicas"]).as_int().unwrap_or(0).to_string())]
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        &["status.replicas"]
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::REPLICATION_CONTROLLER
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let (names, images) = table::containers(spec.at(&["template", "spec"]));
        vec![
            table::name(object),
            table::int(spec.get("replicas")),
            table::int(status.get("replicas")),
            table::int(status.get("readyReplicas")),
            table::age(object, now_secs),
            names,
            images,
            table::labels(spec.get("selector")),
        ]
    }
}

fn check_spec(spec: Place<'_>) {
    spec.get("minReadySeconds").not_negative();
    let selector = spec.get("selector");
    if selector.is_empty() {
        selector.required("");
    }
    spec.get("replicas").not_negative();
    let template = spec.get("template");
    if !template.is_set() {
        return template.required("");
    }
    let wanted = Value::from([("matchLabels", selector.value().clone())]);
    if let Ok(wanted) = LabelSelector::from_document(&wanted) {
        template::check_selected(template, &wanted);
    }
    template::check(template);
    template::check_long_running(template, "ReplicationController");
}
