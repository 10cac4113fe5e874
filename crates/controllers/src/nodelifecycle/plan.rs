//! What is said of a node, and of its pods.

use std::sync::Arc;
use std::time::Duration;

use client::plan::{Note, Op, Plan};
use client::recorder::About;
use client::{Key, resources, time};
use env::WallTime;
use k8s_openapi::api::core::v1::{Node, NodeCondition};
use machinery::Object;
use serde_json::{Value, json};

use super::taints;
use crate::pod::Pod;

/// A node that is silent for longer than this is taken to be unreachable.
pub const SILENT_AT_MOST: Duration = Duration::from_secs(50);
/// The conditions only a kubelet can judge.
const JUDGED_BY_KUBELET: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The node.
    pub object: Object,
    /// The same, typed.
    pub node: Arc<Node>,
    /// When it was last heard of.
    pub heard: WallTime,
    /// Its pods.
    pub pods: Vec<Pod>,
}

impl View {
    /// Its conditions.
    pub fn conditions(&self) -> &[NodeCondition] {
        self.node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
    }

    fn condition(&self, kind: &str) -> Option<&NodeCondition> {
        self.conditions().iter().find(|condition| condition.type_ == kind)
    }

    /// When a sign of life was last written to the node itself, by the kubelet's clock.
    fn heartbeat(&self) -> Option<WallTime> {
        let ready = self.condition("Ready").filter(|ready| ready.status != "Unknown")?;
        ready.last_heartbeat_time.as_ref().map(|at| time::wall(at.0))
    }
}

/// Decides about one node.
pub fn plan(view: &View, now: WallTime) -> Plan {
    let mut plan = Plan::nothing();
    if view.object.header().deleting {
        return plan;
    }
    let heard = view.heard.max(view.heartbeat().unwrap_or_default()).min(now);
    let silent = now.since(heard);
    if silent < SILENT_AT_MOST {
        plan.requeue(SILENT_AT_MOST - silent);
    } else {
        let unknown = unknown_conditions(view, now);
        if !unknown.is_empty() {
            plan.because(format!("the node has been silent for {} seconds", silent.as_secs()));
            plan.push(tell(view, unknown));
            // Taints follow when the node's condition has been seen.
            return plan;
        }
    }
    taints::set(&mut plan, view, now);
    let ready = view.condition("Ready").map(|ready| ready.status.as_str());
    if ready != Some("True") {
        mark_pods(&mut plan, view, now);
    }
    plan
}

/// The conditions that can no longer be told, as they are to be.
fn unknown_conditions(view: &View, now: WallTime) -> Vec<Value> {
    let mut unknown = Vec::new();
    for kind in JUDGED_BY_KUBELET {
        let known = view.condition(kind);
        if known.is_some_and(|known| known.status == "Unknown") {
            continue;
        }
        let mut condition =
            json!({ "type": kind, "status": "Unknown", "lastTransitionTime": time::seconds(now) });
        match known {
            Some(_) => {
                condition["reason"] = json!("NodeStatusUnknown");
                condition["message"] = json!("Kubelet stopped posting node status.");
            }
            None => {
                condition["reason"] = json!("NodeStatusNeverUpdated");
                condition["message"] = json!("Kubelet never posted node status.");
            }
        }
        unknown.push(condition);
    }
    unknown
}

fn tell(view: &View, conditions: Vec<Value>) -> Op {
    let patch = json!({
        "metadata": { "resourceVersion": view.object.header().revision.to_string() },
        "status": { "conditions": conditions },
    });
    let mut op = Op::strategic_patch(resources::NODES, &Key::of(&view.object), &patch);
    op.call.subresource = "status";
    // Events about nodes carry their name as identity.
    let about = About { uid: view.object.header().name.to_string(), ..About::object(&view.object) };
    let text = format!("Node {} status is now: NodeNotReady", view.object.header().name);
    op.on_success(Note::normal(&about, "NodeNotReady", text))
}

/// Pods of a node that is not ready are not ready either, whatever they last said.
fn mark_pods(plan: &mut Plan, view: &View, now: WallTime) {
    let ready = view.pods.iter().filter(|pod| pod.facts.is_ready);
    let ops = ready.map(|pod| {
        let condition =
            json!({ "type": "Ready", "status": "False", "lastTransitionTime": time::seconds(now) });
        let uid = pod.object.header().uid.as_str();
        let patch = json!({ "metadata": { "uid": uid }, "status": { "conditions": [condition] } });
        let mut op = Op::strategic_patch(resources::PODS, &Key::of(&pod.object), &patch).tolerating(&[404]);
        op.call.subresource = "status";
        op.on_success(Note::warning(&About::object(&pod.object), "NodeNotReady", "Node is not ready"))
    });
    let ops: Vec<Op> = ops.collect();
    if !ops.is_empty() {
        plan.because(format!("{} pods of a node that is not ready cannot be ready", ops.len()));
        plan.push_together(ops);
    }
}
