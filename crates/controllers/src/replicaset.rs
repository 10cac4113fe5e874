//! ReplicaSets: as many pods of a template as were asked for.
//!
//! [`plan`] counts, makes and removes; [`victims`] says which pods go first; [`status`] tells what there is.
//! ReplicationControllers are kept by the same plan.

pub mod plan;
pub mod status;
#[cfg(test)]
mod tests;
pub mod victims;

use std::collections::BTreeMap;
use std::sync::Arc;

use client::cache::{BY_OWNER, ORPHANS};
use client::driver::{Controller, Decisions};
use client::{Cache, Key, Resource, resources};
use env::WallTime;
use k8s_openapi::api::apps::v1::ReplicaSet;
use machinery::Status;
use smol_str::SmolStr;

use crate::context::{Context, enqueue_changed, enqueue_owner};
use crate::pod::{Pod, PodFacts};
use crate::recent::Recent;
use crate::template::Template;
use plan::{Desired, View};

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (sets, pods) = (context.cache(resources::REPLICA_SETS), context.pods());
    enqueue_changed(&sets, &queue);
    enqueue_owner(&pods, resources::REPLICA_SETS, &queue);
    enqueue_for_orphans(&sets, &pods, resources::REPLICA_SETS, &queue);
    let controller = ReplicaSets { sets: sets.clone(), pods: pods.clone(), recent: context.recent() };
    let name = "replicaset-controller";
    context.driver(controller, &queue, name, name).sees(&sets).sees(&pods).start()
}

/// Adds every set of the namespace that may want to take in a pod nobody owns.
pub fn enqueue_for_orphans(
    sets: &Cache,
    pods: &Cache<PodFacts>,
    resource: Resource,
    queue: &client::Queue<Key>,
) {
    let (sets, queue) = (sets.clone(), queue.clone());
    debug_assert_eq!(sets.resource(), resource);
    pods.subscribe(move |change| {
        let Some(entry) = change.new else { return };
        let header = entry.object.header();
        if header.controller().is_some() || header.deleting || header.labels.is_empty() {
            return;
        }
        for set in sets.list_in(&header.namespace) {
            queue.add(Key::of(&set.object));
        }
    });
}

/// The pods an owner has, and those of its namespace that nobody owns.
pub fn candidates(pods: &Cache<PodFacts>, uid: &str, namespace: &str) -> Vec<Pod> {
    let mut candidates = pods.by_index(BY_OWNER, uid);
    candidates.extend(pods.by_index(ORPHANS, namespace));
    candidates
}

struct ReplicaSets {
    sets: Cache,
    pods: Cache<PodFacts>,
    recent: Arc<Recent>,
}

impl ReplicaSets {
    /// How many counting pods of the same Deployment run on each node; only asked when pods must go.
    fn neighbours(&self, view: &View) -> BTreeMap<SmolStr, usize> {
        let owners = match view.object.header().controller() {
            Some(deployment) => self.sets.by_index(BY_OWNER, &deployment.uid),
            None => Vec::new(),
        };
        let mut neighbours = BTreeMap::new();
        let uids = owners.iter().map(|set| set.object.header().uid.clone());
        let uids: Vec<SmolStr> =
            if owners.is_empty() { vec![view.object.header().uid.clone()] } else { uids.collect() };
        for uid in uids {
            for pod in self.pods.by_index(BY_OWNER, &uid) {
                if pod.facts.is_active() {
                    *neighbours.entry(pod.facts.node.clone()).or_default() += 1;
                }
            }
        }
        neighbours
    }
}

impl Controller for ReplicaSets {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.sets.get(key) else { return Ok(None) };
        let set = self.recent.view::<ReplicaSet>(&entry.object)?;
        let Some(spec) = &set.spec else { return Ok(None) };
        let desired = Desired {
            resource: resources::REPLICA_SETS,
            replicas: spec.replicas.unwrap_or(1),
            min_ready_secs: spec.min_ready_seconds.unwrap_or(0),
            selector: client::selector::of(Some(&spec.selector)).map_err(Status::bad_request)?,
            template: Template::Of(set.clone()),
            status: set.status.clone().map(Into::into).unwrap_or_default(),
        };
        let header = entry.object.header();
        let pods = candidates(&self.pods, &header.uid, &header.namespace);
        let mut view = View { object: entry.object.clone(), desired, pods, neighbours: BTreeMap::new() };
        if view.pods.len() as i64 > i64::from(view.desired.replicas) {
            view.neighbours = self.neighbours(&view);
        }
        Ok(Some(view))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
