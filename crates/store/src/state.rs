//! What a store knows in memory: the newest state and the newest part of the log.

use crate::index::{Index, Slot};
use crate::ring::Ring;
use crate::row::Row;
use crate::{Revision, StoreError};

/// Index and ring, always of the same revision.
#[derive(Debug)]
pub(crate) struct State {
    /// The newest state.
    pub(crate) index: Index,
    /// The newest part of the log.
    pub(crate) ring: Ring,
    /// The newest revision.
    pub(crate) newest: Revision,
    /// The oldest revision whose state is still known.
    pub(crate) compacted: Revision,
    /// Bytes of rows that were replaced, ever: what retention by size counts.
    pub(crate) replaced: u64,
}

impl State {
    /// A state without keys, at `newest`.
    pub(crate) fn new(newest: Revision, compacted: Revision, hot_bytes: usize) -> State {
        State { index: Index::default(), ring: Ring::new(newest, hot_bytes), newest, compacted, replaced: 0 }
    }

    /// Takes over the rows of committed transactions, in order.
    pub(crate) fn publish(&mut self, rows: Vec<Row>) {
        for row in rows {
            self.newest = row.id.revision();
            self.apply(&row, row.value.as_ref().map_or(0, bytes::Bytes::len));
            self.ring.push(row);
        }
    }

    /// Lets go of the oldest values in memory, as far as there are too many.
    pub(crate) fn trim(&mut self) {
        let index = &mut self.index;
        self.ring.trim(|row| index.cool(&row.key, row.id));
    }

    /// Does to the index what a row says; `length` is that of its value.
    pub(crate) fn apply(&mut self, row: &Row, length: usize) {
        /// What a row takes on disk beside key and value, about.
        const ROW: u64 = 48;
        let before = if row.is_deletion() {
            self.replaced += ROW + row.key.len() as u64;
            self.index.remove(&row.key)
        } else {
            self.index.put(&row.key, Slot::of(row, length))
        };
        if let Some(before) = before {
            self.replaced += ROW + row.key.len() as u64 + u64::from(before.length);
        }
    }

    /// Whether `asked` can be read.
    pub(crate) fn readable(&self, asked: Revision) -> Result<(), StoreError> {
        if asked < self.compacted {
            return Err(StoreError::Compacted { asked, oldest: self.compacted });
        }
        if asked > self.newest {
            return Err(StoreError::Future { asked, newest: self.newest });
        }
        Ok(())
    }
}
