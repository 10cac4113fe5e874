//! Checkpoints: what the write-ahead log holds is brought into the database beside the writer, on a thread of its own.
//!
//! A passive checkpoint stops nobody, but while there are new writes it may never quite reach the log's end, and the
//! log is only begun anew when it has. So the writer takes the last steps itself; few are left then. A log that is
//! begun anew lies on blocks the file has already, which are made durable much faster than new ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::StoreError;
use crate::core::Core;
use crate::embedded::database;
use crate::embedded::fault::{Trouble, store_error, trouble};
use crate::row::Row;

/// After how many bytes the log is brought over. Larger means fewer writes of the same page, and a longer log.
const AFTER_BYTES: u64 = 12 << 20;

/// What a group costs in the log beside its rows: the rest of the last page, and the pages above it.
const PAGES: u64 = 3 * 4096;

/// Keeps account of the write-ahead log, and has it brought over.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    core: Arc<Core>,
    path: PathBuf,
    bytes: u64,
    /// Whether the thread has brought over what it could, but not all.
    unfinished: Arc<AtomicBool>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    pub(crate) fn new(core: Arc<Core>, path: PathBuf) -> Checkpoints {
        let unfinished = Arc::new(AtomicBool::new(false));
        Checkpoints { core, path, bytes: 0, unfinished, wake: None, thread: None }
    }

    /// Starts the thread beside the writer.
    pub(crate) fn start(&mut self) -> std::io::Result<()> {
        let (wake, woken) = sync_channel(1);
        let (core, path, unfinished) = (self.core.clone(), self.path.clone(), self.unfinished.clone());
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned());
        self.thread = Some(thread.spawn(move || run(&core, &path, &unfinished, &woken))?);
        self.wake = Some(wake);
        Ok(())
    }

    /// Counts rows of one group.
    pub(crate) fn count(&mut self, rows: &[Row]) {
        let bytes: usize = rows.iter().map(Row::weight).sum();
        self.bytes += PAGES + bytes as u64;
    }

    /// Called by the writer between two groups.
    pub(crate) fn written(&mut self, connection: &Connection) {
        if self.unfinished.swap(false, Ordering::Relaxed)
            && let Err(error) = checkpoint(connection)
        {
            failed(&self.core, &self.path, &error);
        }
        if self.bytes < AFTER_BYTES {
            return;
        }
        self.bytes = 0;
        match self.wake.as_ref().map(|wake| wake.try_send(())) {
            // Full: it is at work, and will look again.
            None | Some(Ok(()) | Err(TrySendError::Full(()))) => {}
            Some(Err(TrySendError::Disconnected(()))) => {
                self.wake = None;
                tracing::error!(path = %self.path.display(), "the thread that shortens the log has ended");
            }
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
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
        Trouble::Damaged | Trouble::Disk => {
            let error = store_error(path, error);
            tracing::error!(%error, "the store stops; start again to see what is on the disk");
            core.fail(error);
        }
    }
}

fn run(core: &Core, path: &Path, unfinished: &AtomicBool, woken: &Receiver<()>) {
    let connect = || -> Result<Connection, StoreError> {
        let connection = database::open_writer(path)?;
        connection.execute_batch("PRAGMA cache_size = -1024;").map_err(|error| store_error(path, &error))?;
        Ok(connection)
    };
    let connection = match connect() {
        Ok(connection) => connection,
        Err(error) => {
            tracing::error!(%error, "the write-ahead log will not be shortened until the next start");
            return;
        }
    };
    while woken.recv().is_ok() {
        match checkpoint(&connection) {
            Ok((pages, done)) => unfinished.store(done < pages, Ordering::Relaxed),
            Err(error) => failed(core, path, &error),
        }
    }
}

/// Brings over what can be without stopping anybody. Answers how many pages the log has, and how many are done.
fn checkpoint(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        let count = |at| row.get::<_, i64>(at).map(|count| u64::try_from(count).unwrap_or(0));
        Ok((count(1)?, count(2)?))
    })
}
