//! The store of several servers: etcd v3, spoken to by a client of our own.
//!
//! ```text
//! commit ─→ one transaction of etcd, which also reads how guards stand that do not hold
//! get, range ─→ linearizable reads; watch ─→ a stream, begun anew elsewhere when a member is lost
//! ```
//!
//! Keys stand below a prefix, so that others may use the same etcd. Revisions are etcd's, counted from when the store
//! was made there (`origin`). A write whose answer is lost is [`StoreError::Unknown`]: it is never sent twice.
//! A prefix where nothing happens learns of others' revisions as soon as a watch is asked; members before 3.4.31 and
//! 3.5.13 cannot be asked (`version`), and tell by themselves only every ten minutes.

mod address;
mod cluster;
mod connection;
mod failure;
mod import;
mod lease;
mod message;
mod origin;
pub mod parsers;
mod tls;
mod transaction;
mod version;
mod watch;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use env::Env;

pub use address::{Config, Endpoint};
pub(crate) use import::{Export, Import, export};
pub use tls::Tls;

use crate::etcd::cluster::Cluster;
use crate::etcd::connection::method;
use crate::etcd::failure::{Failure, Repeat};
use crate::etcd::lease::Leases;
use crate::etcd::message::{Change, Decided, Found, Pair, Range};
use crate::etcd::origin::Origin;
use crate::etcd::watch::EtcdWatch;
use crate::retention::Retention;
use crate::{
    BoxFuture, Event, KeyValue, Options, Outcome, Page, Query, Revision, Store, StoreError, Txn, Watch, plan,
};

/// How many keys are asked for at a time. Their values must fit into one message.
const PAGE: usize = 500;

/// How often a transaction is tried anew because a lease ended just then.
const LEASE_ATTEMPTS: usize = 3;

/// A store in an etcd cluster.
#[derive(Debug)]
pub struct Etcd {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cluster: Cluster,
    place: Place,
    leases: Leases,
    /// The newest revision heard of.
    seen: tokio::sync::watch::Sender<Revision>,
    env: Env,
}

/// Where the store's keys stand in etcd, and where its count begins.
#[derive(Debug)]
struct Place {
    /// What all keys begin with.
    root: Bytes,
    origin: Origin,
}

impl Etcd {
    /// Connects to the store of the configured prefix, or makes one there.
    pub async fn open(config: Config, options: Options, env: Env) -> Result<Arc<Etcd>, StoreError> {
        let key = config.prefix.clone().into_bytes();
        let cluster = Cluster::new(config, env.clone())?;
        let origin = origin::find_or_make(&cluster, &key).await?;
        let store =
            Arc::new(Etcd { shared: Arc::new(Shared::new(cluster, Place::new(&key, origin), env.clone())) });
        store.revision().await?;
        store.shared.warn_if_old().await;
        env.tasks.spawn("store housekeeping", keep_house(Arc::downgrade(&store), options, env.clone()));
        Ok(store)
    }
}

impl Shared {
    fn new(cluster: Cluster, place: Place, env: Env) -> Shared {
        let seen = tokio::sync::watch::Sender::new(place.origin.base);
        Shared { cluster, place, leases: Leases::default(), seen, env }
    }

    /// Says what an old member cannot do.
    async fn warn_if_old(&self) {
        if let Ok(connection) = self.cluster.connection().await
            && !connection.tells_progress
        {
            tracing::warn!(
                etcd = self.cluster.place(),
                "this etcd cannot be asked how far a watch is (3.4.31, 3.5.13 and newer can): where others write to it \
                 too, reads that must be fresh wait for our own next write"
            );
        }
    }

    /// Takes note of a revision of etcd, and translates it.
    fn observe(&self, revision: i64) -> Revision {
        let revision = self.place.origin.to_store(revision);
        self.seen.send_if_modified(|seen| {
            let newer = revision > *seen;
            *seen = revision.max(*seen);
            newer
        });
        revision
    }

    async fn find(self: &Arc<Self>, range: Range<'_>) -> Result<Found, Failure> {
        let answer = self.cluster.ask(method::RANGE, &range.message(), Repeat::Freely).await?;
        let found = Found::read(answer)?;
        self.observe(found.revision);
        Ok(found)
    }

