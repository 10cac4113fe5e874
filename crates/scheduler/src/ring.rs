//! The state of the scheduler, and how changes of the cluster reach it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use client::cache::Facts;
use client::{Cache, Change, SharedTransport, resources};
use env::Env;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{ReplicationController, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use machinery::selector::LabelSelector;
use machinery::{Object, Status};
use smol_str::SmolStr;
use tokio::sync::Notify;

use crate::node::NodeFacts;
use crate::pod::{Pod, PodFacts};
use crate::queue::{Happening, Queue};
use crate::snapshot::{Budget, Snapshot};

/// What the scheduler knows.
#[derive(Default)]
pub struct State {
    /// The cluster.
    pub snapshot: Snapshot,
    /// The pods that wait.
    pub queue: Queue,
    /// Pods that are about to be bound, and to which node: they count as if they were there.
    pub assumed: BTreeMap<SmolStr, SmolStr>,
    /// Pods found to be held back, to be told so.
    pub held_back: Vec<Pod>,
}

/// The state, shared between the caches that feed it and the loop that decides.
#[derive(Clone, Default)]
pub struct Ring {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

/// What an object selects.
struct Selects(Option<LabelSelector>);

impl Facts for Selects {
    fn of(object: &Object) -> Result<Selects, Status> {
        let selector = match object.header().kind.as_str() {
            "Service" => {
                let service = object.view::<Service>()?;
                let labels = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
                labels.map(client::selector::of_labels).transpose()
            }
            "ReplicationController" => {
                let controller = object.view::<ReplicationController>()?;
                let labels = controller.spec.as_ref().and_then(|spec| spec.selector.as_ref());
                labels.map(client::selector::of_labels).transpose()
            }
            "StatefulSet" => {
                let set = object.view::<StatefulSet>()?;
                set.spec.as_ref().map(|spec| client::selector::of(Some(&spec.selector))).transpose()
            }
            _ => {
                let set = object.view::<ReplicaSet>()?;
                set.spec.as_ref().map(|spec| client::selector::of(Some(&spec.selector))).transpose()
            }
        };
        Ok(Selects(selector.map_err(Status::bad_request)?))
    }
}

impl Facts for Budget {
    fn of(object: &Object) -> Result<Budget, Status> {
        let budget = object.view::<PodDisruptionBudget>()?;
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let allowed = budget.status.as_ref().and_then(|status| status.disruptions_allowed);
        Ok(Budget {
            namespace: object.header().namespace.clone(),
            selector: client::selector::of(selector).map_err(Status::bad_request)?,
            allowed: i64::from(allowed.unwrap_or(0)),
        })
    }
}

impl Ring {
    /// Looks at or changes the state.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Resolves when there may be something to do.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// There may be something to do.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// Starts the caches that feed it, and waits until they are filled.
    pub async fn feed(&self, transport: &SharedTransport, env: &Env) {
        let nodes: Cache<NodeFacts> = Cache::of(resources::NODES).start(transport.clone(), env);
        let namespaces: Cache = Cache::of(resources::NAMESPACES).start(transport.clone(), env);
        let budgets: Cache<Budget> =
            Cache::of(resources::POD_DISRUPTION_BUDGETS).start(transport.clone(), env);
        let selecting = [
            resources::SERVICES,
            resources::REPLICA_SETS,
            resources::STATEFUL_SETS,
            resources::REPLICATION_CONTROLLERS,
        ];
        let selecting =
            selecting.map(|resource| Cache::<Selects>::of(resource).start(transport.clone(), env));
        let ring = self.clone();
        nodes.subscribe(move |change| ring.node(change));
        let ring = self.clone();
        namespaces.subscribe(move |change| {
            ring.with(|state| {
                state.snapshot.set_namespace(&change.key.name, change.new.map(|entry| &entry.object));
                state.queue.happened(Happening::Namespace);
            });
            ring.wake();
        });
        let ring = self.clone();
        budgets.subscribe(move |change| {
            let budget = change.new.map(|entry| entry.facts.clone());
            let (namespace, name) = (change.key.namespace.clone(), change.key.name.clone());
            ring.with(|state| state.snapshot.set_budget(namespace, name, budget));
        });
        for cache in &selecting {
            let (ring, kind) = (self.clone(), cache.resource().kind);
            cache.subscribe(move |change| {
                let key = (change.key.namespace.clone(), kind, change.key.name.clone());
                let selector = change.new.and_then(|entry| entry.facts.0.clone());
                ring.with(|state| state.snapshot.set_selector(key, selector));
            });
            cache.synced().await;
        }
        nodes.synced().await;
        namespaces.synced().await;
        // Pods come last: they are decided about as soon as they are known.
        let pods: Cache<PodFacts> = Cache::of(resources::PODS)
            .fields("status.phase!=Succeeded,status.phase!=Failed")
            .start(transport.clone(), env);
        pods.synced().await;
        let ring = self.clone();
        pods.subscribe(move |change| ring.pod(change));
        self.wake();
    }

    fn node(&self, change: &Change<'_, NodeFacts>) {
        self.with(|state| match change.new {
            Some(entry) => {
                state.snapshot.set_node(entry.clone());
                let is_news = change.old.is_none_or(|old| {
                    old.facts != entry.facts || old.object.header().labels != entry.object.header().labels
                });
                if is_news {
                    state.queue.happened(Happening::Node);
                }
            }
            None => state.snapshot.remove_node(&change.key.name),
        });
        self.wake();
    }

    fn pod(&self, change: &Change<'_, PodFacts>) {
        self.with(|state| state.pod(change.old, change.new));
        self.wake();
    }
}

/// The node a pod has, if it is there and not over.
fn placed(pod: Option<&Pod>) -> Option<&SmolStr> {
    pod.filter(|pod| !pod.facts.is_over).map(|pod| &pod.facts.node).filter(|node| !node.is_empty())
}

impl State {
    fn pod(&mut self, old: Option<&Pod>, new: Option<&Pod>) {
        let uid_of = |pod: &Pod| pod.object.header().uid.clone();
        if let (Some(old), Some(new)) = (old, new)
            && uid_of(old) != uid_of(new)
        {
            self.pod(Some(old), None);
            return self.pod(None, Some(new));
        }
        let Some(uid) = new.or(old).map(uid_of) else { return };
        let (before, after) = (placed(old), placed(new));
        if let Some(node) = before {
            self.snapshot.remove_pod(node, &uid);
        }
        match (new, after) {
            (Some(new), Some(node)) => {
                if let Some(assumed) = self.assumed.remove(&uid) {
                    self.snapshot.remove_pod(&assumed, &uid);
                }
                self.snapshot.forget_nomination(&uid);
                self.snapshot.add_pod(node, new.clone());
                self.queue.remove(&uid);
            }
            (Some(new), None) if new.facts.is_ours && !new.facts.is_over && !new.object.header().deleting => {
                if self.queue.set(new.clone()) {
                    self.held_back.push(new.clone());
                }
                if !new.facts.nominated.is_empty() {
                    self.snapshot.nominate(&new.facts.nominated, new.clone());
                }
            }
            _ => {
                self.queue.remove(&uid);
                self.snapshot.forget_nomination(&uid);
                if let Some(assumed) = self.assumed.remove(&uid) {
                    self.snapshot.remove_pod(&assumed, &uid);
                }
            }
        }
        let has_new_labels = old.zip(new).is_some_and(|(old, new)| {
            old.object.header().labels != new.object.header().labels
                || old.facts.requests != new.facts.requests
        });
        match (before, after) {
            (Some(_), None) => self.queue.happened(Happening::PodGone),
            (None, Some(_)) => self.queue.happened(Happening::PodPlaced),
            (Some(_), Some(_)) if has_new_labels => self.queue.happened(Happening::PodGone),
            _ => {}
        }
    }
}
