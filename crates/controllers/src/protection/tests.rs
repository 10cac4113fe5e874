use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use serde_json::{Value, json};

use super::plan::{Protected, View, claim_of, plan, pod_that_uses, user_of_class};
use crate::tests::fixtures::{ago, body, object, running_pod};

fn claim(metadata: Value) -> Value {
    let mut claim = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": "data", "namespace": "shop", "uid": "c-1" }, "spec": {} });
    crate::tests::fixtures::merge(&mut claim["metadata"], metadata);
    claim
}

/// Whether it goes, whether it is held, who uses it; and what is written.
#[test]
fn what_is_deleted_goes_when_nobody_uses_it() {
    let finalizer = "kubernetes.io/pvc-protection";
    let released = json!(["other"]);
    let held = json!(["other", finalizer]);
    let cases = [
        (false, true, None, None),
        (false, false, None, Some(held)),
        (true, true, None, Some(released)),
        (true, true, Some("pod p"), None),
        (true, false, None, None),
    ];
    for (deleting, holds, user, expected) in cases {
        let deletion = if deleting { json!(ago(1)) } else { Value::Null };
        let finalizers = if holds { json!([finalizer, "other"]) } else { json!(["other"]) };
        let object = object(&claim(json!({ "deletionTimestamp": deletion, "finalizers": finalizers })));
        let view = View { kind: Protected::Claim, object, user: user.map(str::to_owned) };
        let written = plan(&view).ops().next().map(|op| body(op)["metadata"]["finalizers"].clone());
        assert_eq!(written, expected, "{deleting} {holds} {user:?}");
    }
}

#[test]
fn a_claim_is_used_by_pods_that_run_with_it() {
    let named = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "data" } }]);
    let other = json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "other" } }]);
    let own = json!([{ "name": "scratch", "ephemeral": { "volumeClaimTemplate": { "spec": {} } } }]);
    let cases = [
        (json!({ "spec": { "volumes": named } }), "data", true),
        (json!({ "spec": { "volumes": other } }), "data", false),
        (json!({ "spec": { "volumes": named, "nodeName": "" } }), "data", false),
        (json!({ "spec": { "volumes": named }, "status": { "phase": "Succeeded" } }), "data", false),
        (json!({ "spec": { "volumes": own } }), "p-scratch", true),
        (json!({ "spec": { "volumes": own }, "metadata": { "uid": "another" } }), "p-scratch", false),
    ];
    for (changes, name, used) in cases {
        let pod = object(&running_pod("p", changes.clone())).view::<Pod>().unwrap();
        let owners = json!([{ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "uid-p" }]);
        let claim = object(&claim(json!({ "name": name, "ownerReferences": owners })));
        assert_eq!(pod_that_uses(&pod, &claim).is_some(), used, "{changes}");
    }
}

#[test]
fn a_volume_is_used_while_it_is_bound_and_a_class_while_anybody_has_it() {
    let volume = |phase: &str, class: &str| -> Arc<PersistentVolume> {
        let document = json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "v" },
            "spec": { "volumeAttributesClassName": class }, "status": { "phase": phase } });
        object(&document).view().unwrap()
    };
    for (phase, used) in [("Bound", true), ("Available", false), ("Released", false), ("Failed", false)] {
        assert_eq!(claim_of(&volume(phase, "")).is_some(), used, "{phase}");
    }
    let claim = |spec: Value, status: Value| -> Arc<PersistentVolumeClaim> {
        let document = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "c" },
            "spec": spec, "status": status });
        object(&document).view().unwrap()
    };
    let gold = json!({ "volumeAttributesClassName": "gold" });
    let cases = [
        (claim(gold, json!({})), volume("Bound", ""), true),
        (claim(json!({}), json!({ "currentVolumeAttributesClassName": "gold" })), volume("Bound", ""), true),
        (
            claim(
                json!({}),
                json!({ "modifyVolumeStatus": { "targetVolumeAttributesClassName": "gold", "status": "Pending" } }),
            ),
            volume("Bound", ""),
            true,
        ),
        (claim(json!({}), json!({})), volume("Bound", "gold"), true),
        (claim(json!({}), json!({})), volume("Bound", "iron"), false),
    ];
    for (claim, volume, used) in cases {
        assert_eq!(user_of_class("gold", &[claim], &[volume]).is_some(), used);
    }
}
