//! VolumeAttachment.

use machinery::{Value, names};

use crate::core::volume_source;
use crate::internal;
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults;
use crate::pod_spec::volumes::check_csi_driver_name;
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct VolumeAttachment;

const METADATA_MAX: usize = 256 * 1024;
const MESSAGE_MAX: usize = 1024;

impl Kind for VolumeAttachment {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).bare_status().conditional_update()
    }

    fn default(&self, object: &mut Value) {
        let Some(inline) = object.entry("spec").entry("source").get_mut("inlineVolumeSpec") else { return };
        for kind in volume_source::SOURCES {
            if let Some(source) = inline.get_mut(kind) {
                defaults::source(kind, source);
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::from([("attached", Value::from(false))]));
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        check_csi_driver_name(spec.get("attacher"));
        let source = spec.get("source");
        let (volume, inline) = (source.get("persistentVolumeName"), source.get("inlineVolumeSpec"));
        let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        match (volume.is_set(), inline.is_set()) {
            (false, false) => source.required(one),
            (true, true) => source.forbidden(one),
            (true, false) if volume.text().is_empty() => {
                volume.required("must specify non empty persistentVolumeName");
            }
            (true, false) => {}
            (false, true) => volume_source::check_inline(inline),
        }
        let node = spec.get("nodeName");
        node.faults(names::dns1123_subdomain(node.text()));
        check_status(object.get("status"));
        if volume.is_set() {
            volume.faults(names::dns1123_subdomain(volume.text()));
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        self.check(object);
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
    let metadata = status.get("attachmentMetadata");
    let size: usize = metadata.entries().map(|(key, value)| key.len() + value.text().len()).sum();
    if size > METADATA_MAX {
        metadata.too_long(METADATA_MAX);
    }
    for member in ["attachError", "detachError"] {
        let error = status.get(member);
        let message = error.get("message");
        if message.text().len() > MESSAGE_MAX {
            // What is told is the bound of the metadata, as upstream tells it.
            message.too_long(METADATA_MAX);
        }
        let code = error.get("errorCode");
        if code.int() < 0 {
            code.invalid(names::between(0, i64::from(i32::MAX)));
        }
    }
}
