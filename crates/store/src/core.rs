//! What all backends that keep their index in memory share: reading, watching, expiry and forgetting history.

use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use bytes::Bytes;
use env::{Env, WallTime};
use tokio::sync::watch;

use crate::history::{self, Log};
use crate::index::Slot;
use crate::retention::Retention;
use crate::row::{Row, RowId};
use crate::state::State;
use crate::watch::LogWatch;
use crate::{Guard, KeyValue, Outcome, Page, Query, Revision, Store, StoreError, Txn, Watch, Write};

/// How often a read is begun anew because a row was compacted under it. Each time takes a compaction just then.
const READ_ATTEMPTS: usize = 8;

/// How many keys one transaction of the expiry sweep removes: small enough not to delay anybody.
const EXPIRE_AT_A_TIME: usize = 256;

impl Options {
    /// Keeps account of history as these options want it.
    pub(crate) fn retention(&self) -> Retention {
        Retention::new(self.retention, self.history_bytes)
    }
}

/// How long a store remembers, and how much.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long history stays readable.
    pub retention: Duration,
    /// How many bytes of replaced values are kept at most, however young they are.
    pub history_bytes: u64,
    /// How many bytes of the newest values are kept in memory.
    pub hot_bytes: usize,
    /// How long the embedded store's write-ahead log may get before it is brought into the database although writes come
    /// as fast as the disk takes them.
    pub log_bytes: u64,
    /// How often expired keys and old history are looked for.
    pub sweep_interval: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            retention: Duration::from_secs(3600),
            // A busy hour of a small machine; beyond it the disk matters more than the past.
            history_bytes: 4 << 30,
            // Enough for many seconds of a busy cluster's events; who falls behind further reads the disk.
            hot_bytes: 32 << 20,
            // Some seconds of all that a fast disk takes; each byte is written twice meanwhile, not three times.
            log_bytes: 512 << 20,
            sweep_interval: Duration::from_secs(5),
        }
    }
}

/// The index, the ring, and the log behind them.
#[derive(Debug)]
pub(crate) struct Core {
    state: RwLock<State>,
    newest: watch::Sender<Revision>,
    failure: OnceLock<StoreError>,
    log: Arc<dyn Log>,
    env: Env,
}

impl Core {
    pub(crate) fn new(state: State, log: Arc<dyn Log>, env: Env) -> Core {
        let newest = watch::Sender::new(state.newest);
        Core { state: RwLock::new(state), newest, failure: OnceLock::new(), log, env }
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells watchers that there is something new.
    pub(crate) fn announce(&self, newest: Revision) {
        self.newest.send_replace(newest);
    }

    /// Told of each new revision, and of a failure.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Revision> {
        self.newest.subscribe()
    }

    /// From now on nothing is answered but this error. The first failure stays.
    pub(crate) fn fail(&self, error: StoreError) {
        let _ = self.failure.set(error);
        self.newest.send_modify(|_| {});
    }

    /// The failure, if there was one.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.failure.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Seconds since the epoch.
    pub(crate) fn now(&self) -> u32 {
        seconds(self.env.clock.now())
    }

    /// Time that never steps back.
    pub(crate) fn monotonic(&self) -> Duration {
        self.env.clock.monotonic()
    }

