//! Whether a pod has to leave its node, and when.

use std::sync::Arc;
use std::time::Duration;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Key, resources, time};
use env::WallTime;
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use machinery::Object;
use serde_json::json;

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The pod.
    pub object: Object,
    /// The same, typed.
    pub pod: Arc<Pod>,
    /// The taints of its node that drive pods out.
    pub taints: Vec<Taint>,
}

/// The taints that drive pods out.
pub fn evicting(node: &Node) -> Vec<Taint> {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    taints.into_iter().filter(|taint| taint.effect == "NoExecute").collect()
}

/// Whether a toleration bears a taint.
pub fn bears(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() || key == taint.key)
        && (toleration.operator.as_deref() == Some("Exists") || text(&toleration.value) == text(&taint.value))
}

/// Decides about one pod.
pub fn plan(view: &View, now: WallTime) -> Plan {
    let mut plan = Plan::nothing();
    if view.object.header().deleting || view.taints.is_empty() {
        return plan;
    }
    let tolerations = view.pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let mut leaves: Option<WallTime> = None;
    for taint in &view.taints {
        let borne: Vec<&Toleration> =
            tolerations.iter().filter(|toleration| bears(toleration, taint)).collect();
        if borne.is_empty() {
            plan.because(format!("it does not bear the taint {} of its node", taint.key));
            return evict(plan, view, now);
        }
        // Of several tolerations the shortest counts; one without a limit sets none.
        let limit = borne.iter().filter_map(|toleration| toleration.toleration_seconds).min();
        if let Some(seconds) = limit {
            let since = taint.time_added.as_ref().map_or(now, |at| time::wall(at.0));
            let until = since.plus(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
            leaves = Some(leaves.map_or(until, |earlier| earlier.min(until)));
        }
    }
    match leaves {
        None => plan,
        Some(at) if at <= now => {
            plan.because("it has borne the taints of its node for as long as it may");
            evict(plan, view, now)
        }
        Some(at) => {
            plan.because(format!("it bears the taints of its node until {}", time::seconds(at)));
            plan.requeue(at.since(now));
            plan
        }
    }
}

fn evict(mut plan: Plan, view: &View, now: WallTime) -> Plan {
    let (key, header) = (Key::of(&view.object), view.object.header());
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "observedGeneration": header.generation,
        "lastTransitionTime": time::seconds(now),
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
    });
    let patch =
        json!({ "metadata": { "uid": header.uid.as_str() }, "status": { "conditions": [condition] } });
    let mut told = Op::strategic_patch(resources::PODS, &key, &patch).tolerating(&[404]);
    told.call.subresource = "status";
    let about = About::object(&view.object);
    plan.notes.push(Note::normal(&about, "TaintManagerEviction", format!("Marking for deletion Pod {key}")));
    plan.push(told);
    plan.push(Op::delete(resources::PODS, &key, &header.uid).tolerating(&[404, 409]));
    plan
}
