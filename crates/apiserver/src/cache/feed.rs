//! The one task that follows the store and keeps every collection up to date.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Env;
use futures_util::future::join;
use store::{Query, StoreError, Watch, WatchItem};

use super::{Caches, Collection, Entry, ROOT};
use crate::encryption::is_sealed;
use crate::stored;

/// How long to wait before following again after the store failed.
const RETRY: Duration = Duration::from_millis(200);

pub(super) struct Feed {
    pub caches: Arc<Caches>,
    pub env: Env,
}

/// How much of a collection is read at a time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Portion {
    /// A page: while it is decoded, the store looks for the next one.
    Page,
    /// All: what lies so far back that the store has to go through its log for it.
    All,
}

/// Values in a page: enough for both sides to be busy.
const PAGE: usize = 500;

/// Reads a collection as it stood at `revision`.
pub(super) async fn load(
    caches: &Caches,
    name: &str,
    (revision, portion): (u64, Portion),
) -> Result<Arc<Collection>, StoreError> {
    let prefix = format!("{ROOT}{name}/");
    let collection = Collection::new(&prefix, revision);
    let limit = match portion {
        Portion::Page => PAGE,
        Portion::All => 0,
    };
    let all = Query { revision: Some(revision), limit, ..Query::prefix(prefix.as_bytes()) };
    let mut page = caches.store.range(all.clone()).await?;
    loop {
        let next = page.items.last().filter(|_| page.more).map(|last| after(&last.key));
        let decoded = async {
            for item in &page.items {
                if let Some(entry) = decode(caches, &item.key, &item.value, item.modified) {
                    collection.load(entry);
                }
            }
        };
        let Some(start) = next else {
            decoded.await;
            return Ok(Arc::new(collection));
        };
        let (following, ()) = join(caches.store.range(Query { start, ..all.clone() }), decoded).await;
        page = following?;
    }
}

/// Reads a collection as it stands at `revision`. One with a value that cannot be opened is shut, to be read later.
pub(super) async fn load_or_shut(
    caches: &Caches,
    name: &str,
    revision: u64,
) -> Result<Arc<Collection>, StoreError> {
    match load(caches, name, (revision, Portion::Page)).await {
        Err(StoreError::Seal { detail }) => {
            let collection = Collection::new(&format!("{ROOT}{name}/"), revision);
            caches.shut(&collection, &detail, revision);
            Ok(Arc::new(collection))
        }
        other => other,
    }
}

/// The first key that can come after this one.
fn after(key: &Bytes) -> Bytes {
    [key.as_ref(), &[0]].concat().into()
}

fn decode(caches: &Caches, key: &Bytes, value: &Bytes, revision: u64) -> Option<Arc<Entry>> {
    match stored::read_sharing(value, revision, &caches.managed_fields) {
        Ok(entry) => Some(entry),
        Err(error) => {
            let key = String::from_utf8_lossy(key);
            tracing::error!(%key, %error, "a stored object cannot be read and is left out");
            None
        }
    }
}

impl Feed {
    /// Follows the store for as long as it is not dropped.
    pub async fn run(self, mut watch: Box<dyn Watch>) {
        loop {
            match watch.next().await {
                Ok(WatchItem::Events(events)) => self.apply(events),
                Ok(WatchItem::Progress(revision)) => {
                    if revision > self.caches.applied() {
                        self.caches.publish(revision);
                    }
                }
                Err(error) => watch = self.recover(error).await,
            }
        }
    }

    fn apply(&self, events: Vec<store::Event>) {
        let now = self.env.clock.monotonic();
        let mut touched: Vec<Arc<Collection>> = Vec::new();
        let mut newest = self.caches.applied();
        for event in events {
            newest = newest.max(event.revision);
            let Some(collection) = self.collection_of(&event.key) else {
                // Whoever writes to what is closed is not kept waiting.
                self.caches.take_handoff(&event.key, |_| true);
                continue;
            };
            if collection.covers(event.revision) {
                continue;
            }
            self.apply_one(&collection, event, now);
            if !touched.iter().any(|other| Arc::ptr_eq(other, &collection)) {
                touched.push(collection);
            }
        }
        self.caches.publish(newest);
        for collection in touched {
            collection.announce();
        }
    }

    fn apply_one(&self, collection: &Collection, event: store::Event, now: Duration) {
        if let Some(sealed) = event.value.as_ref().filter(|value| is_sealed(&value.value)) {
            let key = machinery::field::go_quote(&String::from_utf8_lossy(&sealed.key));
            self.caches.shut(collection, &format!("unable to transform key {key}"), event.revision);
        }
        if collection.skips(event.revision) {
            // Whoever writes to what cannot be read is not kept waiting.
            self.caches.take_handoff(&event.key, |_| true);
            return;
        }
        let Some(value) = event.value else {
            let key = object_key(collection, &event.key);
            let Some(current) = collection.get(key) else { return };
            collection.delete(stored::at_revision(&current, event.revision), now);
            return;
        };
        let Some(entry) = decode(&self.caches, &event.key, &value.value, event.revision) else { return };
        collection.put(entry.clone(), now);
        if let Some(handoff) = self.caches.take_handoff(&event.key, |handoff| handoff.value == value.value) {
            // A writer that was cut off in the meantime needs no answer.
            let _ = handoff.done.send(entry);
        }
    }

    fn collection_of(&self, key: &Bytes) -> Option<Arc<Collection>> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(ROOT)?;
        let group = rest.find('/')?;
        let end = group + 1 + rest[group + 1..].find('/')?;
        self.caches.collection(&rest[..end])
    }

    /// Follows again from where it broke off; if that is forgotten, reads everything anew.
    async fn recover(&self, error: StoreError) -> Box<dyn Watch> {
        tracing::warn!(%error, "the store's watch ended; following again");
        let mut forgotten = matches!(error, StoreError::Compacted { .. });
        loop {
            let resumed = if forgotten { self.reload().await } else { self.follow().await };
            match resumed {
                Ok(watch) => return watch,
                Err(error) => {
                    forgotten = forgotten || matches!(error, StoreError::Compacted { .. });
                    self.env.clock.sleep(RETRY).await;
                }
            }
        }
    }

    async fn follow(&self) -> Result<Box<dyn Watch>, StoreError> {
        self.caches.store.watch(Bytes::from_static(ROOT.as_bytes()), self.caches.applied()).await
    }

    async fn reload(&self) -> Result<Box<dyn Watch>, StoreError> {
        let store = self.caches.store.clone();
        let revision = store.revision().await?;
        let watch = store.watch(Bytes::from_static(ROOT.as_bytes()), revision).await?;
        for collection in self.caches.all() {
            let name = collection.prefix().trim_start_matches(ROOT).trim_end_matches('/').to_owned();
            let fresh = load_or_shut(&self.caches, &name, revision).await?;
            collection.replace(&fresh);
            collection.announce();
        }
        self.caches.publish(revision);
        Ok(watch)
    }
}

fn object_key<'a>(collection: &Collection, key: &'a Bytes) -> &'a str {
    std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(collection.prefix())).unwrap_or_default()
}
