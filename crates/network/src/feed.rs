//! Services and their endpoints as they come from the API, for all who need them on this node.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use client::cache::Entry;
use client::{Cache, Key, SharedTransport, resources};
use env::Env;
use machinery::Object;
use smol_str::SmolStr;
use tokio::sync::Notify;

use crate::view::{Service, Slice};

/// The index of slices by `namespace/name` of their Service.
const BY_SERVICE: &str = "service";

/// Services, their endpoint slices, and namespaces.
#[derive(Clone, Debug)]
pub struct Feed {
    services: Cache<Service>,
    slices: Cache<Slice>,
    namespaces: Cache,
}

impl Feed {
    /// Starts to follow them.
    pub fn start(transport: SharedTransport, env: &Env) -> Feed {
        Feed {
            services: Cache::of(resources::SERVICES).start(transport.clone(), env),
            slices: Cache::of(resources::ENDPOINT_SLICES)
                .index(BY_SERVICE, service_of)
                .start(transport.clone(), env),
            namespaces: Cache::of(resources::NAMESPACES).start(transport, env),
        }
    }

    /// Resolves once all were listed.
    pub async fn synced(&self) {
        self.services.synced().await;
        self.slices.synced().await;
        self.namespaces.synced().await;
    }

    /// Calls `handler` with the name of every namespace that is there, comes, or goes, and whether it exists.
    pub fn on_namespace(&self, handler: impl Fn(&str, bool) + Send + Sync + 'static) {
        self.namespaces.subscribe(move |change| handler(&change.key.name, change.new.is_some()));
    }

    /// A Service.
    pub fn service(&self, key: &Key) -> Option<Arc<Entry<Service>>> {
        self.services.get(key)
    }

    /// The slices of a Service's endpoints, by name.
    pub fn slices(&self, service: &Key) -> Vec<Arc<Entry<Slice>>> {
        self.slices.by_index(BY_SERVICE, &service.to_string())
    }

    /// The names of all Services.
    pub fn all_services(&self) -> BTreeSet<Key> {
        self.services.list().iter().map(|entry| entry.facts.key.clone()).collect()
    }

    /// The Services that changed, or whose endpoints changed; first all.
    pub fn changes(&self) -> Changes {
        let pending = Arc::new(Pending::default());
        let target = pending.clone();
        self.services.subscribe(move |change| target.add(change.key));
        let target = pending.clone();
        self.slices.subscribe(move |change| {
            // A slice that changes hands concerns both Services.
            for entry in [change.old, change.new].into_iter().flatten() {
                if !entry.facts.service.name.is_empty() {
                    target.add(&entry.facts.service);
                }
            }
        });
        Changes { pending }
    }
}

fn service_of(_object: &Object, slice: &Slice) -> Vec<SmolStr> {
    if slice.service.name.is_empty() { Vec::new() } else { vec![SmolStr::new(slice.service.to_string())] }
}

/// Names of Services that changed. Bounded by the number of Services.
#[derive(Debug)]
pub struct Changes {
    pending: Arc<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    keys: Mutex<BTreeSet<Key>>,
    added: Notify,
}

impl Pending {
    fn add(&self, key: &Key) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        self.added.notify_one();
    }
}

impl Changes {
    /// Waits until there is at least one name, and takes all.
    pub async fn next_all(&mut self) -> BTreeSet<Key> {
        loop {
            let keys = std::mem::take(&mut *self.pending.keys.lock().unwrap_or_else(PoisonError::into_inner));
            if !keys.is_empty() {
                return keys;
            }
            self.pending.added.notified().await;
        }
    }
}
