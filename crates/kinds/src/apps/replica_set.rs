//! ReplicaSet.

use machinery::Value;

use super::deployment::check_replica_order;
use super::rollout;
use crate::place::Place;
use crate::pod_spec::defaults::{self, or};
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct ReplicaSet;

impl Kind for ReplicaSet {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation().status()
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        if !spec.get("template").is_null() {
            defaults::template(spec.entry("template"));
        }
        or(spec, "replicas", 1i64);
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::from([("replicas", Value::from(0i64))]));
        object.entry("metadata").set("generation", 1i64);
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object.get("spec"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_status(object.get("status"));
        }
        let spec = object.get("spec");
        check_spec(spec);
        spec.get("selector").immutable(old.at(&["spec", "selector"]));
    }

    fn columns(&self) -> &'static [Column] {
        columns::apps::REPLICA_SET
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
            table::selector(spec.get("selector")),
        ]
    }
}

fn check_spec(spec: Place<'_>) {
    for member in ["replicas", "minReadySeconds"] {
        spec.get(member).not_negative();
    }
    rollout::check_selector(spec, "deployment");
    rollout::check_template(spec);
}

/// What is wrong with the numbers of a status.
pub(crate) fn check_status(status: Place<'_>) {
    for member in [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "terminatingReplicas",
        "observedGeneration",
    ] {
        status.get(member).not_negative();
    }
    check_replica_order(
        status,
        &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        "readyReplicas",
    );
}
