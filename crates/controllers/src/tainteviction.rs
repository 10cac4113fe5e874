//! Pods on nodes whose taints they do not bear, or bear only for a while.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use k8s_openapi::api::core::v1::{Node, Pod};
use machinery::Status;

use crate::context::Context;
use crate::pod::{self, PodFacts};
use plan::View;

/// Starts the controller. Its keys are pods.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (pods, nodes) = (context.pods(), context.cache(resources::NODES));
    let (all, changed) = (pods.clone(), queue.clone());
    nodes.subscribe(move |change| {
        // Only a change of taints is news, and there is nothing to fear without any.
        let taints = |entry: &client::Entry| {
            let node = entry.object.view::<Node>().ok()?;
            Some(plan::evicting(&node))
        };
        let (before, after) =
            (change.old.and_then(|old| taints(old)), change.new.and_then(|new| taints(new)));
        if before.unwrap_or_default() != after.unwrap_or_default() {
            for pod in all.by_index(pod::BY_NODE, &change.key.name) {
                changed.add(Key::of(&pod.object));
            }
        }
    });
    let (known, changed) = (nodes.clone(), queue.clone());
    pods.subscribe(move |change| {
        let Some(new) = change.new else { return };
        let is_placed = change.old.is_none_or(|old| old.facts.node != new.facts.node);
        let has_changed =
            change.old.is_none_or(|old| old.object.header().generation != new.object.header().generation);
        let is_tainted = || {
            let node = known.get(&Key::new("", &new.facts.node));
            let node = node.and_then(|entry| entry.object.view::<Node>().ok());
            node.is_some_and(|node| !plan::evicting(&node).is_empty())
        };
        if !new.facts.node.is_empty() && (is_placed || has_changed) && is_tainted() {
            changed.add(change.key.clone());
        }
    });
    let controller = Evictions { pods: pods.clone(), nodes: nodes.clone() };
    let driver = context.driver(controller, &queue, "node-controller", "taint-eviction-controller");
    driver.sees(&pods).sees(&nodes).start()
}

struct Evictions {
    pods: Cache<PodFacts>,
    nodes: Cache,
}

impl Controller for Evictions {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.pods.get(key) else { return Ok(None) };
        let Some(node) = self.nodes.get(&Key::new("", &entry.facts.node)) else { return Ok(None) };
        let node = node.object.view::<Node>()?;
        Ok(Some(View {
            object: entry.object.clone(),
            pod: entry.object.view::<Pod>()?,
            taints: plan::evicting(&node),
        }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
