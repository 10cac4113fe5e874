//! All keys out of a store in a directory, and into a new one there.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use env::Env;
use rusqlite::Connection;

use crate::embedded::Embedded;
use crate::embedded::database::{self, Meta};
use crate::embedded::disk::{self, Lock};
use crate::embedded::fault::{refused, store_error};
use crate::embedded::partial::Partial;
use crate::migrate::{Entry, Part};
use crate::row::{Row, RowId};
use crate::{Options, Query, Revision, Store, StoreError};

/// How many keys are read at a time.
const PAGE: usize = 500;

/// A store that is read from its first key to its last.
#[derive(Debug)]
pub(crate) struct Export {
    store: Arc<Embedded>,
    revision: Revision,
    next: Bytes,
    env: Env,
}

/// Reads the store in `directory`, which must be there and not in use.
pub(crate) async fn export(directory: &Path, env: &Env) -> Result<Export, StoreError> {
    let database = disk::database(directory);
    if !database.exists() {
        return Err(StoreError::Unavailable { detail: format!("there is no {}", database.display()) });
    }
    let store = Embedded::open(directory, Options::default(), env.clone()).await?;
    let revision = store.revision().await?;
    Ok(Export { store, revision, next: Bytes::new(), env: env.clone() })
}

impl Export {
    /// The revision that is read.
    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    /// The next keys; empty at the end.
    pub(crate) async fn part(&mut self) -> Result<Part, StoreError> {
        let start = self.next.clone();
        let query = Query { start, limit: PAGE, revision: Some(self.revision), ..Query::default() };
        let page = self.store.range(query).await?;
        let now = u32::try_from(self.env.clock.now().secs()).unwrap_or(0);
        let mut entries = Vec::with_capacity(page.items.len());
        for item in page.items {
            self.next = Bytes::from([&item.key[..], &[0]].concat());
            let ttl_secs = match self.store.expires(&item.key) {
                // It has gone since.
                None => continue,
                Some(0) => None,
                Some(expires) => Some(expires.saturating_sub(now).max(1)),
            };
            entries.push(Entry { key: item.key, value: item.value, ttl_secs });
        }
        Ok(Part { entries, more: page.more })
    }

    /// Leaves the directory to others.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}

/// A store that is being filled. It has another name until it is whole.
#[derive(Debug)]
pub(crate) struct Import {
    _lock: Lock,
    partial: Partial,
    connection: Connection,
    target: std::path::PathBuf,
    revision: Revision,
    now: u32,
}

impl Import {
    /// Makes a store in `directory`, which must have none, whose revisions begin at `base`.
    pub(crate) fn begin(directory: &Path, base: Revision, env: &Env) -> Result<Import, StoreError> {
        let lock = Lock::take(directory)?;
        let target = disk::database(directory);
        if target.exists() {
            return Err(refused(&target, "exists already; choose a directory without a store"));
        }
        let partial = Partial::beside(&target)?;
        let connection = partial.edit()?;
        database::create(&connection).map_err(|error| store_error(&target, &error))?;
        let now = u32::try_from(env.clock.now().secs()).unwrap_or(0);
        Ok(Import { _lock: lock, partial, connection, target, revision: base, now })
    }

    /// Adds keys, all at one revision.
    pub(crate) fn add(&mut self, entries: Vec<Entry>) -> Result<(), StoreError> {
        let failed = |error: rusqlite::Error| store_error(&self.target, &error);
        for entries in entries.chunks(crate::MAX_WRITES) {
            self.revision += 1;
            let changes = self.connection.unchecked_transaction().map_err(failed)?;
            for (place, entry) in entries.iter().enumerate() {
                let row = Row {
                    id: RowId::new(self.revision, place),
                    key: entry.key.clone(),
                    value: Some(entry.value.clone()),
                    created: self.revision,
                    expires: entry.ttl_secs.map_or(0, |ttl| self.now.saturating_add(ttl)),
                    written: self.now,
                    before: None,
                };
                database::insert(&changes, &row).map_err(failed)?;
            }
            changes.commit().map_err(failed)?;
        }
        Ok(())
    }

    /// Makes the store whole. What was before is forgotten. Answers its revision.
    pub(crate) fn finish(self) -> Result<Revision, StoreError> {
        let failed = |error: rusqlite::Error| store_error(&self.target, &error);
        for name in [Meta::Floor, Meta::Compacted, Meta::Swept] {
            database::set_meta(&self.connection, name, self.revision).map_err(failed)?;
        }
        self.connection.close().map_err(|(_, error)| store_error(&self.target, &error))?;
        self.partial.keep(&self.target)?;
        Ok(self.revision)
    }
}
