//! Decides what a transaction does: which rows it adds, or which guard forbids it.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::index::{Index, Slot};
use crate::row::{Row, RowId};
use crate::{Guard, MAX_WRITES, Revision, StoreError, Txn, Write};

/// Plans transactions one after the other, each on top of those before, although none is in the index yet. The index
/// must stay as it is meanwhile; it is handed over for each, so that whoever reads it need not wait.
#[derive(Debug)]
pub(crate) struct Planner {
    /// What the transactions planned so far leave behind.
    overlay: BTreeMap<Bytes, Option<Slot>>,
    newest: Revision,
    now: u32,
}

/// What a transaction comes to.
#[derive(Debug)]
pub(crate) enum Planned {
    /// These rows, at the revisions they carry: the last one's is the transaction's.
    Rows(Vec<Row>),
    /// Nothing to do; true at this revision.
    Unchanged(Revision),
    /// A guard does not hold.
    Conflict {
        /// Which one.
        guard: usize,
        /// How its key stands.
        current: Option<(Bytes, Slot)>,
    },
}

impl Planner {
    /// Plans on top of an index that stands at `newest`, at time `now` (seconds since the epoch).
    pub(crate) fn new(newest: Revision, now: u32) -> Planner {
        Planner { overlay: BTreeMap::new(), newest, now }
    }

    /// Plans the next transaction.
    pub(crate) fn plan(&mut self, index: &Index, txn: Txn) -> Result<Planned, StoreError> {
        validate(&txn)?;
        if let Some(guard) = txn.guards.iter().position(|guard| !self.holds(index, guard)) {
            let key = guarded(&txn.guards[guard]).clone();
            let current = self.slot(index, &key).cloned().map(|slot| (key, slot));
            return Ok(Planned::Conflict { guard, current });
        }
        let mut rows = Vec::with_capacity(txn.before.len() + txn.writes.len());
        for writes in [txn.before, txn.writes] {
            self.number(index, writes, &mut rows);
        }
        if rows.is_empty() {
            return Ok(Planned::Unchanged(self.newest));
        }
        for row in &rows {
            let slot = (!row.is_deletion()).then(|| Slot::of(row, row.value.as_ref().map_or(0, Bytes::len)));
            self.overlay.insert(row.key.clone(), slot);
        }
        Ok(Planned::Rows(rows))
    }

    /// Adds the rows of writes that happen at one revision, the next one if they change anything.
    fn number(&mut self, index: &Index, writes: Vec<Write>, rows: &mut Vec<Row>) {
        let (revision, mut place) = (self.newest + 1, 0);
        for write in writes {
            if let Some(row) = self.row(index, RowId::new(revision, place), write) {
                rows.push(row);
                place += 1;
                self.newest = revision;
            }
        }
    }

    fn row(&self, index: &Index, id: RowId, write: Write) -> Option<Row> {
        let written = self.now;
        match write {
            Write::Put { key, value, ttl_secs } => {
                let before = self.slot(index, &key);
                let created = before.map_or(id.revision(), |slot| slot.created);
                let before = before.map(|slot| slot.id);
                let expires = ttl_secs.map_or(0, |ttl| self.now.saturating_add(ttl));
                Some(Row { id, key, value: Some(value), created, expires, written, before })
            }
            Write::Delete(key) => {
                let before = Some(self.slot(index, &key)?.id);
                Some(Row { id, key, value: None, created: 0, expires: 0, written, before })
            }
        }
    }

    fn holds(&self, index: &Index, guard: &Guard) -> bool {
        let slot = self.slot(index, guarded(guard));
        match guard {
            Guard::Absent(_) => slot.is_none(),
            Guard::ModifiedAt(_, revision) => slot.is_some_and(|slot| slot.id.revision() == *revision),
        }
    }

    fn slot<'a>(&'a self, index: &'a Index, key: &Bytes) -> Option<&'a Slot> {
        match self.overlay.get(key) {
            Some(planned) => planned.as_ref(),
            None => index.get(key),
        }
    }
}

fn guarded(guard: &Guard) -> &Bytes {
    match guard {
        Guard::Absent(key) | Guard::ModifiedAt(key, _) => key,
    }
}

/// Refuses what no store can carry out.
pub(crate) fn validate(txn: &Txn) -> Result<(), StoreError> {
    let invalid = |detail: String| Err(StoreError::Invalid { detail });
    let mut keys: Vec<&Bytes> = txn
        .all_writes()
        .map(|write| match write {
            Write::Put { key, .. } | Write::Delete(key) => key,
        })
        .collect();
    if keys.len() > MAX_WRITES {
        return invalid(format!("it has {} writes; at most {MAX_WRITES} are possible", keys.len()));
    }
    keys.sort_unstable();
    if keys.first().is_some_and(|key| key.is_empty()) {
        return invalid("it writes an empty key".to_owned());
    }
    if let Some(twice) = keys.windows(2).find(|pair| pair[0] == pair[1]) {
        return invalid(format!("it writes {} twice", twice[0].escape_ascii()));
    }
    Ok(())
}
