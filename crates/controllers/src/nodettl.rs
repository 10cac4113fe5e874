//! How long kubelets may keep what they read (Secrets, ConfigMaps): the longer the more nodes there are. Each node is
//! told by an annotation.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use machinery::Status;

use crate::context::{Context, enqueue_changed};
use plan::View;

/// Starts the controller. Its keys are nodes.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let nodes = context.cache(resources::NODES);
    enqueue_changed(&nodes, &queue);
    let (all, others) = (nodes.clone(), queue.clone());
    nodes.subscribe(move |change| {
        let is_other_number = change.old.is_none() || change.new.is_none();
        if is_other_number && plan::may_change_all(all.len()) {
            all.list().iter().for_each(|node| others.add(Key::of(&node.object)));
        }
    });
    let name = "ttl-controller";
    let controller = Durations { nodes: nodes.clone() };
    context.driver(controller, &queue, name, name).sees(&nodes).start()
}

struct Durations {
    nodes: Cache,
}

impl Controller for Durations {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "ttl-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(node) = self.nodes.get(key) else { return Ok(None) };
        Ok(Some(View { node: node.object.clone(), nodes: self.nodes.len() }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}
