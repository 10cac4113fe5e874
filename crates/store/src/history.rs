//! The log below the ring: how older events and older states are read, whatever keeps the log.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

use crate::index::Slot;
use crate::row::{Row, RowId};
use crate::state::State;
use crate::{KeyValue, Page, Query, Revision, StoreError};

/// How many rows are read from a log at a time.
pub(crate) const ROWS_AT_A_TIME: usize = 1000;

/// A log of rows. It may block.
pub(crate) trait Log: Send + Sync + fmt::Debug + 'static {
    /// Whether calls wait for a disk.
    fn blocks(&self) -> bool;

    /// Rows from `first` on, in order, at most `limit`. `values` says whether their values are wanted.
    fn rows(&self, first: RowId, limit: usize, values: Values) -> Result<Vec<Row>, StoreError>;

    /// Single rows with their values, in the order asked. `None` for a row that is no longer there.
    fn fetch(&self, ids: &[RowId]) -> Result<Vec<Option<Row>>, StoreError>;
}

/// Whether the values of rows are read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// They are.
    Read,
    /// Only keys and revisions.
    Skip,
}

/// What a query found, before values that are not in memory are read.
#[derive(Debug)]
pub(crate) struct Selection {
    picks: Vec<Pick>,
    more: bool,
    revision: Revision,
}

#[derive(Debug)]
struct Pick {
    key: Bytes,
    id: RowId,
    created: Revision,
    value: Option<Bytes>,
}

impl Pick {
    fn of(key: &[u8], slot: &Slot) -> Pick {
        Pick {
            key: Bytes::copy_from_slice(key),
            id: slot.id,
            created: slot.created,
            value: slot.value.clone(),
        }
    }
}

/// Picks what a query asks for. What has changed since the asked revision is left out; [`rewind`] puts it in.
pub(crate) fn select(state: &State, query: &Query) -> Result<Selection, StoreError> {
    let revision = query.revision.unwrap_or(state.newest);
    state.readable(revision)?;
    let wanted = if query.limit == 0 { usize::MAX } else { query.limit.saturating_add(1) };
    let unchanged = state
        .index
        .range(&query.start, &query.end)
        .filter(|(_, slot)| slot.id.revision() <= revision)
        .take(wanted);
    let picks = unchanged.map(|(key, slot)| Pick::of(key, slot)).collect();
    let mut selection = Selection { picks, more: false, revision };
    selection.cut(query.limit);
    Ok(selection)
}

/// Puts in what rows after the selection's revision have replaced.
pub(crate) fn rewind(log: &dyn Log, query: &Query, selection: Selection) -> Result<Selection, StoreError> {
    let Selection { picks, more, revision } = selection;
    let mut merged: BTreeMap<Bytes, Pick> = picks.into_iter().map(|pick| (pick.key.clone(), pick)).collect();
    let mut first = RowId::after(revision);
    loop {
        let rows = log.rows(first, ROWS_AT_A_TIME, Values::Skip)?;
        let Some(last) = rows.last() else { break };
        first = RowId(last.id.0 + 1);
        for row in rows {
            let inside = row.key >= query.start && (query.end.is_empty() || row.key < query.end);
            if let Some(id) = row.before.filter(|before| inside && before.revision() <= revision) {
                // When the key was created only the row itself knows; it is read along with the value.
                let pick = Pick { key: row.key.clone(), id, created: 0, value: None };
                merged.entry(row.key).or_insert(pick);
            }
        }
    }
    let mut selection = Selection { picks: merged.into_values().collect(), more, revision };
    selection.cut(query.limit);
    Ok(selection)
}

impl Selection {
    /// Whether nothing is left to be read.
    pub(crate) fn is_complete(&self) -> bool {
        self.picks.iter().all(|pick| pick.value.is_some())
    }

    /// Reads what is missing. `None` if a row was compacted meanwhile, and the query must be asked again.
    pub(crate) fn fill(&mut self, log: &dyn Log) -> Result<Option<()>, StoreError> {
        let missing: Vec<usize> = self
            .picks
            .iter()
            .enumerate()
            .filter(|(_, pick)| pick.value.is_none())
            .map(|(at, _)| at)
            .collect();
        let ids: Vec<RowId> = missing.iter().map(|at| self.picks[*at].id).collect();
        for (at, row) in missing.into_iter().zip(log.fetch(&ids)?) {
            let Some(row) = row else { return Ok(None) };
            self.picks[at].created = row.created;
            self.picks[at].value = row.value;
        }
        Ok(Some(()))
    }

    /// The answer, once all is read.
    pub(crate) fn into_page(self) -> Page {
        let items = self.picks.into_iter().filter_map(|pick| {
            Some(KeyValue {
                key: pick.key,
                value: pick.value?,
                created: pick.created,
                modified: pick.id.revision(),
            })
        });
        Page { items: items.collect(), more: self.more, revision: self.revision }
    }

    fn cut(&mut self, limit: usize) {
        if limit != 0 && self.picks.len() > limit {
            self.picks.truncate(limit);
            self.more = true;
        }
    }
}

/// The rows that nobody needs any more once history before the last of these rows is forgotten.
pub(crate) fn garbage(rows: &[Row]) -> Vec<RowId> {
    let replaced = rows.iter().filter_map(|row| row.before);
    let deletions = rows.iter().filter(|row| row.is_deletion()).map(|row| row.id);
    replaced.chain(deletions).collect()
}
