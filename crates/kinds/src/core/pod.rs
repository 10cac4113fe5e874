//! Pod.

use machinery::Value;
use machinery::json::Parts::{self, All, Of};

use super::{pod_changes, pod_status, pod_table};
use crate::place::{Place, same};
use crate::pod_spec::{self, Within, containers, defaults, resources};
use crate::policy::{NameRule, Policy, count_generation, keep, keep_all_but};
use crate::{Column, Door, Kind, columns};

/// The kind.
pub struct Pod;

/// The annotation of pods that stand for what a node runs by itself.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

const SELECTABLE: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];

/// What [`SELECTABLE`] is made of.
const SELECTABLE_PARTS: Parts = Of(&[
    (
        "spec",
        Of(&[
            ("nodeName", All),
            ("restartPolicy", All),
            ("schedulerName", All),
            ("serviceAccountName", All),
            ("hostNetwork", All),
        ]),
    ),
    ("status", Of(&[("phase", All), ("podIP", All), ("podIPs", All), ("nominatedNodeName", All)])),
]);

impl Kind for Pod {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).generation().status().graceful_deletion()
    }

    fn default(&self, object: &mut Value) {
        defaults::pod(object);
        let address = object.at(&["status", "podIP"]).str_or_empty().to_owned();
        if !address.is_empty() && object.at(&["status", "podIPs"]).is_empty() {
            let addresses = vec![Value::from([("ip", Value::from(address))])];
            *object.at_mut(&["status", "podIPs"]) = Value::from(addresses);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        forget_unknown(object.entry("spec"));
        object.entry("metadata").set("generation", 1i64);
        if object.at(&["spec", "terminationGracePeriodSeconds"]).as_int().is_some_and(|seconds| seconds < 0) {
            object.entry("spec").set("terminationGracePeriodSeconds", 1i64);
        }
        let class = quality_of_service(object.get("spec"));
        let mut status = Value::from([("phase", Value::from("Pending"))]);
        if !object.at(&["spec", "schedulingGates"]).is_empty() {
            let condition = Value::from([
                ("type", Value::from("PodScheduled")),
                ("status", Value::from("False")),
                ("lastProbeTime", Value::Null),
                ("lastTransitionTime", object.at(&["metadata", "creationTimestamp"]).clone()),
                ("reason", Value::from("SchedulingGated")),
                ("message", Value::from("Scheduling is blocked due to non-empty scheduling gates")),
            ]);
            status.set("conditions", vec![condition]);
        }
        status.set("qosClass", class);
        object.set("status", status);
    }

    fn check(&self, object: Place<'_>) {
        check_whole(object);
        let spec = object.get("spec");
        if !spec.get("ephemeralContainers").is_empty() {
            spec.get("ephemeralContainers").forbidden("cannot be set on create");
        }
        if !spec.get("nodeName").text().is_empty() && !spec.get("schedulingGates").is_empty() {
            spec.get("nodeName").forbidden("cannot be set until all schedulingGates have been cleared");
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        forget_unknown(object.entry("spec"));
        match door {
            Door::Main => keep(object, old, "status"),
            Door::Sub("status") => {
                keep_all_but(object, old, &["status"]);
                keep_metadata(object, old, "ownerReferences");
                keep_metadata(object, old, "deletionTimestamp");
                let class = old.at(&["status", "qosClass"]).clone();
                if object.at(&["status", "qosClass"]).is_null() && !class.is_null() {
                    object.entry("status").set("qosClass", class);
                }
            }
            Door::Sub("ephemeralcontainers") => {
                let own = object.at(&["spec", "ephemeralContainers"]).clone();
                pod_changes::restore(object, old);
                object.entry("spec").set("ephemeralContainers", own);
            }
            Door::Sub("resize") => pod_changes::prepare_resize(object, old),
            Door::Sub(_) => {}
        }
        count_generation(object, old, |object, old| same(object.get("spec"), old.get("spec")));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        match door {
            Door::Main => {
                check_metadata_and_whole(object);
                pod_changes::check(object, old);
            }
            Door::Sub("status") => pod_status::check(object, old),
            Door::Sub("ephemeralcontainers") => {
                check_metadata_and_whole(object);
                pod_changes::check_ephemeral(object, old);
            }
            Door::Sub("resize") => {
                if pod_changes::check_resizable(object, old) {
                    check_metadata_and_whole(object);
                    pod_changes::check_resize(object, old);
                }
            }
            Door::Sub(_) => {}
        }
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let addresses: Vec<&str> =
            status.get("podIPs").items().iter().map(|address| address.get("ip").str_or_empty()).collect();
        let text = |value: &Value| value.str_or_empty().to_owned();
        let values = [
            text(spec.get("nodeName")),
            text(spec.get("restartPolicy")),
            text(spec.get("schedulerName")),
            text(spec.get("serviceAccountName")),
            spec.get("hostNetwork").is_true().to_string(),
            text(status.get("phase")),
            addresses.first().map_or_else(|| text(status.get("podIP")), |first| (*first).to_owned()),
            addresses.join(","),
            text(status.get("nominatedNodeName")),
        ];
        SELECTABLE.iter().copied().zip(values).collect()
    }

    fn selectable_parts(&self) -> Parts {
        SELECTABLE_PARTS
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        SELECTABLE
    }

    fn lanes(&self) -> Option<&'static str> {
        Some("spec.nodeName")
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::POD
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        pod_table::row(object, now_secs)
    }

    fn row_parts(&self) -> Parts {
        pod_table::PARTS
    }
}

