//! Checkpoints: what the write-ahead log holds is made durable, and then brought into the database, beside the settler,
//! on a thread of its own.
//!
//! The writer turns to the other file of the journal when one is full. The full one is free as soon as the write-ahead
//! log, which has all of it by then, is durable.
//!
//! A passive checkpoint stops nobody, but while there are new writes it may never quite reach the log's end, and the
//! log is only begun anew when it has. So the settler takes the last steps itself; few are left then.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::StoreError;
use crate::core::Core;
use crate::embedded::fault::{Trouble, store_error, trouble};
use crate::embedded::medium::Medium;
use crate::embedded::writer::{Answer, stop};
use crate::embedded::{database, disk};

/// So many pages make the log long: 32 MiB.
const LONG: u64 = 8_192;

/// So often the settler passes over the last steps because the thread has begun with the next ones already. Then it
/// waits for its turn, or the log would grow for as long as writes keep the thread busy.
const PASSED_OVER: u32 = 8;

/// Has the write-ahead log made durable and brought over.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    core: Arc<Core>,
    path: PathBuf,
    /// Whether the log is long although the thread has brought over what it could.
    unfinished: Arc<AtomicBool>,
    /// Held by whoever brings something over.
    turn: Arc<Mutex<()>>,
    passed_over: u32,
    /// It is told where to say that the log is durable.
    thread: Option<(Sender<Answer<()>>, JoinHandle<()>)>,
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
        let (wake, woken) = channel();
        let work = Work {
            core: core.clone(),
            path: path.clone(),
            medium,
            unfinished: unfinished.clone(),
            turn: turn.clone(),
            connection: None,
        };
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned());
        let handle = thread.spawn(move || work.run(&woken))?;
        Ok(Checkpoints { core, path, unfinished, turn, passed_over: 0, thread: Some((wake, handle)) })
    }

    /// Has the log, as it is now, made durable, which is told to `answer`, and brought over.
    pub(crate) fn begin(&self, answer: Answer<()>) {
        if self.thread.as_ref().is_none_or(|(wake, _)| wake.send(answer).is_err()) {
            // It only ends before the settler by a defect. Nothing can be made durable without it.
            let detail =
                format!("the thread that makes {} durable has ended; this is a defect", self.path.display());
            stop(&self.core, StoreError::Unavailable { detail });
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
    fn run(mut self, woken: &Receiver<Answer<()>>) {
        while let Ok(answer) = woken.recv() {
            let log = disk::write_ahead_log(&self.path);
            self.sync(&log);
            // The writer may have gone; what it asked for is done all the same.
            let _ = answer.send(self.core.check());
            let turn = self.turn.clone();
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            match self.connection().map(checkpoint) {
                Ok(Ok(pages)) => {
                    // The database is only said to have it when all of the log was brought over, which may be never
                    // while there are writes. So that little is left to be synced by the settler, it is done here.
                    self.sync(&self.path);
                    self.unfinished.store(pages > LONG, Ordering::Relaxed);
                }
                Ok(Err(error)) => failed(&self.core, &self.path, &error),
                Err(error) => tracing::warn!(%error, "the write-ahead log could not be shortened"),
            }
        }
    }

    /// Makes a file durable, or ends the store.
    fn sync(&self, file: &Path) {
        if let Err(error) = self.medium.open(file).and_then(|file| file.sync()) {
            let detail = format!("the disk below {} failed: {error}", file.display());
            stop(&self.core, StoreError::Unavailable { detail });
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

/// Brings over what can be without stopping anybody. Answers how many pages the log had when it began.
fn checkpoint(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0))
    })
}
