//! Reads of what is no longer in memory: connections of their own, so that they never wait for the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension};

use crate::StoreError;
use crate::embedded::database::{self, HEAD};
use crate::embedded::fault::store_error;
use crate::embedded::pending::Pending;
use crate::history::{Log, Values};
use crate::row::{Row, RowId};

/// How many idle connections are kept. More reads at once than this open their own and close it.
const IDLE: usize = 4;

/// Connections that read.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    pending: Arc<Pending>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, pending: Arc<Pending>) -> Readers {
        Readers { path, pending, idle: Mutex::new(Vec::new()) }
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => database::open_reader(&self.path)?,
        };
        let result = work(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(connection);
        }
        result
    }
}

impl Log for Readers {
    fn blocks(&self) -> bool {
        true
    }

    fn rows(&self, first: RowId, limit: usize, values: Values) -> Result<Vec<Row>, StoreError> {
        // Before the database: what is brought over meanwhile is then found twice, not missed.
        let pending = self.pending.from(first, limit);
        let mut rows = self.with(|connection| rows(connection, &self.path, (first, limit), values))?;
        let last = rows.last().map(|row| row.id);
        let more = pending.into_iter().filter(|row| last.is_none_or(|last| row.id > last));
        rows.extend(more.take(limit - rows.len()));
        Ok(rows)
    }

    fn fetch(&self, ids: &[RowId]) -> Result<Vec<Option<Row>>, StoreError> {
        let mut found: Vec<Option<Row>> = ids.iter().map(|id| self.pending.get(*id)).collect();
        let missing: Vec<usize> = (0..ids.len()).filter(|at| found[*at].is_none()).collect();
        if !missing.is_empty() {
            let asked: Vec<RowId> = missing.iter().map(|at| ids[*at]).collect();
            let rows = self.with(|connection| fetch(connection, &self.path, &asked))?;
            missing.into_iter().zip(rows).for_each(|(at, row)| found[at] = row);
        }
        Ok(found)
    }
}

/// Rows from a first one on, at most so many.
pub(crate) fn rows(
    connection: &Connection,
    path: &Path,
    (first, limit): (RowId, usize),
    values: Values,
) -> Result<Vec<Row>, StoreError> {
    let failed = |error: rusqlite::Error| store_error(path, &error);
    let value = if values == Values::Read { ", value" } else { "" };
    let sql = format!("SELECT {HEAD}{value} FROM log WHERE id >= ?1 ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut found = statement.query([first.0.cast_signed(), limit]).map_err(failed)?;
    let mut rows = Vec::new();
    while let Some(columns) = found.next().map_err(failed)? {
        let head = database::read_head(columns, path).map_err(failed)??;
        rows.push(match values {
            Values::Skip => head.row,
            Values::Read => database::read_value(head, columns, path).map_err(failed)??,
        });
    }
    Ok(rows)
}

/// Single rows with their values.
fn fetch(connection: &Connection, path: &Path, ids: &[RowId]) -> Result<Vec<Option<Row>>, StoreError> {
    let failed = |error: rusqlite::Error| store_error(path, &error);
    let sql = format!("SELECT {HEAD}, value FROM log WHERE id = ?1");
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let mut fetched = Vec::with_capacity(ids.len());
    for id in ids {
        let row =
            statement.query_row([id.0.cast_signed()], |columns| match database::read_head(columns, path)? {
                Ok(head) => database::read_value(head, columns, path),
                Err(damage) => Ok(Err(damage)),
            });
        fetched.push(row.optional().map_err(failed)?.transpose()?);
    }
    Ok(fetched)
}
