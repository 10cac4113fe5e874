//! HorizontalPodAutoscaler, in both of its versions. The older one speaks of CPU only.

use machinery::{Value, names};

use super::{behavior, metrics};
use crate::place::Place;
use crate::pod_spec::defaults::or;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind of `autoscaling/v1`.
pub struct HorizontalPodAutoscalerV1;
/// The kind of `autoscaling/v2`.
pub struct HorizontalPodAutoscaler;

const POLICY: Policy = Policy::namespaced(NameRule::Subdomain).status();

impl Kind for HorizontalPodAutoscaler {
    fn policy(&self) -> Policy {
        POLICY
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        or(spec, "minReplicas", 1i64);
        if spec.get("metrics").is_empty() {
            let target = Value::from([
                ("type", Value::from("Utilization")),
                ("averageUtilization", Value::from(80i64)),
            ]);
            let resource = Value::from([("name", Value::from("cpu")), ("target", target)]);
            spec.set(
                "metrics",
                vec![Value::from([("type", Value::from("Resource")), ("resource", resource)])],
            );
        }
        behavior::default(spec);
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set(
            "status",
            Value::from([("desiredReplicas", Value::from(0i64)), ("currentMetrics", Value::Null)]),
        );
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        check_replicas(spec);
        check_target(spec.get("scaleTargetRef"));
        metrics::check(spec.get("metrics"), spec.get("minReplicas").number());
        behavior::check(spec.get("behavior"));
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_status(object.get("status"));
        }
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::batch::HORIZONTAL_POD_AUTOSCALER
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        row(object, metrics::shown(spec.get("metrics"), status.get("currentMetrics")), now_secs)
    }
}

impl Kind for HorizontalPodAutoscalerV1 {
    fn policy(&self) -> Policy {
        POLICY
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        or(spec, "minReplicas", 1i64);
        or(spec, "targetCPUUtilizationPercentage", 80i64);
    }

    fn prepare_create(&self, object: &mut Value) {
        let zero = || Value::from(0i64);
        object.set("status", Value::from([("currentReplicas", zero()), ("desiredReplicas", zero())]));
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        check_replicas(spec);
        check_target(spec.get("scaleTargetRef"));
        if spec.get("minReplicas").number() == Some(0) {
            // This version knows of no other metric than that of the CPU.
            metrics::forbid_zero(spec.get("metrics"));
        }
        let target = spec.get("targetCPUUtilizationPercentage");
        if target.is_set() && target.int() < 1 {
            let place = spec.with(target.value());
            let (metrics, shown) = (place.at("metrics"), target.int());
            let (metric, resource) = (metrics.at_index(0), "resource");
            let resource = metric.at(resource);
            resource.at("target").at("averageUtilization").invalid_as(shown, "must be greater than 0");
        }
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_status(object.get("status"));
        }
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::batch::HORIZONTAL_POD_AUTOSCALER
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let percent =
            |value: &Value| value.as_int().map_or("<unknown>".to_owned(), |percent| format!("{percent}%"));
        let target = object.at(&["spec", "targetCPUUtilizationPercentage"]);
        let current = object.at(&["status", "currentCPUUtilizationPercentage"]);
        let shown = if target.is_null() {
            "<none>".to_owned()
        } else {
            format!("cpu: {}/{}", percent(current), percent(target))
        };
        row(object, shown, now_secs)
    }
}

fn row(object: &Value, targets: String, now_secs: i64) -> Vec<Value> {
    let (spec, status) = (object.get("spec"), object.get("status"));
    let target = spec.get("scaleTargetRef");
    let reference = format!("{}/{}", target.get("kind").str_or_empty(), target.get("name").str_or_empty());
    vec![
        table::name(object),
        Value::from(reference),
        Value::from(targets),
        Value::from(
            spec.get("minReplicas").as_int().map_or("<unset>".to_owned(), |number| number.to_string()),
        ),
        table::int(spec.get("maxReplicas")),
        table::int(status.get("currentReplicas")),
        table::age(object, now_secs),
    ]
}

fn check_replicas(spec: Place<'_>) {
    let (min, max) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    if min.number().is_some_and(|number| number < 1) {
        min.invalid("must be greater than or equal to 1");
    }
    if max.int() == 0 {
        max.required("must be set and greater than 0");
    } else if max.int() < 0 {
        max.invalid("must be greater than or equal to 1");
    }
    if min.number().is_some_and(|number| max.int() < number) {
        max.invalid_number("must be greater than or equal to `minReplicas`");
    }
}

/// What is wrong with a reference to an object by its name; answers the group it names, if it can be read.
pub(super) fn check_reference<'a>(target: Place<'a>) -> Option<&'a str> {
    for member in ["kind", "name"] {
        let place = target.get(member);
        if place.text().is_empty() {
            place.required("");
        } else {
            place.faults(names::path_segment(place.text()));
        }
    }
    let version = target.value().get("apiVersion").str_or_empty();
    let mut parts = version.splitn(3, '/');
    let first = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        (_, Some(_)) => {
            let place = target.get("apiVersion");
            place.invalid_as(version, format!("unexpected GroupVersion string: {version}"));
            None
        }
        (Some(_), None) => Some(first),
        (None, None) => Some(""),
    }
}

fn check_target(target: Place<'_>) {
    if check_reference(target) == Some("") && target.get("kind").text() != "ReplicationController" {
        let version = target.get("apiVersion");
        version.invalid_as(version.text(), "apiVersion must specify API group");
    }
}

fn check_status(status: Place<'_>) {
    for member in ["currentReplicas", "desiredReplicas"] {
        status.get(member).not_negative();
    }
}
