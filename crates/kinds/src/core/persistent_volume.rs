//! PersistentVolume.

use machinery::Value;

use super::volume_claim::{capacity, short_modes, storage_class};
use super::volume_source::{self, SOURCES};
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults::{self, amounts, or, or_text};
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, diff, internal, table};

/// The kind.
pub struct PersistentVolume;

impl Kind for PersistentVolume {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).status()
    }

    fn default(&self, object: &mut Value) {
        or_text(object.entry("status"), "phase", "Pending");
        let spec = object.entry("spec");
        or_text(spec, "persistentVolumeReclaimPolicy", "Retain");
        or(spec, "volumeMode", "Filesystem");
        if let Some(capacity) = spec.get_mut("capacity") {
            amounts(capacity);
        }
        for kind in SOURCES {
            if let Some(source) = spec.get_mut(kind) {
                defaults::source(kind, source);
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        let created = object.at(&["metadata", "creationTimestamp"]).clone();
        let status = object.entry("status");
        *status = Value::from([("phase", Value::from("Pending"))]);
        if !created.is_null() {
            status.set("lastPhaseTransitionTime", created);
        }
    }

    fn check(&self, object: Place<'_>) {
        volume_source::check(object.get("spec"), name(object));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return;
        }
        crate::metadata::check(object.get("metadata"), &self.policy());
        let spec = object.get("spec");
        volume_source::check(spec, name(object));
        let old_spec = old.get("spec");
        check_source_kept(spec, old_spec);
        let whole = object.with(spec.value().get("volumeMode"));
        whole.at("volumeMode").immutable(old_spec.get("volumeMode"));
        let (affinity, old_affinity) = (spec.value().get("nodeAffinity"), old_spec.get("nodeAffinity"));
        if !old_affinity.is_null() && !same(affinity, &renamed(old_affinity, affinity)) {
            let shown = if affinity.is_null() {
                "null".to_owned()
            } else {
                internal::show("VolumeNodeAffinity", affinity)
            };
            // Told without saying that it is in the specification.
            object
                .at("nodeAffinity")
                .invalid_as(Raw(shown), "field is immutable, except for updating from beta label to GA");
        }
        let class = spec.get("volumeAttributesClassName");
        if !class.is_set() && !old_spec.get("volumeAttributesClassName").is_null() {
            class.forbidden("update from non-nil value to nil is forbidden");
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::PERSISTENT_VOLUME
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let claim = spec.get("claimRef");
        let claim = match claim {
            Value::Null => String::new(),
            claim => {
                format!("{}/{}", claim.get("namespace").str_or_empty(), claim.get("name").str_or_empty())
            }
        };
        let phase = match object.at(&["metadata", "deletionTimestamp"]) {
            Value::Null => status.get("phase").str_or_empty(),
            _ => "Terminating",
        };
        vec![
            table::name(object),
            Value::from(capacity(spec.get("capacity"))),
            Value::from(short_modes(spec.get("accessModes"))),
            table::text(spec.get("persistentVolumeReclaimPolicy")),
            Value::from(phase),
            Value::from(claim),
            table::text(storage_class(object)),
            table::text_or(spec.get("volumeAttributesClassName"), "<unset>"),
            table::text(status.get("reason")),
            table::age(object, now_secs),
            table::text_or(spec.get("volumeMode"), "<unset>"),
        ]
    }
}

fn name(object: Place<'_>) -> &str {
    object.value().at(&["metadata", "name"]).str_or_empty()
}

/// What a volume is made of stays, but for a secret that its driver needs to let it grow and that nobody named before.
fn check_source_kept(spec: Place<'_>, old_spec: &Value) {
    const GROWING: &[&str] = &["csi", "controllerExpandSecretRef"];
    let mut source = spec.value().clone();
    if !old_spec.get("csi").is_null() && old_spec.at(GROWING).is_null() && !source.at(GROWING).is_null() {
        source.entry("csi").remove("controllerExpandSecretRef");
    }
    if SOURCES.iter().all(|kind| same(source.get(kind), old_spec.get(kind))) {
        return;
    }
    let shown = |spec: &Value| internal::show_indented("PersistentVolumeSource", spec);
    let difference = diff::unified(&shown(old_spec), &shown(&source));
    spec.at("persistentvolumesource")
        .forbidden(format!("spec.persistentvolumesource is immutable after creation\n{difference}"));
}

/// What was before, with labels of old under their names of today wherever `new` has these.
fn renamed(old: &Value, new: &Value) -> Value {
    const TERMS: &[&str] = &["required", "nodeSelectorTerms"];
    let mut renamed = old.clone();
    if renamed.at(TERMS).is_null() {
        return renamed;
    }
    let terms = renamed.at_mut(TERMS).items_mut().iter_mut().zip(new.at(TERMS).items());
    for (term, new_term) in terms {
        for list in ["matchExpressions", "matchFields"] {
            let Some(requirements) = term.get_mut(list) else { continue };
            for (requirement, new) in requirements.items_mut().iter_mut().zip(new_term.get(list).items()) {
                let today = today(requirement.get("key").str_or_empty());
                if today.is_some() && today == new.get("key").as_str() {
                    requirement.set("key", new.get("key").clone());
                }
            }
        }
    }
    renamed
}

/// What a label is called today.
fn today(label: &str) -> Option<&'static str> {
    Some(match label {
        "beta.kubernetes.io/arch" => "kubernetes.io/arch",
        "beta.kubernetes.io/instance-type" => "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/os" => "kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region" => "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone" => "topology.kubernetes.io/zone",
        _ => return None,
    })
}
