//! Who manages which fields: kept up to date on every write.

use machinery::Value;
use machinery::apply::{self, Write};
use machinery::time::Timestamp;

use crate::registry::Served;
use crate::write::Request;

/// Now, as managed fields write it.
pub fn now(request: Request<'_>) -> String {
    Timestamp::from_secs(request.core.env.clock.now().secs()).to_rfc3339()
}

/// The write, as far as managing fields is concerned.
pub fn write<'a>(request: Request<'a>, time: &'a str) -> Write<'a> {
    Write {
        ty: request.served.schema.root(),
        manager: &request.options.manager,
        api_version: &request.served.api_version,
        subresource: request.subresource,
        time,
        ignored: ignored(request.served, request.subresource),
    }
}

/// Fields that a door does not write.
fn ignored(served: &Served, subresource: &str) -> &'static [&'static str] {
    match subresource {
        "" if served.is("certificates.k8s.io", "certificatesigningrequests") => &["spec", "status"],
        "" if served.sub("status").is_some() => &["status"],
        "status" if served.is("", "pods") => {
            &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"]
        }
        "status" if served.is("apps", "deployments") => &["spec", "metadata.labels"],
        "status" if served.custom.is_some() || keeps_metadata(served) => &["metadata", "spec"],
        "status" if served.is("certificates.k8s.io", "certificatesigningrequests") => {
            &["spec", "status.conditions"]
        }
        "approval" => &["spec", "status.certificate"],
        "status" => &["spec"],
        _ => &[],
    }
}

/// Whether the status of a resource is written without its metadata.
fn keeps_metadata(served: &Served) -> bool {
    const KINDS: [(&str, &str); 6] = [
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("networking.k8s.io", "servicecidrs"),
        ("resource.k8s.io", "resourceclaims"),
        ("storage.k8s.io", "volumeattachments"),
    ];
    KINDS.iter().any(|(group, plural)| served.is(group, plural))
}

/// Records what an update (or a create, whose `old` is null) changed. The object must be in canonical order.
pub fn track_update(request: Request<'_>, old: &Value, object: &mut Value) {
    let time = now(request);
    let write = write(request, &time);
    let live = if old.is_null() { request.served.empty() } else { old };
    let fields = apply::track_update(live, object, write);
    set(object, fields);
}

/// Sets the managed fields of an object; null removes them.
pub fn set(object: &mut Value, fields: Value) {
    let metadata = object.entry("metadata");
    if fields.is_null() {
        metadata.remove("managedFields");
    } else {
        metadata.set("managedFields", fields);
    }
}

/// Sees to it that a write which changes nothing but times changes nothing at all.
pub fn settle(old: &Value, object: &mut Value) {
    let mut fields = object.entry("metadata").remove("managedFields").unwrap_or_default();
    apply::keep_times(old.at(&["metadata", "managedFields"]), &mut fields);
    set(object, fields);
}
