//! The newest part of the log, in memory: what watchers read from, each at its own pace.

use std::collections::VecDeque;

use crate::Revision;
use crate::row::Row;

/// Rows of whole transactions in order, up to a weight.
#[derive(Debug)]
pub(crate) struct Ring {
    rows: VecDeque<Row>,
    /// All rows of revisions after this one are here.
    floor: Revision,
    weight: usize,
    limit: usize,
}

impl Ring {
    /// Without rows. What comes after `floor` will be here.
    pub(crate) fn new(floor: Revision, limit: usize) -> Ring {
        Ring { rows: VecDeque::new(), floor, weight: 0, limit }
    }

    /// All rows of revisions after this one are here.
    pub(crate) fn floor(&self) -> Revision {
        self.floor
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Row) {
        self.weight += row.weight();
        self.rows.push_back(row);
    }

    /// Takes the oldest transactions out, as long as there is too much here, but never the newest one. `gone` is told
    /// of each row.
    pub(crate) fn trim(&mut self, mut gone: impl FnMut(&Row)) {
        let Some(newest) = self.rows.back().map(|row| row.id.revision()) else { return };
        while let Some(front) = self.rows.front() {
            let revision = front.id.revision();
            if revision == newest || (self.weight <= self.limit && revision > self.floor) {
                break;
            }
            self.floor = revision;
            self.weight -= front.weight();
            gone(front);
            self.rows.pop_front();
        }
    }

    /// Rows of revisions after `revision`, which must not lie before the floor.
    pub(crate) fn after(&self, revision: Revision) -> impl Iterator<Item = &Row> {
        debug_assert!(revision >= self.floor, "the caller reads the log for what is older");
        let start = self.rows.partition_point(|row| row.id.revision() <= revision);
        self.rows.range(start..)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::row::RowId;

    fn row(revision: Revision, place: usize) -> Row {
        Row {
            id: RowId::new(revision, place),
            key: Bytes::from_static(b"key"),
            value: Some(Bytes::from(vec![0; 1000])),
            created: revision,
            expires: 0,
            written: 0,
            before: None,
        }
    }

    #[test]
    fn whole_transactions_leave_and_the_newest_never_does() {
        let mut ring = Ring::new(0, 2 * row(1, 0).weight());
        for (revision, place) in [(1, 0), (1, 1), (2, 0), (3, 0), (3, 1)] {
            ring.push(row(revision, place));
        }
        let mut gone = Vec::new();
        ring.trim(|row| gone.push(row.id));
        assert_eq!(gone, [RowId::new(1, 0), RowId::new(1, 1), RowId::new(2, 0)]);
        assert_eq!(ring.floor(), 2);
        for place in 0..10 {
            ring.push(row(4, place));
        }
        ring.trim(|_| {});
        assert_eq!((ring.floor(), ring.after(3).count()), (3, 10));
    }
}
