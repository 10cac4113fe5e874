//! StatefulSet.

use machinery::{Value, names};

use super::deployment::check_replica_order;
use super::rollout;
use crate::internal;
use crate::label_selector::{self, Values, is_blank};
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults::{self, members, or, or_text};
use crate::pod_spec::template;
use crate::policy::{NameRule, Policy, keep};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct StatefulSet;

const UPDATABLE: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                         'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                         'minReadySeconds' are forbidden";
const CHANGEABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

impl Kind for StatefulSet {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Label).generation().status()
    }

    fn default(&self, object: &mut Value) {
        let spec = object.entry("spec");
        defaults::template(spec.entry("template"));
        or_text(spec, "podManagementPolicy", "OrderedReady");
        let strategy = spec.entry("updateStrategy");
        or_text(strategy, "type", "RollingUpdate");
        if strategy.get("type").str_or_empty() == "RollingUpdate" {
            or(strategy.entry("rollingUpdate"), "partition", 0i64);
        }
        let retention = spec.entry("persistentVolumeClaimRetentionPolicy");
        or_text(retention, "whenDeleted", "Retain");
        or_text(retention, "whenScaled", "Retain");
        or(spec, "replicas", 1i64);
        or(spec, "revisionHistoryLimit", 10i64);
        for claim in members(spec, "volumeClaimTemplates") {
            or(claim, "apiVersion", "v1");
            or(claim, "kind", "PersistentVolumeClaim");
            crate::core::default_claim_spec(claim.entry("spec"));
            or_text(claim.entry("status"), "phase", "Pending");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set(
            "status",
            Value::from([("replicas", Value::from(0i64)), ("availableReplicas", Value::from(0i64))]),
        );
        object.entry("metadata").set("generation", 1i64);
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let service = spec.get("serviceName");
        if !service.text().is_empty() {
            service.faults(names::dns1123_label(service.text()));
        }
        check_spec(spec);
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            let status = object.get("status");
            for member in [
                "replicas",
                "readyReplicas",
                "currentReplicas",
                "updatedReplicas",
                "availableReplicas",
                "observedGeneration",
                "collisionCount",
            ] {
                status.get(member).not_negative();
            }
            let parts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
            check_replica_order(status, &parts, "status.readyReplicas");
            if let Some(before) = old.at(&["status", "collisionCount"]).as_int()
                && status.get("collisionCount").int() < before
            {
                let collisions = status.get("collisionCount");
                collisions.invalid_as(collisions.int(), "cannot be decremented");
            }
            return;
        }
        let spec = object.get("spec");
        check_spec(spec);
        let mut munged = spec.value().clone();
        for member in CHANGEABLE {
            keep(&mut munged, old.get("spec"), member);
        }
        if !same(&munged, old.get("spec")) {
            spec.forbidden(UPDATABLE);
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::apps::STATEFUL_SET
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let number = |value: &Value| value.as_int().unwrap_or(0);
        let (names, images) = table::containers(spec.at(&["template", "spec"]));
        vec![
            table::name(object),
            Value::from(format!("{}/{}", number(status.get("readyReplicas")), number(spec.get("replicas")))),
            table::age(object, now_secs),
            names,
            images,
        ]
    }
}

fn check_spec(spec: Place<'_>) {
    let management = spec.get("podManagementPolicy");
    match management.text() {
        "" => management.required(""),
        "OrderedReady" | "Parallel" => {}
        _ => management.invalid("must be 'OrderedReady' or 'Parallel'"),
    }
    check_strategy(spec.get("updateStrategy"));
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    if retention.is_set() {
        for member in ["whenDeleted", "whenScaled"] {
            retention.get(member).one_of(&["Retain", "Delete"]);
        }
    }
    for member in ["replicas", "minReadySeconds"] {
        spec.get(member).not_negative();
    }
    let ordinals = spec.get("ordinals");
    ordinals.get("start").not_negative();
    let selector = spec.get("selector");
    if !selector.is_set() {
        selector.required("");
    } else {
        label_selector::check(selector, Values::Valid);
        if is_blank(selector) {
            selector.invalid("empty selector is invalid for statefulset");
        }
    }
    let template = spec.get("template");
    match machinery::selector::LabelSelector::from_document(selector.value()) {
        Err(_) => selector.invalid(""),
        Ok(parsed) => {
            if !parsed.is_everything() {
                template::check_selected(template, selector.value());
            }
            // What the containers mount may come from claims that are made with each pod.
            let metadata = template.get("metadata");
            crate::metadata::check_labels(template.with(metadata.value().get("labels")).at("labels"));
            crate::metadata::check_annotations(
                template.with(metadata.value().get("annotations")).at("annotations"),
            );
        }
    }
    template::check_long_running(template, "StatefulSet");
    let history = spec.get("revisionHistoryLimit");
    history.not_negative();
}

fn check_strategy(strategy: Place<'_>) {
    let rolling = strategy.get("rollingUpdate");
    match strategy.get("type").text() {
        "" => strategy.required(""),
        "OnDelete" if rolling.is_set() => {
            let shown = internal::show("RollingUpdateStatefulSetStrategy", rolling.value());
            rolling.invalid_as(Raw(shown), "only allowed for updateStrategy 'RollingUpdate'");
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            rolling.get("partition").not_negative();
            let unavailable = rolling.get("maxUnavailable");
            if unavailable.is_set() {
                rollout::check_int_or_percent(unavailable);
                if rollout::number_of(unavailable.value()) == 0 {
                    unavailable.invalid("cannot be 0");
                }
                rollout::check_not_above_all(unavailable);
            }
        }
        _ => {
            let shown = internal::show("StatefulSetUpdateStrategy", strategy.value());
            strategy.invalid_as(Raw(shown), "must be 'RollingUpdate' or 'OnDelete'");
        }
    }
}
