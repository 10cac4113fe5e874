//! The store of one server: a log in SQLite, an index in memory, one writer that commits in groups.
//!
//! ```text
//! commit ─→ queue ─→ writer: plan all that wait ─→ journal, one fsync ─→ index and ring ─→ answers
//!                                                     └─→ settler: many in one SQLite transaction ─→ checkpoint
//! get, range, watch ─→ index and ring; what is no longer in memory ─→ readers
//! ```
//!
//! There is one table of rows, numbered by revision and place, that is only added to at its end; compaction removes
//! what was replaced. The index is rebuilt from it at start.

pub mod backup;
mod check;
mod database;
mod disk;
mod fault;
pub(crate) mod import;
mod journal;
mod load;
pub mod medium;
mod partial;
mod pending;
mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use env::Env;
use tokio::sync::{mpsc, oneshot};

pub use check::{Report, check};

use crate::core::{Core, Options, keep_house};
use crate::embedded::disk::Lock;
use crate::embedded::journal::Journal;
use crate::embedded::load::Loaded;
use crate::embedded::medium::{Disk, Medium};
use crate::embedded::pending::Pending;
use crate::embedded::reader::Readers;
use crate::embedded::writer::{Files, Job, Order, Writer};
use crate::{BoxFuture, KeyValue, Outcome, Page, Query, Revision, Store, StoreError, Txn, Watch};

/// How many transactions may wait for the writer. Several groups, so that it never starves; beyond them callers wait.
const QUEUE: usize = 4096;

/// A store in a directory.
#[derive(Debug)]
pub struct Embedded {
    path: PathBuf,
    core: Arc<Core>,
    env: Env,
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held until the writer is done.
    lock: Mutex<Option<Lock>>,
}

impl Embedded {
    /// Opens the store in `directory`, or makes one there. Must be called inside a tokio runtime.
    pub async fn open(directory: &Path, options: Options, env: Env) -> Result<Arc<Embedded>, StoreError> {
        Embedded::open_on(directory, options, env, Arc::new(Disk)).await
    }

    /// The same, with files on `medium`, but for those of SQLite.
    pub async fn open_on(
        directory: &Path,
        options: Options,
        env: Env,
        medium: Arc<dyn Medium>,
    ) -> Result<Arc<Embedded>, StoreError> {
        let lock = Lock::take(directory)?;
        let path = disk::database(directory);
        let (hot_bytes, retention) = (options.hot_bytes, options.retention());
        let log_bytes = options.log_bytes;
        // Never zero, which stands for none, and never negative in SQLite.
        let epoch = 1 + env.entropy.below(i64::MAX.unsigned_abs());
        let loading = {
            let (path, medium) = (path.clone(), medium.clone());
            env.tasks.blocking(move || {
                let loaded = load::load(&path, hot_bytes, retention, epoch)?;
                let journal = Journal::begin(&path, epoch, &*medium)
                    .map_err(|error| fault::refused(&path, &format!("cannot have a journal: {error}")))?;
                Ok((loaded, journal))
            })
        };
        let Some(loaded) = loading.await else {
            return Err(StoreError::Unavailable {
                detail: format!("{} could not be loaded", path.display()),
            });
        };
        let (Loaded { connection, state, swept, retention }, journal) = loaded?;
        let pending = Arc::new(Pending::default());
        let readers = Arc::new(Readers::new(path.clone(), pending.clone()));
        let core = Arc::new(Core::new(state, readers.clone(), env.clone()));
        let (queue, jobs) = mpsc::channel(QUEUE);
        let files = Files { connection, path: path.clone(), medium, journal, pending, readers, log_bytes };
        let writer = Writer::new(core.clone(), files, swept).and_then(|writer| writer.start(jobs));
        let writer = writer.map_err(|error| StoreError::Unavailable {
            detail: format!("the writer of {} could not be started: {error}", path.display()),
        })?;
        let store = Arc::new(Embedded {
            path,
            core: core.clone(),
            env: env.clone(),
            queue: Mutex::new(Some(queue)),
            writer: Mutex::new(Some(writer)),
            lock: Mutex::new(Some(lock)),
        });
        let (weak_store, weak_core) = (Arc::downgrade(&store), Arc::downgrade(&core));
        let housekeeping = keep_house(weak_store, weak_core, retention, options.sweep_interval, env.clone());
        env.tasks.spawn("store housekeeping", housekeeping);
        Ok(store)
    }

    /// Writes a backup of the store as it is now to `file`, while it goes on working. Answers the backup's revision.
    pub async fn backup(&self, file: &Path) -> Result<Revision, StoreError> {
        self.ask(|answer| Job::Order(Order::Settle { answer })).await?;
        let written = backup::start(self.path.clone(), file.to_owned());
        let early = |_| StoreError::Unavailable { detail: "the backup ended early".to_owned() };
        written?.await.map_err(early)?
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.core.state().index.len()
    }

    /// When a key goes by itself, in seconds since the epoch; zero for never. `None` if it does not exist.
    pub(crate) fn expires(&self, key: &[u8]) -> Option<u32> {
        self.core.state().index.get(key).map(|slot| slot.expires)
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Result<T, StoreError> {
        self.core.check()?;
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, answered) = oneshot::channel();
        let closed = || StoreError::Unavailable { detail: "the store was closed".to_owned() };
        queue.ok_or_else(closed)?.send(job(answer)).await.map_err(|_| closed())?;
        match answered.await {
            Ok(result) => result,
            // The writer is gone with the question in its hands.
            Err(_) => Err(StoreError::Unknown { detail: "the store stopped before it answered".to_owned() }),
        }
    }
}

impl Embedded {
    /// Finishes what was asked, and leaves the directory to others. From now on every call is refused.
    pub async fn close(&self) {
        let writer = self.retire();
        let ended = self.env.tasks.blocking(move || writer.is_none_or(|writer| writer.join().is_ok())).await;
        if ended != Some(true) {
            self.blame_writer();
        }
        self.leave();
    }

    /// Lets nobody ask any more; the writer ends when it has answered.
    fn retire(&self) -> Option<JoinHandle<()>> {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn leave(&self) {
        self.core.fail(StoreError::Unavailable { detail: "the store was closed".to_owned() });
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn blame_writer(&self) {
        tracing::error!(path = %self.path.display(), "the store's writer panicked; this is a defect");
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        if let Some(writer) = self.retire()
            && writer.join().is_err()
        {
            self.blame_writer();
        }
        self.leave();
    }
}

impl Store for Embedded {
    fn commit(&self, txn: Txn) -> BoxFuture<'_, Result<Outcome, StoreError>> {
        Box::pin(self.ask(|answer| Job::Commit { txn, answer }))
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
        Box::pin(self.ask(move |answer| Job::Order(Order::Compact { revision, answer })))
    }
}

#[cfg(test)]
mod tests;
