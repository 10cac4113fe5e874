//! Checkpoints: what the write-ahead log holds is made durable, and then brought into the database, beside the writer,
//! on a thread of its own.
//!
//! The writer turns to the other file of the journal when one is full. The full one is free as soon as the write-ahead
//! log, which has all of it by then, is durable.
//!
//! A passive checkpoint stops nobody, but while there are new writes it may never quite reach the log's end, and the
//! log is only begun anew when it has. So the writer takes the last steps itself; few are left then.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::StoreError;
use crate::core::Core;
use crate::embedded::fault::{Trouble, store_error, trouble};
use crate::embedded::medium::Medium;
use crate::embedded::{database, disk};

/// Has the write-ahead log made durable and brought over.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    core: Arc<Core>,
    path: PathBuf,
    /// Whether the thread has brought over what it could, but not all.
    unfinished: Arc<AtomicBool>,
    thread: Option<Running>,
    /// Whether the thread was asked to make the log durable, and its answer is to come.
    asked: bool,
}

#[derive(Debug)]
struct Running {
    wake: SyncSender<()>,
    durable: Receiver<()>,
    handle: JoinHandle<()>,
}

/// What the thread works with.
struct Work {
    core: Arc<Core>,
    path: PathBuf,
    medium: Arc<dyn Medium>,
    unfinished: Arc<AtomicBool>,
    /// Made when it is first needed.
    connection: Option<Connection>,
}

impl Checkpoints {
    /// Starts the thread.
    pub(crate) fn start(
        core: Arc<Core>,
        path: PathBuf,
        medium: Arc<dyn Medium>,
    ) -> std::io::Result<Checkpoints> {
        let unfinished = Arc::new(AtomicBool::new(false));
        let (wake, woken) = sync_channel(1);
        let (tell, durable) = sync_channel(1);
        let work = Work {
            core: core.clone(),
            path: path.clone(),
            medium,
            unfinished: unfinished.clone(),
            connection: None,
        };
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned());
        let handle = thread.spawn(move || work.run(&woken, &tell))?;
        let thread = Some(Running { wake, durable, handle });
        Ok(Checkpoints { core, path, unfinished, thread, asked: false })
    }

    /// Asks for the log, as it is now, to be made durable and brought over.
    pub(crate) fn begin(&mut self) -> Result<(), StoreError> {
        self.asked = true;
        match &self.thread {
            Some(thread) if thread.wake.send(()).is_ok() => Ok(()),
            _ => Err(self.ended()),
        }
    }

    /// Waits until the log is durable up to where it was when that was last asked for.
    pub(crate) fn wait_for_log(&mut self) -> Result<(), StoreError> {
        if std::mem::take(&mut self.asked) {
            match &self.thread {
                Some(thread) if thread.durable.recv().is_ok() => {}
                _ => return Err(self.ended()),
            }
        }
        self.core.check()
    }

    /// The thread only ends before the writer by a defect. Nothing can be made durable without it.
    fn ended(&self) -> StoreError {
        let detail = format!("the thread that makes {} durable has ended", self.path.display());
        tracing::error!(detail, "the store stops; this is a defect");
        let error = StoreError::Unavailable { detail };
        self.core.fail(error.clone());
        error
    }

    /// Called by the writer between two groups.
    pub(crate) fn finish(&self, connection: &Connection) {
        if self.unfinished.swap(false, Ordering::Relaxed)
            && let Err(error) = checkpoint(connection)
        {
            failed(&self.core, &self.path, &error);
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        let Some(Running { wake, durable, handle }) = self.thread.take() else { return };
        drop((wake, durable));
        if handle.join().is_err() {
            tracing::error!(path = %self.path.display(), "the thread that shortens the log panicked");
        }
    }
}

/// The log is complete without it, so a full disk is no more than a long log. But a disk that cannot make durable what
/// it took may have lost it, and would say so only once.
fn failed(core: &Core, path: &Path, error: &rusqlite::Error) {
    match trouble(error) {
        Trouble::Full | Trouble::Other => {
            tracing::warn!(%error, path = %path.display(), "the write-ahead log could not be shortened");
        }
        Trouble::Damaged | Trouble::Disk => stop(core, store_error(path, error)),
    }
}

fn stop(core: &Core, error: StoreError) {
    tracing::error!(%error, "the store stops; start again to see what is on the disk");
    core.fail(error);
}

impl Work {
    fn run(mut self, woken: &Receiver<()>, durable: &SyncSender<()>) {
        while woken.recv().is_ok() {
            let log = disk::write_ahead_log(&self.path);
            if let Err(error) = self.medium.open(&log).and_then(|log| log.sync()) {
                let detail = format!("the disk below {} failed: {error}", log.display());
                stop(&self.core, StoreError::Unavailable { detail });
            }
            // The writer may have gone; what it asked for is done all the same.
            let _ = durable.send(());
            match self.connection().map(checkpoint) {
                Ok(Ok((pages, done))) => self.unfinished.store(done < pages, Ordering::Relaxed),
                Ok(Err(error)) => failed(&self.core, &self.path, &error),
                Err(error) => tracing::warn!(%error, "the write-ahead log could not be shortened"),
            }
        }
    }

    fn connection(&mut self) -> Result<&Connection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = database::open_writer(&self.path)?;
                connection
                    .execute_batch("PRAGMA cache_size = -1024;")
                    .map_err(|error| store_error(&self.path, &error))?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }
}

/// Brings over what can be without stopping anybody. Answers how many pages the log has, and how many are done.
fn checkpoint(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let count = |at| row.get::<_, i64>(at).map(|count| u64::try_from(count).unwrap_or(0));
        Ok((count(1)?, count(2)?))
    })
}
