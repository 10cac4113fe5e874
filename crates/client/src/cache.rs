//! A local picture of a resource, kept by list and watch, with indexes.
//!
//! Objects are shared with the server where that is in the same process. What a component asks of each object again
//! and again is worked out once per revision, as its [`Facts`]; typed views are not kept here.

mod facts;
mod reflect;
mod store;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use env::{Env, News};
use machinery::Object;
use smol_str::SmolStr;
use tokio::sync::Notify;

pub use facts::{Facts, read};

use crate::{Call, Key, Resource, SharedTransport};
use store::Store;
use waiting::Waiting;

/// An object in a cache.
#[derive(Debug)]
pub struct Entry<F = ()> {
    /// The object.
    pub object: Object,
    /// What was worked out of it.
    pub facts: F,
}

/// What happened to one object. `old` and `new` are not both `None`.
pub struct Change<'a, F = ()> {
    /// Its name.
    pub key: &'a Key,
    /// As it was, if it was there.
    pub old: Option<&'a Arc<Entry<F>>>,
    /// As it is, if it is there.
    pub new: Option<&'a Arc<Entry<F>>>,
}

/// The values under which an index finds an object.
pub type IndexValues<F> = fn(&Object, &F) -> Vec<SmolStr>;

type Handler<F> = Box<dyn Fn(&Change<'_, F>) + Send + Sync>;

/// The index of objects by the identity of each of their owners.
pub const BY_OWNER: &str = "owner";
/// The index of objects that nobody controls, by their namespace.
pub const ORPHANS: &str = "orphans";

/// The values of [`BY_OWNER`].
pub fn owner_uids<F>(object: &Object, _facts: &F) -> Vec<SmolStr> {
    object.header().owners.iter().map(|owner| owner.uid.clone()).collect()
}

/// The values of [`ORPHANS`].
pub fn orphan_namespace<F>(object: &Object, _facts: &F) -> Vec<SmolStr> {
    let header = object.header();
    if header.controller().is_none() { vec![header.namespace.clone()] } else { Vec::new() }
}

/// What a cache is to hold, before it is started.
pub struct Builder<F: Facts> {
    resource: Resource,
    call: Call,
    indexes: Vec<(&'static str, IndexValues<F>)>,
}

impl<F: Facts> Builder<F> {
    /// Only objects of one namespace.
    pub fn namespace(mut self, namespace: &str) -> Builder<F> {
        self.call.namespace = namespace.to_owned();
        self
    }

    /// Only objects whose labels match.
    pub fn labels(mut self, selector: &str) -> Builder<F> {
        self.call.labels = selector.to_owned();
        self
    }

    /// Only objects whose fields match.
    pub fn fields(mut self, selector: &str) -> Builder<F> {
        self.call.fields = selector.to_owned();
        self
    }

    /// With an index.
    pub fn index(mut self, name: &'static str, values: IndexValues<F>) -> Builder<F> {
        self.indexes.push((name, values));
        self
    }

    /// Starts to list and watch, for as long as the tasks of `env` run, or until it is closed.
    pub fn start(self, transport: SharedTransport, env: &Env) -> Cache<F> {
        let shared = Arc::new(Shared {
            resource: self.resource,
            call: self.call,
            store: RwLock::new(Store::new(self.indexes)),
            handlers: Mutex::default(),
            waiting: Waiting::default(),
            closed: Notify::new(),
            lists: Lists::default(),
        });
        let cache = Cache { shared };
        let (own, env) = (cache.clone(), env.child(self.resource.plural));
        let tasks = env.tasks.clone();
        tasks.spawn("cache", async move {
            tokio::select! {
                biased;
                () = own.shared.closed.notified() => {}
                () = reflect::run(own.clone(), transport, env) => {}
            }
            own.replace(Vec::new(), 0);
            // There will be no other list, and this is what one would show.
            own.shared.lists.done.tell(u64::MAX);
        });
        cache
    }
}

struct Shared<F> {
    resource: Resource,
    call: Call,
    store: RwLock<Store<F>>,
    /// Held while a change is made and told, so that a new subscriber misses nothing and hears nothing twice.
    handlers: Mutex<Vec<Handler<F>>>,
    waiting: Waiting,
    closed: Notify,
    lists: Lists,
}

/// Lists that were asked for, and those that are in.
#[derive(Default)]
struct Lists {
    asked: AtomicU64,
    wanted: Notify,
    done: News,
}

/// A local picture of a resource. Clones share it.
pub struct Cache<F: Facts = ()> {
    shared: Arc<Shared<F>>,
}

impl<F: Facts> Clone for Cache<F> {
    fn clone(&self) -> Self {
        Cache { shared: self.shared.clone() }
    }
}

impl<F: Facts> fmt::Debug for Cache<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Cache({} {:?})", self.shared.resource.plural, self.shared.call)
    }
}

