//! ReplicationControllers: ReplicaSets of an older form, kept by the same plan.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, resources};
use env::WallTime;
use k8s_openapi::api::core::v1::ReplicationController;
use machinery::{Object, Status};
use smol_str::SmolStr;

use crate::context::{Context, enqueue_changed, enqueue_owner};
use crate::pod::PodFacts;
use crate::replicaset::plan::{self, Desired, View};
use crate::replicaset::{candidates, enqueue_for_orphans};

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let resource = resources::REPLICATION_CONTROLLERS;
    let (sets, pods) = (context.cache(resource), context.pods());
    enqueue_changed(&sets, &queue);
    enqueue_owner(&pods, resource, &queue);
    enqueue_for_orphans(&sets, &pods, resource, &queue);
    let controller = ReplicationControllers { sets: sets.clone(), pods: pods.clone() };
    let name = "replication-controller";
    context.driver(controller, &queue, name, name).sees(&sets).sees(&pods).start()
}

struct ReplicationControllers {
    sets: Cache,
    pods: Cache<PodFacts>,
}

/// What it asks for, in the terms of the shared plan; `None` if it has no spec.
fn desired(object: &Object) -> Result<Option<Desired>, Status> {
    let typed = object.view::<ReplicationController>()?;
    let Some(spec) = &typed.spec else { return Ok(None) };
    let selector =
        client::selector::of_labels(spec.selector.iter().flatten()).map_err(Status::bad_request)?;
    Ok(Some(Desired {
        resource: resources::REPLICATION_CONTROLLERS,
        replicas: spec.replicas.unwrap_or(1),
        min_ready_secs: spec.min_ready_seconds.unwrap_or(0),
        selector,
        template: spec.template.clone().unwrap_or_default().into(),
        status: typed.status.clone().map(Into::into).unwrap_or_default(),
    }))
}

impl Controller for ReplicationControllers {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "replication-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.sets.get(key) else { return Ok(None) };
        let Some(desired) = desired(&entry.object)? else { return Ok(None) };
        let header = entry.object.header();
        let pods = candidates(&self.pods, &header.uid, &header.namespace);
        let mut neighbours: BTreeMap<SmolStr, usize> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| pod.facts.is_active()) {
            *neighbours.entry(pod.facts.node.clone()).or_default() += 1;
        }
        Ok(Some(View { object: entry.object.clone(), desired, pods, neighbours }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
