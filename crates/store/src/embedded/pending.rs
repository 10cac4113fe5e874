//! Rows that the journal has and the database has not yet. Readers look here first, so nobody waits for the database.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::row::{Row, RowId};

/// How many bytes of rows are brought into the database at once: so many that rows share pages and transactions, so
/// few that it is done about when those who were just answered ask again.
const FULL_BYTES: usize = 24 << 10;

/// Rows in order. Only the writer changes it.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    rows: VecDeque<Row>,
    bytes: usize,
}

impl Pending {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds rows that the journal has.
    pub(crate) fn add(&self, more: &[Row]) {
        let mut rows = self.rows();
        rows.bytes += more.iter().map(Row::weight).sum::<usize>();
        rows.rows.extend(more.iter().cloned());
    }

    /// Whether there is enough to be brought into the database.
    pub(crate) fn is_full(&self) -> bool {
        self.rows().bytes >= FULL_BYTES
    }

    /// Whether there is anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows().rows.is_empty()
    }

    /// Forgets all rows: the database has them now.
    pub(crate) fn clear(&self) {
        let mut rows = self.rows();
        rows.rows.clear();
        rows.bytes = 0;
    }

    /// At most `limit` rows from `first` on.
    pub(crate) fn from(&self, first: RowId, limit: usize) -> Vec<Row> {
        let rows = self.rows();
        let start = rows.rows.partition_point(|row| row.id < first);
        rows.rows.range(start..).take(limit).cloned().collect()
    }

    /// A single row.
    pub(crate) fn get(&self, id: RowId) -> Option<Row> {
        let rows = self.rows();
        let at = rows.rows.binary_search_by_key(&id, |row| row.id).ok()?;
        rows.rows.get(at).cloned()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn row(revision: u64, place: usize) -> Row {
        Row {
            id: RowId::new(revision, place),
            key: Bytes::from_static(b"key"),
            value: Some(Bytes::from(vec![b'v'; 1000])),
            created: revision,
            expires: 0,
            written: 1,
            before: None,
        }
    }

    #[test]
    fn rows_are_found_by_number_and_from_a_number_on() {
        let pending = Pending::default();
        assert!(pending.is_empty());
        pending.add(&[row(5, 0), row(5, 1), row(7, 0)]);
        assert!(!pending.is_empty());
        assert_eq!(pending.get(RowId::new(5, 1)), Some(row(5, 1)));
        for absent in [RowId::new(5, 2), RowId::new(6, 0), RowId::new(8, 0)] {
            assert_eq!(pending.get(absent), None);
        }
        for (first, limit, found) in [
            (RowId(0), 9, vec![row(5, 0), row(5, 1), row(7, 0)]),
            (RowId(0), 2, vec![row(5, 0), row(5, 1)]),
            (RowId::new(5, 1), 9, vec![row(5, 1), row(7, 0)]),
            (RowId::after(5), 9, vec![row(7, 0)]),
            (RowId::after(7), 9, vec![]),
        ] {
            assert_eq!(pending.from(first, limit), found, "{first:?} {limit}");
        }
    }

    #[test]
    fn it_is_full_by_bytes_until_it_is_cleared() {
        let pending = Pending::default();
        for revision in 1..=FULL_BYTES as u64 / 1000 {
            pending.add(&[row(revision, 0)]);
        }
        assert!(pending.is_full());
        pending.clear();
        assert!(!pending.is_full() && pending.is_empty());
    }
}
