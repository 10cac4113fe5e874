//! StatefulSet.

use machinery::field::Errors;
use machinery::{Value, names};

use super::deployment::check_replica_order;
use super::rollout;
use crate::internal;
use crate::label_selector::{self, Values, is_blank};
use crate::metadata::{check_annotations, check_labels};
use crate::place::{Place, Raw, inspect, same};
use crate::pod_spec::defaults::{self, members, or, or_text};
use crate::pod_spec::template;
use crate::policy::{self, NameRule, Policy, keep};
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
            claim.set("apiVersion", "v1");
            claim.set("kind", "PersistentVolumeClaim");
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
        drop_max_unavailable(object, &Value::Null);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        drop_max_unavailable(object, old);
        policy::prepare_update(self.policy(), object, old, door);
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object.get("spec"), Occasion::Create);
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
        let mut errors = Errors::new();
        inspect(old.get("spec"), &mut errors, |spec| check_spec(spec, Occasion::Update));
        check_spec(spec, if errors.is_empty() { Occasion::Update } else { Occasion::UpdateOfWrong });
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

/// What is left as it is where the feature `MaxUnavailableStatefulSet`, which is off, is not in use already.
fn drop_max_unavailable(object: &mut Value, old: &Value) {
    let path = ["spec", "updateStrategy", "rollingUpdate"];
    if old.at(&path).get("maxUnavailable").is_null() && !object.at(&path).is_null() {
        object.at_mut(&path).remove("maxUnavailable");
    }
}

/// When a specification is looked at: what cannot change is not looked at again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occasion {
    /// It is new.
    Create,
    /// It takes the place of one that was right.
    Update,
    /// It takes the place of one that was wrong already: the template is not looked at.
    UpdateOfWrong,
}

fn check_spec(spec: Place<'_>, occasion: Occasion) {
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
    if occasion == Occasion::Create {
        for claim in spec.get("volumeClaimTemplates").items() {
            crate::core::volume_claim::check_spec(claim.get("spec"), &Value::Null);
        }
    }
    for member in ["replicas", "minReadySeconds"] {
        spec.get(member).not_negative();
    }
    let ordinals = spec.get("ordinals");
    ordinals.get("start").not_negative();
    let service = spec.get("serviceName");
    if occasion == Occasion::Create && !service.text().is_empty() {
        service.faults(names::dns1123_label(service.text()));
    }
    check_template(spec, occasion);
}

fn check_template(spec: Place<'_>, occasion: Occasion) {
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
    match label_selector::parsed(selector.value()) {
        None => selector.invalid(""),
        Some(parsed) => {
            let munged = with_claims(spec.value());
            let template = template.with(&munged);
            template::check_selected(template, &parsed);
            if occasion != Occasion::UpdateOfWrong {
                template::check(template);
            }
            let metadata = template.get("metadata");
            check_labels(template.with(metadata.value().get("labels")).at("labels"));
            check_annotations(template.with(metadata.value().get("annotations")).at("annotations"));
        }
    }
    template::check_long_running(template, "StatefulSet");
}

/// The template as its pods will have it: with the volumes that are made for each of them, without the names that they
/// get.
fn with_claims(spec: &Value) -> Value {
    let mut template = spec.get("template").clone();
    let Some(pod) = template.get_mut("spec") else { return template };
    pod.remove("subdomain");
    pod.remove("hostname");
    let claims = spec.get("volumeClaimTemplates").items().iter();
    let mut volumes: Vec<Value> = claims
        .map(|claim| {
            let name = claim.at(&["metadata", "name"]).clone();
            let source = Value::from([("claimName", name.clone())]);
            Value::from([("name", name), ("persistentVolumeClaim", source)])
        })
        .collect();
    if volumes.is_empty() {
        return template;
    }
    let named = volumes.iter().map(|volume| volume.get("name").clone()).collect::<Vec<_>>();
    let others = pod.get("volumes").items().iter().filter(|volume| !named.contains(volume.get("name")));
    volumes.extend(others.cloned());
    pod.set("volumes", volumes);
    template
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
