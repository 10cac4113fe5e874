//! PersistentVolume.

use machinery::{Value, names};

use super::volume_claim::{capacity, short_modes, storage_class};
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults::{self, amounts, or, or_text};
use crate::pod_spec::network_storage::{self, name_of_source, name_of_surplus};
use crate::pod_spec::resources::amount;
use crate::pod_spec::volumes::{check_csi_driver_name, check_host_path, has_backsteps};
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, diff, internal, table};

/// The kind.
pub struct PersistentVolume;

/// Every way a volume can come about, in the order they are looked at.
const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

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
        check_spec(object.get("spec"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return;
        }
        crate::metadata::check(object.get("metadata"), &self.policy());
        let spec = object.get("spec");
        check_spec(spec);
        let old_spec = old.get("spec");
        let changed = SOURCES.iter().any(|kind| !same(spec.value().get(kind), old_spec.get(kind)));
        if changed {
            let shown = |spec: &Value| internal::show_indented("PersistentVolumeSource", spec);
            let difference = diff::unified(&shown(old_spec), &shown(spec.value()));
            spec.at("persistentvolumesource")
                .forbidden(format!("spec.persistentvolumesource is immutable after creation\n{difference}"));
        }
        spec.get("volumeMode").immutable(old_spec.get("volumeMode"));
        let affinity = spec.get("nodeAffinity");
        if !old_spec.get("nodeAffinity").is_null() && !same(affinity.value(), old_spec.get("nodeAffinity")) {
            affinity.invalid_as(
                Raw(internal::show("VolumeNodeAffinity", affinity.value())),
                "field is immutable, except for updating from beta label to GA",
            );
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

fn check_spec(spec: Place<'_>) {
    let modes = spec.get("accessModes");
    if modes.is_empty() {
        modes.required("");
    }
    super::volume_claim::check_access_modes(modes);
    let size = spec.get("capacity");
    if size.is_empty() {
        size.required("");
    }
    if size.len() != 1 || size.value().get("storage").is_null() {
        size.unsupported_as(size.value(), &["storage"]);
    }
    for (_, place) in size.entries() {
        let held = amount(place.value());
        if held.signum() <= 0 {
            place.invalid_as(&held.to_string(), "must be greater than zero");
        }
    }
    let policy = spec.get("persistentVolumeReclaimPolicy");
    if !policy.text().is_empty() {
        policy.one_of(&["Delete", "Recycle", "Retain"]);
    }
    let affinity = spec.get("nodeAffinity");
    if affinity.is_set() {
        let required = affinity.get("required");
        if required.is_set() {
            crate::pod_spec::check_node_selector(required);
        } else {
            required.required("must specify required node constraints");
        }
    }
    check_source(spec);
    let path = spec.value().at(&["hostPath", "path"]).str_or_empty();
    let is_root = !path.is_empty() && path.split('/').all(|part| part.is_empty() || part == ".");
    if is_root && policy.text() == "Recycle" {
        policy.forbidden("may not be 'recycle' for a hostPath mount of '/'");
    }
    for member in ["storageClassName", "volumeAttributesClassName"] {
        let class = spec.get(member);
        if !class.text().is_empty() {
            class.faults(names::dns1123_subdomain(class.text()));
        }
    }
    let mode = spec.get("volumeMode");
    if mode.is_set() {
        mode.one_of(&["Block", "Filesystem"]);
    }
}

fn check_source(spec: Place<'_>) {
    let mut first = "";
    for kind in SOURCES {
        let source = spec.get(kind);
        if !source.is_set() {
            continue;
        }
        if !first.is_empty() {
            spec.with(source.value())
                .at(name_of_surplus(kind))
                .forbidden("may not specify more than 1 volume type");
            continue;
        }
        first = kind;
        match kind {
            "hostPath" => check_host_path(source),
            "local" => {
                let path = source.get("path");
                if path.text().is_empty() {
                    path.required("");
                } else if has_backsteps(path.text()) {
                    path.invalid("must not contain '..'");
                }
                if spec.get("nodeAffinity").get("required").value().is_null() {
                    let affinity = spec.get("nodeAffinity");
                    affinity.required("Local volume requires node affinity");
                }
            }
            "csi" => {
                check_csi_driver_name(source.get("driver"));
                if source.get("volumeHandle").text().is_empty() {
                    source.get("volumeHandle").required("");
                }
                for secret in [
                    "controllerPublishSecretRef",
                    "controllerExpandSecretRef",
                    "nodePublishSecretRef",
                    "nodeExpandSecretRef",
                ] {
                    check_secret(source.get(secret));
                }
            }
            other => {
                let told = spec.with(source.value());
                network_storage::check(other, told.at(name_of_source(other)));
            }
        }
    }
    if first.is_empty() {
        spec.required("must specify a volume type");
    }
}

/// What is wrong with the name of a secret that a driver reads.
fn check_secret(secret: Place<'_>) {
    if !secret.is_set() {
        return;
    }
    let (name, namespace) = (secret.get("name"), secret.get("namespace"));
    if name.text().is_empty() {
        name.required("");
    } else {
        name.faults(names::dns1123_subdomain(name.text()));
    }
    if namespace.text().is_empty() {
        namespace.required("");
    } else {
        namespace.faults(names::dns1123_label(namespace.text()));
    }
}
