//! Rows on their way to the disk: into the journal at once, which is what is waited for. The database follows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::StoreError;
use crate::core::Core;
use crate::embedded::journal::{Journal, Room};
use crate::embedded::medium::is_full;
use crate::embedded::pending::Pending;
use crate::embedded::writer::settler::{Asked, Settler, Task};
use crate::embedded::writer::stop;
use crate::row::Row;

/// What keeps rows.
#[derive(Debug)]
pub(crate) struct Durable {
    pub(crate) core: Arc<Core>,
    pub(crate) path: PathBuf,
    pub(crate) journal: Journal,
    /// What the journal has and the database has not.
    pub(crate) pending: Arc<Pending>,
    pub(crate) settler: Settler,
    pub(crate) other: OtherFile,
}

/// How the file of the journal stands that is not written to.
#[derive(Debug)]
pub(crate) enum OtherFile {
    /// Nothing in it is needed.
    Free,
    /// The database was asked to make durable what is in it.
    OnItsWay(Asked),
    /// The database did not when it was asked.
    Needed,
}

impl Durable {
    /// Writes the rows of one group. When this answers `Ok` they are durable.
    pub(crate) fn write(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        if self.settler.is_behind() {
            // The database did not take rows when it was their time. Without it nothing more is answered.
            self.settler.carry_out(|answer| Task::Settle { answer })?;
        }
        match self.journal.room(rows) {
            Room::Here => {}
            Room::Next => self.turn()?,
            Room::Nowhere => {
                let rows = rows.to_vec();
                return self.settler.carry_out(|answer| Task::WriteThrough { rows, answer });
            }
        }
        match self.journal.write(rows) {
            Ok(()) => {}
            Err(error) if is_full(&error) => {
                return Err(StoreError::DiskFull { path: self.path.display().to_string() });
            }
            Err(error) => return Err(stop(&self.core, journal_error(&self.path, &error))),
        }
        self.journal.sync().map_err(|error| stop(&self.core, journal_error(&self.path, &error)))?;
        if self.pending.add(rows) {
            self.settler.wake();
        }
        Ok(())
    }

    /// Goes on in the other file of the journal.
    fn turn(&mut self) -> Result<(), StoreError> {
        // What is in there has been on its way since the last turn.
        let free = match std::mem::replace(&mut self.other, OtherFile::Needed) {
            OtherFile::Free => true,
            OtherFile::OnItsWay(asked) => self.settler.wait(asked).is_ok(),
            OtherFile::Needed => false,
        };
        if !free {
            self.settler.carry_out(|answer| Task::MakeDurable { answer })?;
        }
        self.journal.turn();
        self.other = OtherFile::OnItsWay(self.settler.ask(|answer| Task::MakeDurable { answer }));
        Ok(())
    }
}

/// The error for a journal that could not be written.
fn journal_error(database: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable {
        detail: format!("the disk below the journal of {} failed: {error}", database.display()),
    }
}
