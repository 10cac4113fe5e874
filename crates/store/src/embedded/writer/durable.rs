//! Rows on their way to the disk: into the journal at once, into the database in larger steps.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use crate::StoreError;
use crate::core::Core;
use crate::embedded::database::{self, Durability};
use crate::embedded::fault::{Trouble, store_error, trouble};
use crate::embedded::journal::{Journal, Room};
use crate::embedded::medium::is_full;
use crate::embedded::pending::Pending;
use crate::embedded::writer::checkpoint::Checkpoints;
use crate::row::{Row, RowId};

/// What keeps rows.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) core: Arc<Core>,
    /// The only one that changes the database.
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    pub(crate) journal: Journal,
    /// What the journal has and the database has not.
    pub(crate) pending: Arc<Pending>,
    pub(crate) checkpoints: Checkpoints,
    /// Whether the database did not take rows when it was their time.
    pub(crate) behind: bool,
}

impl Durable {
    /// Writes the rows of one group. When this answers `Ok` they are durable.
    pub(crate) fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.pending.is_full() {
            // The database did not take them when it was their time. Without it nothing more is answered.
            self.settle()?;
        }
        match self.journal.room(rows) {
            Room::Here => {}
            Room::Next => self.turn()?,
            Room::Nowhere => return self.write_through(|connection| insert(connection, rows)),
        }
        match self.journal.write(rows) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                return Err(StoreError::DiskFull { path: self.path.display().to_string() });
            }
            Err(error) => return Err(self.fail(journal_error(&self.path, &error))),
        }
        self.journal.sync().map_err(|error| self.fail(journal_error(&self.path, &error)))?;
        self.pending.add(rows);
        Ok(())
    }

    /// Brings rows over if there are enough. They are safe in the journal, so a failure is for the next writer to see.
    pub(crate) fn settle_if_full(&mut self) {
        if !self.pending.is_full() {
            return;
        }
        let settled = self.settle();
        if let Err(error) = &settled
            && !self.behind
        {
            tracing::warn!(%error, "the database does not follow the journal; trying again at each write");
        }
        self.behind = settled.is_err();
    }

    /// Brings all rows over. They become durable there later.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.transact(|_| Ok(()))
    }

    /// Brings all rows over, does `work` in the same transaction, and makes everything durable.
    pub(crate) fn write_through(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let set = |durability| {
            database::set_durability(&self.connection, durability)
                .map_err(|error| store_error(&self.path, &error))
        };
        set(Durability::Now)?;
        let result = self.transact(work);
        if let Err(error) = set(Durability::Later) {
            tracing::warn!(%error, "the database goes on waiting for the disk at every step");
        }
        result
    }

    /// Goes on in the other file of the journal.
    fn turn(&mut self) -> Result<(), StoreError> {
        self.settle()?;
        // What is in there has been on its way since the last turn.
        self.checkpoints.wait_for_log()?;
        self.journal.turn();
        self.checkpoints.begin()
    }

    /// Brings all rows over and runs `work`, in one transaction. An error that leaves open whether it happened ends the
    /// store.
    pub(crate) fn transact(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let run = |sql| self.connection.prepare_cached(sql)?.execute([]).map(drop);
        let rows = self.pending.from(RowId(0), usize::MAX);
        let begun = run("BEGIN IMMEDIATE").and_then(|()| insert(&self.connection, &rows));
        let error = match begun.and_then(|()| work(&self.connection)).and_then(|()| run("COMMIT")) {
            Ok(()) => {
                self.pending.clear();
                return Ok(());
            }
            Err(error) => error,
        };
        if !self.connection.is_autocommit()
            && let Err(error) = run("ROLLBACK")
        {
            self.core.fail(store_error(&self.path, &error));
        }
        let answer = store_error(&self.path, &error);
        match trouble(&error) {
            Trouble::Full | Trouble::Other => Err(answer),
            Trouble::Damaged => {
                tracing::error!(error = %answer, "the store stops");
                self.core.fail(answer.clone());
                Err(answer)
            }
            Trouble::Disk => Err(self.fail(answer)),
        }
    }

    /// Ends the store. After a failed fsync the kernel may have dropped what it could not write, and a second fsync
    /// would say nothing of it. Only reading everything again, at a new start, shows what is there.
    fn fail(&self, error: StoreError) -> StoreError {
        tracing::error!(%error, "the store stops; start again to see what is on the disk");
        let unknown = StoreError::Unknown { detail: error.to_string() };
        self.core.fail(error);
        unknown
    }
}

fn insert(connection: &Connection, rows: &[Row]) -> rusqlite::Result<()> {
    rows.iter().try_for_each(|row| database::insert(connection, row))
}

/// The error for a journal that could not be written.
fn journal_error(database: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable {
        detail: format!("the disk below the journal of {} failed: {error}", database.display()),
    }
}