    /// Runs `work` on the log, on a thread of its own where that may wait for a disk.
    pub(crate) async fn read_log<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Log) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.log.blocks() {
            return work(&*self.log);
        }
        let log = self.log.clone();
        match self.env.tasks.blocking(move || work(&*log)).await {
            Some(result) => result,
            None => Err(StoreError::Unavailable { detail: "a read of the log ended early".to_owned() }),
        }
    }

    /// [`Store::get`]
    pub(crate) async fn get(&self, key: Bytes) -> Result<Option<KeyValue>, StoreError> {
        for _ in 0..READ_ATTEMPTS {
            self.check()?;
            let Some(slot) = self.state().index.get(&key).cloned() else { return Ok(None) };
            let id = slot.id;
            if let Some(found) = hot(&key, slot) {
                return Ok(Some(found));
            }
            let rows = self.read_log(move |log| log.fetch(&[id])).await?;
            if let Some(row) = rows.into_iter().next().flatten() {
                return Ok(row.key_value());
            }
        }
        Err(missing_rows())
    }

    /// [`Store::range`]
    pub(crate) async fn range(&self, query: Query) -> Result<Page, StoreError> {
        for _ in 0..READ_ATTEMPTS {
            self.check()?;
            let (mut selection, rewind) = {
                let state = self.state();
                let rewind = query.revision.is_some_and(|revision| revision < state.newest);
                (history::select(&state, &query)?, rewind)
            };
            if !rewind && selection.is_complete() {
                return Ok(selection.into_page());
            }
            let asked = query.clone();
            let filled = self.read_log(move |log| {
                if rewind {
                    selection = history::rewind(log, &asked, selection)?;
                }
                Ok(selection.fill(log)?.map(|()| selection))
            });
            let filled = filled.await?;
            if let Some(revision) = query.revision {
                // Rows that were needed may have gone while the log was read.
                self.state().readable(revision)?;
            }
            if let Some(selection) = filled {
                return Ok(selection.into_page());
            }
        }
        Err(missing_rows())
    }

    /// [`Store::watch`]
    pub(crate) fn watch(
        self: &Arc<Self>,
        prefix: Bytes,
        after: Revision,
    ) -> Result<Box<dyn Watch>, StoreError> {
        self.check()?;
        self.state().readable(after)?;
        Ok(Box::new(LogWatch::new(self.clone(), prefix, after)))
    }

    /// [`Store::revision`]
    pub(crate) fn revision(&self) -> Result<Revision, StoreError> {
        self.check()?;
        Ok(self.state().newest)
    }

    /// Begins to forget history before `revision`. `Ok(false)` if that was forgotten before.
    pub(crate) fn begin_compaction(&self, revision: Revision) -> Result<bool, StoreError> {
        self.check()?;
        let mut state = self.state_mut();
        if revision > state.newest {
            return Err(StoreError::Future { asked: revision, newest: state.newest });
        }
        let moves = revision > state.compacted;
        state.compacted = state.compacted.max(revision);
        Ok(moves)
    }
}

/// The key with its value, if that is in memory.
pub(crate) fn hot(key: &Bytes, slot: Slot) -> Option<KeyValue> {
    let value = slot.value?;
    Some(KeyValue { key: key.clone(), value, created: slot.created, modified: slot.id.revision() })
}

/// How a key stands, for the answer to a transaction whose guard it is. The caller is the one who removes rows, so
/// what `fetch` looks for is there.
pub(crate) fn current(
    found: Option<(Bytes, Slot)>,
    fetch: impl FnOnce(RowId) -> Result<Vec<Option<Row>>, StoreError>,
) -> Result<Option<KeyValue>, StoreError> {
    let Some((key, slot)) = found else { return Ok(None) };
    let id = slot.id;
    if let Some(found) = hot(&key, slot) {
        return Ok(Some(found));
    }
    let row = fetch(id)?.into_iter().next().flatten();
    row.as_ref().and_then(Row::key_value).map(Some).ok_or_else(missing_rows)
}

fn missing_rows() -> StoreError {
    StoreError::Unavailable { detail: "rows vanish as fast as they are looked for".to_owned() }
}

fn seconds(time: WallTime) -> u32 {
    u32::try_from(time.secs()).unwrap_or(0)
}

/// Removes expired keys and forgets old history, for as long as the store exists.
pub(crate) async fn keep_house<S: Store>(
    store: Weak<S>,
    core: Weak<Core>,
    mut retention: Retention,
    every: Duration,
    env: Env,
) {
    loop {
        env.clock.sleep(every).await;
        let (Some(store), Some(core)) = (store.upgrade(), core.upgrade()) else { return };
        if core.check().is_err() {
            return;
        }
        if let Err(error) = expire(&*store, &core).await {
            tracing::warn!(%error, "expired keys could not be removed; trying again later");
        }
        let now = core.now();
        let (newest, replaced) = {
            let state = core.state();
            (state.newest, state.replaced)
        };
        retention.remember(now, newest, replaced);
        if let Some(revision) = retention.due(now, replaced)
            && let Err(error) = store.compact(revision).await
        {
            tracing::warn!(%error, revision, "old history could not be removed; trying again later");
        }
    }
}

async fn expire(store: &impl Store, core: &Core) -> Result<(), StoreError> {
    loop {
        let mut due = core.state().index.expired(core.now(), EXPIRE_AT_A_TIME);
        if due.is_empty() {
            return Ok(());
        }
        // A key that was written again meanwhile is dropped from the transaction; the rest is tried again.
        loop {
            let guards =
                due.iter().map(|(key, revision)| Guard::ModifiedAt(key.clone(), *revision)).collect();
            let writes = due.iter().map(|(key, _)| Write::Delete(key.clone())).collect();
            match store.commit(Txn { guards, writes, ..Txn::default() }).await? {
                Outcome::Committed(_) => break,
                Outcome::Conflict { guard, .. } => {
                    due.swap_remove(guard);
                }
            }
        }
    }
}
