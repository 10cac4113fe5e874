//! DaemonSets: one pod on every node that fits.
//!
//! [`plan`] leads through a sync; [`place`] says which nodes fit; [`revision`] finds or makes the revision of the newest
//! template; [`manage`] says what is to be on each node; [`rolling`] replaces pods of older templates; [`backoff`] keeps
//! failing pods from coming back too often; [`status`] tells how far it is.

pub mod backoff;
pub mod manage;
pub mod place;
pub mod plan;
pub mod revision;
pub mod rolling;
pub mod status;
#[cfg(test)]
mod tests;

use client::driver::{Controller, Decisions};
use client::{Cache, Key, Queue, resources};
use env::{Clock, WallTime};
use k8s_openapi::api::apps::v1::DaemonSet;
use machinery::Status;

use crate::context::{Context, enqueue_changed, enqueue_orphans_owners, enqueue_owner};
use crate::history;
use crate::node::NodeFacts;
use crate::pod::{Phase, PodFacts};
use crate::replicaset::{candidates, enqueue_for_orphans};
use backoff::Backoff;
use plan::View;

/// Starts the controller.
pub fn start(context: &Context) -> Decisions {
    let queue = context.queue::<Key>();
    let (sets, pods) = (context.cache(resources::DAEMON_SETS), context.pods());
    let revisions = context.cache(resources::CONTROLLER_REVISIONS);
    let nodes: Cache<NodeFacts> = Cache::of(resources::NODES).start(context.reader(), &context.env);
    enqueue_changed(&sets, &queue);
    enqueue_owner(&pods, resources::DAEMON_SETS, &queue);
    enqueue_for_orphans(&sets, &pods, resources::DAEMON_SETS, &queue);
    enqueue_orphans_owners(&revisions, &sets, &queue);
    enqueue_all(&nodes, &sets, &queue);
    let controller = DaemonSets {
        sets: sets.clone(),
        pods: pods.clone(),
        revisions: revisions.clone(),
        nodes: nodes.clone(),
        clock: context.env.clock.clone(),
        backoff: Backoff::default(),
    };
    let name = "daemonset-controller";
    let driver = context.driver(controller, &queue, "daemon-set-controller", name);
    driver.sees(&sets).sees(&pods).sees(&revisions).sees(&nodes).start()
}

/// Adds every set when a node comes, goes, or becomes another as far as sets care: not for its heartbeats.
fn enqueue_all(nodes: &Cache<NodeFacts>, sets: &Cache, queue: &Queue<Key>) {
    let (sets, queue) = (sets.clone(), queue.clone());
    nodes.subscribe(move |change| {
        if let (Some(old), Some(new)) = (change.old, change.new)
            && old.facts == new.facts
            && old.object.header().labels == new.object.header().labels
        {
            return;
        }
        sets.list().iter().for_each(|set| queue.add(Key::of(&set.object)));
    });
}

struct DaemonSets {
    sets: Cache,
    pods: Cache<PodFacts>,
    revisions: Cache,
    nodes: Cache<NodeFacts>,
    clock: Clock,
    backoff: Backoff,
}

impl Controller for DaemonSets {
    type Key = Key;
    type View = View;

    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    async fn look(&self, key: &Key) -> Result<Option<View>, Status> {
        let Some(entry) = self.sets.get(key) else {
            self.backoff.forget(key);
            return Ok(None);
        };
        let set = entry.object.view::<DaemonSet>()?;
        let header = entry.object.header();
        let pods = candidates(&self.pods, &header.uid, &header.namespace);
        let own = |pod: &&crate::pod::Pod| {
            pod.object.header().controller().is_some_and(|owner| owner.uid == header.uid)
        };
        let failed: Vec<_> = pods
            .iter()
            .filter(|pod| pod.facts.phase == Phase::Failed)
            .filter(own)
            .map(|pod| (manage::node_of(pod).clone(), pod.object.header().uid.clone()))
            .collect();
        let generation = set.status.as_ref().and_then(|status| status.observed_generation).unwrap_or(0);
        let data = history::data_of(&entry.object)?;
        let collisions = set.status.as_ref().and_then(|status| status.collision_count).unwrap_or(0);
        let is_taken = |name: &str| self.revisions.get(&Key::new(&key.namespace, name)).is_some();
        Ok(Some(View {
            object: entry.object.clone(),
            revisions: history::of_owner(&self.revisions, &entry)?,
            next: history::next_name(&header.name, &data, collisions, is_taken),
            nodes: self.nodes.list(),
            not_before: self.backoff.observe(key, generation, &failed, self.clock.now()),
            set,
            pods,
            data,
        }))
    }

    fn plan(&self, view: View, now: WallTime) -> client::Plan {
        plan::plan(&view, now)
    }
}
