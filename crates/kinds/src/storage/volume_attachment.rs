//! VolumeAttachment.

use machinery::{Value, names};

use crate::internal;
use crate::place::{Place, Raw, same};
use crate::pod_spec::volumes::check_csi_driver_name;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct VolumeAttachment;

impl Kind for VolumeAttachment {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).bare_status().conditional_update()
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::from([("attached", Value::from(false))]));
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let attacher = spec.get("attacher");
        if attacher.text().is_empty() {
            attacher.required("");
        } else {
            attacher.faults(names::qualified_name(&attacher.text().to_lowercase()));
        }
        let source = spec.get("source");
        let (volume, inline) = (source.get("persistentVolumeName"), source.get("inlineVolumeSpec"));
        match (volume.is_set(), inline.is_set()) {
            (false, false) => {
                source.required("must specify exactly one of inlineVolumeSpec and persistentVolumeName")
            }
            (true, true) => {
                source.forbidden("must specify exactly one of inlineVolumeSpec and persistentVolumeName");
            }
            (true, false) if volume.text().is_empty() => {
                volume.required("must specify non empty persistentVolumeName")
            }
            (true, false) => volume.faults(names::dns1123_subdomain(volume.text())),
            (false, true) => {}
        }
        let node = spec.get("nodeName");
        node.faults(names::dns1123_subdomain(node.text()));
        check_status(object.get("status"));
        if !attacher.text().is_empty() {
            check_csi_driver_name(attacher);
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_status(object.get("status"));
        }
        let spec = object.get("spec");
        if !same(spec.value(), old.get("spec")) {
            spec.invalid_as(Raw(internal::show("VolumeAttachmentSpec", spec.value())), "field is immutable");
        }
    }

    fn columns(&self) -> &'static [Column] {
        columns::storage::VOLUME_ATTACHMENT
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let spec = object.get("spec");
        vec![
            table::name(object),
            table::text(spec.get("attacher")),
            table::text(spec.at(&["source", "persistentVolumeName"])),
            table::text(spec.get("nodeName")),
            Value::from(object.at(&["status", "attached"]).is_true()),
            table::age(object, now_secs),
        ]
    }
}

fn check_status(status: Place<'_>) {
    const MESSAGE_MAX: usize = 1024;
    for member in ["attachError", "detachError"] {
        let error = status.get(member);
        let message = error.get("message");
        if message.text().len() > MESSAGE_MAX {
            message.too_long(MESSAGE_MAX);
        }
    }
}
