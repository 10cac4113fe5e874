//! Each node gets a range of addresses for its pods.

pub mod plan;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use k8s_openapi::api::core::v1::Node;
use machinery::Status;

use crate::Config;
use crate::context::Context;
use plan::View;

/// Starts the controller. It has one key: ranges are given out for all nodes together, so that none is given twice.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let nodes = context.cache(resources::NODES);
    let changed = queue.clone();
    nodes.subscribe(move |change| {
        if change.old.is_none() || change.new.is_none() {
            changed.add(Key::default());
        }
    });
    let controller = Ranges { nodes: nodes.clone(), config: context.config.clone() };
    context.driver(controller, &queue, "node-controller", "cidrAllocator").sees(&nodes).start()
}

struct Ranges {
    nodes: Cache,
    config: Config,
}

impl Controller for Ranges {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    async fn look(&self, _key: &Key) -> Result<Option<View>, Status> {
        if self.config.pod_cidrs.is_empty() {
            return Ok(None);
        }
        let mut nodes = Vec::new();
        for entry in self.nodes.list() {
            let node = entry.object.view::<Node>()?;
            let ranges = node.spec.as_ref().and_then(|spec| spec.pod_cidrs.clone()).unwrap_or_default();
            nodes.push((entry.object.clone(), ranges));
        }
        Ok(Some(View { nodes, whole: self.config.pod_cidrs.clone() }))
    }

    fn plan(&self, view: View, _now: WallTime) -> client::Plan {
        plan::plan(&view)
    }
}
