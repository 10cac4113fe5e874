//! The database, which follows the journal: many rows in each of its transactions.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;

use crate::StoreError;
use crate::core::Core;
use crate::embedded::database::{self, Durability};
use crate::embedded::fault::{Trouble, store_error, trouble};
use crate::embedded::pending::Pending;
use crate::embedded::writer::stop;
use crate::row::{Row, RowId};

/// The only one that changes the database.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) core: Arc<Core>,
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
    /// What the journal has and the database has not.
    pub(crate) pending: Arc<Pending>,
}

impl Follower {
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
                if let Some(last) = rows.last() {
                    self.pending.forget_through(last.id);
                }
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
            Trouble::Disk => Err(stop(&self.core, answer)),
        }
    }
}

/// Adds rows.
pub(crate) fn insert(connection: &Connection, rows: &[Row]) -> rusqlite::Result<()> {
    rows.iter().try_for_each(|row| database::insert(connection, row))
}
