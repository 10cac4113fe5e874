//! The taints that follow from a node's conditions.

use client::plan::{Op, Plan};
use client::{Key, resources, time};
use env::WallTime;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::plan::View;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Conditions that keep new pods away, and by which taint.
const BY_CONDITION: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// The taints a node should have of those we care for: key and effect.
fn wanted(view: &View) -> Vec<(&'static str, &'static str)> {
    let has = |kind: &str, status: &str| {
        view.conditions().iter().any(|condition| condition.type_ == kind && condition.status == status)
    };
    let mut wanted = Vec::new();
    for (kind, status, key) in BY_CONDITION {
        if has(kind, status) {
            wanted.push((key, "NoSchedule"));
            if kind == "Ready" {
                wanted.push((key, "NoExecute"));
            }
        }
    }
    let has_ready = view.conditions().iter().any(|condition| condition.type_ == "Ready");
    if !has_ready {
        // It has just come; its kubelet will say.
        wanted.push((NOT_READY, "NoSchedule"));
    }
    if view.node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

fn is_ours(taint: &Taint) -> bool {
    let known = BY_CONDITION.iter().any(|(_, _, key)| *key == taint.key);
    match taint.effect.as_str() {
        "NoSchedule" => known || taint.key == UNSCHEDULABLE,
        "NoExecute" => matches!(taint.key.as_str(), NOT_READY | UNREACHABLE),
        _ => false,
    }
}

/// Brings the taints in line with the conditions.
pub(super) fn set(plan: &mut Plan, view: &View, now: WallTime) {
    let known = view.node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let wanted = wanted(view);
    let is_wanted = |taint: &Taint| wanted.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut taints: Vec<Taint> =
        known.iter().filter(|taint| !is_ours(taint) || is_wanted(taint)).cloned().collect();
    for (key, effect) in &wanted {
        if !known.iter().any(|taint| taint.key == *key && taint.effect == *effect) {
            taints.push(Taint {
                key: (*key).to_owned(),
                effect: (*effect).to_owned(),
                time_added: Some(Time(time::timestamp(now))),
                value: None,
            });
        }
    }
    if taints == known {
        return;
    }
    let keys: Vec<String> = taints.iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
    plan.because(format!("its taints follow its conditions: [{}]", keys.join(", ")));
    let taints = if taints.is_empty() { json!(null) } else { json!(taints) };
    let revision = view.object.header().revision.to_string();
    let patch = json!({ "metadata": { "resourceVersion": revision }, "spec": { "taints": taints } });
    plan.push(Op::patch(resources::NODES, &Key::of(&view.object), &patch));
}
