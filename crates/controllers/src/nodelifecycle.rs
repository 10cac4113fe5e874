//! Nodes that fall silent: their conditions become unknown, their pods unready, and taints keep pods away.

pub mod plan;
pub mod taints;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::{Clock, WallTime};
use k8s_openapi::api::core::v1::Node;
use machinery::Status;
use smol_str::SmolStr;

use crate::context::{Context, enqueue_changed};
use crate::pod::{self, PodFacts};
use plan::View;

/// When each node was last heard of, by our own clock.
type Heard = Arc<Mutex<BTreeMap<SmolStr, WallTime>>>;

/// Starts the controller. Its keys are nodes.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (nodes, pods) = (context.cache(resources::NODES), context.pods());
    let leases: Cache =
        Cache::of(resources::LEASES).namespace("kube-node-lease").start(context.reader(), &context.env);
    let heard = Heard::default();
    hear(&nodes, &heard, &context.env.clock);
    hear(&leases, &heard, &context.env.clock);
    enqueue_changed(&nodes, &queue);
    let controller = Nodes { nodes: nodes.clone(), pods: pods.clone(), heard };
    let driver = context.driver(controller, &queue, "node-controller", "node-controller");
    driver.sees(&nodes).sees(&pods).sees(&leases).start()
}

/// A renewed lease is a sign of life and nothing more: nobody has to look at the node for it.
fn hear(cache: &Cache, heard: &Heard, clock: &Clock) {
    let (heard, clock) = (heard.clone(), clock.clone());
    let is_lease = cache.resource() == resources::LEASES;
    cache.subscribe(move |change| {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        match change.new {
            // What we write to a silent node ourselves is no sign of its life.
            Some(_) if is_lease || change.old.is_none() => {
                heard.insert(change.key.name.clone(), clock.now());
            }
            Some(_) => {}
            None if is_lease => {}
            None => {
                heard.remove(&change.key.name);
            }
        }
    });
}

struct Nodes {
    nodes: Cache,
    pods: Cache<PodFacts>,
    heard: Heard,
}

impl Controller for Nodes {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.nodes.get(key) else { return Ok(None) };
        let node = entry.object.view::<Node>()?;
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(&key.name).copied();
        let pods = self.pods.by_index(pod::BY_NODE, &key.name);
        Ok(Some(View { object: entry.object.clone(), node, heard: heard.unwrap_or_default(), pods }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
