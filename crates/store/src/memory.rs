//! A store that lives and dies with the process: for tests and simulations.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use env::Env;

use crate::core::{Core, Options, current, keep_house};
use crate::history::{Log, Values, garbage};
use crate::plan::{Planned, Planner};
use crate::row::{Row, RowId};
use crate::state::State;
use crate::{BoxFuture, KeyValue, Outcome, Page, Query, Revision, Store, StoreError, Txn, Watch};

/// The store in memory.
#[derive(Debug)]
pub struct Memory {
    core: Arc<Core>,
    log: Arc<MemoryLog>,
}

#[derive(Debug, Default)]
struct MemoryLog {
    rows: RwLock<BTreeMap<RowId, Row>>,
}

impl Memory {
    /// An empty store. Must be made inside a tokio runtime.
    pub fn new(options: Options, env: Env) -> Arc<Memory> {
        let log = Arc::new(MemoryLog::default());
        let core = Arc::new(Core::new(State::new(0, 0, options.hot_bytes), log.clone(), env.clone()));
        let store = Arc::new(Memory { core: core.clone(), log });
        let (weak_store, weak_core) = (Arc::downgrade(&store), Arc::downgrade(&core));
        let retention = options.retention();
        let housekeeping = keep_house(weak_store, weak_core, retention, options.sweep_interval, env.clone());
        env.tasks.spawn("store housekeeping", housekeeping);
        store
    }

    fn commit_now(&self, txn: Txn) -> Result<Outcome, StoreError> {
        self.core.check()?;
        let now = self.core.now();
        let mut state = self.core.state_mut();
        let planned = Planner::new(state.newest, now).plan(&state.index, txn)?;
        match planned {
            Planned::Conflict { guard, current: found } => {
                let current = current(found, |id| self.log.fetch(&[id]))?;
                Ok(Outcome::Conflict { guard, current })
            }
            Planned::Unchanged(revision) => Ok(Outcome::Committed(revision)),
            Planned::Rows(rows) => {
                self.log.write().extend(rows.iter().map(|row| (row.id, row.clone())));
                state.publish(rows);
                state.trim();
                let newest = state.newest;
                drop(state);
                self.core.announce(newest);
                Ok(Outcome::Committed(newest))
            }
        }
    }

    fn compact_now(&self, revision: Revision) -> Result<(), StoreError> {
        let from = RowId::after(self.core.state().compacted);
        if self.core.begin_compaction(revision)? {
            let mut rows = self.log.write();
            let forgotten: Vec<Row> =
                rows.range(from..RowId::after(revision)).map(|(_, row)| row.clone()).collect();
            for id in garbage(&forgotten) {
                rows.remove(&id);
            }
        }
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.core.fail(StoreError::Unavailable { detail: "the store was closed".to_owned() });
    }
}

impl MemoryLog {
    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<RowId, Row>> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<RowId, Row>> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for MemoryLog {
    fn blocks(&self) -> bool {
        false
    }

    fn rows(&self, first: RowId, limit: usize, _: Values) -> Result<Vec<Row>, StoreError> {
        Ok(self.read().range(first..).take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn fetch(&self, ids: &[RowId]) -> Result<Vec<Option<Row>>, StoreError> {
        let rows = self.read();
        Ok(ids.iter().map(|id| rows.get(id).cloned()).collect())
    }
}

impl Store for Memory {
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(async move { self.commit_now(txn) })
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>, StoreError>> {
        Box::pin(self.core.get(key))
    }

    fn range(&self, query: Query) -> BoxFuture<'_, Result<Page, StoreError>> {
        Box::pin(self.core.range(query))
    }

    fn watch(&self, prefix: Bytes, after: Revision) -> BoxFuture<'_, Result<Box<dyn Watch>, StoreError>> {
        Box::pin(async move { self.core.watch(prefix, after) })
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, StoreError>> {
        Box::pin(async move { self.core.revision() })
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.compact_now(revision) })
    }
}

#[cfg(test)]
mod tests {
    use env::WallTime;

    use super::*;
    use crate::conformance::{Backend, conformance};

    struct InMemory(Arc<Memory>);

    impl Backend for InMemory {
        async fn make(options: Options) -> InMemory {
            InMemory(Memory::new(options, Env::simulated(WallTime::from_secs(1_800_000_000), 7)))
        }

        fn store(&self) -> &dyn Store {
            &*self.0
        }
    }

    // Nothing here waits for the outside, so time may pass as fast as it likes.
    conformance!(InMemory, start_paused = true);

    #[tokio::test]
    async fn a_closed_store_ends_its_watches() {
        let store = Memory::new(Options::default(), Env::real());
        let mut watch = store.watch(Bytes::new(), 0).await.expect("a watch");
        assert!(watch.next().await.is_ok());
        drop(store);
        assert!(matches!(watch.next().await, Err(StoreError::Unavailable { .. })));
    }
}
