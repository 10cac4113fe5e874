//! Pods nobody else removes: those of nodes that are gone, those that were deleted before they had a node, and the
//! oldest of too many that are over.

pub mod plan;
#[cfg(test)]
mod tests;

use std::time::Duration;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use machinery::Status;

use crate::context::Context;
use crate::pod::{self, Pod, PodFacts};
use plan::View;

/// A node that is gone gets this long to come back.
const QUARANTINE: Duration = Duration::from_secs(40);
/// So many pods that are over are kept, as upstream does by default.
const OVER_AT_MOST: usize = 12_500;
/// The surplus is removed at most this often.
const SWEEP: Duration = Duration::from_secs(20);

/// Starts the controller. Its keys are pods; the empty one stands for those that are over.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (pods, nodes) = (context.pods(), context.cache(resources::NODES));
    let (known, all, later) = (nodes.clone(), pods.clone(), queue.clone());
    pods.subscribe(move |change| {
        let Some(pod) = change.new else { return };
        let facts = &pod.facts;
        if facts.node.is_empty() {
            if facts.deletion.is_some() {
                later.add(change.key.clone());
            }
        } else if known.is_synced() && known.get(&Key::new("", &facts.node)).is_none() {
            later.add_after(change.key.clone(), QUARANTINE);
        }
        if facts.phase.is_terminal() && all.len() > OVER_AT_MOST {
            later.add_after(Key::default(), SWEEP);
        }
    });
    let (all, later) = (pods.clone(), queue.clone());
    nodes.subscribe(move |change| {
        if change.new.is_none() {
            for pod in all.by_index(pod::BY_NODE, &change.key.name) {
                later.add_after(Key::of(&pod.object), QUARANTINE);
            }
        }
    });
    // What was bound to a node that was gone before we began.
    let (all, known, later) = (pods.clone(), nodes.clone(), queue.clone());
    context.env.tasks.spawn("pods without a node", async move {
        all.synced().await;
        known.synced().await;
        for pod in all.list().iter().filter(|pod| !pod.facts.node.is_empty()) {
            if known.get(&Key::new("", &pod.facts.node)).is_none() {
                later.add_after(Key::of(&pod.object), QUARANTINE);
            }
        }
    });
    let controller = PodGarbage { pods: pods.clone(), nodes: nodes.clone() };
    let name = "pod-garbage-collector";
    context.driver(controller, &queue, name, name).sees(&pods).sees(&nodes).start()
}

struct PodGarbage {
    pods: Cache<PodFacts>,
    nodes: Cache,
}

impl Controller for PodGarbage {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        if *key == Key::default() {
            let over: Vec<Pod> =
                self.pods.list().into_iter().filter(|pod| pod.facts.phase.is_terminal()).collect();
            return Ok(Some(View::TooMany { over, kept: OVER_AT_MOST }));
        }
        let Some(pod) = self.pods.get(key) else { return Ok(None) };
        let has_node = self.nodes.get(&Key::new("", &pod.facts.node)).is_some();
        Ok(Some(View::One { pod, has_node }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(view, now)
    }
}
