//! Deployment.

use machinery::Value;

use super::rollout;
use crate::internal;
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults::{self, or, or_text};
use crate::policy::{self, NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Deployment;

impl Kind for Deployment {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation().status()
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        defaults::template(spec.entry("template"));
        or(spec, "replicas", 1i64);
        let strategy = spec.entry("strategy");
        or_text(strategy, "type", "RollingUpdate");
        if strategy.get("type").str_or_empty() == "RollingUpdate" {
            let rolling = strategy.entry("rollingUpdate");
            or(rolling, "maxUnavailable", "25%");
            or(rolling, "maxSurge", "25%");
        }
        or(spec, "revisionHistoryLimit", 10i64);
        or(spec, "progressDeadlineSeconds", 600i64);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        policy::prepare_update(self.policy(), object, old, door);
        if door.is_status() {
            policy::keep(object.entry("metadata"), old.get("metadata"), "labels");
        } else {
            // Its annotations are handed on to its replica sets: they count as part of what is wanted.
            policy::count_generation(object, old, |object, old| {
                same(object.get("spec"), old.get("spec")) && same(annotations(object), annotations(old))
            });
        }
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object.get("spec"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_status(object.get("status"), old.get("status"));
        }
        check_spec(object.get("spec"));
        let spec = object.get("spec");
        spec.get("selector").immutable(old.at(&["spec", "selector"]));
    }

    fn columns(&self) -> &'static [Column] {
        columns::apps::DEPLOYMENT
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let number = |value: &Value| value.as_int().unwrap_or(0);
        let (names, images) = table::containers(spec.at(&["template", "spec"]));
        vec![
            table::name(object),
            Value::from(format!("{}/{}", number(status.get("readyReplicas")), number(spec.get("replicas")))),
            table::int(status.get("updatedReplicas")),
            table::int(status.get("availableReplicas")),
            table::age(object, now_secs),
            names,
            images,
            table::selector(spec.get("selector")),
        ]
    }
}

fn annotations(object: &Value) -> &Value {
    object.at(&["metadata", "annotations"])
}

fn check_spec(spec: Place<'_>) {
    spec.get("replicas").not_negative();
    rollout::check_selector(spec, "deployment");
    rollout::check_template(spec);
    check_strategy(spec.get("strategy"));
    for member in ["minReadySeconds", "revisionHistoryLimit"] {
        spec.get(member).not_negative();
    }
    let rollback = spec.get("rollbackTo");
    rollback.get("revision").not_negative();
    let deadline = spec.get("progressDeadlineSeconds");
    if deadline.is_set() {
        deadline.not_negative();
        if deadline.int() <= spec.get("minReadySeconds").int() {
            deadline.invalid("must be greater than minReadySeconds");
        }
    }
}

fn check_strategy(strategy: Place<'_>) {
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").text() {
        "Recreate" if rolling.is_set() => {
            rolling.forbidden("may not be specified when strategy `type` is 'Recreate'");
        }
        "RollingUpdate" if !rolling.is_set() => {
            rolling.required("this should be defaulted and never be nil");
        }
        "Recreate" => {}
        "RollingUpdate" => rollout::check_rolling(rolling),
        _ => {
            let shown = internal::show("DeploymentStrategy", strategy.value());
            strategy.unsupported_as(Raw(shown), &["Recreate", "RollingUpdate"]);
        }
    }
}

fn check_status(status: Place<'_>, old: &Value) {
    for member in [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
    ] {
        status.get(member).not_negative();
    }
    let collisions = status.get("collisionCount");
    collisions.not_negative();
    let parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
    check_replica_order(status, &parts, "readyReplicas");
    if let Some(before) = old.get("collisionCount").as_int()
        && collisions.int() < before
    {
        let told = if collisions.is_set() { "cannot be decremented" } else { "cannot be removed" };
        collisions.invalid(told);
    }
}

/// No part is larger than the whole. `ready` is what complaints call the number of those that are ready.
pub(crate) fn check_replica_order(status: Place<'_>, parts: &[&'static str], ready: &str) {
    let total = status.get("replicas").int();
    for part in parts.iter().map(|part| status.get(part)) {
        if part.int() > total {
            part.invalid_as(part.int(), "cannot be greater than status.replicas");
        }
    }
    let available = status.get("availableReplicas");
    if available.int() > status.get("readyReplicas").int() {
        available.invalid_as(available.int(), format!("cannot be greater than {ready}"));
    }
}