impl<F: Facts> Cache<F> {
    /// A cache of all objects of `resource`, to be narrowed and started.
    pub fn of(resource: Resource) -> Builder<F> {
        Builder { resource, call: Call::default(), indexes: Vec::new() }
    }

    /// What it holds objects of.
    pub fn resource(&self) -> Resource {
        self.shared.resource
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Entry<F>>> {
        self.read(|store| store.get(key).cloned())
    }

    /// All objects, by namespace and name.
    pub fn list(&self) -> Vec<Arc<Entry<F>>> {
        self.read(|store| store.iter().map(|(_, entry)| entry.clone()).collect())
    }

    /// The objects of one namespace.
    pub fn list_in(&self, namespace: &str) -> Vec<Arc<Entry<F>>> {
        self.read(|store| store.in_namespace(namespace).cloned().collect())
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read(Store::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The objects an index finds under a value. An index that was not declared finds nothing; that is a defect.
    pub fn by_index(&self, index: &'static str, value: &str) -> Vec<Arc<Entry<F>>> {
        self.read(|store| store.by_index(index, value))
    }

    /// How many objects an index finds under a value.
    pub fn count_by_index(&self, index: &'static str, value: &str) -> usize {
        self.read(|store| store.count_by_index(index, value))
    }

    /// The revision it has seen everything up to; zero before the first list.
    pub fn revision(&self) -> u64 {
        self.shared.waiting.revision().unwrap_or(0)
    }

    /// Resolves once the first list is in.
    pub async fn synced(&self) {
        self.wait_for_revision(0).await;
    }

    /// Whether the first list is in.
    pub fn is_synced(&self) -> bool {
        self.shared.waiting.revision().is_some()
    }

    /// Resolves once everything up to `revision` has been seen. Only meaningful for the revision of an object this
    /// cache holds, or held: others are passed when the next event or bookmark comes.
    pub async fn wait_for_revision(&self, revision: u64) {
        self.shared.waiting.for_revision(revision).await;
    }

    /// Resolves once the object of the name is gone, is being deleted, or is not `uid` any more.
    pub async fn wait_gone(&self, key: &Key, uid: &str) {
        let gone = self.shared.waiting.for_end(key, uid);
        let is_gone = self.get(key).is_none_or(|entry| {
            let header = entry.object.header();
            header.deleting || (!uid.is_empty() && header.uid != uid)
        });
        if !is_gone {
            gone.await;
        }
    }

    /// Lists anew, whatever its watch is doing. Resolves once a list is in that was begun after this was called.
    pub async fn list_anew(&self) {
        let lists = &self.shared.lists;
        let before = lists.asked.fetch_add(1, Ordering::SeqCst);
        lists.wanted.notify_one();
        lists.done.after(before).await;
    }

    /// There is no such resource any more: what it holds goes, which is told as ever, and nothing follows.
    pub fn close(&self) {
        self.shared.closed.notify_one();
    }

    /// Calls `handler` for every object there is, and then for every change, in order. It must be quick and must not
    /// block; usually it adds a key to a queue.
    pub fn subscribe(&self, handler: impl Fn(&Change<'_, F>) + Send + Sync + 'static) {
        let mut handlers = self.shared.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, entry) in
            self.read(|store| store.iter().map(|(k, e)| (k.clone(), e.clone())).collect::<Vec<_>>())
        {
            handler(&Change { key: &key, old: None, new: Some(&entry) });
        }
        handlers.push(Box::new(handler));
    }

    /// The names of objects that changed, each once however often it changed since it was last taken; first all that
    /// are there.
    pub fn changes(&self) -> Changes {
        let changes = Changes { shared: Arc::default() };
        let target = changes.shared.clone();
        self.subscribe(move |change| target.add(change.key));
        changes
    }

    fn read<T>(&self, read: impl FnOnce(&Store<F>) -> T) -> T {
        read(&self.shared.store.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes in a whole list.
    fn replace(&self, objects: Vec<Object>, revision: u64) {
        let handlers = self.shared.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let listed: BTreeSet<Key> = objects.iter().map(Key::of).collect();
        let vanished: Vec<Key> = self.read(|store| {
            store.iter().map(|(key, _)| key).filter(|key| !listed.contains(*key)).cloned().collect()
        });
        for key in vanished {
            self.set(&handlers, key, None);
        }
        for object in objects {
            let key = Key::of(&object);
            let known = self.get(&key).is_some_and(|entry| {
                let (old, new) = (entry.object.header(), object.header());
                old.revision == new.revision && old.uid == new.uid
            });
            if !known {
                self.set(&handlers, key, self.entry(object));
            }
        }
        drop(handlers);
        self.shared.waiting.advance(revision);
    }

    /// Takes in one event.
    fn apply(&self, object: Object, deleted: bool) {
        let revision = object.header().revision;
        let handlers = self.shared.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key::of(&object);
        let entry = if deleted { None } else { self.entry(object) };
        self.set(&handlers, key, entry);
        drop(handlers);
        self.shared.waiting.advance(revision);
    }

    fn entry(&self, object: Object) -> Option<Arc<Entry<F>>> {
        match F::of(&object) {
            Ok(facts) => Some(Arc::new(Entry { object, facts })),
            Err(status) => {
                let header = object.header();
                tracing::error!(kind = %header.kind, object = %header.key(), "left out of the cache: {status}");
                None
            }
        }
    }

    fn set(&self, handlers: &[Handler<F>], key: Key, new: Option<Arc<Entry<F>>>) {
        let old = {
            let mut store = self.shared.store.write().unwrap_or_else(PoisonError::into_inner);
            store.set(&key, new.clone())
        };
        if old.is_none() && new.is_none() {
            return;
        }
        self.shared.waiting.changed(&key, new.as_ref().map(|entry| entry.object.header()));
        let change = Change { key: &key, old: old.as_ref(), new: new.as_ref() };
        for handler in handlers {
            handler(&change);
        }
    }
}

/// Names of objects that changed, taken one by one. Bounded by the number of objects.
#[derive(Debug)]
pub struct Changes {
    shared: Arc<PendingKeys>,
}

#[derive(Debug, Default)]
struct PendingKeys {
    keys: Mutex<BTreeSet<Key>>,
    added: Notify,
}

impl PendingKeys {
    fn add(&self, key: &Key) {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        self.added.notify_one();
    }
}

impl Changes {
    /// Waits for the next name.
    pub async fn next(&mut self) -> Key {
        loop {
            if let Some(key) = self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner).pop_first() {
                return key;
            }
            self.shared.added.notified().await;
        }
    }

    /// Waits until there is at least one name, and takes all.
    pub async fn next_all(&mut self) -> BTreeSet<Key> {
        loop {
            let keys = std::mem::take(&mut *self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner));
            if !keys.is_empty() {
                return keys;
            }
            self.shared.added.notified().await;
        }
    }
}