/// Takes away what belongs to features that are off: bundles and certificates as files.
fn forget_unknown(spec: &mut Value) {
    for volume in spec.get_mut("volumes").map(Value::items_mut).unwrap_or_default() {
        let sources = volume.get_mut("projected").and_then(|projected| projected.get_mut("sources"));
        for source in sources.map(Value::items_mut).unwrap_or_default() {
            source.remove("clusterTrustBundle");
            source.remove("podCertificate");
        }
    }
}

fn keep_metadata(object: &mut Value, old: &Value, member: &str) {
    keep(object.entry("metadata"), old.get("metadata"), member);
}

fn check_metadata_and_whole(object: Place<'_>) {
    crate::metadata::check(object.get("metadata"), &Pod.policy());
    check_whole(object);
}

/// The rules of a pod that are the same whenever it is written.
fn check_whole(object: Place<'_>) {
    let spec = object.get("spec");
    let name = object.value().at(&["metadata", "name"]).str_or_empty();
    pod_spec::check(spec, Within::Pod, name);
    if spec.get("serviceAccountName").text().is_empty() {
        check_tokens_have_account(spec);
    }
    containers::check_images_of_pod(spec.get("containers"));
    containers::check_images_of_pod(spec.get("initContainers"));
}

fn check_tokens_have_account(spec: Place<'_>) {
    for volume in spec.get("volumes").items() {
        let projected = volume.get("projected");
        for source in projected.get("sources").items() {
            let token = source.get("serviceAccountToken");
            if token.is_set() {
                token.forbidden("must not be specified when serviceAccountName is not set");
            }
        }
    }
}

/// How a pod is treated when its node runs short: by what its containers ask for and are limited to.
pub fn quality_of_service(spec: &Value) -> &'static str {
    let whole = spec.get("resources");
    let parts: Vec<&Value> = if !whole.is_null() {
        // Even where it asks for nothing.
        vec![whole]
    } else {
        ["containers", "initContainers"]
            .into_iter()
            .flat_map(|list| spec.get(list).items())
            .map(|container| container.get("resources"))
            .collect()
    };
    const COMPUTE: [&str; 2] = ["cpu", "memory"];
    let positive = |value: &Value| resources::amount(value).signum() > 0;
    let asks = |part: &Value| {
        COMPUTE
            .iter()
            .any(|name| positive(part.at(&["requests", name])) || positive(part.at(&["limits", name])))
    };
    if !parts.iter().any(|part| asks(part)) {
        return "BestEffort";
    }
    let guaranteed = |part: &&Value| {
        COMPUTE.iter().all(|name| {
            let (request, limit) = (part.at(&["requests", name]), part.at(&["limits", name]));
            positive(limit) && (request.is_null() || resources::amount(request) == resources::amount(limit))
        })
    };
    if parts.iter().all(guaranteed) { "Guaranteed" } else { "Burstable" }
}
