//! The watch cache: what every read is answered from and every watch follows.
//!
//! One task follows the store and applies each change, in order, to the collection of its resource. Watchers pull: a
//! write costs the same with one of them or ten thousand. A writer waits until its own write has passed here, so that
//! whoever was answered can read what it wrote.

pub mod collection;
pub mod entry;
mod feed;
pub mod index;
pub mod lanes;
mod named;
mod reopen;
pub mod snapshot;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use env::{Env, News};
use machinery::managed::Pool;
use store::{Store, StoreError};
use tokio::sync::oneshot;

use self::feed::Portion;
pub use collection::{Collection, Cursor};
pub use entry::{Entry, Event, SeenKind};
pub use snapshot::Snapshot;

/// What all keys of objects begin with.
pub const ROOT: &str = "/registry/";

/// All collections, and how far they have followed the store.
#[derive(Debug)]
pub struct Caches {
    /// By the part of the key between the root and the object: `core/pods`.
    collections: RwLock<HashMap<String, Arc<Collection>>>,
    applied: AtomicU64,
    waiting: Mutex<BTreeMap<u64, Vec<oneshot::Sender<()>>>>,
    handoffs: Mutex<HashMap<Bytes, Vec<Handoff>>>,
    next_handoff: AtomicU64,
    /// How often a collection was shut.
    shut_news: News,
    /// The managed fields of all objects.
    managed_fields: Arc<Pool>,
    store: Arc<dyn Store>,
}

/// A write on its way: the feed hands the entry it becomes back to the writer.
#[derive(Debug)]
struct Handoff {
    number: u64,
    value: Bytes,
    done: oneshot::Sender<Arc<Entry>>,
}

/// A writer's claim on the entry that its write becomes. Dropped, it is forgotten.
#[derive(Debug)]
pub struct Claim<'a> {
    caches: &'a Caches,
    key: Bytes,
    number: u64,
    done: oneshot::Receiver<Arc<Entry>>,
}

impl Caches {
    /// Loads the collections `names` (`core/pods`) and follows the store from there.
    pub async fn open(env: &Env, store: Arc<dyn Store>, names: &[String]) -> Result<Arc<Caches>, StoreError> {
        let revision = store.revision().await?;
        let caches = Arc::new(Caches {
            collections: RwLock::default(),
            applied: AtomicU64::new(revision),
            waiting: Mutex::default(),
            handoffs: Mutex::default(),
            next_handoff: AtomicU64::new(0),
            shut_news: News::new(),
            managed_fields: Arc::default(),
            store: store.clone(),
        });
        let watch = store.watch(Bytes::from_static(ROOT.as_bytes()), revision).await?;
        for name in names {
            let collection = feed::load_or_shut(&caches, name, revision).await?;
            caches.insert(name, collection);
        }
        env.tasks.spawn("shut collections", reopen::run(caches.clone(), env.clone()));
        let feed = feed::Feed { caches: caches.clone(), env: env.clone() };
        env.tasks.spawn("watch cache", feed.run(watch));
        Ok(caches)
    }

    /// The collection `core/pods`, if it was opened.
    pub fn collection(&self, name: &str) -> Option<Arc<Collection>> {
        self.collections.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The collection `example.com/things`, opened if it was not yet. Nobody may write to it before this returns.
    pub async fn open_collection(&self, name: &str) -> Result<Arc<Collection>, StoreError> {
        if let Some(known) = self.collection(name) {
            return Ok(known);
        }
        let revision = self.catch_up().await?;
        let collection = feed::load_or_shut(self, name, revision).await?;
        self.insert(name, collection.clone());
        Ok(collection)
    }

    /// Forgets a collection. Whoever follows it finds that it has ended.
    pub fn close_collection(&self, name: &str) {
        let closed = self.collections.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(collection) = closed {
            collection.replace(&Collection::new(collection.prefix(), self.applied()));
            collection.announce();
        }
    }

    /// The revision up to which everything is here.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Waits until everything up to `revision` is here.
    pub async fn wait_for(&self, revision: u64) {
        if self.applied() >= revision {
            return;
        }
        let (done, reached) = oneshot::channel();
        lock(&self.waiting).entry(revision).or_default().push(done);
        if self.applied() >= revision {
            // It came in between: whoever publishes next would tell us, but there may be no next.
            self.tell_waiting(self.applied());
        }
        // The sender is dropped only with the whole cache.
        let _ = reached.await;
    }

    /// Waits until everything that was committed before this call is here; returns that revision.
    pub async fn catch_up(&self) -> Result<u64, StoreError> {
        let newest = self.store.revision().await?;
        self.wait_for(newest).await;
        Ok(self.applied())
    }

    /// The state of a collection at a revision that only the store remembers; `None` if it forgot it too.
    pub async fn read_past(
        &self,
        collection: &Collection,
        revision: u64,
    ) -> Result<Option<Snapshot>, StoreError> {
        let name = collection.prefix().trim_start_matches(ROOT).trim_end_matches('/');
        match feed::load(self, name, (revision, Portion::All)).await {
            Ok(past) => Ok(Some(past.snapshot())),
            Err(StoreError::Compacted { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Announces a write of `value` to `key`.
    pub fn claim(&self, key: Bytes, value: Bytes) -> Claim<'_> {
        let (done, receiver) = oneshot::channel();
        let number = self.next_handoff.fetch_add(1, Ordering::Relaxed);
        let handoff = Handoff { number, value, done };
        lock(&self.handoffs).entry(key.clone()).or_default().push(handoff);
        Claim { caches: self, key, number, done: receiver }
    }

    /// A collection can no longer be read: what there is of it at `revision` is not known.
    fn shut(&self, collection: &Collection, why: &str, revision: u64) {
        tracing::error!(
            prefix = collection.prefix(),
            why,
            "objects cannot be read; until they can, nobody reads any of them"
        );
        collection.shut(why, revision);
        self.shut_news.tell(self.shut_news.newest() + 1);
    }

    fn insert(&self, name: &str, collection: Arc<Collection>) {
        self.collections.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), collection);
    }

    fn all(&self) -> Vec<Arc<Collection>> {
        let collections = self.collections.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<&String> = collections.keys().collect();
        names.sort();
        names.into_iter().map(|name| collections[name].clone()).collect()
    }

    fn take_handoff(&self, key: &Bytes, which: impl Fn(&Handoff) -> bool) -> Option<Handoff> {
        let mut handoffs = lock(&self.handoffs);
        let waiting = handoffs.get_mut(key)?;
        let position = waiting.iter().position(which)?;
        let handoff = waiting.swap_remove(position);
        if waiting.is_empty() {
            handoffs.remove(key);
        }
        Some(handoff)
    }

    fn publish(&self, revision: u64) {
        self.applied.store(revision, Ordering::Release);
        self.tell_waiting(revision);
    }

    fn tell_waiting(&self, revision: u64) {
        let reached = {
            let mut waiting = lock(&self.waiting);
            if waiting.first_key_value().is_none_or(|(first, _)| *first > revision) {
                return;
            }
            let later = waiting.split_off(&(revision + 1));
            std::mem::replace(&mut *waiting, later)
        };
        for done in reached.into_values().flatten() {
            // Who no longer waits needs no answer.
            let _ = done.send(());
        }
    }
}

impl Claim<'_> {
    /// The entry the write became. Call it once the store has committed the write.
    pub async fn entry(mut self) -> Option<Arc<Entry>> {
        (&mut self.done).await.ok()
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.caches.take_handoff(&self.key, |handoff| handoff.number == self.number);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
