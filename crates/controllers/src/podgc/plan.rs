//! Which pods are removed.

use client::plan::{Op, Plan};
use client::{Delete, Key, resources, time};
use env::WallTime;
use serde_json::json;

use crate::pod::Pod;

/// All that the plan depends on.
pub enum View {
    /// One pod that may have to go.
    One {
        /// The pod.
        pod: Pod,
        /// Whether the node it is bound to is there.
        has_node: bool,
    },
    /// Pods that are over, and how many of them are kept.
    TooMany {
        /// The pods.
        over: Vec<Pod>,
        /// How many are kept.
        kept: usize,
    },
}

/// Decides.
pub fn plan(view: View, now: WallTime) -> Plan {
    let mut plan = Plan::nothing();
    match view {
        View::One { pod, .. } if pod.facts.node.is_empty() => {
            if pod.facts.deletion.is_some() {
                plan.because("it was deleted before it had a node, so no kubelet ends it");
                plan.push(removal(&pod));
            }
        }
        View::One { has_node: true, .. } => {}
        View::One { pod, has_node: false } => {
            plan.because(format!("its node {} is gone", pod.facts.node));
            if !pod.facts.phase.is_terminal() {
                plan.push(mark(&pod, now));
            }
            plan.push(removal(&pod));
        }
        View::TooMany { mut over, kept } => {
            let surplus = over.len().saturating_sub(kept);
            over.sort_by(|left, right| {
                left.facts
                    .created
                    .cmp(&right.facts.created)
                    .then(Key::of(&left.object).cmp(&Key::of(&right.object)))
            });
            if surplus > 0 {
                plan.because(format!("{surplus} pods more than {kept} are over"));
            }
            plan.push_together(over.iter().take(surplus).map(removal).collect());
        }
    }
    plan
}

fn removal(pod: &Pod) -> Op {
    let uid = pod.object.header().uid.to_string();
    let how = Delete { grace_secs: Some(0), uid, ..Delete::default() };
    Op::delete_with(resources::PODS, &Key::of(&pod.object), how).tolerating(&[404, 409])
}

/// Says why it ended, for whoever counts failures.
fn mark(pod: &Pod, now: WallTime) -> Op {
    let header = pod.object.header();
    let condition = json!({
        "type": "DisruptionTarget",
        "status": "True",
        "observedGeneration": header.generation,
        "lastTransitionTime": time::seconds(now),
        "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists",
    });
    let patch = json!({ "metadata": { "uid": header.uid.as_str() }, "status": { "phase": "Failed", "conditions": [condition] } });
    let mut op = Op::strategic_patch(resources::PODS, &Key::of(&pod.object), &patch).tolerating(&[404]);
    op.call.subresource = "status";
    op
}
