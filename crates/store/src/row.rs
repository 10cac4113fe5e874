//! One line of the log: what a transaction did to one key.

use bytes::Bytes;

use crate::{Event, KeyValue, Revision};

/// How many bits of a row's number tell its place in the transaction; see [`crate::MAX_WRITES`].
const PLACE_BITS: u32 = 12;

/// The number of a row: the revision and the place in its transaction, so rows are numbered in the order of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowId(pub(crate) u64);

impl RowId {
    /// The row at `place` of the transaction of `revision`.
    pub(crate) fn new(revision: Revision, place: usize) -> RowId {
        debug_assert!(place < crate::MAX_WRITES, "plan refuses larger transactions");
        RowId(revision << PLACE_BITS | place as u64)
    }

    /// The smallest number a row of a revision after this one may have.
    pub(crate) fn after(revision: Revision) -> RowId {
        RowId((revision + 1) << PLACE_BITS)
    }

    /// The revision that wrote the row.
    pub(crate) fn revision(self) -> Revision {
        self.0 >> PLACE_BITS
    }
}

/// What a transaction did to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// When it happened: the revision and the place.
    pub(crate) id: RowId,
    /// The key.
    pub(crate) key: Bytes,
    /// The new value; `None` for a deletion, and where only the head of the row was read.
    pub(crate) value: Option<Bytes>,
    /// The revision that created the key; zero for a deletion.
    pub(crate) created: Revision,
    /// When the key goes by itself, in seconds since the epoch; zero for never.
    pub(crate) expires: u32,
    /// When this was written, in seconds since the epoch.
    pub(crate) written: u32,
    /// The row this one replaced, if the key existed.
    pub(crate) before: Option<RowId>,
}

impl Row {
    /// Whether the row deleted its key.
    pub(crate) fn is_deletion(&self) -> bool {
        self.created == 0
    }

    /// The bytes this row keeps in memory.
    pub(crate) fn weight(&self) -> usize {
        /// The row itself, and what the allocator and the counters of shared bytes add.
        const OVERHEAD: usize = std::mem::size_of::<Row>() + 64;
        OVERHEAD + self.key.len() + self.value.as_ref().map_or(0, Bytes::len)
    }

    /// The key as this row left it, unless it deleted it.
    pub(crate) fn key_value(&self) -> Option<KeyValue> {
        let value = self.value.clone()?;
        Some(KeyValue { key: self.key.clone(), value, created: self.created, modified: self.id.revision() })
    }

    /// What watchers are told of this row.
    pub(crate) fn event(&self) -> Event {
        Event {
            revision: self.id.revision(),
            key: self.key.clone(),
            value: self.key_value(),
            previous: self.before.map(RowId::revision),
        }
    }
}
