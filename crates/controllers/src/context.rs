//! What every controller is started with, and the caches they share.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use client::cache::{BY_OWNER, ORPHANS, orphan_namespace, owner_uids};
use client::driver::{Controller, Decisions, Driver};
use client::recorder::Source;
use client::{Cache, Client, Key, Queue, Recorder, Resource, SharedTransport, resources};
use env::Env;

use crate::Config;
use crate::custom::DefinitionFacts;
use crate::pod::{self, PodFacts};
use crate::recent::Recent;
use crate::service::ServiceFacts;

type TransportFor = dyn Fn(&str) -> SharedTransport + Send + Sync;

/// What every controller is started with.
pub struct Context {
    /// The world outside.
    pub env: Env,
    /// What the user configured.
    pub config: Config,
    caches: Mutex<BTreeMap<Resource, Cache>>,
    pods: Cache<PodFacts>,
    services: Cache<ServiceFacts>,
    definitions: Cache<DefinitionFacts>,
    recent: Arc<Recent>,
    transport_for: Box<TransportFor>,
    decisions: Mutex<BTreeMap<&'static str, Decisions>>,
}

impl fmt::Debug for Context {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Context({:?})", self.config)
    }
}

/// Who reads for all controllers.
const READER: &str = "kube-controller-manager";

impl Context {
    /// Starts nothing but the cache of pods, which nearly everybody reads.
    pub(crate) fn new(transport_for: Box<TransportFor>, config: Config, env: Env) -> Context {
        let pods = Cache::of(resources::PODS)
            .index(BY_OWNER, owner_uids)
            .index(ORPHANS, orphan_namespace)
            .index(pod::BY_NODE, pod::node_name)
            .start(transport_for(READER), &env);
        let services =
            Cache::of(resources::SERVICES).index(BY_OWNER, owner_uids).start(transport_for(READER), &env);
        let definitions = Cache::of(resources::CUSTOM_RESOURCE_DEFINITIONS)
            .index(BY_OWNER, owner_uids)
            .start(transport_for(READER), &env);
        Context {
            env,
            config,
            caches: Mutex::default(),
            pods,
            services,
            definitions,
            recent: Arc::default(),
            transport_for,
            decisions: Mutex::default(),
        }
    }

    /// All pods.
    pub fn pods(&self) -> Cache<PodFacts> {
        self.pods.clone()
    }

    /// Views that were decoded a moment ago, for all who look at the same objects.
    pub fn recent(&self) -> Arc<Recent> {
        self.recent.clone()
    }

    /// All Services.
    pub fn services(&self) -> Cache<ServiceFacts> {
        self.services.clone()
    }

    /// All definitions of custom resources.
    pub fn definitions(&self) -> Cache<DefinitionFacts> {
        self.definitions.clone()
    }

    /// All objects of a resource, with indexes by owner and of those without one. Started when first asked for.
    pub fn cache(&self, resource: Resource) -> Cache {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            Cache::of(resource)
                .index(BY_OWNER, owner_uids)
                .index(ORPHANS, orphan_namespace)
                .start((self.transport_for)(READER), &self.env)
        };
        caches.entry(resource).or_insert_with(start).clone()
    }

    /// The way to the API as this controller.
    pub fn client(&self, name: &str) -> Client {
        Client::new((self.transport_for)(name))
    }

    /// A transport for caches only one controller needs.
    pub fn reader(&self) -> SharedTransport {
        (self.transport_for)(READER)
    }

    /// An empty queue.
    pub fn queue<K: Ord + Clone>(&self) -> Queue<K> {
        Queue::new(&self.env)
    }

    /// A driver for a controller, which writes as `account` and tells events as `component`.
    pub fn driver<C: Controller>(
        &self,
        controller: C,
        queue: &Queue<C::Key>,
        account: &str,
        component: &'static str,
    ) -> Driver<C> {
        let client = self.client(account);
        let source = Source { component, ..Source::default() };
        let recorder = Recorder::start(client.clone(), source, &self.env);
        Driver::new(controller, queue.clone(), client, recorder, &self.env)
    }

    /// Keeps where a controller's last decisions can be looked up.
    pub fn keep(&self, name: &'static str, decisions: Decisions) {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner).insert(name, decisions);
    }

    /// The last decisions, by controller.
    pub fn decisions(&self) -> BTreeMap<&'static str, Decisions> {
        self.decisions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Adds each object of a cache to a queue whenever it changes.
pub fn enqueue_changed(cache: &Cache, queue: &Queue<Key>) {
    let queue = queue.clone();
    cache.subscribe(move |change| queue.add(change.key.clone()));
}

/// Adds the controlling owner of each object of a cache, if it is of `kind`, whenever the object changes.
pub fn enqueue_owner<F: client::cache::Facts>(cache: &Cache<F>, owner: Resource, queue: &Queue<Key>) {
    let queue = queue.clone();
    cache.subscribe(move |change| {
        for entry in [change.old, change.new].into_iter().flatten() {
            let header = entry.object.header();
            if let Some(controller) = header.controller().filter(|controller| controller.kind == owner.kind) {
                queue.add(Key { namespace: header.namespace.clone(), name: controller.name.clone() });
            }
        }
    });
}

/// Adds every owner of the namespace that may want to take in an object nobody owns.
pub fn enqueue_orphans_owners(cache: &Cache, owners: &Cache, queue: &Queue<Key>) {
    let (owners, queue) = (owners.clone(), queue.clone());
    cache.subscribe(move |change| {
        let Some(entry) = change.new else { return };
        let header = entry.object.header();
        if header.controller().is_none() && !header.deleting {
            owners.list_in(&header.namespace).iter().for_each(|owner| queue.add(Key::of(&owner.object)));
        }
    });
}
