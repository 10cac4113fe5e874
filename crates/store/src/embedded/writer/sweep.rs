//! The removal of forgotten history, some rows at a time.

use crate::embedded::database::{self, Meta};
use crate::embedded::reader;
use crate::embedded::writer::follower::Follower;
use crate::history::{Values, garbage};
use crate::row::{Row, RowId};
use crate::{Revision, StoreError};

/// How many rows of forgotten history are looked at at once, so that nobody waits long for the database.
const SWEEP_ROWS: usize = 256;

/// Where the removal has got to.
#[derive(Debug)]
pub(crate) struct Sweep {
    /// Rows that were forgotten up to this revision are gone.
    pub(crate) swept: Revision,
}

impl Sweep {
    /// Removes some rows. Answers whether there is more to do.
    pub(crate) fn step(&mut self, follower: &Follower) -> bool {
        let compacted = follower.core.state().compacted;
        if self.swept >= compacted || follower.core.check().is_err() {
            return false;
        }
        match self.remove(follower, compacted) {
            Ok(swept) => {
                self.swept = swept;
                swept < compacted
            }
            Err(error) => {
                tracing::warn!(%error, "old history could not be removed; trying again later");
                false
            }
        }
    }

    fn remove(&self, follower: &Follower, compacted: Revision) -> Result<Revision, StoreError> {
        follower.settle()?;
        let mut rows = self.heads(follower, SWEEP_ROWS)?;
        let complete = rows.len() < SWEEP_ROWS;
        rows.retain(|row| row.id.revision() <= compacted);
        // The last transaction may go on beyond what was read; it is left for the next time, unless it is all there is.
        let last = rows.last().map_or(compacted, |row| row.id.revision());
        let first = rows.first().map_or(compacted, |row| row.id.revision());
        let swept = if complete {
            compacted
        } else if first == last {
            rows = self.heads(follower, crate::MAX_WRITES)?;
            rows.retain(|row| row.id.revision() == first);
            first
        } else {
            rows.retain(|row| row.id.revision() < last);
            last - 1
        };
        let garbage = garbage(&rows);
        follower.transact(|connection| {
            database::delete(connection, &garbage)?;
            database::set_meta(connection, Meta::Swept, swept)
        })?;
        Ok(swept)
    }

    /// The first rows that are not swept yet.
    fn heads(&self, follower: &Follower, limit: usize) -> Result<Vec<Row>, StoreError> {
        let Follower { connection, path, .. } = follower;
        reader::rows(connection, path, (RowId::after(self.swept), limit), Values::Skip)
    }
}
