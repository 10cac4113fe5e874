//! Rows that the journal has and the database has not yet. Readers look here first, so nobody waits for the database.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::row::{Row, RowId};

/// From how many bytes on rows are brought into the database: so many that they share pages and transactions, so few
/// that hardly any have to be brought over at the end.
const FULL_BYTES: usize = 256 << 10;

/// Rows in order: the writer adds to the end, the settler takes from the beginning.
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

    /// Adds rows that the journal has. Answers whether there is enough to be brought into the database.
    pub(crate) fn add(&self, more: &[Row]) -> bool {
        let mut rows = self.rows();
        rows.bytes += more.iter().map(Row::weight).sum::<usize>();
        rows.rows.extend(more.iter().cloned());
        rows.bytes >= FULL_BYTES
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows().rows.is_empty()
    }

    /// Forgets rows up to one of them: the database has them now.
    pub(crate) fn forget_through(&self, last: RowId) {
        let mut rows = self.rows();
        let count = rows.rows.partition_point(|row| row.id <= last);
        let bytes: usize = rows.rows.drain(..count).map(|row| row.weight()).sum();
        rows.bytes -= bytes;
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
    fn it_is_full_by_bytes_until_the_database_has_some() {
        let pending = Pending::default();
        let many = FULL_BYTES as u64 / row(1, 0).weight() as u64 + 1;
        for revision in 1..many {
            assert!(!pending.add(&[row(revision, 0)]), "{revision}");
        }
        assert!(pending.add(&[row(many, 0), row(many, 1)]));
        assert!(pending.add(&[]), "it is full until some are forgotten");
        pending.forget_through(RowId::new(many, 0));
        assert_eq!(pending.from(RowId(0), 9), [row(many, 1)], "what came later stays");
        assert!(!pending.add(&[]) && !pending.is_empty());
        pending.forget_through(RowId::new(many, 1));
        assert!(pending.is_empty());
    }
}
