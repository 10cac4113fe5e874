//! All keys out of a store in etcd, and into a new one there.

use std::sync::Arc;

use bytes::Bytes;
use env::Env;

use crate::etcd::cluster::Cluster;
use crate::etcd::connection::method;
use crate::etcd::failure::Repeat;
use crate::etcd::lease::{self, Leases};
use crate::etcd::message::{self, Range};
use crate::etcd::origin::{self, Stage};
use crate::etcd::{Config, PAGE, Place, Shared};
use crate::migrate::{Entry, Part};
use crate::{Revision, StoreError};

/// How much one transaction takes: less than the limits that etcd has unless it is told otherwise.
const KEYS_AT_A_TIME: usize = 100;
const BYTES_AT_A_TIME: usize = 1 << 20;

/// A store that is read from its first key to its last.
#[derive(Debug)]
pub(crate) struct Export {
    shared: Arc<Shared>,
    at: i64,
    next: Bytes,
}

/// Reads the store of the configured prefix, which must be there, as it is now.
pub(crate) async fn export(config: Config, env: &Env) -> Result<Export, StoreError> {
    let key = config.prefix.clone().into_bytes();
    let cluster = Cluster::new(config, env.clone())?;
    let Some((origin, Stage::Whole)) = origin::find(&cluster, &key).await? else {
        return Err(StoreError::Unavailable { detail: format!("{}: there is no store", cluster.place()) });
    };
    let place = Place::new(&key, origin);
    let next = place.root.clone();
    let shared = Arc::new(Shared::new(cluster, place, env.clone()));
    let at = origin.to_etcd(shared.newest().await?);
    Ok(Export { shared, at, next })
}

impl Export {
    /// The revision that is read.
    pub(crate) fn revision(&self) -> Revision {
        self.shared.place.origin.to_store(self.at)
    }

    /// The next keys; empty at the end.
    pub(crate) async fn part(&mut self) -> Result<Part, StoreError> {
        let end = crate::prefix_end(&self.shared.place.root);
        let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let range = Range { key: &self.next, end: &end, limit, revision: self.at };
        let found = match self.shared.find(range).await {
            Ok(found) => found,
            Err(failure) => return Err(self.shared.explain(failure, self.revision()).await),
        };
        let mut entries = Vec::with_capacity(found.pairs.len());
        for pair in found.pairs {
            self.next = Bytes::from([&pair.key[..], &[0]].concat());
            let ttl_secs = match pair.lease {
                0 => None,
                id => match lease::seconds_left(&self.shared.cluster, id).await? {
                    // It goes at this moment.
                    None => continue,
                    left => left,
                },
            };
            entries.push(Entry { key: self.shared.place.own_key(&pair.key)?, value: pair.value, ttl_secs });
        }
        Ok(Part { entries, more: found.more })
    }
}

/// A store that is being filled. Nobody can open it before it is whole.
#[derive(Debug)]
pub(crate) struct Import {
    shared: Arc<Shared>,
}

impl Import {
    /// Makes a store at the configured prefix, where there must be none, whose revisions begin at `base`.
    pub(crate) async fn begin(config: Config, base: Revision, env: &Env) -> Result<Import, StoreError> {
        let key = config.prefix.clone().into_bytes();
        let cluster = Cluster::new(config, env.clone())?;
        let occupied = || StoreError::Unavailable {
            detail: format!("{}: there is a store already; choose another prefix", cluster.place()),
        };
        if origin::find(&cluster, &key).await?.is_some() {
            return Err(occupied());
        }
        origin::make(&cluster, &key, base, Stage::Importing).await?;
        let Some((origin, Stage::Importing)) = origin::find(&cluster, &key).await? else {
            return Err(occupied());
        };
        if origin.base != base {
            return Err(occupied());
        }
        Ok(Import { shared: Arc::new(Shared::new(cluster, Place::new(&key, origin), env.clone())) })
    }

    /// Adds keys.
    pub(crate) async fn add(&mut self, entries: Vec<Entry>) -> Result<(), StoreError> {
        let leases = Leases::default();
        let (mut operations, mut bytes) = (Vec::new(), 0);
        for entry in entries {
            let size = entry.key.len() + entry.value.len();
            if !operations.is_empty()
                && (operations.len() >= KEYS_AT_A_TIME || bytes + size > BYTES_AT_A_TIME)
            {
                self.write(&std::mem::take(&mut operations)).await?;
                bytes = 0;
            }
            let lease = match entry.ttl_secs {
                None => 0,
                Some(ttl) => leases.lease(&self.shared.cluster, ttl, &self.shared.env).await?,
            };
            operations.push(message::put_operation(&self.shared.place.key(&entry.key), &entry.value, lease));
            bytes += size;
        }
        if operations.is_empty() { Ok(()) } else { self.write(&operations).await }
    }

    /// Makes the store whole. What was before is forgotten. Answers its revision.
    pub(crate) async fn finish(self) -> Result<Revision, StoreError> {
        let place = &self.shared.place;
        let whole = origin::write(place.origin.base, Stage::Whole);
        self.write(&[message::put_operation(place.origin_key(), &whole, 0)]).await?;
        let revision = self.shared.newest().await?;
        self.shared.compact(revision).await?;
        Ok(revision)
    }

    /// Writing the same once more does no harm here.
    async fn write(&self, operations: &[crate::etcd::wire::Writer]) -> Result<(), StoreError> {
        let request = message::transaction(&[], operations, &[]);
        let answer = self.shared.cluster.ask(method::TXN, &request, Repeat::Freely).await;
        answer.map(drop).map_err(|failure| failure.into_error(&self.shared.cluster.place(), Repeat::Freely))
    }
}
