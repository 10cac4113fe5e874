//! The rules of what a persistent volume is made of: its specification alone, and inline in an attachment.

use machinery::names;

use super::volume_claim::check_access_modes;
use crate::place::Place;
use crate::pod_spec::network_storage::{self, Owner, name_of_source, name_of_surplus, need};
use crate::pod_spec::resources::amount;
use crate::pod_spec::volumes::{check_csi_driver_name, check_host_path, has_backsteps};

/// Every way a volume can come about, in the order they are looked at.
pub(crate) const SOURCES: [&str; 22] = [
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
const NOT_INLINE: &str = "may not be specified in the context of inline volumes";

/// What is wrong with the specification of a volume of this name.
pub(super) fn check(spec: Place<'_>, volume: &str) {
    check_modes(spec);
    let size = spec.get("capacity");
    if size.is_empty() {
        size.required("");
    }
    if size.len() != 1 || size.value().get("storage").is_null() {
        size.unsupported_as(size.value(), &["storage"]);
    }
    for (_, place) in size.entries() {
        let held = amount(place.value());
        if held.value() < 0 {
            place.invalid_as(held.value(), "must be a valid resource quantity");
        }
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
    check_source(spec, volume, affinity.is_set());
    check_recycled(spec);
    let class = spec.get("storageClassName");
    if !class.text().is_empty() {
        class.faults(names::dns1123_subdomain(class.text()));
    }
    let mode = spec.get("volumeMode");
    if mode.is_set() {
        mode.one_of(&["Block", "Filesystem"]);
    }
    check_attributes_class(spec);
}

/// What is wrong with a volume that stands in an attachment, as those that were volumes of pods before do.
pub(crate) fn check_inline(spec: Place<'_>) {
    if spec.get("claimRef").is_set() {
        spec.get("claimRef").forbidden(NOT_INLINE);
    }
    if !spec.get("capacity").is_empty() {
        spec.get("capacity").forbidden(NOT_INLINE);
    }
    if !spec.get("csi").is_set() {
        spec.get("csi").required("has to be specified in the context of inline volumes");
    }
    check_modes(spec);
    let policy = spec.get("persistentVolumeReclaimPolicy");
    if !policy.text().is_empty() && policy.text() != "Retain" {
        policy.forbidden("may only be Retain in the context of inline volumes");
    }
    if spec.get("nodeAffinity").is_set() {
        spec.get("nodeAffinity").forbidden(NOT_INLINE);
    }
    check_source(spec, "", false);
    check_recycled(spec);
    if !spec.get("storageClassName").text().is_empty() {
        spec.get("storageClassName").forbidden(NOT_INLINE);
    }
    let mode = spec.get("volumeMode");
    if mode.is_set() && mode.text() != "Filesystem" {
        mode.forbidden("may not specify volumeMode other than Filesystem in the context of inline volumes");
    }
}

fn check_modes(spec: Place<'_>) {
    let modes = spec.get("accessModes");
    if modes.is_empty() {
        modes.required("");
    }
    check_access_modes(modes);
}

fn check_recycled(spec: Place<'_>) {
    let policy = spec.get("persistentVolumeReclaimPolicy");
    let path = spec.value().at(&["hostPath", "path"]).str_or_empty();
    let is_root = path.starts_with('/') && path.split('/').all(|part| part.is_empty() || part == ".");
    if is_root && policy.text() == "Recycle" {
        policy.forbidden("may not be 'recycle' for a hostPath mount of '/'");
    }
}

fn check_attributes_class(spec: Place<'_>) {
    let class = spec.get("volumeAttributesClassName");
    if !class.is_set() {
        return;
    }
    if class.text().is_empty() {
        class.required("an empty string is disallowed");
    } else {
        class.faults(names::dns1123_subdomain(class.text()));
    }
    if !spec.get("csi").is_set() {
        spec.get("csi").required("has to be specified when using volumeAttributesClassName");
    }
}

fn check_source(spec: Place<'_>, volume: &str, has_affinity: bool) {
    let mut is_there = false;
    for kind in SOURCES {
        let source = spec.get(kind);
        if !source.is_set() {
            continue;
        }
        // Drivers of old may stand beside others.
        if std::mem::replace(&mut is_there, true) && kind != "flexVolume" {
            let surplus = spec.with(source.value());
            surplus.at(name_of_surplus(kind)).forbidden("may not specify more than 1 volume type");
            continue;
        }
        match kind {
            "hostPath" => check_host_path(source),
            "local" => {
                check_local(source);
                if !has_affinity {
                    spec.get("nodeAffinity").required("Local volume requires node affinity");
                }
            }
            "csi" => check_csi(source),
            other => {
                let told = spec.with(source.value());
                network_storage::check(other, told.at(name_of_source(other)), Owner::Volume(volume));
            }
        }
    }
    if !is_there {
        spec.required("must specify a volume type");
    }
}

fn check_local(source: Place<'_>) {
    let path = source.get("path");
    if path.text().is_empty() {
        path.required("");
    } else if has_backsteps(path.text()) {
        path.invalid("must not contain '..'");
    }
}

fn check_csi(source: Place<'_>) {
    check_csi_driver_name(source.get("driver"));
    need(source, &["volumeHandle"]);
    for secret in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        check_secret(source.get(secret));
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
