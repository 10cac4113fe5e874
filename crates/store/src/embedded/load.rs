//! Start: the index rebuilt from the log.

use std::path::Path;

use rusqlite::Connection;

use crate::embedded::database::{self, Durability, HEAD, Meta};
use crate::embedded::fault::{damaged, store_error};
use crate::embedded::journal;
use crate::retention::Retention;
use crate::row::Row;
use crate::state::State;
use crate::{Revision, StoreError};

/// A database that is ready for work.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// For the writer.
    pub(crate) connection: Connection,
    /// The newest state.
    pub(crate) state: State,
    /// Forgotten rows up to this revision are gone.
    pub(crate) swept: Revision,
    /// Which history is how old.
    pub(crate) retention: Retention,
}

/// Opens the database, brings in what only the journal has, and reads the head of each row. What is journalled from now
/// on carries `epoch`.
pub(crate) fn load(
    path: &Path,
    hot_bytes: usize,
    retention: Retention,
    epoch: u64,
) -> Result<Loaded, StoreError> {
    let connection = database::open_writer(path)?;
    replay(&connection, path, Some(epoch))?;
    let failed = |error: rusqlite::Error| store_error(path, &error);
    // From here on the journal makes things durable.
    database::set_durability(&connection, Durability::Later).map_err(failed)?;
    let compacted = database::meta(&connection, Meta::Compacted).map_err(failed)?;
    let swept = database::meta(&connection, Meta::Swept).map_err(failed)?;
    let newest = database::newest(&connection).map_err(failed)?;
    let mut state = State::new(newest, compacted, hot_bytes);
    let mut retention = retention;
    {
        let mut statement =
            connection.prepare(&format!("SELECT {HEAD} FROM log ORDER BY id")).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(columns) = rows.next().map_err(failed)? {
            let head = database::read_head(columns, path).map_err(failed)??;
            state.apply(&head.row, head.length);
            retention.remember(head.row.written, head.row.id.revision(), state.replaced);
        }
    }
    Ok(Loaded { connection, state, swept, retention })
}

/// Makes durable in the database what only the journal has, and begins a new epoch if one is given.
pub(crate) fn replay(connection: &Connection, path: &Path, epoch: Option<u64>) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| store_error(path, &error);
    let before = database::meta(connection, Meta::Epoch).map_err(failed)?;
    let mut rows = if before == 0 { Vec::new() } else { journal::read(path, before)? };
    let newest = database::newest(connection).map_err(failed)?;
    // Transactions are brought over whole, so the newest one in the database is all there.
    rows.retain(|row| row.id.revision() > newest);
    follow(newest, &rows).map_err(|detail| damaged(path, detail))?;
    if rows.is_empty() && epoch.is_none() {
        return Ok(());
    }
    let changes = connection.unchecked_transaction().map_err(failed)?;
    rows.iter().try_for_each(|row| database::insert(&changes, row)).map_err(failed)?;
    if let Some(epoch) = epoch {
        database::begin_epoch(&changes, epoch).map_err(failed)?;
    }
    changes.commit().map_err(failed)
}

/// Whether rows of the journal go on where the database ends; if not, something was lost.
fn follow(newest: Revision, rows: &[Row]) -> Result<(), String> {
    let mut last = newest;
    for revision in rows.iter().map(|row| row.id.revision()) {
        if revision != last && revision != last + 1 {
            return Err(format!("what was written between revisions {last} and {revision} is missing"));
        }
        last = revision;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::RowId;

    #[test]
    fn a_gap_between_database_and_journal_is_damage() {
        for (newest, revisions, missing) in [
            (4, vec![], None),
            (4, vec![5, 5, 6, 7, 7], None),
            (0, vec![1], None),
            (4, vec![6], Some((4, 6))),
            (4, vec![5, 7], Some((5, 7))),
            (4, vec![5, 6, 5], Some((6, 5))),
        ] {
            let row = |(place, revision): (usize, &Revision)| Row {
                id: RowId::new(*revision, place),
                key: bytes::Bytes::new(),
                value: None,
                created: 0,
                expires: 0,
                written: 0,
                before: None,
            };
            let rows: Vec<Row> = revisions.iter().enumerate().map(row).collect();
            let found = follow(newest, &rows);
            let expected = missing
                .map(|(from, to)| format!("what was written between revisions {from} and {to} is missing"));
            assert_eq!(found.err(), expected, "{newest} {revisions:?}");
        }
    }
}
