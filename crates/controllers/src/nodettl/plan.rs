//! What a node is told.

use client::plan::{Op, Plan, tree};
use client::{Key, resources};
use machinery::Object;
use serde_json::json;

/// Where nodes are told.
const ANNOTATION: &str = "node.alpha.kubernetes.io/ttl";

/// For clusters of these sizes, so many seconds. Neighbours overlap, so that a node that comes and goes does not
/// change all others each time.
const STEPS: [Step; 5] = [
    Step { least: 0, most: 100, secs: 0 },
    Step { least: 90, most: 500, secs: 15 },
    Step { least: 450, most: 1_000, secs: 30 },
    Step { least: 900, most: 2_000, secs: 60 },
    Step { least: 1_800, most: usize::MAX, secs: 300 },
];

struct Step {
    least: usize,
    most: usize,
    secs: u32,
}

/// All that the plan depends on.
#[derive(Clone, Debug)]
pub struct View {
    /// The node.
    pub node: Object,
    /// How many there are.
    pub nodes: usize,
}

/// Whether nodes that were told something may have to be told something else now that there are so many.
pub fn may_change_all(nodes: usize) -> bool {
    STEPS.iter().any(|step| nodes + 1 == step.least || nodes == step.most.saturating_add(1))
}

/// Decides about one node.
pub fn plan(view: &View) -> Plan {
    let mut plan = Plan::nothing();
    let told = match tree(&view.node) {
        Ok(node) => node["metadata"]["annotations"][ANNOTATION].as_str().map(str::to_owned),
        Err(status) => {
            plan.retry = Some(status.message);
            return plan;
        }
    };
    let is_right = |step: &&Step| (step.least..=step.most).contains(&view.nodes);
    let known = told.as_deref().and_then(|told| STEPS.iter().find(|step| step.secs.to_string() == told));
    let Some(step) = known.filter(is_right).or_else(|| STEPS.iter().find(is_right)) else { return plan };
    let secs = step.secs.to_string();
    if told.as_ref() == Some(&secs) || view.node.header().deleting {
        return plan;
    }
    plan.because(format!("with {} nodes it may keep what it reads for {secs} s", view.nodes));
    let header = view.node.header();
    let patch = json!({ "metadata": { "uid": header.uid.as_str(), "annotations": { ANNOTATION: secs } } });
    plan.push(Op::patch(resources::NODES, &Key::of(&view.node), &patch).tolerating(&[404]));
    plan
}
