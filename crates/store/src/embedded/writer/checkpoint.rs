//! Checkpoints: what the write-ahead log holds is brought into the database, beside the settler, on a thread of its own.
//!
//! A passive checkpoint stops nobody, but while there are new writes it may never quite reach the log's end, and the
//! log is only begun anew when it has. So the settler takes the last steps itself; few are left then.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::StoreError;
use crate::core::Core;
use crate::embedded::fault::{Trouble, store_error, trouble};
use crate::embedded::medium::Medium;
use crate::embedded::writer::stop;
use crate::embedded::{database, disk};

/// So many pages make the log long: 32 MiB.
const LONG: u64 = 8_192;

/// So often the settler passes over the last steps because the thread has begun with the next ones already. Then it
/// waits for its turn, or the log would grow for as long as writes keep the thread busy.
const PASSED_OVER: u32 = 8;

/// Has the write-ahead log brought over.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    core: Arc<Core>,
    path: PathBuf,
    medium: Arc<dyn Medium>,
    /// Whether the log is long although the thread has brought over what it could.
    unfinished: Arc<AtomicBool>,
    /// Held by whoever brings something over.
    turn: Arc<Mutex<()>>,
    passed_over: u32,
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
}

/// What the thread works with.
struct Work {
    core: Arc<Core>,
    path: PathBuf,
    medium: Arc<dyn Medium>,
    unfinished: Arc<AtomicBool>,
    turn: Arc<Mutex<()>>,
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
        let turn = Arc::new(Mutex::new(()));
        let (wake, woken) = sync_channel(1);
        let work = Work {
            core: core.clone(),
            path: path.clone(),
            medium: medium.clone(),
            unfinished: unfinished.clone(),
            turn: turn.clone(),
            connection: None,
        };
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned());
        let handle = thread.spawn(move || work.run(&woken))?;
        let thread = Some((wake, handle));
        Ok(Checkpoints { core, path, medium, unfinished, turn, passed_over: 0, thread })
    }

    /// Makes the log durable as it is now, and has it brought over.
    pub(crate) fn begin(&self) -> Result<(), StoreError> {
        make_durable(&*self.medium, &disk::write_ahead_log(&self.path))
            .map_err(|error| stop(&self.core, error))?;
        let told = self.thread.as_ref().map(|(wake, _)| wake.try_send(()));
        match told {
            // If it was told before and has not begun yet, it will see this, too.
            Some(Ok(()) | Err(TrySendError::Full(()))) => Ok(()),
            // It only ends before the settler by a defect.
            Some(Err(TrySendError::Disconnected(()))) | None => {
                let path = self.path.display();
                let detail = format!("the thread that brings over the log of {path} has ended");
                Err(stop(&self.core, StoreError::Unavailable { detail }))
            }
        }
    }

    /// Called by the settler between two tasks.
    pub(crate) fn finish(&mut self, connection: &Connection) {
        if !self.unfinished.load(Ordering::Relaxed) {
            return;
        }
        let turn = if self.passed_over < PASSED_OVER {
            self.turn.try_lock().ok()
        } else {
            Some(self.turn.lock().unwrap_or_else(PoisonError::into_inner))
        };
        let Some(_turn) = turn else {
            self.passed_over += 1;
            return;
        };
        self.passed_over = 0;
        self.unfinished.store(false, Ordering::Relaxed);
        if let Err(error) = checkpoint(connection) {
            failed(&self.core, &self.path, &error);
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        let Some((wake, handle)) = self.thread.take() else { return };
        drop(wake);
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
        Trouble::Damaged | Trouble::Disk => drop(stop(core, store_error(path, error))),
    }
}

impl Work {
    fn run(mut self, woken: &Receiver<()>) {
        while woken.recv().is_ok() {
            let turn = self.turn.clone();
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            match self.connection().map(checkpoint) {
                Ok(Ok(pages)) => {
                    // The database is only said to have it when all of the log was brought over, which may be never
                    // while there are writes. So that little is left to be synced by the settler, it is done here.
                    if let Err(error) = make_durable(&*self.medium, &self.path) {
                        stop(&self.core, error);
                    }
                    self.unfinished.store(pages > LONG, Ordering::Relaxed);
                }
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

/// Makes a file durable.
fn make_durable(medium: &dyn Medium, file: &Path) -> Result<(), StoreError> {
    medium.open(file).and_then(|file| file.sync()).map_err(|error| {
        let detail = format!("the disk below {} failed: {error}", file.display());
        StoreError::Unavailable { detail }
    })
}

/// Brings over what can be without stopping anybody. Answers how many pages the log had when it began.
fn checkpoint(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0))
    })
}
