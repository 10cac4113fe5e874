//! Checkpoints: what the write-ahead log holds is brought into the database, beside the settler, on a thread of its own.
//!
//! A passive checkpoint stops nobody, but while there are new writes it may never quite reach the log's end, and the
//! log is only begun anew when it has. So the settler takes the last steps itself; few are left then.
//!
//! In a burst the log grows and is brought over afterwards: what is written to the disk meanwhile keeps those waiting who
//! write.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use crate::StoreError;
use crate::core::Core;
use crate::embedded::fault::{Trouble, store_error, trouble};
use crate::embedded::journal::FILE_BYTES;
use crate::embedded::medium::{Blocks, Medium};
use crate::embedded::writer::{NICE, stop};
use crate::embedded::{database, disk};

/// So many bytes make the log long.
const LONG: u64 = 32 << 20;

/// So few bytes are left to the settler.
const FEW: u64 = 4 << 20;

/// So often it is tried to come so far: a disk that is slower than those who write never would.
const PASSES: usize = 8;

/// If a file of the journal lasts longer than this, or nothing is written for so long, there is no burst.
pub(crate) const CALM: Duration = Duration::from_millis(500);

/// So often what was brought over is made durable meanwhile. All of it at once would hold up those who write.
const PIECE: Duration = Duration::from_millis(10);

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
    burst: Burst,
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
}

/// How fast the log grows.
#[derive(Debug)]
struct Burst {
    /// How long the log may get.
    limit: u64,
    /// What came into the log since it was last brought over, about.
    bytes: u64,
    /// When it was last made durable.
    last: Duration,
}

impl Burst {
    /// A file of the journal was filled. Answers whether the log is to be brought over now.
    fn is_over(&mut self, now: Duration) -> bool {
        self.bytes += FILE_BYTES;
        let calm = now.saturating_sub(self.last) >= CALM;
        self.last = now;
        calm || self.bytes >= self.limit
    }
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
    /// The same, and kept: SQLite's locks on a file go when any descriptor of it is closed.
    database: Option<Box<dyn Blocks>>,
}

impl Checkpoints {
    /// Starts the thread.
    pub(crate) fn start(
        core: Arc<Core>,
        path: PathBuf,
        medium: Arc<dyn Medium>,
        limit: u64,
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
            database: None,
        };
        let thread = std::thread::Builder::new().name("store-checkpoint".to_owned());
        let handle = thread.spawn(move || work.run(&woken))?;
        let thread = Some((wake, handle));
        // A store that was killed left a log, which each start reads. Without one there is nothing to do.
        let left = std::fs::metadata(disk::write_ahead_log(&path)).map_or(0, |log| log.len());
        let burst = Burst { limit, bytes: left, last: core.monotonic() };
        Ok(Checkpoints { core, path, medium, unfinished, turn, passed_over: 0, burst, thread })
    }

    /// Makes the log durable as it is now, and has it brought over unless that is put off.
    pub(crate) fn make_durable(&mut self) -> Result<(), StoreError> {
        make_durable(&*self.medium, &disk::write_ahead_log(&self.path))
            .map_err(|error| stop(&self.core, error))?;
        if self.burst.is_over(self.core.monotonic()) { self.begin() } else { Ok(()) }
    }

    /// Whether the log is to be brought over as soon as there is time.
    pub(crate) fn are_put_off(&self) -> bool {
        self.burst.bytes > 0
    }

    /// Has the log brought over.
    pub(crate) fn begin(&mut self) -> Result<(), StoreError> {
        self.burst.bytes = 0;
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

impl Checkpoints {
    /// Called by the settler when there is nothing more to come. Brings over all, so that the next start has no log to
    /// read; not what somebody still reads from it.
    pub(crate) fn end(&mut self, connection: &Connection) {
        self.join();
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            failed(&self.core, &self.path, &error);
        }
    }

    /// Waits until the thread is done.
    fn join(&mut self) {
        let Some((wake, handle)) = self.thread.take() else { return };
        drop(wake);
        if handle.join().is_err() {
            tracing::error!(path = %self.path.display(), "the thread that shortens the log panicked");
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.join();
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
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::warn!(%error, "bringing over the write-ahead log may hold up those who write");
        }
        while woken.recv().is_ok() {
            let turn = self.turn.clone();
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            match self.catch_up() {
                // The database is only said to have it when all of the log was brought over, which may be never while
                // there are writes.
                Ok(Ok(bytes)) => self.unfinished.store(bytes > LONG, Ordering::Relaxed),
                Ok(Err(error)) => failed(&self.core, &self.path, &error),
                Err(error) => tracing::warn!(%error, "the write-ahead log could not be shortened"),
            }
        }
    }

    /// Brings over what can be, and then what has come meanwhile, until that is little: the settler waits for nothing long.
    fn catch_up(&mut self) -> Result<rusqlite::Result<u64>, StoreError> {
        let mut brought = 0;
        for _ in 0..PASSES {
            let before = brought;
            brought = match self.bring_over()? {
                Ok(bytes) => bytes,
                Err(error) => return Ok(Err(error)),
            };
            if brought.saturating_sub(before) <= FEW {
                break;
            }
        }
        Ok(Ok(brought))
    }

    /// Brings over what can be, and makes it durable on the way, so that little is left for the settler. Answers how long
    /// the log was.
    fn bring_over(&mut self) -> Result<rusqlite::Result<u64>, StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.medium.open(&self.path).map_err(|error| failed_below(&self.path, &error))?,
        };
        let connection = self.connection()?;
        let done = AtomicBool::new(false);
        let (brought, synced) = std::thread::scope(|scope| {
            let syncing = scope.spawn(|| sync_until(&done, database));
            let brought = checkpoint(connection);
            done.store(true, Ordering::Release);
            syncing.thread().unpark();
            (brought, syncing.join())
        });
        match synced {
            Ok(Ok(database)) => self.database = Some(database),
            Ok(Err(error)) => drop(stop(&self.core, failed_below(&self.path, &error))),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(brought)
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
    medium.open(file).and_then(|file| file.sync()).map_err(|error| failed_below(file, &error))
}

/// Makes a file durable again and again, and once more when it is `done`.
fn sync_until(done: &AtomicBool, file: Box<dyn Blocks>) -> std::io::Result<Box<dyn Blocks>> {
    while !done.load(Ordering::Acquire) {
        std::thread::park_timeout(PIECE);
        file.sync()?;
    }
    file.sync()?;
    Ok(file)
}

fn failed_below(file: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable { detail: format!("the disk below {} failed: {error}", file.display()) }
}

/// Brings over what can be without stopping anybody. Answers how many bytes the log had when it began.
fn checkpoint(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |sql, column| {
        connection.query_row(sql, [], |row| Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0)))
    };
    let page = number("PRAGMA page_size", 0)?;
    Ok(page * number("PRAGMA wal_checkpoint(PASSIVE)", 1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_over_when_the_journal_fills_slowly_or_the_log_is_long() {
        let ms = Duration::from_millis;
        let cases: [(&str, &[(u64, bool)]); 4] = [
            ("slow", &[(500, true), (1000, true), (1700, true)]),
            ("fast", &[(100, false), (200, false), (699, false)]),
            ("fast, then slow", &[(100, false), (600, true)]),
            ("until it is long", &[(100, false), (101, false), (102, false), (103, true)]),
        ];
        for (what, filled) in cases {
            let mut burst = Burst { limit: 4 * FILE_BYTES, bytes: 0, last: Duration::ZERO };
            for (at, over) in filled {
                assert_eq!(burst.is_over(ms(*at)), *over, "{what}: {at}");
            }
        }
    }
}
