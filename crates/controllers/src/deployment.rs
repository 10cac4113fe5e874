//! Deployments: pods of the newest template, replaced step by step when it changes.
//!
//! [`plan`] leads through a sync; [`model`] is what it works on; [`revision`] finds or makes the set of the newest
//! template and numbers it; [`rolling`] and [`recreate`] replace pods; [`scaling`] shares a changed size out; [`status`]
//! tells how far it is; [`history`] forgets old sets.

pub mod history;
pub mod model;
pub mod plan;
pub mod recreate;
pub mod revision;
pub mod rolling;
pub mod scaling;
pub mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use client::cache::{BY_OWNER, ORPHANS};
use client::driver::{Controller, Decisions};
use client::{Cache, Entry, Key, resources};
use env::WallTime;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use machinery::Status;

use crate::context::{Context, enqueue_changed, enqueue_owner};
use crate::pod::PodFacts;
use crate::recent::Recent;
use plan::View;

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let deployments = context.cache(resources::DEPLOYMENTS);
    let (sets, pods) = (context.cache(resources::REPLICA_SETS), context.pods());
    enqueue_changed(&deployments, &queue);
    enqueue_owner(&sets, resources::DEPLOYMENTS, &queue);
    enqueue_for_orphans(&deployments, &sets, &queue);
    enqueue_after_last_pod(&sets, &pods, &queue);
    let recent = context.recent();
    let controller = Deployments { deployments: deployments.clone(), sets: sets.clone(), pods, recent };
    let name = "deployment-controller";
    context.driver(controller, &queue, name, name).sees(&deployments).sees(&sets).start()
}

fn enqueue_for_orphans(deployments: &Cache, sets: &Cache, queue: &client::Queue<Key>) {
    let (deployments, queue) = (deployments.clone(), queue.clone());
    sets.subscribe(move |change| {
        let Some(entry) = change.new else { return };
        let header = entry.object.header();
        if header.controller().is_none() && !header.deleting {
            deployments.list_in(&header.namespace).iter().for_each(|entry| queue.add(Key::of(&entry.object)));
        }
    });
}

/// A Deployment that recreates waits for its old pods to be gone, which no set tells it.
fn enqueue_after_last_pod(sets: &Cache, pods: &Cache<PodFacts>, queue: &client::Queue<Key>) {
    let (sets, queue, all) = (sets.clone(), queue.clone(), pods.clone());
    pods.subscribe(move |change| {
        let (Some(old), None) = (change.old, change.new) else { return };
        let header = old.object.header();
        let Some(owner) = header.controller().filter(|owner| owner.kind == resources::REPLICA_SETS.kind)
        else {
            return;
        };
        if all.count_by_index(BY_OWNER, &owner.uid) > 0 {
            return;
        }
        let set = sets.get(&Key { namespace: header.namespace.clone(), name: owner.name.clone() });
        if let Some(deployment) = set.as_ref().and_then(|set| set.object.header().controller()) {
            queue.add(Key { namespace: header.namespace.clone(), name: deployment.name.clone() });
        }
    });
}

struct Deployments {
    deployments: Cache,
    sets: Cache,
    pods: Cache<PodFacts>,
    recent: Arc<Recent>,
}

impl Deployments {
    /// The sets a Deployment owns, those of its namespace that nobody owns, and whatever has the name of the next.
    fn sets_for(&self, deployment: &Arc<Entry>) -> Vec<Arc<Entry>> {
        let header = deployment.object.header();
        let mut sets = self.sets.by_index(BY_OWNER, &header.uid);
        sets.extend(self.sets.by_index(ORPHANS, &header.namespace));
        sets
    }
}

impl Controller for Deployments {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.deployments.get(key) else { return Ok(None) };
        let deployment = self.recent.view::<Deployment>(&entry.object)?;
        let mut sets = Vec::new();
        for set in self.sets_for(&entry) {
            let typed = self.recent.view::<ReplicaSet>(&set.object)?;
            sets.push(model::Set::read(&set.object, typed));
        }
        let pods = sets.iter().flat_map(|set| self.pods.by_index(BY_OWNER, &set.uid));
        let pods =
            pods.map(|pod| (pod.object.header().controller().map(|set| set.uid.clone()), pod.facts.phase));
        let living = pods.filter(|(_, phase)| !phase.is_terminal()).filter_map(|(set, _)| set).collect();
        let mut view = View { object: entry.object.clone(), deployment, sets, living, namesake: None };
        if !revision::is_made(&view) {
            let next = Key::new(&key.namespace, &revision::next_name(&view));
            view.namesake = self.sets.get(&next).map(|set| set.object.clone());
        }
        Ok(Some(view))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(view, now)
    }
}