    /// A failure of something that asked for the state or the history at `asked`.
    async fn explain(self: &Arc<Self>, failure: Failure, asked: Revision) -> StoreError {
        if failure.is_compacted() {
            return match watch::oldest(self).await {
                Ok(oldest) => StoreError::Compacted { asked, oldest },
                Err(error) => error,
            };
        }
        if failure.is_future() {
            return match self.newest().await {
                Ok(newest) => StoreError::Future { asked, newest },
                Err(error) => error,
            };
        }
        failure.into_error(&self.cluster.place(), Repeat::Freely)
    }

    async fn newest(self: &Arc<Self>) -> Result<Revision, StoreError> {
        let range = Range { key: self.place.origin_key(), limit: 1, ..Range::default() };
        let found = self.find(range).await;
        let found = found.map_err(|failure| failure.into_error(&self.cluster.place(), Repeat::Freely))?;
        if found.pairs.first().is_none_or(|pair| pair.created != self.place.origin.made) {
            return Err(StoreError::Corrupt {
                path: self.cluster.place(),
                detail: "the key that says where its revisions begin is gone".to_owned(),
            });
        }
        Ok(self.place.origin.to_store(found.revision))
    }

    /// Whether the state at `revision` can be read.
    async fn readable(self: &Arc<Self>, revision: Revision) -> Result<(), StoreError> {
        // What was before the store was made here is not known, and neither is what its beginning has lost since.
        let known = revision.max(self.place.origin.base);
        let at = self.place.origin.to_etcd(known);
        let range = Range { key: self.place.origin_key(), limit: 1, revision: at, ..Range::default() };
        match self.find(range).await {
            Ok(_) if known == revision => Ok(()),
            Ok(_) => Err(StoreError::Compacted { asked: revision, oldest: known }),
            Err(failure) => Err(self.explain(failure, revision).await),
        }
    }

    async fn range(self: &Arc<Self>, query: Query) -> Result<Page, StoreError> {
        let asked = query.revision;
        if let Some(revision) = asked.filter(|revision| *revision < self.place.origin.base) {
            self.readable(revision).await?;
        }
        if !query.end.is_empty() && query.start >= query.end {
            let revision = match asked {
                Some(revision) => self.readable(revision).await.map(|()| revision)?,
                None => self.newest().await?,
            };
            return Ok(Page { revision, ..Page::default() });
        }
        let (mut start, end) = self.place.span(&query.start, &query.end);
        let mut at = asked.map_or(0, |revision| self.place.origin.to_etcd(revision));
        let mut page = Page::default();
        let mut size = PAGE;
        loop {
            let wanted = if query.limit == 0 { size } else { size.min(query.limit - page.items.len()) };
            let limit = i64::try_from(wanted).unwrap_or(i64::MAX);
            let found = match self.find(Range { key: &start, end: &end, limit, revision: at }).await {
                Err(failure) if failure.is_too_large() && size > 1 => {
                    size /= 4;
                    size = size.max(1);
                    continue;
                }
                Err(failure) => {
                    let asked = asked.unwrap_or_else(|| self.place.origin.to_store(at));
                    return Err(self.explain(failure, asked).await);
                }
                Ok(found) => found,
            };
            if at == 0 {
                // The further pages are of the same moment.
                at = found.revision;
            }
            for pair in found.pairs {
                start = BytesMut::from_iter(pair.key.iter().copied().chain([0])).freeze();
                page.items.push(self.place.key_value(pair)?);
            }
            page.more = found.more;
            if !found.more || (query.limit != 0 && page.items.len() >= query.limit) {
                page.revision = self.place.origin.to_store(at);
                return Ok(page);
            }
        }
    }

    async fn commit(self: &Arc<Self>, txn: Txn) -> Result<Outcome, StoreError> {
        plan::validate(&txn)?;
        for _ in 0..LEASE_ATTEMPTS {
            let mut leases = BTreeMap::new();
            for ttl in transaction::times_to_live(&txn) {
                leases.insert(ttl, self.leases.lease(&self.cluster, ttl, &self.env).await?);
            }
            let request = transaction::request(&self.place, &txn, &leases);
            // What changes nothing may be asked twice.
            let repeat = if txn.all_writes().next().is_none() { Repeat::Freely } else { Repeat::UnlessSent };
            let answer = self.cluster.ask(method::TXN, &request, repeat).await;
            match answer.and_then(|answer| Ok(Decided::read(answer)?)) {
                Ok(decided) => {
                    self.observe(decided.revision);
                    return transaction::outcome(&self.place, &txn, decided);
                }
                Err(failure) if failure.is_lease_gone() => self.leases.forget(),
                Err(failure) => return Err(failure.into_error(&self.cluster.place(), repeat)),
            }
        }
        Err(StoreError::Unavailable { detail: "leases end as fast as they are granted".to_owned() })
    }

    async fn compact(self: &Arc<Self>, revision: Revision) -> Result<(), StoreError> {
        if revision < self.place.origin.base {
            return Ok(());
        }
        let request = message::compaction(self.place.origin.to_etcd(revision));
        match self.cluster.ask(method::COMPACT, &request, Repeat::Freely).await {
            Ok(_) => Ok(()),
            // Forgotten already.
            Err(failure) if failure.is_compacted() => Ok(()),
            Err(failure) => Err(self.explain(failure, revision).await),
        }
    }
}

impl Place {
    fn new(key: &[u8], origin: Origin) -> Place {
        let mut root = BytesMut::from(key);
        root.extend_from_slice(b":");
        Place { root: root.freeze(), origin }
    }

    /// The key that holds the origin: the root without its colon.
    fn origin_key(&self) -> &[u8] {
        &self.root[..self.root.len() - 1]
    }

    /// A key of the store as etcd has it.
    fn key(&self, key: &[u8]) -> Bytes {
        let mut full = BytesMut::with_capacity(self.root.len() + key.len());
        full.extend_from_slice(&self.root);
        full.extend_from_slice(key);
        full.freeze()
    }

    /// A span of keys as etcd has it. An empty end is that of all our keys.
    fn span(&self, start: &[u8], end: &[u8]) -> (Bytes, Bytes) {
        let end = if end.is_empty() { crate::prefix_end(&self.root) } else { self.key(end) };
        (self.key(start), end)
    }

    fn key_value(&self, pair: Pair) -> Result<KeyValue, StoreError> {
        Ok(KeyValue {
            key: self.own_key(&pair.key)?,
            value: pair.value,
            created: self.origin.to_store(pair.created),
            modified: self.origin.to_store(pair.modified),
        })
    }

    fn event(&self, change: Change) -> Result<Event, StoreError> {
        let previous = change.previous.map(|revision| self.origin.to_store(revision));
        let revision = self.origin.to_store(change.pair.modified);
        let key = self.own_key(&change.pair.key)?;
        let value = if change.deleted { None } else { Some(self.key_value(change.pair)?) };
        Ok(Event { revision, key, value, previous })
    }

    fn own_key(&self, key: &Bytes) -> Result<Bytes, StoreError> {
        if !key.starts_with(&self.root) {
            return Err(StoreError::Unavailable {
                detail: "etcd answers with keys of somebody else".to_owned(),
            });
        }
        Ok(key.slice(self.root.len()..))
    }
}

/// Forgets old history, for as long as the store exists. Expired keys are etcd's own business.
async fn keep_house(store: Weak<Etcd>, options: Options, env: Env) {
    // How much of etcd's file is history only etcd knows; its quota is the limit there.
    let mut retention = Retention::new(options.retention, u64::MAX);
    loop {
        env.clock.sleep(options.sweep_interval).await;
        let Some(store) = store.upgrade() else { return };
        let now = u32::try_from(env.clock.now().secs()).unwrap_or(0);
        let newest = *store.shared.seen.borrow();
        retention.remember(now, newest, 0);
        if let Some(revision) = retention.due(now, 0)
            && let Err(error) = store.shared.compact(revision).await
        {
            tracing::warn!(%error, revision, "old history could not be removed; trying again later");
        }
    }
}

impl Store for Etcd {
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(self.shared.commit(txn))
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>, StoreError>> {
        Box::pin(async move {
            let full = self.shared.place.key(&key);
            match self.shared.find(Range { key: &full, limit: 1, ..Range::default() }).await {
                Ok(found) => {
                    found.pairs.into_iter().next().map(|pair| self.shared.place.key_value(pair)).transpose()
                }
                Err(failure) => Err(failure.into_error(&self.shared.cluster.place(), Repeat::Freely)),
            }
        })
    }

    fn range(&self, query: Query) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(self.shared.range(query))
    }

    fn watch(&self, prefix: Bytes, after: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move {
            self.shared.readable(after).await?;
            let watch: Box<dyn Watch> = Box::new(EtcdWatch::new(self.shared.clone(), prefix, after));
            Ok(watch)
        })
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(self.shared.newest())
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.shared.compact(revision))
    }
}

#[cfg(test)]
mod tests;
